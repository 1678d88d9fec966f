"""Mirror symmetry: the unseen side of a thing from the side that was seen.

Candidates are vertical planes. A mirror is believed when what it shows agrees with what cameras saw: mirrored points
lie on seen surface where anything was seen, and hardly any in space that was seen empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from .solid_field import Lattice, Seen

TURNS = 36  # directions tried, 5 degrees apart
SHIFTS = 13  # planes tried for each, through the middle 40 % of the thing
AROUND = 0.2  # of the extent to either side of the middle
POINTS = 2_000
TOLERANCE = 2.0  # cells
AGREES, IN_FREE = 0.8, 0.02  # shares of mirrored points: on seen surface (of those in seen space), and in empty space
LEAST_SEEN = 0.2  # share of mirrored points that must land where something was seen


@dataclass(frozen=True)
class Mirror:
    """The plane normal . p = offset in scene coordinates, and how well it fits."""

    normal: np.ndarray  # (3,) horizontal unit vector
    offset: float  # metres
    error: float  # metres, root mean square distance of the mirrored points from what was seen

    def of(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) on the other side."""
        return points - 2 * (points @ self.normal - self.offset)[:, None] * self.normal


def find_mirror(lattice: Lattice, seen: Seen, points: np.ndarray) -> Mirror | None:
    """The best vertical mirror plane of a thing; None when there is none to be believed.

    Args:
        points: (n, 3) of its seen surface.
    """
    points = points[:: len(points) // POINTS + 1].astype(np.float64)
    if not len(points):
        return None
    low, high = np.percentile(points, [1, 99], axis=0)
    center = 0.5 * (low + high)
    best = (-np.inf, 0.0, 0.0)
    for angle in np.arange(TURNS) * np.pi / TURNS:
        normal = _normal(angle)
        along = points @ normal
        extent = np.ptp(np.percentile(along, [1, 99]))
        for shift in np.linspace(-AROUND, AROUND, SHIFTS) * extent:
            offset = float(center @ normal + shift)
            best = max(best, (_scored(lattice, seen, points, angle, offset)[0], angle, offset))
    size = float((high - low).max())
    for step in (1.0, 0.5, 0.25):
        turn, shift = np.radians(2.0) * step, 0.02 * size * step
        _, angle, offset = best
        for turned in (-2 * turn, -turn, 0.0, turn, 2 * turn):
            # Turning about the thing's middle, not about the scene's origin.
            about = offset + float(center @ (_normal(angle + turned) - _normal(angle)))
            for shifted in (-2 * shift, -shift, 0.0, shift, 2 * shift):
                tried = angle + turned, about + shifted
                best = max(best, (_scored(lattice, seen, points, *tried)[0], *tried))
    _, angle, offset = best
    _, agrees, in_free, landed, error = _scored(lattice, seen, points, angle, offset)
    if agrees <= AGREES or in_free >= IN_FREE or landed < LEAST_SEEN:
        return None
    return Mirror(_normal(angle), offset, error)


def mirrored(lattice: Lattice, seen: Seen, mirror: Mirror, asked: np.ndarray, source: np.ndarray) -> tuple:
    """What the other side says about cells.

    Args:
        asked: (X, Y, Z) bool cells. source: (X, Y, Z) bool, seen cells of the thing itself.

    Returns:
        Which cells (X, Y, Z) bool it speaks about, their distances in metres and colours (k, 3) uint8, in order.
    """
    cells = np.argwhere(asked)
    at = (mirror.of(lattice.centers(cells)) / lattice.voxel - lattice.first).T
    whole = map_coordinates(source.astype(np.float32), at, order=1, mode="constant") > 0.99
    at = at[:, whole]
    told = np.zeros(lattice.shape, bool)
    told[tuple(cells[whole].T)] = True
    nearest = tuple(np.rint(at).astype(np.int64))
    return told, map_coordinates(seen.distance, at, order=1, mode="nearest"), seen.color[nearest][:, :3]


def _normal(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def _scored(
    lattice: Lattice, seen: Seen, points: np.ndarray, angle: float, offset: float
) -> tuple[float, float, float, float, float]:
    """Score of a mirror, its agreement, share in free space, share that lands where something was seen, error."""
    there = Mirror(_normal(angle), offset, 0.0).of(points)
    cells = np.rint(there / lattice.voxel).astype(np.int64) - lattice.first
    inside = ((cells >= 0) & (cells < lattice.shape)).all(axis=1)
    at = tuple(cells[inside].T)
    distance, known = seen.distance[at] / lattice.voxel, seen.weight[at] > 0
    on = known & (np.abs(distance) < TOLERANCE)
    landed = float(known.sum() / len(points))
    agrees = float(on.sum() / max(known.sum(), 1))
    in_free = float((known & (distance > TOLERANCE)).sum() / len(points))
    error = float(np.sqrt((distance[on] ** 2).mean())) * lattice.voxel if on.any() else np.inf
    return agrees - 5 * in_free + 0.2 * min(landed, 0.5), agrees, in_free, landed, error
