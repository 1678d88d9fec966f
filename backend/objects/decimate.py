"""Fewer triangles for an object, without opening it: edge collapse by quadric error.

The package fast-simplification is quick and often tears meshes; where it does, edges collapse here, many at a time.
Garland and Heckbert 1997 say what a collapse costs and where the new vertex lies. A round collapses the cheapest edges
whose surroundings do not touch. The link condition (Dey et al. 1999) is asked of each, so that what was closed and
manifold stays so; border edges are held by planes across the border; faces that would turn over are left alone.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .graphs import edge_table, is_closed

CHEAPEST = 0.4  # share of the edges that a round may choose from
MOST_ROUNDS = 200
LEAST = 2e-3  # share of the edges; a round that collapses fewer is followed by one that may choose from all
TRIES = 6  # choices in a round: edges whose neighbours could not collapse get their turn
TURNED = 0.2  # cosine: a face may turn by so much in one collapse, a sliver by more
THINNEST = 0.02  # area of a face over its longest edge squared; less than it and than half of what it was is too thin
STEADY = 1e-3  # of a quadric's trace: pull to the middle of the edge where the quadric does not decide
BORDER = 10.0  # weight of the planes along a border
EVEN = 1e-4  # weight of an edge's length in its cost, so that flat regions get even triangles


def simplified(
    vertices: np.ndarray, faces: np.ndarray, values: np.ndarray, target_faces: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mesh of about ``target_faces`` triangles in the same shape; more where fewer would change its topology.

    Args:
        vertices: (n, 3) metres; faces: (m, 3) int; values: (n, c) of the vertices.

    Returns:
        vertices (p, 3) float64, faces (q, 3) int32 and values (p, c) float64, taken from the nearest point of the given
        surface. Closed and manifold if the given mesh was.
    """
    points = np.asarray(vertices, np.float64)
    values = np.asarray(values, np.float64)
    if len(faces) <= target_faces:
        return points, np.asarray(faces, np.int32), values
    faces = np.asarray(faces, np.int64)
    found = _quickly(points, faces, target_faces) or _carefully(points, faces, target_faces)
    used, number = np.unique(found[1], return_inverse=True)
    small = found[0][used]
    return small, number.reshape(-1, 3).astype(np.int32), resampled(points, faces, values, small)


