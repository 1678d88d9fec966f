"""Files for a backend that shares no folder with Blender: which belong to a capture, what they hold, their bytes.

Everything that touches a disk runs in a thread of its own; the main thread polls. No bpy.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import queue
import random
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

CHUNK = 1 << 20  # bytes of one request
HEAD = 1 << 16  # bytes at the beginning of a file by which two are compared
SAMPLES = 24  # files that are compared; the shortest ones, which say how the others are read, are among them
READ_AHEAD = 8  # chunks
MAX_FILES = 100_000
LEVELS = 3  # folders above a capture whose names some formats use, and where calibrations may lie
ABOVE = (
    *("camera-intrinsics*.txt", "intrinsics.txt", "cam_params.json", "info_semantic.json"),
    *("scannetv2-labels.combined.tsv", "*.pb"),
)
MESHES = (".ply", ".obj", ".glb", ".gltf", ".stl", ".pcd", ".e57")
SINGLE = (*MESHES, ".zip", ".r3d", ".sens", ".mkv", ".bag")  # endings of files that are a capture by themselves
_LIBRARY = re.compile(r"^\s*mtllib\s+(.+?)\s*$", re.MULTILINE)
_PICTURE = re.compile(r"^\s*(?:map_\w+|bump|disp|decal|refl|norm)\s+(?:-\w+\s+[-\d. ]+)*(.+?)\s*$", re.MULTILINE)
_URI = re.compile(r'"uri"\s*:\s*"([^"]+)"')


class Stopped(Exception):
    """Nobody wants the result any more."""


class FilesError(Exception):
    """Files cannot be sent or kept; the text is one sentence for the person."""


@dataclass(frozen=True)
class Parcel:
    """The files that a path stands for.

    ``files``: name relative to ``top``, with / only, and size; ``entry`` is the name of what the person chose.
    ``unreadable``: names of files that are there and cannot be read. ``outside``: names of links that lead out of the
    capture's folder; what they lead to is not part of it and is not sent.
    """

    top: Path
    entry: str
    files: tuple[tuple[str, int], ...]
    unreadable: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)


class Task:
    """A function that runs in a thread. It gets this task, tells it how far it is, and ends when `check` raises."""

    def __init__(self, work: Callable[[Task], object], name: str):
        self.fraction = 0.0
        self.result: object = None
        self.problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[work], name=f"clickfield {name}", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Has it ended, with a result or a problem?"""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Nobody wants it any more. Never blocks."""
        self._stop.set()

    def check(self, fraction: float | None = None) -> None:
        """Called by the work: how far it is. Raises Stopped."""
        if self._stop.is_set():
            raise Stopped
        self.fraction = self.fraction if fraction is None else fraction

    def _run(self, work: Callable[[Task], object]) -> None:
        with contextlib.suppress(Stopped):
            try:
                self.result = work(self)
            except FilesError as error:
                self.problem = str(error)
            except OSError as error:
                self.problem = f"{error.filename or 'A file'} cannot be read ({error.strerror or error})."


def parcel_of(path: Path, root: Path, task: Task) -> Parcel:
    """The files that a capture or mesh consists of.

    Args:
        path: what the person chose: a folder, a file in it, or a capture in one file.
        root: the capture's folder; of a capture in one file, the folder that it is in.

    Raises:
        FilesError: there is nothing, or more than any capture has.
    """
    path, root = Path(os.path.abspath(path)), Path(os.path.abspath(root))
    if not path.exists():
        raise FilesError(f"There is no file or folder {path}.")
    above = [place for place in list(root.parents)[:LEVELS] if place.name]
    top = above[-1].parent if above else root.parent
    single = path.is_file() and path.suffix.lower() in SINGLE
    found, outside = (_beside(path), []) if single else _inside(root, task)
    if not single:
        found = [*found, *(file for place in above for file in _calibrations(place))]
    files, unreadable = [], []
    for file in found:
        name = file.relative_to(top).as_posix()
        if os.access(file, os.R_OK):
            files.append((name, file.stat().st_size))
        else:
            unreadable.append(name)
    if not files:
        raise FilesError(f"{path.name} is empty or cannot be read; choose the folder of an RGB-D capture.")
    names = tuple(link.relative_to(root).as_posix() for link in outside)
    return Parcel(top, path.relative_to(top).as_posix(), tuple(sorted(files)), tuple(unreadable), names)


def _inside(root: Path, task: Task) -> tuple[list[Path], list[Path]]:
    """All files below a folder, hidden ones left out as everywhere, links followed; and the links that lead out."""
    found: list[Path] = []
    outside: list[Path] = []
    places: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    looked = 0
    while places:
        place, way = places.pop()
        real = os.path.realpath(place)
        if real in way:  # a link that leads in a circle
            continue
        looked += 1
        task.check()
        for entry in os.scandir(place):
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_symlink() and not _stays(entry.path, root):
                outside.append(Path(entry.path))
            elif entry.is_dir():
                places.append((Path(entry.path), (*way, real)))
            elif entry.is_file():
                found.append(Path(entry.path))
        if len(found) + looked > MAX_FILES:
            sentence = f"{root} has more than {MAX_FILES:,} files; choose the capture's own folder."
            raise FilesError(sentence)
    return found, outside


def _stays(link: str | Path, folder: Path) -> bool:
    """Does what a link leads to lie in a folder?"""
    return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(folder))


def _calibrations(place: Path) -> list[Path]:
    try:
        entries = list(os.scandir(place))
    except OSError:
        return []
    return [
        Path(entry.path)
        for entry in entries
        if any(fnmatch.fnmatch(entry.name.lower(), known) for known in ABOVE)
        and entry.is_file()
        and _stays(entry.path, place)
    ]


def _beside(path: Path) -> list[Path]:
    """A capture or mesh in one file, with the files that belong to it: materials, textures, true labels."""
    names = []
    if path.suffix.lower() == ".obj":
        libraries = _LIBRARY.findall(_text(path))
        names = [*libraries, *(name for one in libraries for name in _PICTURE.findall(_text(path.parent / one)))]
    elif path.suffix.lower() == ".gltf":
        names = [unquote(name) for name in _URI.findall(_text(path)) if not name.startswith("data:")]
    elif path.suffix.lower() == ".ply":
        stem = path.name.split(".")[0].split("_vh_clean")[0]
        names = [entry.name for entry in os.scandir(path.parent) if _of_scan(entry.name, stem)]
    folder = path.parent.resolve()
    beside = (os.path.normpath(path.parent / name.replace("\\", "/")) for name in names)
    found = map(Path, dict.fromkeys(beside))
    return [path, *(one for one in found if one != path and one.is_file() and one.resolve().is_relative_to(folder))]


def _of_scan(name: str, stem: str) -> bool:
    """Is this what belongs to a scan: its labels, instances or segments?"""
    return name == "label.ply" or (name.startswith(stem) and name.endswith((".labels.ply", ".json")))


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            return stream.read(64 << 20).decode("utf-8", errors="replace")
    except OSError:
        return ""


def samples(parcel: Parcel) -> list[list]:
    """``[name, bytes, SHA-256 of the beginning]`` of some files, by which the other side says whether it has them."""
    by_size = sorted(parcel.files, key=lambda file: file[1])
    rest = by_size[SAMPLES // 2 :]
    chosen = by_size[: SAMPLES // 2] + random.sample(rest, min(len(rest), SAMPLES // 2))
    found = []
    for name, size in chosen:
        with open(parcel.top / name, "rb") as stream:
            found.append([name, size, hashlib.sha256(stream.read(HEAD)).hexdigest()])
    return found


_known: dict[tuple[str, int, int], str] = {}  # hashes by path, size and time of change, for this Blender


def hashed(parcel: Parcel, task: Task) -> list[list]:
    """``[name, bytes, SHA-256]`` of every file. Raises FilesError for one that is being changed."""
    found, done = [], 0
    for name, size in parcel.files:
        path = parcel.top / name
        status = path.stat()
        key = str(path), status.st_size, status.st_mtime_ns
        if key not in _known:
            digest = hashlib.sha256()
            for data in _chunks(path, 0):
                digest.update(data)
                task.check(min((done := done + len(data)) / max(parcel.total, 1), 1.0))
            _known[key] = digest.hexdigest()
        if status.st_size != size:
            raise FilesError(f"{path} is being changed; try again when it is complete.")
        found.append([name, size, _known[key]])
    return found


def _chunks(path: Path, offset: int) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        stream.seek(offset)
        while data := stream.read(CHUNK):
            yield data


class Reading(Task):
    """Reads pieces of files ahead of being sent.

    Args:
        pieces: (path, digest, size, bytes that are there already) of each.
    """

    def __init__(self, pieces: list[tuple[Path, str, int, int]]):
        self._ahead: queue.Queue[tuple[str, int, bytes]] = queue.Queue(READ_AHEAD)
        super().__init__(lambda task: self._read(pieces), "reading")

    def next(self) -> tuple[str, int, bytes] | None:
        """Digest, offset and bytes of the next chunk; None when none is ready. Never blocks."""
        with contextlib.suppress(queue.Empty):
            return self._ahead.get_nowait()
        return None

    @property
    def over(self) -> bool:
        """Has everything been read and taken?"""
        return self.done and self._ahead.empty()

    def _read(self, pieces: list[tuple[Path, str, int, int]]) -> None:
        for path, digest, size, offset in pieces:
            for data in _chunks(path, offset):
                self._put((digest, offset, data[: size - offset]))
                offset += len(data)
                if offset >= size:
                    break
            if offset < size:
                raise FilesError(f"{path} was changed while it was sent; try again when it is complete.")

    def _put(self, chunk: tuple[str, int, bytes]) -> None:
        while True:
            self.check()
            with contextlib.suppress(queue.Full):
                self._ahead.put(chunk, timeout=0.1)
                return
