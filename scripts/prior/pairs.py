"""From scenes to the two networks, each judged on scenes that the network before it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.surface.descriptors import EdgeEvidence, no_cues, pair_features
from backend.surface.prior import Network
from backend.surface.superpoints import Evidence, compare, judged, look, partition

from .examples import UNKNOWN, Example
from .networks import Rows, fit

EDGE_HIDDEN, EDGE_STEPS = (32, 16), 2000
PAIR_HIDDEN, PAIR_STEPS = (48, 24), 2000
TARGET = 3500  # superpoints per scene
BARE = 0.25  # weight of the scene without its frames, so that a bare mesh can be judged too
EDGES_KEPT = 150_000  # per scene


@dataclass(frozen=True)
class Views:
    """A scene as a network meets it: with what its frames say, and as a bare mesh."""

    scene: Example
    seen: Evidence
    bare: Evidence

    @classmethod
    def of(cls, scene: Example) -> Views:
        """Both, with one description of the surface."""
        seen = look(scene.surface, scene.cues, _silent)
        cues = no_cues(scene.surface, seen.graph.edges)
        return cls(
            scene, seen, replace(seen, cues=cues, edges=EdgeEvidence(scene.surface, seen.graph, seen.local, cues))
        )


def _silent(features: np.ndarray) -> np.ndarray:
    """In place of a network: no edge is a boundary."""
    return np.zeros(len(features), np.float32)


def edge_rows(scene: Example, evidence: Evidence, weight: float = 1.0) -> Rows:
    """The mesh edges of a scene whose ends are known, at most ``EDGES_KEPT`` of them."""
    ends = scene.objects[evidence.graph.edges]
    known = np.flatnonzero((ends != UNKNOWN).all(axis=1))
    if len(known) > EDGES_KEPT:
        known = np.sort(np.random.default_rng(scene.seed).choice(known, EDGES_KEPT, replace=False))
    target = (ends[known, 0] != ends[known, 1]).astype(np.float32)
    return Rows(evidence.edges.features(known), target, np.full(len(known), weight, np.float32))


def pair_rows(scene: Example, evidence: Evidence, network: Network, weight: float = 1.0) -> Rows:
    """All neighbouring superpoints of a scene that are mostly of one known object each."""
    evidence = judged(evidence, network)
    ids = partition(scene.surface, evidence.graph.edges, evidence.strength, TARGET)
    around, pieces = compare(scene.surface, ids, evidence)
    features = pair_features(around, pieces, evidence.edges, evidence.logits, scene.surface.voxel)
    owner, purity = majority(ids, scene.objects)
    ends = owner[around.pairs]
    known = np.flatnonzero((ends != UNKNOWN).all(axis=1))
    pure = purity[around.pairs[known]].prod(axis=1) * weight
    return Rows(features[known], (ends[known, 0] != ends[known, 1]).astype(np.float32), pure)


def majority(ids: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most frequent true id of each region (S,), 0 where nothing is known, and its share of all vertices (S,)."""
    count = int(ids.max()) + 1
    keys, times = np.unique(ids.astype(np.int64) << 20 | truth, return_counts=True)
    regions, values = keys >> 20, keys & 0xFFFFF
    times = np.where(values == UNKNOWN, 0, times)
    order = np.lexsort((values, times, regions))
    owner, most = np.zeros(count, np.int64), np.zeros(count)
    owner[regions[order]] = values[order]
    most[regions[order]] = times[order]
    return owner, most / np.bincount(ids)


def train(scenes: Sequence[Views], seed: int = 0) -> tuple[Network, Network]:
    """Both networks from the scenes.

    The pair network sees what the edge network says; on the edge network's own scenes that would be too good, so it
    learns from two halves of the scenes, each judged by an edge network of the other half.
    """
    rows = [[edge_rows(v.scene, v.seen), edge_rows(v.scene, v.bare, BARE)] for v in scenes]
    halves = [range(0, len(scenes), 2), range(1, len(scenes), 2)]
    pairs = []
    for half, other in (halves, halves[::-1]):
        network = fit([r for k in half for r in rows[k]], EDGE_HIDDEN, EDGE_STEPS, seed)
        for k in other:
            pairs.append(pair_rows(scenes[k].scene, scenes[k].seen, network))
            pairs.append(pair_rows(scenes[k].scene, scenes[k].bare, network, BARE))
    edges = fit([r for both in rows for r in both], EDGE_HIDDEN, EDGE_STEPS, seed)
    return edges, fit(pairs, PAIR_HIDDEN, PAIR_STEPS, seed)
