"""Installs the backend's own Python environment in a thread, in steps that can be cut off anywhere and gone on with.

Wheels come first, each checked against the lock or, where that does not hold it, against what its index says; then the
environment is made and filled from them alone, with uv or, where that does not run, with venv and pip; then the doctor
is asked; the marker is written last. Whatever has no marker is never used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import install_folder as folders
from . import install_index
from .child import open_log
from .environment import Check, Finding
from .install_fetch import Cancelled, Damaged, Fetcher, sentence_of
from .install_program import TICK, Programs, pip
from .install_work import Work
from .states import BridgeError
from .wheels import Plan, Wheel, digest_of, this_machine, unpacked

FIRST_START = 300.0  # seconds that the doctor has: nothing of torch was read from a slow disk before
DOWNLOAD, UNPACK = 0.7, 0.95  # of the bar, where these steps end
# What uv must understand; with --help it only says whether it does.
UV_NEEDED = ["pip", "compile", "--format", "pylock.toml", "--torch-backend", "cpu", "--help"]


@dataclass(frozen=True)
class Job:
    """What is to be installed, and where.

    Attributes:
        plan: the wheels.
        folder: the folder of environments, see ``install_folder``.
        root: the extension's root folder, from which the doctor runs.
        base: the Python that the environment is made from, for example Blender's own.
        source: a folder of wheels; None downloads them.
        index: the package index that the person names, or "".
        timeout: seconds of silence from a server.
    """

    plan: Plan
    folder: Path
    root: Path
    base: Path
    source: Path | None = None
    index: str = ""
    timeout: float = 15.0

    @property
    def environment(self) -> Path:
        """The environment's folder."""
        return self.folder / self.plan.digest

    @property
    def kept(self) -> Path:
        """The folder of what was downloaded."""
        return self.folder / folders.WHEELS


