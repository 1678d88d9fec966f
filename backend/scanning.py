"""From posed frames to the scan."""

from __future__ import annotations

from functools import partial

import torch

from . import out_of_memory
from .captures.capture import Capture
from .errors import UserError
from .progress import Progress, part, silent
from .surface.fusion import Volume, fuse
from .surface.mesh import extract
from .surface.surface import Surface
from .timing import Timed


def scan(
    capture: Capture,
    progress: Progress = silent,
    device: str | torch.device = "cpu",
    seconds: dict[str, float] | None = None,
) -> tuple[Surface, Volume]:
    """The scan of a capture and the volume that it was taken from.

    Args:
        seconds: told how long both took.

    Raises:
        UserError: ``no_surface``, or as `surface.fusion.fuse`. Cancelled.
    """
    seconds = {} if seconds is None else seconds
    with Timed(seconds, "fuse"):
        fused = partial(fuse, capture, part(progress, 0.0, 0.7))
        volume = out_of_memory.or_on_cpu(fused, torch.device(device))
    with Timed(seconds, "mesh"):
        surface = extract(volume, part(progress, 0.7, 1.0))
    if not len(surface.faces):
        raise UserError(
            "no_surface", "No surface came out of this capture; check the depth encoding and the depth range."
        )
    return surface, volume
