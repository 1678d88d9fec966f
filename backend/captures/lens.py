"""From a lens as files describe it to a pinhole, and pictures resampled and turned accordingly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import map_coordinates

from backend.captures.capture import Intrinsics
from backend.captures.common import Lens

WIDEST = np.radians(80)  # from the axis; a pinhole picture of more is all border
# Quarter turns clockwise of the picture, as a rotation of camera axes (OpenCV): new camera to old camera.
TURN = np.array([[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Optics:
    """How the pixels of a file become those of an upright pinhole camera."""

    stored: Intrinsics  # the pinhole part of the lens at the file's own size
    model: str = "perspective"  # see Lens
    distortion: tuple[float, ...] = ()
    turns: int = 0  # quarter turns clockwise that set the picture upright

    @property
    def camera(self) -> Intrinsics:
        """The camera of the finished picture."""
        return turned(self.stored, self.turns)

    @property
    def changes(self) -> bool:
        """Whether the finished picture is another one than the file."""
        return bool(self.distortion) or self.turns % 4 != 0

    def apply(self, image: np.ndarray, order: int) -> np.ndarray:
        """The finished picture of a stored one (H, W) or (H, W, 3).

        Args:
            order: 1 blends neighbours (colour), 0 takes the nearest (depth, confidence, labels).
        """
        if self.distortion:
            image = undistort(image, self.stored, self.model, self.distortion, order)
        return np.ascontiguousarray(np.rot90(image, -self.turns)) if self.turns % 4 else image


def fit(lens: Lens, width: int, height: int) -> Intrinsics:
    """The pinhole part of a lens for an image of another size than it was calibrated for."""
    own = Intrinsics(lens.width or width, lens.height or height, lens.fx, lens.fy, lens.cx, lens.cy)
    return own.resized(width, height)


def turned(camera: Intrinsics, turns: int) -> Intrinsics:
    """The camera after so many quarter turns of its picture, clockwise; ``turn_pose`` turns its pose."""
    for _ in range(turns % 4):
        camera = Intrinsics(camera.height, camera.width, camera.fy, camera.fx, camera.height - 1 - camera.cy, camera.cx)
    return camera


def turn_pose(camera_to_world: np.ndarray, turns: int) -> np.ndarray:
    """The (4, 4) pose of a camera whose picture was turned so many quarters clockwise."""
    return camera_to_world @ np.linalg.matrix_power(TURN, turns % 4)


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
def undistortion_map(camera: Intrinsics, model: str, distortion: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the pinhole picture lies in the distorted one.

    Args:
        camera: of both images.
        model, distortion: as ``Lens`` describes them.

    Returns:
        rows and columns, (height, width) float32; NaN where the lens does not see.
    """
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    xd, yd, lost = MODELS[model](x, y, distortion)
    rows, columns = yd * camera.fy + camera.cy, xd * camera.fx + camera.cx
    rows[lost] = np.nan
    return rows.astype(np.float32), columns.astype(np.float32)


def _perspective(x: np.ndarray, y: np.ndarray, distortion: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """Radial polynomial and tangential terms: k1, k2, p1, p2, k3, k4."""
    k1, k2, p1, p2, k3, k4 = distortion
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
    # r (1 + k1 r^2 + ...) grows with r only up to the first root of its derivative.
    roots = np.roots([9 * k4, 7 * k3, 5 * k2, 3 * k1, 1.0])
    real = roots[np.isclose(roots.imag, 0)].real
    folded = r2 >= min(real[real > 0], default=np.inf)
    return *_tangential(x, y, radial, r2, p1, p2), folded


def _rational(x: np.ndarray, y: np.ndarray, distortion: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """OpenCV's eight terms: k1, k2, p1, p2, k3, k4, k5, k6."""
    k1, k2, p1, p2, k3, k4, k5, k6 = distortion
    r2 = x * x + y * y

    def radial(r2: np.ndarray) -> np.ndarray:
        return (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))

    # Beyond the radius where the distorted one stops growing, two pixels would show the same.
    r = np.linspace(0, np.sqrt(r2.max()), 2000)
    growing = np.diff(r * radial(r * r)) > 0
    limit = r[1:][~growing][0] if not growing.all() else np.inf
    return *_tangential(x, y, radial(r2), r2, p1, p2), r2 >= limit**2


def _tangential(
    x: np.ndarray, y: np.ndarray, radial: np.ndarray, r2: np.ndarray, p1: float, p2: float
) -> tuple[np.ndarray, np.ndarray]:
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return xd, yd


def _fisheye(x: np.ndarray, y: np.ndarray, distortion: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """Equidistant with a polynomial in the angle: k1, k2, k3, k4, then p1, p2, sx1, sy1 of a thin prism."""
    k1, k2, k3, k4, p1, p2, sx1, sy1 = distortion
    r = np.sqrt(x * x + y * y)
    angle = np.arctan(r)
    a2 = angle * angle
    bent = angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4))))
    scale = np.where(r > 1e-9, bent / np.maximum(r, 1e-9), 1.0)
    xf, yf = x * scale, y * scale
    r2 = xf * xf + yf * yf
    xd = xf + 2 * p1 * xf * yf + p2 * (r2 + 2 * xf * xf) + sx1 * r2
    yd = yf + p1 * (r2 + 2 * yf * yf) + 2 * p2 * xf * yf + sy1 * r2
    return xd, yd, angle > WIDEST


def _fov(x: np.ndarray, y: np.ndarray, distortion: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """COLMAP's FOV model: omega."""
    (omega,) = distortion
    r = np.sqrt(x * x + y * y)
    bent = np.arctan(2 * r * np.tan(omega / 2)) / omega
    scale = np.where(r > 1e-9, bent / np.maximum(r, 1e-9), 2 * np.tan(omega / 2) / omega)
    return x * scale, y * scale, np.arctan(r) > WIDEST


MODELS = {"perspective": _perspective, "rational": _rational, "fisheye": _fisheye, "fov": _fov}


def undistort(
    image: np.ndarray, camera: Intrinsics, model: str, distortion: tuple[float, ...], order: int
) -> np.ndarray:
    """An image (H, W) or (H, W, 3) as the pinhole ``camera`` sees it; 0 where the lens saw nothing.

    Args:
        order: 1 blends neighbours (colour), 0 takes the nearest (depth, which must not be blended across edges).
    """
    rows, columns = undistortion_map(camera, model, distortion)
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
