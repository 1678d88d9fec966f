"""Label maps of captured frames: every pixel asks the measured surface around it, weighted by colour and depth.

The scan's own outline is blurred by a voxel and by errors of the poses, but a captured frame has better: its sensor's
depth says which surface a pixel shows, and its photo says where things end. A frame is prepared once, without labels:
on a coarse grid, the vertex of the scan nearest to each measured point, or the vertex that the scan shows where nothing
was measured. Reading labels is then a joint-bilateral vote (Petschnigg et al. 2004; Kopf et al. 2007) of the grid
around a pixel, needed only where the labels around it differ.

Axes: ``H, W`` pixels of the photo, ``h, w`` cells of the grid, ``V`` vertices, ``P`` pixels to decide, ``C`` labels.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.color import rgb2lab

from .. import budget
from ..captures.capture import Capture, Frame, Intrinsics
from ..surface.raster import nearest_vertex, rasterize
from ..surface.surface import Surface

LONG_SIDE = 320  # cells along the longer side of a large photo's grid; small photos have cells of 2 pixels
WINDOW = 4  # cells along each side of the vote: 7 pixels of a 320 x 240 photo, every second one
SIGMA_PHOTO, SIGMA_SURFACE = 5.0, 8.0  # Lab units: photo against photo, scan against photo
SIGMA_DEPTH = 0.04  # of the depth
REACH_VOXELS = 4.0  # from a measured point to the scan; farther off the point is no part of it
FLYING = 36.0  # squared deviations: a depth this far from all around is wrong, and colour alone decides
FARTHEST = 160.0  # squared deviations: the exponential stays above what float32 can hold
NEAR = 0.05  # metres
CHUNK = 1 << 16  # pixels decided at a time
FADE = 40.0  # pixels over which confidence falls off where nothing is known
KEPT_BYTES = 96 << 20  # with plenty of memory


@dataclass(frozen=True)
class FrameTable:
    """What a captured frame shows of a scan, whatever the labels are."""

    photo: np.ndarray  # (H, W, 3) uint8
    depth: np.ndarray  # (H, W) float32 measured z-depth in metres, 0 = none
    step: int  # pixels along a cell
    vertex: np.ndarray  # (h, w) int32, -1 = nothing
    cells: np.ndarray  # (h, w, 5) float32: what `_look` says of the cell's colours, and its z-depth

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return self.photo.nbytes + self.depth.nbytes + self.vertex.nbytes + self.cells.nbytes

    def read(self, labels: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Label map (H, W) uint16 and confidence (H, W) float32 for labels and confidence (V,)."""
        rows, columns = (_first_cells(size, self.step) for size in self.depth.shape)
        known = np.pad(self.vertex >= 0, WINDOW)
        uids, index = np.unique(labels[self.vertex], return_inverse=True)
        index = np.pad(index.reshape(self.vertex.shape).astype(np.int32), WINDOW)
        low = _over_windows(np.where(known, index, len(uids)), np.minimum)
        high = _over_windows(np.where(known, index, -1), np.maximum)
        sure = np.pad(np.where(self.vertex >= 0, confidence[self.vertex], 0.0).astype(np.float32), WINDOW)
        found = np.where(high >= 0, uids[np.where(high >= 0, low, 0)], 0).astype(np.uint16)[rows[:, None], columns]
        certain = _over_windows(sure, np.maximum)[rows[:, None], columns]
        y, x = np.nonzero((low < high)[rows[:, None], columns])
        for start in range(0, len(y), CHUNK):
            part = y[start : start + CHUNK], x[start : start + CHUNK]
            best, share = self._vote(*part, rows, columns, index, known, sure, len(uids))
            found[part], certain[part] = uids[best], share
        empty = (high < 0)[rows[:, None], columns]
        return nearest_known(found, certain, empty)

    def _vote(self, y, x, rows, columns, index, known, sure, count) -> tuple[np.ndarray, np.ndarray]:
        """Winning column (P,) and its confidence (P,) at pixels (y, x)."""
        own_lab, own_z = _lab_table()[_packed(self.photo[y, x])], self.depth[y, x]
        tolerance = np.where(own_z > 0, 1.0 / (SIGMA_DEPTH * np.maximum(own_z, 0.1)), 0.0).astype(np.float32)
        # The squared distances to photo and scan as one polynomial of the pixel's colour; see `_look`.
        own = np.concatenate([-2.0 * own_lab, np.ones((len(y), 1), np.float32)], 1)
        rest = (1 / SIGMA_PHOTO**2 + 1 / SIGMA_SURFACE**2) * (own_lab**2).sum(1)
        cells = np.pad(self.cells, ((WINDOW, WINDOW), (WINDOW, WINDOW), (0, 0))).reshape(-1, 5)
        index, known, sure = index.ravel(), known.ravel(), sure.ravel()
        width = self.vertex.shape[1] + 2 * WINDOW
        first = rows[y] * width + columns[x]
        votes = np.zeros(len(y) * count, np.float32)
        trust, total = np.zeros_like(votes), np.zeros(len(y), np.float32)
        start = np.arange(len(y)) * count
        for down, right in np.ndindex(WINDOW, WINDOW):
            cell = first + (down * width + right)
            look = cells.take(cell, 0)
            cost = rest + (look[:, :4] * own).sum(1)
            cost += np.minimum(((look[:, 4] - own_z) * tolerance) ** 2, FLYING)
            weight = np.exp(-0.5 * np.minimum(cost, FARTHEST)) * known.take(cell)
            at = start + index.take(cell)
            votes[at] += weight
            trust[at] += weight * sure.take(cell)
            total += weight
        best = votes.reshape(-1, count).argmax(1)
        return best, trust[start + best] / np.maximum(total, 1e-30)


