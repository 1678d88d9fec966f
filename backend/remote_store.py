"""Files that come over the stream, for a backend that shares no folder with Blender.

They arrive in pieces, each known by the SHA-256 of its content, and are laid out as a folder of the cache when all are
there: beside the unpacked captures, under the same limit. A file that is there already, from this capture or another
one, is not sent again, and one that was cut off goes on where it ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import budget
from .captures.scratch import Scratch
from .errors import UserError
from .file_lock import FileLock
from .store import key_of

LIST = "sent.json"  # in a laid out folder: [name, bytes, SHA-256, time of change in ns] of each file
INCOMING = key_of("incoming")  # folder of pieces whose capture is not complete yet
SLOTS = 64  # backends that may receive at the same time
MAX_FILES = 100_000
MAX_NAME, MAX_PATH = 240, 2000  # letters of one part of a path, and of all of it
SPARE = 256 << 20  # bytes that stay free on the disk
READ = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_UNFIT = re.compile(r'[\x00-\x1f\\<>:"|?*]' if os.name == "nt" else r"[\x00-\x1f\\]")


@dataclass(frozen=True)
class SentFile:
    """One file of a folder: where it goes, how long it is, and what it holds."""

    name: str  # relative, with / only
    size: int  # bytes
    digest: str  # SHA-256, 64 hexadecimal digits


def checked_list(data: bytes) -> tuple[SentFile, ...]:
    """The files of a folder from JSON, ``[[name, bytes, SHA-256], ...]``, in the order of their names.

    Raises:
        UserError: it is no such list, or a name leads out of the folder or is a device.
    """
    try:
        found = [SentFile(*entry) for entry in json.loads(data)]
        plain = all(type(one.name) is str and type(one.size) is int and type(one.digest) is str for one in found)
        plain = plain and all(one.size >= 0 and _DIGEST.fullmatch(one.digest) for one in found)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError("bad_request", "The list of files that was sent cannot be read.", repr(error)) from error
    if not plain or not found:
        raise UserError("bad_request", "The list of files that was sent is empty or broken.")
    if len(found) > MAX_FILES:
        raise UserError(
            "too_many", f"{len(found)} files are too many for one capture; choose the capture's own folder."
        )
    for one in found:
        check_name(one.name)
    if len({one.name.lower() for one in found}) < len(found):
        raise UserError("bad_name", "Two files of the capture have names that differ in upper and lower case only.")
    if len({(one.digest, one.size) for one in found}) != len({one.digest for one in found}):
        raise UserError("bad_request", "The list of files that was sent contradicts itself.")
    return tuple(sorted(found, key=lambda one: one.name))


def check_name(name: str) -> None:
    """Raises UserError unless a name stays inside the folder that it is put into, on every system."""
    parts = name.split("/")
    bad = len(name) > MAX_PATH or _UNFIT.search(name)
    bad = bad or any(part in ("", ".", "..") or len(part) > MAX_NAME or _DEVICE.fullmatch(part) for part in parts)
    if bad or (os.name == "nt" and any(part[-1] in ". " for part in parts)):
        sentence = f"The file {name[-100:]} cannot be kept on the backend's machine under this name; rename it."
        raise UserError("bad_name", sentence, repr(name[:MAX_PATH]))


class Arrivals:
    """Receives files, and makes folders of them.

    Args:
        root: the folder of unpacked captures.
        limit: bytes that all captures there may have together; None: by the budget.
    """

    def __init__(self, root: Path, limit: int | None = None):
        self._limit = budget.current().unpacked if limit is None else limit
        self._scratch = Scratch(root, limit=self._limit)
        self._offered: dict[str, tuple[SentFile, ...]] = {}
        self._sizes: dict[str, int] = {}  # of the files that are awaited, by digest
        self._hashes: dict[str, tuple[int, hashlib._Hash]] = {}  # of what has come of a file in this process
        self._own: tuple[Path, FileLock] | None = None

    def close(self) -> None:
        """Let another process go on with the pieces that have arrived."""
        if self._own is not None:
            self._own[1].release()
            self._own = None

    def offer(self, files: tuple[SentFile, ...]) -> tuple[str, list[tuple[str, int, int]]]:
        """Which pieces of a folder are still to be sent.

        Returns:
            The folder's key, and for each missing piece its digest, its size, and how many bytes of it are there.

        Raises:
            UserError: it is larger than the limit or the disk.
        """
        key = key_of("sent", [[one.name, one.size, one.digest] for one in files])
        self._offered[key] = files
        if self._intact(self._scratch.root / key):
            return key, []
        kept = self._kept()
        missing = []
        for digest, size in {one.digest: one.size for one in files}.items():
            have = size if digest in kept else self._have(digest, size)
            if have < size:
                missing.append((digest, size, have))
        self._check_room(sum(one.size for one in files), sum(size - have for _, size, have in missing))
        self._sizes = {digest: size for digest, size, _ in missing}
        return key, missing

    def put(self, digest: str, offset: int, data: bytes | memoryview) -> None:
        """Take the next bytes of a piece.

        Raises:
            UserError: nobody awaits them, or the piece is complete and is not what was announced; then it is dropped.
        """
        size, length = self._sizes.get(digest), len(data)
        if size is None or offset < 0 or offset + length > size:
            raise UserError("not_awaited", "A part of a file came that nobody waits for; import the capture again.")
        part = self._slot() / f"{digest}.part"
        try:
            with open(part, "ab") as stream:
                if stream.tell() != offset:
                    sentence = "A part of a file came out of turn; import the capture again to go on."
                    raise UserError("out_of_turn", sentence, f"{stream.tell()} of {digest}, not {offset}")
                stream.write(data)
            done, running = self._hashes.pop(digest, (0, hashlib.sha256()))
            if done != offset:  # begun by a process before
                running = _digest_of(part, offset)
            running.update(data)
            if offset + length < size:
                self._hashes[digest] = offset + length, running
                return
            if running.hexdigest() != digest:
                part.unlink()
                sentence = "A file was changed or damaged while it was sent; import the capture again."
                raise UserError("damaged", sentence, digest)
            os.replace(part, part.with_suffix(""))
        except OSError as error:
            raise self._unwritable(error) from error
        del self._sizes[digest]

    def folder(self, key: str) -> Path:
        """The folder with the files that were offered under a key, laid out. Raises UserError when some are missing."""
        files = self._offered.get(key)
        if files is None:
            raise UserError("not_offered", "The capture has not been sent; import it again.")
        place = self._scratch.root / key
        if not self._intact(place):
            (place / LIST).unlink(missing_ok=True)  # so that it counts as incomplete whatever its sizes say
        kept, used = self._kept(), []
        place = self._scratch.filled(key, lambda made: used.extend(self._lay_out(files, made, kept)))
        for piece in used:
            piece.unlink(missing_ok=True)
        return place

    # Where things are.

    def _slot(self) -> Path:
        """This process's own folder for pieces: the first that no living process has."""
        if self._own is not None and self._own[0].is_dir():
            return self._own[0]
        self.close()
        for number in range(SLOTS):
            place = self._scratch.root / INCOMING / str(number)
            try:
                self._own = place, FileLock(place / ".lock")
                os.utime(place.parent)  # used now: the last to go when space is needed
                return place
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._unwritable(error) from error
        raise UserError(
            "too_many", "Too many Blenders send captures to this machine at the same time; try again later."
        )

    def _have(self, digest: str, size: int) -> int:
        """Bytes of a piece that have arrived."""
        if self._piece(digest, size) is not None:
            return size
        part = self._slot() / f"{digest}.part"
        have = part.stat().st_size if part.is_file() else 0
        if have >= size:  # complete and never checked, or another file's
            part.unlink(missing_ok=True)
            return 0
        return have

    def _piece(self, digest: str, size: int) -> Path | None:
        """A complete piece, whoever received it."""
        found = (self._scratch.root / INCOMING).glob(f"*/{digest}")
        return next((path for path in found if path.stat().st_size == size), None)

    def _kept(self) -> dict[str, Path]:
        """Files of folders that are laid out, by digest."""
        return {
            digest: path
            for listed in self._scratch.root.glob(f"*/{LIST}")
            for path, digest, intact in _listed(listed.parent)
            if intact
        }

    def _intact(self, place: Path) -> bool:
        found = list(_listed(place))
        return bool(found) and all(intact for _, _, intact in found)

    def _lay_out(self, files: tuple[SentFile, ...], made: Path, kept: dict[str, Path]) -> Iterator[Path]:
        """Put every file in its place; gives the pieces that were used and are not needed any more."""
        listed = []
        for one in files:
            target = made.joinpath(*one.name.split("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            piece = None if one.digest in kept else self._piece(one.digest, one.size)
            source = kept.get(one.digest, piece)
            if source is not None:
                _link_or_copy(source, target)
            elif one.size == 0:
                target.touch()
            else:
                sentence = "Parts of the capture are missing on the backend's machine; import it again to send them."
                raise UserError("not_sent", sentence, one.name)
            listed.append([one.name, one.size, one.digest, target.stat().st_mtime_ns])
            if piece is not None:
                yield piece
        (made / LIST).write_text(json.dumps(listed), encoding="ascii")

    def _check_room(self, total: int, missing: int) -> None:
        if total > self._limit:
            sentence = (
                f"The capture has {total >> 20:,} MB; at most {self._limit >> 20:,} MB are sent to another machine. "
                "Copy it there yourself and use it from a folder that has the same path on both machines."
            )
            raise UserError("too_large", sentence)
        place = next(path for path in (self._scratch.root, *self._scratch.root.parents) if path.exists())
        if missing > shutil.disk_usage(place).free - SPARE:
            sentence = f"The backend's machine has no space for the capture ({missing >> 20:,} MB); free some there."
            raise UserError("disk_full", sentence, str(place))

    def _unwritable(self, error: OSError) -> UserError:
        sentence = f"The backend's machine cannot keep what is sent to it ({error.strerror or error})."
        return UserError("cache_unwritable", sentence, str(self._scratch.root))


def _listed(place: Path) -> Iterator[tuple[Path, str, bool]]:
    """Path, digest, and whether it is as it was, for each file of a folder that was laid out.

    The list may have been forged: names that lead out of the folder, also over links, end it.
    """
    try:
        entries = json.loads((place / LIST).read_text(encoding="ascii"))
        real, inside = place.resolve(), {}
        for name, size, digest, changed in entries:
            check_name(name)
            path = place.joinpath(*name.split("/"))
            if path.parent not in inside:
                inside[path.parent] = path.parent.resolve().is_relative_to(real)
            if not inside[path.parent] or type(digest) is not str:
                return
            try:
                status = path.lstat()
            except OSError:
                yield path, digest, False
                continue
            same = stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (size, changed)
            yield path, digest, same
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, UserError):
        return


def _digest_of(path: Path, size: int) -> hashlib._Hash:
    """The running hash of the first bytes of a file."""
    running = hashlib.sha256()
    with open(path, "rb") as stream:
        while size and (data := stream.read(min(size, READ))):
            running.update(data)
            size -= len(data)
    return running


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no such thing on this file system
        shutil.copy2(source, target)
