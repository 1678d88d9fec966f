"""From a signed distance volume to a coloured triangle mesh."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from ..errors import UserError
from ..progress import Progress
from .surface import Surface
from .volume import SIDE, Volume

BRICK = 4  # blocks along a brick
MIN_COMPONENT = 50  # faces; smaller pieces are noise
NUDGE = 2e-3  # of the truncation: keeps every vertex strictly inside its grid edge
TORN = 2.5  # voxels of distance per voxel of way; a surface has at most about 1


def extract(volume: Volume, progress: Progress) -> Surface:
    """The zero level of a volume.

    Marching cubes (Lewiner et al. 2003) brick by brick; cells with a corner that no camera observed are left open,
    vertices on the same grid edge are one vertex, pieces below ``MIN_COMPONENT`` faces are dropped and their number
    is told in the last progress text.

    Args:
        volume: what ``fusion.fuse`` made.
        progress: called with 0..1 and a text; may raise ``Cancelled``.

    Returns:
        The surface in scene coordinates, faces counter-clockwise seen from free space.

    Raises:
        UserError: ``no_surface`` when the volume has no surface.
    """
    keys, places, faces = [], [], []
    count = 0
    for fraction, origin, vertices, triangles in _bricks(volume):
        progress(0.7 * fraction, "Building the mesh")
        if len(triangles):
            keys.append(_edge_keys(vertices, origin))
            places.append(vertices + origin)
            faces.append(triangles + count)
            count += len(vertices)
    if not count:
        raise UserError("no_surface", "The depth images give no surface; check the depth range and the camera poses.")
    progress(0.7, "Joining the mesh")
    places, faces = _weld(np.concatenate(keys), np.concatenate(places), np.concatenate(faces))
    faces = _without_degenerate(faces, places)
    progress(0.8, "Removing loose pieces")
    places, faces, dropped = drop_small(places, faces, MIN_COMPONENT)
    if not len(faces):
        raise UserError("no_surface", "The depth images give only specks of surface; check the camera poses.")
    vertices = (places * volume.voxel).astype(np.float32)
    normals = vertex_normals(vertices, faces)
    progress(0.9, "Colouring the mesh")
    colors = _colors(volume, vertices)
    progress(1.0, f"{len(vertices):,} vertices, {len(faces):,} triangles, {dropped:,} loose pieces dropped")
    return Surface(vertices, faces, normals, colors, volume.voxel)


def _bricks(volume: Volume) -> Iterator[tuple[float, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (fraction done, first voxel (3,), vertices in voxels from it (N, 3), faces (M, 3)) of each brick."""
    tsdf = torch.cat([volume.tsdf.cpu(), torch.ones(1, SIDE**3, dtype=torch.float16)]).numpy()
    seen = torch.cat([volume.weight.cpu() > 0, torch.zeros(1, SIDE**3, dtype=torch.bool)]).numpy()
    index, first = volume.index.cpu().numpy(), volume.first.cpu().numpy()
    index = np.pad(index, [(0, BRICK + 1)] * 3, constant_values=-1)  # row -1 is the empty one
    bricks = np.unique((volume.blocks.cpu().numpy() - first) // BRICK, axis=0)
    size = BRICK * SIDE + 1
    for number, brick in enumerate(bricks):
        x, y, z = (int(n) for n in brick * BRICK)
        rows = index[x : x + BRICK + 1, y : y + BRICK + 1, z : z + BRICK + 1]
        values, valid = (_assembled(array, rows)[:size, :size, :size] for array in (tsdf, seen))
        vertices, faces = _march(values.astype(np.float32), valid)
        if len(faces):
            faces = _without_skirts(vertices, faces, values.astype(np.float32) * (volume.truncation / volume.voxel))
        yield (number + 1) / len(bricks), (first + brick * BRICK) * SIDE, vertices, faces


def _assembled(data: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Blocks of (B + 1, 512) at rows (n, n, n) as one (8 n, 8 n, 8 n) array."""
    n = rows.shape[0]
    blocks = data[rows].reshape(n, n, n, SIDE, SIDE, SIDE)
    return blocks.transpose(0, 3, 1, 4, 2, 5).reshape(n * SIDE, n * SIDE, n * SIDE)


def _march(values: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 3) float64 in voxels and faces (M, 3) int64 of one brick."""
    negative, positive = valid & (values < 0), valid & (values >= 0)
    if not (negative.any() and positive.any()):
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    values = np.where(values < 0, np.minimum(values, -NUDGE), np.maximum(values, NUDGE))
    for axis in range(3):
        n = valid.shape[axis] - 1
        valid = np.take(valid, range(n), axis) & np.take(valid, range(1, n + 1), axis)
    mask = np.zeros(values.shape, bool)
    mask[1:, 1:, 1:] = valid  # scikit-image asks the mask at a cell's highest corner
    try:
        vertices, faces, _, _ = marching_cubes(values, 0.0, mask=mask)
    except RuntimeError:  # no cell that is observed all round crosses the surface
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    return vertices.astype(np.float64), faces.astype(np.int64)


def _without_skirts(vertices: np.ndarray, faces: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Faces (M', 3) without those between the outline of a thing and what lies behind it.

    There the distance does not pass through zero but jumps from well before a surface to well behind another, so that
    it changes by more than the way: no camera has seen a surface at such a place.

    Args:
        vertices: (N, 3) in voxels of the brick; values: (X, Y, Z) distances in voxels.
    """
    low, high = np.floor(vertices).astype(np.int64), np.ceil(vertices).astype(np.int64)
    jump = np.abs(values[tuple(high.T)] - values[tuple(low.T)])
    return faces[(jump[faces] < TORN).any(axis=1)]


def _edge_keys(vertices: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """One int64 per vertex (N,): the grid edge that it lies on, or its cell for a vertex inside of one."""
    lower = np.floor(vertices)
    inside = vertices > lower
    axis = np.where(inside.sum(1) == 1, inside.argmax(1), 3)
    place = lower.astype(np.int64) + origin + (1 << 19)
    return ((place[:, 0] << 40 | place[:, 1] << 20 | place[:, 2]) << 2) | axis


def _weld(keys: np.ndarray, places: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge vertices of equal keys (N,)."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return places[first], inverse.reshape(-1)[faces].astype(np.int32)


def _without_degenerate(faces: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return faces[area > 0]


def drop_small(vertices: np.ndarray, faces: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Remove connected pieces below ``least`` faces, and vertices that no face uses.

    Returns:
        Vertices (V', 3), faces (F', 3) int32, number of pieces removed.
    """
    piece = components(faces, len(vertices))
    of_face = piece[faces[:, 0]]
    sizes = np.bincount(of_face, minlength=piece.max() + 1 if len(piece) else 0)
    faces = faces[sizes[of_face] >= least]
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    renumber = np.cumsum(used, dtype=np.int32) - 1
    return vertices[used], renumber[faces], int(((sizes > 0) & (sizes < least)).sum())


def components(faces: np.ndarray, n_vertices: int) -> np.ndarray:
    """(V,) int32 connected component of each vertex, of faces (F, 3); a vertex without faces is one by itself."""
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n_vertices, n_vertices))
    return connected_components(graph, directed=False)[1].astype(np.int32)


def vertex_edges(faces: np.ndarray) -> np.ndarray:
    """(E, 2) int32 edges a < b of faces (F, 3), each once, sorted."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    keys = np.unique(pairs.min(1) << 32 | pairs.max(1))
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], 1).astype(np.int32)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals, faces weighted by area; +Z for a vertex without faces."""
    corners = vertices[faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat, n = faces.reshape(-1), len(vertices)
    total = np.stack([np.bincount(flat, np.repeat(normal[:, axis], 3), n) for axis in range(3)], 1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 0, total / np.maximum(length, 1e-300), [0.0, 0.0, 1.0]).astype(np.float32)


def _colors(volume: Volume, vertices: np.ndarray) -> np.ndarray:
    """(V, 3) uint8 sRGB."""
    parts = torch.from_numpy(vertices).split(100_000)
    colors = [volume.sample_color(part.to(volume.device)).round().clamp(0, 255).byte().cpu() for part in parts]
    return torch.cat(colors).numpy()
