"""The 7-Scenes family: ``frame-000000.color.png``, ``.depth.png``, ``.pose.txt``.

7-Scenes itself, 3DMatch (with ``camera-intrinsics.txt`` here or one level up) and dumped ``.sens`` files (with
``info.txt``, BundleFusion). Sources: ``andyzeng/tsdf-fusion-python``; ScanNet's ``SensReader/c++/src/sensorData.h``.
Poses are camera-to-world with OpenCV axes in the first camera's or a volume's world, depth is in millimetres, 65535
means none. Some captures in these names have true label ids beside them, ``.segm.png`` or ``.label.png``.
"""

from __future__ import annotations

import re
from pathlib import Path

from backend.captures import folders
from backend.captures.common import (
    Entry,
    Lens,
    Recording,
    child,
    lens_from_matrix,
    list_folder,
    number,
    numbers,
    read_matrix,
    read_text,
    shaped,
)
from backend.errors import UserError

FORMAT = "7-Scenes folder"
COLOR = re.compile(r"(.+)\.(?:color|rgb)\.(?:png|jpe?g|bmp|ppm)", re.IGNORECASE)
OTHER = re.compile(r"(.+)\.(depth|pose|segm|label)\.(?:png|pgm|tiff?|npy|txt)", re.IGNORECASE)
KINECT_DEPTH = Lens(585.0, 585.0, 320.0, 240.0, 640, 480)
KINECT_COLOR = Lens(525.0, 525.0, 320.0, 240.0, 640, 480)


def find(folder: Path) -> Path | None:
    """The folder itself when it or its sub-folders hold such frames."""
    return folder if _sequences(folder) else None


def _sequences(folder: Path) -> list[Path]:
    entries = list_folder(folder)
    if _has_frames(entries):
        return [folder]
    subfolders = [
        path for path in entries if re.fullmatch(r"seq(?:uence)?[-_ ]?\d+", path.name.lower()) and path.is_dir()
    ]
    return [path for path in subfolders if _has_frames(list_folder(path))]


def _has_frames(entries: list[Path]) -> bool:
    return any(COLOR.fullmatch(path.name) for path in entries) and any(OTHER.fullmatch(path.name) for path in entries)


def read(folder: Path) -> Recording:
    """Read all sequences below a folder. Raises UserError for intrinsics that are missing or make no sense."""
    sequences = _sequences(folder)
    lens, depth_lens, encoding, notes = _calibration(folder, sequences[0])
    entries = []
    for sequence in sequences:
        prefix = f"{sequence.name}_" if len(sequences) > 1 else ""
        entries += _entries(sequence, prefix, lens, depth_lens)
    if len(sequences) > 1:
        notes.append(f"{len(sequences)} sequences were read as one capture; they must share one world.")
    kinect = lens is KINECT_COLOR
    recording = Recording(FORMAT, folder.name, folder, entries, encoding, up=None, invalid=(65535,), notes=notes)
    recording.kinect_baseline = kinect
    if re.fullmatch(r"seq(?:uence)?[-_ ]?\d+", folder.name.lower()) and folder.parent.name:
        recording.name = f"{folder.parent.name} {folder.name}"
    return recording


def _entries(sequence: Path, prefix: str, lens: Lens, depth_lens: Lens | None) -> list[Entry]:
    parts: dict[tuple[str, str], Path] = {}
    stems = []
    for path in list_folder(sequence):
        color, other = COLOR.fullmatch(path.name), OTHER.fullmatch(path.name)
        if color:
            stems.append(color[1])
            parts[color[1], "color"] = path
        elif other:
            parts[other[1], other[2].lower()] = path
    entries = []
    for stem in stems:
        pose = parts.get((stem, "pose"))
        matrix = folders.read_pose(pose) if pose else None
        depth, labels = parts.get((stem, "depth")), parts.get((stem, "segm")) or parts.get((stem, "label"))
        entries.append(Entry(prefix + stem, parts[stem, "color"], depth, matrix, lens, depth_lens, labels=labels))
    return entries


def _calibration(folder: Path, sequence: Path) -> tuple[Lens, Lens | None, str, list[str]]:
    """Lens of colour, lens of depth (None: registered), depth encoding, notes."""
    for place in dict.fromkeys((sequence, folder, folder.parent)):
        info = child(place, "_info.txt", "info.txt") if place != folder.parent else None
        if info and "m_calibrationColorIntrinsic" in (text := read_text(info)):
            return _info(text, info.name)
        color = child(place, "camera-intrinsics.txt", "camera-intrinsics.color.txt", "intrinsics.txt")
        depth = child(place, "camera-intrinsics.depth.txt")
        if color or depth:
            first = color or depth
            lens = lens_from_matrix(read_matrix(first), first.name)
            own = lens_from_matrix(read_matrix(depth), depth.name) if color and depth else None
            return lens, own, "mm", []
    colors = [path for path in list_folder(sequence) if COLOR.fullmatch(path.name)]
    if folders.image_size(colors) not in (None, (640, 480)):
        sentence = f"The capture {folder.name} has no camera-intrinsics.txt; write its 3x3 camera matrix into one."
        raise UserError("no_intrinsics", sentence)
    note = (
        "There is no camera-intrinsics.txt, so the usual Kinect calibration of 7-Scenes was taken and colour was moved "
        "to the depth camera."
    )
    return KINECT_COLOR, KINECT_DEPTH, "mm", [note]


def _info(text: str, name: str) -> tuple[Lens, Lens | None, str, list[str]]:
    values = dict(re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", text, flags=re.MULTILINE))

    def lens(kind: str) -> Lens:
        matrix = shaped(numbers(values.get(f"m_calibration{kind}Intrinsic", ""), name), name)
        size = [numbers(values.get(f"m_{kind.lower()}{side}", "0"), name) for side in ("Width", "Height")]
        width, height = (int(rows[0][0]) if rows and 1 <= rows[0][0] <= 1e6 else 0 for rows in size)
        return lens_from_matrix(matrix, name, width, height)

    shift = numbers(values.get("m_depthShift", "1000"), name)
    per_metre = number(shift[0][0]) if shift else None
    if per_metre is None or per_metre <= 0:
        raise UserError("bad_depth_encoding", f"The value of m_depthShift in {name} is not a positive number.")
    return lens("Color"), lens("Depth"), "mm" if per_metre == 1000 else repr(per_metre), []
