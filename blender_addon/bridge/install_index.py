"""Where wheels come from, found when it is needed: uv asks the indexes that this machine or the person names.

Nothing here knows an index by name. The person's own (preferences) comes first, then what pip or uv are configured
for, then the one that uv and pip have built in.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
import urllib.parse
from pathlib import Path

from .install_program import Programs, pip
from .install_settings import configured
from .states import BridgeError
from .wheels import Machine, Plan, Wheel, digest_of, fits

LIST = "found.json"  # beside the kept wheels: those that the lock does not hold, as their index told them
PIPS = {"--default-index": "--index-url", "--index": "--extra-index-url"}  # what pip calls them
OF_UV = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE")
OF_TORCH = ("nvidia-", "cuda-", "triton", "pytorch-triton", "rocm")  # packages that only some builds of torch need
LOGIN = re.compile(r"//([^/@\s]+)@([^/\s]+)")  # and the host, in an address
NAME = re.compile(r"[\w.+!-]+\.whl")  # no way out of the folder


def named(index: str) -> list[str]:
    """uv's arguments for an index that the person names: its address, or the path of a folder.

    A folder of wheels is taken as such, every other as an index (a folder for each package).
    """
    if not index:
        return []
    if "://" in index:
        return ["--default-index", index]
    path = Path(index)
    if not path.is_dir():
        raise BridgeError(f"There is no folder {index}; choose another Package Index in the preferences.")
    if any(path.glob("*.whl")):
        return ["--no-index", "--find-links", str(path)]
    return ["--default-index", path.absolute().as_uri()]


def without_login(index: str) -> str:
    """The address of an index as it may be shown."""
    return LOGIN.sub(r"//\2", index)


class Index:
    """Asks where the wheels of a plan are.

    Args:
        programs: runs uv and pip.
        python: the Python that the environment is made from.
        index: what the person named as index in the preferences, or "".
    """

    def __init__(self, programs: Programs, python: Path, index: str):
        self._programs = programs
        self._python = python
        self._named = named(index)
        self._arguments = self._named or self._of_pip()

    def _of_pip(self) -> list[str]:
        """What pip is configured for; nothing where uv has settings of its own, which it finds itself."""
        if any(os.environ.get(name) for name in OF_UV):
            return []
        output = self._programs.folder / "pip.txt"
        try:
            if not self._programs.run([*pip(self._python), "config", "list"], output=output, settings=True):
                return []
            return configured(output.read_text(encoding="utf-8", errors="replace"))
        except (SyntaxError, ValueError):  # not as pip prints it
            return []
        finally:
            output.unlink(missing_ok=True)

    def logins(self) -> dict[str, str]:
        """Host -> ``name:password`` of the indexes whose addresses hold one; files lie on the same host."""
        told = " ".join([*self._arguments, *(os.environ.get(name, "") for name in OF_UV)])
        return {host: urllib.parse.unquote(login) for login, host in LOGIN.findall(told)}

    def located(self, uv: Path, wheels: list[Wheel]) -> list[Wheel]:
        """The locked wheels with their addresses. Raises BridgeError when one is nowhere."""
        lines = [f"{wheel.name}==={wheel.version}" for wheel in wheels]  # == would take 2.13.0+cpu for 2.13.0 too
        packages = self._compiled(uv, lines, ["--no-deps", "--universal"])
        if packages is None:
            raise BridgeError(_not_found("the packages", self._programs.reason()))
        places = {(file, sha256): url for _name, _version, file, url, sha256 in _files(packages)}
        found = [dataclasses.replace(one, url=places.get((one.file, one.sha256), "")) for one in wheels]
        missing = next((wheel.file for wheel in found if not wheel.url), None)
        if missing:
            raise BridgeError(f"The package index lacks {missing}; name another one in the preferences.")
        return found

    def torch(self, uv: Path, plan: Plan, machine: Machine) -> list[Wheel]:
        """The torch of a build that the package index does not hold, and what only that torch needs.

        Tried are the indexes that were named or configured, then torch's own, which uv knows (``--torch-backend``).
        Versions are the lock's; digests of what it does not hold are those that the index states.
        Raises BridgeError when there is none, or when a file comes without a digest.
        """
        build = plan.build
        fixed = [f"{wheel.name}=={wheel.version}" for wheel in plan.wheels if wheel.name != "torch"]
        attempts: list[tuple[str, list[str]]] = [(build.torch, [])] if self._arguments else []
        attempts.append((build.torch.partition("+")[0], ["--torch-backend", build.backend]))
        for version, arguments in attempts:
            packages = self._compiled(uv, [f"torch=={version}"], arguments, fixed)
            found = _fitting(packages or [], plan, machine)
            if any(wheel.name == "torch" for wheel in found):
                break
        else:
            raise BridgeError(_not_found(f"torch {build.torch} for {machine}", self._programs.reason()))
        unsure = next((wheel.file for wheel in found if not wheel.sha256), None)
        if unsure:
            raise BridgeError(f"The package index states no checksum of {unsure}; choose Processor Only instead.")
        return found

    def _compiled(self, uv: Path, lines: list[str], arguments: list[str], fixed: list[str] | None = None):
        """What uv finds for these requirements, as the packages of a pylock.toml; None when it does not."""
        folder = self._programs.folder
        asked, held, answer = folder / "asked.txt", folder / "held.txt", folder / "pylock.toml"
        command = [str(uv), "pip", "compile", "--quiet", "--no-header", "--format", "pylock.toml"]
        command += ["--only-binary", ":all:", "--python", str(self._python), "-o", str(answer)]
        # As pip does it: all indexes count alike. Digests tell what is the right file.
        command += ["--index-strategy", "unsafe-best-match", *self._arguments]
        try:
            answer.unlink(missing_ok=True)  # uv would keep to what an old one says
            asked.write_text("\n".join(lines) + "\n", encoding="utf-8")
            held.write_text("\n".join(fixed or []) + "\n", encoding="utf-8")
            if not self._programs.run([*command, *arguments, "-c", str(held), str(asked)], settings=True):
                return None
            return tomllib.loads(answer.read_text(encoding="utf-8")).get("packages", [])
        finally:
            for path in (asked, held, answer):
                path.unlink(missing_ok=True)

    def by_pip(self, wheel: Wheel, kept: Path, look) -> None:
        """Let pip bring a locked wheel into a folder, where uv does not run. Raises BridgeError.

        Args:
            look: called about once a second with the bytes that are there.
        """
        arguments = [PIPS.get(argument, argument) for argument in self._named]  # what pip is configured for it knows
        listing, partly = self._programs.folder / "asked.txt", self._programs.folder / "pip"
        listing.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        partly.mkdir(exist_ok=True)
        command = [*pip(self._python), "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        command += [*arguments, "--disable-pip-version-check", "-d", str(kept), "-r", str(listing)]
        variables = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(partly))
        if not self._programs.run(command, lambda: look(partly), settings=True, variables=variables):
            raise BridgeError(_not_found(f"{wheel.name} {wheel.version}", self._programs.reason()))


def _files(packages: list[dict]):
    """(name, version, file, address, SHA-256 or "") of all wheels in a pylock.toml; paths become addresses."""
    for package in packages:
        for wheel in package.get("wheels", []):
            url = wheel.get("url") or Path(wheel.get("path", "")).absolute().as_uri()
            file = wheel.get("name") or urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])
            yield package["name"], package.get("version", ""), file, url, wheel.get("hashes", {}).get("sha256", "")


def _fitting(packages: list[dict], plan: Plan, machine: Machine) -> list[Wheel]:
    """torch, and what the plan does not hold; of a locked torch only the file that the lock names."""
    known = {wheel.name: wheel for wheel in plan.wheels}
    found = []
    for name, version, file, url, sha256 in _files(packages):
        locked = known.get(name)
        if locked is not None and name == "torch" and locked.file == file:
            found.append(dataclasses.replace(locked, url=url))
        elif locked is None and NAME.fullmatch(file) and fits(file, machine):
            found.append(Wheel(name, version, file, url, sha256, 0))
    return found


def _not_found(what: str, reason: str) -> str:
    because = f" ({reason})" if reason else ""
    return f"The download of {what} was not found{because}; check the network, the proxy and the package index."


def remembered(folder: Path, plan: Plan) -> list[Wheel]:
    """What was found for a plan before, where all of it is in the folder; otherwise nothing."""
    try:
        facts = json.loads((folder / LIST).read_text(encoding="utf-8"))
        wheels = [Wheel(**wheel) for wheel in facts["wheels"]]
        whole = all(NAME.fullmatch(one.file) and (folder / one.file).stat().st_size == one.size for one in wheels)
        return wheels if whole and facts["torch"] == plan.build.torch and wheels else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def remember(folder: Path, plan: Plan, wheels: list[Wheel]) -> None:
    """Keep what an index said, so that a repair needs none, nor a machine to which the folder is copied."""
    told = [dataclasses.asdict(dataclasses.replace(wheel, url="")) for wheel in wheels]
    facts = {"torch": plan.build.torch, "wheels": told}
    part = folder / (LIST + ".part")
    part.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    os.replace(part, folder / LIST)


def given(folder: Path, plan: Plan, machine: Machine) -> list[Wheel]:
    """The same out of a person's own folder.

    Where it was not kept by Clickfield, torch and what only torch needs are taken as they are, since nothing tells
    their digests. Raises BridgeError when torch is not among them.
    """
    told = remembered(folder, plan)
    if told:
        return told
    known = {wheel.name for wheel in plan.everything()}
    found = {}
    for path in sorted(folder.glob("*.whl")):
        name, version = path.name.split("-")[:2]
        name = name.lower().replace("_", "-").replace(".", "-")
        needed = name.startswith(OF_TORCH) and name not in known and not plan.build.alone
        wanted = version == plan.build.torch if name == "torch" else needed
        if wanted and fits(path.name, machine):
            found[name] = Wheel(name, version, path.name, "", digest_of(path), path.stat().st_size)
    if "torch" not in found:
        raise BridgeError(f"{folder} lacks torch {plan.build.torch} for {machine}; copy its wheel there.")
    return list(found.values())
