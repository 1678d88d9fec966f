"""From a labelled scan to separate objects: one per connected piece of a *thing*, one per *stuff* label.

The scan itself is never changed. Every object gets its origin at the centre of its foot, so that it stands where it
is put; adding the origin to its vertices gives the place on the scan again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..errors import UserError
from ..labels.tree import LabelTree
from ..surface.surface import Surface
from .cutting import Cut, cut_by_labels
from .patches import find_parts, triangle_areas

FOOT_VERTICES = 32  # so many stray vertices below the foot are taken for noise, and never more than 1 %
FOOT_BAND = 0.05  # of the height (and at least two voxels): what touches the ground


@dataclass(frozen=True)
class SceneObject:
    """One thing, or one stuff label, cut out of the scan."""

    label: int  # uid of its node
    instance: int  # 1, 2, ... within the label, the largest first
    name: str  # the label's name
    vertices: np.ndarray  # (n, 3) float32 metres, relative to origin, axes of the scene
    faces: np.ndarray  # (m, 3) int32
    colors: np.ndarray  # (n, 3) uint8 sRGB
    labels: np.ndarray  # (n,) uint16
    confidence: np.ndarray  # (n,) float32 0..1
    origin: np.ndarray  # (3,) float64 scene metres, centre of the foot
    dimensions: np.ndarray  # (3,) float64 metres along the scene's axes


@dataclass(frozen=True)
class SeparationResult:
    """Objects in the order of the tree, then by instance; and what was left out."""

    objects: tuple[SceneObject, ...]
    crumb_pieces: int  # pieces too small, or too much of a guess, to be objects
    crumb_faces: int
    absorbed_pieces: int  # such pieces inside one other object, which took its label
    notes: tuple[str, ...] = ()


def separate(
    surface: Surface,
    labels: np.ndarray,
    confidence: np.ndarray,
    tree: LabelTree,
    min_size: float = 0.04,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> SeparationResult:
    """Cut the labelled scan into objects.

    Args:
        surface: the scan, V vertices.
        labels: (V,) uint16 uid of each vertex's label, 0 for unlabelled; unlabelled surface is left out.
        confidence: (V,) float32 0..1.
        tree: the label tree. Only things fall into instances.
        min_size: metres; a piece whose longest side is shorter is no object, unless it is its label's largest (more
            in ``patches``).
        progress: called with 0..1 and a short text; may raise Cancelled.

    Raises:
        UserError: ``nothing_labelled`` when no vertex has a label.
        ValueError: for a label that is not in the tree, or arrays that do not fit the surface.
    """
    nodes = {uid: (node.name, node.thing) for uid, node in tree.labels.items()}
    labels = np.asarray(labels, dtype=np.uint16)
    if labels.shape != (len(surface.vertices),) or np.shape(confidence) != labels.shape:
        raise ValueError("labels and confidence need one entry per vertex of the scan")
    used = np.unique(labels[labels > 0])
    strangers = set(used.tolist()) - nodes.keys()
    if strangers:
        raise ValueError(f"labels {sorted(strangers)} are not in the tree")
    if not len(used):
        raise UserError("nothing_labelled", "Nothing is labelled yet; mark a few things before separating them.")
    progress(0.0, "Finding connected pieces")
    things = np.zeros(65536, dtype=bool)
    things[[uid for uid, (_, thing) in nodes.items() if thing]] = True
    parts = find_parts(surface, labels, np.asarray(confidence, dtype=np.float32), things, min_size)
    progress(0.4, "Cutting along the labels")
    cut = cut_by_labels(surface.vertices, surface.faces, parts.labels)
    of_face = _of_faces(cut, parts.of_vertex)
    progress(0.7, "Making objects")
    objects = _objects(surface, confidence, cut, of_face, nodes)
    notes = []
    if parts.absorbed:
        notes.append(f"{parts.absorbed} small pieces took the label around them.")
    missing = [nodes[uid][0] for uid in used.tolist() if uid not in {made.label for made in objects}]
    if missing:
        notes.append(f"Too little surface for an object: {', '.join(missing)}.")
    return SeparationResult(tuple(objects), parts.crumbs, int((of_face == -2).sum()), parts.absorbed, tuple(notes))


def _of_faces(cut: Cut, of_vertex: np.ndarray) -> np.ndarray:
    """Part number (M,) of a cut's faces: that of a corner which is a vertex of the scan; each face has one.

    Parts that have faces are numbered anew, 0, 1, ...; crumbs keep -2.
    """
    first = np.argmax(cut.faces < len(of_vertex), axis=1)
    of_face = of_vertex[np.take_along_axis(cut.faces, first[:, None], axis=1)[:, 0]]
    kept = of_face >= 0
    of_face[kept] = np.unique(of_face[kept], return_inverse=True)[1].ravel()
    return of_face


def _objects(
    surface: Surface,
    confidence: np.ndarray,
    cut: Cut,
    part_of_face: np.ndarray,
    nodes: dict[int, tuple[str, bool]],
) -> list[SceneObject]:
    """One object per part 0, 1, ...; faces with negative numbers belong to none."""
    face_order = np.argsort(part_of_face, kind="stable")
    face_order = face_order[np.searchsorted(part_of_face[face_order], 0) :]
    part = part_of_face[face_order].astype(np.int64)
    # A copy of each point per part: two parts of one label may meet in a point.
    copies, corners = np.unique(part[:, None] * len(cut.points) + cut.faces[face_order], return_inverse=True)
    part_of_copy, point_of_copy = np.divmod(copies, len(cut.points))
    numbers = np.arange(int(part.max(initial=-1)) + 2)
    copy_starts, face_starts = np.searchsorted(part_of_copy, numbers), np.searchsorted(part, numbers)
    local = (corners.reshape(-1, 3) - copy_starts[part][:, None]).astype(np.int32)
    colors = np.rint(cut.interpolate(surface.colors.astype(np.float32))).astype(np.uint8)
    certain = cut.interpolate(np.asarray(confidence, dtype=np.float32)).astype(np.float32)
    drafts: dict[int, list[SceneObject]] = {}
    for number in numbers[:-1]:
        mine = point_of_copy[copy_starts[number] : copy_starts[number + 1]]
        faces = slice(face_starts[number], face_starts[number + 1])
        points, uid = cut.points[mine], int(cut.face_labels[face_order[faces.start]])
        origin = foot(points, surface.voxel)
        made = SceneObject(
            label=uid,
            instance=0,
            name=nodes[uid][0],
            vertices=(points - origin).astype(np.float32),
            faces=local[faces],
            colors=colors[mine],
            labels=np.full(len(mine), uid, dtype=np.uint16),
            confidence=certain[mine],
            origin=origin,
            dimensions=np.ptp(points, axis=0),
        )
        drafts.setdefault(uid, []).append(made)
    return [
        replace(made, instance=index + 1)
        for uid in nodes
        for index, made in enumerate(sorted(drafts.get(uid, []), key=_rank))
    ]


def _rank(made: SceneObject) -> tuple[float, ...]:
    """Largest first by the surface to the nearest square centimetre, then by the place of the foot."""
    area = triangle_areas(made.vertices, made.faces).sum()
    return (-round(float(area), 4), *np.round(made.origin, 3).tolist())


def foot(points: np.ndarray, voxel: float) -> np.ndarray:
    """Centre of the foot (3,) of points (n, 3): where the thing stands, to a tenth of a millimetre.

    The height is the lowest one but for a few stray points; the centre is that of the box around what lies in a band
    above it, which is the middle between a chair's legs and of a box's bottom, however densely its sides were seen.
    """
    stray = min(FOOT_VERTICES, len(points) // 100)
    low = np.partition(points[:, 2], stray)[stray]
    band = max(FOOT_BAND * (points[:, 2].max() - low), 2 * voxel)
    standing = points[(points[:, 2] >= low) & (points[:, 2] <= low + band), :2]
    near, far = np.percentile(standing, [1, 99], axis=0)
    return np.round(np.array([*(near + far) / 2, low]), 4)
