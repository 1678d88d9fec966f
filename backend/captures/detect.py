"""Opening a capture: which format is it, read it, check it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from backend.captures import (
    archive,
    arkitscenes,
    bop,
    colmap,
    hypersim,
    plain,
    polycam,
    record3d,
    redwood,
    replica,
    scanner_app,
    scannet,
    scenenet,
    sens,
    seven_scenes,
    stray,
    transforms,
    tum,
)
from backend.captures.assemble import assemble
from backend.captures.capture import Capture
from backend.captures.common import ImportOptions, Recording, list_folder, list_images
from backend.captures.links import Bounds
from backend.captures.meshes import find_mesh
from backend.captures.scratch import CONTENTS, Scratch
from backend.errors import UserError
from backend.progress import Progress, part, silent


@dataclass(frozen=True)
class Reader:
    """One format: how it is recognised and read."""

    name: str
    find: Callable[[Path], Path | None]  # folder -> what to read there, None when it is another format
    read: Callable[[Path, Scratch], Recording]  # may unpack into the scratch folder what no image library reads
    opens: Callable[[Path], bool] = lambda path: False  # is this single file, by its content, a capture of this format?


def _in_place(read: Callable[[Path], Recording]) -> Callable[[Path, Scratch], Recording]:
    """A reader whose files can be used where they are."""
    return lambda source, scratch: read(source)


# In the order of testing: special layouts before those that they contain.
READERS = (
    Reader(record3d.FORMAT, record3d.find, record3d.read, record3d.opens),
    Reader(stray.FORMAT, stray.find, stray.read),
    Reader(polycam.FORMAT, polycam.find, _in_place(polycam.read)),
    Reader(scanner_app.FORMAT, scanner_app.find, _in_place(scanner_app.read)),
    Reader(sens.FORMAT, sens.find, sens.read, sens.opens),
    Reader(scannet.FORMAT, scannet.find, _in_place(scannet.read)),
    Reader(seven_scenes.FORMAT, seven_scenes.find, _in_place(seven_scenes.read)),
    Reader(tum.FORMAT, tum.find, _in_place(tum.read)),
    Reader(replica.IMAP, replica.find_imap, _in_place(replica.read_imap)),
    Reader(replica.SEMANTIC, replica.find_semantic, _in_place(replica.read_semantic)),
    Reader(arkitscenes.FORMAT, arkitscenes.find, _in_place(arkitscenes.read)),
    Reader(scenenet.FORMAT, scenenet.find, _in_place(scenenet.read)),
    Reader(hypersim.FORMAT, hypersim.find, _in_place(hypersim.read)),
    Reader(bop.FORMAT, bop.find, _in_place(bop.read)),
    Reader(redwood.FORMAT, redwood.find, _in_place(redwood.read)),
    Reader(transforms.FORMAT, transforms.find, _in_place(transforms.read), transforms.is_transforms),
    Reader(colmap.FORMAT, colmap.find, _in_place(colmap.read)),
    Reader(plain.FORMAT, plain.find, _in_place(plain.read)),
)
MAX_NESTING = 3
DEFAULTS = ImportOptions()


def detect(path: Path, scratch: Scratch | None = None) -> str:
    """The name of a capture's format. Raises UserError when there is none that Clickfield knows."""
    return _recognise(Path(path), scratch or Scratch())[0].name


def is_bare(path: Path) -> bool:
    """Whether a path is a mesh or a cloud, or a folder that holds one and is no RGB-D capture."""
    if find_mesh(path) is None:
        return False
    if path.is_file():
        return True
    try:
        detect(path)
    except UserError:
        return True
    return False


