"""Requests to the backend as the session keeps them, and their arrays as numpy arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bridge.client import Message

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Ask:
    """A request on its way: what to do with its answer. ``done`` gets the result and its arrays."""

    method: str
    params: dict[str, Any]
    done: Callable[[dict[str, Any], Arrays], None]
    failed: Callable[[str, str], None]  # error code and sentence
    text: str


def as_arrays(message: Message) -> Arrays:
    """The arrays of a message as numpy arrays over its bytes; read-only."""
    return {
        name: np.frombuffer(data, dtype=np.dtype(f"<{kind}")).reshape(shape)
        for name, (kind, shape, data) in message.arrays.items()
    }
