"""Writing pictures: to a temporary name, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import UserError


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W) uint8 or uint16, (H, W, 3) or (H, W, 4) uint8 as PNG. Raises UserError when it cannot."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG", compress_level=4)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            "cannot_write",
            f"{path} could not be written ({error.strerror or error}); free some space or choose another folder.",
        ) from error
