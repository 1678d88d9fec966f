"""From a labelled scan to separate objects: one per connected piece of a *thing*, one per *stuff* label.

The scan itself is never changed. Every object gets its origin at the centre of its foot, so that it stands where it
is put; adding the origin to its vertices gives the place on the scan again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..errors import UserError
from ..surface.surface import Surface
from .cutting import Cut, cut_by_labels

JOIN_GAP = 2.0  # voxels: pieces of one thing nearer than this are one instance, since scans have holes
FRAGMENT_AREA = 0.01  # of the label's largest piece; with less, a piece must also be longer than ...
FRAGMENT_SIZE = 3.0  # ... this many times min_size to be an instance of its own
ISLAND_RING = 0.9  # share of an island's rim that must carry one label for the island to take it
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
    crumb_pieces: int  # pieces too small to be objects
    crumb_faces: int
    absorbed_pieces: int  # specks inside one other label, which took that label
    notes: tuple[str, ...] = ()


def separate(
    surface: Surface,
    labels: np.ndarray,
    confidence: np.ndarray,
    tree: Any,
    min_size: float = 0.04,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> SeparationResult:
    """Cut the labelled scan into objects.

    Args:
        surface: the scan, V vertices.
        labels: (V,) uint16 uid of each vertex's label, 0 for unlabelled; unlabelled surface is left out.
        confidence: (V,) float32 0..1.
        tree: the label tree: a list of nodes, or anything with such ``nodes``; a node is a mapping or an object with
            ``uid``, ``name`` and ``thing``. Only things fall into instances.
        min_size: metres; a piece whose longest side is shorter is a crumb, unless it is its label's largest.
        progress: called with 0..1 and a short text; may raise Cancelled.

    Raises:
        UserError: ``nothing_labelled`` when no vertex has a label.
        ValueError: for a label that is not in the tree, or arrays that do not fit the surface.
    """
    nodes = _nodes(tree)
    labels = np.asarray(labels, dtype=np.uint16)
    if labels.shape != (len(surface.vertices),) or np.shape(confidence) != labels.shape:
        raise ValueError("labels and confidence need one entry per vertex of the scan")
    used = np.unique(labels[labels > 0])
    strangers = set(used.tolist()) - nodes.keys()
    if strangers:
        raise ValueError(f"labels {sorted(strangers)} are not in the tree")
    if not len(used):
        raise UserError("nothing_labelled", "Nothing is labelled yet; mark a few things before separating them.")
    progress(0.0, "Cutting along the labels")
    filled, absorbed = _fill_islands(surface, labels, min_size)
    cut = cut_by_labels(surface.vertices, surface.faces, filled)
    if not len(cut.faces):
        raise UserError("nothing_labelled", "No face of the scan is labelled yet; mark a few things first.")
    progress(0.4, "Finding connected pieces")
    pieces = _Pieces(cut)
    things = {uid for uid, (_, thing) in nodes.items() if thing}
    group = _join(cut, pieces, things, JOIN_GAP * surface.voxel, min_size)
    crumb = _crumbs(pieces, group, min_size)
    progress(0.6, "Making objects")
    dropped = crumb[group]
    number = np.append(np.where(dropped, -1, np.cumsum(~crumb)[group] - 1), -1)  # the last one for no piece
    objects = _objects(surface, confidence, cut, number[pieces.of_point], number[pieces.of_face], nodes)
    notes = []
    if absorbed:
        notes.append(f"{absorbed} small islands took the label around them.")
    missing = [nodes[uid][0] for uid in used.tolist() if uid not in {made.label for made in objects}]
    if missing:
        notes.append(f"Too little surface for an object: {', '.join(missing)}.")
    return SeparationResult(
        tuple(objects), int(dropped.sum()), int(pieces.face_counts[dropped].sum()), absorbed, tuple(notes)
    )


def _nodes(tree: Any) -> dict[int, tuple[str, bool]]:
    """uid -> (name, thing), in the order of the tree."""
    nodes = getattr(tree, "nodes", tree)
    table = {}
    for node in nodes.values() if isinstance(nodes, Mapping) else nodes:
        get = node.__getitem__ if isinstance(node, Mapping) else lambda field, node=node: getattr(node, field)
        table[int(get("uid"))] = (str(get("name")), bool(get("thing")))
    return table


def _components(links: np.ndarray, count: int) -> np.ndarray:
    """Component number (count,) of each node of a graph given by links (L, 2)."""
    graph = sparse.coo_matrix((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _boxes(points: np.ndarray, group: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (count, 3) of the points of each group; every group has at least one point."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(count))
    return np.minimum.reduceat(points[order], starts), np.maximum.reduceat(points[order], starts)


def _fill_islands(surface: Surface, labels: np.ndarray, min_size: float) -> tuple[np.ndarray, int]:
    """Give specks that lie inside one other label that label, lest they leave holes; new labels and their number."""
    faces = surface.faces
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    same = labels[ends[:, 0]] == labels[ends[:, 1]]
    patch = _components(ends[same], len(labels))
    count = int(patch.max()) + 1
    low, high = _boxes(surface.vertices, patch, count)
    patch_label = np.zeros(count, dtype=np.uint16)
    patch_label[patch] = labels
    sizes = np.bincount(patch, minlength=count)
    largest = np.zeros(65536, dtype=np.int64)
    np.maximum.at(largest, patch_label, sizes)
    small = ((high - low).max(axis=1) < min_size) & (patch_label > 0) & (sizes < largest[patch_label])

    rim = ends[~same]
    rim = np.concatenate([rim, rim[:, ::-1]])
    inside, outside = patch[rim[:, 0]], patch[rim[:, 1]]
    inner = small[inside]
    inside, outside_label = inside[inner], np.where(small[outside], 0, patch_label[outside])[inner].astype(np.int64)
    keys, votes = np.unique(inside << 16 | outside_label, return_counts=True)
    total = np.bincount(keys >> 16, weights=votes, minlength=count)
    winner = (votes >= ISLAND_RING * total[keys >> 16]) & (keys & 0xFFFF > 0)
    taken, new_label = keys[winner] >> 16, (keys[winner] & 0xFFFF).astype(np.uint16)
    patch_label[taken] = new_label
    return patch_label[patch], len(taken)


class _Pieces:
    """Connected pieces of one label in a cut scan."""

    def __init__(self, cut: Cut):
        ends = np.concatenate([cut.faces[:, [0, 1]], cut.faces[:, [1, 2]]])
        number = _components(ends, len(cut.points))
        used = np.unique(number[cut.faces[:, 0]])
        compact = np.full(number.max() + 1, -1)
        compact[used] = np.arange(len(used))
        self.count = len(used)
        self.of_point = compact[number]  # (N,) -1 where unlabelled
        self.of_face = self.of_point[cut.faces[:, 0]]
        self.area = np.bincount(self.of_face, weights=triangle_areas(cut.points, cut.faces), minlength=self.count)
        self.face_counts = np.bincount(self.of_face, minlength=self.count)
        self.label = np.zeros(self.count, dtype=np.int64)
        self.label[self.of_face] = cut.face_labels
        inside = self.of_point >= 0
        self.low, self.high = _boxes(cut.points[inside], self.of_point[inside], self.count)


def _join(cut: Cut, pieces: _Pieces, things: set[int], gap: float, min_size: float) -> np.ndarray:
    """Group number (pieces,) of each piece: things joined by gaps smaller than ``gap``, stuff by its label."""
    links = [np.zeros((0, 2), dtype=np.int64)]
    for uid in np.unique(pieces.label).tolist():
        members = np.flatnonzero(pieces.label == uid)
        if uid not in things:
            # Small pieces of stuff stay alone, so that they are judged as crumbs.
            longest = (pieces.high - pieces.low).max(axis=1)[members]
            members = members[(longest >= min_size) | (pieces.area[members] == pieces.area[members].max())]
            links.append(np.stack([members[:-1], members[1:]], axis=1))
        elif len(members) > 1:
            rim = _border_points(cut.faces[cut.face_labels == uid], len(cut.points))
            if len(rim):
                near = cKDTree(cut.points[rim]).query_pairs(gap, output_type="ndarray")
                links.append(pieces.of_point[rim][near])
    return _components(np.concatenate(links), pieces.count)


def _border_points(faces: np.ndarray, count: int) -> np.ndarray:
    """Points on edges that only one face uses."""
    ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    keys, uses = np.unique(ends[:, 0] * count + ends[:, 1], return_counts=True)
    border = keys[uses == 1]
    return np.unique(np.concatenate([border // count, border % count]))


def _crumbs(pieces: _Pieces, group: np.ndarray, min_size: float) -> np.ndarray:
    """Which groups (G,) are too small to be objects. The largest of a label never is."""
    count = int(group.max()) + 1
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, group, pieces.low)
    np.maximum.at(high, group, pieces.high)
    longest = (high - low).max(axis=1)
    area = np.bincount(group, weights=pieces.area, minlength=count)
    label = np.zeros(count, dtype=np.int64)
    label[group] = pieces.label
    largest = np.zeros(65536)
    np.maximum.at(largest, label, area)
    fragment = (area < FRAGMENT_AREA * largest[label]) & (longest < FRAGMENT_SIZE * min_size)
    return ((longest < min_size) | fragment) & (area < largest[label])


def _objects(
    surface: Surface,
    confidence: np.ndarray,
    cut: Cut,
    group_of_point: np.ndarray,
    group_of_face: np.ndarray,
    nodes: dict[int, tuple[str, bool]],
) -> list[SceneObject]:
    """One object per group number 0, 1, ...; points and faces with -1 belong to none."""
    point_order, point_starts = _by_group(group_of_point)
    face_order, face_starts = _by_group(group_of_face)
    local = np.zeros(len(cut.points), dtype=np.int32)
    local[point_order] = np.arange(len(point_order)) - np.repeat(point_starts[:-1], np.diff(point_starts))
    colors = np.rint(cut.interpolate(surface.colors.astype(np.float32))).astype(np.uint8)
    certain = cut.interpolate(np.asarray(confidence, dtype=np.float32)).astype(np.float32)
    drafts: dict[int, list[SceneObject]] = {}
    for number in range(len(face_starts) - 1):
        mine = point_order[point_starts[number] : point_starts[number + 1]]
        faces = face_order[face_starts[number] : face_starts[number + 1]]
        points, uid = cut.points[mine], int(cut.face_labels[faces[0]])
        origin = foot(points, surface.voxel)
        made = SceneObject(
            label=uid,
            instance=0,
            name=nodes[uid][0],
            vertices=(points - origin).astype(np.float32),
            faces=local[cut.faces[faces]],
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


def _by_group(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices sorted by group without those of group -1, and where each group starts (G + 1,)."""
    order = np.argsort(group, kind="stable")
    order = order[np.searchsorted(group[order], 0) :]
    return order, np.searchsorted(group[order], np.arange(int(group.max()) + 2))


def _rank(made: SceneObject) -> tuple[float, ...]:
    """Largest first by the surface to the nearest square centimetre, then by the place of the foot."""
    area = triangle_areas(made.vertices, made.faces).sum()
    return (-round(float(area), 4), *np.round(made.origin, 3).tolist())


def triangle_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) float64 areas of the triangles; written out, since np.cross is three times slower."""
    a, b, c = (vertices[corner].astype(np.float64) for corner in faces.T)
    u, v = (b - a).T, (c - a).T
    x, y, z = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
    return 0.5 * np.sqrt(x * x + y * y + z * z)


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
