"""What is painted on the scan of the open capture, and quick answers about its surface. Nothing here is the truth:
all of it is read again from the mesh or sent again by the backend."""

from __future__ import annotations

import time
from collections.abc import Iterator

import bpy
import numpy as np

from .scene import passes
from .scene import scan as scans
from .scene.picking import Picker
from .window import redraw

Colors = dict[int, tuple[float, float, float]]


class Canvas:
    """Photo colours, ray casting and the last labels of one scan mesh, kept between ticks."""

    def __init__(self) -> None:
        self._key: tuple[int, int, int] | None = None
        self._grey: np.ndarray | None = None
        self._picker: Picker | None = None
        self._painted_colors: Colors = {}
        self._painting: Iterator[None] | None = None

    def forget(self) -> None:
        """The scene was exchanged under us: read everything again."""
        self.__init__()

    @property
    def painting(self) -> bool:
        """Is a coat of paint not finished?"""
        return self._painting is not None

    def keep(self, mesh: bpy.types.Mesh, picker: Picker, grey: np.ndarray) -> None:
        """Use what was made in a thread while the mesh was built."""
        self._enter(mesh)
        self._picker, self._grey = picker, grey

    def pick(self, scan: bpy.types.Object, start: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
        """Where a ray meets the scan, all in the scan's own space."""
        self._enter(scan.data)
        if self._picker is None:
            self._picker = Picker(scans.read_positions(scan.data), scans.read_faces(scan.data))
        return self._picker.cast(start, direction)

    def start(self, scan: bpy.types.Object, labels: np.ndarray, confidence: np.ndarray, colors: Colors) -> None:
        """Show labels (V,) uint16 with confidence (V,) uint8 on the scan, instead of what is being painted."""
        self._painting = self._paint(scan.data, labels, confidence, colors)

    def recolor(self, scan: bpy.types.Object, colors: Colors) -> None:
        """Paint what the scan has in its labels' newest colours, without waiting for the backend."""
        if self._painting is None and colors != self._painted_colors:
            self.start(scan, *scans.read_labels(scan.data), colors)

    def step(self, until: float) -> str:
        """Slices of painting, none begun after ``until`` on the performance counter but at least one.

        Returns:
            A sentence when it cannot go on, otherwise empty.
        """
        if self._painting is None:
            return ""
        problem = ""
        try:
            next(self._painting)
            while time.perf_counter() < until:
                next(self._painting)
            return ""
        except StopIteration:
            redraw()
        except ValueError:
            problem = "The scan's mesh was edited, so the labels do not fit it; undo the edit or import it again."
        except ReferenceError:
            problem = "The scan was deleted while it was painted; undo that or import the capture again."
        self._painting = None
        return problem

    def _paint(
        self, mesh: bpy.types.Mesh, labels: np.ndarray, confidence: np.ndarray, colors: Colors
    ) -> Iterator[None]:
        scans.write_labels(mesh, labels, confidence)
        self._enter(mesh)
        yield
        if self._grey is None:
            self._grey = scans.unlabelled_grey(scans.read_photo(mesh))
            yield
        rgba = scans.shaded_colors(labels, confidence, self._grey, colors)
        yield
        scans.write_label_colors(mesh, rgba)
        if bool(colors) != bool(self._painted_colors):
            scans.show_colors(mesh, scans.LABELS if colors else scans.PHOTO)
        self._painted_colors = dict(colors)
        if passes.FACE_LABEL in mesh.attributes:
            yield
            passes.write_face_labels(mesh)

    def _enter(self, mesh: bpy.types.Mesh) -> None:
        key = (mesh.session_uid, len(mesh.vertices), len(mesh.loops))
        if key != self._key:
            self._key, self._grey, self._picker, self._painted_colors = key, None, None, {}


def label_colors(scene: bpy.types.Scene) -> Colors:
    """Uid to sRGB colour of every label of a scene."""
    return {label.uid: tuple(label.color) for label in scene.clickfield.labels}
