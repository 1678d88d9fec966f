"""Ask Me: which pixel of which keyframe would teach most (iLabel, section 3.2, automatic query generation).

Every keyframe is known at low resolution by the vertices that its pixels show, found through the sensor's depth as a
mark on that pixel would be. So a question costs one look-up of the vertices' uncertainty, and the answer, a mark on
that pixel, lands on the vertex that was asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .captures.capture import Capture, Frame
from .captures.selection import evenly
from .errors import UserError
from .labelling import Posteriors
from .labels.placement import nearest_vertices, vertices_within
from .labels.prediction import Prediction
from .labels.queries import draw_query
from .labels.tree import LabelTree
from .surface.surface import Surface

SIDE = 120  # pixels of the longer side of a keyframe's map
MOST_FRAMES = 200  # more keyframes are thinned out evenly
REACH_VOXELS = 2.0  # from the sensor's point to the scan; farther off the two disagree
EDGE = 0.06  # relative step of depth around a pixel that counts as the edge of a thing
APART = 0.10  # metres around places that were marked or skipped
CERTAIN = 1e-3  # uncertainty below which nothing is worth a question
MOST_CHOICES = 9  # number keys


class Keyframes:
    """The vertices that the keyframes show, one keyframe per `step`.

    Pixels whose geometry is unsure are left out: no sensor depth, an edge of depth beside them, or no scan there.
    """

    def __init__(self, capture: Capture, surface: Surface):
        self._capture, self._surface = capture, surface
        self._waiting = evenly(capture.frames, MOST_FRAMES)[::-1]
        self.names: list[str] = []
        self.areas: list[int] = []  # pixels of each map
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []
        self._joined: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @property
    def done(self) -> bool:
        """Whether all keyframes are known."""
        return not self._waiting

    def step(self) -> bool:
        """Look at one more keyframe; False when there is none."""
        if self._waiting:
            frame = self._waiting.pop()
            self._parts.append(self._seen(frame))
            self.names.append(frame.name)
            self._joined = None
        return not self.done

    def finish(self, progress: Callable[[float, str], None]) -> None:
        """Look at all that are left. Raises what ``progress`` raises."""
        total = len(self._waiting)
        while self._waiting:
            progress(1 - len(self._waiting) / total, "Looking at the keyframes")
            self.step()

    def joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sure pixels of all maps: index of the keyframe (P,), pixel (P, 2) float32, vertex (P,) int64."""
        if self._joined is None:
            of = np.repeat(np.arange(len(self._parts)), [len(vertices) for _, vertices in self._parts])
            pixels = np.concatenate([np.zeros((0, 2), np.float32), *(pixels for pixels, _ in self._parts)])
            vertices = np.concatenate([np.zeros(0, np.int64), *(vertices for _, vertices in self._parts)])
            self._joined = of, pixels, vertices
        return self._joined

    def _seen(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        camera = frame.intrinsics
        step = max(max(camera.width, camera.height) / SIDE, 1.0)
        columns, rows = (
            np.round(np.arange(step / 2 - 0.5, size - 0.5, step)) for size in (camera.width, camera.height)
        )
        pixels = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
        self.areas.append(len(pixels))
        try:
            depth = frame.depth()
        except UserError:
            depth = np.zeros((1, 1), np.float32)  # a broken image shows nothing; fusing has told the person
        rays = camera.unproject(pixels, np.ones(len(pixels)))
        z = _sure_depth(depth, frame.depth_intrinsics.project(rays))
        sure = np.flatnonzero(z > 0)
        pose = self._capture.camera_to_scene(frame)
        points = (rays[sure] * z[sure, None]) @ pose[:3, :3].T + pose[:3, 3]
        vertices = nearest_vertices(points, self._surface, REACH_VOXELS * self._surface.voxel)
        met = vertices >= 0
        return pixels[sure[met]].astype(np.float32), vertices[met]


class Everywhere:
    """A surface without keyframes, asked about as if one without a name showed each of its vertices once."""

    def __init__(self, surface: Surface):
        self._count = len(surface.vertices)
        self.names, self.areas = [""], [self._count]

    def joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As of Keyframes; all pixels are 0."""
        count = self._count
        return np.zeros(count, np.int64), np.zeros((count, 2), np.float32), np.arange(count)


def _sure_depth(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Depth (N,) in metres at pixels (N, 2) of the depth image, 0 where it is missing or steps nearby."""
    height, width = depth.shape
    column, row = np.rint(pixels).astype(np.int64).T
    inside = (column >= 2) & (column < width - 2) & (row >= 2) & (row < height - 2)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    offsets = [(dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2)]
    around = np.stack([depth[(row + dy) % height, (column + dx) % width] for dy, dx in offsets])
    even = (around > 0).all(0) & (np.ptp(around, axis=0) < EDGE * around[len(offsets) // 2])
    return np.where(inside & even, around[len(offsets) // 2], 0.0)


@dataclass(frozen=True)
class Spot:
    """A place to ask about."""

    frame: str  # name of the keyframe
    u: float  # its pixel, centre-origin
    v: float
    vertex: int


@dataclass(frozen=True)
class Question:
    """A place to ask about, and the labels that it may have."""

    spot: Spot
    point: np.ndarray  # (3,) scene metres
    choices: list[tuple[int, float]]  # (uid, probability), the likeliest first


@dataclass(frozen=True)
class Query:
    """How to ask."""

    measure: str  # of uncertainty, one of queries.MEASURES
    top: float  # part of a keyframe's pixels among which one is drawn, 0.01 or 0.05 in the paper
    seed: int  # the same document and query give the same question
    level: int  # of the tree; 0 asks for the labels themselves
    skipped: np.ndarray  # (N, 3) scene points near which nothing is asked


def ask(keyframes: Keyframes | Everywhere, posteriors: Posteriors, document: dict, query: Query) -> Question:
    """The question that teaches most about a document. Raises UserError when nothing is left to ask."""
    marks, prediction = posteriors.of(document)
    uncertainty = posteriors.uncertainty(document, query.measure, query.level)
    known = np.concatenate([query.skipped, *(mark.points for mark in marks)])
    spot = draw_spot(keyframes, posteriors.surface, uncertainty, known, query)
    tree = LabelTree.from_document(document)
    likely = likely_labels(prediction, spot.vertex, tree, query.level)
    return Question(spot, posteriors.surface.vertices[spot.vertex], likely[:MOST_CHOICES])


def draw_spot(
    keyframes: Keyframes | Everywhere, surface: Surface, uncertainty: np.ndarray, known_places: np.ndarray, query: Query
) -> Spot:
    """Draw a keyframe by its accumulated uncertainty, then a pixel among its most uncertain ones.

    Args:
        uncertainty: (V,) per vertex.
        known_places: (N, 3) scene points that were marked or skipped; nothing near them is asked about.

    Raises:
        UserError: nothing is worth a question.
    """
    frame_of, pixels, vertices = keyframes.joined()
    worth = uncertainty[vertices].astype(np.float64)
    worth[worth < CERTAIN] = 0.0
    # A stroke's points lie closer together than the distance that is kept from them: one of each small cell will do.
    _, one_each = np.unique(np.round(known_places / (APART / 4)), axis=0, return_index=True)
    worth[vertices_within(known_places[one_each], surface, APART)[vertices]] = 0.0
    drawn = draw_query(frame_of, worth, np.array(keyframes.areas), query.top, query.seed)
    if drawn is None:
        raise UserError("nothing_to_ask", "Nothing is left to ask: the labels are sure wherever one can ask.")
    (u, v), frame = pixels[drawn].tolist(), keyframes.names[frame_of[drawn]]
    return Spot(frame, u, v, int(vertices[drawn]))


def likely_labels(prediction: Prediction, vertex: int, tree: LabelTree, level: int) -> list[tuple[int, float]]:
    """(uid, probability) of the labels that a vertex may have, likeliest first; those without a mark come last.

    Args:
        level: 0 for the labels themselves, n for their ancestors on the n-th level of the tree.
    """
    uids, probability = prediction.probability_at(tree, level)
    row = probability[prediction.superpoints[vertex]]
    likely = {int(uids[k]): float(row[k]) for k in np.argsort(-row, kind="stable")}
    every = [tree.ancestor(leaf, level) if level else leaf for leaf in tree.leaves()]
    return [*likely.items(), *((uid, 0.0) for uid in dict.fromkeys(every) if uid not in likely)]
