"""What is painted on the scan of the open capture, and quick answers about its surface. Nothing here is the truth:
all of it is read again from the mesh or sent again by the backend."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import bpy
import numpy as np

from .document import tree
from .scene import outline, passes, shades
from .scene import scan as scans
from .scene.picking import Hit, Picker
from .window import redraw

CHUNK = 1 << 17  # vertices that one slice colours
MAX_OUTLINED = 1_000_000  # triangles of a scan whose labels are outlined under the pointer


class Canvas:
    """Photo colours, ray casting and the last labels of one scan mesh, kept between ticks.

    Attributes:
        answers: grows whenever other labels are shown, so that what was derived from older ones can be told.
    """

    def __init__(self) -> None:
        self.answers = 0
        self._painting: Iterator[None] | None = None
        self._drop()

    def _drop(self, key: tuple[int, int, int] | None = None) -> None:
        self._key = key
        self._doubted = False
        self._photo: np.ndarray | None = None
        self._grey: np.ndarray | None = None
        self._rgba: np.ndarray | None = None
        self._picker: Picker | None = None
        self._making: threading.Thread | None = None
        self._look: shades.Look | None = None  # as last painted
        self._forget_labels()

    def _forget_labels(self) -> None:
        self._labels: tuple[np.ndarray, np.ndarray] | None = None  # labels and confidence
        self._unwritten = False  # they are not on the mesh yet
        self._uncertainty: np.ndarray | None = None
        self._outline: tuple[object, np.ndarray] = (None, np.zeros((0, 3), np.float32))
        self.answers += 1

    def forget(self) -> None:
        """The scene is being exchanged under us: labels are read again, and the mesh is looked at before it is used."""
        self._painting = None
        self._look = None
        self._doubted = True
        self._forget_labels()

    @property
    def painting(self) -> bool:
        """Is a coat of paint not finished?"""
        return self._painting is not None

    @property
    def unpainted(self) -> bool:
        """Is it unknown what the scan shows?"""
        return self._look is None and self._painting is None

    def keep(self, mesh: bpy.types.Mesh, picker: Picker, photo: np.ndarray) -> None:
        """Use what was made in a thread while the mesh was built. photo: (V, 3) uint8."""
        self._enter(mesh)
        self._picker, self._photo = picker, photo

    # Rays.

    def prepare(self, scan: bpy.types.Object) -> None:
        """Begin to make the picker in a thread, if there is none, so that the first click finds it made."""
        self._enter(scan.data)
        if self._picker is None and self._making is None and len(scan.data.polygons):
            positions, faces = scans.read_positions(scan.data), scans.read_faces(scan.data)
            self._making = threading.Thread(target=self._make, args=(self._key, positions, faces), daemon=True)
            self._making.start()

    def _make(self, key: tuple[int, int, int], positions: np.ndarray, faces: np.ndarray) -> None:
        made = Picker(positions, faces)
        if self._key == key:
            self._picker = made

    def picker(self, scan: bpy.types.Object) -> Picker | None:
        """The picker of the scan's mesh if it is made, in the scan's own space."""
        self._enter(scan.data)
        return self._picker

    def hit(self, scan: bpy.types.Object, start: np.ndarray, direction: np.ndarray) -> Hit | None:
        """Where a ray meets the scan, all in the scan's own space. Waits for the picker."""
        self._wait(scan)
        return self._picker.hit(start, direction) if self._picker is not None else None

    def _wait(self, scan: bpy.types.Object) -> None:
        self.prepare(scan)
        if self._making is not None:
            self._making.join()
            self._making = None

    def voxel(self, scan: bpy.types.Object) -> float:
        """About the size of the voxels that the scan was fused in, metres. Waits for the picker.

        Marching cubes makes triangles whose median side is as long as that.
        """
        self._wait(scan)
        return self._picker.edge if self._picker is not None else 0.01

    # Labels.

    def label_at(self, scan: bpy.types.Object, vertex: int) -> tuple[int, float]:
        """Uid of a vertex's label, 0 for none, and its confidence 0..1."""
        labels, confidence = self._read_labels(scan.data)
        return int(labels[vertex]), float(confidence[vertex]) / 255

    def outline(self, scan: bpy.types.Object, uid: int, look: shades.Look) -> np.ndarray:
        """Ends of line segments (n, 3) float32, two each, around what is shown as a label, in the scan's own space.

        Nothing for a scan of more than `MAX_OUTLINED` triangles, which would take too long.
        """
        labels, _ = self._read_labels(scan.data)
        key = (self._key, self.answers, uid, look.shown.items())
        if self._outline[0] != key:
            found = np.zeros((0, 3), np.float32)
            if uid and self._picker is not None and len(scan.data.polygons) <= MAX_OUTLINED:
                table = look.stands_for() == uid
                inside = table[np.where(labels < len(table), labels, 0)]
                found = outline.around(inside, self._picker.positions, self._picker.faces)
            self._outline = key, found
        return self._outline[1]

    def _read_labels(self, mesh: bpy.types.Mesh) -> tuple[np.ndarray, np.ndarray]:
        self._enter(mesh)
        if self._labels is None:
            self._labels = scans.read_labels(mesh)
        return self._labels

    # Painting.

    def start(self, scan: bpy.types.Object, labels: np.ndarray, confidence: np.ndarray, look: shades.Look) -> None:
        """Show labels (V,) uint16 with confidence (V,) uint8 on the scan, instead of what is being painted."""
        self._enter(scan.data)
        self._forget_labels()
        self._labels, self._unwritten = (labels, confidence), True
        self._painting = self._paint(scan.data, look)

    def recolor(self, scan: bpy.types.Object, look: shades.Look) -> None:
        """Show the labels that there are in another way, without waiting for the backend."""
        self._enter(scan.data)
        if look != self._look:
            self._look = None
            self._painting = self._paint(scan.data, look)

    def show_uncertainty(self, scan: bpy.types.Object, uncertainty: np.ndarray, look: shades.Look) -> None:
        """Take in the uncertainty (V,) uint8 of the labels that there are, and show it if that is wanted."""
        self._enter(scan.data)
        self._uncertainty = uncertainty
        if look.mode == "UNCERTAINTY":
            self._look = None
            self._painting = self._paint(scan.data, look)

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

    def _paint(self, mesh: bpy.types.Mesh, look: shades.Look) -> Iterator[None]:
        labels, confidence = self._read_labels(mesh)
        if self._unwritten:
            scans.write_labels(mesh, labels, confidence)
            self._unwritten = False
            yield
        if look.is_photo or (look.mode != "UNCERTAINTY" and not labels.any()):
            scans.show_colors(mesh, scans.PHOTO)
        else:
            yield from self._color(mesh, look, labels, confidence)
            scans.show_colors(mesh, scans.LABELS)
        self._look = look
        if passes.FACE_LABEL in mesh.attributes:
            yield
            passes.write_face_labels(mesh)

    def _color(
        self, mesh: bpy.types.Mesh, look: shades.Look, labels: np.ndarray, confidence: np.ndarray
    ) -> Iterator[None]:
        count = len(mesh.vertices)
        if self._photo is None:
            self._photo = scans.read_photo(mesh)
            yield
        if self._grey is None:
            self._grey = shades.unlabelled_grey(self._photo)
            yield
        if self._rgba is None:
            self._rgba = np.ones((count, 4), dtype=np.float32)
        strength = confidence
        if look.mode == "UNCERTAINTY":
            strength = self._uncertainty if self._uncertainty is not None else 255 - confidence
        table = look.table()
        for first in range(0, count, CHUNK):
            part = slice(first, first + CHUNK)
            rgb = shades.shade(look, table, labels[part], strength[part], self._photo[part], self._grey[part])
            for channel, values in enumerate(rgb):
                self._rgba[part, channel] = shades.linear(values)
            yield
        scans.write_label_colors(mesh, self._rgba)

    def _enter(self, mesh: bpy.types.Mesh) -> None:
        key = (mesh.session_uid, len(mesh.vertices), len(mesh.loops))
        if self._doubted and key == self._key and self._picker is not None:
            same = np.array_equal(self._picker.positions, scans.read_positions(mesh))
            self._doubted = False
            if not same:
                self._key = None
        if key != self._key:
            self._drop(key)


def label_colors(scene: bpy.types.Scene) -> dict[int, shades.Color]:
    """Uid to sRGB colour of every label of a scene."""
    return {label.uid: tuple(label.color) for label in scene.clickfield.labels}


def look_of(scene: bpy.types.Scene) -> shades.Look:
    """How the person wants to see the labels of a scene."""
    own = scene.clickfield
    visible = {label.uid for label in own.labels if label.visible}
    return shades.Look(
        mode=own.show,
        mix=own.mix if own.show == "MIX" else 1.0,
        colors=label_colors(scene),
        shown=tree.shown_as(own.labels, own.tree_level, own.isolated, visible),
        isolated=any(label.uid == own.isolated for label in own.labels),
    )
