"""Pieces of one thing between which nothing was scanned: a table's top and its legs, a lamp's shade and its pole.

Cameras see a table from above and its legs from the side, but hardly where the two meet. What rests on nothing must
hang on something: such a piece belongs to the pieces of its label right under it. And what little lies under or inside
a much larger piece of its label is a fragment of that one.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

# How far a piece that hangs may be from what is under it: voxels, metres, or share of its height.
GAP, LEAST_GAP, GAP_SHARE = 4.0, 0.08, 0.25
AROUND, LEAST_AROUND = 2.0, 0.05  # voxels, and metres, by which its outline, seen from above, is widened
FOOT = 1 / 3  # of a piece's height: where what it rests on would touch it
RESTING = 0.15  # share of its contacts there
FEWEST = 0.8  # of them, against the square root of its points: its foot is about as long as that
FRAGMENT = 0.05  # of the larger piece's area
UNDER = 0.9  # share of a fragment's points within the larger one's outline


def belonging(
    points: np.ndarray, piece: np.ndarray, label: np.ndarray, area: np.ndarray, contacts: np.ndarray, voxel: float
) -> np.ndarray:
    """Pairs (L, 2) of pieces that are one thing.

    Args:
        points: (n, 3) scene metres, Z up, of the pieces in question.
        piece: (n,) number of each point's piece, 0..P-1, each with at least one point.
        label: (P,) uid of each piece. area: (P,) square metres.
        contacts: (k, 2) a piece and the height (metres) at which something else touches it.
        voxel: metres.
    """
    order = np.argsort(piece, kind="stable")
    members = np.split(points[order], np.flatnonzero(np.diff(piece[order])) + 1)
    outlines: dict[int, np.ndarray] = {}
    around = max(AROUND * voxel, LEAST_AROUND)

    def within(one: int, other: int) -> np.ndarray:
        if one not in outlines:
            outlines[one] = _outline(members[one])
        sides = outlines[one]
        return (members[other][:, :2] @ sides[:, :2].T + sides[:, 2]).max(axis=1) < around

    low, high = (np.array([end(points[:, 2]) for points in members]) for end in (np.min, np.max))
    hangs = _hanging(low, high, np.bincount(piece), contacts)
    gap = np.maximum(max(GAP * voxel, LEAST_GAP), GAP_SHARE * (high - low))
    links = []
    for uid in np.unique(label):
        mine = np.flatnonzero(label == uid)
        for one in mine.tolist():
            fragment = (area[mine] < FRAGMENT * area[one]) & (high[mine] < high[one])
            for other in mine[fragment].tolist():
                if within(one, other).mean() > UNDER:
                    links.append((one, other))
            for other in mine[hangs[one] & (low[mine] < low[one])].tolist():
                heights = members[other][within(one, other), 2]
                if len(heights) and heights.max() > low[one] - gap[one]:
                    links.append((one, other))
    return np.array(links, np.int64).reshape(-1, 2)


def _hanging(low: np.ndarray, high: np.ndarray, size: np.ndarray, contacts: np.ndarray) -> np.ndarray:
    """Which pieces (P,) hardly anything touches at their foot: by lowest and highest point and number of points."""
    of, height = contacts[:, 0].astype(np.int64), contacts[:, 1]
    at_foot = height < low[of] + FOOT * (high - low)[of]
    count = np.bincount(of, minlength=len(low))
    foot = np.bincount(of, at_foot, minlength=len(low))
    return (foot < FEWEST * np.sqrt(size)) | (foot < RESTING * count)


def _outline(points: np.ndarray) -> np.ndarray:
    """The convex hull of points (n, 3) seen from above, as rows (m, 3) of a x + b y + d <= 0."""
    try:
        return ConvexHull(points[:, :2]).equations
    except (QhullError, ValueError):  # a line, or too few
        return ConvexHull(points[0, :2] + 1e-6 * np.array([[0, 0], [1, 0], [0, 1.0]])).equations
