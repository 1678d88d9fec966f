"""Charts of an object's surface, and their place in a square texture.

Every chart is a connected patch that faces one way and is laid out by projecting it along its mean normal: faces choose
among directions so that neighbours agree, small patches join larger ones beside them, and what lies behind another part
of its own chart becomes a chart by itself. The work grows with the number of faces alone; growing charts by their
distortion, as atlas generators do, takes from tenths of a second to minutes on scans of equal size. The charts are
packed by xatlas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ..captures.capture import Intrinsics
from ..errors import UserError
from ..surface.raster import rasterize
from .graphs import agreed, face_pairs

SMOOTHINGS = 4  # of the faces' normals, before they choose a direction
AGREEMENT = 0.6  # what one neighbour counts against the cost of a slanting direction
SLANT = 6.0  # cost of a direction across the surface
STEEPEST = 0.35  # cosine between a face and the direction that its chart is projected along
SMALL_AREA, SMALL_FACES = 0.004, 12  # of the object's; such charts join a neighbour
JOINING = 4  # rounds
LAYER_SIDE, LAYERS = 512, 3  # pixels in which charts are searched for parts that lie behind others; rounds
GUTTER = {256: 2, 512: 3, 1024: 4, 2048: 6, 4096: 8}  # texels between charts


@dataclass(frozen=True)
class Unwrapped:
    """Where the corners of m faces lie in a texture."""

    uv: np.ndarray  # (m, 3, 2) float64, 0..1, V up
    charts: np.ndarray  # (m,) int64 number of the face's chart
    used: float  # share of the texture that charts cover


def unwrapped(vertices: np.ndarray, faces: np.ndarray, side: int) -> Unwrapped:
    """Unwrap a mesh for a texture of ``side`` x ``side`` texels.

    Args:
        vertices: (n, 3) metres; faces: (m, 3) int, at most some ten thousand.

    Raises:
        UserError: xatlas is not installed.
    """
    vertices = np.asarray(vertices, np.float64)
    normals, areas = _normals(vertices, faces)
    pairs, ends = face_pairs(faces, len(vertices))
    lengths = np.linalg.norm(vertices[ends[:, 0]] - vertices[ends[:, 1]], axis=1)
    charts = _facing_one_way(normals, areas, pairs, lengths)
    charts = _joined(charts, normals, areas, pairs, lengths)
    for _ in range(LAYERS):
        flat, depth = _projected(vertices, faces, charts, normals, areas)
        behind = _behind(flat, depth, charts, np.sqrt(areas.sum()))
        if not behind.any():
            break
        charts = _components(charts + behind * (charts.max() + 1), pairs)
    flat, _ = _projected(vertices, faces, charts, normals, areas)
    return _packed(flat, charts, side)


def _normals(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (m, 3) and areas (m,)."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    cross = np.cross(b - a, c - a)
    double = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(double, 1e-30)[:, None], np.maximum(0.5 * double, 1e-18)


def _directions() -> np.ndarray:
    """(14, 3) unit vectors: the sides and the corners of a box."""
    sides = np.concatenate([np.eye(3), -np.eye(3)])
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / np.sqrt(3.0)
    return np.concatenate([sides, corners])


def _facing_one_way(normals: np.ndarray, areas: np.ndarray, pairs: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Chart numbers (m,): connected faces that chose the same direction."""
    count = len(normals)
    weights = np.concatenate([lengths, lengths])
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    graph = sparse.csr_matrix((weights, (rows, columns)), shape=(count, count))
    smooth = normals * areas[:, None]
    for _ in range(SMOOTHINGS):
        smooth = smooth + 0.3 * (sparse.diags(1 / np.maximum(graph.sum(1).A1, 1e-30)) @ graph @ smooth)
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-30)
    relative = graph / max(float(np.median(lengths)) if len(lengths) else 1.0, 1e-30)
    relative.data = relative.data.clip(0.2, 3.0)
    cost = SLANT * (1 - smooth @ _directions().T)
    return _components(agreed(relative, cost, AGREEMENT), pairs)


