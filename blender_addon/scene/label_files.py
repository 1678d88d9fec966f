"""Label renders as files: a stored label layer read back as maps, PNGs of the maps, and the tables beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import legend, shades
from .passes import INSTANCE_AOV, LABEL_AOV, PHOTO_AOV, PassError, level_aov
from .pixels import write_png

DEPTH_UNIT = 1e-3  # metres of a step in depth pictures
FARTHEST = 65_535


@dataclass(frozen=True)
class LabelRender:
    """What one camera sees; every map has its top row first."""

    labels: np.ndarray  # (H, W) uint16 uid of the face at the pixel's centre, 0 = unlabelled or nothing
    instances: np.ndarray  # (H, W) uint16 number within the label, 0 = none
    photo: np.ndarray  # (H, W, 3) uint8 sRGB
    depth: np.ndarray  # (H, W) float32 distance along the view in metres, 0 = nothing
    levels: Mapping[int, np.ndarray] = field(default_factory=dict)  # (H, W) uint16 by level of the tree


def unpacked(channels: Mapping[str, np.ndarray]) -> LabelRender:
    """Channels of a stored label layer as maps."""
    by_pass = {name.partition(".")[2]: array for name, array in channels.items()}

    def ids(name: str) -> np.ndarray:
        return np.rint(by_pass.get(f"{name}.X", by_pass.get(f"{name}.V"))).astype(np.uint16)

    depth = by_pass["Depth.Z"].astype(np.float32)
    linear = np.stack([by_pass[f"{PHOTO_AOV}.{channel}"] for channel in "RGB"], axis=-1)
    seen = by_pass["Combined.A"] > 0
    found = {}
    while any(name.startswith(f"{level_aov(len(found) + 1)}.") for name in by_pass):
        found[len(found) + 1] = ids(level_aov(len(found) + 1))
    return LabelRender(ids(LABEL_AOV), ids(INSTANCE_AOV), _srgb(linear), np.where(seen, depth, 0.0), found)


def _srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def write_render(made: LabelRender, colored: np.ndarray, folder: Path, name: str, *, photo: bool) -> None:
    """Write the PNGs of one picture.

    Args:
        colored: (H, W, 3) uint8 for ``label_colors``. photo: whether ``images`` gets the scan's own colours.

    Raises:
        PassError: the folder cannot be written.
    """
    pictures = {
        "labels": made.labels,
        "instances": made.instances,
        "label_colors": colored,
        "depth": np.where(made.depth / DEPTH_UNIT > FARTHEST, 0, np.rint(made.depth / DEPTH_UNIT)).astype(np.uint16),
    }
    pictures |= {f"level_{level}": ids for level, ids in made.levels.items()}
    if photo:
        pictures["images"] = made.photo
    for kind, pixels in pictures.items():
        path = folder / kind / f"{name}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, pixels)
        except OSError as error:
            raise unwritable(path, error) from error


def label_colors(made: LabelRender, colors: Mapping[int, tuple[float, float, float]]) -> np.ndarray:
    """(H, W, 3) uint8: labels in their colours over the scan."""
    labels = made.labels.ravel()
    painted = shades.label_colors(labels, np.full(len(labels), 255, np.uint8), made.photo.reshape(-1, 3), colors)
    painted = np.where(made.depth.ravel()[:, None] > 0, painted, 0.0).reshape(made.photo.shape)
    return np.rint(painted * 255).astype(np.uint8)


def draw_legend(picture: np.ndarray, made: LabelRender, scene: bpy.types.Scene) -> None:
    """Draw the names of the labels that are to be seen into a picture (H, W, 3) uint8."""
    present = set(np.flatnonzero(np.bincount(made.labels.ravel())).tolist())
    legend.draw(picture, [(node.name, tuple(node.color)) for node in scene.clickfield.labels if node.uid in present])


def write_tables(scene: bpy.types.Scene, folder: Path, entries: list[dict[str, Any]]) -> None:
    """``classes.json`` with names and tree, and ``transforms.json`` with the cameras, added to those that it has.

    Raises PassError.
    """
    nodes = [
        {
            "uid": node.uid,
            "name": node.name,
            "parent": node.parent,
            "kind": node.kind,
            "thing": node.thing,
            "color": [round(channel, 6) for channel in node.color],
        }
        for node in scene.clickfield.labels
    ]
    classes = {"classes": {str(node["uid"]): node["name"] for node in nodes}, "tree": nodes}
    frames = {entry["file_path"]: entry for entry in (*_frames_there(folder), *entries)}
    frames = [frames[path] for path in sorted(frames)]
    lenses = {"camera_model": "PINHOLE", "integer_depth_scale": DEPTH_UNIT, "frames": frames}
    for name, data in (("classes.json", classes), ("transforms.json", lenses)):
        if not data.get("frames", True):
            continue
        path = folder / name
        temporary = path.with_name(f".{name}.part")
        try:
            temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
            os.replace(temporary, path)
        except OSError as error:
            raise unwritable(path, error) from error


def _frames_there(folder: Path) -> list[dict[str, Any]]:
    """Frames of an earlier ``transforms.json`` of this kind whose pictures are still there."""
    try:
        data = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
        frames = data["frames"] if data.get("integer_depth_scale") == DEPTH_UNIT else []
        return [frame for frame in frames if (folder / frame["file_path"]).is_file()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []  # none, or somebody else's


def unwritable(path: Path, error: OSError) -> PassError:
    """The sentence for a file that cannot be written."""
    reason = error.strerror or str(error)
    return PassError(f"The pictures cannot be written to {path.parent} ({reason}); choose another folder.")
