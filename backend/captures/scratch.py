"""Where captures that come in one file are unpacked: a folder of the cache per container, filled whole or not at all.

A folder is called by what it was made from. It counts only with its list of contents, which is written last, and only
while everything on that list is there; otherwise it is made again, so the cache may be emptied at any time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backend import budget
from backend.errors import UserError
from backend.progress import Progress, silent
from backend.protocol import CACHE_FILLING, CACHE_UNPACKED, is_cached
from backend.store import default_root, key_of

CONTENTS = "contents.json"
MAX_CONTENTS = 64 << 20  # bytes of that list
EDGE = 1 << 20  # bytes at both ends of a container that identify it, with its size and time: zips end in their index
STALE = 3600.0  # seconds after which a half-filled folder belongs to a process that died


class Scratch:
    """The folder of unpacked captures.

    Args:
        root: None is ``unpacked`` in the per-user cache.
        progress: told 0..1 and a text while unpacking; may raise Cancelled.
        limit: bytes that all unpacked captures may have together; what was not used for longest goes first, and the
            newest stays in any case. None: by the budget.
    """

    def __init__(
        self,
        root: Path | None = None,
        progress: Progress = silent,
        limit: int | None = None,
    ):
        self.root = Path(root) if root is not None else default_root() / CACHE_UNPACKED
        self.progress = progress
        self._limit = budget.current().unpacked if limit is None else limit

    def folder(self, source: Path, kind: str, fill: Callable[[Path], None]) -> Path:
        """The folder with what ``fill`` makes of a file, from an earlier time if it is still whole.

        Args:
            source: the container.
            kind: what is made of it, part of the folder's name.
            fill: gets an empty folder and writes into it; what it raises is passed on and leaves nothing behind.

        Raises:
            UserError: the container cannot be read, or the cache cannot be written.
        """
        return self.filled(key_of(kind, identity(source)), fill)

    def filled(self, key: str, fill: Callable[[Path], None]) -> Path:
        """The folder under a key, filled unless it is whole from earlier; `folder` says how. Raises UserError."""
        place = self.root / key
        if _whole(place):
            _used(place)
            return place
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=CACHE_FILLING, dir=self.root))
            try:
                fill(made)
                _write_contents(made)
                _take(made, place)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as error:
            raise _unwritable(self.root, error) from error
        self._evict(keep=place)
        return place

    def _evict(self, keep: Path) -> None:
        """Remove the folders that were not used for longest until the limit is kept."""
        found = []
        for place in _folders(self.root):
            used = _when(place)
            half = place.name.startswith(CACHE_FILLING)
            if half and time.time() - used > STALE:
                shutil.rmtree(place, ignore_errors=True)
            elif not half and place != keep:
                found.append((used, _size(place), place))
        total = _size(keep) + sum(size for _, size, _ in found)
        for _, size, place in sorted(found):
            if total <= self._limit:
                break
            shutil.rmtree(place, ignore_errors=True)
            total -= size


def _take(made: Path, place: Path) -> None:
    """Put a filled folder in its place; another process may just have done the same. Raises OSError."""
    shutil.rmtree(place, ignore_errors=True)
    try:
        os.replace(made, place)
    except OSError:
        if not _whole(place):
            raise


def _folders(root: Path) -> list[Path]:
    """What was unpacked, or is being unpacked, and nothing else that may be there."""
    try:
        names = [entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except OSError:  # somebody removed it
        return []
    return [root / name for name in names if is_cached((CACHE_UNPACKED, name))]


def _when(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:  # removed meanwhile
        return time.time()


def identity(source: Path) -> list[str | int]:
    """What tells a file from another one without reading all of it. Raises UserError when it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(source).st_mode):  # opening a pipe would wait for ever
            raise UserError("unreadable", f"The file {source.name} is no plain file; copy the capture again.")
        with open(source, "rb") as stream:
            status = os.fstat(stream.fileno())
            digest = hashlib.sha256(stream.read(EDGE))
            stream.seek(max(0, status.st_size - EDGE))
            digest.update(stream.read(EDGE))
    except OSError as error:
        sentence = f"The file {source.name} cannot be read: {error.strerror or error}."
        raise UserError("unreadable", sentence, str(source)) from error
    return [status.st_size, status.st_mtime_ns, digest.hexdigest()]


def _write_contents(folder: Path) -> None:
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }
    (folder / CONTENTS).write_text(json.dumps(sizes), encoding="utf-8")


def _whole(folder: Path) -> bool:
    try:
        with open(folder / CONTENTS, encoding="utf-8") as stream:
            sizes = json.loads(stream.read(MAX_CONTENTS))
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def _used(folder: Path) -> None:
    try:
        os.utime(folder)
    except OSError:
        return  # a cache that may only be read still serves


def _size(folder: Path) -> int:
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(inside, name)).st_size
            except OSError:  # removed meanwhile
                continue
    return total


def _unwritable(root: Path, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        sentence = f"No space is left for unpacking the capture in {root}; free some or choose another cache folder."
        return UserError("disk_full", sentence, repr(error))
    sentence = f"The capture cannot be unpacked in {root}: {error.strerror or error}."
    return UserError("cache_unwritable", sentence, repr(error))
