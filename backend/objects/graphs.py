"""Small graphs over the parts of a mesh: who lies beside whom, and choices that neighbours agree on."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

ROUNDS, DAMPING = 16, 0.5
PULL = 1e-5  # weight of what was told, against one neighbour


def edge_table(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges (e, 2) int64, lower vertex first, and the number of each face's edges 0-1, 1-2, 2-0: (m, 3)."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2).astype(np.int64)
    ends.sort(axis=1)
    keys, number = np.unique(ends[:, 0] * count + ends[:, 1], return_inverse=True)
    return np.stack([keys // count, keys % count], axis=1), number.reshape(-1, 3)


def is_closed(faces: np.ndarray, count: int) -> bool:
    """Whether every edge has exactly two faces, which pass it in opposite directions."""
    if not len(faces):
        return False
    start, end = faces.ravel().astype(np.int64), np.roll(faces, -1, axis=1).ravel().astype(np.int64)
    there = np.sort(start * count + end)
    return bool((there[1:] != there[:-1]).all() and np.array_equal(there, np.sort(end * count + start)))


def vertex_graph(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """(count, count) symmetric float32 matrix, 1 between the ends of every edge."""
    a, b = edge_table(faces, count)[0].T
    ones = np.ones(2 * len(a), np.float32)
    return sparse.csr_matrix((ones, (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(count, count))


def face_pairs(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (p, 2) of faces with a common edge, and the edge (p, 2) vertices. Of edges with more faces, consecutive."""
    edges, number = edge_table(faces, count)
    flat = number.ravel()
    order = np.argsort(flat, kind="stable")
    same = flat[order][1:] == flat[order][:-1]
    pairs = np.stack([order[:-1][same] // 3, order[1:][same] // 3], axis=1)
    return pairs, edges[flat[order][1:][same]]


def agreed(graph: sparse.csr_matrix, cost: np.ndarray, weight: float) -> np.ndarray:
    """A choice per node that costs little and that neighbours share: mean field of a Potts model.

    Args:
        graph: (N, N) symmetric, weights of the pairs. cost: (N, L), inf where a choice is not open; one is, per row.
        weight: what one neighbour of weight 1 with another choice costs.

    Returns:
        (N,) int64 column of the choice.
    """
    share = _softmax(-cost)
    for _ in range(ROUNDS):
        share = DAMPING * share + (1 - DAMPING) * _softmax(weight * (graph @ share) - cost)
    return share.argmax(axis=1)


def continued(graph: sparse.csr_matrix, values: np.ndarray, hold: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Values like those given where they are held, and like their neighbours' where they are not.

    Args:
        graph: (N, N) symmetric, weights of the pairs. values: (N, C). hold: (N,) weight against one neighbour's.
        told: (N, C), for what hangs together with nothing that is held.

    Returns:
        (N, C) float64.
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    system = sparse.diags(degree + hold + PULL) - graph
    right = hold[:, None] * values + PULL * told
    solver = splu(system.astype(np.float64).tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return solver.solve(right.astype(np.float64))


def _softmax(score: np.ndarray) -> np.ndarray:
    power = np.exp(score - score.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)
