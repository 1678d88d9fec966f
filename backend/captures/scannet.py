"""ScanNet's exported folder: ``color/ depth/ pose/ intrinsic/``, also below ``frames/``.

Sources: ScanNet's ``README.md`` and ``SensReader/python/SensorData.py``. Poses are camera-to-world with OpenCV axes,
all -inf where tracking was lost; depth is in millimetres, aligned with colour but with intrinsics of its own; the
world is Z-up. File names are not zero padded.
"""

from __future__ import annotations

from pathlib import Path

from backend.captures import folders
from backend.captures.common import Entry, Lens, Recording, child, lens_from_matrix, read_matrix, read_table
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
    labels, instances = (folders.truth_images(root, colors, name) for name in ("label-filt", "instance-filt"))
    entries = [
        Entry(color.stem, color, depth, pose, lens, depth_lens, labels=label, instances=instance)
        for color, depth, pose, label, instance in zip(colors, pairs, poses, labels, instances, strict=True)
    ]
    name = root.parent.name if root.name.lower() == "frames" else root.name
    recording = Recording(FORMAT, name, root, entries, encoding="mm", up="+z", notes=notes)
    recording.classes = _class_names(root)
    return recording


def _class_names(root: Path) -> dict[int, str]:
    """Names of the raw label ids, from ScanNet's table where it lies beside or above the scene."""
    for place in (root, *list(root.parents)[:3]):
        path = child(place, "scannetv2-labels.combined.tsv")
        if path is not None:
            rows = read_table(path, "\t")
            named = ((row.get("id", ""), row.get("raw_category") or row.get("category", "")) for row in rows)
            return {int(uid): name[:256] for uid, name in named if uid.isdecimal() and len(uid) < 9 and name}
    return {}


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
