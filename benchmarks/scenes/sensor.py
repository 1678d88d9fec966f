"""What a handheld depth camera makes of an exact view: noisy depth with holes, and photographs of varying exposure."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .render import Shot

STEP = 0.0008  # metres: quantum of depth at 1 m; it grows with the square of the distance
NEAR = 0.25  # metres
JITTER = 0.55  # pixels: where along an edge the sensor thinks that it is


def measured(shot: Shot, rng: np.random.Generator, far: float) -> np.ndarray:
    """The depth image, (H, W) uint16 in millimetres, 0 = none.

    Depth is read a little beside each pixel (lateral jitter, correlated between neighbours); at jumps some readings
    lie between the two surfaces (flying pixels) and others are lost, most in the shadow behind the nearer one;
    disparity is noisy and quantised, so that errors grow with z squared (Khoshelham and Elberink 2012; lateral and
    axial noise as in Nguyen et al. 2012); nothing comes back from grazing, dark and glossy or far surfaces.
    """
    height, width = shot.depth.shape
    v, u = np.mgrid[:height, :width]
    shift = ndimage.gaussian_filter(rng.normal(0, 1, (2, height, width)), (0, 0.7, 0.7)) * 2.5 * JITTER
    rows = np.rint(v + shift[0]).clip(0, height - 1).astype(int)
    columns = np.rint(u + shift[1]).clip(0, width - 1).astype(int)
    filled = np.where(shot.depth > 0, shot.depth, 100.0)
    depth = filled[rows, columns]
    low, high = ndimage.minimum_filter(filled, 3), ndimage.maximum_filter(filled, 3)
    jump = high - low > 0.03 * low + 0.01 + 1.5 * _slope(filled, shot.cosine)
    blend = rng.uniform(0, 1, depth.shape)
    flying = jump & (high < 50) & (rng.random(depth.shape) < 0.12)
    depth = np.where(flying, low + (high - low) * blend, depth)

    patchy = _patches(rng, depth.shape)
    behind = jump & (filled - low > 0.5 * (high - low)) & (patchy > -0.2)
    before = jump & ~behind & (patchy > 1.5)
    luminance = shot.color.mean(-1)
    cosine = shot.cosine[rows, columns]
    lost = behind | before | (cosine < 0.10) | ((cosine < 0.25) & (patchy > 0.6))
    lost |= (luminance < 0.02) & (patchy > 0.9)
    lost |= (shot.gloss[rows, columns] > 0.6) & (_patches(rng, depth.shape) > 0.9)
    fading = 0.8 * far
    lost |= (depth > fading) & (patchy > 2.0 - 3.0 * (depth - fading) / (far - fading))
    seen = (depth > NEAR) & (depth < far) & ~lost

    noise = 0.30 * rng.normal(0, 1, depth.shape) + 0.9 * ndimage.gaussian_filter(rng.normal(0, 1, depth.shape), 1.3)
    tilt = 1.0 + 0.6 * (1.0 / np.maximum(cosine, 0.2) - 1.0)
    disparity = 1.0 / (np.where(seen, depth, 1.0) * STEP) + noise * tilt
    z = 1.0 / (np.rint(disparity) * STEP)
    return np.where(seen, np.rint(z * 1000), 0).clip(0, 65535).astype(np.uint16)


def _slope(depth: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """How much depth changes over three pixels of a smooth surface seen at an angle."""
    return 0.01 * depth * np.sqrt(1 - np.minimum(cosine, 1) ** 2) / np.maximum(cosine, 0.08)


def _patches(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Blotchy noise of about unit variance."""
    return ndimage.gaussian_filter(rng.normal(0, 1, shape), 1.3) * 4.6


def auto_exposure(shot: Shot) -> float:
    """The gain that brings a view's mean to a usual level."""
    seen = shot.depth > 0
    bright = float(np.percentile(shot.color[seen], 60)) if seen.any() else 0.5
    return 0.36 / max(bright, 0.02)


def photographed(shot: Shot, gain: float, tint: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph, (H, W, 3) uint8 sRGB: exposure, white balance, vignette, soft focus, noise."""
    height, width = shot.depth.shape
    v, u = np.mgrid[:height, :width]
    radius = ((v / height - 0.5) ** 2 + (u / width - 0.5) ** 2)[..., None]
    light = shot.color * (gain * (1.0 - 0.35 * radius)) * tint
    light = ndimage.gaussian_filter(light, (0.45, 0.45, 0))
    light += rng.normal(0, 1, light.shape) * np.sqrt(0.00004 + 0.0004 * np.maximum(light, 0))
    light = np.maximum(light, 0)
    light = np.where(light > 0.7, 0.7 + 0.3 * np.tanh((light - 0.7) / 0.3), light)  # shoulder instead of clipping
    return (np.clip(light, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)
