"""The kernel's mixture, learnt through the regression that uses it: what makes few marks label a scene right.

Every episode draws a training scene and marks as a person would make them (one for each class, then where the labels
are wrong, now and then on a superpoint that mostly belongs to something else), solves the regression, and compares
all labels with the truth. The kernel's weights and widths follow the gradient of that comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from backend.labels.kernel import SHIFTS, Mixture, diffusion
from backend.surface.superpoints import Superpoints

from .examples import Example

RIDGE, SHARPNESS, REACHED = 0.02, 8.0, 0.1  # as in labels.posterior
LATER = (0, 6, 36, 100)  # marks after one per class
LATER_ODDS = (0.35, 0.25, 0.25, 0.15)
RATE = 0.02
PULL = 2e-3  # towards where the parameters started


@dataclass(frozen=True)
class Task:
    """One scene at the level of superpoints."""

    kinds: torch.Tensor  # (2, S, S) diffusion kernels
    features: torch.Tensor  # (S, D)
    embedding: torch.Tensor  # (S, E)
    places: torch.Tensor  # (S, 3)
    objects: torch.Tensor  # (S, 2)
    shares: torch.Tensor  # (S, C) of each class in each superpoint; rows may sum to less than 1
    sizes: torch.Tensor  # (S,)


def task(scene: Example, superpoints: Superpoints) -> Task:
    """The task of a scene with its superpoints."""
    uids, column = np.unique(scene.classes, return_inverse=True)
    counts = np.zeros((len(superpoints.sizes), len(uids)), np.float32)
    np.add.at(counts, (superpoints.ids, column), 1)
    shares = counts[:, uids > 0] / superpoints.sizes[:, None]
    seen = shares.max(axis=0) > 0.5  # a class that no superpoint belongs to teaches nothing
    return Task(
        torch.stack([diffusion(superpoints, shift) for shift in SHIFTS]),
        torch.from_numpy(superpoints.features),
        torch.from_numpy(superpoints.embedding),
        torch.from_numpy(superpoints.centers - superpoints.centers.mean(axis=0)),
        torch.from_numpy(superpoints.objects),
        torch.from_numpy(shares[:, seen]),
        torch.from_numpy(superpoints.sizes.astype(np.float32)),
    )


class Learner(torch.nn.Module):
    """The kernel with parameters that have gradients."""

    def __init__(self, start: Mixture):
        super().__init__()
        self.parts = torch.nn.Parameter(torch.log(torch.from_numpy(start.parts.astype(np.float32))))
        self.feature_scales = torch.nn.Parameter(torch.log(torch.from_numpy(start.feature_scales)))
        self.object_scales = torch.nn.Parameter(torch.log(torch.from_numpy(start.object_scales)))
        self.start = [parameter.detach().clone() for parameter in self.parameters()]

    def rows(self, scene: Task, nodes: torch.Tensor) -> torch.Tensor:
        """Rows (M, S) of the kernel."""
        parts = torch.softmax(self.parts, dim=0)
        near = _radial(scene.places * (1.5 / 3) ** 0.5, nodes)
        alike = _radial(scene.features * torch.exp(self.feature_scales), nodes)
        found = parts[0] * scene.kinds[0, nodes] + parts[1] * scene.kinds[1, nodes]
        found = found + (parts[2] + parts[3] * near) * alike
        found = found + parts[4] * _radial(scene.embedding * torch.exp(self.object_scales), nodes)
        for k in range(2):
            found = found + parts[5 + k] * (scene.objects[nodes, k][:, None] == scene.objects[None, :, k])
        return found

    def pull(self) -> torch.Tensor:
        """How far the parameters are from their start."""
        return sum(((now - then) ** 2).sum() for now, then in zip(self.parameters(), self.start, strict=True))

    def mixture(self) -> Mixture:
        """What was learnt."""
        values = [torch.softmax(self.parts, 0), torch.exp(self.feature_scales), torch.exp(self.object_scales)]
        return Mixture(*(value.detach().numpy().astype(np.float32) for value in values))


def _radial(points: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
    squared = (points**2).sum(dim=1)
    product = points[nodes] @ points.T
    return torch.exp((2 * product - squared[nodes, None] - squared[None, :]).clamp(max=0))


def learn(tasks: Sequence[Task], start: Mixture, episodes: int, seed: int) -> Mixture:
    """The mixture that labels the tasks best; the same input gives the same bits."""
    learner, generator = Learner(start), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(learner.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, episodes)
    for _ in range(episodes):
        scene = tasks[int(torch.randint(len(tasks), (1,), generator=generator))]
        later = LATER[int(torch.multinomial(torch.tensor(LATER_ODDS), 1, generator=generator))]
        nodes, labels = marks(learner, scene, later, generator)
        loss = mistakes(learner, scene, nodes, labels) + PULL * learner.pull()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return learner.mixture()


def marks(learner: Learner, scene: Task, later: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Marked superpoints (M,), distinct, and their labels (M,): first one of each class, then in mistakes."""
    classes = scene.shares.shape[1]
    mass = scene.shares * scene.sizes[:, None] ** 1.5  # a person clicks into the middle of something large
    nodes = torch.stack([torch.multinomial(mass[:, c], 1, generator=generator)[0] for c in range(classes)])
    labels = torch.arange(classes)
    nodes, labels = _distinct(nodes, labels)
    rounds = (later,) if later <= 6 else (later // 4, later // 4, later - 2 * (later // 4))
    for count in rounds if later else ():
        with torch.no_grad():
            said = scores(learner.rows(scene, nodes), nodes, labels, classes).argmax(dim=1)
        right = scene.shares.gather(1, said[:, None])[:, 0]
        wrong = (scene.shares.sum(dim=1) - right).clamp(min=0) * scene.sizes
        if not bool((wrong > 0).any()):
            break
        drawn = torch.multinomial(wrong, min(count, int((wrong > 0).sum())), generator=generator)
        given = scene.shares[drawn].clone()
        given.scatter_(1, said[drawn][:, None], 0)  # the click is where the label is not what was said
        new = torch.multinomial(given.clamp(min=1e-9), 1, generator=generator)[:, 0]
        nodes, labels = _distinct(torch.cat([nodes, drawn]), torch.cat([labels, new]))
    return nodes, labels


def _distinct(nodes: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One label for each superpoint, the last one given."""
    last = {int(node): int(label) for node, label in zip(nodes, labels, strict=True)}
    return torch.tensor(list(last)), torch.tensor(list(last.values()))


def scores(rows: torch.Tensor, nodes: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits (S, C), as in ``labels.posterior``."""
    targets = torch.nn.functional.one_hot(labels, classes).float() - 1 / classes
    factor = torch.linalg.cholesky(rows[:, nodes] + RIDGE * torch.eye(len(nodes)))
    whitened = torch.linalg.solve_triangular(factor, rows, upper=False)
    answer = whitened.T @ torch.linalg.solve_triangular(factor, targets, upper=False)
    support = (whitened**2).sum(dim=0).clamp(1e-6, 1)
    return answer * (SHARPNESS / (support.sqrt() + REACHED))[:, None]


def mistakes(learner: Learner, scene: Task, nodes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the labels, half over the surface, half with every class counting the same."""
    classes = scene.shares.shape[1]
    log = torch.log_softmax(scores(learner.rows(scene, nodes), nodes, labels, classes), dim=1)
    mass = scene.shares * scene.sizes[:, None]
    return -0.5 * (log * mass).sum() / mass.sum() - 0.5 * ((log * mass).sum(dim=0) / mass.sum(dim=0)).mean()
