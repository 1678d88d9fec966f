"""Which parts of a labelled scan are objects: connected patches, joined over holes, rid of crumbs and of guesses.

A patch is a connected set of vertices of one label; a part is what patches are joined to. Small parts that nothing
speaks for (too small to be a thing, or a fraction of their label's largest part with no mark near them) take the label
of the part that surrounds them; where nothing surrounds them they are crumbs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..surface.surface import Surface
from .belonging import belonging

JOIN_GAP = 2.0  # voxels: patches of one thing nearer than this are one instance, since scans have holes
# A part of a thing with less than this share of its label's largest part must be so certain somewhere, as a share of
# what its label reaches anywhere: what nobody marked and little speaks for is a mistake more often than a thing.
TINY_AREA, TINY_CONFIDENCE = 0.02, 0.95
GUESS_AREA, GUESS_CONFIDENCE = 0.1, 0.7
UNKNOWN_CONFIDENCE = 0.1  # below it nothing speaks for a part, whatever its size
RIM = 0.5  # share of a small part's rim that must belong to one other part for it to take the small one in
OPEN_RIM = 0.25  # how much of that the border of the mesh counts: a scan has holes everywhere
LEAST_LOOSE = 3.0  # voxels: shorter pieces are not asked what they hang on
ROUNDS = 4  # a small part beside another small one gets its turn when that one has been taken in


@dataclass(frozen=True)
class Parts:
    """A partition of the labelled vertices.

    Attributes:
        of_vertex: (V,) int64 number of the part; -1 for unlabelled vertices, -2 for crumbs.
        labels: (V,) uint16 labels with absorbed parts relabelled.
        crumbs: number of crumbs. absorbed: number of parts that another one took in.
    """

    of_vertex: np.ndarray
    labels: np.ndarray
    crumbs: int
    absorbed: int


def find_parts(
    surface: Surface, labels: np.ndarray, confidence: np.ndarray, things: np.ndarray, min_size: float
) -> Parts:
    """Find the parts that are objects.

    Args:
        labels: (V,) uint16, 0 for unlabelled. confidence: (V,) float32 0..1.
        things: (65536,) bool by label: do its parts stay apart? Patches of the others are one part.
        min_size: metres; a part whose longest side is shorter is small. The largest part of a label never is.
    """
    faces = surface.faces
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    same = labels[ends[:, 0]] == labels[ends[:, 1]]
    weight = np.zeros(len(labels))
    area = triangle_areas(surface.vertices, faces) / 3
    for corner in faces.T:
        weight += np.bincount(corner, weights=area, minlength=len(labels))
    patch = _components(ends[same], len(labels))
    patches = _Measures(surface.vertices, labels, confidence, weight, patch)
    joined = _join(surface, ends[~same], patches, patch, things, min_size)
    part = joined[patch]
    parts = _Measures(surface.vertices, labels, confidence, weight, part)
    links = _loose(surface, ends[~same], parts, part, things, min_size)
    if len(links):
        part = _components(links, parts.count)[part]
        parts = _Measures(surface.vertices, labels, confidence, weight, part)
    small = parts.small(things, min_size)
    final = _absorbed(_small_rims(faces, ends[~same], part, small), small, parts.label > 0)
    crumb = small & small[final]
    of_part = np.where(crumb, -2, np.where(parts.label[final] > 0, final, -1))
    taken = int((small & ~crumb).sum())
    return Parts(of_part[part], parts.label[final][part].astype(np.uint16), int(crumb.sum()), taken)


def triangle_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) float64 areas of the triangles; written out, since np.cross is three times slower."""
    a, b, c = (vertices[corner].astype(np.float64) for corner in faces.T)
    u, v = (b - a).T, (c - a).T
    x, y, z = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
    return 0.5 * np.sqrt(x * x + y * y + z * z)


