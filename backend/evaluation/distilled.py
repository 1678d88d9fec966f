"""A field with distilled descriptors and a linear head taught by marks, as "Baking in the Feature" (Blomqvist 2023).

The field's hybrid encoding (feature grids and positional encoding with L = 2) learns to reproduce descriptors of the
scan once; labels then are a linear softmax of what the field says at a point. Where the paper distils DINO features in
volume rendering, which needs its weights and a GPU, this distils the hand-made descriptors at the scan's vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..field.field import Field, FieldConfig
from ..field.sampling import scene_box
from ..labels.placement import PlacedMark
from ..surface.features import describe
from ..surface.surface import Surface
from .baselines import nothing
from .engines import Answer, Engine, from_probability, taught

STEPS, POINTS = 400, 4096
RATE, FINAL_RATE, GRID_FACTOR = 4e-3, 4e-4, 5.0
DECAY = 1e-2  # weight decay of the linear head
ITERATIONS = 60
CHUNK = 1 << 15


class DistilledFeatures(Engine):
    """Linear softmax on a field's distilled features.

    Args:
        seed: of the field and of the points drawn.
        steps: of distillation.
    """

    name = "features"

    def __init__(self, surface: Surface, seed: int = 0, steps: int = STEPS):
        described = describe(surface)
        target = (described - described.mean(axis=0)) / np.maximum(described.std(axis=0), 1e-6)
        truncation = 3 * surface.voxel
        config = FieldConfig(truncation=truncation, feature_dim=target.shape[1], semantic_resolutions=())
        self._field = Field(config, scene_box(surface, truncation), seed)
        points = torch.from_numpy(surface.vertices).float()
        self._distil(points, torch.from_numpy(target), torch.from_numpy(surface.colors).float() / 255, seed, steps)
        code = torch.cat([self._field.code(part) for part in points.split(CHUNK)])
        code = (code - code.mean(dim=0)) / code.std(dim=0).clamp(min=1e-6)
        self._code = torch.cat([code, torch.ones(len(code), 1)], dim=1)

    def _distil(self, points: torch.Tensor, target: torch.Tensor, color: torch.Tensor, seed: int, steps: int) -> None:
        grids, networks = self._field.geometry_parameters()
        groups = [{"params": networks, "lr": RATE}, {"params": grids, "lr": RATE * GRID_FACTOR}]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)
        generator = torch.Generator().manual_seed(seed)
        for step in range(steps):
            rate = RATE * (FINAL_RATE / RATE) ** (step / steps)
            for group, factor in zip(optimizer.param_groups, (1.0, GRID_FACTOR), strict=True):
                group["lr"] = rate * factor
            some = torch.randint(len(points), (POINTS,), generator=generator)
            distance, place, geometric = self._field.encode(points[some])
            seen, features = self._field.appearance(place, geometric)
            loss = functional.mse_loss(features, target[some]) + 5 * functional.l1_loss(seen, color[some])
            loss = loss + (distance / self._field.config.truncation).abs().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """See ``Engine``: class-balanced multinomial logistic regression, solved to its end (convex)."""
        vertices, labels = taught(marks)
        if not len(vertices):
            return nothing(len(self._code))
        uids, columns = np.unique(labels, return_inverse=True)
        share = torch.from_numpy(1.0 / np.bincount(columns)[columns] / len(uids)).float()
        code, target = self._code[torch.from_numpy(vertices)], torch.from_numpy(columns)
        head = torch.zeros(code.shape[1], len(uids), requires_grad=True)
        optimizer = torch.optim.LBFGS([head], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = (functional.cross_entropy(code @ head, target, reduction="none") * share).sum()
            loss = loss + DECAY * (head[:-1] ** 2).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        with torch.no_grad():
            return from_probability(uids, (self._code @ head).softmax(dim=1).numpy())
