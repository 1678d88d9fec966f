"""Numbers that the prior judges by: of mesh edges, of pairs of neighbouring superpoints, of whole objects."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .cues import EDGE_NAMES, VERTEX_NAMES, Cues
from .features import NAMES, STEP_NAMES, EdgeGraph
from .regions import Regions
from .surface import Surface

# Columns of the vertices' descriptors of which an edge takes the mean over its ends.
AROUND = ("std_L_0", "std_a_0", "std_b_0", "std_L_1", "planarity_0", "scattering_0", "linearity_1", "scattering_1")
TEXTURES = ("flicker", "fine_texture", "coarse_texture")
EDGE_FEATURES = (
    *("strength", *STEP_NAMES, *EDGE_NAMES, "view_color"),
    *(*(f"around_{name}" for name in AROUND), "facing_up", *(f"mean_{name}" for name in TEXTURES)),
    *(*(f"step_{name}" for name in TEXTURES), "length", "steepness", "rim"),
)
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
LOGIT_RANGE = 8.0


_AROUND = [NAMES.index(name) for name in AROUND]
_TEXTURES = [VERTEX_NAMES.index(name) for name in TEXTURES]
ROWS = 1 << 16  # edges per pass: temporaries stay in the cache


def no_cues(surface: Surface, edges: np.ndarray) -> Cues:
    """What is known of a bare mesh: no frame saw it."""
    return Cues(
        np.zeros((len(edges), len(EDGE_NAMES)), np.float32),
        np.zeros((len(surface.vertices), len(VERTEX_NAMES)), np.float32),
    )


class EdgeEvidence:
    """All that is measured on a surface, from which the features of any of its mesh edges can be read.

    Args:
        surface: the scan; graph: its edges; local: ``features.describe`` of it; cues: what the frames say.
    """

    def __init__(self, surface: Surface, graph: EdgeGraph, local: np.ndarray, cues: Cues):
        self.graph, self.cues, self._voxel = graph, cues, surface.voxel
        self._rim = on_rim(surface.faces, graph.edges, len(surface.vertices))
        texture = _squeezed(cues.vertices[:, _TEXTURES])
        parts = [local[:, _AROUND], surface.normals[:, 2:], texture, cues.vertices[:, :4], surface.vertices]
        self._looks = np.concatenate(parts, axis=1, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.graph.edges)

    def features(self, rows: np.ndarray | slice) -> np.ndarray:
        """What speaks for or against a boundary at the chosen edges, (n, len(EDGE_FEATURES)) float32."""
        a, b = self.graph.edges[rows].T
        one, two = self._looks[a], self._looks[b]
        around = len(AROUND) + 1
        mean = 0.5 * (one[:, : around + 3] + two[:, : around + 3])
        step = one[:, around:] - two[:, around:]
        both = (one[:, around + 3] > 0) & (two[:, around + 3] > 0)
        color = np.sqrt((step[:, 4:7] ** 2).sum(axis=1)) * both
        length = np.sqrt((step[:, 7:] ** 2).sum(axis=1))
        raw = [self.graph.strength[rows, None], self.graph.steps[rows], self.cues.edges[rows], color[:, None]]
        other = [length / self._voxel, np.abs(step[:, 9]) / np.maximum(length, 1e-9), self._rim[rows]]
        columns = [_squeezed(np.concatenate(raw, axis=1)), mean, np.abs(step[:, :3]), np.stack(other, axis=1)]
        return np.concatenate(columns, axis=1, dtype=np.float32)

    def logits(self, network: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What a network says of every edge, (E,) float32; on two threads."""
        parts = [slice(start, start + ROWS) for start in range(0, len(self), ROWS)]
        with ThreadPoolExecutor(2) as pool:
            found = pool.map(lambda part: network(self.features(part)), parts)
            return np.concatenate([np.zeros(0, np.float32), *found])


