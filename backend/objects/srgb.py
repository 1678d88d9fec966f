"""Between sRGB and linear light (IEC 61966-2-1); values 0..1."""

from __future__ import annotations

import numpy as np


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """Light of sRGB values."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clip(0.04045) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """SRGB values of light."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0.0031308) ** (1 / 2.4) - 0.055)
