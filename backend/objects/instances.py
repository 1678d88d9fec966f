"""Which parts are one thing: marks that name an instance split connected parts and join separate ones.

A part that holds several numbers is flooded from their marks over the mesh (a watershed by cheapest paths): to walk
costs the length of the way, and much more across creases, where two things touch, and across superpoints that hardly
belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from ..surface.mesh import vertex_edges
from ..surface.surface import Superpoints, Surface
from .patches import Parts

CREASE = 60.0  # voxels that a concave turn of one radian costs, however short the way
NOISE = 0.02  # radians of turn from one vertex to the next that say nothing
HOLLOW = 0.35  # sine of the angle by which a neighbour lies in front of a vertex's tangent plane
NEAR = 4.0  # voxels around a mark that are surely its instance's: a click may hit a hollow that nothing flows out of
NEARER = 1 / 3  # of the way to the next mark of another instance, if that is less
STRANGE = 20.0  # voxels that a step between superpoints without any affinity costs


@dataclass(frozen=True)
class Claim:
    """A person's word that some vertices belong to one instance of a label."""

    label: int  # uid
    instance: int  # > 0
    vertices: np.ndarray  # (n,) int64


@dataclass(frozen=True)
class Known:
    """An object that exists already; it keeps its number when it is made again."""

    label: int
    instance: int
    center: np.ndarray  # (3,) scene metres, anywhere in it


@dataclass(frozen=True)
class Claimed:
    """Parts after the claims, the number that each claimed part has, and sentences about claims without effect."""

    parts: Parts
    numbers: dict[int, int]
    notes: tuple[str, ...]


def settle_claims(
    surface: Surface, parts: Parts, claims: Sequence[Claim], superpoints: Superpoints | None = None
) -> Claimed:
    """Split parts between the claims in them; join parts that are claimed for the same instance.

    Args:
        claims: on labels that are things.
        superpoints: whose affinities guide the split, if there are any.
    """
    of_vertex, numbers = parts.of_vertex.copy(), {}
    next_part = int(of_vertex.max(initial=-1)) + 1
    lost = 0
    seeds = []  # (vertex, label, instance)
    for claim in claims:
        mine = claim.vertices[(parts.labels[claim.vertices] == claim.label) & (of_vertex[claim.vertices] >= 0)]
        lost += not len(mine)
        seeds.append(np.stack([mine, np.full_like(mine, claim.label), np.full_like(mine, claim.instance)], axis=1))
    seeds = np.concatenate([np.zeros((0, 3), np.int64), *seeds])
    joined: dict[tuple[int, int], int] = {}
    part_of_seed = of_vertex[seeds[:, 0]]
    for part in np.unique(part_of_seed).tolist():
        here = seeds[part_of_seed == part]
        members = np.flatnonzero(parts.of_vertex == part)
        split = _flooded(surface, superpoints, members, here[:, 0], here[:, 2])
        for number in np.unique(here[:, 2]).tolist():
            key = (int(here[0, 1]), number)
            if key not in joined:
                joined[key], numbers[next_part] = next_part, number
                next_part += 1
            of_vertex[members[split == number]] = joined[key]
    notes = (f"{lost} marks that name an instance lie on another label and were left out.",) if lost else ()
    return Claimed(replace(parts, of_vertex=of_vertex), numbers, notes)