def _quickly(points: np.ndarray, faces: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Of the package fast-simplification, if it is there and leaves a closed mesh closed."""
    try:
        from fast_simplification import simplify
    except ImportError:
        return None
    # Around the middle, since it works in single precision.
    middle = points.mean(axis=0)
    fewer, triangles = simplify((points - middle).astype(np.float32), faces.astype(np.int32), target_count=target)
    triangles = np.asarray(triangles, np.int64)
    if is_closed(faces, len(points)) and not is_closed(triangles, len(fewer)):
        return None
    return np.asarray(fewer, np.float64) + middle, triangles


def _carefully(points: np.ndarray, faces: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Step by step, never opening anything."""
    mesh = _Collapsing(points, faces)
    for _ in range(MOST_ROUNDS):
        if len(mesh.faces) <= target or not mesh.round(target):
            break
    return mesh.points, mesh.faces


def resampled(vertices: np.ndarray, faces: np.ndarray, values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values (n, c) of a mesh at the points of its surface nearest to ``points`` (p, 3): (p, c) float64.

    Of all faces, those around the nearest vertex are asked.
    """
    used = np.unique(faces)
    nearest = used[cKDTree(vertices[used]).query(points)[1]]
    order = np.argsort(faces.ravel(), kind="stable")
    starts = np.searchsorted(faces.ravel()[order], np.arange(len(vertices) + 1))
    count = starts[nearest + 1] - starts[nearest]
    of = np.repeat(np.arange(len(points)), count)
    entry = np.repeat(starts[nearest] - np.cumsum(count) + count, count) + np.arange(count.sum())
    face = order[entry] // 3
    weights = _closest(points[of], *(vertices[faces[face, k]] for k in range(3)))
    met = np.einsum("ti,tij->tj", weights, vertices[faces[face]])
    best = np.lexsort((((met - points[of]) ** 2).sum(axis=1), of))
    best = best[np.searchsorted(of[best], np.arange(len(points)))]
    return np.einsum("ti,tij->tj", weights[best], values[faces[face[best]]])


def _closest(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(T, 3) barycentric weights of the point of each triangle nearest to ``p`` (T, 3)."""

    def dot(x, y):
        return (x * y).sum(axis=1)

    def along(start, end):
        way = end - start
        return (dot(p - start, way) / np.maximum(dot(way, way), 1e-30)).clip(0.0, 1.0)

    normal = np.cross(b - a, c - a)
    double = np.maximum(dot(normal, normal), 1e-30)
    inside = np.stack([dot(np.cross(b - p, c - p), normal), dot(np.cross(c - p, a - p), normal)], 1) / double[:, None]
    inside = np.concatenate([inside, 1 - inside.sum(axis=1, keepdims=True)], axis=1)
    ab, bc, ca = along(a, b), along(b, c), along(c, a)
    zero = np.zeros_like(ab)
    edges = [np.stack(w, 1) for w in ((1 - ab, ab, zero), (zero, 1 - bc, bc), (ca, zero, 1 - ca))]
    rests = [w[:, :1] * a + w[:, 1:2] * b + w[:, 2:] * c - p for w in edges]
    away = np.stack([dot(rest, rest) for rest in rests], 1)
    rim = np.stack(edges, 1)[np.arange(len(p)), away.argmin(axis=1)]
    return np.where((inside >= 0).all(axis=1, keepdims=True), inside, rim)


class _Collapsing:
    """A mesh while its edges collapse; vertices that went stay in the arrays, unused."""

    def __init__(self, points: np.ndarray, faces: np.ndarray):
        self.points, self.faces = points.copy(), faces
        self._share = CHEAPEST
        cross = _cross(self.points, faces)
        double = np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-30)
        normal = cross / double
        # A plane with unit normal through the face, weighted by its area, at all three corners.
        plane = np.concatenate([normal, -(normal * self.points[faces[:, 0]]).sum(1, keepdims=True)], axis=1)
        self._quadrics = np.zeros((len(points), 4, 4))
        product = plane[:, :, None] * plane[:, None] * (double[:, :, None] / 6)
        self._add(faces.ravel(), np.repeat(product, 3, axis=0))
        edges, number = edge_table(faces, len(points))
        border = np.bincount(number.ravel(), minlength=len(edges))[number] == 1
        face, side = np.nonzero(border)
        start, end = faces[face, side], faces[face, (side + 1) % 3]
        way = self.points[end] - self.points[start]
        across = np.cross(way, normal[face])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
        plane = np.concatenate([across, -(across * self.points[start]).sum(1, keepdims=True)], axis=1)
        product = plane[:, :, None] * plane[:, None] * (BORDER * (way**2).sum(1)[:, None, None])
        self._add(np.concatenate([start, end]), np.concatenate([product, product]))

    def _add(self, vertex: np.ndarray, quadric: np.ndarray) -> None:
        flat = quadric.reshape(-1, 16)
        count = len(self.points)
        total = np.stack([np.bincount(vertex, flat[:, k], count) for k in range(16)], axis=1)
        self._quadrics += total.reshape(-1, 4, 4)

    def round(self, target: int) -> bool:
        """Collapse some edges; False when hardly any can be."""
        edges, number = edge_table(self.faces, len(self.points))
        sides = np.bincount(number.ravel(), minlength=len(edges))
        place, cost = self._placed(edges)
        self._around(edges, sides)
        waiting = np.flatnonzero(~self._crowded[edges].any(axis=1))
        waiting = waiting[np.argsort(cost[waiting], kind="stable")[: int(self._share * len(waiting)) + 1]]
        found: list[np.ndarray] = []
        surplus = max((len(self.faces) - target + 1) // 2, 1)
        taken = np.zeros(len(self.points), bool)
        for _ in range(TRIES):
            chosen = self._independent(edges, waiting)
            good = self._allowed(edges[chosen], sides[chosen]) & self._upright(edges[chosen], place[chosen])
            found.append(chosen[good])
            taken[edges[chosen[good]]] = True
            around = taken.copy()
            around[edges[taken[edges].any(axis=1)]] = True
            done = np.isin(waiting, chosen) | around[edges[waiting]].any(axis=1)
            waiting = waiting[~done]
            if not len(waiting) or sum(map(len, found)) >= surplus:
                break
        chosen = np.concatenate(found)[:surplus]
        self._collapse(edges[chosen], place[chosen])
        enough, narrow = len(chosen) > LEAST * len(edges), self._share < 1.0
        self._share = CHEAPEST if enough else 1.0
        return enough or narrow

    def _placed(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each edge's new vertex lies (e, 3), and what the collapse costs (e,)."""
        a, b = self.points[edges[:, 0]], self.points[edges[:, 1]]
        quadric = self._quadrics[edges[:, 0]] + self._quadrics[edges[:, 1]]
        middle = 0.5 * (a + b)
        trace = np.maximum(np.trace(quadric[:, :3, :3], axis1=1, axis2=2), 1e-30)
        pull = STEADY * trace
        left = quadric[:, :3, :3] + pull[:, None, None] * np.eye(3)
        right = pull[:, None] * middle - quadric[:, :3, 3]
        place = np.linalg.solve(left, right[..., None])[..., 0]
        squared = ((a - b) ** 2).sum(axis=1)
        far = ((place - middle) ** 2).sum(axis=1) > squared
        place[far] = middle[far]
        one = np.concatenate([place, np.ones((len(place), 1))], axis=1)
        cost = np.einsum("ei,eij,ej->e", one, quadric, one)
        return place, np.maximum(cost, 0.0) + EVEN * trace * squared

    def _around(self, edges: np.ndarray, sides: np.ndarray) -> None:
        """Tables of this round: neighbours of the vertices, edges by key, who lies on a border."""
        count = len(self.points)
        ends = np.concatenate([edges, edges[:, ::-1]])
        order = np.argsort(ends[:, 0] * count + ends[:, 1], kind="stable")
        self._neighbours = ends[order, 1]
        self._starts = np.searchsorted(ends[order, 0], np.arange(count + 1))
        self._keys = edges[:, 0] * count + edges[:, 1]
        self._border = np.zeros(count, bool)
        self._border[edges[sides != 2]] = True
        self._crowded = np.zeros(count, bool)  # on an edge with more than two faces: left alone
        self._crowded[edges[sides > 2]] = True

    def _independent(self, edges: np.ndarray, waiting: np.ndarray) -> np.ndarray:
        """Those of the waiting edges, cheapest first, that come before all others whose ends are the same as theirs or
        neighbours of theirs."""
        none = len(waiting)
        lowest = np.full(len(self.points), none)
        np.minimum.at(lowest, edges[waiting].ravel(), np.repeat(np.arange(none), 2))
        around = np.minimum(lowest[edges[:, 0]], lowest[edges[:, 1]])
        np.minimum.at(lowest, edges.ravel(), np.repeat(around, 2))
        return waiting[(lowest[edges[waiting]] == np.arange(none)[:, None]).all(axis=1)]

    def _allowed(self, edges: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """(e,) bool, the link condition: only the tips of the edge's own faces neighbour both of its ends."""
        a, b = edges.T
        count = self._starts[a + 1] - self._starts[a]
        of = np.repeat(np.arange(len(edges)), count)
        entry = np.repeat(self._starts[a] - np.cumsum(count) + count, count) + np.arange(count.sum())
        near, other = self._neighbours[entry], b[of]
        key = np.minimum(near, other) * len(self.points) + np.maximum(near, other)
        found = np.searchsorted(self._keys, key).clip(0, len(self._keys) - 1)
        common = np.bincount(of, self._keys[found] == key, len(edges))
        bridge = self._border[a] & self._border[b] & (sides == 2)  # would pinch the border
        ring = (self._starts[a + 1] - self._starts[a]) + (self._starts[b + 1] - self._starts[b])
        return (common == sides) & ~bridge & (ring > 7)

    def _upright(self, edges: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(e,) bool: no face around would turn over or become a sliver."""
        owner = np.full(len(self.points), -1)
        owner[edges] = np.arange(len(edges))[:, None]
        of = owner[self.faces]
        touched = np.flatnonzero((of >= 0).any(axis=1))
        faces, of = self.faces[touched], of[touched]
        stays = (of >= 0).sum(axis=1) == 1
        faces, of = faces[stays], of[stays]
        corners = self.points[faces]
        moved = np.where((of >= 0)[..., None], place[of.clip(0)], corners)
        before, after = (np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0]) for c in (corners, moved))
        lengths = [np.linalg.norm(normal, axis=1) for normal in (before, after)]
        around = np.stack([np.bincount(of.max(axis=1), before[:, k], len(edges)) for k in range(3)], axis=1)[
            of.max(axis=1)
        ]
        shapes = [
            0.5 * length / np.maximum(((c - np.roll(c, -1, axis=1)) ** 2).sum(2).max(1), 1e-30)
            for length, c in zip(lengths, (corners, moved), strict=True)
        ]
        # The normal of a sliver says nothing: what replaces it must not face against its surroundings.
        usual = np.where((shapes[0] < THINNEST)[:, None], around, before)
        cosine = (usual * after).sum(axis=1) / np.maximum(np.linalg.norm(usual, axis=1) * lengths[1], 1e-30)
        bad = (cosine < np.where(shapes[0] < THINNEST, -TURNED, TURNED)) | (
            (shapes[1] < THINNEST) & (shapes[1] < 0.5 * shapes[0])
        )
        return np.bincount(of.max(axis=1)[bad], minlength=len(edges)) == 0

    def _collapse(self, edges: np.ndarray, place: np.ndarray) -> None:
        a, b = edges.T
        self.points[a] = place
        self._quadrics[a] += self._quadrics[b]
        into = np.arange(len(self.points))
        into[b] = a
        faces = into[self.faces]
        whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
        self.faces = faces[whole]


def _cross(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = points[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)
