"""Zip archives as captures: checked before anything is written, unpacked into the cache, never beside the archive."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from backend.captures.scratch import Scratch
from backend.errors import UserError

MAX_ENTRIES = 500_000
MAX_TOTAL = 256 << 30  # bytes
MAX_RATIO = 200  # times that a member may be larger than it is packed; depth images reach about 30
SMALL = 64 << 20  # bytes below which the ratio does not matter: a text of zeros packs well
MAX_NAME = 240  # characters of one part of a path
CHUNK = 1 << 20
SPARE = 256 << 20  # bytes that stay free on the disk
IGNORED = ("__MACOSX",)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, by its content."""
    try:
        return zipfile.is_zipfile(path)
    except OSError:
        return False


def unpacked(path: Path, scratch: Scratch) -> Path:
    """The folder with a zip archive's files.

    Raises:
        UserError: damaged, encrypted, too large, or with paths or links that lead out of the folder.
    """

    def fill(folder: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                members = _checked(path, archive)
                free = shutil.disk_usage(folder).free - SPARE
                if sum(member.file_size for member, _ in members) > free:
                    raise UserError("disk_full", f"There is not enough space in the cache to unpack {path.name}.")
                for index, (member, place) in enumerate(members):
                    if index % 16 == 0:
                        scratch.progress(index / len(members), f"Unpacking {path.name}")
                    _extract(archive, member, folder / place)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise  # of the disk; a damaged index leads to places before the archive's beginning
            sentence = f"The archive {path.name} is damaged or cut off; copy or export it again."
            raise UserError("bad_archive", sentence, repr(error)) from error

    return scratch.folder(path, "zip", fill)


def _checked(path: Path, archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The files of an archive and where each goes below the folder."""
    found, taken = [], set()
    members = archive.infolist()
    if len(members) > MAX_ENTRIES or sum(member.file_size for member in members) > MAX_TOTAL:
        raise UserError(
            "bad_archive", f"The archive {path.name} claims to hold more than any capture; unpack it first."
        )
    for member in members:
        place = _place(member.filename)
        if place is None or stat.S_ISLNK(member.external_attr >> 16):
            sentence = f"The archive {path.name} has a path that leads out of its folder, so it was not unpacked."
            raise UserError("bad_archive", sentence, repr(member.filename[:200]))
        if member.is_dir() or any(part in IGNORED or part.startswith(".") for part in place.parts):
            continue
        if member.flag_bits & 1:
            raise UserError("bad_archive", f"The archive {path.name} is encrypted; unpack it and open the folder.")
        if member.file_size > SMALL and member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise UserError("bad_archive", f"The archive {path.name} unpacks to an absurd size, so it was left alone.")
        if str(place).lower() in taken:
            raise UserError("bad_archive", f"The archive {path.name} holds two files called {str(place)[-100:]}.")
        taken.add(str(place).lower())
        found.append((member, place))
    if not found:
        raise UserError("bad_archive", f"The archive {path.name} is empty.")
    return found


def _place(name: str) -> PurePosixPath | None:
    """Where a member may go, relative to the folder; None where its name leads out of it."""
    plain = name.replace("\\", "/")
    place = PurePosixPath(plain)
    bad = place.is_absolute() or not place.parts or "\0" in plain or ":" in plain
    bad = bad or any(part == ".." or len(part) > MAX_NAME for part in place.parts)
    return None if bad else place


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """One file, never more bytes than the archive's index promised."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as source, open(target, "wb") as out:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > member.file_size:
                raise zipfile.BadZipFile("a member is longer than the index says")
            out.write(chunk)
    if written != member.file_size:
        raise zipfile.BadZipFile("a member is shorter than the index says")
