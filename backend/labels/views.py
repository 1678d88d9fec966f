"""Label maps of cameras: the labelled surface seen by a camera, sharpened by photo and sensor where there are some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..captures.capture import Intrinsics
from ..surface.raster import interpolate, nearest_vertex, rasterize
from ..surface.surface import Surface
from .keyframes import FrameTable, nearest_known, scan_of


@dataclass(frozen=True)
class LabelView:
    """What a camera sees of the labelled surface; every map is (H, W)."""

    labels: np.ndarray  # uint16 uids, 0 = unlabelled
    confidence: np.ndarray  # float32 0..1
    depth: np.ndarray  # float32 z-depth in metres, 0 = nothing: of the scan, or of the sensor in a captured frame
    color: np.ndarray  # (H, W, 3) uint8: of the scan, or the photo in a captured frame


def label_view(
    surface: Surface,
    labels: np.ndarray,
    confidence: np.ndarray,
    intrinsics: Intrinsics,
    camera_to_scene: np.ndarray,
    photo: np.ndarray | None = None,
    depth: np.ndarray | None = None,
) -> LabelView:
    """The label map of one camera.

    Args:
        labels, confidence: (V,) per surface vertex.
        photo: (H, W, 3) uint8 of the same camera, if it is a captured frame: see ``keyframes``.
        depth: (H, W) float32 sensor z-depth of the same camera, 0 = none.
    """
    if photo is not None:
        depth = np.zeros(photo.shape[:2], np.float32) if depth is None else depth
        table = scan_of(surface).seen(intrinsics, camera_to_scene, photo, depth, intrinsics)
        return keyframe_view(table, labels, confidence)
    hit = rasterize(surface.vertices, surface.faces, intrinsics, camera_to_scene)
    vertex = nearest_vertex(hit, surface.faces)
    seen = vertex >= 0
    label_map = np.where(seen, labels[vertex], 0).astype(np.uint16)
    sure = np.where(seen, confidence[vertex], 0.0).astype(np.float32)
    color = interpolate(hit, surface.faces, surface.colors.astype(np.float32))
    color = np.clip(np.rint(color), 0, 255).astype(np.uint8)
    label_map, sure = nearest_known(label_map, sure, ~seen)
    return LabelView(label_map, sure, hit.depth, color)


def keyframe_view(table: FrameTable, labels: np.ndarray, confidence: np.ndarray) -> LabelView:
    """The label map of a captured frame, for labels and confidence (V,) of the surface's vertices."""
    found, sure = table.read(labels, confidence)
    return LabelView(found, sure, table.depth, table.photo)