def _components(label: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Numbers (m,) of the connected patches of equal label."""
    same = label[pairs[:, 0]] == label[pairs[:, 1]]
    a, b = pairs[same].T
    graph = sparse.coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(len(label), len(label)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _mean_normals(charts: np.ndarray, normals: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(C, 3) unit mean normals of the charts."""
    total = np.stack([np.bincount(charts, normals[:, axis] * areas) for axis in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)


def _joined(
    charts: np.ndarray, normals: np.ndarray, areas: np.ndarray, pairs: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Charts with small ones given to the neighbour that they share most of their rim with, and steep faces apart."""
    for _ in range(JOINING):
        count = int(charts.max()) + 1
        area, size = np.bincount(charts, areas), np.bincount(charts)
        small = (area < SMALL_AREA * areas.sum()) | (size < SMALL_FACES)
        facing = _mean_normals(charts, normals, areas)
        a, b = charts[pairs].T
        rim = np.concatenate([np.stack([a, b], 1), np.stack([b, a], 1)])[np.tile(a != b, 2)]
        shared = sparse.csr_matrix((np.tile(lengths[a != b], 2), tuple(rim.T)), shape=(count, count)).tocoo()
        fits = (facing[shared.row] * facing[shared.col]).sum(1) > STEEPEST + 0.15
        larger = area[shared.col] > area[shared.row]
        open_to = small[shared.row] & fits & larger
        best = np.lexsort((shared.col[open_to], -shared.data[open_to], shared.row[open_to]))
        row, column = shared.row[open_to][best], shared.col[open_to][best]
        rows, first = np.unique(row, return_index=True)
        if not len(rows):
            break
        into = np.arange(count)
        into[rows] = column[first]
        into = into[into]
        charts = np.unique(into[charts], return_inverse=True)[1].ravel()
    steep = (normals * _mean_normals(charts, normals, areas)[charts]).sum(1) < STEEPEST
    direction = (normals @ _directions().T).argmax(axis=1)
    return _components(np.where(steep, charts.max() + 1 + direction, charts), pairs)


def _projected(
    vertices: np.ndarray, faces: np.ndarray, charts: np.ndarray, normals: np.ndarray, areas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Corners (m, 3, 2) in metres on the plane of their chart, counter-clockwise, and depth (m, 3) behind it."""
    forward = _mean_normals(charts, normals, areas)
    helper = np.eye(3)[np.abs(forward).argmin(axis=1)]
    across = np.cross(helper, forward)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
    up = np.cross(forward, across)
    corners = vertices[faces]
    x, y, z = ((corners * axis[charts][:, None]).sum(-1) for axis in (across, up, forward))
    return np.stack([x, y], axis=-1), -z


def _behind(flat: np.ndarray, depth: np.ndarray, charts: np.ndarray, scale: float) -> np.ndarray:
    """Which faces (m,) lie behind another part of their own chart, so that both cannot have the same texels."""
    low = np.full((int(charts.max()) + 1, 2), np.inf)
    high = -low
    for corner in range(3):
        np.minimum.at(low, charts, flat[:, corner])
        np.maximum.at(high, charts, flat[:, corner])
    # All charts side by side in one strip of shelves, at one scale.
    extent = high - low
    order = np.argsort(-extent[:, 1], kind="stable")
    width = max(float(np.sqrt((extent.prod(axis=1)).sum()) * 1.5), float(extent[:, 0].max()))
    place = np.zeros_like(low)
    x = y = shelf = 0.0
    for chart in order.tolist():
        if x + extent[chart, 0] > width:
            x, y, shelf = 0.0, y + shelf, 0.0
        place[chart] = x, y
        x, shelf = x + extent[chart, 0] * 1.01, max(shelf, extent[chart, 1] * 1.01)
    pixels = LAYER_SIDE / width
    at = (flat - low[charts][:, None] + place[charts][:, None]) * pixels
    points = np.concatenate([at, np.ones((*at.shape[:2], 1))], axis=-1)
    z = 1.0 + (depth - depth.min()) / scale
    camera = Intrinsics(LAYER_SIDE + 1, int((y + shelf) * pixels) + 2, 1.0, 1.0, 0.0, 0.0)
    triangles = np.arange(3 * len(flat)).reshape(-1, 3)
    shown = rasterize((points * z[..., None]).reshape(-1, 3), triangles, camera, np.eye(4), near=1e-6)
    middle = np.rint(at.mean(axis=1)).astype(np.int64)
    inside = (middle >= 0).all(1) & (middle[:, 0] < camera.width) & (middle[:, 1] < camera.height)
    column, row = middle.T.clip(0, [[camera.width - 1], [camera.height - 1]])
    front, nearest = shown.face[row, column], shown.depth[row, column]
    # Beside a steep edge the front may be the neighbour: only what is well behind counts.
    apart = 0.02 + 3.0 / (pixels * scale)
    return inside & (front >= 0) & (charts[front] == charts) & (z.mean(axis=1) - nearest > apart)


def _packed(flat: np.ndarray, charts: np.ndarray, side: int) -> Unwrapped:
    """Charts in metres, packed into the unit square by xatlas."""
    try:
        import xatlas
    except ImportError as error:
        raise UserError(
            "no_xatlas", "Textures need the package xatlas in the backend's Python; install it there.", repr(error)
        ) from error
    # A vertex per chart and place, so that xatlas finds the charts by their connectivity.
    keys = np.concatenate([np.repeat(charts, 3)[:, None], np.rint(flat.reshape(-1, 2) * 1e7)], axis=1)
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    number = number.ravel()
    atlas = xatlas.Atlas()
    points = (flat.reshape(-1, 2) - flat.reshape(-1, 2).min(axis=0))[first].astype(np.float32)
    atlas.add_uv_mesh(points, number.reshape(-1, 3).astype(np.uint32), charts.astype(np.uint32)[:, None])
    options = xatlas.PackOptions()
    options.padding, options.resolution = GUTTER[side], side
    atlas.generate(xatlas.ChartOptions(), options)
    _, indices, uv = atlas.get_mesh(0)
    whole = np.array([atlas.width, atlas.height], np.float64) / max(atlas.width, atlas.height)
    placed = uv[indices.reshape(-1, 3)] * whole
    return Unwrapped(placed.astype(np.float64), charts, float(atlas.utilization) * float(whole.prod()))
