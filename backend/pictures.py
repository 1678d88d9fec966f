"""Files that show keyframes as their cameras in Blender see them: without distortion and upright."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from .captures.capture import Capture, Frame
from .images import write_image
from .store import Store

SHOWN = (".png", ".jpg", ".jpeg")  # what goes over the stream as it is


def picture_file(capture: Capture, frame: Frame, store: Store) -> Path:
    """The frame's own file, or one that is written into the cache. Raises UserError."""
    return frame.color_path if not frame.undistorted else _written(capture, frame, store)


def picture_to_send(capture: Capture, frame: Frame, store: Store) -> Path:
    """The same, as a PNG or a JPEG in any case. Raises UserError."""
    plain = not frame.undistorted and frame.color_path.suffix.lower() in SHOWN
    return frame.color_path if plain else _written(capture, frame, store)


def _written(capture: Capture, frame: Frame, store: Store) -> Path:
    path = store.root / "pictures" / capture.fingerprint / f"{frame.name}.png"
    if not _whole(path):
        write_image(path, frame.color())
    return path


def _whole(path: Path) -> bool:
    """Whether a picture is there and fits its own checksums; then it counts as used now."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.verify()
        os.utime(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True
