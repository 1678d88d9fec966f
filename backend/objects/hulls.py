"""Collision hulls of an object: one convex mesh around it, or several that follow its shape."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from ..errors import UserError
from .decimate import simplified

MOST_VERTICES = 64  # of the one hull
CLOSE_ENOUGH = 0.005  # of the size: a hull without the vertices that stick out by less
PART_VERTICES, PARTS = 32, 12  # of a decomposition
TRIES = ((0.1, 20.0), (0.25, 8.0))  # concavity, of the size, and the seconds that are given to it
LOOK_EVERY = 0.1  # seconds between two looks at whether the person has cancelled
FACES = 2_500  # of what is decomposed
THINNEST = 0.002  # metres, of a hull of something flat
DECOMPOSER = Path(__file__).with_name("decomposer.py")

Hull = tuple[np.ndarray, np.ndarray]


def hulls(
    vertices: np.ndarray, faces: np.ndarray, kind: str, check: Callable[[], None] = lambda: None
) -> tuple[list[Hull], str]:
    """Convex meshes for collisions.

    Args:
        vertices: (n, 3) metres; faces: (m, 3) int.
        kind: ``convex`` for one hull of at most 64 vertices, ``decomposed`` for at most a dozen by CoACD (Wei et al.
            2022) in a process of its own; one hull where that finds nothing within half a minute.
        check: called while that goes on; may raise Cancelled, which ends it.

    Returns:
        Vertices (q, 3) float32 and outward faces (r, 3) int32 of each, the largest first; and a sentence when there
        is one hull in place of several, else "".

    Raises:
        UserError: the package coacd is missing.
    """
    note = ""
    if kind == "decomposed":
        if importlib.util.find_spec("coacd") is None:
            raise UserError(
                "no_coacd", "Decomposed hulls need the package coacd in the backend's Python; install it there."
            )
        parts = _decomposed(np.asarray(vertices, np.float64), np.asarray(faces), check)
        if parts:
            made = [convex_hull(part, PART_VERTICES) for part in parts]
            return sorted(made, key=lambda hull: -float(np.ptp(hull[0], axis=0).prod())), ""
        note = "Its collision shape is one convex hull: cutting it into several took too long."
    return [convex_hull(np.asarray(vertices, np.float64)[np.unique(faces)], MOST_VERTICES)], note


def convex_hull(points: np.ndarray, most: int) -> Hull:
    """The convex hull of points (n, 3) float64 from at most ``most`` of them, those first that stick out most."""
    points = np.unique(points, axis=0)
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:  # flat, or hardly any points: something thin around them
        points = _thick(points)
        corners = points[ConvexHull(points).vertices]
    directions = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z], float)
    chosen = list(dict.fromkeys((corners @ directions.T).argmax(axis=0).tolist()))[:most]
    size = float(np.linalg.norm(np.ptp(corners, axis=0)))
    try:
        hull = ConvexHull(corners[chosen], incremental=True)
    except QhullError:
        chosen = list(range(len(corners)))
        hull = ConvexHull(corners)
    while len(chosen) < min(most, len(corners)):
        outside = (corners @ hull.equations[:, :3].T + hull.equations[:, 3]).max(axis=1)
        farthest = int(outside.argmax())
        if outside[farthest] < CLOSE_ENOUGH * size:
            break
        chosen.append(farthest)
        hull.add_points(corners[[farthest]])
    return _mesh(corners[chosen])


def _mesh(corners: np.ndarray) -> Hull:
    """The hull of corners as a mesh with outward faces."""
    hull = ConvexHull(corners)
    number = np.full(len(corners), -1)
    number[hull.vertices] = np.arange(len(hull.vertices))
    faces = number[hull.simplices]
    points = corners[hull.vertices]
    a, b, c = points[faces].transpose(1, 0, 2)
    inward = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(axis=1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return points.astype(np.float32), faces.astype(np.int32)


def _thick(points: np.ndarray) -> np.ndarray:
    """Points on either side of flat points, and in every direction in which there are none."""
    half = 0.5 * THINNEST
    offsets = half * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return (points[:, None] + offsets).reshape(-1, 3)


def _decomposed(vertices: np.ndarray, faces: np.ndarray, check: Callable[[], None]) -> list[np.ndarray]:
    """Points of the parts of a decomposition; none when it takes too long or fails.

    In a process of its own, since CoACD cannot be interrupted and its threads get on badly with those of torch.
    """
    vertices, faces, _ = simplified(vertices, faces, np.zeros((len(vertices), 0)), FACES)
    with tempfile.TemporaryDirectory(prefix="clickfield-") as folder:
        given, made = Path(folder, "mesh.npz"), Path(folder, "parts.npz")
        np.savez(given, vertices=vertices, faces=faces)
        for concavity, seconds in TRIES:
            command = [sys.executable, "-P", str(DECOMPOSER), str(given), str(made), str(concavity), str(PARTS)]
            if _ran(command, seconds, check) and made.exists():
                with np.load(made, allow_pickle=False) as parts:
                    found = [parts[name].astype(np.float64) for name in sorted(parts.files)]
                return [part for part in found if len(part) >= 4]
    return []


def _ran(command: list[str], seconds: float, check: Callable[[], None]) -> bool:
    """Whether a program came to a good end within its time; otherwise it is killed, also when ``check`` raises."""
    until = time.monotonic() + seconds
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as child:
        try:
            while time.monotonic() < until:
                check()
                try:
                    return child.wait(LOOK_EVERY) == 0
                except subprocess.TimeoutExpired:
                    continue
            return False
        finally:
            child.kill()
