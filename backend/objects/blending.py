"""Which photos paint which part of an object, and how their colours are made to meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .exposure import gains
from .graphs import continued, vertex_graph
from .srgb import to_srgb
from .texels import FineMesh

KEPT = 8  # sightings per vertex
PAIRS = 60_000  # of sightings, for the exposures
SMOOTHINGS = 4  # of what a photo shows, over its neighbours on the surface, for the low band
OUTLIER = 0.07  # sRGB: photos that differ from what the others show by well more than it count little
SHARPEST = 3  # power of a photo's worth in the detail: one that shows a place much better paints it alone
LEAST = 0.03  # of the best photo's share: less is not worth looking it up
WELL_SEEN, HOLD = 0.02, 30.0  # sum of worth that is fully believed; its weight against one neighbour


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
    """How much each photo paints at each of V vertices; the colour over a few texels is ``smooth``, not the photo's."""

    photo: np.ndarray  # (V, KEPT) int32, -1 = none
    weight: np.ndarray  # (V, KEPT) float32, rows add up to 1, or to 0 where no photo shows the vertex
    color: np.ndarray  # (V, KEPT, 3) float32 sRGB of each photo over a few texels
    smooth: np.ndarray  # (V, 3) float32 sRGB: the low band; where no photo shows anything, filled from around
    gains: np.ndarray  # (photos, 3) of linear light

    def paints(self, number: int) -> bool:
        """Whether a photo paints anything."""
        return bool(((self.photo == number) & (self.weight > 0)).any())

    def given_by(self, number: int) -> np.ndarray:
        """(V, 4) float32 of one photo: what is added to its sRGB colours, times its weight; and its weight."""
        vertex, slot = np.nonzero((self.photo == number) & (self.weight > 0))
        weight = self.weight[vertex, slot, None]
        given = np.zeros((len(self.photo), 4), np.float32)
        given[vertex] = np.concatenate([(self.smooth[vertex] - self.color[vertex, slot]) * weight, weight], axis=1)
        return given

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
        weight = (trust / np.maximum(trust.max(axis=1, keepdims=True), 1e-12)) ** SHARPEST
        weight = np.where(weight < LEAST, 0.0, weight)
        weight = (weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
        any_shown = shown.any(axis=1)
        surely = (worth.sum(axis=1) / WELL_SEEN).clip(0.0, 1.0) ** 2 * any_shown
        smooth = _filled(seen.graph, low, surely, to_srgb(told.clip(0.0, 1.0)))
        return cls(seen.photo, weight, color, smooth.astype(np.float32), levels)


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


def _filled(graph: sparse.csr_matrix, color: np.ndarray, surely: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Colours (V, 3) as given where they are sure (V,), 0..1, and like their neighbours' the less they are.

    ``told`` where nothing is known around.
    """
    filled = color.astype(np.float64)
    unsure = surely < 1.0
    part = np.flatnonzero(unsure | (graph @ unsure.astype(np.float32) > 0))
    if len(part):
        found = continued(graph[part][:, part], filled[part], HOLD * surely[part], told[part])
        filled[part[unsure[part]]] = found[unsure[part]]
    return filled.clip(0.0, 1.0)
