"""From a lens as files describe it to a pinhole, and pictures resampled accordingly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import map_coordinates

from backend.captures.capture import Intrinsics
from backend.captures.common import Lens


def fit(lens: Lens, width: int, height: int) -> Intrinsics:
    """The pinhole part of a lens for an image of another size than it was calibrated for."""
    own = Intrinsics(lens.width or width, lens.height or height, lens.fx, lens.fy, lens.cx, lens.cy)
    return own.resized(width, height)


def centered(center: float, size: int) -> bool:
    """Whether a principal point is plausible for an image side; that of a larger or smaller image is not."""
    return 0.05 * size < center < 0.9 * size


def color_lens(color: Lens, depth: Lens | None, size: tuple[int, int] | None) -> tuple[Lens, list[str]]:
    """The lens of colour images that may have been resized to the depth camera's view after calibration.

    Args:
        color, depth: as the files give them.
        size: width and height of the colour images, None when they cannot be read.

    Returns:
        ``color``, or ``depth`` where only that fits the images; and sentences about it.
    """
    if depth is None or size is None:
        return color, []
    fits = [centered(lens.cx, size[0]) and centered(lens.cy, size[1]) for lens in (color, depth)]
    if fits == [False, True]:
        return depth, ["The colour images have the size of the depth images, so they were given the depth intrinsics."]
    return color, []


@lru_cache(maxsize=4)
def undistortion_map(camera: Intrinsics, distortion: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the undistorted image lies in the distorted one (OpenCV's radial-tangential model).

    Args:
        camera: of both images.
        distortion: k1, k2, p1, p2, k3, k4.

    Returns:
        rows and columns, (height, width) float32; NaN beyond the radius where the polynomial folds back.
    """
    k1, k2, p1, p2, k3, k4 = distortion
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    # r (1 + k1 r^2 + ...) grows with r only up to the first root of its derivative.
    roots = np.roots([9 * k4, 7 * k3, 5 * k2, 3 * k1, 1.0])
    real = roots[np.isclose(roots.imag, 0)].real
    folded = r2 >= min(real[real > 0], default=np.inf)
    rows, columns = yd * camera.fy + camera.cy, xd * camera.fx + camera.cx
    rows[folded] = np.nan
    return rows.astype(np.float32), columns.astype(np.float32)


def undistort(image: np.ndarray, camera: Intrinsics, distortion: tuple[float, ...], order: int) -> np.ndarray:
    """An image (H, W) or (H, W, 3) as the pinhole ``camera`` sees it; 0 where the lens saw nothing.

    Args:
        order: 1 blends neighbours (colour), 0 takes the nearest (depth, which must not be blended across edges).
    """
    rows, columns = undistortion_map(camera, distortion)
    lost = np.isnan(rows)
    where = [np.where(lost, -10.0, rows), np.where(lost, -10.0, columns)]
    channels = image[..., None] if image.ndim == 2 else image
    planes = [
        map_coordinates(channels[..., c].astype(np.float32), where, order=order, mode="constant", cval=0.0)
        for c in range(channels.shape[-1])
    ]
    result = np.stack(planes, axis=-1)
    if image.dtype.kind in "ui":
        result = np.rint(result)
    return result.astype(image.dtype).reshape(image.shape)
