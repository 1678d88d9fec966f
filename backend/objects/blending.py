"""Which photo paints which part of an object, and how their colours are made to meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from .exposure import gains
from .graphs import agreed, vertex_graph
from .srgb import to_srgb
from .texels import FineMesh

KEPT = 8  # sightings per vertex
PAIRS = 60_000  # of sightings, for the exposures
SMOOTHINGS = 4  # of what a photo shows, over its neighbours on the surface, for the low band
TOGETHER = 0.25  # what a neighbour's other choice costs, against the logarithm of a sighting's worth
OUTLIER, OUTLIER_COST = 0.07, 4.0  # sRGB: differences from what the other photos show that are well above it
WELL_SEEN, HOLD = 0.5, 30.0  # sum of worth that is fully believed; its weight against one neighbour
STRIP = 2  # rounds of averaging that make the strip in which one photo gives way to another


class Sightings:
    """The best photos of each of a fine mesh's V vertices."""

    def __init__(self, mesh: FineMesh):
        count = len(mesh.vertices)
        self.graph = vertex_graph(mesh.faces, count)
        self.photo = np.full((count, KEPT), -1, np.int32)
        self.worth = np.zeros((count, KEPT), np.float32)
        self.light = np.zeros((count, KEPT, 3), np.float32)

    def add(self, number: int, vertices: np.ndarray, worth: np.ndarray, light: np.ndarray) -> None:
        """A photo that shows vertices (P,) with worth (P,) > 0 and light (P, 3)."""
        near = self.graph[vertices][:, vertices]
        near = near + sparse.identity(len(vertices), dtype=np.float32, format="csr")
        share = sparse.diags(1.0 / np.asarray(near.sum(axis=1)).ravel())
        for _ in range(SMOOTHINGS):
            light = share @ (near @ light)
        slot = self.worth[vertices].argmin(axis=1)
        better = worth > self.worth[vertices, slot]
        rows, slot = vertices[better], slot[better]
        self.photo[rows, slot], self.worth[rows, slot] = number, worth[better]
        self.light[rows, slot] = light[better]


@dataclass(frozen=True)
class Blend:
    """How much each photo paints at each of V vertices, and what is added to its colour."""

    photo: np.ndarray  # (V, KEPT) int32, -1 = none
    weight: np.ndarray  # (V, KEPT) float32, rows add up to 1, or to 0 where no photo shows the vertex
    offset: np.ndarray  # (V, KEPT, 3) float32 sRGB
    smooth: np.ndarray  # (V, 3) float32 sRGB: the low band; where no photo shows anything, filled from around
    gains: np.ndarray  # (photos, 3) of linear light

    def weight_of(self, number: int) -> np.ndarray:
        """(V,) weight of one photo."""
        return np.where(self.photo == number, self.weight, 0.0).sum(axis=1)

    def offset_of(self, number: int) -> np.ndarray:
        """(V, 3) what is added to one photo's sRGB colours."""
        return np.where((self.photo == number)[..., None], self.offset, 0.0).sum(axis=1)

    @classmethod
    def of_all(cls, seen: Sequence[Sightings], crisp: np.ndarray, told: Sequence[np.ndarray]) -> list[Blend]:
        """Blends of several objects under common gains.

        Args:
            crisp: (photos,) factor of each photo's worth.
            told: (V, 3) linear light per object, for one that no photo shows.
        """
        levels = _common_gains(seen, len(crisp))
        return [cls._of(one, crisp, levels, own) for one, own in zip(seen, told, strict=True)]

    @classmethod
    def _of(cls, seen: Sightings, crisp: np.ndarray, levels: np.ndarray, told: np.ndarray) -> Blend:
        shown = seen.photo >= 0
        number = np.where(shown, seen.photo, 0)
        color = to_srgb((seen.light * levels[number]).clip(0.0, 1.0)).astype(np.float32)
        worth = np.where(shown, seen.worth * crisp[number], 0.0)
        trust = worth / (1.0 + (_strangeness(color, worth) / OUTLIER) ** 4)
        low = (color * trust[..., None]).sum(axis=1) / np.maximum(trust.sum(axis=1), 1e-12)[:, None]
        choice = _chosen(seen.graph, seen.photo, worth, _strangeness(color, worth))
        weight = _strips(seen.graph, seen.photo, shown, choice, len(crisp))
        any_shown = shown.any(axis=1)
        surely = (worth.sum(axis=1) / WELL_SEEN).clip(0.0, 1.0) ** 2 * any_shown
        smooth = _filled(seen.graph, low, surely, to_srgb(told.clip(0.0, 1.0)))
        offset = np.where(shown[..., None], smooth[:, None] - color, 0.0)
        return cls(seen.photo, weight, offset.astype(np.float32), smooth.astype(np.float32), levels)


