"""A scan without photos: a mesh or a cloud from a file, or a mesh of the scene in Blender.

It is labelled like a capture, with what needs pictures left out: superpoints come from shape and vertex colours, marks
are points, questions are asked about places instead of pixels. The field learns from the surface itself, its points,
colours and the distances around it, and decides the vertices that the posterior is unsure of. Views show the mesh
alone: what lies in its holes nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import asking, budget
from .captures.capture import Capture, Frame, Intrinsics
from .captures.detect import ImportOptions
from .captures.meshes import ScannedMesh, find_mesh, open_mesh, scanned_arrays
from .errors import UserError
from .labels.views import LabelView, label_view
from .progress import Progress, part, silent
from .protocol import Array
from .scene_cache import SceneCache
from .surface.clouds import mesh_points
from .surface.mesh import vertex_normals
from .surface.surface import Surface
from .teaching import MarksTeaching
from .timing import Timed
from .workspace import Workspace

NO_FRAMES = "This scan is a mesh without photos, so it has no keyframes; mark it on its surface."


def surface_of(scanned: ScannedMesh, progress: Progress = silent) -> tuple[Surface, int]:
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
            scanned = open_mesh(find_mesh(path) or path, options, part(progress, 0.0, 0.3))
        return self.take(scanned, part(progress, 0.3, 1.0), on_capture)

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
        budget.current().check_vertices(len(scanned.vertices) if len(scanned.faces) else 0)
        self._cache = SceneCache(self._store, _capture(scanned, scanned.fingerprint))
        self.scale = scanned.scale
        surface, noise = self._cache.surface(), 0
        with Timed(self.seconds, "mesh"):
            if surface is None:
                surface, noise = surface_of(scanned, progress)
        budget.current().check_vertices(len(surface.vertices))
        self.surface = surface
        notes = [*scanned.notes, *_notes_of_cloud(scanned, surface, noise)]
        self.capture = self._every_frame = _capture(scanned, known_as or scanned.fingerprint, notes)
        on_capture(self.capture)
        self._tell("preparing", "Preparing labels")
        scene = self.capture, surface, self.device
        self._by_marks = MarksTeaching(*scene, self._worker.submit, self._unless_closed)
        self._begin(None)
        return surface

    def _cues(self) -> None:
        """There are no photos to ask."""

    # --- questions ---

    def prepare_questions(self) -> None:
        """Nothing is to be looked at: there are no keyframes."""

    def ask(self, query: asking.Query, progress: Progress) -> asking.Question:
        """The vertex to ask the person about: drawn among the most uncertain ones.

        The question's frame is empty. Raises UserError when nothing is left to ask; Cancelled.
        """
        return asking.ask(asking.Everywhere(self.surface), self._known_posteriors(progress), self._said, query)

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
