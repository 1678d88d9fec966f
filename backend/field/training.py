"""Training in small steps: first geometry and colour to the end of a schedule, then labels on frozen geometry.

A constant learning rate overfits depth noise, so geometry has a schedule with an end. Labels start from a seeded
network each time and take a fixed number of steps: the same scene and the same labels give the same bits on the CPU,
whatever was trained in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..out_of_memory import frugally, is_out_of_memory, moved_to_cpu
from ..surface.surface import Surface
from .field import Field, fitting_config
from .label_task import LabelTask, PointCache, cumulative_weights
from .losses import (
    balanced_weights,
    band_loss,
    color_loss,
    feature_loss,
    free_space_loss,
    mark_loss,
    soft_cross_entropy,
)
from .sampling import Batch, FusedVolume, PointSampler, scene_box, start_distances

T = TypeVar("T")

_CHUNK = 1 << 13  # points per query; a chunk's activations fit the cache of a CPU core
_SMALLEST_BATCH = 64
_SMALLEST_CHUNK = 512


@dataclass(frozen=True)
class TrainingConfig:
    """Schedules; lengths are in steps, so that results do not depend on the machine's speed."""

    geometry_steps: int = 250
    pixels: int = 1024  # per geometry step
    rate: float = 4e-3  # of the networks, at the start
    final_rate: float = 4e-4
    grid_factor: float = 5.0  # grids learn faster than networks by this factor
    color_weight: float = 5.0
    feature_weight: float = 1.0
    label_steps: int = 150
    label_points: int = 2048  # per label step
    label_marks: int = 256  # most marks per label step; more are drawn class by class
    label_rate: float = 2e-2
    label_final_rate: float = 2e-3
    teacher_weight: float = 4.0
    mark_weight: float = 2.0


@dataclass(frozen=True)
class Marks:
    """What the person said about M surface points, for ``FieldTrainer.start_labels``."""

    points: Tensor  # (M, 3) scene metres
    targets: Tensor  # (M,) int64 output column
    signs: Tensor  # (M,) 1: this, -1: not this