def _common_gains(seen: Sequence[Sightings], photos: int) -> np.ndarray:
    """(photos, 3) gains from pairs of sightings of the same vertices."""
    counts = [(one.photo >= 0).sum(axis=1) for one in seen]
    step = max(int(sum((count * (count - 1) // 2).sum() for count in counts)) // PAIRS, 1)
    parts: list[tuple[np.ndarray, ...]] = []
    passed = 0  # every step-th pair counts; all of them would take hundreds of megabytes
    for one in seen:
        for i in range(KEPT):
            for j in range(i + 1, KEPT):
                both = np.flatnonzero((one.photo[:, i] >= 0) & (one.photo[:, j] >= 0))
                chosen = both[-passed % step :: step]
                passed += len(both)
                parts.append((one.photo[chosen, i], one.photo[chosen, j], one.light[chosen, i], one.light[chosen, j]))
    first, second, light, other = (np.concatenate([part[k] for part in parts]) for k in range(4))
    return gains(first, second, light, other, photos)


def _strangeness(color: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """(V, K) distance of each sighting's colour (V, K, 3) from the weighted median of all; 0 for fewer than three."""
    order = np.argsort(color, axis=1)
    ordered = np.take_along_axis(color, order, axis=1)
    weights = np.take_along_axis(np.broadcast_to(worth[..., None], color.shape), order, axis=1)
    total = np.cumsum(weights, axis=1)
    at = (total < 0.5 * total[:, -1:]).sum(axis=1, keepdims=True).clip(0, color.shape[1] - 1)
    middle = np.take_along_axis(ordered, at, axis=1)
    enough = (worth > 0).sum(axis=1, keepdims=True) >= 3
    return np.where(enough, np.abs(color - middle).max(axis=2), 0.0)


def _chosen(graph: sparse.csr_matrix, photo: np.ndarray, worth: np.ndarray, strange: np.ndarray) -> np.ndarray:
    """(V,) photo number that paints each vertex, -1 where none shows it."""
    chosen = np.full(len(photo), -1)
    rows = np.flatnonzero((worth > 0).any(axis=1))
    if not len(rows):
        return chosen
    numbers, column = np.unique(photo[rows], return_inverse=True)
    column = column.reshape(len(rows), -1)
    cost = np.full((len(rows), len(numbers)), np.inf, np.float32)
    best = worth[rows].max(axis=1, keepdims=True)
    own = -np.log(np.maximum(worth[rows], 1e-12) / best) + OUTLIER_COST * (strange[rows] / OUTLIER).clip(0, 2) ** 2 / 4
    np.put_along_axis(cost, column, np.where(worth[rows] > 0, own, np.inf), axis=1)
    chosen[rows] = numbers[agreed(graph[rows][:, rows], cost, TOGETHER)]
    return chosen


def _strips(
    graph: sparse.csr_matrix, photo: np.ndarray, shown: np.ndarray, choice: np.ndarray, photos: int
) -> np.ndarray:
    """(V, K) weights of the sightings: 1 for the chosen photo, softened where neighbours chose another."""
    count = len(photo)
    rows = np.flatnonzero(choice >= 0)
    share = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, choice[rows])), shape=(count, photos))
    near = graph + sparse.identity(count, dtype=np.float32, format="csr")
    near = sparse.diags(1.0 / np.asarray(near.sum(axis=1)).ravel().astype(np.float32)) @ near
    for _ in range(STRIP):
        share = near @ share
    every = np.repeat(np.arange(count), KEPT).reshape(count, KEPT)
    found = np.asarray(share[every.ravel(), np.where(shown, photo, 0).ravel()]).reshape(count, KEPT)
    weight = np.where(shown, found, 0.0)
    return (weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _filled(graph: sparse.csr_matrix, color: np.ndarray, surely: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Colours (V, 3) near those given where they are sure (V,), 0..1, and like their neighbours' where they are not.

    ``told`` where nothing is known around.
    """
    hold, pull = HOLD * surely, 1e-5
    degree = np.asarray(graph.sum(axis=1)).ravel()
    system = sparse.diags(degree + hold + pull) - graph
    right = hold[:, None] * color + pull * told
    return splu(system.astype(np.float64).tocsc()).solve(right.astype(np.float64)).clip(0.0, 1.0)
