"""A mesh cut so finely that its vertices can carry what varies over a texture, and the texels that its faces cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..captures.capture import Intrinsics
from ..surface.mesh import vertex_normals
from ..surface.raster import rasterize
from .graphs import edge_table

SPACING = 8.0  # texels between the vertices of the fine mesh
MOST_CUTS = 12


@dataclass(frozen=True)
class FineMesh:
    """A mesh whose edges are a few texels long. Vertices are shared across charts; texels are sorted by face."""

    vertices: np.ndarray  # (V, 3) float64 scene metres
    normals: np.ndarray  # (V, 3) float32 unit
    faces: np.ndarray  # (F, 3) int64
    parents: np.ndarray  # (V, 3) int64 vertices of the mesh it was cut from
    shares: np.ndarray  # (V, 3) float64 barycentric weights on them
    side: int  # texels along each side of the texture
    texel: np.ndarray  # (T,) int64 place in the texture, row * side + column, row 0 on top
    first: np.ndarray  # (F + 1,) int64 where the texels of each face begin
    weights: np.ndarray  # (T, 3) float32 barycentric weights in the texel's face

    @property
    def texel_face(self) -> np.ndarray:
        """(T,) the face of each texel."""
        return np.repeat(np.arange(len(self.faces)), np.diff(self.first))

    @property
    def points(self) -> np.ndarray:
        """(T, 3) float32 scene metres of the texels."""
        corners = self.vertices.astype(np.float32)[self.faces[self.texel_face]]
        return np.einsum("ti,tij->tj", self.weights, corners)


def fine_mesh(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray, side: int) -> FineMesh:
    """Cut a mesh with texture coordinates finely.

    Args:
        vertices: (n, 3) scene metres; faces: (m, 3) int; uv: (m, 3, 2) 0..1, V up; side: texels.
    """
    count = len(vertices)
    parents = np.repeat(np.arange(count, dtype=np.int64)[:, None], 3, axis=1)
    shares = np.zeros((count, 3))
    shares[:, 0] = 1.0
    mesh = _Cutting(np.asarray(vertices, np.float64), faces.astype(np.int64), uv * side, parents, shares)
    for _ in range(MOST_CUTS):
        if not mesh.cut(SPACING):
            break
    faces, uv = mesh.finished()
    at = uv * [1, -1] + [-0.5, side - 0.5]  # pixel centres, row 0 on top
    points = np.concatenate([at.reshape(-1, 2), np.ones((3 * len(at), 1))], axis=1)
    camera = Intrinsics(side, side, 1.0, 1.0, 0.0, 0.0)
    drawn = rasterize(points, np.arange(len(points)).reshape(-1, 3), camera, np.eye(4))
    texel = np.flatnonzero(drawn.face.ravel() >= 0)
    face = drawn.face.ravel()[texel]
    order = np.argsort(face, kind="stable")
    texel, face = texel[order], face[order]
    return FineMesh(
        vertices=mesh.vertices,
        normals=vertex_normals(mesh.vertices, faces),
        faces=faces,
        parents=mesh.parents,
        shares=mesh.shares,
        side=side,
        texel=texel,
        first=np.searchsorted(face, np.arange(len(faces) + 1)),
        weights=drawn.barycentric.reshape(-1, 3)[texel],
    )


class _Cutting:
    """Splits long edges at their middle, the same on both sides, until none is longer than wanted.

    Edges stay as long as they are until they are split, so that a face without long edges is done.
    """

    def __init__(self, vertices, faces, uv, parents, shares):
        self.vertices, self.faces, self.uv = vertices, faces, uv
        self.parents, self.shares = parents, shares
        self._done = []

    def finished(self) -> tuple[np.ndarray, np.ndarray]:
        """Faces (F, 3) and where their corners lie (F, 3, 2)."""
        faces, uv = zip(*self._done, (self.faces, self.uv), strict=True)
        return np.concatenate(faces), np.concatenate(uv)

    def cut(self, longest: float) -> bool:
        """One round; False when nothing was too long."""
        edges, number = edge_table(self.faces, len(self.vertices))
        length = np.linalg.norm(self.uv - np.roll(self.uv, -1, axis=1), axis=2)
        wanted = np.zeros(len(edges), bool)
        wanted[number[length > longest]] = True
        if not wanted.any():
            return False
        middle = np.full(len(edges), -1)
        middle[wanted] = len(self.vertices) + np.arange(wanted.sum())
        self._add(edges[wanted])
        middle = middle[number]
        long = (middle >= 0).any(axis=1)
        self._done.append((self.faces[~long], self.uv[~long]))
        self.faces, self.uv = self.faces[long], self.uv[long]
        self._split(middle[long])
        return True

    def _add(self, ends: np.ndarray) -> None:
        """Vertices in the middle of edges. What they come from is looked up in faces only, so three parents are enough:
        both ends lie in one face of the mesh that was cut."""
        a, b = ends.T
        self.vertices = np.concatenate([self.vertices, 0.5 * (self.vertices[a] + self.vertices[b])])
        parents = np.concatenate([self.parents[a], self.parents[b]], axis=1)
        shares = 0.5 * np.concatenate([self.shares[a], self.shares[b]], axis=1)
        order = np.argsort(parents, axis=1, kind="stable")
        parents, shares = np.take_along_axis(parents, order, 1), np.take_along_axis(shares, order, 1)
        for k in range(4, -1, -1):  # sums of equal parents, gathered at the first of them
            same = parents[:, k] == parents[:, k + 1]
            shares[same, k] += shares[same, k + 1]
            shares[same, k + 1] = 0.0
        order = np.argsort(-shares, axis=1, kind="stable")[:, :3]
        self.parents = np.concatenate([self.parents, np.take_along_axis(parents, order, 1)])
        self.shares = np.concatenate([self.shares, np.take_along_axis(shares, order, 1)])

    def _split(self, middle: np.ndarray) -> None:
        """Replace faces by their pieces; ``middle`` (F, 3) is the new vertex on edges 0-1, 1-2, 2-0, or -1."""
        cuts = (middle >= 0).sum(axis=1)
        # Turn each face so that one cut lies on edge 0-1, two cuts on edges 0-1 and 1-2.
        turn = np.where(cuts == 1, (middle >= 0).argmax(1), np.where(cuts == 2, (np.argmax(middle < 0, 1) + 1) % 3, 0))
        at = (turn[:, None] + np.arange(3)) % 3
        faces, middle = np.take_along_axis(self.faces, at, 1), np.take_along_axis(middle, at, 1)
        uv = np.take_along_axis(self.uv, at[..., None], 1)
        nodes = np.concatenate([faces, middle], axis=1)  # corners 0 1 2, middles 3 4 5
        places = np.concatenate([uv, 0.5 * (uv + np.roll(uv, -1, axis=1))], axis=1)
        patterns = {
            1: [[0, 3, 2], [3, 1, 2]],
            2: [[3, 1, 4], [0, 3, 4], [0, 4, 2]],
            3: [[0, 3, 5], [3, 1, 4], [5, 4, 2], [3, 4, 5]],
        }
        parts = [(cuts == number, piece) for number, pieces in patterns.items() for piece in pieces]
        self.faces = np.concatenate([nodes[mine][:, piece] for mine, piece in parts])
        self.uv = np.concatenate([places[mine][:, piece] for mine, piece in parts])


def padded(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """An image (S, S, C) whose unknown pixels take the nearest known one's values."""
    if known.all() or not known.any():
        return image
    rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return image[rows, columns]
