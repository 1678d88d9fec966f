"""Where a photo really lies on the scan: a small error of its camera's turn moves the whole picture.

The scan's colours are the mean over all photos, so a photo is moved by whole and parts of pixels until its brightness
agrees with them best (Gauss-Newton on the image, Lucas and Kanade 1981, with a gain and an offset). Turns are what
trackers err in most, and a small turn moves all of a picture by nearly the same pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..surface.surface import Surface
from .sightings import View, light_of, sampled

POINTS = 30_000  # of the scan
STEPS = 6
FARTHEST = 0.012  # of the picture's longer side; a larger shift is no small error
AGREEING = 0.5  # share of the brightness that photo and scan must explain of each other
ENOUGH = 500  # points
BLUR = 0.5  # of the pixels of a voxel: as smooth as the scan's colours
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def aligned(view: View, light: np.ndarray, surface: Surface) -> View:
    """The view with its principal point moved so that the photo fits the scan's colours; itself where that is unclear.

    Args:
        light: (H, W, 3) linear light of the photo.
    """
    step = max(len(surface.vertices) // POINTS, 1)
    points, colors = surface.vertices[::step].astype(np.float64), surface.colors[::step]
    pixels, z = view.place(points)
    seen = view.worth(points, pixels, z, surface.voxel) > 0.5
    if seen.sum() < ENOUGH:
        return view
    pixels, z = pixels[seen], z[seen]
    wanted = np.sqrt(light_of(colors[seen][:, None])[:, 0] @ LUMINANCE)
    sigma = BLUR * surface.voxel * view.camera.fx / float(np.median(z))
    image = ndimage.gaussian_filter(np.sqrt(light @ LUMINANCE), sigma)
    layers = np.stack([image, np.gradient(image, axis=1), np.gradient(image, axis=0)], axis=-1)
    shift, before = np.zeros(2), None
    for _ in range(STEPS):
        found = sampled(layers, pixels + shift).astype(np.float64)
        rows = np.column_stack([found[:, 0], np.ones(len(found)), found[:, 1:]])
        plain, rest = _fit(rows[:, :2], wanted)
        before = rest if before is None else before
        weight = 1.0 / (1.0 + (rest / max(float(np.median(np.abs(rest))) * 3, 1e-6)) ** 2)
        solved, _ = _fit(rows, wanted, weight)
        if plain[0] <= 0 or solved[0] <= 0:
            return view
        shift = shift + (solved[2:] / solved[0]).clip(-1.0, 1.0)
    explained = 1 - (rest**2).mean() / max(float(wanted.var()), 1e-9)
    better = (rest**2).mean() < (before**2).mean()
    if (
        not better
        or explained < AGREEING
        or np.abs(shift).max() > FARTHEST * max(view.camera.width, view.camera.height)
    ):
        return view
    camera = replace(view.camera, cx=view.camera.cx + float(shift[0]), cy=view.camera.cy + float(shift[1]))
    return replace(view, camera=camera)


def _fit(rows: np.ndarray, wanted: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Least squares: solution, and what is left of ``wanted``."""
    weighted = rows if weight is None else rows * weight[:, None]
    solved = np.linalg.lstsq(weighted.T @ rows, weighted.T @ wanted, rcond=None)[0]
    return solved, wanted - rows @ solved
