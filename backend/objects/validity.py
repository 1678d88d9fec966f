"""Whether a closed object is one that a person can trust: closed, turned outwards, solid, and not where cameras saw
empty space.

Closed alone says little: what only its skin was taken for is closed, too, and hollow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label
from scipy.spatial import ConvexHull, QhullError

SEALED = 0.1  # of a cavity's walls: with less of an opening to free space, cameras would have had to see into it
HOLLOW = 0.25  # of the solid's volume in such cavities


@dataclass(frozen=True)
class Report:
    """How far an object can be trusted."""

    closed: bool = False
    volume: float = 0.0  # cubic metres; 0 when open
    hull_ratio: float = 0.0  # of the volume to that of the convex hull
    free_violation: float = 0.0  # share of the volume that cameras saw empty
    observed: float = 1.0  # share of the area
    mirror_error: float | None = None  # metres
    notes: tuple[str, ...] = ()


def report_on(
    vertices: np.ndarray,
    faces: np.ndarray,
    observed: np.ndarray,
    hollow: float,
    free_violation: float,
    mirror_error: float | None = None,
    notes: tuple[str, ...] = (),
) -> Report:
    """Judge a mesh.

    Args:
        vertices: (n, 3) metres. faces: (m, 3). observed: (n,) 0..1.
        hollow: as of ``hollow_share``. free_violation: as of Report.

    Returns:
        With ``closed`` false, and why in ``notes``, for what is open, inside out or a hollow shell.
    """
    seen = observed_share(vertices, faces, observed)
    if not is_closed(faces):
        return Report(observed=seen, free_violation=free_violation, notes=(*notes, "It could not be closed."))
    volume = signed_volume(vertices, faces)
    if volume <= 0:
        return Report(observed=seen, free_violation=free_violation, notes=(*notes, "Its surface is inside out."))
    if hollow > HOLLOW:
        notes = (*notes, "It is a hollow shell: its inside was left empty although no camera saw it so.")
    whole = hollow <= HOLLOW
    ratio = volume / hull_volume(vertices)
    return Report(whole, volume if whole else 0.0, ratio, free_violation, seen, mirror_error, notes)


def is_closed(faces: np.ndarray) -> bool:
    """Whether every edge of faces (m, 3) has two faces that run along it in opposite directions."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    there = np.sort(ends[:, 0] << 32 | ends[:, 1])
    back = np.sort(ends[:, 1] << 32 | ends[:, 0])
    return bool(len(faces) and (np.diff(there) > 0).all() and np.array_equal(there, back))


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Cubic metres inside a closed mesh, negative when it is inside out."""
    center = vertices.mean(axis=0, dtype=np.float64)
    a, b, c = (vertices[corner] - center for corner in faces.T)
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


def hull_volume(vertices: np.ndarray) -> float:
    """Cubic metres in the convex hull of points (n, 3)."""
    try:
        return float(ConvexHull(vertices).volume)
    except QhullError:
        return float(ConvexHull(vertices, qhull_options="QJ").volume)


def observed_share(vertices: np.ndarray, faces: np.ndarray, observed: np.ndarray) -> float:
    """Share of the area that was seen."""
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return float((area * observed[faces].mean(axis=1)).sum() / max(area.sum(), 1e-12))


def hollow_share(inside: np.ndarray, free: np.ndarray, left_out: np.ndarray) -> float:
    """Volume of sealed cavities as a share of the solid's.

    A cavity is unseen space that was left out of the object. It is sealed when most of what bounds it is the object:
    then nothing speaks for its being empty.

    Args:
        inside, free, left_out: (X, Y, Z) bool, the object, what cameras saw empty, and the unseen that might be either.
    """
    cavity, count = label(left_out)
    if not count or not inside.any():
        return 0.0
    walls, opening = np.zeros(count + 1), np.zeros(count + 1)
    for axis in range(3):
        first, second = np.moveaxis(cavity, axis, 0), np.moveaxis(inside, axis, 0)
        third = np.moveaxis(free, axis, 0)
        for one, other in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            walls += np.bincount(first[one][second[other]], minlength=count + 1)
            opening += np.bincount(first[one][third[other]], minlength=count + 1)
    sealed = opening < SEALED * walls
    sealed[0] = False
    return float(np.bincount(cavity.ravel(), minlength=count + 1)[sealed].sum() / inside.sum())
