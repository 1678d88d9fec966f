"""From labels on the scan to label maps of frames, prepared once per frame so that an evaluation costs a gather."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..captures.capture import Capture, Frame
from ..surface.raster import nearest_vertex, rasterize
from ..surface.surface import Surface
from .truth import Truth


class Readout:
    """Which vertex of the scan each pixel of a capture's frames shows.

    A pixel without scan behind it takes the vertex of the nearest pixel that has one, as the label maps do that the
    product writes.

    Args:
        known: what ``vertex`` found on an earlier day for the same scan, by frame.
    """

    def __init__(self, capture: Capture, surface: Surface, known: dict[str, np.ndarray] | None = None):
        self._capture, self._surface = capture, surface
        self._vertex: dict[str, np.ndarray | None] = dict(known or {})

    def vertex(self, frame: Frame) -> np.ndarray | None:
        """(H, W) int32 vertex of each pixel; None when the frame shows nothing of the scan."""
        if frame.name not in self._vertex:
            surface = self._surface
            hit = rasterize(surface.vertices, surface.faces, frame.intrinsics, self._capture.camera_to_scene(frame))
            vertex = nearest_vertex(hit, surface.faces)
            seen = vertex >= 0
            if not seen.any():
                self._vertex[frame.name] = None
            else:
                y, x = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
                self._vertex[frame.name] = vertex[y, x]
        return self._vertex[frame.name]

    def look(self, frame: Frame, per_vertex: np.ndarray) -> np.ndarray:
        """(H, W) the values (V,) that the frame's pixels show; 0 where it shows nothing."""
        vertex = self.vertex(frame)
        if vertex is None:
            return np.zeros((frame.intrinsics.height, frame.intrinsics.width), per_vertex.dtype)
        return per_vertex[vertex]

    def truth(self, frames: Iterable[Frame], truth: Truth) -> np.ndarray:
        """(V,) uint16: what most pixels of the frames say about each vertex; the nearest vertex's where none shows it.

        The labels of a perfect engine on this scan, as far as views can tell: their score is the scan's ceiling.
        """
        votes: dict[int, np.ndarray] = {}
        count = len(self._surface.vertices)
        for frame in frames:
            vertex = self.vertex(frame)
            if vertex is None or frame.name not in truth:
                continue
            labels = truth.of(frame.name)
            for uid in np.unique(labels[labels > 0]).tolist():
                votes[uid] = votes.get(uid, 0) + np.bincount(vertex[labels == uid], minlength=count)
        if not votes:
            return np.zeros(count, np.uint16)
        uids = np.array(sorted(votes), np.uint16)
        counts = np.stack([votes[uid] for uid in uids.tolist()])
        labels, shown = uids[counts.argmax(axis=0)], counts.max(axis=0) > 0
        points = self._surface.vertices
        labels[~shown] = labels[shown][cKDTree(points[shown]).query(points[~shown])[1]]
        return labels