def _flooded(
    surface: Surface, superpoints: Superpoints | None, members: np.ndarray, seeds: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """The number (n,) whose seed reaches each member (n,) of a part most cheaply."""
    if (numbers == numbers[0]).all():
        return np.full(len(members), numbers[0])
    local = np.full(len(surface.vertices), -1)
    local[members] = np.arange(len(members))
    edges = vertex_edges(surface.faces[(local[surface.faces] >= 0).all(axis=1)])
    cost = _steps(surface, superpoints, edges)
    a, b = local[edges].T
    graph = sparse.coo_matrix((cost, (a, b)), shape=(len(members), len(members))).tocsr()
    around, whose = _around(surface, members, seeds, numbers)
    start, numbers = np.append(local[seeds], around), np.append(numbers, whose)
    reach, _, source = dijkstra(graph, directed=False, indices=start, min_only=True, return_predecessors=True)
    number_of = np.zeros(len(members), np.int64)
    number_of[start] = numbers
    found = np.where(np.isfinite(reach), number_of[np.where(np.isfinite(reach), source, start[0])], 0)
    apart = found == 0  # a patch that a gap parts from all seeds goes with what is nearest
    if apart.any():
        points = surface.vertices[members]
        found[apart] = found[~apart][cKDTree(points[~apart]).query(points[apart])[1]]
    return found


def _around(
    surface: Surface, members: np.ndarray, seeds: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places (k,) in ``members`` that lie near a seed, and their numbers (k,)."""
    points = surface.vertices[seeds].astype(np.float64)
    reach = np.full(len(seeds), NEAR * surface.voxel)
    for number in np.unique(numbers):
        mine = numbers == number
        reach[mine] = np.minimum(reach[mine], NEARER * cKDTree(points[~mine]).query(points[mine])[0])
    away, seed = cKDTree(points).query(surface.vertices[members])
    near = np.flatnonzero(away < reach[seed])
    return near, numbers[seed[near]]


def _steps(surface: Surface, superpoints: Superpoints | None, edges: np.ndarray) -> np.ndarray:
    """What it costs (E,) to walk along edges (E, 2)."""
    a, b = edges.T
    way = (surface.vertices[b] - surface.vertices[a]).astype(np.float64)
    length = np.maximum(np.linalg.norm(way, axis=1), 1e-9)
    # Along a crease the surface turns across the way, so it counts where the surface is hollow, however one walks.
    turn = np.linalg.norm((surface.normals[b] - surface.normals[a]).astype(np.float64), axis=1)
    hollow = _hollow(surface, edges, way)
    cost = CREASE * np.where(hollow[a] | hollow[b], np.maximum(turn - NOISE, 0.0), 0.0)
    if superpoints is not None:
        pair = np.sort(superpoints.ids[edges].astype(np.int64), axis=1)
        count = len(superpoints.sizes)
        known = superpoints.edges[:, 0].astype(np.int64) * count + superpoints.edges[:, 1]
        order = np.argsort(known)
        at = np.searchsorted(known[order], pair[:, 0] * count + pair[:, 1]).clip(max=max(len(known) - 1, 0))
        if len(known):
            affinity = np.where(known[order[at]] == pair[:, 0] * count + pair[:, 1], superpoints.weights[order[at]], 0)
            cost += STRANGE * np.where(pair[:, 0] == pair[:, 1], 0.0, 1.0 - affinity)
    return length + surface.voxel * cost


def _hollow(surface: Surface, edges: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Vertices (V,) bool of which a neighbour along edges (E, 2) lies well in front of their tangent plane."""
    a, b = edges.T
    length = np.maximum(np.linalg.norm(way, axis=1), 1e-12)
    found = np.zeros(len(surface.vertices), bool)
    found[a[np.einsum("ij,ij->i", way, surface.normals[a]) > HOLLOW * length]] = True
    found[b[np.einsum("ij,ij->i", way, surface.normals[b]) < -HOLLOW * length]] = True
    return found


def instance_numbers(
    boxes: Sequence[tuple[np.ndarray, np.ndarray]], claimed: Sequence[int], known: Sequence[Known]
) -> list[int]:
    """Numbers of the parts of one label, in the order that free numbers are given out.

    A claimed number comes first, then that of a known object in its place (nearer than half the part's diagonal, the
    nearest pairs first), then the smallest free one; so numbers stay when other labels or instances change.

    Args:
        boxes: lowest and highest corner (3,) of each part. claimed: its number, 0 for none.
        known: objects of this label that exist.
    """
    numbers = list(claimed)
    pairs = []
    for part, (low, high) in enumerate(boxes):
        if not numbers[part]:
            for index, old in enumerate(known):
                away = float(np.linalg.norm(old.center - 0.5 * (low + high)))
                if away <= 0.5 * float(np.linalg.norm(high - low)):
                    pairs.append((round(away, 6), index, part))
    taken = set(numbers)
    for _, index, part in sorted(pairs):
        if not numbers[part] and known[index].instance not in taken:
            numbers[part] = known[index].instance
            taken.add(numbers[part])
    # A number that a known object of another place has stays free for it as long as there are others.
    reserved = taken | {old.instance for old in known}
    free = 0
    for part, number in enumerate(numbers):
        if not number:
            free += 1
            while free in reserved:
                free += 1
            numbers[part] = free
    return numbers
