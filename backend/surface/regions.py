"""Regions of a graph: graph-based segmentation, clean-up, neighbourhoods and agglomeration, all as array operations.

Segmentation after Felzenszwalb and Huttenlocher (IJCV 2004) in rounds as in Boruvka's algorithm: every region proposes
its weakest boundary edge at once, and the adaptive criterion decides. Ties are broken by the edge's rank, so results
are deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .features import components

SIZE_POWER = 0.35


@dataclass(frozen=True)
class Regions:
    """Neighbouring regions a < b with the mean strength and the length (in mesh edges) of their boundary."""

    pairs: np.ndarray  # (P, 2) int64
    strength: np.ndarray  # (P,) float64
    length: np.ndarray  # (P,) float64


def felzenszwalb(edges: np.ndarray, strength: np.ndarray, count: int, scale: float) -> np.ndarray:
    """Regions (count,) int32 of the graph with edges (E, 2) and strengths (E,)."""
    order = np.argsort(strength, kind="stable")
    a, b = edges[order, 0].astype(np.int64), edges[order, 1].astype(np.int64)
    weight = strength[order]
    label = np.arange(count)
    inner = np.zeros(count, np.float32)
    size = np.ones(count, np.int64)
    while len(a):
        chosen = _weakest_edges(a, b, len(size))
        chosen = chosen[
            weight[chosen] <= np.minimum((inner + scale / size)[a[chosen]], (inner + scale / size)[b[chosen]])
        ]
        if not len(chosen):
            break
        joined = components(np.stack([a[chosen], b[chosen]], axis=1), len(size)).astype(np.int64)
        label = joined[label]
        new_inner = np.zeros(joined.max() + 1, np.float32)
        np.maximum.at(new_inner, joined, inner)
        np.maximum.at(new_inner, joined[a[chosen]], weight[chosen])
        inner, size = new_inner, np.bincount(joined, weights=size).astype(np.int64)
        a, b = joined[a], joined[b]
        keep = a != b
        a, b, weight = a[keep], b[keep], weight[keep]
    return label.astype(np.int32)


def _weakest_edges(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """For edges sorted by strength: the positions of the edges that are the first at one of their ends, unique."""
    first = np.full(count, len(a), np.int64)
    # numpy assigns repeated indices in order, so writing backwards leaves the smallest position.
    backwards = np.arange(len(a) - 1, -1, -1)
    first[a[::-1]] = backwards
    other = np.full(count, len(a), np.int64)
    other[b[::-1]] = backwards
    best = np.minimum(first, other)
    return np.unique(best[best < len(a)])


def merge_small(ids: np.ndarray, edges: np.ndarray, strength: np.ndarray, min_size: int) -> np.ndarray:
    """Join every region below ``min_size`` vertices to the neighbour behind its weakest boundary edge."""
    edges = edges[np.argsort(strength, kind="stable")].astype(np.int64)
    while True:
        size = np.bincount(ids)
        ends = ids[edges].astype(np.int64)
        keep = (ends[:, 0] != ends[:, 1]) & (size[ends] < min_size).any(axis=1)
        edges, ends = edges[keep], ends[keep]
        if not len(ends):
            return ids
        chosen = _weakest_edges(ends[:, 0], ends[:, 1], len(size))
        # An edge counts only where it is the weakest of a small region, else a large region would start chains.
        first = np.full(len(size), len(ends), np.int64)
        np.minimum.at(first, ends[chosen].ravel(), np.repeat(chosen, 2))
        small = np.flatnonzero((size < min_size) & (first < len(ends)))
        ids = components(ends[first[small]], len(size))[ids]


def split_large(ids: np.ndarray, edges: np.ndarray, points: np.ndarray, limit: float, voxel: float) -> np.ndarray:
    """Cut regions of more than ``limit`` vertices along a grid into connected pieces of about limit / 2."""
    size = np.bincount(ids)
    if size.max() <= limit:
        return ids
    # A surface one voxel apart has about 1.3 vertices per voxel area.
    cell = max(np.sqrt(limit / 2 / 1.3), 2.0) * voxel
    index = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
    span = index.max(axis=0) + 1
    key = (index[:, 0] * span[1] + index[:, 1]) * span[2] + index[:, 2]
    key[size[ids] <= limit] = -1
    same = (ids[edges[:, 0]] == ids[edges[:, 1]]) & (key[edges[:, 0]] == key[edges[:, 1]])
    return components(edges[same], len(ids))


def regions(ids: np.ndarray, edges: np.ndarray, strength: np.ndarray) -> Regions:
    """The neighbourhood of a partition of the vertices, from the graph's edges (E, 2) and their strengths (E,)."""
    ends = ids[edges].astype(np.int64)
    keep = ends[:, 0] != ends[:, 1]
    return summed(ends[keep], strength[keep].astype(np.float64), np.ones(int(keep.sum())), int(ids.max()) + 1)


def summed(pairs: np.ndarray, strength: np.ndarray, length: np.ndarray, count: int) -> Regions:
    """One neighbourhood for each distinct pair of ``count`` regions: lengths added, strengths averaged by length."""
    keys = pairs.min(axis=1) * count + pairs.max(axis=1)
    unique, inverse = np.unique(keys, return_inverse=True)
    total = np.bincount(inverse, weights=length, minlength=len(unique))
    mean = np.bincount(inverse, weights=strength * length, minlength=len(unique)) / np.maximum(total, 1e-12)
    return Regions(np.stack([unique // count, unique % count], axis=1), mean, total)


def agglomerate(
    around: Regions, sizes: np.ndarray, target: int = 1, limit: float = np.inf, power: float = SIZE_POWER
) -> np.ndarray:
    """Join regions that are each other's best neighbour, cheapest first.

    Cost is mean boundary strength times the harmonic mean of the sizes to ``power`` (small regions go first).

    Args:
        around: the neighbourhood; sizes: (regions,) vertices.
        target: stop when so many regions are left.
        limit: join nothing that costs as much.

    Returns:
        (regions,) int32 new region of each old one.
    """
    count = len(sizes)
    label, sizes = np.arange(count), sizes.astype(np.float64)
    while count > target and len(around.pairs):
        a, b = around.pairs.T
        cost = around.strength * (2 * sizes[a] * sizes[b] / (sizes[a] + sizes[b])) ** power
        order = np.argsort(cost, kind="stable")
        rank = np.arange(len(order))
        first = np.full(count, len(order), np.int64)
        np.minimum.at(first, a[order], rank)
        np.minimum.at(first, b[order], rank)
        mutual = rank[(first[a[order]] == rank) & (first[b[order]] == rank) & (cost[order] < limit)][: count - target]
        if not len(mutual):
            break
        joined = components(around.pairs[order[mutual]], count).astype(np.int64)
        label = joined[label]
        sizes, count = np.bincount(joined, weights=sizes), int(joined.max()) + 1
        ends = joined[around.pairs]
        keep = ends[:, 0] != ends[:, 1]
        around = summed(ends[keep], around.strength[keep], around.length[keep], count)
    return label.astype(np.int32)


def first_vertex_order(ids: np.ndarray) -> np.ndarray:
    """The same partition numbered by each region's first vertex, int32."""
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]
