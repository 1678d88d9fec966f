"""Partition of the scan into superpoints: connected pieces of one look and shape.

Graph-based segmentation after Felzenszwalb and Huttenlocher (IJCV 2004) on the mesh's edges, in rounds as in
Boruvka's algorithm: every region proposes its weakest boundary edge at once, and the adaptive criterion decides.
Rounds are array operations; ties are broken by the edge's rank, so the result is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .features import EdgeGraph, components, describe, edge_graph
from .surface import Superpoints, Surface

SCALE = 1.5  # k of the criterion: a region of n vertices tolerates an edge k / n above its inner variation
MIN_SIZE = 8  # vertices
HYPOTHESES = (8, 24)  # superpoints per object hypothesis, two levels of grouping
SIZE_POWER = 0.35
LEAST_AFFINITY = 1e-4  # also keeps the factorisation away from denormal numbers, which are slow
BRIDGE_REACH = 10.0  # voxels: separate pieces of the mesh that are nearer than this are neighbours
BRIDGE_STRENGTH = 1.2

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Regions:
    """Neighbouring regions a < b with the mean strength and the length (in mesh edges) of their boundary."""

    pairs: np.ndarray  # (P, 2) int64
    strength: np.ndarray  # (P,) float64
    length: np.ndarray  # (P,) float64


def segment(surface: Surface, target: int = 3500, progress: Progress = lambda fraction, text: None) -> Superpoints:
    """Cut a surface into about ``target`` superpoints (never more; fewer when there is less to tell apart).

    Args:
        surface: V vertices; at least one face.
        target: upper limit of the number of superpoints, apart from pieces of the mesh that touch nothing.

    Returns:
        Superpoints, numbered by their first vertex.
    """
    progress(0.0, "Looking for boundaries")
    count = len(surface.vertices)
    graph = edge_graph(surface)
    progress(0.3, "Cutting into superpoints")
    ids = felzenszwalb(graph.edges, graph.strength, count, SCALE)
    ids = merge_small(ids, graph, MIN_SIZE)
    ids = split_large(ids, graph.edges, surface.vertices, 3.0 * count / target, surface.voxel)
    ids = merge_small(ids, graph, MIN_SIZE)
    progress(0.6, "Merging superpoints")
    ids = _first_vertex_order(agglomerate(regions(ids, graph), np.bincount(ids), target)[ids])
    progress(0.7, "Describing superpoints")
    return _described(surface, ids, graph, progress)


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


def merge_small(ids: np.ndarray, graph: EdgeGraph, min_size: int) -> np.ndarray:
    """Join every region below ``min_size`` vertices to the neighbour behind its weakest boundary edge."""
    order = np.argsort(graph.strength, kind="stable")
    edges = graph.edges[order].astype(np.int64)
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


def regions(ids: np.ndarray, graph: EdgeGraph) -> Regions:
    """The neighbourhood of a partition of the vertices."""
    ends = ids[graph.edges].astype(np.int64)
    keep = ends[:, 0] != ends[:, 1]
    return _summed(ends[keep], graph.strength[keep].astype(np.float64), np.ones(int(keep.sum())), int(ids.max()) + 1)


def _summed(pairs: np.ndarray, strength: np.ndarray, length: np.ndarray, count: int) -> Regions:
    keys = pairs.min(axis=1) * count + pairs.max(axis=1)
    unique, inverse = np.unique(keys, return_inverse=True)
    total = np.bincount(inverse, weights=length, minlength=len(unique))
    mean = np.bincount(inverse, weights=strength * length, minlength=len(unique)) / np.maximum(total, 1e-12)
    return Regions(np.stack([unique // count, unique % count], axis=1), mean, total)


def agglomerate(
    around: Regions, sizes: np.ndarray, target: int, limit: float = np.inf, power: float = 0.25
) -> np.ndarray:
    """Join regions that are each other's best neighbour, cheapest first, until ``target`` are left.

    Cost is mean boundary strength times the harmonic mean of the sizes to ``SIZE_POWER`` (small regions go first).

    Returns:
        (regions,) int32 new region of each old one.
    """
    count = len(sizes)
    label, sizes = np.arange(count), sizes.astype(np.float64)
    while count > target and len(around.pairs):
        a, b = around.pairs.T
        cost = around.strength * (2 * sizes[a] * sizes[b] / (sizes[a] + sizes[b])) ** SIZE_POWER
        order = np.argsort(cost, kind="stable")
        rank = np.arange(len(order))
        first = np.full(count, len(order), np.int64)
        np.minimum.at(first, a[order], rank)
        np.minimum.at(first, b[order], rank)
        mutual = rank[(first[a[order]] == rank) & (first[b[order]] == rank)][: count - target]
        if not len(mutual):
            break
        joined = components(around.pairs[order[mutual]], count).astype(np.int64)
        label = joined[label]
        sizes, count = np.bincount(joined, weights=sizes), int(joined.max()) + 1
        ends = joined[around.pairs]
        keep = ends[:, 0] != ends[:, 1]
        around = _summed(ends[keep], around.strength[keep], around.length[keep], count)
    return label.astype(np.int32)


def _first_vertex_order(ids: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def _described(surface: Surface, ids: np.ndarray, graph: EdgeGraph, progress: Progress) -> Superpoints:
    sizes = np.bincount(ids)
    around = _bridged(regions(ids, graph), surface, ids, graph)
    local = describe(surface)
    progress(0.9, "Describing superpoints")
    parts = [_mean(local, ids), _spread(graph.lab, ids)]
    for members in HYPOTHESES:
        coarse = agglomerate(around, sizes, max(len(sizes) // members, 1))
        parts.append(_hypothesis(surface, graph.lab, coarse[ids])[coarse])
    features = np.concatenate(parts, axis=1)
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    perimeter = 2 * np.sqrt(np.pi * sizes)
    a, b = around.pairs.T
    contact = np.minimum(around.length / np.minimum(perimeter[a], perimeter[b]), 1.0)
    return Superpoints(
        ids=ids,
        edges=around.pairs.astype(np.int32),
        weights=np.maximum(np.exp(-(around.strength**2)) * contact, LEAST_AFFINITY).astype(np.float32),
        features=np.clip(features, -4, 4).astype(np.float32),
        sizes=sizes.astype(np.int32),
        centers=_mean(surface.vertices, ids).astype(np.float32),
    )


def _mean(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    sizes = np.bincount(ids)
    sums = [np.bincount(ids, weights=column) for column in values.T]
    return np.stack(sums, axis=1) / sizes[:, None]


def _spread(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    mean = _mean(values, ids)
    return np.sqrt(np.maximum(_mean(values.astype(np.float64) ** 2, ids) - mean**2, 0))


def _hypothesis(surface: Surface, lab: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Descriptors of regions as whole objects: colour and its spread, extent, height span, size, facing."""
    count = int(ids.max()) + 1
    low, high = np.full((count, 3), np.inf, np.float32), np.full((count, 3), -np.inf, np.float32)
    np.minimum.at(low, ids, surface.vertices)
    np.maximum.at(high, ids, surface.vertices)
    floor = np.percentile(surface.vertices[:, 2], 1.0)
    extent = np.log(high - low + surface.voxel)
    wide, narrow = extent[:, :2].max(axis=1), extent[:, :2].min(axis=1)
    size = np.log(np.bincount(ids) * surface.voxel**2)
    facing = _mean(np.abs(surface.normals), ids)[:, 2]
    shape = np.stack([wide, narrow, extent[:, 2], low[:, 2] - floor, high[:, 2] - floor, size, facing], axis=1)
    return np.concatenate([_mean(lab, ids), _spread(lab, ids), shape], axis=1)


def _bridged(around: Regions, surface: Surface, ids: np.ndarray, graph: EdgeGraph) -> Regions:
    """Add weak neighbourhoods from small separate pieces of the mesh to the nearest other piece."""
    piece = components(graph.edges, len(ids))
    sizes = np.bincount(piece)
    main = piece == sizes.argmax()
    if main.all():
        return around
    loose = np.flatnonzero(~main)
    distance, at = cKDTree(surface.vertices[main]).query(
        surface.vertices[loose], distance_upper_bound=BRIDGE_REACH * surface.voxel
    )
    found = np.isfinite(distance)
    if not found.any():
        return around
    ends = np.stack([ids[loose[found]], ids[np.flatnonzero(main)[at[found]]]], axis=1).astype(np.int64)
    strength = np.concatenate([around.strength, np.full(len(ends), BRIDGE_STRENGTH)])
    length = np.concatenate([around.length, np.ones(len(ends))])
    return _summed(np.concatenate([around.pairs, ends]), strength, length, int(ids.max()) + 1)