class Install(Work):
    """One installation; ``poll`` gives the finding when it is over."""

    cancelled_sentence = "The installation was cancelled; Install goes on where it stopped."

    def __init__(self, job: Job, free: Callable[[float], bool] = lambda _seconds: True):
        self.job = job
        self._left_out: list[str] = list(job.plan.left_out)
        self._programs: Programs | None = None
        self._logins: dict[str, str] = {}
        super().__init__(job.folder, free)

    def _work(self) -> Finding:
        job = self.job
        folders.claim(job.folder)
        with contextlib.ExitStack() as stack:
            held = self._hold(stack)
            log = stack.enter_context(open_log(job.folder / folders.LOG))
            self._programs = Programs(job.folder, log, held, self._cancelled)
            uv, wheels = self._bring()
            self._wait_for_backend()
            self._say(DOWNLOAD, "Making the environment")
            self._fill(uv, wheels)
            finding = self._ask_doctor()
            if finding.ok:
                folders.write_marker(job.environment, self._facts(finding, wheels))
                self._tidy(wheels)
            return finding

    # Wheels.

    def _bring(self) -> tuple[Path | None, list[Wheel]]:
        """uv where it runs, and the wheels, all of them there and checked."""
        while True:
            try:
                uv, wheels = self._given() if self.job.source is not None else self._found()
            except BridgeError:
                self._check_room()
                raise
            try:
                for number, wheel in enumerate(wheels):
                    fetcher = self._fetcher(number, wheels)
                    fetcher.progress(0)
                    fetcher.fetch(wheel)
                return uv, wheels
            except Damaged:
                continue  # it was removed, so that the next look finds a place for it

    def _fetcher(self, number: int, wheels: list[Wheel], share: float = DOWNLOAD) -> Fetcher:
        """Brings the wheel of this number, and says how far it is; all of them are this share of the bar."""
        wheel, job = wheels[number], self.job
        total = max(sum(one.size for one in wheels), 1)
        before = sum(one.size for one in wheels[:number])
        verb = "Downloading" if job.source is None else "Copying"

        def progress(done: int) -> None:
            part = f"{(before + done) / 1e6:,.0f} of {total / 1e6:,.0f} MB"
            text = f"{verb} {wheel.name} {wheel.version}, {number + 1} of {len(wheels)} ({part})"
            self._say(share * (before + done) / total, text)

        return Fetcher(job.kept, job.source, self._cancelled, job.timeout, progress, self._logins)

    def _found(self) -> tuple[Path | None, list[Wheel]]:
        """uv where it runs, and the plan's wheels with the places of those that are not there yet."""
        plan, kept = self.job.plan, self.job.kept
        self._say(0.0, "Looking for the packages")
        more = install_index.remembered(kept, plan) if plan.from_index else []
        missing = [wheel for wheel in plan.wheels if not _whole(kept, wheel)]
        ask_torch = plan.special() and (any(one.name == "torch" for one in missing) or (plan.from_index and not more))
        if not missing and not ask_torch:
            return self._ready_uv(), [*plan.wheels, *more]
        index = install_index.Index(self._programs, self.job.base, self.job.index)
        self._logins = index.logins()
        uv = self._uv(index)
        if uv is None:
            self._fetch_by_pip(index, missing)
            return None, plan.wheels
        plain = [wheel for wheel in missing if not (plan.special() and wheel.name == "torch")]
        places = {wheel.name: wheel for wheel in (index.located(uv, plain) if plain else [])}
        if ask_torch:
            self._say(0.0, f"Looking for the torch of this computer ({plan.build.label})")
            torch = index.torch(uv, plan, this_machine())
            places |= {wheel.name: wheel for wheel in torch if wheel.size}
            unmeasured = [wheel for wheel in torch if not wheel.size]
            more = [self._fetcher(0, [wheel]).measured(wheel) for wheel in unmeasured]
            install_index.remember(kept, plan, more)
        return uv, [*(places.get(wheel.name, wheel) for wheel in plan.wheels), *more]

    def _uv(self, index: install_index.Index) -> Path | None:
        """uv: the person's own, or the locked one, brought by pip where it is not there yet; None where none runs."""
        there = self._ready_uv()
        tool = self.job.plan.tool
        if there is None and tool is not None and not _whole(self.job.kept, tool):
            with contextlib.suppress(BridgeError):  # without pip or network the next step says it
                self._by_pip(index, self._fetcher(0, [tool], 0.0), tool)
                there = self._ready_uv()
        return there

    def _ready_uv(self) -> Path | None:
        """The person's own uv, or the locked one where it is there already; the first that runs and is new enough."""
        own = shutil.which("uv")
        for uv in (Path(own) if own else None, self._unpack_uv()):
            if uv is not None and self._programs.run([str(uv), *UV_NEEDED], output=os.devnull):
                return uv
        return None

    def _fetch_by_pip(self, index: install_index.Index, missing: list[Wheel]) -> None:
        if self.job.plan.from_index:
            raise BridgeError(
                f"torch {self.job.plan.build.torch} needs uv to be found, which does not run here; put uv on the PATH,"
                " name a folder of wheels or choose an existing interpreter."
            )
        for number, wheel in enumerate(missing):
            self._by_pip(index, self._fetcher(number, missing), wheel)

    def _by_pip(self, index: install_index.Index, fetcher: Fetcher, wheel: Wheel) -> None:
        fetcher.progress(0)
        index.by_pip(wheel, self.job.kept, lambda partly: fetcher.progress(folders.size_of(partly)))

    def _given(self) -> tuple[Path | None, list[Wheel]]:
        """uv where the folder of wheels has it, and the wheels; of the optional ones only those that it has."""
        job, plan = self.job, self.job.plan
        self._say(0.0, "Looking for the packages")
        if not job.source.is_dir():
            raise BridgeError(f"There is no folder {job.source}; choose the folder that holds the wheels.")
        there = [wheel for wheel in plan.everything() if _whole(job.kept, wheel) or (job.source / wheel.file).is_file()]
        missing = [wheel.file for wheel in plan.wheels if wheel not in there and not wheel.optional]
        if missing:
            more = f" and {len(missing) - 2} more" if len(missing) > 2 else ""
            raise BridgeError(f"{job.source} lacks {', '.join(missing[:2])}{more}; copy them there and try again.")
        self._left_out += [wheel.name for wheel in plan.wheels if wheel.optional and wheel not in there]
        if plan.from_index:
            self._say(0.0, "Checking torch")
            found = install_index.given(job.source, plan, this_machine())
            install_index.remember(job.kept, plan, found)
            there += found
        if plan.tool in there:
            self._fetcher(0, [plan.tool], 0.0).fetch(plan.tool)
        return self._ready_uv(), [wheel for wheel in there if wheel is not plan.tool]

    def _unpack_uv(self) -> Path | None:
        """The program out of the locked wheel of uv, or None where that is not there."""
        tool = self.job.plan.tool
        path = self.job.kept / tool.file if tool else None
        if path is None or not path.is_file() or digest_of(path) != tool.sha256:
            return None
        name = "uv.exe" if sys.platform == "win32" else "uv"
        target = self.job.folder / "uv" / name
        with zipfile.ZipFile(path) as archive:
            inner = next((entry for entry in archive.namelist() if entry.endswith(f".data/scripts/{name}")), None)
            if inner is None:
                return None
            target.parent.mkdir(exist_ok=True)
            part = target.with_name(name + ".part")
            with archive.open(inner) as packed, open(part, "wb") as stream:
                shutil.copyfileobj(packed, stream)
        part.chmod(0o755)
        part.replace(target)
        return target

    # The environment.

    def _fill(self, uv: Path | None, wheels: list[Wheel]) -> None:
        """A fresh environment with the wheels in it, by uv, or by venv and pip where uv does not run."""
        for tool in [uv, None] if uv else [None]:
            self._remove_old()
            if self._made(tool) and self._installed(tool, wheels):
                return
            self._check_room()
        raise BridgeError("The packages could not be unpacked; Copy Diagnostics holds what the installer said.")

    def _check_room(self) -> None:
        """Say so where it was the disk that was full, whatever a program made of it."""
        if self._programs.out_of_room():
            raise BridgeError(sentence_of(OSError(errno.ENOSPC, "full"), self.job.folder))

    def _remove_old(self) -> None:
        try:
            folders.remove_environment(self.job.environment)
        except OSError as error:
            sentence = "The old backend is still in use; stop it, close other Blenders and try again."
            raise BridgeError(sentence) from error

    def _made(self, uv: Path | None) -> bool:
        job = self.job
        by_uv = [str(uv), "venv", "--no-project", "--no-python-downloads", "--python", str(job.base)]
        command = by_uv if uv else [str(job.base), "-I", "-m", "venv", "--without-pip"]
        return self._programs.run([*command, str(job.environment)])

    def _installed(self, uv: Path | None, wheels: list[Wheel]) -> bool:
        environment = self.job.environment
        python = folders.interpreter_in(environment)
        listing = environment / "requirements.txt"
        lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels]
        listing.write_text("".join(lines), encoding="utf-8")
        # The backend writes no byte code (-B), so that it is made now: torch starts in half of the time with it.
        by_uv = [str(uv), "pip", "install", "--compile-bytecode", "--python", str(python)]
        command = by_uv if uv else [*pip(python), "install", "--no-input", "--disable-pip-version-check"]
        command += ["--no-index", "--no-deps", "--find-links", str(self.job.kept), "--only-binary", ":all:"]
        expected = max(sum(unpacked(wheel) for wheel in wheels), 1)
        text = f"Unpacking {len(wheels)} packages"

        def look() -> None:
            written = max(folders.size_of(environment), folders.size_of(self._programs.cache))
            self._say(DOWNLOAD + (UNPACK - DOWNLOAD) * min(written / expected, 1.0), text)

        self._say(DOWNLOAD, text)
        return self._programs.run([*command, "--require-hashes", "-r", str(listing)], look)

    # The end.

    def _ask_doctor(self) -> Finding:
        self._say(UNPACK, "Checking what was installed")
        check = Check(str(self.job.environment), self.job.root, FIRST_START)
        while check.poll() is None:
            if self._cancelled.wait(TICK):
                check.cancel()
                raise Cancelled
        return check.poll()

    def _facts(self, finding: Finding, wheels: list[Wheel]) -> dict:
        plan = self.job.plan
        return {
            "lock": plan.digest,
            "build": plan.build.key,
            "label": plan.build.label,
            "torch": next((wheel.version for wheel in wheels if wheel.name == "torch"), plan.build.torch),
            "python": finding.facts.get("python"),
            "base": _home(self.job.environment),
            "left_out": self._left_out,
        }

    def _tidy(self, wheels: list[Wheel]) -> None:
        """Remove what the new environment replaces; what is in use stays until the next time."""
        job = self.job
        for environment in folders.environments(job.folder):
            if environment != job.environment:
                with contextlib.suppress(OSError):
                    folders.remove_environment(environment)
        wanted = {wheel.file for wheel in (*job.plan.everything(), *wheels)}
        wanted |= {install_index.LIST} if job.plan.from_index else set()
        for path in job.kept.iterdir():
            if path.name not in wanted:
                with contextlib.suppress(OSError):
                    path.unlink()
        for rest in (self._programs.cache, job.folder / "pip"):
            shutil.rmtree(rest, ignore_errors=True)
        self._say(1.0, "Installed")


def _whole(folder: Path, wheel: Wheel) -> bool:
    """Is the wheel there, by its size? Its content is checked when it is its turn."""
    try:
        return (folder / wheel.file).stat().st_size == wheel.size
    except OSError:
        return False


def _home(environment: Path) -> str:
    """The folder of the Python that an environment was made from."""
    text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    settings = dict(line.partition("=")[::2] for line in text.splitlines())
    return next(value.strip() for name, value in settings.items() if name.strip() == "home")
