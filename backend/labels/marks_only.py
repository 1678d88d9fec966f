"""The marks-only method, that of iLabel: a joint field of geometry, colour and labels that only the marks teach.

No posterior and no superpoints: a mark spreads because shape, colour and labels share one smooth network. Geometry and
colour are trained to the end of a schedule once per scene; that state is the base. For every document the whole
network goes on from the base for a fixed number of steps on geometry, colour and the marks, always with the same draws:
on the CPU the same scene, document and seed give the same bits, whatever came before.

iLabel renders labels along the ray of the marked pixel. Here a mark is asked for at its surface point, which is known:
in the study behind the design that gave better labels than rendered columns, at a fraction of the cost.

Axes: ``P`` points, ``N`` columns of the field, ``C`` labels that a prediction may give, ``T`` labels of marks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..captures.capture import Capture
from ..field.bare import SurfaceDistances, pool_from_surface
from ..field.joint import JointField, quick_precision
from ..field.sampling import Batch, PointSampler, build_pool, scene_box
from ..out_of_memory import frugally
from ..progress import silent
from ..surface.surface import Surface
from .placement import PlacedMark
from .prediction import Prediction
from .tree import ROOT, LabelTree

GEOMETRY_STEPS, GEOMETRY_PIXELS = 400, 512
LABEL_STEPS, LABEL_PIXELS = 300, 192
RATE, FINAL_RATE = 2e-3, 2e-4
LABEL_RATE, LABEL_FINAL_RATE = 1e-3, 2e-4
LABEL_WEIGHT = 2.0
POINTS_PER_MARK = 16  # of a stroke
MOST_POINTS = 512  # marked points per step; of more, so many are drawn
TRUNCATION_VOXELS = 3.0
PREVIEWS = (40, 120)  # label steps after which the labels so far are worth showing
QUERY = 1 << 13  # vertices asked at a time
NEVER = -60.0  # log-probability of what cannot be


class MarksOnlyField:
    """One scene's joint field.

    Args:
        capture: the frames that it learns geometry and colour from; without any, the surface itself.
        surface: the scan: the box of the field, and the vertices that are labelled.
        tree: the labels that ``teach`` may name.
        device: where it is trained.
        seed: of the field and of all draws.
        by_level: sigmoids per level of the tree (iLabel's hierarchical mode) instead of one softmax.
        check: called often while pixels are drawn; may raise ``Cancelled``.

    Raises:
        UserError: an image cannot be read, or no depth is usable.
    """

    def __init__(
        self,
        capture: Capture,
        surface: Surface,
        tree: LabelTree,
        device: str | torch.device = "cpu",
        seed: int = 0,
        by_level: bool = False,
        check: Callable[[float, str], None] = silent,
    ):
        self._tree, self._seed, self._by_level = tree, seed, by_level
        self._device = torch.device(device)
        if capture.frames:
            volume = _Unknown(surface.voxel)
            pool = build_pool(capture, volume, check, seed)
        else:
            volume = SurfaceDistances(surface)
            pool = pool_from_surface(surface, volume, check, seed)
        self._box, self._truncation = scene_box(surface, volume.truncation), volume.truncation
        self._sampler = PointSampler(pool, seed).to(self._device)
        self._vertices = torch.from_numpy(surface.vertices).float()
        self._base: dict[str, Tensor] | None = None  # settled geometry and colour
        self._work: Iterator[float] | None = None
        self._found: Prediction | None = None
        self.geometry_steps = self.label_steps = 0
        self.preview: Prediction | None = None  # newest labels of the document at hand, until they are final
        self._fresh(1)

    @property
    def geometry_done(self) -> bool:
        """Whether geometry and colour have had all their steps."""
        return self._base is not None

    @property
    def labels_done(self) -> bool:
        """Whether the document at hand has had all its steps and its prediction is known."""
        return self._found is not None

    def geometry_slice(self, seconds: float) -> float | None:
        """Train geometry and colour for about so long, at least one step; the last loss, None if all is done."""
        end, loss = time.perf_counter() + seconds, None
        while not self.geometry_done and (loss is None or time.perf_counter() < end):
            loss = self._step(GEOMETRY_PIXELS, None, _decayed(RATE, FINAL_RATE, self.geometry_steps / GEOMETRY_STEPS))
            self.geometry_steps += 1
            if self.geometry_steps == GEOMETRY_STEPS:
                state = self._field.state_dict()
                self._base = {name: value.clone() for name, value in state.items() if "semantics" not in name}
        return loss

    def forget_labels(self) -> None:
        """The document changed: the next ``label_slice`` starts anew from the base."""
        self._work = self._found = self.preview = None

    def set_mode(self, by_level: bool) -> None:
        """One softmax, or sigmoids by level; a change forgets the labels."""
        if by_level != self._by_level:
            self._by_level = by_level
            self.forget_labels()

    def label_slice(self, tree: LabelTree, placed: Sequence[PlacedMark], seconds: float) -> float | None:
        """Learn a document's marks for about so long, at least one step; the last loss, None if all is done.

        Geometry must be done; marks with a problem are ignored. From a call of ``forget_labels`` to the next, tree and
        marks must stay the same.
        """
        if self._work is None:
            self._work = self._learning(tree, placed)
        end, loss = time.perf_counter() + seconds, None
        try:
            while not self.labels_done and (loss is None or time.perf_counter() < end):
                loss = next(self._work, loss)
        except BaseException:
            self._work = None  # it cannot go on where it broke off: the next call begins anew
            raise
        return loss

    def teach(self, placed: Sequence[PlacedMark], steps: int) -> None:
        """Go on for so many steps from whatever was learnt before, as iLabel does while a person clicks.

        What comes out depends on all earlier calls; ``label_slice`` is for answers that must not.
        """
        while not self.geometry_done:
            self.geometry_slice(1.0)
        if not self.label_steps:
            self._restart(self._tree)
        self._found = None
        self._coding, task = self._understood(self._tree, placed)
        for _ in range(steps):
            self._step(LABEL_PIXELS, task, LABEL_RATE)
            self.label_steps += 1

    def predict(self) -> Prediction:
        """Labels, confidence and probabilities of every vertex, as the field is now."""
        if self._found is not None:
            return self._found
        asking = _Asking(self._field, self._coding, self._vertices, self._device)
        while asking.step():
            pass
        return asking.prediction()

    def _learning(self, tree: LabelTree, placed: Sequence[PlacedMark]) -> Iterator[float]:
        """All the work for one document in small pieces; yields the last loss."""
        if not self.geometry_done:
            raise RuntimeError("labels can start only when geometry is done")
        self._restart(tree)
        self._coding, task = self._understood(tree, placed)
        loss = 0.0
        for step in range(LABEL_STEPS if task is not None else 0):
            loss = self._step(LABEL_PIXELS, task, _decayed(LABEL_RATE, LABEL_FINAL_RATE, step / LABEL_STEPS))
            self.label_steps += 1
            yield loss
            if self.label_steps in PREVIEWS:
                asking = _Asking(self._field, self._coding, self._vertices, self._device)
                while asking.step():
                    yield loss
                self.preview = asking.prediction()
        asking = _Asking(self._field, self._coding, self._vertices, self._device)
        while asking.step():
            yield loss
        self._found, self.preview = asking.prediction(), None

    def _restart(self, tree: LabelTree) -> None:
        """Back to the base, with fresh columns, optimiser and draws."""
        self._fresh(max(sum(_level_widths(tree)) if self._by_level else len(tree.labels), 1))
        self._field.load_state_dict(self._base, strict=False)
        self._sampler.generator.manual_seed(self._seed + 1)
        self.label_steps = 0

    def _fresh(self, columns: int) -> None:
        self._field = JointField(self._box, self._truncation, columns, self._seed).to(self._device)
        fused = self._device.type in ("cpu", "cuda")
        self._optimizer = torch.optim.Adam(self._field.parameters(), lr=RATE, betas=(0.9, 0.99), fused=fused)
        self._coding = _Coding(LabelTree([]), [], self._by_level)

    def _understood(self, tree: LabelTree, placed: Sequence[PlacedMark]) -> tuple[_Coding, _Task | None]:
        """How the marks are read, and what they teach; None without a positive mark."""
        marks = sorted((m for m in placed if m.problem is None and len(m.vertices)), key=lambda mark: mark.id)
        positive = {mark.label for mark in marks if mark.sign > 0}
        deepest = [u for u in sorted(positive) if not any(v != u and tree.is_under(v, u) for v in positive)]
        coding = _Coding(tree, deepest, self._by_level)
        return coding, _Task(coding, marks, self._device) if deepest else None

    def _step(self, pixels: int, task: _Task | None, rate: float) -> float:
        """One optimiser step on geometry, colour and what marks teach; the loss. Short of memory it is tried again."""
        generator = self._sampler.generator
        drawn = generator.get_state()

        def attempt(count: int) -> Tensor:
            generator.set_state(drawn)
            batch = self._sampler.draw(count)
            rows = None if task is None else task.draw(generator)
            with quick_precision(self._device):
                loss = _loss(self._field, batch, task, rows)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            return loss.detach()

        loss, _ = frugally(attempt, pixels, pixels, self._device, same_bits=True)
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        return float(loss)


def _loss(field: JointField, batch: Batch, task: _Task | None, rows: Tensor | None) -> Tensor:
    if task is None:
        return field.geometry_loss(batch, batch.points[:0])[0]
    loss, columns = field.geometry_loss(batch, task.points[rows])
    return loss + LABEL_WEIGHT * task.loss(columns, rows)


class _Unknown:
    """A fused volume that says nothing: the field learns from the measured rays themselves, as iLabel's does."""

    device = torch.device("cpu")

    def __init__(self, voxel: float):
        self.voxel, self.truncation = voxel, TRUNCATION_VOXELS * voxel

    def sample(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The truncation and no weight, anywhere."""
        return torch.full((len(points),), self.truncation), torch.zeros(len(points))


class _Coding:
    """What the field's columns mean.

    Flat, each label of the tree has a column, and those that can be predicted share a softmax. By level, the columns
    of a level are the binary digits of a node's number among its siblings, one set for all nodes of the level, each a
    sigmoid: for a binary tree one yes or no per level, as in iLabel (section 3.1). A mark on an inner node then says
    nothing about the levels below it.

    Args:
        uids: labels that a prediction may give.
    """

    def __init__(self, tree: LabelTree, uids: list[int], by_level: bool):
        self.tree, self.uids, self._by_level = tree, uids, by_level
        column = {uid: k for k, uid in enumerate(tree.labels)}
        self._columns = torch.tensor([column[uid] for uid in uids], dtype=torch.long)
        self._widths = _level_widths(tree)
        self._codes = self.targets(uids) if by_level else None

    def targets(self, labels: list[int]) -> Tensor:
        """What marks on labels ask for: flat, (T, C) 1 for what lies under them; by level, (T, N) digits -1, 0, 1."""
        if not self._by_level:
            under = [[self.tree.is_under(uid, label) for uid in self.uids] for label in labels]
            return torch.tensor(under, dtype=torch.float32).view(len(labels), len(self.uids))
        codes = torch.zeros(len(labels), max(sum(self._widths), 1))
        for row, label in enumerate(labels):
            start, parent = 0, ROOT
            for level, uid in enumerate(self.tree.path(label)):
                number = self.tree.children(parent).index(uid)
                for digit in range(self._widths[level]):
                    codes[row, start + digit] = 1.0 if number >> digit & 1 else -1.0
                start, parent = start + self._widths[level], uid
        return codes

    def log_likelihood(self, columns: Tensor, targets: Tensor) -> Tensor:
        """(P,) log-probability of what rows of ``targets`` (P, ...) ask for, at columns (P, N)."""
        if self._by_level:
            return (functional.logsigmoid(targets * columns) * targets.abs()).sum(dim=1)
        log_p = functional.log_softmax(columns[:, self._columns.to(columns.device)], dim=1)
        return torch.logsumexp(torch.where(targets > 0, log_p, NEVER), dim=1)

    def probability(self, columns: Tensor) -> Tensor:
        """(P, C) of the labels that can be predicted; rows sum to 1."""
        if not self._by_level:
            return columns[:, self._columns.to(columns.device)].softmax(dim=1)
        codes = self._codes.to(columns.device)
        yes, no = functional.logsigmoid(columns), functional.logsigmoid(-columns)
        return (yes @ (codes > 0).float().T + no @ (codes < 0).float().T).softmax(dim=1)


def _level_widths(tree: LabelTree) -> list[int]:
    """Binary digits that the children of any one node need, level by level."""
    widths, level = [], [ROOT]
    while any(tree.children(uid) for uid in level):
        most = max(len(tree.children(uid)) for uid in level)
        widths.append(max(1, (most - 1).bit_length()))
        level = [child for uid in level for child in tree.children(uid)]
    return widths


class _Task:
    """What a document's marks teach: points, and what is so, or not so, there."""

    def __init__(self, coding: _Coding, marks: Sequence[PlacedMark], device: torch.device):
        labels = sorted({mark.label for mark in marks})
        groups: dict[tuple[int, int], int] = {}
        for mark in marks:
            groups[mark.label, mark.sign] = groups.get((mark.label, mark.sign), 0) + 1
        points, rows, signs, weights = [], [], [], []
        for mark in marks:
            chosen = mark.points[:: -(-len(mark.points) // POINTS_PER_MARK)]
            points.append(np.asarray(chosen, np.float32))
            rows += [labels.index(mark.label)] * len(chosen)
            signs += [float(mark.sign)] * len(chosen)
            # Every label has the same say, however often it was marked; every mark, however long the stroke.
            weights += [1.0 / (len(chosen) * groups[mark.label, mark.sign] * len(groups))] * len(chosen)
        self.points = torch.from_numpy(np.concatenate(points)).to(device)
        self._targets = coding.targets(labels).to(device)[torch.tensor(rows, device=device)]
        self._signs = torch.tensor(signs, device=device)
        self._weights = torch.tensor(weights, device=device)
        self._coding = coding

    def draw(self, generator: torch.Generator) -> Tensor:
        """All points, or MOST_POINTS of them by weight: indices, on the points' device."""
        if len(self.points) <= MOST_POINTS:
            return torch.arange(len(self.points), device=self.points.device)
        drawn = torch.multinomial(self._weights.cpu(), MOST_POINTS, replacement=True, generator=generator)
        return drawn.to(self.points.device)

    def loss(self, columns: Tensor, rows: Tensor) -> Tensor:
        """Cross-entropy: minus the log-probability of what positive marks say, and of not what negative ones deny."""
        log_p = self._coding.log_likelihood(columns, self._targets[rows])
        log_not = torch.log1p(-log_p.exp().clamp(max=1 - 1e-5))
        weights = self._weights[rows] if len(self.points) <= MOST_POINTS else 1.0 / len(rows)
        return -(torch.where(self._signs[rows] > 0, log_p, log_not) * weights).sum()


class _Asking:
    """The labels of all vertices, a piece at a time."""

    def __init__(self, field: JointField, coding: _Coding, vertices: Tensor, device: torch.device):
        self._field, self._coding, self._vertices, self._device = field, coding, vertices, device
        self._parts: list[np.ndarray] = []

    def step(self) -> bool:
        """Ask for some more vertices; False when all are known."""
        start = len(self._parts) * QUERY
        if not self._coding.uids or start >= len(self._vertices):
            return False

        def some(count: int) -> np.ndarray:
            points = self._vertices[start : start + count].to(self._device)
            with torch.no_grad(), quick_precision(self._device):
                columns = self._field.labels(points)
            return self._coding.probability(columns).cpu().numpy()

        self._parts.append(frugally(some, QUERY, QUERY, self._device, same_bits=True)[0])
        return True

    def prediction(self) -> Prediction:
        """What was found, the vertices being superpoints of their own."""
        uids, count = np.array(self._coding.uids, np.int32), len(self._vertices)
        each = np.arange(count, dtype=np.int32)
        if not len(uids):
            nothing = np.zeros((count, 0), np.float32)
            return Prediction(uids, nothing, np.zeros(count, np.uint16), np.zeros(count, np.float32), each)
        probability = np.concatenate(self._parts)
        return Prediction(uids, probability, uids[probability.argmax(1)].astype(np.uint16), probability.max(1), each)


def _decayed(first: float, last: float, progress: float) -> float:
    """Exponential decay of a learning rate."""
    return first * (last / first) ** progress
