"""One open scene: capture, surface, field and labels, and the three clocks that work on them.

1. At the click: `label` answers with the closed-form posterior, a pure function of scene and document.
2. Right after, in `idle` slices: the field settles its geometry and colour once, then learns the posterior for a
   fixed number of seeded steps. Settled labels are again a pure function of scene and document.
3. What was settled is remembered under the document's content, so that undo and redo show it at once.

Slow preparation (superpoints, the pixels that the field learns from) runs on one worker thread; everything else on
the thread that calls.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from . import asking, budget, devices, out_of_memory, separating
from .captures.capture import Capture, Frame, Intrinsics, LeftOut
from .captures.detect import ImportOptions, open_capture
from .errors import Cancelled, UserError
from .labelling import Labelling, Posteriors, Status, content, labelling
from .labels.engine import LabelEngine, Prediction
from .labels.keyframes import KeyframeViews
from .labels.placement import place_marks
from .labels.student import Student
from .labels.tree import LabelTree
from .labels.views import LabelView, keyframe_view, label_view
from .objects.assets import Assets, LabelledScene, Options, make_assets
from .preparing import Prepared, waited
from .progress import Progress, part, silent
from .protocol import checked_document
from .registering import poses_of, registered_capture
from .scanning import scan
from .scene_cache import SceneCache
from .store import UNPACKED, Store
from .surface.cues import Cues, gather
from .surface.fusion import Volume
from .surface.superpoints import segment
from .surface.surface import Superpoints, Surface
from .teaching import STEPS, MarksTeaching
from .timing import Timed

T = TypeVar("T")
NOTHING_SAID = checked_document({"tree": [], "marks": []})
SLICE_SECONDS = 0.02


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
        budget.limit_gpu(self.device)
        self.scale = 1.0  # scene length of one metre
        self.seconds: dict[str, float] = {}
        self.unreadable: tuple[LeftOut, ...] = ()  # frames whose images turned out broken while fusing
        self._problems: list[UserError] = []  # of the worker, until the calling thread tells them
        self.status = Status(device=str(self.device))
        self._store, self._on_status, self._on_labels, self._on_problem = store, on_status, on_labels, on_problem
        self._closed = threading.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._engine: Prepared[LabelEngine] | None = None
        self._posteriors: Posteriors | None = None
        self._keyframes: asking.Keyframes | None = None
        self._student: Prepared[Student] | None = None
        self._by_marks: MarksTeaching | None = None
        self._document: dict | None = None  # the last one
        self._tree: LabelTree | None = None
        self._posterior: tuple[Labelling, Prediction] | None = None  # what the field has yet to learn
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
        with Timed(self.seconds, "read"):
            unpacked = self._store.root / UNPACKED if self._store is not None else None
            capture = open_capture(path, options, part(progress, 0.0, 0.1), unpacked)
        on_capture(capture)
        if options.refine_poses:
            with Timed(self.seconds, "register"):
                slot = self.device, None, self._store, self._problems.append
                capture = registered_capture(capture, part(progress, 0.1, 0.4), *slot)
        return self.build(capture, part(progress, 0.4, 1.0))

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
            self.surface, volume = scan(capture, progress, self.device, self.seconds)
            self._without(volume.left_out)
        else:
            self.surface = known
        budget.current().check_vertices(len(self.surface.vertices))
        self._tell("preparing", "Preparing labels")
        self._photos = KeyframeViews(self.surface, self._every_frame)
        scene = self.capture, self.surface, self.device
        self._by_marks = MarksTeaching(*scene, self._worker.submit, self._unless_closed)
        self._begin(volume)
        return self.surface

    def _begin(self, volume: Volume | None) -> None:
        self._superpoints: Superpoints | None = None
        self._engine = Prepared(self._worker.submit, self._prepare)
        teachable = self._teachable
        self._student = Prepared(self._worker.submit, lambda: teachable(volume), lambda: teachable(None))

    def _without(self, unreadable: tuple[LeftOut, ...]) -> None:
        """Go on without the frames whose images turned out to be broken; the person is told."""
        names = {one.name for one in unreadable}
        self.unreadable = unreadable
        frames = tuple(frame for frame in self.capture.frames if frame.name not in names)
        self.capture = replace(self.capture, frames=frames)

    def _prepare(self) -> LabelEngine:
        superpoints = self._cache.superpoints()
        if superpoints is None:
            cues = self._cues()
            with Timed(self.seconds, "superpoints"):
                superpoints = segment(self.surface, cues, budget.current().superpoints)
            self._unless_closed()
            self._remember(lambda: self._cache.keep(self.surface, superpoints))
        budget.current().check_superpoints(len(superpoints.sizes))
        with Timed(self.seconds, "kernel"):
            engine = LabelEngine(self.surface, superpoints)
        self._superpoints = superpoints
        return engine

    def _cues(self) -> Cues | None:
        """What the photos tell of the surface; None without any."""
        with Timed(self.seconds, "cues"):
            return gather(self.capture, self.surface, self._unless_closed)

    def _teachable(self, volume: Volume | None) -> Student:
        if self._superpoints is None:
            self._prepare()  # has failed, and says again why unless the cause is gone
        stem, scene = self._cache.field_stem, (self.capture, self.surface, self._superpoints)
        with Timed(self.seconds, "pool"):
            return out_of_memory.or_on_cpu(
                lambda device: Student(stem, *scene, volume, device, self._unless_closed), self.device
            )

    def _remember(self, keep: Callable[[], T]) -> T | None:
        """A cache that cannot be written costs time at the next opening, nothing else: the person is told."""
        try:
            return keep()
        except UserError as error:
            self._problems.append(error)
            return None

    def _unless_closed(self, *unused: object) -> None:
        if self._closed.is_set():
            raise Cancelled

    # --- labelling ---

    def label(self, document: dict, progress: Progress = silent) -> Labelling:
        """The labels of a checked document whose points are in scene coordinates: settled ones when they are
        known, else those of the posterior. Raises UserError, Cancelled.
        """
        posteriors = self._known_posteriors(progress)
        self._tree, self._document = LabelTree.from_document(document), document
        if self._student.done() and self._student.exception() is None:
            self._student.result().forget_labels()
        self._by_marks.forget()
        key, combined = content(document), document["method"] == "combined"
        if key in self._settled:
            self._settled.move_to_end(key)
            made, self._posterior = replace(self._settled[key], revision=document["revision"]), None
            self._tell("idle", "Labels are settled")
        elif not combined:
            marks, self._posterior = place_marks(document, self._every_frame, self.surface), None
            made = self._by_marks.begin(document, marks, self._current)
        else:
            started = time.perf_counter()
            marks, prediction = posteriors.of(document)
            made = labelling(document["revision"], "posterior", prediction, marks)
            self._posterior = (made, prediction) if len(prediction.uids) else None
            self.seconds["label"] = time.perf_counter() - started
        self._current = replace(made, warning=posteriors.warning(document) if combined else None)
        return self._current

    def _known_posteriors(self, progress: Progress) -> Posteriors:
        engine = waited(self._engine, progress, "Preparing labels")
        if self._posteriors is None:
            self._posteriors = Posteriors(engine, self._every_frame, self.surface)
        return self._posteriors

    # --- background work ---

    def idle(self) -> bool:
        """One short slice of background work; False when nothing is left to do."""
        if self._engine is None or self._student is None:
            return False
        self._problems += out_of_memory.notices()
        while self._problems:
            self._on_problem(self._problems.pop(0))
        if self._keyframes is not None and not self._keyframes.done:
            return self._keyframes.step() or True
        if self._by_marks.waiting:
            return self._learn_marks()
        if not self._student.done_within(SLICE_SECONDS):
            return True
        student = self._student.result()
        if not student.geometry_done:
            loss = self._remember(lambda: student.geometry_slice(SLICE_SECONDS))  # keeps the field at its end
            self._tell("training", "Training geometry and colour", student.steps, loss)
            return True
        if self._posterior is None:
            self._tell("idle", "Ready for marks" if self._current is None else "Labels are settled", student.steps)
            return False
        learnt, prediction = self._posterior
        loss = student.label_slice(prediction, learnt.marks, SLICE_SECONDS)
        if not student.labels_done:
            self._tell("training", "The field learns the labels", student.steps, loss)
            return True
        refined = student.refined(prediction, learnt.marks)
        self._show(labelling(learnt.revision, "settled", refined, learnt.marks))
        self._tell("idle", "Labels are settled", student.steps)
        return False

    def _learn_marks(self) -> bool:
        """A slice of the marks-only method; whether there is more to do."""
        found = self._by_marks.slice(SLICE_SECONDS)
        if self._by_marks.waiting:
            self._tell("training", self._by_marks.text, self._by_marks.steps, self._by_marks.loss)
        if found is not None:
            self._show(found)
        return True

    def _show(self, found: Labelling) -> None:
        """New labels of the last document; settled ones are remembered."""
        if found.stage == "settled":
            self._settled[content(self._document)], self._posterior = found, None
        while len(self._settled) > budget.current().states(len(self.surface.vertices)):
            self._settled.popitem(last=False)
        self._current = replace(found, warning=self._current.warning)
        self._on_labels(self._current)

    def settle(self, progress: Progress, seconds: float | None = None) -> Labelling:
        """Train until the labels of the last document are settled, at most so long. Raises UserError, Cancelled."""
        if self._current is None:
            raise UserError("no_labels", "There are no marks to learn from yet.")
        started = time.perf_counter()
        while self.idle() and (seconds is None or time.perf_counter() - started < seconds):
            progress(
                min(0.95, self.status.steps / max(self.status.total, 1)),
                f"{self.status.text}, step {self.status.steps}",
            )
        self.seconds["train"] = time.perf_counter() - started
        return self._current

    @property
    def steps(self) -> int:
        """Training steps of the field so far."""
        return self._student.result().steps if self._student is not None and self._student.done() else 0

    def save(self) -> int:
        """Keep the trained field in the cache; its size in bytes, 0 while it is not settled."""
        return waited(self._student, silent, "").save()

    # --- questions ---

    def prepare_questions(self) -> None:
        """Look at the keyframes in idle time, so that `ask` need not."""
        self._keyframes = asking.Keyframes(self.capture, self.surface)

    def ask(self, query: asking.Query, progress: Progress) -> asking.Question:
        """The next place to ask the person about. Raises UserError when nothing is left to ask; Cancelled."""
        if self._keyframes is None:
            self.prepare_questions()
        self._keyframes.finish(progress)
        return asking.ask(self._keyframes, self._known_posteriors(progress), self._said, query)

    def uncertainty(self, measure: str, level: int, progress: Progress) -> np.ndarray:
        """How unsure the labels are, (V,) float32 0..1, on a level of the tree (0: the labels themselves)."""
        return self._known_posteriors(progress).uncertainty(self._said, measure, level)

    def effects(self, progress: Progress) -> dict[int, float]:
        """Share of the surface that changes when a mark is muted, by mark. Raises UserError, Cancelled."""
        return self._known_posteriors(progress).effects(self._said, progress)

    @property
    def _said(self) -> dict:
        return self._document or NOTHING_SAID

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

    @property
    def poses(self) -> np.ndarray:
        """(N, 4, 4) camera to scene of the frames that were read, refined when the person wanted that."""
        return poses_of(self._every_frame)

    def frame(self, name: str) -> Frame:
        """The keyframe of that name. Raises UserError when there is none."""
        try:
            return self.capture.frame(name)
        except KeyError:
            raise UserError("no_frame", f"The capture has no keyframe called {name}.") from None

    def keyframe_view(self, frame: Frame) -> LabelView:
        """The label map of a keyframe, sharpened by its photo. Raises UserError when the photo cannot be read."""
        return keyframe_view(self._photos.table(frame), *self._labels())

    def read_keyframe(self, frame: Frame, values: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """Values (V,) uint16 of the scan as (H, W), read as the label map of a keyframe is. Raises UserError."""
        return self._photos.table(frame).read(values, confidence)[0]

    def labelled(self) -> LabelledScene:
        """The scan with its labels. Raises UserError when nothing is labelled yet."""
        if self._current is None or self._tree is None or not self._current.labels.any():
            raise UserError("no_labels", "Nothing is labelled yet; click on some things first.")
        claims = separating.claims_of(self._document, self._current.marks)
        return LabelledScene(self.surface, self.capture, *self._labels(), self._tree, claims, self._superpoints)

    def separate(self, options: Options, progress: Progress) -> Assets:
        """The labelled things as objects of their own. Raises UserError, Cancelled."""
        return make_assets(self.labelled(), options, progress)

    # --- helpers ---

    def _tell(self, state: str, text: str, steps: int = 0, loss: float | None = None) -> None:
        by_marks = self._by_marks is not None and self._by_marks.waiting
        total = (STEPS if by_marks else Student.STEPS) if state == "training" else 0
        settled = self._posterior is None and not by_marks
        status = Status(state, text, steps, loss, str(self.device), settled=settled, total=total)
        if status != self.status:
            self.status = status
            self._on_status(status)