def on_rim(faces: np.ndarray, edges: np.ndarray, count: int) -> np.ndarray:
    """Whether an edge belongs to one triangle only, (E,) bool; edges as ``mesh_edges`` gives them."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    keys = np.sort(pairs.min(axis=1) * count + pairs.max(axis=1))
    own = edges[:, 0].astype(np.int64) * count + edges[:, 1]
    return np.searchsorted(keys, own, "right") - np.searchsorted(keys, own) == 1


def _squeezed(values: np.ndarray) -> np.ndarray:
    """Signed logarithm: differences of small values matter more than those of large ones."""
    return np.sign(values) * np.log1p(np.abs(values))


@dataclass(frozen=True)
class Pieces:
    """Superpoints while they are being compared."""

    ids: np.ndarray  # (V,) int32
    sizes: np.ndarray  # (S,) int64
    looks: np.ndarray  # (S, D) float64 mean descriptors
    centers: np.ndarray  # (S, 3) float64
    normals: np.ndarray  # (S, 3) float64 mean normals, not unit: their length says how flat the piece is


def pair_features(
    around: Regions, pieces: Pieces, evidence: EdgeEvidence, logits: np.ndarray, voxel: float
) -> np.ndarray:
    """What speaks for or against one object at each pair of neighbours, (P, F) float32; symmetric in the two.

    Args:
        around: the neighbouring pairs; pieces that do not touch may be among them.
        pieces: the superpoints.
        evidence: of the mesh's edges; logits: (E,) of the probability of a boundary there.
        voxel: metres.
    """
    count = len(pieces.sizes)
    ends = pieces.ids[evidence.graph.edges].astype(np.int64)
    crossing = ends[:, 0] != ends[:, 1]
    keys = ends[crossing].min(axis=1) * count + ends[crossing].max(axis=1)
    row = np.searchsorted(around.pairs[:, 0] * count + around.pairs[:, 1], keys)
    logits = np.clip(logits, -LOGIT_RANGE, LOGIT_RANGE).astype(np.float64)
    border = _quantiles(logits[crossing], row, len(around.pairs))
    touching = np.bincount(row, minlength=len(around.pairs))
    means = [
        np.bincount(row, weights=column, minlength=len(around.pairs))
        for column in evidence.features(np.flatnonzero(crossing)).T
    ]
    means = np.stack(means, axis=1) / np.maximum(touching, 1)[:, None]
    inner = np.bincount(ends[~crossing, 0], weights=logits[~crossing], minlength=count)
    inner /= np.maximum(np.bincount(ends[~crossing, 0], minlength=count), 1)
    a, b = around.pairs.T
    inner_low, inner_high = np.minimum(inner[a], inner[b]), np.maximum(inner[a], inner[b])
    mean = np.bincount(row, weights=logits[crossing], minlength=len(around.pairs)) / np.maximum(touching, 1)
    parts = [border, mean[:, None], means, inner_low[:, None], inner_high[:, None], (mean - inner_high)[:, None]]
    parts += [(mean - inner_low)[:, None], (touching == 0)[:, None], np.log1p(around.length)[:, None]]
    return np.concatenate([*parts, _geometry(around, pieces, voxel), _differences(pieces, a, b)], axis=1).astype(
        np.float32
    )


def _quantiles(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """(count, len(QUANTILES)) of the values in each group; 0 for groups without any."""
    order = np.lexsort((values, groups))
    values, size = values[order], np.bincount(groups, minlength=count)
    start = np.cumsum(size) - size
    at = start[:, None] + np.rint(np.maximum(size - 1, 0)[:, None] * np.array(QUANTILES)).astype(np.int64)
    values = np.append(values, 0.0)
    return np.where(size[:, None] > 0, values[np.minimum(at, len(values) - 1)], 0.0)


def _geometry(around: Regions, pieces: Pieces, voxel: float) -> np.ndarray:
    """Sizes, contact, and how the two lie to one another, (P, 10)."""
    a, b = around.pairs.T
    small, large = np.minimum(pieces.sizes[a], pieces.sizes[b]), np.maximum(pieces.sizes[a], pieces.sizes[b])
    contact = around.length / (2 * np.sqrt(np.pi * small))
    offset = pieces.centers[b] - pieces.centers[a]
    distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
    flat = np.linalg.norm(pieces.normals, axis=1)
    unit = pieces.normals / np.maximum(flat, 1e-9)[:, None]
    from_a, from_b = (unit[a] * offset).sum(axis=1), (unit[b] * offset).sum(axis=1)
    columns = [
        np.log(small),
        np.log(large),
        np.minimum(contact, 2.0),
        np.log(distance / voxel),
        1 - (unit[a] * unit[b]).sum(axis=1),
        (from_b - from_a) / distance,  # positive: convex
        np.minimum(np.abs(from_a), np.abs(from_b)) / distance,
        np.log1p(np.maximum(np.abs(from_a), np.abs(from_b)) / voxel),
        np.minimum(flat[a], flat[b]),
        np.maximum(flat[a], flat[b]),
    ]
    return np.stack(columns, axis=1)


def _differences(pieces: Pieces, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Differences of what the two look like, and how textured the plainer and the richer one is."""
    step = np.abs(pieces.looks[a] - pieces.looks[b])
    color = np.sqrt((step[:, :3] ** 2).sum(axis=1, keepdims=True))
    spread = pieces.looks[:, [NAMES.index("std_L_0"), NAMES.index("std_L_1")]]
    return np.concatenate(
        [_squeezed(step), _squeezed(color), np.minimum(spread[a], spread[b]), np.maximum(spread[a], spread[b])], axis=1
    )


def mean_of(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Means (S, D) float64 of the rows of (V, D) over regions."""
    sums = [np.bincount(ids, weights=column) for column in values.T]
    return np.stack(sums, axis=1) / np.bincount(ids)[:, None]


def spread_of(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Standard deviations (S, D) float64 over regions."""
    mean = mean_of(values, ids)
    return np.sqrt(np.maximum(mean_of(values.astype(np.float64) ** 2, ids) - mean**2, 0))


def whole_objects(surface: Surface, lab: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Descriptors (S, 13) of regions as whole objects: colour and its spread, extent, height span, size, facing."""
    order = np.argsort(ids, kind="stable")
    start = np.searchsorted(ids[order], np.arange(int(ids.max()) + 1))
    low, high = (bound.reduceat(surface.vertices[order], start) for bound in (np.minimum, np.maximum))
    floor = np.percentile(surface.vertices[:, 2], 1.0)
    extent = np.log(high - low + surface.voxel)
    wide, narrow = extent[:, :2].max(axis=1), extent[:, :2].min(axis=1)
    size = np.log(np.bincount(ids) * surface.voxel**2)
    facing = mean_of(np.abs(surface.normals), ids)[:, 2]
    shape = np.stack([wide, narrow, extent[:, 2], low[:, 2] - floor, high[:, 2] - floor, size, facing], axis=1)
    return np.concatenate([mean_of(lab, ids), spread_of(lab, ids), shape], axis=1)
