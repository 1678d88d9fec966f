"""BOP scenes: ``scene_camera.json`` beside ``rgb`` and ``depth``.

Source: ``docs/bop_datasets_format.md`` and ``inout.py`` of ``thodan/bop_toolkit``. Poses are world-to-camera with
OpenCV axes, translations in millimetres, depth times ``depth_scale`` in millimetres. A scene without camera poses is
placed around one of its objects, which then must not have moved.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from backend.captures import folders
from backend.captures.common import (
    BAD_LENS,
    MAX_TEXT,
    NO_POSE,
    Entry,
    Lens,
    Recording,
    child,
    list_folder,
    list_images,
    listed_numbers,
    number,
    read_json,
)
from backend.errors import UserError

FORMAT = "BOP scene"
COLORS = ("rgb", "gray")


def find(folder: Path) -> Path | None:
    """The folder with ``scene_camera.json``: this one, or the only numbered folder below it that has one."""
    if _listing(folder, "scene_camera"):
        return folder
    inside = [path for path in list_folder(folder) if path.name.isdecimal() and path.is_dir()]
    found = [path for path in inside[:1000] if _listing(path, "scene_camera")]
    return found[0] if len(found) == 1 else None


def read(root: Path) -> Recording:
    """Read a scene.

    Raises:
        UserError: no images, or neither camera poses nor an object that is seen from everywhere.
    """
    cameras = _load(_listing(root, "scene_camera"))
    color_folder, depth_folder = folders.folder(root, *COLORS), folders.folder(root, "depth")
    if color_folder is None or depth_folder is None:
        raise UserError("no_depth", f"The capture {root.name} needs the folders rgb and depth beside its scene_camera.")
    depths = {path.stem: path for path in list_images(depth_folder)}
    masks = _instances(root)
    poses, notes = _poses(root, cameras)
    scales = Counter(number(entry.get("depth_scale")) for entry in cameras.values())
    scale = scales.most_common(1)[0][0] if scales else None
    entries = []
    for color in list_images(color_folder):
        key = str(int(color.stem)) if color.stem.isdecimal() else color.stem
        own = cameras.get(key, {})
        lens = _lens(own.get("cam_K"))
        same = number(own.get("depth_scale")) == scale
        problem = NO_POSE if poses.get(key) is None else None if lens and same else BAD_LENS
        depth = depths.get(color.stem)
        entries.append(Entry(color.stem, color, depth, poses.get(key), lens, problem=problem, instances=masks.get(key)))
    encoding = "mm" if scale in (None, 1.0) else f"scale:{scale / 1000!r}"
    return Recording(FORMAT, root.name, root, entries, encoding, notes=notes)


def _listing(folder: Path, name: str) -> Path | None:
    return child(folder, f"{name}.json", f"{name}.json.gz")


def _load(path: Path) -> dict[str, Any]:
    if path.suffix.lower() != ".gz":
        data = read_json(path)
    else:
        try:
            with gzip.open(path) as stream:
                text = stream.read(MAX_TEXT + 1)
            data = json.loads(text) if len(text) <= MAX_TEXT else None
        except (OSError, EOFError, ValueError, RecursionError) as error:
            raise UserError("bad_json", f"The file {path.name} is damaged; download it again.", repr(error)) from error
    if not isinstance(data, dict):
        raise UserError("bad_json", f"The file {path.name} does not list images by number; download it again.")
    return {key: value for key, value in data.items() if isinstance(value, (dict, list))}


def _poses(root: Path, cameras: dict[str, Any]) -> tuple[dict[str, np.ndarray | None], list[str]]:
    """Camera-to-world by image, and sentences about where they come from."""
    world = {key: _rigid(own, "cam_R_w2c", "cam_t_w2c") for key, own in cameras.items() if isinstance(own, dict)}
    if any(pose is not None for pose in world.values()):
        return {key: None if pose is None else np.linalg.inv(pose) for key, pose in world.items()}, []
    listing = _listing(root, "scene_gt")
    seen: dict[str, dict[int, np.ndarray]] = {}
    for key, objects in (_load(listing) if listing else {}).items():
        for one in objects if isinstance(objects, list) else []:
            pose = _rigid(one, "cam_R_m2c", "cam_t_m2c") if isinstance(one, dict) else None
            if pose is not None and type(one.get("obj_id")) is int:
                seen.setdefault(key, {}).setdefault(one["obj_id"], pose)
    counts = Counter(uid for objects in seen.values() for uid in objects)
    if not counts:
        sentence = f"The scene {root.name} has neither camera poses nor object poses, so its views cannot be joined."
        raise UserError("no_poses", sentence)
    anchor = counts.most_common(1)[0][0]
    note = (
        f"The scene has no camera poses; the views were joined around object {anchor}, which must not have been moved."
    )
    return {key: np.linalg.inv(objects[anchor]) for key, objects in seen.items() if anchor in objects}, [note]


def _rigid(own: dict[str, Any], rotation: str, translation: str) -> np.ndarray | None:
    """(4, 4) in metres, None when the numbers are missing."""
    turn, move = listed_numbers(own.get(rotation), 9), listed_numbers(own.get(translation), 3)
    if turn is None or move is None:
        return None
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.array(turn).reshape(3, 3), np.array(move) / 1000
    return matrix if abs(np.linalg.det(matrix) - 1) < 0.05 else None


def _lens(values: Any) -> Lens | None:
    found = listed_numbers(values, 9)
    if found is None or min(found[0], found[4], found[2], found[5]) <= 0:
        return None
    return Lens(found[0], found[4], found[2], found[5])


def _instances(root: Path) -> dict[str, Path]:
    """Images that have exactly one visible mask carry it as their true instance."""
    found = folders.folder(root, "mask_visib")
    names = Counter(path.stem.split("_")[0] for path in (list_images(found) if found else []))
    single = {stem for stem, count in names.items() if count == 1 and stem.isdecimal()}
    return {str(int(stem)): found / f"{stem}_000000.png" for stem in single}
