"""A large mesh to measure with: a field of coloured domes, and marks on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from backend.datasets.cloud import ply, vertex_columns

SIDE = 10.0  # metres
DOMES = 60


def write_mesh(path: Path, count: int) -> np.ndarray:
    """A binary PLY of about so many vertices; these, (V, 3) metres."""
    side = round(count**0.5)
    rng = np.random.default_rng(0)
    at = np.stack(np.meshgrid(*[np.arange(side) * (SIDE / side)] * 2, indexing="ij"), -1).astype(np.float32)
    height, color = rng.normal(0, 5e-4, (side, side)), np.full((side, side, 3), 150, np.uint8)
    for center, radius, top in zip(
        rng.uniform(0.5, 9.5, (DOMES, 2)), rng.uniform(0.1, 0.5, DOMES), rng.uniform(0.1, 0.8, DOMES), strict=True
    ):
        away = np.hypot(*(at - center).transpose(2, 0, 1)) / radius
        inside = away < 1
        height[inside] = np.maximum(height[inside], top * np.sqrt(1 - away[inside] ** 2))
        color[inside] = rng.integers(0, 255, 3)
    points = np.dstack([at, height]).reshape(-1, 3)
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = (corner.ravel() for corner in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    path.write_bytes(ply(vertex_columns(points, color.reshape(-1, 3)), faces))
    return points


def document(points: np.ndarray, labels: int, marks: int) -> dict:
    """A label document of so many labels and marks at some of the points (V, 3)."""
    places = np.random.default_rng(1).choice(len(points), marks, replace=False)
    tree = [{"uid": uid, "name": f"label {uid}", "parent": 0, "kind": "class"} for uid in range(1, labels + 1)]
    said = enumerate(points[places].tolist())
    return {"tree": tree, "marks": [{"id": n + 1, "label": n % labels + 1, "points": [p]} for n, p in said]}


def write(folder: Path, count: int, labels: int, marks: int) -> tuple[Path, Path]:
    """A mesh of about so many vertices and marks on it; where both lie."""
    mesh, said = folder / "hills.ply", folder / "marks.json"
    said.write_text(json.dumps(document(write_mesh(mesh, count), labels, marks)), encoding="utf-8")
    return mesh, said
