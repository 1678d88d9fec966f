"""From a labelled scan to separate objects: one per connected piece of a *thing*, one per *stuff* label.

The scan itself is never changed. Every object gets its origin at the centre of its foot, so that it stands where it
is put; adding the origin to its vertices gives the place on the scan again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..errors import UserError
from ..labels.tree import LabelTree
from ..progress import silent
from ..surface.surface import Superpoints, Surface
from .cutting import Cut, cut_by_labels
from .instances import Claim, Known, instance_numbers, settle_claims
from .patches import find_parts, triangle_areas
from .pose import foot


@dataclass(frozen=True)
class SceneObject:
    """One thing, or one stuff label, cut out of the scan."""

    label: int  # uid of its node
    instance: int  # 1, 2, ... within the label, the largest first where nothing else was said
    name: str  # the label's name
    thing: bool  # else it is stuff: all that there is of its label
    vertices: np.ndarray  # (n, 3) float32 metres, relative to origin, axes of the scene
    faces: np.ndarray  # (m, 3) int32
    colors: np.ndarray  # (n, 3) uint8 sRGB
    labels: np.ndarray  # (n,) uint16
    confidence: np.ndarray  # (n,) float32 0..1
    origin: np.ndarray  # (3,) float64 scene metres, centre of the foot
    dimensions: np.ndarray  # (3,) float64 metres along the scene's axes


@dataclass(frozen=True)
class SeparationResult:
    """Objects in the order of the tree, then by instance; and what was left out.

    ``cut`` is the scan, cut between the objects, and ``of_face`` (M,) the object that each of its faces belongs to, -2
    for crumbs. ``of_vertex`` (V,) says the same of the scan's own vertices, -1 for unlabelled ones.
    """

    objects: tuple[SceneObject, ...]
    cut: Cut
    of_face: np.ndarray
    of_vertex: np.ndarray
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
    claims: Sequence[Claim] = (),
    known: Sequence[Known] = (),
    superpoints: Superpoints | None = None,
    progress: Callable[[float, str], None] = silent,
) -> SeparationResult:
    """Cut the labelled scan into objects.

    Args:
        surface: the scan, V vertices.
        labels: (V,) uint16 uid of each vertex's label, 0 for unlabelled; unlabelled surface is left out.
        confidence: (V,) float32 0..1.
        tree: the label tree. Only things fall into instances.
        min_size: metres; a piece whose longest side is shorter is no object, unless it is its label's largest (more
            in ``patches``).
        claims: what the person said about instances. known: objects that exist; they keep their numbers.
        superpoints: help to split what touches.
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
    claimed = settle_claims(surface, parts, [claim for claim in claims if things[claim.label]], superpoints)
    progress(0.4, "Cutting along the labels")
    # Cut by part, not by label: two instances of one label may touch. Codes: 0 unlabelled, then parts, last crumbs.
    ids, codes = _coded(claimed.parts.of_vertex)
    cut = cut_by_labels(surface.vertices, surface.faces, codes)
    progress(0.7, "Making objects")
    numbers = [claimed.numbers.get(part, 0) for part in ids.tolist()]
    drafts = _drafts(surface, confidence, cut, len(ids), claimed.parts.labels, codes, nodes)
    objects, of_code = _numbered(drafts, numbers, known, nodes)
    of_face, of_vertex = of_code[cut.face_labels], of_code[codes]
    missing = [nodes[uid][0] for uid in used.tolist() if uid not in {made.label for made in objects}]
    notes = claimed.notes + _notes(parts.absorbed, missing)
    crumb_faces = int((of_face == -2).sum())
    return SeparationResult(tuple(objects), cut, of_face, of_vertex, parts.crumbs, crumb_faces, parts.absorbed, notes)


def _notes(absorbed: int, missing: list[str]) -> tuple[str, ...]:
    taken = (f"{absorbed} small pieces took the label around them.",) if absorbed else ()
    return taken + ((f"Too little surface for an object: {', '.join(missing)}.",) if missing else ())


def _coded(of_vertex: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids (P,) of the parts, and for each vertex (V,) uint16 0 if unlabelled, 1..P by part, P + 1 for crumbs."""
    ids, at = np.unique(of_vertex, return_inverse=True)
    before = np.searchsorted(ids, 0)
    codes = np.where(of_vertex >= 0, at.ravel() - before + 1, np.where(of_vertex == -2, len(ids) - before + 1, 0))
    return ids[before:], codes.astype(np.uint16)


def _drafts(
    surface: Surface,
    confidence: np.ndarray,
    cut: Cut,
    count: int,
    labels: np.ndarray,
    codes: np.ndarray,
    nodes: dict[int, tuple[str, bool]],
) -> list[SceneObject | None]:
    """The object of each code 1..count that has faces, in that order; instances are not numbered yet."""
    face_order = np.argsort(cut.face_labels, kind="stable")
    part = cut.face_labels[face_order].astype(np.int64)
    points = cut.faces[face_order]
    colors = np.rint(cut.interpolate(surface.colors.astype(np.float32))).astype(np.uint8)
    certain = cut.interpolate(np.asarray(confidence, dtype=np.float32)).astype(np.float32)
    label_of = np.zeros(count + 2, np.int64)
    label_of[codes] = labels
    drafts: list[SceneObject | None] = []
    ends = np.searchsorted(part, np.arange(1, count + 2))
    for code, (start, end) in enumerate(pairwise(ends), start=1):
        if start == end:
            drafts.append(None)
            continue
        mine, corners = np.unique(points[start:end], return_inverse=True)
        where = cut.points[mine]
        uid, origin = int(label_of[code]), foot(where, surface.voxel)
        name, thing = nodes[uid]
        drafts.append(
            SceneObject(
                label=uid,
                instance=0,
                name=name,
                thing=thing,
                vertices=(where - origin).astype(np.float32),
                faces=corners.reshape(-1, 3).astype(np.int32),
                colors=colors[mine],
                labels=np.full(len(mine), uid, dtype=np.uint16),
                confidence=certain[mine],
                origin=origin,
                dimensions=np.ptp(where, axis=0),
            )
        )
    return drafts


def _numbered(
    drafts: list[SceneObject | None], claimed: list[int], known: Sequence[Known], nodes: dict[int, tuple[str, bool]]
) -> tuple[list[SceneObject], np.ndarray]:
    """The objects in their order, with their numbers; and the place in it of each code, -1 unlabelled, -2 crumbs."""
    of_code = np.full(len(drafts) + 2, -1)
    of_code[-1] = -2
    objects: list[SceneObject] = []
    for uid in nodes:
        mine = [code for code, made in enumerate(drafts) if made is not None and made.label == uid]
        mine.sort(key=lambda code: _rank(drafts[code]))
        boxes = [_box(drafts[code]) for code in mine]
        said = [claimed[code] for code in mine]
        numbers = instance_numbers(boxes, said, [old for old in known if old.label == uid])
        for number, code in sorted(zip(numbers, mine, strict=True)):
            of_code[code + 1] = len(objects)
            objects.append(replace(drafts[code], instance=number))
    return objects, of_code


def _box(made: SceneObject) -> tuple[np.ndarray, np.ndarray]:
    return made.vertices.min(axis=0) + made.origin, made.vertices.max(axis=0) + made.origin


def _rank(made: SceneObject) -> tuple[float, ...]:
    """Largest first by the surface to the nearest square centimetre, then by the place of the foot."""
    area = triangle_areas(made.vertices, made.faces).sum()
    return (-round(float(area), 4), *np.round(made.origin, 3).tolist())
