"""What is painted on the scan of the open capture, and quick answers about its surface. Nothing here is the truth:
all of it is read again from the mesh or sent again by the backend."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np

from .scene import scan as scans
from .scene.picking import Picker

Colors = dict[int, tuple[float, float, float]]


class Canvas:
    """Photo colours, ray casting and the last labels of one scan mesh, kept between ticks."""

    def __init__(self) -> None:
        self._key: tuple[int, int, int] | None = None
        self._photo: np.ndarray | None = None
        self._picker: Picker | None = None
        self._painted_colors: Colors = {}

    def forget(self) -> None:
        """The scene was exchanged under us: read everything again."""
        self.__init__()

    def keep_picker(self, mesh: bpy.types.Mesh, picker: Picker) -> None:
        """Use a picker that was made in a thread while the mesh was built."""
        self._enter(mesh)
        self._picker = picker

    def pick(self, scan: bpy.types.Object, start: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
        """Where a ray meets the scan, all in the scan's own space."""
        self._enter(scan.data)
        if self._picker is None:
            self._picker = Picker(scans.read_positions(scan.data), scans.read_faces(scan.data))
        return self._picker.cast(start, direction)

    def paint(self, scan: bpy.types.Object, labels: np.ndarray, confidence: np.ndarray, colors: Colors) -> None:
        """Show labels (V,) uint16 with confidence (V,) uint8 on the scan. Raises ValueError for another V."""
        self._enter(scan.data)
        if self._photo is None:
            self._photo = scans.read_photo(scan.data)
        scans.paint(scan.data, labels, confidence, self._photo, colors)
        if bool(colors) != bool(self._painted_colors):
            scans.show_colors(scan.data, scans.LABELS if colors else scans.PHOTO)
        self._painted_colors = dict(colors)

    def recolor(self, scan: bpy.types.Object, colors: Colors) -> None:
        """Paint the labels that the scan has in other colours, when they are other colours."""
        if colors != self._painted_colors and len(scan.data.vertices):
            self.paint(scan, *scans.read_labels(scan.data), colors)

    def _enter(self, mesh: bpy.types.Mesh) -> None:
        key = (mesh.session_uid, len(mesh.vertices), len(mesh.loops))
        if key != self._key:
            self.forget()
            self._key = key


def label_colors(scene: bpy.types.Scene) -> Colors:
    """Uid to sRGB colour of every label of a scene."""
    return {label.uid: tuple(label.color) for label in scene.clickfield.labels}


def replace_surface(scan: bpy.types.Object, made: scans.Topology) -> Iterator[None]:
    """Give a scan another surface, in slices."""
    yield from scans.fill(scan.data, made)
