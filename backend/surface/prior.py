"""The learned prior: where objects end. Small networks trained on generated scenes, in ``assets/prior.safetensors``.

Without the file everything works with hand-made weights; ``scripts/train_prior.py`` makes it, ``docs/prior_card.md``
says from what and how well it transfers.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

log = logging.getLogger("clickfield.prior")

PATH = Path(__file__).resolve().parents[2] / "assets" / "prior.safetensors"
CLIP = 5.0  # standard deviations beyond which an input counts as this far out
ROWS = 1 << 16  # per pass: temporaries stay in the cache
LAYOUT = "1"  # of the file; a file of another layout is not used


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron on standardised inputs, one logit out."""

    mean: np.ndarray  # (D,) float32
    scale: np.ndarray  # (D,) float32, 1 / standard deviation
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]  # weights (in, out) and biases (out,), float32

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Logits (N,) float32 of features (N, D). Raises ValueError when D is not what it was trained on."""
        if features.shape[1] != len(self.mean):
            raise ValueError(f"{features.shape[1]} features instead of {len(self.mean)}")
        found = np.empty(len(features), np.float32)
        for start in range(0, len(features), ROWS):
            part = slice(start, start + ROWS)
            hidden = np.clip((features[part] - self.mean) * self.scale, -CLIP, CLIP)
            for weights, biases in self.layers[:-1]:
                hidden = np.maximum(hidden @ weights + biases, 0)
            weights, biases = self.layers[-1]
            found[part] = (hidden @ weights + biases)[:, 0]
        return found


@dataclass(frozen=True)
class Mixture:
    """Weights of the label kernel's parts, and the widths of its radial ones."""

    parts: (
        np.ndarray
    )  # (7,) float32: far, near diffusion; alike, alike and near; objects alike; same object, two levels
    feature_scales: np.ndarray  # (D,) float32, factors on ``Superpoints.features``
    object_scales: np.ndarray  # (E,) float32, factors on ``Superpoints.embedding``


@dataclass(frozen=True)
class Prior:
    """What the file holds."""

    edges: Network  # logit of a boundary at a mesh edge, from descriptors.edge_features
    pairs: Network  # logit of two neighbouring superpoints being different objects, from descriptors.pair_features
    mixture: Mixture | None  # of the label kernel; None where only the networks transfer
    digest: str = ""  # of the file


def load(path: Path) -> Prior | None:
    """The prior in a file; None when there is no file, or when it is damaged or of another layout (then logged)."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as read

    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        arrays = read(data)
        if bytes(arrays["layout"]).decode() != LAYOUT:
            raise ValueError("it is of another layout")
        networks = [_network(arrays, name) for name in ("edges", "pairs")]
        names = [f"mixture.{name}" for name in Mixture.__dataclass_fields__]
        mixture = Mixture(*(arrays[name] for name in names)) if names[0] in arrays else None
        return Prior(*networks, mixture, hashlib.sha256(data).hexdigest())
    except (SafetensorError, KeyError, ValueError) as error:
        log.warning("%s is not used: %s", path.name, error)
        return None


@functools.cache
def shipped() -> Prior | None:
    """The prior that comes with the program, or None; read once."""
    return load(PATH)


def arrays_of(prior: Prior) -> dict[str, np.ndarray]:
    """The arrays to store for ``load``."""
    found = {"layout": np.frombuffer(LAYOUT.encode(), np.uint8)}
    for name in ("edges", "pairs"):
        network: Network = getattr(prior, name)
        found[f"{name}.mean"], found[f"{name}.scale"] = network.mean, network.scale
        for k, (weights, biases) in enumerate(network.layers):
            found[f"{name}.{k}.weights"], found[f"{name}.{k}.biases"] = weights, biases
    if prior.mixture is not None:
        found |= {f"mixture.{name}": getattr(prior.mixture, name) for name in Mixture.__dataclass_fields__}
    return found


def _network(arrays: dict[str, np.ndarray], name: str) -> Network:
    layers = []
    while f"{name}.{len(layers)}.weights" in arrays:
        key = f"{name}.{len(layers)}"
        layers.append((arrays[f"{key}.weights"], arrays[f"{key}.biases"]))
    if not layers:
        raise KeyError(name)
    return Network(arrays[f"{name}.mean"], arrays[f"{name}.scale"], tuple(layers))
