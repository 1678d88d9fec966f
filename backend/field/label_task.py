"""The state of one label training: what is drawn in each step, and from what."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PointCache:
    """What the frozen field knows of P points, so that labels there cost next to nothing."""

    code: Tensor  # (P, K)

    def __len__(self) -> int:
        return len(self.code)


@dataclass
class LabelTask:
    """State of one label training."""

    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    cache: PointCache
    targets: Tensor  # (P or S, C)
    assignment: Tensor | None  # (P,) rows of targets, on the CPU
    cumulative: Tensor  # (P,) float64 running sum of drawing weights, on the CPU
    mark_code: Tensor  # (M, K)
    mark_targets: Tensor  # (M,)
    mark_signs: Tensor  # (M,)
    mark_weights: Tensor  # (M,) sum to 1

    def to(self, device: torch.device) -> None:
        """Move what is on a device."""
        self.cache = PointCache(self.cache.code.to(device))
        self.targets, self.mark_code = self.targets.to(device), self.mark_code.to(device)

    def draw_points(self, count: int) -> tuple[Tensor, Tensor]:
        """Codes (count, K) and targets (count, C) of points drawn with replacement."""
        index = draw(self.cumulative, count, self.generator)
        rows = index if self.assignment is None else self.assignment[index]
        device = self.targets.device
        return self.cache.code[index.to(device)], self.targets[rows.to(device)]

    def draw_marks(self, most: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All marks with their weights, or ``most`` of them drawn by weight when there are more."""
        if len(self.mark_code) <= most:
            index, weights = torch.arange(len(self.mark_code)), self.mark_weights
        else:
            index = draw(self.mark_weights.double().cumsum(0), most, self.generator)
            weights = torch.full((most,), 1.0 / most)
        device = self.targets.device
        columns, signs = self.mark_targets[index].to(device), self.mark_signs[index].to(device)
        return self.mark_code[index.to(device)], columns, signs, weights.to(device)


def cumulative_weights(targets: Tensor, assignment: Tensor | None, points: int) -> Tensor:
    """Running sum (P,) of drawing weights: inverse square root of the frequency of a point's likeliest class."""
    targets = targets.detach().cpu()
    label = targets.argmax(dim=1)
    teaches = targets.sum(dim=1) > 0
    if assignment is not None:
        label, teaches = label[assignment.long().cpu()], teaches[assignment.long().cpu()]
    if len(label) != points:
        raise ValueError(f"{len(label)} targets for {points} points")
    frequency = torch.bincount(label[teaches], minlength=targets.shape[1]).double().clamp(min=1)
    weights = frequency.rsqrt()[label] * teaches
    total = weights.cumsum(0)
    if not points or total[-1] <= 0:
        raise ValueError("no point has a target")
    return total


def draw(cumulative: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` indices drawn with replacement, by a running sum (P,) of weights."""
    at = torch.rand(count, generator=generator, dtype=torch.float64) * cumulative[-1]
    return torch.searchsorted(cumulative, at, right=True).clamp(max=len(cumulative) - 1)
