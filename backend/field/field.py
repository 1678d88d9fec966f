"""One neural field of geometry, colour and semantics: F(p) = (c, s, rho).

The joint field of iLabel (Equation 1) on the hybrid encoding of "Baking in the Feature" (feature grids plus positional
encoding with L = 2), with signed distance in place of density. A shared trunk yields the signed distance and a short
geometric feature; colour and the optional distilled features each have a small network on top. Semantics reads the
trunk but never writes it: what it sees is detached, so labels cannot drag geometry.

Axes: ``P`` points, ``C`` label outputs, ``D`` distilled features, ``K`` numbers of a point's code.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .encoding import DenseGrids, frequency_encoding, grid_nodes

_FINEST_VALUES = 1_500_000  # of the finest grid: 3 MB in half precision, and what a CPU's Adam passes in 2 ms

GEOMETRY, COLOR, LOGITS, FEATURES = "sdf", "color", "logits", "features"


@dataclass(frozen=True)
class FieldConfig:
    """What a field is made of. Raises ValueError for sizes outside their bounds."""

    truncation: float  # metres: half width of the band in which distances are learned
    resolutions: tuple[int, ...] = (16, 32, 64)  # cells along the longest side of the box
    grid_features: int = 4  # per node and resolution
    frequencies: int = 2  # L of the positional encoding
    hidden: int = 64  # width of the networks
    layers: int = 2  # hidden layers of the trunk
    geometric_features: int = 15  # what the trunk hands to colour and semantics
    semantic_resolutions: tuple[int, ...] = (16, 48)  # coarse: labels must not be memorised point by point
    feature_dim: int = 0  # distilled image features; 0: none

    def __post_init__(self) -> None:
        levels = (*self.resolutions, *self.semantic_resolutions)
        sizes = (self.grid_features, self.hidden, self.layers, self.geometric_features)
        good = math.isfinite(self.truncation) and 0 < self.truncation <= 10
        good &= 0 < len(self.resolutions) <= 8 and len(self.semantic_resolutions) <= 8
        good &= all(1 <= r <= 256 for r in levels) and all(1 <= s <= 512 for s in sizes)
        good &= 0 <= self.frequencies <= 16 and 0 <= self.feature_dim <= 4096
        if not good:
            raise ValueError(f"field sizes out of bounds: {self}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> FieldConfig:
        """The inverse of ``to_json``. Raises TypeError or ValueError."""
        return FieldConfig(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})


def fitting_config(box: Tensor, truncation: float) -> FieldConfig:
    """The default sizes, with the finest grid as fine as its budget of values allows: 64 to 128 cells.

    A flat hall of 11 x 11 x 4 m gets 96 where a cubic room gets 64; both are about 3 MB on disk.

    Args:
        box: (2, 3) scene metres.
    """
    config = FieldConfig(truncation=truncation)
    extent = (box[1] - box[0]) / (box[1] - box[0]).max() * 2
    finest = config.resolutions[-1]
    for resolution in range(finest, 129, 8):
        nodes = math.prod(grid_nodes(tuple(extent.tolist()), resolution))
        if nodes * (config.grid_features + 1) <= _FINEST_VALUES:
            finest = resolution
    return replace(config, resolutions=(*config.resolutions[:-1], finest))


@dataclass(frozen=True)
class FieldOutput:
    """Answers of the field at P points; None for what was not asked or does not exist yet."""

    sdf: Tensor | None = None  # (P,) metres, positive in free space
    color: Tensor | None = None  # (P, 3) sRGB 0..1
    logits: Tensor | None = None  # (P, C)
    features: Tensor | None = None  # (P, D)


class Field(nn.Module):
    """The field over an axis-aligned box.

    Args:
        config: sizes.
        box: (2, 3) lower and upper corner in scene metres.
        seed: of the initial values; torch's global generators are not touched.
    """

    def __init__(self, config: FieldConfig, box: Tensor, seed: int = 0):
        super().__init__()
        box = box.detach().to("cpu", torch.float32)
        if box.shape != (2, 3) or not bool(torch.isfinite(box).all()) or not bool((box[1] > box[0]).all()):
            raise ValueError(f"not a box: {box.tolist()}")
        generator = torch.Generator().manual_seed(seed)
        self.config = config
        self.register_buffer("box", box)
        self.half_side = float((box[1] - box[0]).max()) / 2
        extent = tuple(float(side) for side in (box[1] - box[0]) / self.half_side)
        levels, count = len(config.resolutions), config.grid_features
        # The last channel of the finest grid is a distance by itself: it starts from the fused volume (start_from).
        channels = (*[count] * (levels - 1), count + 1)
        self.grids = DenseGrids(extent, config.resolutions, channels, 1e-2, generator)
        with torch.no_grad():
            self.grids.levels[-1][-1].zero_()
        place = 3 + 6 * config.frequencies
        self.trunk = _network(
            levels * count + place, [config.hidden] * config.layers, 1 + config.geometric_features, generator
        )
        with torch.no_grad():  # no residual at first
            self.trunk[-1].weight[0].zero_()
            self.trunk[-1].bias[0].zero_()
        code = place + config.geometric_features
        self.color_head = _network(code, [config.hidden], 3, generator)
        self.feature_head = (
            _network(code, [config.hidden], config.feature_dim, generator) if config.feature_dim else None
        )
        self.semantics: SemanticHead | None = None

    @property
    def outputs(self) -> int:
        """Number of label outputs C; 0 before labels were started."""
        return self.semantics.outputs if self.semantics is not None else 0

    def geometry_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """All parameters but those of semantics: those of the grids, and those of the networks."""
        networks = [*self.trunk.parameters(), *self.color_head.parameters()]
        if self.feature_head is not None:
            networks += list(self.feature_head.parameters())
        return list(self.grids.parameters()), networks

    def reset_semantics(self, outputs: int, seed: int) -> SemanticHead:
        """A new semantic branch with ``outputs`` columns, the same bits for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        self.semantics = SemanticHead(self.config, self.grids.extent, outputs, generator).to(self.box.device)
        return self.semantics

    def position(self, points: Tensor) -> Tensor:
        """Scene points (P, 3) in metres to positions in [-1, 1], clamped to the box."""
        inside = torch.minimum(torch.maximum(points, self.box[0]), self.box[1])
        return (inside - self.box.mean(0)) / self.half_side

    def encode(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The shared part for points (P, 3): sdf (P,) in metres, place (P, 3 + 6 L), geometric feature (P, G)."""
        position = self.position(points)
        place = torch.cat([position, frequency_encoding(position, self.config.frequencies)], dim=1)
        grids = self.grids(position)
        hidden = self.trunk(torch.cat([grids[:, :-1], place], dim=1))
        sdf = (grids[:, -1] + hidden[:, 0]) * self.config.truncation
        outside = torch.linalg.vector_norm(position * self.half_side + self.box.mean(0) - points, dim=1)
        # float noise of the two conversions must not count as being outside
        sdf = sdf + torch.where(outside > 1e-4, outside, 0.0)
        return sdf, place, hidden[:, 1:]

    def code(self, points: Tensor) -> Tensor:
        """All that semantics reads of points (P, 3), detached: place, geometric and distilled features (P, K)."""
        with torch.no_grad():
            _, place, geometric = self.encode(points)
            return self._code(place, geometric)

    def _code(self, place: Tensor, geometric: Tensor) -> Tensor:
        parts = [place, geometric]
        if self.feature_head is not None:
            parts.append(self.feature_head(torch.cat(parts, dim=1)))
        return torch.cat(parts, dim=1).detach()

    def appearance(self, place: Tensor, geometric: Tensor) -> tuple[Tensor, Tensor | None]:
        """Colour (P, 3) in 0..1 and distilled features (P, D) or None, of what ``encode`` gave."""
        joined = torch.cat([place, geometric], dim=1)
        features = self.feature_head(joined) if self.feature_head is not None else None
        return self.color_head(joined).sigmoid(), features

    def query(self, points: Tensor, want: tuple[str, ...] = (GEOMETRY, COLOR, LOGITS, FEATURES)) -> FieldOutput:
        """Ask the field at points (P, 3) in scene metres.

        Points outside the box get the answers of its nearest point, and their distance to it added to ``sdf``. Colour,
        distance and features are differentiable with respect to all parameters but those of semantics, ``logits``
        with respect to those of semantics alone.
        """
        sdf, place, geometric = self.encode(points)
        color = features = logits = None
        if COLOR in want or (FEATURES in want and self.feature_head is not None):
            color, features = self.appearance(place, geometric)
        if LOGITS in want and self.semantics is not None:
            logits = self.semantics(self._code(place, geometric))
        return FieldOutput(
            sdf=sdf if GEOMETRY in want else None,
            color=color if COLOR in want else None,
            logits=logits,
            features=features if FEATURES in want else None,
        )

    def start_from(self, distances: Tensor) -> None:
        """Set the distance that the field starts from, at the nodes of its finest grid.

        Args:
            distances: metres, one per row of ``start_points()``.
        """
        level = self.grids.levels[-1]
        with torch.no_grad():
            values = (distances / self.config.truncation).to(level.device, level.dtype)
            level[-1].copy_(values.view(level.shape[1:]))

    def start_points(self) -> Tensor:
        """(N, 3) scene metres: the nodes of the finest grid."""
        return self.grids.node_positions(-1) * self.half_side + self.box.mean(0).cpu()


class SemanticHead(nn.Module):
    """Label outputs of a code: own coarse grids, then one hidden layer, then ``outputs`` raw columns.

    What the columns mean (softmax over classes, one sigmoid per inner node) is the business of the loss.
    """

    def __init__(
        self, config: FieldConfig, extent: tuple[float, float, float], outputs: int, generator: torch.Generator
    ):
        super().__init__()
        self.outputs = outputs
        levels = config.semantic_resolutions
        self.grids = DenseGrids(extent, levels, (config.grid_features,) * len(levels), 1e-2, generator)
        code = 3 + 6 * config.frequencies + config.geometric_features + config.feature_dim
        inputs = code + config.grid_features * len(levels)
        self.network = _network(inputs, [config.hidden], outputs, generator)
        with torch.no_grad():  # all outputs equally likely at first
            self.network[-1].weight.zero_()
            self.network[-1].bias.zero_()

    def forward(self, code: Tensor) -> Tensor:
        """Codes (P, K), which begin with the position, to logits (P, C)."""
        return self.network(torch.cat([code, self.grids(code[:, :3])], dim=1))


def _network(inputs: int, hidden: list[int], outputs: int, generator: torch.Generator) -> nn.Sequential:
    """A perceptron with ReLU between its layers; Kaiming-uniform weights from the generator, no bias at first."""
    widths = [inputs, *hidden, outputs]
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        with torch.random.fork_rng(devices=[]), torch.no_grad():  # the constructor draws from the global generator
            linear = nn.Linear(before, after)
            bound = math.sqrt(6.0 / before)
            linear.weight.copy_(torch.rand((after, before), generator=generator) * (2 * bound) - bound)
            linear.bias.zero_()
        modules += [linear, nn.ReLU(inplace=True)]
    return nn.Sequential(*modules[:-1])