def _components(links: np.ndarray, count: int) -> np.ndarray:
    """Component number (count,) of each node of a graph given by links (L, 2)."""
    graph = sparse.coo_matrix((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


class _Measures:
    """Label, surface, extent and certainty of the groups of a numbering of the vertices."""

    def __init__(
        self, points: np.ndarray, labels: np.ndarray, confidence: np.ndarray, weight: np.ndarray, group: np.ndarray
    ):
        order = np.argsort(group, kind="stable")
        self.count = int(group[order[-1]]) + 1
        starts = np.searchsorted(group[order], np.arange(self.count))
        self.low = np.minimum.reduceat(points[order], starts)
        self.high = np.maximum.reduceat(points[order], starts)
        self.longest = (self.high - self.low).max(axis=1)
        self.label = labels[order[starts]].astype(np.int64)
        self.sure = np.maximum.reduceat(confidence[order], starts)
        self.area = np.add.reduceat(weight[order], starts)

    def best(self, values: np.ndarray) -> np.ndarray:
        """The largest of the values (count,) within each group's label."""
        table = np.zeros(65536)
        np.maximum.at(table, self.label, values)
        return table[self.label]

    def small(self, things: np.ndarray, min_size: float) -> np.ndarray:
        """Which labelled groups are too little, or too much of a guess, to be objects."""
        largest = self.best(self.area)
        surest = self.best(self.sure)
        tiny = (self.area < TINY_AREA * largest) & (self.sure < TINY_CONFIDENCE * surest)
        guess = (self.area < GUESS_AREA * largest) & (self.sure < GUESS_CONFIDENCE * surest)
        unknown = self.sure < UNKNOWN_CONFIDENCE * surest
        few = (self.longest < min_size) | (things[self.label] & (tiny | guess | unknown))
        return few & (self.area < largest) & (self.label > 0)


def _join(
    surface: Surface, across: np.ndarray, patches: _Measures, patch: np.ndarray, things: np.ndarray, min_size: float
) -> np.ndarray:
    """Part number (patches,): things joined by nearness, stuff by its label, unlabelled patches all together."""
    links = [_near(surface, across, patches, patch, things)]
    order = np.argsort(patches.label, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(patches.label[order])) + 1):
        uid = patches.label[members[0]]
        if uid and things[uid]:
            continue
        if uid:  # small patches of stuff stay alone, so that they are judged as crumbs
            keep = patches.longest[members] >= min_size
            keep[np.argmax(patches.area[members])] = True
            members = members[keep]
        links.append(np.stack([members[:-1], members[1:]], axis=1))
    return _components(np.concatenate(links), patches.count)


def _near(
    surface: Surface, across: np.ndarray, patches: _Measures, patch: np.ndarray, things: np.ndarray
) -> np.ndarray:
    """Pairs (L, 2) of patches of one thing label whose rims come nearer than the gap that a hole may have."""
    several = np.bincount(patches.label, minlength=65536) > 1
    asked = (several & things)[patches.label] & (patches.label > 0)
    inside = asked[patch]
    faces = surface.faces[inside[surface.faces].any(axis=1)]
    rim = np.concatenate([across.ravel(), _border(faces, len(patch))])
    rim = np.unique(rim[inside[rim]])
    label = patches.label[patch[rim]]
    links = [np.zeros((0, 2), dtype=np.int64)]
    for uid in np.unique(label):
        mine = rim[label == uid]
        pairs = cKDTree(surface.vertices[mine]).query_pairs(JOIN_GAP * surface.voxel, output_type="ndarray")
        linked = patch[mine][pairs]
        links.append(linked[linked[:, 0] != linked[:, 1]])
    return np.concatenate(links)


def _loose(
    surface: Surface, across: np.ndarray, parts: _Measures, part: np.ndarray, things: np.ndarray, min_size: float
) -> np.ndarray:
    """Pairs (L, 2) of parts of one thing label between which the scan has a gap, as of ``belonging``."""
    asked = things[parts.label] & (parts.label > 0) & (parts.longest > max(min_size, LEAST_LOOSE * surface.voxel))
    asked &= np.bincount(parts.label[asked], minlength=65536)[parts.label] > 1
    chosen = np.flatnonzero(asked)
    if not len(chosen):
        return np.zeros((0, 2), np.int64)
    number = np.cumsum(asked) - 1
    rows = np.flatnonzero(asked[part])
    ends = across.ravel()
    ends = ends[asked[part[ends]]]
    contacts = np.column_stack([number[part[ends]], surface.vertices[ends, 2]])
    links = belonging(
        surface.vertices[rows], number[part[rows]], parts.label[chosen], parts.area[chosen], contacts, surface.voxel
    )
    return chosen[links]


def _border(faces: np.ndarray, count: int) -> np.ndarray:
    """Ends (2B,) of the edges that only one of the faces has."""
    keys = np.concatenate([_edge_keys(faces[:, i], faces[:, j], count) for i, j in ((0, 1), (1, 2), (2, 0))])
    keys, uses = np.unique(keys, return_counts=True)
    border = keys[uses == 1]
    return np.concatenate([border // count, border % count])


def _edge_keys(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    return np.minimum(a, b).astype(np.int64) * count + np.maximum(a, b)


def _small_rims(faces: np.ndarray, across: np.ndarray, part: np.ndarray, small: np.ndarray) -> np.ndarray:
    """(R, 2) for each piece of a small part's rim the part and its neighbour there, -1 at the border of the mesh.

    Args:
        across: (E, 2) ends of the edges between labels, once per face. small: (P,) parts in question.
    """
    rims = part[np.concatenate([across, across[:, ::-1]])]
    ends = part[_border(faces[small[part[faces]].any(axis=1)], len(part))]
    rims = np.concatenate([rims, np.stack([ends, np.full_like(ends, -1)], axis=1)])
    return rims[small[rims[:, 0]]]


def _absorbed(rims: np.ndarray, small: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """(P,) the part that each part becomes: itself, or for a small one what most of its rim belongs to."""
    count = len(small)
    final = np.arange(count)
    total = np.bincount(rims[:, 0], weights=np.where(rims[:, 1] < 0, OPEN_RIM, 1.0), minlength=count)
    for _ in range(ROUNDS):
        inner, outer = rims[:, 0], np.append(final, -1)[rims[:, 1]]
        keys, votes = np.unique(inner * (count + 1) + outer + 1, return_counts=True)
        part, taker = keys // (count + 1), keys % (count + 1) - 1
        wins = (votes > RIM * total[part]) & (taker >= 0)
        wins &= labelled[taker] & ~small[taker] & small[final[part]]
        if not wins.any():
            break
        final[part[wins]] = taker[wins]
    return final
