"""What keyframes show of points on objects: which they see, how well, and in what colour.

A point counts as seen where it is as far from the camera as the nearest surface (the scan and the objects) and as the
sensor's depth, and not beside an edge of depth or another object, where photo and geometry never agree to the pixel:
what is worth less near an edge is worth nothing right at it, so that nothing behind an object is painted on it. Where
surfaces almost coincide, things lie before floors and walls, and those before the scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from ..captures.capture import Capture, Frame, Intrinsics
from ..surface.raster import rasterize
from .graphs import is_closed
from .srgb import to_linear

LONG_SIDE = 640  # pixels of the maps in which visibility is looked up, at most
NEAR = 0.05  # metres
FAR_FROM_EDGE = 0.008  # of the long side: from here on an edge of depth does not matter
JUMP_VOXELS, JUMP_SHARE, JUMP_PIXELS = 2.0, 0.015, 4.0  # what counts as one
SAME_VOXELS, SAME_SHARE = 2.0, 0.012  # how far apart in depth the same surface may be
SENSOR_SHARE = 0.025
FLOOR_BEHIND, SCAN_BEHIND = 1.5, 2.5  # voxels: floors and walls behind what stands on them, the scan behind both
FLOOR_SIZE = 0.5  # of the largest object's: open objects from here on are floors and walls
STEEPEST = 0.12  # cosine below which a surface is seen too much from the side
FEATHER = 0.04  # of the picture: views count less towards its border
NEIGHBOURS = 2  # keyframes before and after that a keyframe's sharpness is compared with
DULLEST = 0.2  # factor of the worst blurred keyframe

HALF_MOST = 60_000.0  # that a number in half precision can be
LIGHT = to_linear(np.arange(256) / 255.0).astype(np.float32)  # of the steps of an image


@dataclass(frozen=True)
class Hiding:
    """Everything that may hide something: the objects, and the scan a little behind them, so that it shows only where
    they are not."""

    scan: tuple[np.ndarray, np.ndarray]  # vertices (n, 3) scene metres, faces (m, 3)
    objects: tuple[tuple[np.ndarray, np.ndarray], ...]
    voxel: float  # metres of the scan

    @cached_property
    def _drawing(self) -> tuple[np.ndarray, ...]:
        """Vertices (n, 3) of all, metres each goes behind (n,), faces (m, 3), owners (m,), voxels behind of each owner,
        and planes (m, 4) of those that show from one side alone; the others' are 0 0 0 1."""
        meshes = [self.scan, *self.objects]
        closed = [False, *(is_closed(faces, len(vertices)) for vertices, faces in self.objects)]
        sizes = np.array([np.linalg.norm(np.ptp(vertices, axis=0)) for vertices, _ in self.objects])
        floors = ~np.array(closed[1:], bool) & (sizes >= FLOOR_SIZE * sizes.max(initial=0.0))
        behind = np.array([SCAN_BEHIND, *(FLOOR_BEHIND * floors)])
        points = np.concatenate([vertices for vertices, _ in meshes])
        starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
        faces = np.concatenate([faces + start for (_, faces), start in zip(meshes, starts, strict=False)])
        owner = np.repeat(np.arange(len(meshes)), [len(faces) for _, faces in meshes])
        a, b, c = points[faces].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        planes = np.column_stack([normal, -(normal * a).sum(axis=1)])
        planes[~np.array(closed)[owner]] = [0.0, 0.0, 0.0, 1.0]
        return points, self.voxel * np.repeat(behind, np.diff(starts)), faces, owner, np.append(behind, 0.0), planes

    def drawn(self, maps: Intrinsics, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth (h, w) float32, 0 = nothing, and whose surface it is (h, w): 0 the scan's, 1, 2, ... the objects'."""
        points, behind, faces, owner, voxels, planes = self._drawing
        shown = np.flatnonzero(planes @ np.append(pose[:3, 3], 1.0) > 0)
        away = points - pose[:3, 3]
        away *= (behind / np.maximum(np.sqrt(np.einsum("vi,vi->v", away, away)), 1e-9))[:, None]
        result = rasterize(points + away, faces[shown], maps, pose, NEAR)
        owner = np.append(owner[shown], -1)[result.face]
        x, y = (np.arange(maps.width) - maps.cx) / maps.fx, (np.arange(maps.height) - maps.cy) / maps.fy
        steps = voxels[owner] * self.voxel / np.sqrt(1 + x**2 + y[:, None] ** 2)
        return (result.depth - steps).astype(np.float32), owner


@dataclass(frozen=True)
class View:
    """A keyframe, ready for look-ups. Its maps are coarse, depth 2 mm at 4 m: all keyframes are kept at once."""

    camera: Intrinsics  # of the photo
    scene_to_camera: np.ndarray  # (4, 4)
    position: np.ndarray  # (3,) scene metres
    maps: Intrinsics  # of depth, sensor, clear and owner
    depth: np.ndarray  # (h, w) float16 nearest surface, inf = nothing
    sensor: np.ndarray  # (h, w) float16 measured, 0 = nothing
    clear: np.ndarray  # (h, w) uint8 0..255, less near edges of depth
    owner: np.ndarray  # (h, w) uint8 ``mark_of`` the object that shows, 0 = none

    def place(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (P, 2) of the photo and z-depth (P,) of scene points (P, 3)."""
        turn, shift = self.scene_to_camera[:3, :3].astype(points.dtype), self.scene_to_camera[:3, 3]
        x, y, z = (turn @ points.T).astype(points.dtype) + shift[:, None].astype(points.dtype)
        safe = np.where(z > NEAR, z, np.inf)
        camera = self.camera
        return np.stack([x / safe * camera.fx + camera.cx, y / safe * camera.fy + camera.cy], axis=1), z

    def worth(self, points: np.ndarray, pixels: np.ndarray, z: np.ndarray, voxel: float, mark: int = 0) -> np.ndarray:
        """(P,) 0..1: 0 = hidden, outside or at an edge of depth; less than 1 near the picture's border or an edge.

        With the mark of the object that they lie on, points within another object's outline are hidden too: what it
        touches would get its colours.
        """
        size = np.array([self.camera.width, self.camera.height])
        x, y = pixels[:, 0] + 0.5, pixels[:, 1] + 0.5
        border = np.minimum(np.minimum(x, size[0] - x), np.minimum(y, size[1] - y)) / (FEATHER * size.max())
        found = np.flatnonzero((z > NEAR) & (border > 0))
        scale = np.array([self.maps.fx / self.camera.fx, self.maps.fy / self.camera.fy])
        at = (pixels[found] - [self.camera.cx, self.camera.cy]) * scale + [self.maps.cx, self.maps.cy]
        column, row = np.rint(at).astype(np.int64).T
        column, row = column.clip(0, self.maps.width - 1), row.clip(0, self.maps.height - 1)
        own = z[found]
        surface, sensor = (part[row, column].astype(np.float32) for part in (self.depth, self.sensor))
        same = np.maximum(SAME_VOXELS * voxel, SAME_SHARE * own)
        measured = np.maximum(SAME_VOXELS * voxel, SENSOR_SHARE * own)
        seen = (np.abs(own - surface) < same) & ((sensor <= 0) | (np.abs(own - sensor) < measured))
        owner = self.owner[row, column]
        seen &= (mark == 0) | (owner == 0) | (owner == mark)
        worth = np.zeros(len(points), np.float32)
        worth[found] = seen * (self.clear[row, column] / np.float32(255)) * border[found].clip(0.0, 1.0)
        return worth


def view_of(capture: Capture, frame: Frame, hiding: Hiding) -> View:
    """Prepare a keyframe. Raises UserError when the depth image cannot be read."""
    pose = capture.camera_to_scene(frame)
    camera = frame.intrinsics
    shrink = min(1.0, LONG_SIDE / max(camera.width, camera.height))
    maps = camera.resized(max(round(camera.width * shrink), 1), max(round(camera.height * shrink), 1))
    drawn, owner = hiding.drawn(maps, pose)
    sensor = _resampled(frame.depth(), frame.depth_intrinsics, maps)
    jumps = _jumps(sensor, maps, 2 * hiding.voxel)
    jumps &= ndimage.uniform_filter(jumps.astype(np.float32), 3) > 2.5 / 9  # a single pixel is noise of the sensor
    edges = _jumps(drawn, maps, hiding.voxel) | jumps | _borders(owner)
    distance = ndimage.distance_transform_edt(~edges) if edges.any() else np.full(edges.shape, np.inf)
    far = max(FAR_FROM_EDGE * max(maps.width, maps.height), 2.0)
    clear = ((distance - 1.0) / (far - 1.0)).clip(0.0, 1.0)
    depth, sensor = (part.clip(0, HALF_MOST).astype(np.float16) for part in (drawn, sensor))
    depth[drawn <= 0] = np.inf
    clear, owner = np.ceil(255 * clear).astype(np.uint8), np.where(owner > 0, mark_of(owner - 1), 0).astype(np.uint8)
    return View(camera, np.linalg.inv(pose), pose[:3, 3], maps, depth, sensor, clear, owner)


def mark_of(number: int | np.ndarray) -> int | np.ndarray:
    """1..255, for telling an object from those beside it in a byte."""
    return 1 + number % 255


def coarser(vertices: np.ndarray, faces: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """A mesh whose vertices within a cell are one (Rossignac and Borrel 1993): enough to say what is hidden.

    Returns:
        vertices (n, 3) float64 and faces (m, 3) int64, none of them twice.
    """
    place = np.floor(vertices / cell).astype(np.int64)
    place -= place.min(axis=0)
    size = place.max(axis=0) + 1
    keys = (place[:, 0] * size[1] + place[:, 1]) * size[2] + place[:, 2]
    used, number = np.unique(keys, return_inverse=True)
    count = np.bincount(number)
    middle = np.stack([np.bincount(number, vertices[:, axis]) / count for axis in range(3)], axis=1)
    small = number.reshape(-1)[faces]
    small = small[(small != np.roll(small, 1, axis=1)).all(axis=1)]
    ordered = np.sort(small, axis=1)
    keys = (ordered[:, 0] * len(used) + ordered[:, 1]) * len(used) + ordered[:, 2]
    return middle, small[np.unique(keys, return_index=True)[1]]


def _resampled(depth: np.ndarray, camera: Intrinsics, wanted: Intrinsics) -> np.ndarray:
    """The nearest depth pixels at another resolution and section of the same camera, 0 outside."""
    column = np.rint((np.arange(wanted.width) - wanted.cx) * (camera.fx / wanted.fx) + camera.cx).astype(int)
    row = np.rint((np.arange(wanted.height) - wanted.cy) * (camera.fy / wanted.fy) + camera.cy).astype(int)
    inside = ((row >= 0) & (row < camera.height))[:, None] & (column >= 0) & (column < camera.width)
    found = np.asarray(depth, np.float32)[row.clip(0, camera.height - 1)[:, None], column.clip(0, camera.width - 1)]
    return found * inside


def _jumps(depth: np.ndarray, camera: Intrinsics, voxel: float) -> np.ndarray:
    """(h, w) bool: pixels beside which the depth steps. 1/z is affine on planes, so its second difference tells."""
    known = depth > 0
    z = np.where(known, depth, 1.0)
    inverse = 1.0 / z
    edges = np.zeros(depth.shape, bool)
    limit = np.maximum(JUMP_VOXELS * voxel, JUMP_SHARE * z) + JUMP_PIXELS * z / camera.fx
    for axis in (0, 1):
        low, mid, high = (slice(None, -2), slice(1, -1), slice(2, None))
        index = [(s, slice(None)) if axis == 0 else (slice(None), s) for s in (low, mid, high)]
        bend = np.abs(inverse[index[0]] - 2 * inverse[index[1]] + inverse[index[2]]) * z[index[1]] ** 2
        all_known = known[index[0]] & known[index[1]] & known[index[2]]
        edges[index[1]] |= all_known & (bend > limit[index[1]])
    return edges


def _borders(owner: np.ndarray) -> np.ndarray:
    """(h, w) bool: pixels of another owner (h, w) than the one to their right or below."""
    border = np.zeros(owner.shape, bool)
    border[:, :-1] |= owner[:, :-1] != owner[:, 1:]
    border[:-1] |= owner[:-1] != owner[1:]
    return border


def light_of(photo: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 linear light of a photo (H, W, 3) uint8."""
    return LIGHT[photo[..., :3]]


def sampled(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(P, C) float32 bilinear values of an image (H, W, C) at pixels (P, 2)."""
    height, width = image.shape[:2]
    x, y = pixels[:, 0].clip(0, width - 1.001), pixels[:, 1].clip(0, height - 1.001)
    column, row = x.astype(np.int64), y.astype(np.int64)
    fx, fy = (x - column).astype(np.float32)[:, None], (y - row).astype(np.float32)[:, None]
    flat = image.reshape(height * width, -1)
    at = row * width + column
    top = flat[at] * (1 - fx) + flat[at + 1] * fx
    return top * (1 - fy) + (flat[at + width] * (1 - fx) + flat[at + width + 1] * fx) * fy


def sharpness(light: np.ndarray) -> float:
    """Variance of the Laplacian of a picture's luminance at half size, over the variance of the luminance."""
    grey = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    height, width = (size // 2 * 2 for size in grey.shape)
    grey = grey[:height, :width]
    grey = np.sqrt(0.25 * (grey[::2, ::2] + grey[1::2, ::2] + grey[::2, 1::2] + grey[1::2, 1::2]))
    return float(ndimage.laplace(grey).var() / max(float(grey.var()), 1e-8))


def relative_sharpness(values: np.ndarray) -> np.ndarray:
    """Factors (F,) 0..1 for keyframes in the order they were taken: less for those blurred more than their neighbours.

    Neighbours show much the same, so that a smooth wall is not taken for a blurred one.
    """
    count = len(values)
    around = np.clip(np.arange(count)[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1), 0, max(count - 1, 0))
    usual = np.median(values[around], axis=1) if count else values
    return (values / np.maximum(usual, 1e-12)).clip(DULLEST, 1.0)