class FieldTrainer:
    """Trains one field: ``geometry_step`` until ``geometry_done``, ``settle``, then labels as often as wanted.

    Args:
        sampler: None for a settled field that was loaded: it takes labels only.
        device: where field and sampler are moved.

    Attributes:
        same_bits: no batch may be made smaller for lack of memory; so on the CPU, where results are promised exactly.
    """

    def __init__(
        self,
        field: Field,
        sampler: PointSampler | None,
        device: torch.device | str = "cpu",
        config: TrainingConfig = TrainingConfig(),
    ):
        self.device, self.config = torch.device(device), config
        self.same_bits = self.device.type == "cpu"
        self.field = field.to(self.device)
        self.sampler = sampler.to(self.device) if sampler is not None else None
        self.step = 0  # geometry steps taken
        self.skipped = 0  # steps, of either kind, dropped because their loss or gradient was not finite
        self.label_steps_taken = 0
        self._pixels = config.pixels
        self._chunk = _CHUNK
        self._labels: LabelTask | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        if not self.settled:
            self._optimizer = _adam(*field.geometry_parameters(), config.rate, config.grid_factor)

    @property
    def geometry_done(self) -> bool:
        """Whether the geometry schedule has ended."""
        return self.settled or self.step >= self.config.geometry_steps

    @property
    def settled(self) -> bool:
        """Whether geometry and colour are frozen."""
        return not any(p.requires_grad for group in self.field.geometry_parameters() for p in group)

    @property
    def labels_done(self) -> bool:
        """Whether the labels that were started last have had all their steps."""
        return self._labels is not None and self.label_steps_taken >= self.config.label_steps

    def geometry_step(self) -> dict[str, float]:
        """One optimiser step on geometry and colour; 10 to 30 ms on two CPU cores.

        When a GPU runs out of memory the batch is halved for good, and in the end the CPU takes over.

        Returns:
            The losses: ``sdf`` and ``free`` in truncations, ``color`` in 0..1, ``total``.
        """
        if self.settled or self.sampler is None:
            raise RuntimeError("geometry is settled")
        progress = min(self.step / max(self.config.geometry_steps - 1, 1), 1.0)
        _set_rate(self._optimizer, self.config.rate, self.config.final_rate, progress, self.config.grid_factor)
        attempt = _redrawn(self._geometry_losses, self.sampler.generator)
        losses, self._pixels = self._frugally(attempt, self._pixels, _SMALLEST_BATCH)
        self._advance(self._optimizer, losses["total"])
        self.step += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _geometry_losses(self, pixels: int) -> dict[str, Tensor]:
        batch = self.sampler.draw(pixels)
        losses = geometry_losses(self.field, batch, self.config)
        self._optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        return losses

    def _frugally(self, work: Callable[[int], T], size: int, least: int) -> tuple[T, int]:
        """As the function of that name, and on the CPU when nothing else helps."""
        try:
            return frugally(work, size, least, self.device, self.same_bits)
        except (MemoryError, RuntimeError) as error:
            if self.device.type == "cpu" or not is_out_of_memory(error):
                raise
        before = self.device
        self.to("cpu")
        moved_to_cpu(before)
        return frugally(work, size, least, self.device, self.same_bits)

    def to(self, device: torch.device | str) -> None:
        """Go on there, from where the training stands."""
        self.device = torch.device(device)
        self.field.to(self.device)
        if self.sampler is not None:
            self.sampler.to(self.device)
        task = self._labels
        for optimizer in (self._optimizer, task.optimizer if task is not None else None):
            if optimizer is not None:
                optimizer.zero_grad(set_to_none=True)
                for state in optimizer.state.values():
                    state.update({k: v.to(self.device) for k, v in state.items() if isinstance(v, Tensor)})
        if task is not None:
            task.to(self.device)

    def _advance(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """Take the step unless loss or gradient is not finite."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if bool(torch.isfinite(loss) & torch.isfinite(norm)):
            optimizer.step()
        else:
            self.skipped += 1

    def settle(self) -> None:
        """Freeze geometry and colour, rounded to what a saved field keeps, so that loading it changes nothing."""
        grids, networks = self.field.geometry_parameters()
        _round_to_half(grids)
        for parameter in grids + networks:
            parameter.requires_grad_(False)
            parameter.grad = None
        self._optimizer = None

    def cache_points(self, points: Tensor, progress: Callable[[float, str], None] | None = None) -> PointCache:
        """Ask the settled field once about points (P, 3) whose labels will be trained or queried often."""
        if not self.settled:
            raise RuntimeError("points can be cached only when geometry is settled")
        codes, start = [], 0

        def some(count: int) -> Tensor:
            return self.field.code(points[start : start + count].to(self.device, torch.float32))

        while start < len(points):
            if progress is not None:
                progress(start / len(points), "Reading the field")
            code, self._chunk = self._frugally(some, self._chunk, _SMALLEST_CHUNK)
            codes.append(code)
            start += len(code)
        codes = [code.to(self.device) for code in codes]
        return PointCache(torch.cat(codes) if codes else self.field.code(torch.zeros(0, 3, device=self.device)))

    def start_labels(
        self,
        outputs: int,
        points: Tensor | PointCache,
        targets: Tensor,
        marks: Marks | None = None,
        assignment: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        """Begin labels anew: a fresh semantic branch, then ``label_step`` until ``labels_done``.

        Args:
            outputs: number of columns C.
            points: (P, 3) surface points in scene metres, or their cache.
            targets: (P, C) soft targets, or (S, C) with ``assignment`` (P,) rows of it per point, for example the
                superpoint of each point. A row of zeros teaches nothing.
            marks: what the person marked.
            seed: of the fresh branch and of which points are drawn.
        """
        if not self.settled:
            raise RuntimeError("labels can start only when geometry is settled")
        cache = points if isinstance(points, PointCache) else self.cache_points(points)
        cache = PointCache(cache.code.to(self.device))
        head = self.field.reset_semantics(outputs, seed)
        optimizer = _adam(
            list(head.grids.parameters()),
            list(head.network.parameters()),
            self.config.label_rate,
            self.config.grid_factor,
        )
        marks = marks or Marks(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), torch.zeros(0))
        self._labels = LabelTask(
            optimizer=optimizer,
            generator=torch.Generator().manual_seed(seed),
            cache=cache,
            targets=targets.to(self.device, torch.float32),
            assignment=None if assignment is None else assignment.long().cpu(),
            cumulative=cumulative_weights(targets, assignment, len(cache)),
            mark_code=self.cache_points(marks.points).code,
            mark_targets=marks.targets.long(),
            mark_signs=marks.signs.float(),
            mark_weights=balanced_weights(marks.targets.long().cpu(), marks.signs.cpu()),
        )
        self.label_steps_taken = 0

    def label_step(self) -> dict[str, float]:
        """One optimiser step on the semantic branch alone; a few milliseconds.

        Returns:
            The losses ``teacher``, ``marks`` and ``total``.
        """
        task, config = self._labels, self.config
        if task is None:
            raise RuntimeError("labels were not started")
        progress = min(self.label_steps_taken / max(config.label_steps - 1, 1), 1.0)
        _set_rate(task.optimizer, config.label_rate, config.label_final_rate, progress, config.grid_factor)
        attempt = _redrawn(lambda count: self._label_losses(task), task.generator)
        losses, _ = self._frugally(attempt, config.label_points, config.label_points)
        self._advance(task.optimizer, losses["total"])
        self.label_steps_taken += 1
        if self.labels_done:
            _round_to_half(self.field.semantics.grids.parameters())
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _label_losses(self, task: LabelTask) -> dict[str, Tensor]:
        config, head, losses = self.config, self.field.semantics, {}
        code, target = task.draw_points(config.label_points)
        losses["teacher"] = soft_cross_entropy(head(code), target)
        losses["marks"] = target.new_zeros(())
        if len(task.mark_code):
            code, columns, signs, weights = task.draw_marks(config.label_marks)
            losses["marks"] = mark_loss(head(code), columns, signs, weights)
        losses["total"] = config.teacher_weight * losses["teacher"] + config.mark_weight * losses["marks"]
        task.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        return losses

    def query_labels(self, points: Tensor | PointCache, chunk: int = _CHUNK) -> Tensor:
        """Softmax probabilities (P, C) of the semantic branch as it is now, on the CPU."""
        if self.field.semantics is None:
            raise RuntimeError("labels were not started")
        cache = points if isinstance(points, PointCache) else self.cache_points(points)
        answer, start = torch.empty((len(cache), self.field.outputs)), 0

        def some(count: int) -> Tensor:
            with torch.no_grad():
                code = cache.code[start : start + count].to(self.device)
                return torch.softmax(self.field.semantics(code), dim=1).cpu()

        while start < len(cache):
            part, chunk = self._frugally(some, chunk, _SMALLEST_CHUNK)
            answer[start : start + len(part)] = part
            start += len(part)
        return answer


def new_field(surface: Surface, volume: FusedVolume, seed: int = 0) -> Field:
    """A field over the surface's box that starts from the distances of the fused volume. Raises UserError."""
    box = scene_box(surface, 3 * volume.truncation)
    config = fitting_config(box, volume.truncation)
    field = Field(config, box, seed)
    cell = 2 * field.half_side / config.resolutions[-1]
    field.start_from(start_distances(field.start_points(), surface, volume, reach=2 * cell))
    return field


def geometry_losses(field: Field, batch: Batch, config: TrainingConfig) -> dict[str, Tensor]:
    """All losses of geometry and colour on a batch; ``total`` is their weighted sum."""
    truncation, surface = field.config.truncation, len(batch.color)
    sdf, place, geometric = field.encode(torch.cat([batch.points, batch.free]))
    band = len(batch.points)
    color, features = field.appearance(place[:surface], geometric[:surface])
    losses = {
        "sdf": band_loss(sdf[:band], batch.target, truncation),
        "free": free_space_loss(sdf[band:], batch.free_least, batch.free_most, truncation),
        "color": color_loss(color, batch.color, batch.valid),
    }
    losses["total"] = losses["sdf"] + losses["free"] + config.color_weight * losses["color"]
    if features is not None and batch.features is not None:
        losses["features"] = feature_loss(features, batch.features)
        losses["total"] = losses["total"] + config.feature_weight * losses["features"]
    return losses


def _redrawn(work: Callable[[int], T], generator: torch.Generator) -> Callable[[int], T]:
    """``work``, which draws the same however often it has failed before."""
    drawn = generator.get_state()

    def attempt(size: int) -> T:
        try:
            return work(size)
        except Exception:
            generator.set_state(drawn)
            raise

    return attempt


def _adam(grids: list[nn.Parameter], networks: list[nn.Parameter], rate: float, grid_factor: float) -> torch.optim.Adam:
    groups = [{"params": networks, "lr": rate}, {"params": grids, "lr": rate * grid_factor}]
    fused = networks[0].device.type in ("cpu", "cuda")
    return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=fused)


def _set_rate(optimizer: torch.optim.Adam, first: float, last: float, progress: float, grid_factor: float) -> None:
    """Exponential decay from ``first`` to ``last`` as progress goes from 0 to 1."""
    rate = first * (last / first) ** progress
    networks, grids = optimizer.param_groups
    networks["lr"], grids["lr"] = rate, rate * grid_factor


def _round_to_half(parameters: Iterable[nn.Parameter]) -> None:
    """Round to what half precision can hold, so that saving them in it is exact."""
    for parameter in parameters:
        parameter.data = parameter.data.half().float()
