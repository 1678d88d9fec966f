"""Which part of the space that no camera saw belongs to an object.

Behind a seen surface there may be a solid or nothing: the answer that needs the least invented surface is taken. That
is a minimum cut (as for surfaces from visibility by Labatut et al. 2009) between the seen surface, behind which the
object is, and the space that cameras saw empty: filling the unseen costs its rim towards free space, leaving it out
costs the back of the seen surface. So a box that was seen from one side is filled, the dark under a table is not.

How full a thing is where cameras looked tells how full it is elsewhere: they see hardly any empty space inside the hull
of a box or a sofa, and much between leaves, boards and legs. The more of it they saw, the more filling costs.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

ALONG = 44  # nodes along the longest side
# What an invented face costs: between the unseen and itself or the back of what was seen; towards free space; on the
# convex hull of what was seen. Faces on supports and neighbours cost nothing.
WITHIN, OPEN, ON_HULL = 20, 18, 8
# Share of its hull seen empty from which a thing is an open one, and what each unseen cell then costs for every share
# above it, where ALONG cells are as long as the thing.
FULL, FILLING = 0.2, 8.0


def filled(
    dark: np.ndarray, shell: np.ndarray, free: np.ndarray, own: np.ndarray, in_hull: np.ndarray, emptiness: float
) -> np.ndarray:
    """Which unseen cells belong to the object.

    Args:
        dark: (X, Y, Z) bool, unseen. shell: just behind a seen surface. free: seen empty; the three are a partition.
        own: not a neighbour's, and in front of all supports. in_hull: in the hull of what was seen of the object.
        emptiness: share of that hull that was seen empty, 0..1.

    Returns:
        (X, Y, Z) bool, a part of ``dark & own & in_hull``.
    """
    open_question = dark & own & in_hull
    step = max(round(max(dark.shape) / ALONG), 1)
    node_of, count = _nodes(open_question, step)
    if not count:
        return open_question
    solid, beyond = shell & own, dark & own & ~in_hull
    source, sink = np.zeros(count, np.int64), np.zeros(count, np.int64)
    links = []
    for axis in range(3):
        for one, other in (_pair(axis, False), _pair(axis, True)):
            asked = open_question[one]
            nodes = node_of[one][asked]
            source += WITHIN * np.bincount(nodes[solid[other][asked]], minlength=count)
            sink += OPEN * np.bincount(nodes[free[other][asked]], minlength=count)
            sink += ON_HULL * np.bincount(nodes[beyond[other][asked]], minlength=count)
            both = asked & open_question[other]
            a, b = node_of[one][both], node_of[other][both]
            links.append((a * count + b)[a != b])
    cells = np.bincount(node_of[open_question], minlength=count)
    sink += np.rint(FILLING * max(emptiness - FULL, 0.0) * ALONG / max(dark.shape) * cells).astype(np.int64)
    inside = _cut(source, sink, np.concatenate(links), count)
    return open_question & inside[node_of]


def blurred(inside: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """A smooth field (X, Y, Z) float32 in cells, negative inside, good near its zero.

    Args:
        inside: bool. known: bool, where inside is a statement; elsewhere it goes on as it is nearby.
        sigma: cells.
    """
    share = gaussian_filter(known.astype(np.float32), sigma, truncate=3.0)
    mean = gaussian_filter((inside & known).astype(np.float32), sigma, truncate=3.0) / np.maximum(share, 1e-6)
    return (0.5 - mean) * np.float32(np.sqrt(2 * np.pi) * sigma)


def _nodes(asked: np.ndarray, step: int) -> tuple[np.ndarray, int]:
    """Node number of each cell (X, Y, Z) int64, cubes of ``step`` cells being one node; and how many there are."""
    x, y, z = (np.arange(n, dtype=np.int64) // step for n in asked.shape)
    cube = (x[:, None, None] * (y[-1] + 1) + y[:, None]) * (z[-1] + 1) + z
    used = np.zeros(int(cube[-1, -1, -1]) + 1, bool)
    used[cube[asked]] = True
    number = np.cumsum(used) - 1
    return np.maximum(number[cube], 0), int(used.sum())


def _pair(axis: int, swapped: bool) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    low, high = [slice(None)] * 3, [slice(None)] * 3
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return (tuple(high), tuple(low)) if swapped else (tuple(low), tuple(high))


def _cut(source: np.ndarray, sink: np.ndarray, links: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool: nodes on the source's side of the minimum cut."""
    keys, faces = np.unique(links, return_counts=True)
    nodes = np.arange(count)
    rows = np.concatenate([keys // count, np.full(count, count), nodes])
    columns = np.concatenate([keys % count, nodes, np.full(count, count + 1)])
    capacity = np.concatenate([WITHIN * faces, source, sink])
    used = capacity > 0
    size = (count + 2, count + 2)
    graph = coo_matrix((capacity[used].astype(np.int32), (rows[used], columns[used])), shape=size).tocsr()
    flow = maximum_flow(graph, count, count + 1).flow
    left = graph - flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(count + 2, bool)
    reached[breadth_first_order(left, count, return_predecessors=False)] = True
    return reached[:count]
