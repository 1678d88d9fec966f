"""What the backend's own Python environment consists of: the lock, and the wheels of it that fit one machine.

The lock (``assets/backend.lock``, JSON, written by ``scripts/lock_backend.py``) names every wheel with its size and
SHA-256, but no place: see ``install_index``. Standard library only, so that the script can use it too.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

DIGITS = 6  # of the lock's digest in the name of the environment's folder; Windows paths are short
SYSTEMS = {"linux": "linux", "win32": "windows", "darwin": "macos"}
ARCHITECTURES = {"amd64": "x86_64", "aarch64": "arm64"}
OLD_LIBC = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
NAMES = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}
PIECE = 1 << 20  # bytes that are read at once
GROWTH, GROWTH_OF_GPU = 4.0, 1.7  # bytes on disk for one of a wheel: Python with byte code, libraries of graphics cards


class LockError(Exception):
    """The lock has nothing for this machine, or cannot be read; the text is a sentence for the person."""


@dataclass(frozen=True)
class Machine:
    """What decides whether a wheel fits: Python (major, minor), system, processor, versions of libc and macOS."""

    python: tuple[int, int]
    system: str  # linux, windows or macos
    architecture: str  # x86_64 or arm64
    libc: tuple[int, int] = (0, 0)
    macos: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return f"{NAMES.get(self.system, self.system)} ({self.architecture}) with Python {_dotted(self.python)}"


def this_machine() -> Machine:
    """The machine and Python that run this."""
    architecture = platform.machine().lower()
    libc = platform.libc_ver()
    return Machine(
        python=sys.version_info[:2],
        system=SYSTEMS.get(sys.platform, sys.platform),
        architecture=ARCHITECTURES.get(architecture, architecture),
        libc=_pair(libc[1]) if libc[0] == "glibc" else (0, 0),
        macos=_pair(platform.mac_ver()[0]),
    )


def fits(file: str, machine: Machine) -> bool:
    """Can a wheel of this file name be installed there? Tags as in the binary distribution format of Python."""
    parts = file.removesuffix(".whl").split("-")
    if not file.endswith(".whl") or len(parts) < 5:
        return False
    pythons, abis, platforms = (part.split(".") for part in parts[-3:])
    return any(_fits_python(python, abi, machine) for python in pythons for abi in abis) and any(
        _fits_platform(tag, machine) for tag in platforms
    )


def _fits_python(python: str, abi: str, machine: Machine) -> bool:
    major, minor = machine.python
    here = f"cp{major}{minor}"
    if python.startswith("cp") and python[2:].isdigit():
        least = (int(python[2]), int(python[3:] or 0))
        stable = abi == "abi3" and least <= (major, minor)
        return stable or (python == here and abi in (here, "none"))
    return python in (f"py{major}", f"py{major}{minor}") and abi == "none"


def _fits_platform(tag: str, machine: Machine) -> bool:
    if tag == "any":
        return True
    if machine.system == "windows":
        return tag == {"x86_64": "win_amd64", "arm64": "win_arm64"}.get(machine.architecture)
    if machine.system == "macos":
        parts = tag.split("_", 3)
        if parts[0] != "macosx" or len(parts) != 4 or parts[3] not in (machine.architecture, "universal2"):
            return False
        return (int(parts[1]), int(parts[2])) <= machine.macos
    head, _, rest = tag.partition("_")
    if head == "manylinux" and rest.count("_") >= 2:
        major, minor, rest = rest.split("_", 2)
        least = (int(major), int(minor))
    elif head in OLD_LIBC:
        least = OLD_LIBC[head]
    else:
        return False
    return ARCHITECTURES.get(rest, rest) == machine.architecture and least <= machine.libc


@dataclass(frozen=True)
class Wheel:
    """One file. ``url`` is where it was found, or ""; ``optional``: Clickfield works without it, a feature does not."""

    name: str
    version: str
    file: str
    url: str = ""
    sha256: str = ""
    size: int = 0
    optional: bool = False


def digest_of(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of a file; ``check`` is called at each piece of it."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while data := stream.read(PIECE):
            digest.update(data)
            check()
    return digest.hexdigest()


def unpacked(wheel: Wheel) -> int:
    """Bytes that a wheel takes when it is installed, about."""
    return int(wheel.size * (GROWTH_OF_GPU if wheel.name.startswith("nvidia-") else GROWTH))


@dataclass(frozen=True)
class Build:
    """One torch for one system: the device that it computes on in words, and how it is found."""

    key: str  # for example linux/cuda
    label: str
    torch: str  # version, with its local part where it is not the one that package indexes hold by default
    backend: str  # where it is not: the name by which uv chooses among torch's builds
    about: int  # bytes to download where the lock does not hold its wheel
    alone: bool  # its wheel brings what it needs; otherwise further packages come with it


@dataclass(frozen=True)
class Plan:
    """What an installation consists of.

    Attributes:
        build: which torch.
        wheels: the locked wheels, required and optional.
        left_out: optional packages for which there is no wheel on this machine.
        tool: the wheel of uv, where there is one.
        from_index: torch's requirement when its wheel is not in the lock and is found by uv; else "".
        digest: names the lock.
    """

    build: Build
    wheels: list[Wheel]
    left_out: list[str]
    tool: Wheel | None
    from_index: str
    digest: str
    longest_path: int

    def special(self) -> bool:
        """Is its torch another one than package indexes hold by default?"""
        return bool(self.build.backend)

    def everything(self) -> list[Wheel]:
        """The wheels and the tool."""
        return [*([self.tool] if self.tool else []), *self.wheels]

    def room(self) -> int:
        """Bytes that the environment takes, about."""
        growth = GROWTH if self.build.key.endswith("/cpu") else GROWTH_OF_GPU
        torch = int(growth * self.build.about) if self.from_index else 0
        return sum(unpacked(wheel) for wheel in self.wheels) + torch

    def size(self) -> int:
        """Bytes to download in all, about."""
        return sum(wheel.size for wheel in self.everything()) + (self.build.about if self.from_index else 0)


@dataclass(frozen=True)
class Lock:
    """The lock as read by ``read_lock``."""

    digest: str
    builds: dict[str, Build]
    packages: list[dict] = field(repr=False)
    longest_path: int  # of a file in any of the wheels

    def plan(self, machine: Machine, kind: str) -> Plan:
        """The installation for one machine; raises LockError when something required has no wheel for it.

        Args:
            kind: cuda, cuda12, rocm, metal or cpu; what the system does not have becomes its only or plain build.
        """
        build = self.builds.get(f"{machine.system}/{kind}") or self.builds.get(f"{machine.system}/cpu")
        build = build or self.builds.get(f"{machine.system}/metal")
        if build is None:
            raise LockError(f"There is no backend for {machine}.")
        chosen: dict[str, Wheel] = {}
        wanted: dict[str, bool] = {}
        for package in self.packages:
            if "builds" in package and build.key not in package["builds"]:
                continue
            name = package["name"]
            wanted[name] = package.get("optional", False)
            file = next((file for file in package["wheels"] if fits(file["file"], machine)), None)
            if file and name not in chosen:
                chosen[name] = Wheel(name, package["version"], optional=wanted[name], **file)
        tool = chosen.pop("uv", None)
        given_up = {"uv", "torch"} if build.backend else {"uv"}
        missing = [name for name, optional in wanted.items() if not optional and name not in {*chosen, *given_up}]
        if missing:
            some = "torch" if "torch" in missing else missing[0]
            raise LockError(f"There is no {some} for {machine}; choose an existing interpreter instead.")
        return Plan(
            build=build,
            wheels=list(chosen.values()),
            left_out=[name for name in wanted if name not in {*chosen, *given_up}],
            tool=tool,
            from_index="" if "torch" in chosen else f"torch=={build.torch}",
            digest=self.digest,
            longest_path=self.longest_path,
        )


def read_lock(path: Path) -> Lock:
    """The lock in a file. Raises LockError when it is not there or is none."""
    try:
        data = path.read_bytes()
        facts = json.loads(data)
        builds = {key: Build(key, **build) for key, build in facts["builds"].items()}
        # A checkout may have other line ends; they are no other lock.
        digest = hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()[:DIGITS]
        return Lock(digest, builds, facts["packages"], facts["longest_path"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LockError("The list of the backend's packages cannot be read; install the add-on again.") from error


def _pair(version: str) -> tuple[int, int]:
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return (numbers[0], numbers[1] if len(numbers) > 1 else 0) if numbers else (0, 0)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
