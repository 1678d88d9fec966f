"""Partition of the scan into superpoints, how likely neighbours are one object, and the objects that this suggests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from ..progress import Progress, silent
from .cues import Cues
from .descriptors import EdgeEvidence, Pieces, mean_of, no_cues, pair_features, spread_of, whole_objects
from .features import EdgeGraph, components, describe, edge_graph
from .prior import Network, Prior, shipped
from .regions import Regions, agglomerate, felzenszwalb, first_vertex_order, merge_small, regions, split_large, summed
from .surface import Superpoints, Surface

SCALE = 0.7  # k of the criterion: a region of n vertices tolerates an edge k / n above its inner variation
MIN_SIZE = 8  # vertices
HYPOTHESES = (8, 24)  # superpoints per object hypothesis at two levels, without the prior
MERGE = (0.05, 0.15)  # probability of a boundary below which superpoints are one hypothesis, with the prior
LEAST_AFFINITY = 1e-7  # of the largest; also keeps the factorisation away from denormal numbers, which are slow
SOFTEST = 0.02  # probability of a boundary at which the affinity is levelled off
BRIDGE_REACH = 10.0  # voxels: separate pieces of the mesh that are nearer than this are neighbours
BRIDGE_STRENGTH = 1.2


@dataclass(frozen=True)
class Evidence:
    """What is known of a surface before it is cut."""

    graph: EdgeGraph
    local: np.ndarray  # (V, D) descriptors
    cues: Cues
    edges: EdgeEvidence | None  # and
    logits: np.ndarray | None  # (E,) of the probability of a boundary, where a network says
    strength: np.ndarray  # (E,) that the cut goes by


def segment(
    surface: Surface,
    cues: Cues | None = None,
    target: int = 3500,
    progress: Progress = silent,
    prior: Callable[[], Prior | None] = shipped,
) -> Superpoints:
    """Cut a surface into about ``target`` superpoints (never more; fewer when there is less to tell apart).

    Args:
        surface: V vertices; at least one face.
        cues: what the capture's frames say about it; None for a bare mesh.
        target: upper limit of the number of superpoints, apart from pieces of the mesh that touch nothing.
        prior: gives the learned prior, or None for hand-made weights.

    Returns:
        Superpoints, numbered by their first vertex.
    """
    progress(0.0, "Looking for boundaries")
    learned = prior()
    evidence = look(surface, cues, learned.edges if learned else None)
    progress(0.4, "Cutting into superpoints")
    ids = partition(surface, evidence.graph.edges, evidence.strength, target)
    progress(0.7, "Comparing superpoints")
    return _described(surface, ids, evidence, learned)


def look(surface: Surface, cues: Cues | None, network: Network | None) -> Evidence:
    """What is known of a surface before it is cut; ``network`` judges its edges."""
    with ThreadPoolExecutor(1) as pool:
        described = pool.submit(describe, surface)
        graph = edge_graph(surface)
        local = described.result()
    cues = no_cues(surface, graph.edges) if cues is None else cues
    if network is None:
        return Evidence(graph, local, cues, None, None, graph.strength)
    edges = EdgeEvidence(surface, graph, local, cues)
    return judged(Evidence(graph, local, cues, edges, None, graph.strength), network)


def judged(evidence: Evidence, network: Network) -> Evidence:
    """The evidence with what a network says of its edges."""
    logits = evidence.edges.logits(network)
    strength = np.logaddexp(0, logits) + evidence.graph.strength  # -log(1 - p) of a logit
    return replace(evidence, logits=logits, strength=strength.astype(np.float32))


def partition(surface: Surface, edges: np.ndarray, strength: np.ndarray, target: int) -> np.ndarray:
    """Connected superpoints (V,) int32 of the mesh's edges (E, 2), few strong ones inside."""
    count = len(surface.vertices)
    ids = felzenszwalb(edges, strength, count, SCALE)
    ids = merge_small(ids, edges, strength, MIN_SIZE)
    ids = split_large(ids, edges, surface.vertices, 3.0 * count / target, surface.voxel)
    ids = merge_small(ids, edges, strength, MIN_SIZE)
    return first_vertex_order(agglomerate(regions(ids, edges, strength), np.bincount(ids), target)[ids])