class KeyframeViews:
    """Tables of a scan's captured frames; those used last are kept. Several threads may use it."""

    def __init__(self, surface: Surface, capture: Capture):
        self._capture, self._surface = capture, surface
        self._kept: OrderedDict[str, FrameTable] = OrderedDict()
        self._lock = threading.Lock()

    def table(self, frame: Frame) -> FrameTable:
        """What a frame of the capture shows. Raises UserError when its images cannot be read."""
        with self._lock:
            table = self._kept.get(frame.name)
            if table is not None:
                self._kept.move_to_end(frame.name)
                return table
        pose = self._capture.camera_to_scene(frame)
        table = scan_of(self._surface).seen(
            frame.intrinsics, pose, frame.color(), frame.depth(), frame.depth_intrinsics
        )
        most = KEPT_BYTES * budget.current().share
        with self._lock:
            self._kept[frame.name] = table
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > most:
                self._kept.popitem(last=False)
        return table


_scans: dict[int, Scan] = {}


def scan_of(surface: Surface) -> Scan:
    """The surface, prepared once for as long as it lives."""
    if id(surface) not in _scans:
        _scans[id(surface)] = Scan(surface)
        weakref.finalize(surface, _scans.pop, id(surface), None)
    return _scans[id(surface)]


class Scan:
    """A surface, ready to be found in frames."""

    def __init__(self, surface: Surface):
        self._vertices, self._faces, self._colors = surface.vertices, surface.faces, surface.colors
        self._corners = surface.faces.T.copy()
        self._reach = REACH_VOXELS * surface.voxel
        self._tree = cKDTree(surface.vertices, balanced_tree=False)

    def seen(
        self,
        intrinsics: Intrinsics,
        camera_to_scene: np.ndarray,
        photo: np.ndarray,
        depth: np.ndarray,
        depth_intrinsics: Intrinsics,
    ) -> FrameTable:
        """Prepare one frame.

        Args:
            intrinsics: of the photo. camera_to_scene: (4, 4), OpenCV axes.
            photo: (H, W, 3) uint8.
            depth: z-depth in metres of the same camera, 0 = none, of any resolution.
            depth_intrinsics: of the depth; same centre and axes as the photo's.
        """
        step = max(2, round(max(intrinsics.width, intrinsics.height) / LONG_SIDE))
        depth = _at_photo(depth, depth_intrinsics, intrinsics)
        y, x = _samples(depth, step)
        z = depth[y, x]
        vertex = self._nearest(intrinsics, camera_to_scene, x, y, z)
        holes = vertex < 0
        if holes.any():
            vertex, z = self._drawn(intrinsics, camera_to_scene, step, holes, vertex, z)
        cells = np.concatenate([_look(photo[y, x, :3], self._colors[vertex]), z[..., None]], -1)
        return FrameTable(np.ascontiguousarray(photo[..., :3]), depth, step, vertex, cells)

    def _nearest(self, camera: Intrinsics, pose: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(h, w) int32 vertex nearest to each measured point, -1 without one in reach."""
        measured = z > 0
        pixels = np.stack([x[measured], y[measured]], 1).astype(np.float64)
        points = camera.unproject(pixels, z[measured]) @ pose[:3, :3].T + pose[:3, 3]
        found = self._tree.query(points, distance_upper_bound=self._reach)[1]
        vertex = np.full(z.shape, -1, np.int32)
        vertex[measured] = np.where(found < len(self._vertices), found, -1)
        return vertex

    def _drawn(
        self, camera: Intrinsics, pose: np.ndarray, step: int, holes: np.ndarray, vertex: np.ndarray, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vertex and depth (h, w) with the holes (h, w) filled by what the scan shows there."""
        height, width = holes.shape
        middle = (step - 1) / 2
        coarse = Intrinsics(
            width, height, camera.fx / step, camera.fy / step, (camera.cx - middle) / step, (camera.cy - middle) / step
        )
        faces = self._faces[self._over(coarse, pose, holes)]
        used = np.zeros(len(self._vertices), bool)
        used[faces] = True
        renumber = np.cumsum(used, dtype=np.int32) - 1
        hit = rasterize(self._vertices[used], renumber[faces], coarse, pose, NEAR)
        shown = nearest_vertex(hit, faces)
        fill = holes & (shown >= 0)
        return np.where(fill, shown, vertex), np.where(fill, hit.depth, z)

    def _over(self, camera: Intrinsics, pose: np.ndarray, holes: np.ndarray) -> np.ndarray:
        """Indices of the faces whose box on the screen holds a hole."""
        project = (camera.matrix @ np.linalg.inv(pose)[:3]).astype(np.float32)
        u, v, z = project[:, :3] @ self._vertices.T + project[:, 3:]
        ahead = z > NEAR
        depth = np.maximum(z, NEAR)
        u, v = u / depth, v / depth
        inside = ahead & (u > -1) & (v > -1) & (u < camera.width) & (v < camera.height)
        a, b, c = self._corners
        faces = np.flatnonzero((inside[a] | inside[b] | inside[c]) & ahead[a] & ahead[b] & ahead[c])
        corners = [corner[faces] for corner in self._corners]
        sides = []
        for value, size in ((u, camera.width), (v, camera.height)):
            one, other, third = (value[corner] for corner in corners)
            low = np.minimum(np.minimum(one, other), third).clip(0, size - 1).astype(np.int32)
            high = np.maximum(np.maximum(one, other), third).clip(0, size - 1).astype(np.int32)
            sides.append((low, np.minimum(high + 2, size)))
        (left, right), (top, bottom) = sides
        stride = camera.width + 1
        count = np.pad(holes.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0))).ravel()
        inner = count[bottom * stride + right] - count[top * stride + right]
        inner += count[top * stride + left] - count[bottom * stride + left]
        return faces[inner > 0]


