"""What stored depth values mean: units and bit order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backend.captures.capture import Intrinsics
from backend.captures.images import Header
from backend.errors import UserError

HELP = "'mm', '5000' (values per metre), 'scale:0.0001' (metres per value), 'sun3d' or 'sun3d-0.1mm'"


@dataclass(frozen=True)
class DepthEncoding:
    """Stored value -> z-depth in metres."""

    name: str
    scale: float  # metres per value
    rotated: bool = False  # SUN3D: the 16 bits are stored rotated left by 3

    def metres(self, raw: np.ndarray, invalid: tuple[int, ...] = ()) -> np.ndarray:
        """Raw values of any shape to float32 metres; 0 where the value is 0, negative, NaN or in ``invalid``."""
        good = np.isfinite(raw) & (raw > 0)
        for value in invalid:
            good &= raw != value
        if self.rotated:
            bits = np.where(good, raw, 0).astype(np.uint16)
            raw = (bits >> 3) | (bits << 13)
        return (np.where(good, raw, 0) * np.float64(self.scale)).astype(np.float32)


def within(metres: np.ndarray, nearest: float, farthest: float) -> np.ndarray:
    """The same depth with 0 outside ``nearest`` to ``farthest``."""
    return np.where((metres < nearest) | (metres > farthest), np.float32(0), metres)


def along_axis(distance: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """(H, W) distances to a camera's centre as z-depth, the distance to its plane."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    return distance / np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2)


def trusted(levels: np.ndarray, depth: Header, least: int) -> np.ndarray:
    """Where depth is confident enough, (H, W) uint8 0 or 1 at the depth image's own pixels.

    Args:
        levels: confidence as stored, 0, 1, 2 (Apple) or 0, 127, 255 (Polycam), of any size.
        depth: header of the depth image.
        least: 0 low, 1 medium, 2 high.
    """
    if levels.max(initial=0) > 2:
        levels = np.digitize(levels, (64, 192))
    rows = ((np.arange(depth.height) + 0.5) * levels.shape[0] / depth.height).astype(int)
    columns = ((np.arange(depth.width) + 0.5) * levels.shape[1] / depth.width).astype(int)
    return (levels[rows[:, None], columns] >= least).astype(np.uint8)


NAMED = {
    "mm": DepthEncoding("mm", 1e-3),
    "m": DepthEncoding("m", 1.0),
    "sun3d": DepthEncoding("sun3d", 1e-3, rotated=True),
    "sun3d-0.1mm": DepthEncoding("sun3d-0.1mm", 1e-4, rotated=True),
}


def parse_encoding(text: str) -> DepthEncoding:
    """The encoding that a person or a file names.

    Args:
        text: "mm", "m", "sun3d", "sun3d-0.1mm", a number (values per metre, for example "5000" or "6553.5") or
            "scale:<metres per value>".

    Raises:
        UserError: it is none of these.
    """
    word = text.strip().lower()
    if word in NAMED:
        return NAMED[word]
    try:
        scale = float(word.removeprefix("scale:")) if word.startswith("scale:") else 1.0 / float(word)
    except (ValueError, ZeroDivisionError, OverflowError):
        scale = math.nan
    if not (math.isfinite(scale) and 1e-9 < scale < 1e3):
        raise UserError("bad_depth_encoding", f"The depth encoding '{text[:40]}' is not known; use one of {HELP}.")
    return DepthEncoding(word, scale)