def _described(surface: Surface, ids: np.ndarray, evidence: Evidence, prior: Prior | None) -> Superpoints:
    graph = evidence.graph
    around, pieces = compare(surface, ids, evidence)
    if prior is None:
        contact = np.minimum(around.length / (2 * np.sqrt(np.pi * pieces.sizes[around.pairs].min(axis=1))), 1.0)
        affinity = np.exp(-(around.strength**2)) * contact
        objects = [
            agglomerate(around, pieces.sizes, max(len(pieces.sizes) // members, 1), power=0.35)
            for members in HYPOTHESES
        ]
    else:
        logits = prior.pairs(pair_features(around, pieces, evidence.edges, evidence.logits, surface.voxel))
        different = 1 / (1 + np.exp(-logits.astype(np.float64)))
        affinity = around.length * ((1 - different) / (different + SOFTEST)) ** 2
        affinity /= affinity.max(initial=1e-30)
        doubt = Regions(around.pairs, different, around.length)
        objects = [agglomerate(doubt, pieces.sizes, limit=limit, power=0.0) for limit in MERGE]
    features = np.concatenate([pieces.looks, spread_of(graph.lab, ids)], axis=1)
    wholes = [_standardised(whole_objects(surface, graph.lab, of[ids])[of]) for of in objects]
    return Superpoints(
        ids=ids,
        edges=around.pairs.astype(np.int32),
        weights=np.maximum(affinity, LEAST_AFFINITY).astype(np.float32),
        features=_standardised(features),
        sizes=pieces.sizes.astype(np.int32),
        centers=pieces.centers.astype(np.float32),
        objects=np.stack(objects, axis=1).astype(np.int32),
        embedding=np.concatenate(wholes, axis=1),
    )


def compare(surface: Surface, ids: np.ndarray, evidence: Evidence) -> tuple[Regions, Pieces]:
    """The neighbourhood of superpoints (V,), bridged where the mesh is torn, and what they are like."""
    graph = evidence.graph
    around = _bridged(regions(ids, graph.edges, graph.strength), surface, ids, graph)
    looks = mean_of(np.concatenate([evidence.local, evidence.cues.vertices[:, 4:]], axis=1), ids)
    centers, normals = mean_of(surface.vertices, ids), mean_of(surface.normals, ids)
    return around, Pieces(ids, np.bincount(ids), looks, centers, normals)


def _standardised(features: np.ndarray) -> np.ndarray:
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    return np.clip(features, -4, 4).astype(np.float32)


def _bridged(around: Regions, surface: Surface, ids: np.ndarray, graph: EdgeGraph) -> Regions:
    """Add weak neighbourhoods from small separate pieces of the mesh to the nearest other piece."""
    piece = components(graph.edges, len(ids))
    on_main = piece == np.bincount(piece).argmax()
    reach = BRIDGE_REACH * surface.voxel
    cells = np.floor(surface.vertices / reach).astype(np.int64) + (1 << 20)
    loose = np.flatnonzero(~on_main)
    main = np.flatnonzero(on_main & _beside(cells, cells[loose]))
    if not len(main):
        return around
    distance, at = cKDTree(surface.vertices[main]).query(surface.vertices[loose], distance_upper_bound=reach)
    found = np.isfinite(distance)
    ends = np.stack([ids[loose[found]], ids[main[at[found]]]], axis=1).astype(np.int64)
    strength = np.concatenate([around.strength, np.full(len(ends), BRIDGE_STRENGTH)])
    length = np.concatenate([around.length, np.ones(len(ends))])
    return summed(np.concatenate([around.pairs, ends]), strength, length, int(ids.max()) + 1)


def _beside(cells: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which grid cells (N, 3) are among or next to the wanted ones (M, 3), (N,) bool."""

    def keys(index: np.ndarray) -> np.ndarray:
        return index[:, 0] << 42 | index[:, 1] << 21 | index[:, 2]

    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    near = keys((np.unique(wanted, axis=0)[:, None] + steps).reshape(-1, 3))
    return np.isin(keys(cells), near)
