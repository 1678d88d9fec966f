"""Label maps of cameras: the labelled surface seen by a camera, sharpened by the photo where there is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab

from ..captures.capture import Intrinsics
from ..surface.raster import interpolate, nearest_vertex, rasterize
from ..surface.surface import Surface

# Joint-bilateral lookup (widths in pixels, Lab units and relative depth).
RADIUS, STRIDE = 3, 2
SIGMA_PHOTO, SIGMA_SURFACE, SIGMA_DEPTH = 5.0, 8.0, 0.04


@dataclass(frozen=True)
class LabelView:
    """What a camera sees of the labelled surface; every map is (H, W)."""

    labels: np.ndarray  # uint16 uids, 0 = unlabelled
    confidence: np.ndarray  # float32 0..1
    depth: np.ndarray  # float32 z-depth in metres, 0 = no surface
    color: np.ndarray  # (H, W, 3) uint8, of the scan


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
        photo: (H, W, 3) uint8 of the same camera, if it is a keyframe: near borders each pixel then takes the label
            of the neighbouring surface that looks like it and lies at its depth.
        depth: (H, W) float32 sensor z-depth of the same camera, 0 = none.
    """
    hit = rasterize(surface.vertices, surface.faces, intrinsics, camera_to_scene)
    vertex = nearest_vertex(hit, surface.faces)
    seen = vertex >= 0
    label_map = np.where(seen, labels[vertex], 0).astype(np.uint16)
    sure = np.where(seen, confidence[vertex], 0.0).astype(np.float32)
    color = interpolate(hit, surface.faces, surface.colors.astype(np.float32))
    color = np.clip(np.rint(color), 0, 255).astype(np.uint8)
    if seen.any():
        if photo is not None:
            label_map = _sharpened(label_map, seen, hit.depth, color, photo, depth)
        label_map, sure = _filled(label_map, sure, seen)
    return LabelView(label_map, sure, hit.depth, color)


def _sharpened(
    labels: np.ndarray,
    seen: np.ndarray,
    surface_depth: np.ndarray,
    surface_color: np.ndarray,
    photo: np.ndarray,
    sensor_depth: np.ndarray | None,
) -> np.ndarray:
    """Joint-bilateral vote of the surface around each pixel near a label border or a hole."""
    window = 2 * RADIUS + 1
    near = ndimage.maximum_filter(labels, window) != ndimage.minimum_filter(labels, window)
    near |= ndimage.minimum_filter(seen, window) != seen
    rows, columns = np.nonzero(near)
    if not len(rows):
        return labels
    height, width = labels.shape
    photo_lab, surface_lab = rgb2lab(photo).astype(np.float32), rgb2lab(surface_color).astype(np.float32)
    own_depth = surface_depth if sensor_depth is None else np.where(sensor_depth > 0, sensor_depth, surface_depth)
    uids, index = np.unique(labels, return_inverse=True)
    index = index.reshape(labels.shape)
    votes = np.zeros((len(rows), len(uids)), np.float32)
    own_lab, own_z = photo_lab[rows, columns], own_depth[rows, columns]
    for dy in range(-RADIUS, RADIUS + 1, STRIDE):
        for dx in range(-RADIUS, RADIUS + 1, STRIDE):
            y, x = np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)
            cost = ((photo_lab[y, x] - own_lab) ** 2).sum(-1) / (2 * SIGMA_PHOTO**2)
            cost += ((surface_lab[y, x] - own_lab) ** 2).sum(-1) / (2 * SIGMA_SURFACE**2)
            gap = (surface_depth[y, x] - own_z) / np.maximum(own_z, 0.1)
            cost += np.where(own_z > 0, gap**2 / (2 * SIGMA_DEPTH**2), 0.0)
            votes[np.arange(len(rows)), index[y, x]] += np.where(seen[y, x], np.exp(-np.minimum(cost, 60.0)), 0.0)
    best = uids[votes.argmax(1)]
    result = labels.copy()
    result[rows, columns] = np.where(votes.max(1) > 1e-6, best, labels[rows, columns])
    return result


def _filled(labels: np.ndarray, sure: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels without surface take the nearest pixel's label, at a confidence that fades with the distance."""
    if seen.all():
        return labels, sure
    distance, (y, x) = ndimage.distance_transform_edt(~seen, return_indices=True)
    fade = np.exp(-distance / 40.0).astype(np.float32)
    known = labels != 0
    return np.where(known & ~seen, labels, labels[y, x]), np.where(seen, sure, sure[y, x] * fade)
