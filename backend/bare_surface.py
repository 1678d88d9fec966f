"""A scan without photos: a mesh or a cloud from a file, or a mesh of the scene in Blender.

It is labelled like a capture, with what needs pictures left out: superpoints come from shape and vertex colours, marks
are points, questions are asked about places instead of pixels. No field is trained: it would learn geometry that is
exact already, and where the two were compared a taught field was no better than its teacher on the surface itself. So
the posterior is the settled answer, and novel views show the mesh alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import asking
from .captures.capture import Capture, Frame, Intrinsics
from .captures.detect import ImportOptions, detect
from .captures.meshes import ScannedMesh, find_mesh, open_mesh, scanned_arrays
from .errors import UserError
from .labelling import Labelling, labelling
from .labels.engine import LabelEngine
from .labels.placement import vertices_within
from .labels.queries import draw_query
from .labels.tree import LabelTree
from .labels.views import LabelView, label_view
from .protocol import Array
from .scene_cache import SceneCache
from .surface.clouds import mesh_points
from .surface.mesh import vertex_normals
from .surface.superpoints import segment
from .surface.surface import Surface
from .timing import Timed
from .workspace import SLICE_SECONDS, Progress, Workspace

SETTLED_TEXT = "Labels are settled: a mesh without photos needs no training"
NO_FRAMES = "This scan is a mesh without photos, so it has no keyframes; mark it on its surface."


def is_bare(path: Path) -> bool:
    """Whether a path is a mesh or a cloud, or a folder that holds one and is no RGB-D capture."""
    if find_mesh(path) is None:
        return False
    if path.is_file():
        return True
    try:
        detect(path)
    except UserError:
        return True
    return False


def surface_of(scanned: ScannedMesh, progress: Progress = lambda fraction, text: None) -> tuple[Surface, int]:
    """The surface that a mesh is, or that a cloud becomes, and how many points were left out as noise.

    Raises UserError, Cancelled.
    """
    if not len(scanned.faces):
        return mesh_points(scanned.vertices, scanned.colors, scanned.normals, progress)
    vertices, faces = scanned.vertices, scanned.faces
    sides = np.linalg.norm(vertices[faces] - vertices[np.roll(faces, -1, axis=1)], axis=-1)
    voxel = float(np.median(sides))
    return Surface(vertices, faces, vertex_normals(vertices, faces), scanned.colors, voxel), 0


def mesh_in_request(params: dict[str, Any], arrays: dict[str, Array]) -> ScannedMesh:
    """The mesh that a request brings: ``positions`` f4 (V, 3), ``faces`` i4 (F, 3), ``colors`` u1 (V, 3) if it has any.

    ``params``: ``name``, and ``as_is`` for a mesh that has been prepared before. Raises UserError.
    """

    def taken(name: str, kind: str) -> np.ndarray:
        dtype, shape, data = arrays.get(name, ("", (), b""))
        if dtype != kind:
            raise UserError("bad_request", f"The request needs an array called {name!r} of type {kind}.")
        return np.frombuffer(data, np.dtype(f"<{kind}")).reshape(shape)

    colors = taken("colors", "u1") if "colors" in arrays else None
    name = str(params.get("name") or "Mesh")[:256]
    return scanned_arrays(taken("positions", "f4"), taken("faces", "i4"), colors, name, not params.get("as_is"))


class BareWorkspace(Workspace):
    """A workspace whose scene has a surface and no frames."""

    def open(
        self, path: Path, options: ImportOptions, progress: Progress, on_capture: Callable[[Capture], None]
    ) -> Surface:
        """Read a mesh or a cloud. Raises UserError, Cancelled."""
        with Timed(self.seconds, "read"):
            scanned = open_mesh(find_mesh(path) or path, options, lambda f, text: progress(0.3 * f, text))
        return self.take(scanned, lambda f, text: progress(0.3 + 0.7 * f, text), on_capture)

    def take(
        self,
        scanned: ScannedMesh,
        progress: Progress,
        on_capture: Callable[[Capture], None],
        known_as: str = "",
    ) -> Surface:
        """Label a mesh or a cloud that has been read.

        Args:
            known_as: the id under which the scene knows it; empty for its fingerprint.

        Raises:
            UserError, Cancelled.
        """
        self._tell("fusing", "Preparing the mesh")
        self._cache = SceneCache(self._store, _capture(scanned, scanned.fingerprint))
        self.scale = scanned.scale
        surface, noise = self._cache.surface(), 0
        with Timed(self.seconds, "mesh"):
            if surface is None:
                surface, noise = surface_of(scanned, progress)
        self.surface = surface
        notes = [*scanned.notes, *_notes_of_cloud(scanned, surface, noise)]
        self.capture = self._every_frame = _capture(scanned, known_as or scanned.fingerprint, notes)
        on_capture(self.capture)
        self._tell("preparing", "Preparing labels")
        self._engine = self._worker.submit(self._prepare)
        return surface

    def _prepare(self) -> LabelEngine:
        superpoints = self._cache.superpoints()
        if superpoints is None:
            with Timed(self.seconds, "superpoints"):
                superpoints = segment(self.surface)
            self._unless_closed()
            self._remember(lambda: self._cache.keep(self.surface, superpoints))
        with Timed(self.seconds, "kernel"):
            engine = LabelEngine(self.surface, superpoints)
        self._superpoints = superpoints
        return engine

    # --- labelling ---

    def label(self, document: dict, progress: Progress = lambda fraction, text: None) -> Labelling:
        """The labels of a checked document; they are settled at once. Raises UserError, Cancelled."""
        if document["method"] != "combined":
            sentence = "A mesh without photos cannot be labelled by marks only; choose the method Combined."
            raise UserError("no_frames", sentence)
        posteriors = self._known_posteriors(progress)
        started = time.perf_counter()
        self._tree, self._document = LabelTree.from_document(document), document
        marks, prediction = posteriors.of(document)
        made = labelling(document["revision"], "settled", prediction, marks)
        self._current = replace(made, warning=posteriors.warning(document))
        self.seconds["label"] = time.perf_counter() - started
        self._tell("idle", SETTLED_TEXT)
        return self._current

    def idle(self) -> bool:
        """Wait for the superpoints; False when they are there."""
        if self._engine is None:
            return False
        while self._problems:
            self._on_problem(self._problems.pop(0))
        if not self._engine.done():
            self._until_done(self._engine, SLICE_SECONDS)
            return True
        self._tell("idle", "Ready for marks" if self._current is None else SETTLED_TEXT)
        return False

    def save(self) -> int:
        """There is no field to keep: 0 bytes."""
        return 0

    # --- questions ---

    def prepare_questions(self) -> None:
        """Nothing is to be looked at: there are no keyframes."""

    def ask(self, query: asking.Query, progress: Progress) -> asking.Question:
        """The vertex to ask the person about: drawn among the most uncertain ones.

        The question's frame is empty. Raises UserError when nothing is left to ask; Cancelled.
        """
        posteriors = self._known_posteriors(progress)
        marks, prediction = posteriors.of(self._said)
        worth = posteriors.uncertainty(self._said, query.measure, query.level).astype(np.float64)
        worth[worth < asking.CERTAIN] = 0.0
        known = np.concatenate([query.skipped, *(mark.points for mark in marks)])
        _, one_each = np.unique(np.round(known / (asking.APART / 4)), axis=0, return_index=True)
        worth[vertices_within(known[one_each], self.surface, asking.APART)] = 0.0
        frames = np.zeros(len(worth), np.int64)
        vertex = draw_query(frames, worth, np.array([len(worth)]), query.top, query.seed)
        if vertex is None:
            raise UserError("nothing_to_ask", "Nothing is left to ask: the labels are sure everywhere on the mesh.")
        tree = LabelTree.from_document(self._said)
        likely = asking.likely_labels(prediction, vertex, tree, query.level)
        spot = asking.Spot("", 0.0, 0.0, vertex)
        return asking.Question(spot, self.surface.vertices[vertex], likely[: asking.MOST_CHOICES])

    # --- answers about the scene ---

    def frame(self, name: str) -> Frame:
        """There is none. Raises UserError."""
        raise UserError("no_frame", NO_FRAMES)

    def pick(self, frame: str, u: float, v: float) -> np.ndarray:
        """There is no pixel to pick. Raises UserError."""
        raise UserError("no_frame", NO_FRAMES)

    def view(self, intrinsics: Intrinsics, camera_to_scene: np.ndarray) -> LabelView:
        """What any camera sees of the labelled mesh."""
        return label_view(self.surface, *self._labels(), intrinsics, camera_to_scene)


def _notes_of_cloud(scanned: ScannedMesh, surface: Surface, noise: int) -> list[str]:
    """What was lost between a cloud and its surface, as sentences."""
    if len(scanned.faces):
        return []
    notes = [
        f"The cloud's {len(scanned.vertices):,} points were meshed at {1000 * surface.voxel / scanned.scale:.3g} mm; "
        "what is finer is lost, and labels lie on the mesh."
    ]
    return notes + ([f"{noise:,} points far from all others were left out."] if noise else [])


def _capture(scanned: ScannedMesh, known_as: str, notes: Sequence[str] = ()) -> Capture:
    """The mesh as a capture without frames."""
    return Capture(
        name=scanned.name,
        format=scanned.format,
        root=scanned.root,
        frames=(),
        scene_from_world=scanned.scene_from_world,
        notes=tuple(notes),
        classes=scanned.classes,
        fingerprint=known_as,
    )
