"""Pictures of objects for the Asset Browser, drawn without a GPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..surface.raster import shade_preview
from .separation import SeparationResult


def previews(
    result: SeparationResult,
    size: int = 256,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> list[np.ndarray]:
    """One (size, size, 4) uint8 RGBA picture per object, row 0 on top, the background transparent."""
    pictures = []
    for index, made in enumerate(result.objects):
        progress(index / len(result.objects), f"Drawing {made.name}")
        pictures.append(shade_preview(made.vertices, made.faces, made.colors, size))
    return pictures
