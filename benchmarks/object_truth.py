"""What is really there: the whole true surface of every thing of a scene, and what cameras saw of it.

Generated scenes are built again by ``benchmarks.scenes``; ``-exact`` behind their name takes the errors out of their
poses. ``sample`` is the sample capture, whose room Blender builds again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from backend.captures.capture import Capture, Frame
from backend.captures.detect import ImportOptions, open_capture
from backend.captures.held_out import every_nth, read_names, without
from backend.evaluation.truth import Truth, load_truth
from backend.objects.assets import Options
from backend.objects.instances import Claim
from backend.objects.patches import find_parts, triangle_areas
from backend.objects.similar import spread
from backend.progress import silent
from backend.registering import registered_capture
from backend.surface.raster import rasterize
from backend.surface.surface import Surface
from benchmarks.label_scenes import SAMPLE, SAMPLE_EVERY
from benchmarks.sample_room import sample_room
from benchmarks.scenes import BUILDERS, ScenePaths, make

EXACT = "-exact"
SAMPLES = 20_000  # points per surface
COLUMNS = 160  # along the longer side, in which volumes are measured
LEAST_SHARE = 0.05  # of a connected piece that is a thing's, for it to be marked apart
LEAST_SEEN = 300  # places of a thing; things seen less are not counted
GRID = 0.015  # metres between the seen places of the sample
WELD = 1e-4  # metres between corners that are one
BESIDE = 0.003  # metres from closed parts where an open sheet (a label on a can) takes no room


@dataclass(frozen=True)
class TrueThings:
    """A scene's things, numbered from 1. All places are in scene metres."""

    name: str
    capture: Capture  # every frame
    held_out: frozenset[str]
    truth: Truth
    corners: np.ndarray  # (F, 3, 3) float64, orientation means nothing
    instance: np.ndarray  # (F,) int
    seen: np.ndarray  # (n, 3) places that cameras saw, about a voxel apart
    seen_instance: np.ndarray  # (n,) int
    seen_label: np.ndarray  # (n,) uid
    instances_in: Callable[[Frame], np.ndarray]  # (H, W) int: the thing that each pixel of a frame shows

    @cached_property
    def training(self) -> Capture:
        """The frames that objects are made from."""
        return without(self.capture, self.held_out)

    def label_of(self, instance: int) -> int:
        """The class of a thing."""
        return int(np.bincount(self.seen_label[self.seen_instance == instance]).argmax())

    def counted(self) -> list[int]:
        """Things, no floors and walls, of which enough was seen."""
        ids, counts = np.unique(self.seen_instance, return_counts=True)
        enough = [int(number) for number, count in zip(ids, counts, strict=True) if number and count >= LEAST_SEEN]
        return [number for number in enough if (uid := self.label_of(number)) and self.truth.tree.labels[uid].thing]

    def seen_of(self, instance: int) -> np.ndarray:
        """(n, 3) places of a thing that cameras saw."""
        return self.seen[self.seen_instance == instance]

    def surface_of(self, instance: int) -> np.ndarray:
        """(SAMPLES, 3) points spread evenly over a thing, seen or not."""
        return spread_over(self.corners[self.instance == instance])

    def marks_between(self, surface: Surface, labels: np.ndarray) -> tuple[Claim, ...]:
        """A mark in the middle of each of several things of a label that the scan connects, as a person parts them.

        Args:
            labels: (V,) uint16, as of ``labels_on``.
        """
        owner = np.where(labels > 0, self.seen_instance[cKDTree(self.seen).query(surface.vertices)[1]], 0)
        is_thing = np.zeros(65536, bool)
        is_thing[[uid for uid, node in self.truth.tree.labels.items() if node.thing]] = True
        certain = np.ones(len(labels), np.float32)
        parts = find_parts(surface, labels, certain, is_thing, Options.min_size)
        marks = []
        for part in range(int(parts.of_vertex.max(initial=-1)) + 1):
            members = np.flatnonzero((parts.of_vertex == part) & is_thing[parts.labels] & (owner > 0))
            shares = np.bincount(owner[members]) / max(len(members), 1)
            touching = np.flatnonzero(shares > LEAST_SHARE).tolist()
            for number in touching if len(touching) > 1 else ():
                mine = members[owner[members] == number]
                away = np.linalg.norm(surface.vertices[mine] - surface.vertices[mine].mean(axis=0), axis=1)
                marks.append(Claim(int(parts.labels[mine[0]]), number, mine[[away.argmin()]]))
        return tuple(marks)

    def labels_on(self, points: np.ndarray, reach: float) -> np.ndarray:
        """(n,) uint16 true uids of points (n, 3), 0 where nothing true is within reach (metres)."""
        distance, nearest = cKDTree(self.seen).query(points)
        return np.where(distance < reach, self.seen_label[nearest], 0).astype(np.uint16)


