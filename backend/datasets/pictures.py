"""A frame's own picture in a data set."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..captures.capture import Frame
from ..images import write_image


def copy_picture(frame: Frame, folder: Path) -> Path:
    """The picture of a frame in a folder, under its name: the file itself where it shows what the camera saw."""
    folder.mkdir(parents=True, exist_ok=True)
    if frame.undistorted:
        path = folder / f"{frame.name}.png"
        write_image(path, frame.color())
    else:
        path = folder / f"{frame.name}{frame.color_path.suffix.lower()}"
        shutil.copyfile(frame.color_path, path)
    return path