def _at_photo(depth: np.ndarray, camera: Intrinsics, photo: Intrinsics) -> np.ndarray:
    """The depth of each of the photo's pixels (H, W) float32: that of the nearest depth pixel."""
    depth = np.asarray(depth, np.float32)
    if camera == photo:
        return depth
    column = np.rint((np.arange(photo.width) - photo.cx) * (camera.fx / photo.fx) + camera.cx).astype(int)
    row = np.rint((np.arange(photo.height) - photo.cy) * (camera.fy / photo.fy) + camera.cy).astype(int)
    inside = ((row >= 0) & (row < camera.height))[:, None] & (column >= 0) & (column < camera.width)
    row, column = row.clip(0, camera.height - 1), column.clip(0, camera.width - 1)
    return depth[row[:, None], column] * inside


def _samples(depth: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel (h, w), (h, w) at which each cell is sampled: the first of a few near its middle that has depth."""
    height, width = depth.shape
    middle = step // 2
    y, x = np.meshgrid(np.arange(-(-height // step)) * step, np.arange(-(-width // step)) * step, indexing="ij")
    best_y, best_x = np.minimum(y + middle, height - 1), np.minimum(x + middle, width - 1)
    for down, right in ((middle - 1, middle - 1), (middle - 1, middle), (middle, middle - 1)):
        other_y, other_x = np.minimum(y + down, height - 1), np.minimum(x + right, width - 1)
        better = (depth[best_y, best_x] <= 0) & (depth[other_y, other_x] > 0)
        best_y, best_x = np.where(better, other_y, best_y), np.where(better, other_x, best_x)
    return best_y, best_x


def _first_cells(size: int, step: int) -> np.ndarray:
    """(size,) first cell of the window around each pixel, in a grid padded by WINDOW cells."""
    return np.floor((np.arange(size) + 0.5) / step - 0.5).astype(np.int32) - (WINDOW // 2 - 1) + WINDOW


def _over_windows(values: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The extreme over the WINDOW x WINDOW cells that begin at each cell; the last cells' windows are cut."""
    for axis in (0, 1):
        whole, values = values, values.copy()
        size = values.shape[axis]
        for shift in range(1, WINDOW):
            head = np.take(values, range(size - shift), axis)
            tail = np.take(whole, range(shift, size), axis)
            values[(slice(None),) * axis + (slice(0, size - shift),)] = extreme(head, tail)
    return values


def nearest_known(labels: np.ndarray, sure: np.ndarray, empty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels with nothing around take the nearest pixel's label, at a confidence that fades with the distance."""
    if not empty.any() or empty.all():
        return labels, sure
    distance, (y, x) = ndimage.distance_transform_edt(empty, return_indices=True)
    return labels[y, x], sure[y, x] * np.exp(-distance / FADE).astype(np.float32)


def _look(photo: np.ndarray, scan: np.ndarray) -> np.ndarray:
    """What a cell's colours (..., 3) uint8 in the photo and on the scan contribute to the cost, (..., 4) float32.

    With a pixel's Lab colour p, a cell's q in the photo and s on the scan, |p - q|^2 / a^2 + |p - s|^2 / b^2 is
    (1 / a^2 + 1 / b^2) |p|^2 - 2 p . m + c with m = q / a^2 + s / b^2 and c = |q|^2 / a^2 + |s|^2 / b^2.
    """
    q, s = _lab_table()[_packed(photo)], _lab_table()[_packed(scan)]
    mixed = q / SIGMA_PHOTO**2 + s / SIGMA_SURFACE**2
    constant = (q**2).sum(-1) / SIGMA_PHOTO**2 + (s**2).sum(-1) / SIGMA_SURFACE**2
    return np.concatenate([mixed, constant[..., None]], -1).astype(np.float32)


def _packed(color: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) uint8 to rows (...) of the table of Lab colours."""
    coarse = (color >> 2).astype(np.int32)
    return coarse[..., 0] << 12 | coarse[..., 1] << 6 | coarse[..., 2]


@cache
def _lab_table() -> np.ndarray:
    """(64^3, 3) float32 CIE Lab of colours with 6 bits per channel: within 1 unit, at a tenth of the cost."""
    level = (np.arange(64) * 4 + 1.5) / 255
    rgb = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1)
    return rgb2lab(rgb).reshape(-1, 3).astype(np.float32)