def load(name: str) -> TrueThings:
    """The truth of a scene: ``sample``, kind-seed or kind-seed-exact. Generates what is not in the cache."""
    if name == "sample":
        return _sample()
    kind, seed = name.removesuffix(EXACT).rsplit("-", 1)
    home = make(kind, int(seed), shift=0.0, turn=0.0) if name.endswith(EXACT) else make(kind, int(seed))
    return generated(name, kind, int(seed), home)


def generated(name: str, kind: str, seed: int, home: ScenePaths) -> TrueThings:
    """The truth of a generated scene in its folder; the capture's poses are refined, as an import does."""
    digest = hashlib.sha256(f"{kind}/{seed}".encode()).digest()
    geometry = BUILDERS[kind](np.random.default_rng(int.from_bytes(digest[:8], "little"))).geometry()
    held_out = read_names(home.held_out)
    capture = open_capture(home.capture, ImportOptions())
    capture = registered_capture(capture, silent, model={frame.name for frame in capture.frames} - held_out)
    with np.load(home.mesh, allow_pickle=False) as data:
        seen = data["vertices"], data["instances"], data["labels"]
    return TrueThings(
        name,
        capture,
        held_out,
        load_truth(home.truth, capture),
        geometry.mesh.points[geometry.mesh.faces],
        geometry.instance,
        *seen,
        lambda frame: np.asarray(Image.open(home.instances / f"{frame.name}.png")),
    )


def _sample() -> TrueThings:
    capture = open_capture(SAMPLE, ImportOptions())
    held_out, truth, room = every_nth(capture, SAMPLE_EVERY), load_truth(SAMPLE / "labels", capture), sample_room()
    place = capture.scene_from_world
    corners = room["corners"] @ place[:3, :3].T + place[:3, 3]
    points, faces = corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3)
    number, uid = np.append(room["instance"], 0), np.append(room["uid"], 0)  # the last for nothing

    found, maps = [], {}
    for frame in capture.frames:
        hit = rasterize(points, faces, frame.intrinsics, capture.camera_to_scene(frame))
        maps[frame.name] = number[hit.face]
        if frame.name in held_out:
            continue
        if (uid[hit.face] != truth.of(frame.name)).mean() > 0.01:
            raise RuntimeError(f"frame {frame.name} of the sample does not show this room; make the sample again")
        there = hit.face >= 0
        drawn = hit.face[there]
        found.append((drawn, np.einsum("pk,pki->pi", hit.barycentric[there], corners[drawn])))
    faces_seen, places = (np.concatenate(part) for part in zip(*found, strict=True))
    cells = np.column_stack([np.floor(places / GRID).astype(np.int64), number[faces_seen]])
    first = np.unique(cells, axis=0, return_index=True)[1]
    of_face = faces_seen[first]
    seen = places[first], number[of_face], uid[of_face]
    return TrueThings(
        "sample",
        capture,
        held_out,
        truth,
        corners,
        room["instance"],
        *seen,
        lambda frame: maps[frame.name],
    )


def spread_over(corners: np.ndarray) -> np.ndarray:
    """(SAMPLES, 3) points spread evenly over triangles (F, 3, 3)."""
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return spread(corners.astype(np.float64), area, SAMPLES)[0]


