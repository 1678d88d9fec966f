"""What a surface looks like at each vertex: colour, its local statistics, local shape, normal and height.

Wide neighbourhoods are computed on a voxel grid that grows with the scale and looked up from there, so that the cost
does not grow with the neighbourhood. No images are needed: everything comes from the fused, coloured mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from .surface import Surface

GEOMETRY_SCALES = (0.06, 0.15, 0.40)  # metres, radius of the neighbourhood
COLOR_SCALES = (0.06, 0.15)  # metres
NAMES = (
    *("L", "a", "b"),
    *(f"{stat}_{channel}_{k}" for k in range(len(COLOR_SCALES)) for stat in ("mean", "std") for channel in "Lab"),
    *(
        f"{name}_{k}"
        for k in range(len(GEOMETRY_SCALES))
        for name in ("linearity", "planarity", "scattering", "verticality")
    ),
    *("normal_x", "normal_y", "normal_z", "height"),
)

LAB_SCALE = 6.0  # CIE Lab units; a step of this size is a boundary of strength 1
NORMAL_SCALE = 0.15  # 1 - cosine between the two sides
CONVEX_DISCOUNT = 0.35  # convex creases lie inside objects more often than concave ones
SMOOTHINGS = (2, 8)  # rounds of neighbour averaging at which boundaries are looked for


@dataclass(frozen=True)
class EdgeGraph:
    """The mesh's edges with how much speaks for a boundary between their ends."""

    edges: np.ndarray  # (E, 2) int32, a < b, sorted
    strength: np.ndarray  # (E,) float32 >= 0; about 1 at a clear boundary
    lab: np.ndarray  # (V, 3) float32 CIE Lab, lightly smoothed
    steps: np.ndarray  # (E, len(STEP_NAMES)) float32: what the strength is made from


STEP_NAMES = ("color_raw", *(f"{name}_{rounds}" for rounds in SMOOTHINGS for name in ("color", "turn", "bend")))


