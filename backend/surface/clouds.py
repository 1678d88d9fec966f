"""From a point cloud to a triangle mesh: signed distances to the points' tangent planes, then marching cubes.

The distance is the weighted mean of the distances to the tangent planes of the nearest points (implicit moving least
squares, Kolluri 2008, after Hoppe et al. 1992); normals that the cloud does not have are those of local planes, turned
alike along a minimum spanning tree (Hoppe et al. 1992). What is finer than a voxel, thinner than two, or seen by too
few points is lost.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from .. import budget
from ..errors import UserError
from ..progress import Progress, part, silent
from .mesh import extract
from .surface import Surface
from .volume import CELLS, SIDE, Volume, block_index

SAMPLED = 20_000  # points whose neighbours are measured
AROUND = 6  # neighbours within about one voxel
PLANE = 12  # neighbours that a tangent plane is fitted to
NEAR = 6  # points that a signed distance comes from
MOST = 1_200_000  # points after thinning out, with plenty of memory; more make the voxels larger
FINEST = 1 / 3000  # of the diagonal: voxels are not smaller
REACH = 2.0  # voxels from a point where there is still a surface
LONELY = 4.0  # voxels to the neighbours from which a point counts as noise
LEAST = 50  # points
FLAT = 0.8  # of a normal's length along Z: part of a floor
LOW = 0.15  # of the height: where a floor is looked for


def mesh_points(
    points: np.ndarray,
    colors: np.ndarray,
    normals: np.ndarray | None,
    progress: Progress = silent,
) -> tuple[Surface, int]:
    """A surface through points, and how many of them were left out as noise.

    Args:
        points: (N, 3) float32 scene metres. colors: (N, 3) uint8. normals: (N, 3) towards free space, or None.

    Raises:
        UserError: there are too few points.
    """
    if len(points) < LEAST:
        raise UserError("no_surface", f"A cloud of {len(points)} points is too small to become a surface.")
    progress(0.0, "Thinning out the points")
    voxel = _voxel(points)
    thin, looks, turned = _thinned(points, colors, normals, 0.5 * voxel)
    wanted, share = voxel, budget.current().share
    while len(thin) > MOST * share:
        voxel *= 1.3
        thin, looks, turned = _thinned(points, colors, normals, 0.5 * voxel)
    if share < 1:
        budget.coarser(wanted, voxel)
    tree = cKDTree(thin)
    distance, near = tree.query(thin, PLANE, workers=-1)
    kept = distance[:, AROUND - 1] < LONELY * voxel
    if kept.sum() < LEAST:
        raise UserError("no_surface", "The points lie too far from each other to become a surface.")
    if not kept.all():
        thin, looks, turned = thin[kept], looks[kept], None if turned is None else turned[kept]
        tree = cKDTree(thin)
        near = tree.query(thin, PLANE, workers=-1)[1]
    progress(0.2, "Finding which way the points face")
    normals = turned if turned is not None else oriented(thin, near)
    progress(0.4, "Measuring distances")
    volume = _volume(thin, normals, looks, tree, voxel)
    surface = extract(volume, part(progress, 0.7, 1.0))
    return surface, int((~kept).sum())


def _voxel(points: np.ndarray) -> float:
    """The distance within which most points have some neighbours."""
    some = points[:: len(points) // SAMPLED + 1]
    distance, _ = cKDTree(points).query(some, AROUND + 1, workers=-1)
    diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
    return max(float(np.percentile(distance[:, -1], 75)), FINEST * diagonal)


def _packed(index: np.ndarray) -> np.ndarray:
    """(N,) int64 keys of grid cells (N, 3), in their lexicographic order."""
    index = index + (1 << 20)
    return index[:, 0] << 42 | index[:, 1] << 21 | index[:, 2]


def _distinct(index: np.ndarray) -> np.ndarray:
    """The distinct rows of grid cells (N, 3), in lexicographic order."""
    return index[np.unique(_packed(index), return_index=True)[1]]


def _thinned(
    points: np.ndarray, colors: np.ndarray, normals: np.ndarray | None, cell: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The mean point, colour and normal (unit length, or None) of each cell of a grid; float64, float64, float64."""
    _, at = np.unique(_packed(np.floor(points / cell).astype(np.int64)), return_inverse=True)
    count = np.bincount(at)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(at, values[:, axis]) for axis in range(3)], axis=1) / count[:, None]

    if normals is None:
        return mean(points), mean(colors), None
    faced = mean(normals)
    length = np.linalg.norm(faced, axis=1, keepdims=True)
    if (length < 0.2).mean() > 0.2:  # they are not there, or of no use
        return mean(points), mean(colors), None
    return mean(points), mean(colors), faced / np.maximum(length, 1e-9)