def outward(corners: np.ndarray) -> np.ndarray | None:
    """Triangles (F, 3, 3), oriented or not: their closed pieces turned outward; None when open ones take room."""
    _, number = np.unique(np.round(corners.reshape(-1, 3) / WELD), axis=0, return_inverse=True)
    faces = number.reshape(-1, 3)
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    corners, faces = corners[whole], faces[whole]
    start, end = faces.T.ravel(), np.roll(faces, -1, axis=1).T.ravel()
    owner = np.tile(np.arange(len(faces)), 3)
    key = np.minimum(start, end) * (int(faces.max(initial=0)) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    one, other = order[starts[sizes == 2]], order[starts[sizes == 2] + 1]
    # Every face stands for itself and for itself turned over; neighbours that run alike along an edge disagree.
    count, turned = len(faces), start[one] == start[other]
    links = [(owner[one], owner[other] + count * turned), (owner[one] + count, owner[other] + count * ~turned)]
    rows, columns = (np.concatenate(side) for side in zip(*links, strict=True))
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(2 * count, 2 * count))
    group = connected_components(graph, directed=False)[1]
    piece = np.unique(np.minimum(group[:count], group[count:]), return_inverse=True)[1]
    flipped = group[:count] > group[count:]
    corners = np.where(flipped[:, None, None], corners[:, ::-1], corners)
    # Closed: all its edges lie between two of its faces.
    uses = np.unique(np.column_stack([key, piece[owner]]), axis=0, return_inverse=True, return_counts=True)
    twice = (uses[2] == 2)[uses[1].ravel()]
    closed = np.bincount(piece[owner], ~twice) == 0
    inside = np.bincount(piece, (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum(axis=1))
    corners = np.where((inside[piece] < 0)[:, None, None], corners[:, ::-1], corners)
    solid, open_ones = corners[closed[piece]], corners[~closed[piece]]
    if not len(solid):
        return None
    if not len(open_ones):
        return solid
    area = triangle_areas(solid.reshape(-1, 3), np.arange(3 * len(solid)).reshape(-1, 3)).sum()
    away = cKDTree(spread_over(solid)).query(spread_over(open_ones))[0].mean()
    return solid if away < BESIDE + np.sqrt(area / SAMPLES) else None


def union_volume(corners: np.ndarray) -> float:
    """m^3 inside any of the closed outward parts that triangles (F, 3, 3) make up: lengths of vertical lines inside."""
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    cell = float((high - low)[:2].max()) / COLUMNS
    counts = np.maximum(np.ceil((high - low)[:2] / cell).astype(int), 1)
    columns, heights, signs = [], [], []
    for triangle in corners:
        first = np.maximum(np.floor((triangle[:, :2].min(0) - low[:2]) / cell - 0.5), 0).astype(int)
        last = np.minimum(np.ceil((triangle[:, :2].max(0) - low[:2]) / cell), counts - 1).astype(int)
        (ax, ay), (bx, by), (cx, cy) = triangle[:, :2]
        double = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(double) < 1e-14:
            continue
        i, j = np.meshgrid(np.arange(first[0], last[0] + 1), np.arange(first[1], last[1] + 1), indexing="ij")
        # Off the middle by an odd amount, so that no line runs along an edge.
        x, y = low[0] + (i + 0.5003) * cell, low[1] + (j + 0.4991) * cell
        u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / double
        v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / double
        inside = (u >= 0) & (v >= 0) & (u + v <= 1)
        columns.append((i * counts[1] + j)[inside])
        heights.append((u * triangle[0, 2] + v * triangle[1, 2] + (1 - u - v) * triangle[2, 2])[inside])
        signs.append(np.full(int(inside.sum()), -np.sign(double)))
    column, height, sign = (np.concatenate(part) for part in (columns, heights, signs))
    order = np.lexsort((height, column))
    column, height, depth = column[order], height[order], np.cumsum(sign[order])
    within = (depth[:-1] > 0.5) & (column[1:] == column[:-1])
    return float((np.diff(height) * within).sum() * cell**2)