def open_capture(
    path: Path,
    options: ImportOptions = DEFAULTS,
    progress: Progress = silent,
    unpacked: Path | None = None,
) -> Capture:
    """Open an RGB-D capture.

    Args:
        path: a folder, a file in it (``transforms.json``, ``rgb.txt`` and so on), or a capture in one file (a zip
            archive of any of the folders, ``.r3d``, ``.sens``).
        options: which frames, which depth range, which way is up, how depth is encoded.
        progress: called with 0..1 and a short text; may raise Cancelled.
        unpacked: where captures in one file are unpacked; None is the per-user cache.

    Raises:
        UserError: the path or the capture cannot be used; the sentence says why and what to do.
    """
    options = options.checked()
    progress(0.0, "Opening the capture")
    scratch = Scratch(unpacked, part(progress, 0.0, 0.3))
    reader, source, bounds = _recognise(Path(path), scratch)
    with bounds:
        recording = reader.read(source, scratch)
        capture = assemble(recording, options, part(progress, 0.3, 1.0))
    return replace(capture, notes=(*capture.notes, *bounds.notes))


def _recognise(path: Path, scratch: Scratch) -> tuple[Reader, Path, Bounds]:
    """Who reads a path, what it reads, and the folder that it must stay in."""
    path = _existing(path)
    packed = path.is_file() and archive.is_archive(path)
    reader = next((reader for reader in READERS if reader.opens(path)), None) if path.is_file() else None
    if reader is not None:
        return reader, path, Bounds(path.parent, path)
    if path.is_file() and not packed:
        # A file of the capture stands for the folder that it is in: rgb.txt, or a picture one level deeper.
        places = [(place, Bounds(place, path)) for place in (path.parent, path.parent.parent)]
    else:
        top = archive.unpacked(path, scratch) if packed else path
        with Bounds(top) as bounds:
            places = [(place, bounds) for place in _nested(top)]
    for place, bounds in places:
        with bounds:
            for reader in READERS:
                source = reader.find(place)
                if source is not None:
                    return reader, source, bounds
    with bounds:
        raise _unknown(path, [place for place, _ in places])


def _existing(path: Path) -> Path:
    try:
        # A relative path has no name for its folder; links stay as they are.
        path = Path(os.path.abspath(path))
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError("not_found", f"There is no file or folder {path}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise UserError(
            "unreadable", f"The capture {str(path)[-200:]!r} cannot be opened: {reason}.", repr(error)
        ) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe would wait for ever
        raise UserError("unreadable", f"{path} is neither a file nor a folder; choose a capture.")
    return path


def _nested(folder: Path) -> list[Path]:
    """The folder and, as long as one holds nothing but a single sub-folder, what is inside."""
    places = [folder]
    for _ in range(MAX_NESTING):
        entries = list_folder(places[-1])
        entries = [entry for entry in entries if entry.name != CONTENTS]
        if len(entries) != 1 or not entries[0].is_dir():
            break
        places.append(entries[0])
    return places


def _unknown(path: Path, places: list[Path]) -> UserError:
    formats = (
        "transforms.json, 7-Scenes or 3DMatch, TUM RGB-D, ScanNet folders, Redwood, or color, depth and pose folders"
    )
    if find_mesh(path) is not None:
        sentence = f"{path.name} holds a mesh without photos; label it in Blender with File > Import > Scan Mesh."
        return UserError("mesh_only", sentence, formats)
    if path.is_file() and not archive.is_archive(path):
        sentence = f"The file {path.name} is not part of a capture that Clickfield knows; choose the capture's folder."
        return UserError("unknown_format", sentence, formats)
    entries = list_folder(places[-1])
    if not entries:
        return UserError("empty_folder", f"The folder {path.name} is empty; choose the folder of an RGB-D capture.")
    images = list_images(places[-1]) or any(list_images(p) for p in entries[:20] if p.is_dir())
    if images:
        sentence = (
            f"The folder {path.name} has images but no depth or poses in a layout that Clickfield knows: {formats}."
        )
    else:
        sentence = f"The folder {path.name} is not an RGB-D capture in a layout that Clickfield knows: {formats}."
    return UserError("unknown_format", sentence)
