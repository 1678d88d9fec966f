"""The scan: a coloured triangle mesh in scene coordinates, and its partition into superpoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Surface:
    """V vertices and F triangles in scene coordinates (metres, Z up)."""

    vertices: np.ndarray  # (V, 3) float32
    faces: np.ndarray  # (F, 3) int32, counter-clockwise seen from outside
    normals: np.ndarray  # (V, 3) float32, unit, towards observed free space
    colors: np.ndarray  # (V, 3) uint8 sRGB
    voxel: float  # metres, the resolution at which it was fused


@dataclass(frozen=True)
class Superpoints:
    """A partition of the surface's vertices into S connected pieces of one look and shape."""

    ids: np.ndarray  # (V,) int32, 0..S-1
    edges: np.ndarray  # (E, 2) int32, neighbouring superpoints a < b
    weights: np.ndarray  # (E,) float32, affinity in 0..1 (1: no boundary between them)
    features: np.ndarray  # (S, D) float32, standardised appearance and shape
    sizes: np.ndarray  # (S,) int32 vertices
    centers: np.ndarray  # (S, 3) float32 scene metres
    objects: np.ndarray  # (S, 2) int32, the object hypothesis around each superpoint: of few and of more pieces
    embedding: np.ndarray  # (S, E) float32, standardised descriptors of those hypotheses
