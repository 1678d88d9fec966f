"""The folder of the backend's own environment: what is in it, whether it is whole, and how it is removed.

``<folder>/<digest of the lock>`` is an environment, complete once it holds the marker; ``<folder>/wheels`` keeps what
was downloaded. Only folders that carry the owner's note are ever written to or removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from .states import BridgeError
from .wheels import DIGITS, Plan

MARKER = "clickfield.json"  # in an environment, written last
NOTE = "CLICKFIELD.txt"  # in the folder, written first
NOTE_TEXT = (
    "This folder belongs to the Blender add-on Clickfield: it holds the Python environment of its backend.\n"
    "Remove it with Remove Backend in the add-on's preferences, or by hand while no Blender is running.\n"
)
WHEELS = "wheels"
LOG = "install.log"
BUSY = "installing.lock"
ENVIRONMENT_NAME = re.compile(rf"[0-9a-f]{{{DIGITS}}}")
WINDOWS_PATH = 259  # characters of a path that every program on Windows can open
SPARE = 200_000_000  # bytes that are left free


def default_folder() -> Path:
    """The per-user cache folder for environments: short, for Windows' paths, and of no Blender version."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "clickfield" / "env"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "clickfield-env"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clickfield-env"


def interpreter_in(folder: Path) -> Path:
    """Where a virtual environment keeps its interpreter."""
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


@dataclass(frozen=True)
class Installed:
    """What is in the folder.

    Attributes:
        state: "absent", "broken", "old" (made from another lock, still usable) or "ready".
        sentence: what that means, for the person.
        interpreter: the environment's Python where it is usable.
        facts: what the marker says: build, torch, python, base, lock.
    """

    state: str
    sentence: str
    interpreter: Path | None
    facts: dict


def installed(folder: Path, digest: str) -> Installed:
    """What is in the folder for the lock of this digest. Reads a few small files only."""
    here = [path for path in environments(folder) if path.name == digest]
    older = [path for path in environments(folder) if path.name != digest]
    for path in here + older:
        facts = _marker(path)
        if facts is None:
            continue
        if not interpreter_in(path).is_file() or not Path(str(facts.get("base"))).exists():
            sentence = "The Python that the backend was made from is gone, perhaps with an older Blender; press Repair."
            return Installed("broken", sentence, None, facts)
        torch = f"torch {facts.get('torch')} for the {facts.get('label')}"
        if path.name == digest:
            return Installed("ready", f"Installed: {torch}", interpreter_in(path), facts)
        sentence = f"Installed: {torch}; this version of Clickfield comes with newer packages"
        return Installed("old", sentence, interpreter_in(path), facts)
    if here or older:
        return Installed("broken", "An installation was not finished; press Repair to go on.", None, {})
    return Installed("absent", "Not installed", None, {})


def environments(folder: Path) -> list[Path]:
    """The environments in a folder of ours, finished or not, by age; none in any other folder."""
    try:
        found = [path for path in folder.iterdir() if ENVIRONMENT_NAME.fullmatch(path.name) and path.is_dir()]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True) if owned(folder) else []
    except OSError:
        return []


def owned(folder: Path) -> bool:
    """Does the folder carry our note?"""
    return (folder / NOTE).is_file()


def claim(folder: Path) -> None:
    """Make the folder, or take an empty one, and put our note in it.

    Raises BridgeError when it holds something else or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not owned(folder):
            if any(folder.iterdir()):
                raise BridgeError(f"{folder} holds other files; choose an empty folder for the backend.")
            (folder / NOTE).write_text(NOTE_TEXT, encoding="utf-8")
        (folder / WHEELS).mkdir(exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BridgeError(f"{folder} cannot be written ({reason}); choose another folder for the backend.") from error


def write_marker(environment: Path, facts: dict) -> None:
    """Say that the environment is whole; its last file."""
    part = environment / (MARKER + ".part")
    with open(part, "w", encoding="utf-8") as stream:
        json.dump(facts, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, environment / MARKER)


def _marker(environment: Path) -> dict | None:
    try:
        facts = json.loads((environment / MARKER).read_text(encoding="utf-8"))
        return facts if isinstance(facts, dict) else None
    except (OSError, ValueError):
        return None


def remove_environment(environment: Path) -> None:
    """Delete one environment, its marker first, so that half of it never counts as whole. Raises OSError."""
    (environment / MARKER).unlink(missing_ok=True)
    if environment.exists():
        shutil.rmtree(environment, onerror=_make_writable)


def remove(folder: Path) -> None:
    """Delete the environments, the kept wheels and the log; the folder too when nothing else is in it.

    Raises BridgeError when the folder is none of ours or something in it is in use.
    """
    if not owned(folder):
        raise BridgeError(f"{folder} was not made by Clickfield; nothing was removed.")
    try:
        for environment in environments(folder):
            remove_environment(environment)
        for name in (WHEELS, "uv-cache", "uv", "pip"):
            if (folder / name).exists():
                shutil.rmtree(folder / name, onerror=_make_writable)
        for name in (LOG, LOG + ".1", BUSY):
            (folder / name).unlink(missing_ok=True)
        if [path.name for path in folder.iterdir()] == [NOTE]:
            (folder / NOTE).unlink()
            folder.rmdir()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        sentence = f"Not all of {folder} could be removed ({reason}); close other Blenders and try again."
        raise BridgeError(sentence) from error


def _make_writable(function, path, _error) -> None:
    """For rmtree: a read-only file, which Windows does not delete."""
    os.chmod(path, stat.S_IWRITE | stat.S_IREAD)
    function(path)


def size_of(folder: Path) -> int:
    """Bytes of all files under the folder; links count nothing. Walks the disk: not for the main thread."""
    total = 0
    for root, _folders, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total


def problem(folder: Path, plan: Plan, missing: int, system: str = sys.platform) -> str:
    """Why the plan cannot be installed in the folder, one sentence, or "".

    Args:
        missing: bytes that are still to be downloaded.
    """
    packages = f"{folder}{os.sep}{plan.digest}{os.sep}Lib{os.sep}site-packages{os.sep}"
    if system == "win32" and len(packages) + plan.longest_path > WINDOWS_PATH and not _long_paths():
        most = WINDOWS_PATH - plan.longest_path - (len(packages) - len(str(folder)))
        return f"The path of {folder} is too long for Windows; choose a folder of at most {most} characters."
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    needed = missing + plan.room() + SPARE
    free = shutil.disk_usage(existing).free
    if free < needed:
        return f"{_gigabytes(needed)} are needed in {folder} and {_gigabytes(free)} are free; make room there."
    return ""


def _long_paths() -> bool:
    """Does this Windows allow paths of any length?"""
    if sys.platform != "win32":
        return False
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


@contextlib.contextmanager
def alone(folder: Path):
    """Hold the folder against another Blender's installation; freed by the system if this process dies.

    Gives the descriptor: a program that inherits it holds the folder too, also when this process was killed (POSIX).
    Raises BridgeError when another one holds it.
    """
    with open(folder / BUSY, "a+b") as stream:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BridgeError("Another Blender is installing the backend; wait until it is done.") from error
        yield stream.fileno()
