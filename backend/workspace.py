"""One open scene: capture, surface, field and labels, and the three clocks that work on them.

1. At the click: `label` answers with the closed-form posterior, a pure function of scene and document.
2. Right after, in `idle` slices: the field settles its geometry and colour once, then learns the posterior for a
   fixed number of seeded steps. Settled labels are again a pure function of scene and document.
3. What was settled is remembered under the document's content, so that undo and redo show it at once.

Slow preparation (superpoints, the pixels that the field learns from) runs on one worker thread; everything else on
the thread that calls.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from . import devices
from .captures.capture import Capture, Frame, Intrinsics, LeftOut
from .captures.detect import ImportOptions, open_capture
from .errors import Cancelled, UserError
from .labels.engine import LabelEngine, Prediction
from .labels.placement import PlacedMark, place_marks
from .labels.student import Student
from .labels.tree import LabelTree
from .labels.views import LabelView, label_view
from .objects.preview import previews
from .objects.separation import SeparationResult, separate
from .scene_cache import SceneCache
from .store import Store
from .surface.fusion import Volume, fuse
from .surface.mesh import extract
from .surface.superpoints import segment
from .surface.surface import Superpoints, Surface

Progress = Callable[[float, str], None]
SETTLED_KEPT = 16  # label states remembered for undo and redo
SLICE_SECONDS = 0.02


@dataclass(frozen=True)
class Status:
    """What the backend is doing, as a person is told."""

    state: str = "idle"
    text: str = "No capture is open"
    steps: int = 0
    loss: float | None = None
    device: str = "cpu"
    settled: bool = True

    def as_dict(self) -> dict:
        """For the stream."""
        return asdict(self)


@dataclass(frozen=True)
class Labelling:
    """The labels of one state of the document."""

    revision: int
    stage: str  # "posterior" at the click, "settled" once the field has learnt it
    labels: np.ndarray  # (V,) uint16 uids, 0 = unlabelled
    confidence: np.ndarray  # (V,) float32 0..1
    classes: list[int]
    marks: tuple[PlacedMark, ...]
    shares: dict[int, float]  # of the surface's vertices
    unsettled: float  # share of the surface whose confidence is low


class Workspace:
    """Opens one capture and labels it. One thread calls it."""

    def __init__(
        self,
        device: str = "auto",
        store: Store | None = None,
        on_status: Callable[[Status], None] = lambda status: None,
        on_labels: Callable[[Labelling], None] = lambda labelling: None,
        on_problem: Callable[[UserError], None] = lambda problem: None,
    ):
        devices.share_cores()
        self.device = devices.choose(device)
        self.seconds: dict[str, float] = {}
        self.unreadable: tuple[LeftOut, ...] = ()  # frames whose images turned out broken while fusing
        self._problems: list[UserError] = []  # of the worker, until the calling thread tells them
        self.status = Status(device=str(self.device))
        self._store, self._on_status, self._on_labels, self._on_problem = store, on_status, on_labels, on_problem
        self._closed = threading.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._engine: Future[LabelEngine] | None = None
        self._student: Future[Student] | None = None
        self._document: dict | None = None
        self._tree: LabelTree | None = None
        self._posterior: tuple[Labelling, Prediction] | None = None
        self._current: Labelling | None = None
        self._settled: OrderedDict[str, Labelling] = OrderedDict()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the worker."""
        self._closed.set()
        self._worker.shutdown(wait=False, cancel_futures=True)

    # --- opening ---

    def open(
        self, path: Path, options: ImportOptions, progress: Progress, on_capture: Callable[[Capture], None]
    ) -> Surface:
        """Read a capture and fuse it; `on_capture` is called as soon as the cameras are known.

        Raises UserError, Cancelled.
        """
        with self._timed("read"):
            capture = open_capture(path, options, lambda f, text: progress(0.1 * f, text))
        on_capture(capture)
        return self.build(capture, lambda f, text: progress(0.1 + 0.9 * f, text))

    def build(self, capture: Capture, progress: Progress, every_frame: Capture | None = None) -> Surface:
        """Fuse a capture into its surface and start preparing the labels.

        Args:
            every_frame: the same capture with all its frames, when marks may name frames that are not fused.
        """
        self.capture, self._every_frame = capture, every_frame or capture
        self._cache = SceneCache(self._store, capture)
        self._tell("fusing", f"Fusing {len(capture.frames)} frames")
        known = self._cache.surface()
        volume = None
        if known is None:
            with self._timed("fuse"):
                volume = fuse(capture, lambda f, text: progress(0.7 * f, text), device=str(self.device))
            self._without(volume.left_out)
            with self._timed("mesh"):
                self.surface = extract(volume, lambda f, text: progress(0.7 + 0.3 * f, text))
            if not len(self.surface.faces):
                raise UserError(
                    "no_surface", "No surface came out of this capture; check the depth encoding and the depth range."
                )
        else:
            self.surface = known
        self._tell("preparing", "Preparing labels")
        self._engine = self._worker.submit(self._prepare)
        self._student = self._worker.submit(self._teachable, volume)
        return self.surface

    def _without(self, unreadable: tuple[LeftOut, ...]) -> None:
        """Go on without the frames whose images turned out to be broken; the person is told."""
        names = {one.name for one in unreadable}
        self.unreadable = unreadable
        frames = tuple(frame for frame in self.capture.frames if frame.name not in names)
        self.capture = replace(self.capture, frames=frames)

    def _prepare(self) -> LabelEngine:
        superpoints = self._cache.superpoints()
        if superpoints is None:
            with self._timed("superpoints"):
                superpoints = segment(self.surface)
            self._unless_closed()
            self._remember(lambda: self._cache.keep(self.surface, superpoints))
        with self._timed("kernel"):
            engine = LabelEngine(self.surface, superpoints)
        self._superpoints = superpoints
        return engine

    def _teachable(self, volume: Volume | None) -> Student:
        superpoints: Superpoints = self._superpoints
        with self._timed("pool"):
            return Student(
                self._cache.field_stem,
                self.capture,
                self.surface,
                superpoints,
                volume,
                self.device,
                self._unless_closed,
            )

    def _remember(self, keep: Callable[[], object]) -> None:
        """A cache that cannot be written costs time at the next opening, nothing else: the person is told."""
        try:
            keep()
        except UserError as error:
            self._problems.append(error)

    def _unless_closed(self, *unused: object) -> None:
        if self._closed.is_set():
            raise Cancelled

    # --- labelling ---

    def label(self, document: dict, progress: Progress = lambda fraction, text: None) -> Labelling:
        """The labels of a checked document whose points are in scene coordinates: settled ones when they are
        known, else those of the posterior. Raises UserError, Cancelled.
        """
        engine = self._wait(self._engine, progress, "Preparing labels")
        self._tree = LabelTree.from_document(document)
        if self._student.done() and self._student.exception() is None:
            self._student.result().forget_labels()
        key = _content(document)
        if key in self._settled:
            self._settled.move_to_end(key)
            self._current = replace(self._settled[key], revision=document["revision"])
            self._document = None
            self._tell("idle", "Labels are settled")
            return self._current
        started = time.perf_counter()
        marks = tuple(place_marks(document, self._every_frame, self.surface))
        prediction = engine.predict(self._tree, [mark for mark in marks if mark.problem is None])
        labelling = self._labelling(document["revision"], "posterior", prediction, marks)
        self._document, self._posterior, self._current = document, (labelling, prediction), labelling
        self.seconds["label"] = time.perf_counter() - started
        return labelling

    def _labelling(self, revision: int, stage: str, prediction: Prediction, marks: tuple[PlacedMark, ...]) -> Labelling:
        return Labelling(
            revision=revision,
            stage=stage,
            labels=prediction.labels,
            confidence=prediction.confidence,
            classes=[int(uid) for uid in prediction.uids],
            marks=marks,
            shares=prediction.share(),
            unsettled=prediction.unsettled,
        )

    # --- background work ---

    def idle(self) -> bool:
        """One short slice of background work; False when nothing is left to do."""
        if self._engine is None or self._student is None:
            return False
        while self._problems:
            self._on_problem(self._problems.pop(0))
        if not self._student.done():
            self._until_done(self._student, SLICE_SECONDS)
            return True
        student = self._student.result()
        if not student.geometry_done:
            self._tell("training", "Training geometry and colour", student.steps, student.geometry_slice(SLICE_SECONDS))
            return True
        if self._document is None or self._posterior is None or not len(self._posterior[1].uids):
            self._tell("idle", "Ready for marks" if self._current is None else "Labels are settled", student.steps)
            return False
        labelling, prediction = self._posterior
        loss = student.label_slice(prediction, labelling.marks, SLICE_SECONDS)
        if not student.labels_done:
            self._tell("training", "The field learns the labels", student.steps, loss)
            return True
        settled = self._labelling(
            labelling.revision, "settled", student.refined(prediction, labelling.marks), labelling.marks
        )
        self._settled[_content(self._document)] = settled
        while len(self._settled) > SETTLED_KEPT:
            self._settled.popitem(last=False)
        self._document, self._current = None, settled
        self._tell("idle", "Labels are settled", student.steps)
        self._on_labels(settled)
        return False

    def settle(self, progress: Progress, seconds: float | None = None) -> Labelling:
        """Train until the labels of the last document are settled, at most so long. Raises UserError, Cancelled."""
        if self._current is None:
            raise UserError("no_labels", "There are no marks to learn from yet.")
        started = time.perf_counter()
        while self.idle() and (seconds is None or time.perf_counter() - started < seconds):
            progress(min(0.95, self.steps / Student.STEPS), f"{self.status.text}, step {self.status.steps}")
        self.seconds["train"] = time.perf_counter() - started
        return self._current

    @property
    def steps(self) -> int:
        """Training steps of the field so far."""
        return self._student.result().steps if self._student is not None and self._student.done() else 0

    def save(self) -> int:
        """Keep the trained field in the cache; its size in bytes, 0 while it is not settled."""
        student = self._wait(self._student, lambda f, text: None, "")
        return student.save()

    # --- answers about the scene ---

    @property
    def superpoint_count(self) -> int:
        """Number of superpoints of the surface."""
        return len(self._superpoints.sizes)

    @property
    def largest_uid(self) -> int:
        """The largest uid of the label tree."""
        return max(self._tree.labels, default=0) if self._tree else 0

    def pick(self, frame: str, u: float, v: float) -> np.ndarray:
        """The scene point (3,) that a keyframe's pixel shows. Raises UserError when nothing is there."""
        mark = {"id": 1, "label": 0, "sign": 1, "frame": frame, "u": u, "v": v, "points": []}
        (placed,) = place_marks({"marks": [mark]}, self._every_frame, self.surface)
        if placed.problem is not None:
            raise UserError("nothing_there", placed.problem)
        return placed.points[0]

    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        if self._current is None:
            return np.zeros(len(self.surface.vertices), np.uint16), np.zeros(len(self.surface.vertices), np.float32)
        return self._current.labels, self._current.confidence

    def view(self, intrinsics: Intrinsics, camera_to_scene: np.ndarray) -> LabelView:
        """What any camera sees: the labelled scan, and in its holes what the settled field has there."""
        view = label_view(self.surface, *self._labels(), intrinsics, camera_to_scene)
        if self._student is not None and self._student.done():
            return self._student.result().fill(view, intrinsics, camera_to_scene)
        return view

    def keyframe_view(self, frame: Frame) -> LabelView:
        """The label map of a keyframe, sharpened by its photo. Raises UserError when the photo cannot be read."""
        pose = self.capture.camera_to_scene(frame)
        depth = frame.depth() if frame.depth_intrinsics == frame.intrinsics else None
        return label_view(self.surface, *self._labels(), frame.intrinsics, pose, frame.color(), depth)

    def separate(self, min_size: float, progress: Progress) -> tuple[SeparationResult, list[np.ndarray]]:
        """The labelled things as objects of their own, with a picture of each. Raises UserError, Cancelled."""
        if self._current is None or self._tree is None or not self._current.labels.any():
            raise UserError("no_labels", "Nothing is labelled yet; click on some things first.")
        result = separate(
            self.surface,
            *self._labels(),
            self._tree,
            min_size,
            lambda f, text: progress(0.6 * f, text),
        )
        return result, previews(result, 256, lambda f, text: progress(0.6 + 0.4 * f, text))

    # --- helpers ---

    def _wait(self, future: Future | None, progress: Progress, text: str):
        if future is None:
            raise UserError("no_capture", "No capture is open in the backend; import one first.")
        while not self._until_done(future, 0.1):
            progress(0.0, text)
        return future.result()

    @staticmethod
    def _until_done(future: Future, seconds: float) -> bool:
        try:
            future.exception(timeout=seconds)
        except NotYet:
            return False
        return True

    def _timed(self, name: str):
        return _Timer(self.seconds, name)

    def _tell(self, state: str, text: str, steps: int = 0, loss: float | None = None) -> None:
        status = Status(state, text, steps, loss, str(self.device), settled=self._document is None)
        if status != self.status:
            self.status = status
            self._on_status(status)


class _Timer:
    def __init__(self, seconds: dict[str, float], name: str):
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *exc_info: object) -> None:
        self._seconds[self._name] = time.perf_counter() - self._started


def _content(document: dict) -> str:
    """A digest of what a document teaches, whatever its revision, the order of its marks, names and colours."""
    marks = sorted(document["marks"], key=lambda mark: mark["id"])
    tree = [[node["uid"], node["parent"], node["kind"]] for node in document["tree"]]
    text = json.dumps([tree, marks], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