def lab_from_srgb(colors: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 sRGB to (N, 3) float32 CIE Lab under D65."""
    steps = np.arange(256) / 255.0
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4).astype(np.float32)
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    white = np.array([0.95047, 1.0, 1.08883])
    xyz = linear[colors] @ (matrix / white[:, None]).T.astype(np.float32)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1).astype(
        np.float32
    )


def mesh_edges(faces: np.ndarray, count: int) -> np.ndarray:
    """The unique undirected edges (E, 2) int32 of the triangles (F, 3), a < b, in lexicographic order."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    keys = np.unique((low * count + high)[low != high])
    return np.stack([keys // count, keys % count], axis=1).astype(np.int32)


def averaging_matrix(edges: np.ndarray, count: int) -> sp.csr_matrix:
    """Row-stochastic (V, V) float32 matrix that replaces each vertex by the mean of itself and its neighbours."""
    rows = np.concatenate([edges[:, 0], edges[:, 1], np.arange(count, dtype=edges.dtype)])
    columns = np.concatenate([edges[:, 1], edges[:, 0], np.arange(count, dtype=edges.dtype)])
    degree = np.bincount(rows, minlength=count).astype(np.float32)
    return sp.csr_matrix((1.0 / degree[rows], (rows, columns)), shape=(count, count), dtype=np.float32)


def edge_graph(surface: Surface) -> EdgeGraph:
    """Boundary evidence on the mesh's edges from colour and normals at two scales.

    A step blurred by a kernel of width s keeps a slope of about 1 / (s sqrt(2 pi)); multiplying the slope by that
    width makes the evidence comparable between scales while noise falls with s.
    """
    count = len(surface.vertices)
    edges = mesh_edges(surface.faces, count)
    if not len(edges):
        nothing = np.zeros((0, len(STEP_NAMES)), np.float32)
        return EdgeGraph(edges.reshape(0, 2), nothing[:, 0], lab_from_srgb(surface.colors), nothing)
    average = averaging_matrix(edges, count)
    a, b = edges.T
    look = np.concatenate([lab_from_srgb(surface.colors), surface.normals.astype(np.float32)], axis=1)
    offset = surface.vertices[b] - surface.vertices[a]
    offset /= np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
    strength, light, done = np.zeros(len(edges), np.float32), None, 0
    steps = np.empty((len(edges), len(STEP_NAMES)), np.float32)
    steps[:, 0] = np.sqrt(((look[b, :3] - look[a, :3]) ** 2).sum(axis=1))
    for k, rounds in enumerate(SMOOTHINGS):
        for _ in range(rounds - done):
            look = average @ look
        done = rounds
        light = look[:, :3].copy() if light is None else light
        difference = look[b] - look[a]
        gain = np.float32(np.sqrt(2 * np.pi * 0.6 * rounds))
        color = gain * np.sqrt((difference[:, :3] ** 2).sum(axis=1)) / LAB_SCALE
        bend = gain * (difference[:, 3:] * offset).sum(axis=1)
        # The length of the normals' step h gives 1 - cos = h^2 / 2.
        turn = 0.5 * gain**2 * (difference[:, 3:] ** 2).sum(axis=1)
        steps[:, 1 + 3 * k : 4 + 3 * k] = np.stack([color * LAB_SCALE, turn, bend], axis=1)
        turn = turn * np.where(bend > 0, CONVEX_DISCOUNT, 1.0)
        scale_strength = np.sqrt(color**2 + np.minimum(turn, 2.0) / NORMAL_SCALE)
        strength = (
            np.maximum(strength, scale_strength) if rounds == SMOOTHINGS[0] else 0.5 * (strength + scale_strength)
        )
    return EdgeGraph(edges, strength.astype(np.float32), light, steps)


def describe(surface: Surface) -> np.ndarray:
    """Descriptors of every vertex, (V, len(NAMES)) float32, unstandardised; columns as in ``NAMES``."""
    lab = lab_from_srgb(surface.colors)
    columns = [lab]
    shapes = []
    for scale in GEOMETRY_SCALES:
        cells = _Cells(surface.vertices, max(scale / 1.5, 1.01 * surface.voxel))
        if scale in COLOR_SCALES:
            mean, second = cells.mean(lab), cells.mean(lab**2)
            columns += [mean, np.sqrt(np.maximum(second - mean**2, 0))]
        shapes.append(_shape(cells, surface.vertices))
    floor = np.percentile(surface.vertices[:, 2], 1.0) if len(surface.vertices) else 0.0
    height = surface.vertices[:, 2:3] - np.float32(floor)
    return np.concatenate([*columns, *shapes, surface.normals, height], axis=1).astype(np.float32)


class _Cells:
    """Occupied cells of a grid and, for each, the occupied cells among its 26 neighbours."""

    def __init__(self, points: np.ndarray, size: float):
        index = np.floor((points - points.min(axis=0)) / size).astype(np.int64) + 1
        span = index.max(axis=0) + 2
        keys = (index[:, 0] * span[1] + index[:, 1]) * span[2] + index[:, 2]
        self.keys, self.of_point = np.unique(keys, return_inverse=True)
        self.count = len(self.keys)
        order = np.argsort(self.of_point, kind="stable")
        self._gather = sp.csr_matrix(
            (
                np.ones(len(points), np.float32),
                order,
                np.searchsorted(self.of_point[order], np.arange(self.count + 1)),
            ),
            shape=(self.count, len(points)),
        )
        rows, columns = [np.arange(self.count)], [np.arange(self.count)]
        for x, y, z in np.ndindex(3, 3, 3):
            step = ((x - 1) * span[1] + (y - 1)) * span[2] + (z - 1)
            if step <= 0:
                continue
            at = np.minimum(np.searchsorted(self.keys, self.keys + step), self.count - 1)
            hit = np.flatnonzero(self.keys[at] == self.keys + step)
            rows += [hit, at[hit]]
            columns += [at[hit], hit]
        rows, columns = np.concatenate(rows), np.concatenate(columns)
        self._near = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(self.count, self.count))
        self.weight = self._near @ np.bincount(self.of_point, minlength=self.count).astype(np.float64)

    def mean_per_cell(self, values: np.ndarray) -> np.ndarray:
        """Mean over the points of the cell and its neighbours, (cells, D) float64."""
        return (self._near @ (self._gather @ values).astype(np.float64)) / self.weight[:, None]

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The same looked up at every point, (points, D) float32."""
        return self.mean_per_cell(values).astype(np.float32)[self.of_point]


def _shape(cells: _Cells, points: np.ndarray) -> np.ndarray:
    """Linearity, planarity, scattering and verticality of each point's neighbourhood, (V, 4) float32 in 0..1."""
    centered = points - points.mean(axis=0)
    upper = np.triu_indices(3)
    mean = cells.mean_per_cell(centered)
    products = cells.mean_per_cell(centered[:, upper[0]] * centered[:, upper[1]])
    covariance = np.zeros((cells.count, 3, 3))
    covariance[:, upper[0], upper[1]] = products - mean[:, upper[0]] * mean[:, upper[1]]
    values, vectors = np.linalg.eigh(covariance, UPLO="U")
    sigma = np.sqrt(np.maximum(values, 0))
    largest = np.maximum(sigma[:, 2], 1e-9)
    verticality = 1 - np.abs(vectors[:, 2, 0])
    shape = np.stack(
        [
            (sigma[:, 2] - sigma[:, 1]) / largest,
            (sigma[:, 1] - sigma[:, 0]) / largest,
            sigma[:, 0] / largest,
            verticality,
        ],
        axis=1,
    )
    return shape.astype(np.float32)[cells.of_point]


def components(edges: np.ndarray, count: int) -> np.ndarray:
    """Connected component of every node, (count,) int32, numbered by their first node."""
    graph = sp.coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int32)
