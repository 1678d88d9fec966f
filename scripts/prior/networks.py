"""Training of the two networks: boundary at a mesh edge, and neighbouring superpoints being different objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from backend.surface.prior import CLIP, Network

BATCH = 4096
DECAY = 1e-4
RATE = 3e-3


@dataclass(frozen=True)
class Rows:
    """Training rows of one scene."""

    features: np.ndarray  # (N, D) float32
    target: np.ndarray  # (N,) float32, 0 or 1
    weight: np.ndarray  # (N,) float32


def fit(scenes: Sequence[Rows], hidden: tuple[int, ...], steps: int, seed: int) -> Network:
    """A network trained by weighted cross entropy, every scene counting the same; same input, same bits."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.from_numpy(np.concatenate([rows.features for rows in scenes]))
    target = torch.from_numpy(np.concatenate([rows.target for rows in scenes]).astype(np.float32))
    share = [rows.weight / max(len(rows.weight), 1) for rows in scenes]
    weight = torch.from_numpy(np.concatenate(share).astype(np.float32))
    mean, deviation = features.mean(dim=0), features.std(dim=0)
    scale = 1 / deviation.clamp(min=1e-4)
    sizes = (features.shape[1], *hidden, 1)
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    for layer in layers:
        nn.init.normal_(layer.weight, 0, (2 / layer.in_features) ** 0.5, generator=generator)
        nn.init.zeros_(layer.bias)
    network = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2 * RATE, total_steps=steps)
    cumulative = torch.cumsum(weight.double(), 0)
    for _ in range(steps):
        drawn = torch.rand(BATCH, generator=generator, dtype=torch.float64) * cumulative[-1]
        chosen = torch.searchsorted(cumulative, drawn).clamp(max=len(features) - 1)
        inputs = ((features[chosen] - mean) * scale).clamp(-CLIP, CLIP)
        loss = nn.functional.binary_cross_entropy_with_logits(network(inputs)[:, 0], target[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    found = tuple((layer.weight.detach().T.contiguous().numpy(), layer.bias.detach().numpy()) for layer in layers)
    return Network(mean.numpy(), scale.numpy(), found)


def auc(scores: np.ndarray, target: np.ndarray) -> float:
    """Area under the ROC curve."""
    rank = np.empty(len(scores))
    rank[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    positive = target > 0.5
    count = positive.sum()
    return float((rank[positive].sum() - count * (count + 1) / 2) / max(count * (len(target) - count), 1))


def average_precision(scores: np.ndarray, target: np.ndarray) -> float:
    """Area under the curve of precision over recall."""
    hits = target[np.argsort(-scores, kind="stable")] > 0.5
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()) if hits.any() else 0.0
