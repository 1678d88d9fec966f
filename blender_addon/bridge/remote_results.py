"""A folder that the backend has made on another machine, written here: whole or not at all. No bpy.

What has come of it stays in the cache until the folder is complete, each file under its hash, so that bringing the same
results again after a lost connection goes on where it ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import shutil
import tempfile
import time
from pathlib import Path

from .remote_files import FilesError, Task

KEPT = hashlib.sha256(b"results on their way").hexdigest()[:32]  # folder beside the unpacked captures
STALE = 86_400.0  # seconds after which what another Blender has left behind is removed
MAX_WAITING = 16  # chunks that wait for the disk
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNFIT = re.compile(r'[\x00-\x1f\\<>:"|?*]' if os.name == "nt" else r"[\x00-\x1f\\]")


def check_target(folder: Path) -> None:
    """Raises FilesError unless nothing is at a place, or an empty folder, and it can be written."""
    try:
        free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FilesError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from error
    if not free:
        raise FilesError(f"{folder} is not an empty folder; choose a new one.")


class Writing(Task):
    """Writes the files of a folder as they come, then puts the folder in its place.

    Args:
        listed: ``[[name, bytes, SHA-256], ...]``, names relative with / only.
        folder: the new folder.
        cache: the folder of unpacked captures in the cache.

    Attributes:
        wanted: (number, offset, bytes) of files that must be asked for, once it is known; what is asked for is given
            to `take` in this order.
    """

    def __init__(self, listed: list[list], folder: Path, cache: Path):
        self.wanted: list[tuple[int, int, int]] | None = None
        self._listed, self._folder = listed, folder
        self._kept = cache / KEPT / str(os.getpid())
        self._chunks: queue.Queue[tuple[int, bytes]] = queue.Queue()
        super().__init__(lambda task: self._write(), "results")

    @property
    def room(self) -> bool:
        """May more be asked for, or has the disk to catch up first?"""
        return self._chunks.qsize() < MAX_WAITING

    def take(self, number: int, data: bytes) -> None:
        """The next bytes of a file. Never blocks."""
        self._chunks.put((number, data))

    def _write(self) -> None:
        try:
            for name, size, digest in self._listed:
                if type(name) is not str or type(size) is not int or size < 0 or not _DIGEST.fullmatch(str(digest)):
                    raise FilesError("The backend's list of results cannot be read; update the backend.")
                if _UNFIT.search(name) or any(part in ("", ".", "..") for part in name.split("/")):
                    raise FilesError(f"The backend made a file called {name[-100:]!r}, which cannot be kept here.")
            check_target(self._folder)
            self._clean()
            self.wanted = self._missing()
            for _ in self.wanted:
                self._receive()
            self._lay_out()
        except OSError as error:
            sentence = f"{self._folder} could not be written ({error.strerror or error}); free some space there."
            raise FilesError(sentence) from error

    def _clean(self) -> None:
        """Remove what Blenders that are gone have left."""
        self._kept.mkdir(parents=True, exist_ok=True)
        for place in self._kept.parent.iterdir():
            with contextlib.suppress(OSError):
                if place != self._kept and time.time() - place.stat().st_mtime > STALE:
                    shutil.rmtree(place, ignore_errors=True)

    def _missing(self) -> list[tuple[int, int, int]]:
        found, seen = [], set()
        for number, (_, size, digest) in enumerate(self._listed):
            part = self._kept / f"{digest}.part"
            if digest in seen or (self._kept / digest).is_file():
                continue
            seen.add(digest)
            have = part.stat().st_size if part.is_file() else 0
            if have >= size:
                part.unlink(missing_ok=True)
                have = 0
            found.append((number, have, size))
        return found

    def _receive(self) -> None:
        """One file, complete."""
        name, size, digest = "", 1, ""
        stream, have = None, 0
        try:
            while have < size:
                number, data = self._next()
                if stream is None:
                    name, size, digest = self._listed[number]
                    stream = open(self._kept / f"{digest}.part", "ab")  # noqa: SIM115  (closed below)
                    have = stream.tell()
                stream.write(data)
                have += len(data)
        finally:
            if stream is not None:
                stream.close()
        part = self._kept / f"{digest}.part"
        with open(part, "rb") as written:
            if hashlib.file_digest(written, "sha256").hexdigest() != digest:
                part.unlink()
                raise FilesError(f"{name} was damaged on its way from the backend's machine; try again.")
        os.replace(part, self._kept / digest)

    def _next(self) -> tuple[int, bytes]:
        while True:
            self.check()
            with contextlib.suppress(queue.Empty):
                return self._chunks.get(timeout=0.1)

    def _lay_out(self) -> None:
        made = Path(tempfile.mkdtemp(prefix=f".{self._folder.name}-", dir=self._folder.parent))
        try:
            for name, _, digest in self._listed:
                target = made.joinpath(*name.split("/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._kept / digest, target)
                self.check()
            if self._folder.exists():
                self._folder.rmdir()
            made.chmod(0o755)
            made.rename(self._folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(self._kept, ignore_errors=True)
