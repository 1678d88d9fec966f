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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backend.captures.common import Progress
from backend.errors import UserError
from backend.store import UNPACKED, default_root, key_of

CONTENTS = "contents.json"
LIMIT = 32 << 30  # bytes of all unpacked captures together; what was not used for longest goes first
EDGE = 1 << 20  # bytes at both ends of a container that identify it, with its size and time: zips end in their index
STALE = 3600.0  # seconds after which a half-filled folder belongs to a process that died


class Scratch:
    """The folder of unpacked captures.

    Args:
        root: None is ``unpacked`` in the per-user cache.
        progress: told 0..1 and a text while unpacking; may raise Cancelled.
        limit: bytes that all unpacked captures may have together; the newest stays in any case.
    """

    def __init__(
        self,
        root: Path | None = None,
        progress: Progress = lambda fraction, text: None,
        limit: int = LIMIT,
    ):
        self.root = Path(root) if root is not None else default_root() / UNPACKED
        self.progress, self._limit = progress, limit

    def folder(self, source: Path, kind: str, fill: Callable[[Path], None]) -> Path:
        """The folder with what ``fill`` makes of a file, from an earlier time if it is still whole.

        Args:
            source: the container.
            kind: what is made of it, part of the folder's name.
            fill: gets an empty folder and writes into it; what it raises is passed on and leaves nothing behind.

        Raises:
            UserError: the container cannot be read, or the cache cannot be written.
        """
        place = self.root / key_of(kind, identity(source))
        if _whole(place):
            _used(place)
            return place
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=".filling-", dir=self.root))
            try:
                fill(made)
                _write_contents(made)
                shutil.rmtree(place, ignore_errors=True)
                os.replace(made, place)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as error:
            raise _unwritable(self.root, error) from error
        self._evict(keep=place)
        return place

    def _evict(self, keep: Path) -> None:
        """Remove the folders that were not used for longest until the limit is kept."""
        found = []
        for place in self.root.iterdir():
            half = place.name.startswith(".filling-")
            if half and time.time() - place.stat().st_mtime > STALE:
                shutil.rmtree(place, ignore_errors=True)
            elif not half and place != keep:
                found.append((place.stat().st_mtime, _size(place), place))
        total = _size(keep) + sum(size for _, size, _ in found)
        for _, size, place in sorted(found):
            if total <= self._limit:
                break
            shutil.rmtree(place, ignore_errors=True)
            total -= size


def identity(source: Path) -> list[str | int]:
    """What tells a file from another one without reading all of it. Raises UserError when it cannot be read."""
    try:
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
        sizes = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _used(folder: Path) -> None:
    try:
        os.utime(folder)
    except OSError:
        return  # a cache that may only be read still serves


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _unwritable(root: Path, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        sentence = f"No space is left for unpacking the capture in {root}; free some or choose another cache folder."
        return UserError("disk_full", sentence, repr(error))
    sentence = f"The capture cannot be unpacked in {root}: {error.strerror or error}."
    return UserError("cache_unwritable", sentence, repr(error))
