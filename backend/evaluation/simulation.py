"""A simulated user against an engine on one scene: the learning curve on frames that never gave a mark."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..captures.capture import Capture, Frame
from ..errors import UserError
from ..labels.keyframes import KeyframeViews
from ..labels.placement import place_marks
from ..progress import Progress, silent
from ..protocol import checked_document
from ..surface.surface import Surface
from .engines import Answer, Engine
from .metrics import Tally
from .readout import Readout
from .truth import Truth
from .users import Click, User

PER_CLASS = "1x"  # the budget of one click per class
SCAN, PHOTO = "scan", "photo"  # label maps looked up on the scan, or sharpened by the frame's own photo


@dataclass
class Scene:
    """A capture with truth, split into frames that are fused and clicked and frames that only test.

    ``capture`` holds all frames; ``held_out`` names those that test. The surface comes from the others.
    """

    name: str
    capture: Capture
    held_out: frozenset[str]
    truth: Truth
    surface: Surface
    readout: Readout | None = None  # label maps looked up on the scan
    photos: KeyframeViews = field(init=False)  # label maps as the product makes them for captured frames

    def __post_init__(self) -> None:
        self.readout = self.readout or Readout(self.capture, self.surface)
        self.photos = KeyframeViews(self.surface, self.capture)

    @property
    def training(self) -> list[Frame]:
        """Frames that may give marks."""
        return [frame for frame in self.capture.frames if frame.name not in self.held_out]

    @property
    def testing(self) -> list[Frame]:
        """Frames that are scored."""
        return [f for f in self.capture.frames if f.name in self.held_out and f.name in self.truth]


@dataclass(frozen=True)
class LevelScore:
    """How well one level of the tree is labelled on the test frames; shares of 0..1."""

    miou: float
    accuracy: float
    boundary: float
    calibration_error: float | None
    iou: dict[str, float]  # by name of the class


@dataclass(frozen=True)
class Point:
    """One point of a learning curve."""

    budget: str  # "1x" or a number
    clicks: int  # really made: a budget below one per class is one per class
    scores: dict[str, dict[str, LevelScore]]  # readout to level to score


@dataclass(frozen=True)
class Curve:
    """What one simulated user and one engine came to."""

    engine: str
    protocol: str
    seed: int
    readout: str  # the one that the engine's label maps of captured frames have
    points: list[Point]
    seconds_median: float  # from a placed click to labels on the whole scan
    seconds_worst: float
    settle_median: float | None  # from a click to settled labels, where that is more
    marks: list[dict[str, Any]]
    without_effect: int  # marks that could not be placed on the scan

    def miou(self, budget: str, readout: str | None = None) -> float:
        """Mean IoU of the leaves at a budget."""
        point = next(point for point in self.points if point.budget == budget)
        return point.scores[readout or self.readout]["leaves"].miou

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Curve:
        """The inverse of ``to_json``; more entries do no harm. Raises KeyError or TypeError for other data."""
        points = []
        for point in data["points"]:
            scores = {
                readout: {level: LevelScore(**score) for level, score in levels.items()}
                for readout, levels in point["scores"].items()
            }
            points.append(Point(point["budget"], point["clicks"], scores))
        return Curve(**{**{name: data[name] for name in Curve.__dataclass_fields__}, "points": points})


def document_of(truth: Truth, clicks: Sequence[Click]) -> dict[str, Any]:
    """The checked label document that a list of clicks stands for."""
    marks = [
        {"id": k + 1, "label": c.label, "sign": 1, "frame": c.frame, "u": c.u, "v": c.v} for k, c in enumerate(clicks)
    ]
    return checked_document({"revision": len(clicks), "tree": truth.nodes, "marks": marks})


def parse_budgets(text: str) -> list[str]:
    """Budgets from "1x,20,50,120", ascending and distinct. Raises UserError."""
    found = []
    for part in text.split(","):
        part = part.strip()
        if part != PER_CLASS and not (part.isascii() and part.isdigit() and 0 < int(part) <= 100_000):
            raise UserError(
                "bad_clicks", f"{part!r} is no number of clicks; give a list like 1x,20,50,120 (1x: one per class)."
            )
        found.append(part if part == PER_CLASS else str(int(part)))
    return sorted(set(found), key=lambda part: 0 if part == PER_CLASS else int(part))


def simulate(
    scene: Scene,
    engine: Engine,
    protocol: str = "largest-error",
    budgets: Sequence[str] = (PER_CLASS, "20", "50", "120"),
    seed: int = 0,
    readouts: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Curve:
    """Play one user against one engine.

    Args:
        budgets: as ``parse_budgets`` returns them; scores are taken there alone.
        readouts: which kinds of label maps are scored; None: the one that the engine's maps of captured frames have.

    Raises:
        UserError: no training frame has a label map, or an image cannot be read.
    """
    own = PHOTO if engine.photo else SCAN
    return _Play(scene, engine, User(scene.training, scene.truth, protocol, seed), seed, progress).run(
        list(budgets), list(readouts or (own,)), own
    )


class _Play:
    def __init__(self, scene: Scene, engine: Engine, user: User, seed: int, progress: Progress):
        self._scene, self._engine, self._user, self._seed, self._progress = scene, engine, user, seed, progress
        self._seconds: list[float] = []
        self._settling: list[float] = []
        self._marks: list = []
        self._document: dict[str, Any] = {}

    def run(self, budgets: list[str], readouts: list[str], own: str) -> Curve:
        if not self._user.first_clicks():
            raise UserError("no_truth", "No training frame has a labelled pixel, so there is nothing to click on.")
        if not self._scene.testing:
            raise UserError("no_truth", "No held-out frame has a label map, so there is nothing to score.")
        self._engine.start()
        answer, first = self._update(), len(self._user.clicks)
        goals = {budget: first if budget == PER_CLASS else max(int(budget), first) for budget in budgets}
        points, most = [], max(goals.values())
        for budget, goal in goals.items():
            while len(self._user.clicks) < goal and self._next(answer):
                answer = self._update()
                self._progress(len(self._user.clicks) / most, f"Click {len(self._user.clicks)} of {most}")
            points.append(self._point(budget, readouts))
        return Curve(
            engine=self._engine.name,
            protocol=self._user.protocol,
            seed=self._seed,
            readout=own,
            points=points,
            seconds_median=statistics.median(self._seconds),
            seconds_worst=max(self._seconds),
            settle_median=statistics.median(self._settling) if self._settling else None,
            marks=[
                {k: mark[k] for k in ("id", "label", "sign", "frame", "u", "v")} for mark in self._document["marks"]
            ],
            without_effect=sum(mark.problem is not None for mark in self._marks),
        )

    def _update(self) -> Answer:
        self._document = document_of(self._scene.truth, self._user.clicks)
        self._marks = place_marks(self._document, self._scene.capture, self._scene.surface)
        started = time.perf_counter()
        answer = self._engine.update(self._document, self._marks)
        self._seconds.append(time.perf_counter() - started)
        return answer

    def _next(self, answer: Answer) -> bool:
        look = self._scene.readout.look
        kind = PHOTO if self._engine.photo else SCAN

        def unsure(measure: str):
            if answer.uncertainty is None:
                sentence = f"The engine {self._engine.name} cannot say how sure it is; choose another --protocol."
                raise UserError("no_uncertainty", sentence)
            values = answer.uncertainty(measure)
            return lambda frame: look(frame, values)

        return self._user.next_click(lambda frame: label_map(self._scene, frame, answer, kind)[0], unsure) is not None

    def _point(self, budget: str, readouts: list[str]) -> Point:
        started = time.perf_counter()
        answer = self._engine.settled(self._document, self._marks)
        if type(self._engine).settled is not Engine.settled:
            self._settling.append(time.perf_counter() - started)
        found = {readout: score(self._scene, answer, readout) for readout in readouts}
        return Point(budget, len(self._user.clicks), found)


def label_map(scene: Scene, frame: Frame, answer: Answer, readout: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Label map (H, W) of a frame and its confidence (H, W), None where the engine has none. Raises UserError."""
    if readout == PHOTO:
        sure = np.zeros(len(answer.labels), np.float32) if answer.confidence is None else answer.confidence
        labels, certain = scene.photos.table(frame).read(answer.labels, sure)
        return labels, None if answer.confidence is None else certain
    look = scene.readout.look
    return look(frame, answer.labels), None if answer.confidence is None else look(frame, answer.confidence)


def score(scene: Scene, answer: Answer, readout: str = SCAN) -> dict[str, LevelScore]:
    """Scores on the scene's test frames at every level of the tree."""
    levels = scene.truth.levels()
    tallies = {level: Tally(int(table.max()) + 1) for level, table in levels.items()}
    for frame in scene.testing:
        truth = scene.truth.of(frame.name)
        labels, sure = label_map(scene, frame, answer, readout)
        for level, table in levels.items():
            tallies[level].add(table[truth], table[labels], sure)
    return {level: _level_score(scene.truth, tally) for level, tally in tallies.items()}


def _level_score(truth: Truth, tally: Tally) -> LevelScore:
    found = tally.scores
    iou = {truth.name(int(uid)): float(value) for uid, value in zip(found.uids, found.iou, strict=True)}
    return LevelScore(found.miou, found.accuracy, tally.boundary, tally.calibration_error, iou)
