"""ScanNet's exported folder: ``color/ depth/ pose/ intrinsic/``, also below ``frames/``.

Sources: ScanNet's ``README.md`` and ``SensReader/python/SensorData.py``. Poses are camera-to-world with OpenCV axes,
all -inf where tracking was lost; depth is in millimetres, aligned with colour but with intrinsics of its own; the
world is Z-up. File names are not zero padded.
"""

from __future__ import annotations

from pathlib import Path

from backend.captures import folders
from backend.captures.common import Entry, Lens, Recording, child, lens_from_matrix, read_matrix
from backend.captures.lens import color_lens
from backend.errors import UserError

FORMAT = "ScanNet folder"


def find(folder: Path) -> Path | None:
    """The folder that holds ``color`` and ``intrinsic``: this one or its ``frames``."""
    for root in (folder, folders.folder(folder, "frames")):
        if root and folders.folder(root, "intrinsic") and folders.folder(root, "color", "depth", "pose"):
            return root
    return None


def read(root: Path) -> Recording:
    """Read a ScanNet folder. Raises UserError when colour, depth, poses or intrinsics are missing altogether."""
    colors, depths = folders.color_images(root), folders.depth_images(root)
    found = folders.folder(root, *folders.POSE_NAMES)
    if found is None:
        raise UserError("no_poses", f"The capture {root.name} has no folder called pose; Clickfield needs poses.")
    poses = folders.pose_folder(found, colors)
    lens, depth_lens, notes = _lenses(root, folders.image_size(colors))
    pairs = folders.match(colors, depths, "depth images")
    entries = [
        Entry(color.stem, color, depth, pose, lens, depth_lens)
        for color, depth, pose in zip(colors, pairs, poses, strict=True)
    ]
    name = root.parent.name if root.name.lower() == "frames" else root.name
    return Recording(FORMAT, name, root, entries, encoding="mm", up="+z", notes=notes)


def _lenses(root: Path, size: tuple[int, int] | None) -> tuple[Lens, Lens | None, list[str]]:
    intrinsic = folders.folder(root, "intrinsic")
    color = child(intrinsic, "intrinsic_color.txt") if intrinsic else None
    depth = child(intrinsic, "intrinsic_depth.txt") if intrinsic else None
    if color is None:
        sentence = f"The capture {root.name} has no file intrinsic/intrinsic_color.txt; export its intrinsics too."
        raise UserError("no_intrinsics", sentence)
    depth_lens = lens_from_matrix(read_matrix(depth), depth.name) if depth else None
    lens, notes = color_lens(lens_from_matrix(read_matrix(color), color.name), depth_lens, size)
    return lens, depth_lens, notes