def oriented(points: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Unit normals (N, 3) of local planes, alike where they are neighbours; floors face up.

    Args:
        points: (N, 3). near: (N, K) indices of the nearest points, the point itself first.
    """
    around = points[near] - points[near].mean(axis=1, keepdims=True)
    normals = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))[1][:, :, 0]
    rows, columns = np.repeat(np.arange(len(near)), near.shape[1] - 1), near[:, 1:].ravel()
    alike = np.abs(np.einsum("ij,ij->i", normals[rows], normals[columns]))
    # Weights of a sparse graph must not be zero.
    graph = coo_matrix((1.0 - alike + 1e-6, (rows, columns)), shape=(len(near), len(near))).tocsr()
    forest = minimum_spanning_tree(graph.maximum(graph.T))
    _, piece = connected_components(forest, directed=False)
    _turn_alike(normals, forest, np.unique(piece, return_index=True)[1])
    return normals * _facing(points, normals, piece)[:, None]


def _turn_alike(normals: np.ndarray, forest: csr_matrix, roots: np.ndarray) -> None:
    """Turn the normals (N, 3) of every tree like that of its root, level by level."""
    count = len(normals)
    # One more node above all roots makes a single tree of the forest.
    edges = forest.tocoo()
    rows, columns = np.concatenate([edges.row, np.full(len(roots), count)]), np.concatenate([edges.col, roots])
    tree = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count + 1, count + 1)).tocsr()
    order, before = breadth_first_order(tree, count, directed=False)
    level = np.zeros(count + 1, np.int64)
    for node, above in zip(order[1:].tolist(), before[order[1:]].tolist(), strict=True):
        level[node] = level[above] + 1
    for some in np.split(order, np.flatnonzero(np.diff(level[order])) + 1)[2:]:
        against = np.einsum("ij,ij->i", normals[some], normals[before[some]]) < 0
        normals[some[against]] *= -1


def _facing(points: np.ndarray, normals: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """(N,) 1 or -1 by piece: the floor of the cloud faces up; a piece without one is not turned inside out."""
    height = points[:, 2]
    low = height < height.min() + LOW * np.ptp(height)
    floor = low & (np.abs(normals[:, 2]) > FLAT)
    up = np.bincount(piece[floor], normals[floor, 2], minlength=piece.max() + 1)
    middle = np.stack([np.bincount(piece, points[:, k]) for k in range(3)], axis=1) / np.bincount(piece)[:, None]
    outwards = np.bincount(piece, np.einsum("ij,ij->i", normals, points - middle[piece]))
    enough = np.bincount(piece[floor], minlength=len(up)) > 0.02 * np.bincount(piece)
    return np.where(np.where(enough, up, outwards) < 0, -1.0, 1.0)[piece]


def _volume(points: np.ndarray, normals: np.ndarray, colors: np.ndarray, tree: cKDTree, voxel: float) -> Volume:
    """Signed distances on the lattice around the points."""
    lattice = _distinct(np.floor(points / voxel).astype(np.int64))
    corners = np.stack(np.meshgrid(*[np.arange(-1, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    blocks = _distinct(np.concatenate([_distinct((lattice + corner) >> 3) for corner in corners]))
    held = torch.from_numpy(blocks.astype(np.int32))
    index, first = (tensor.numpy() for tensor in block_index(held))
    wanted = np.zeros((len(blocks), CELLS), bool)
    for corner in corners:
        at = lattice + corner
        row = index[tuple(((at >> 3) - first).T)]
        local = at & (SIDE - 1)
        wanted[row, (local[:, 0] * SIDE + local[:, 1]) * SIDE + local[:, 2]] = True
    row, local = np.nonzero(wanted)
    at = np.stack([local // (SIDE * SIDE), local // SIDE % SIDE, local % SIDE], axis=1)
    place = (blocks[row] * SIDE + at) * voxel
    distance, near = tree.query(place, min(NEAR, len(points)), distance_upper_bound=REACH * voxel, workers=-1)
    share = np.where(np.isfinite(distance), np.exp(-((distance / voxel) ** 2)), 0.0)
    near = np.where(np.isfinite(distance), near, 0)
    signed = np.einsum("nki,nki->nk", place[:, None] - points[near], normals[near])
    total = np.maximum(share.sum(axis=1), 1e-12)
    truncation = 3.0 * voxel
    tsdf = np.ones(wanted.shape, np.float16)
    tsdf[row, local] = np.clip((share * signed).sum(axis=1) / total / truncation, -1, 1)
    weight = np.zeros(wanted.shape, np.float16)
    weight[row, local] = np.isfinite(distance[:, 0])
    color = np.zeros((*wanted.shape, 4), np.uint8)
    mixed = (share[..., None] * colors[near]).sum(axis=1) / total[:, None]
    color[row, local, :3] = np.clip(np.rint(mixed), 0, 255)
    color[row, local, 3] = 255 * np.isfinite(distance[:, 0])
    return Volume(voxel, truncation, held, *(torch.from_numpy(array) for array in (tsdf, weight, color)))
