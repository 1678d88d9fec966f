"""The plain joint field of iLabel: one smooth network of geometry, colour and labels that share every feature.

F(p) = (c, s, rho) of iLabel, Equation 1, with signed distance in place of density: random Fourier features of low
bandwidth (Tancik et al. 2020) and four layers of 256. Unlike in ``field.Field``, labels do train the features: that is
how a mark spreads to what has like shape and colour nearby. Smoothness decides how far, so the bandwidth is low.

Axes: ``P`` points, ``N`` label columns.
"""

from __future__ import annotations

import itertools
import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from .losses import band_loss, color_loss, free_space_loss
from .sampling import Batch

FEATURES = 93  # directions of the encoding, as in iMAP
BANDWIDTH = 1.0  # standard deviation of their frequencies in waves per longest side of the scene
WIDTH, LAYERS = 256, 4
COLOR_WEIGHT = 5.0


class JointField(nn.Module):
    """Signed distance, colour and label columns at points of a box.

    Args:
        box: (2, 3) scene metres.
        truncation: metres; half width of the band in which distances are learned.
        columns: number of label outputs; they start equal.
        seed: of the initial values; torch's global generators are not touched.
    """

    def __init__(self, box: Tensor, truncation: float, columns: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        box = box.detach().float().cpu()
        self.truncation = truncation
        self.register_buffer("low", box[0])
        self.register_buffer("side", (box[1] - box[0]).max())
        self.register_buffer("waves", torch.randn((3, FEATURES), generator=generator) * (2 * math.pi * BANDWIDTH))
        widths = [2 * FEATURES, *[WIDTH] * LAYERS]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [_linear(before, after, math.sqrt(6.0 / before), generator), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.geometry = _linear(WIDTH, 4, math.sqrt(1.0 / WIDTH), generator)  # distance in truncations, colour
        self.semantics = _linear(WIDTH, columns, 0.0, generator)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scene points (P, 3): distance (P,) in metres, colour (P, 3) in 0..1, label columns (P, N), all float32."""
        feature = self.features(points)
        shape = self.geometry(feature).float()
        return shape[:, 0] * self.truncation, shape[:, 1:].sigmoid(), self.semantics(feature).float()

    def labels(self, points: Tensor) -> Tensor:
        """The label columns (P, N) alone."""
        return self.semantics(self.features(points)).float()

    def features(self, points: Tensor) -> Tensor:
        """(P, WIDTH) what geometry, colour and labels share."""
        angle = ((points - self.low) / self.side) @ self.waves
        return self.trunk(torch.cat([angle.sin(), angle.cos()], dim=1))

    def geometry_loss(self, batch: Batch, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of geometry and colour on a batch, and the label columns (E, N) of further points (E, 3)."""
        distance, color, columns = self(torch.cat([batch.points, batch.free, extra]))
        band, total = len(batch.points), len(batch.points) + len(batch.free)
        loss = band_loss(distance[:band], batch.target, self.truncation)
        loss = loss + free_space_loss(distance[band:total], batch.free_least, batch.free_most, self.truncation)
        loss = loss + COLOR_WEIGHT * color_loss(color[: len(batch.color)], batch.color, batch.valid)
        return loss, columns[total:]


def _linear(inputs: int, outputs: int, bound: float, generator: torch.Generator) -> nn.Linear:
    """A layer with weights uniform in +-bound and no bias at first."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # the constructor draws from the global generator
        linear = nn.Linear(inputs, outputs)
        linear.weight.copy_((torch.rand((outputs, inputs), generator=generator) * 2 - 1) * bound)
        linear.bias.zero_()
    return linear


def quick_precision(device: torch.device) -> AbstractContextManager:
    """bfloat16 in matrix products where the device computes them faster: CUDA, and CPUs with AMX.

    A CPU without only emulates it, in three times the time of float32.
    """
    if device.type == "cuda" or (device.type == "cpu" and _has_amx()):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def _has_amx() -> bool:
    ask = getattr(torch.cpu, "get_capabilities", dict)
    return bool(ask().get("amx_bf16", False))
