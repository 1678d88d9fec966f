"""What is under the pointer in a 3D viewport: a place on the scan, a pixel of a keyframe, a label, a mark."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from bpy_extras import view3d_utils
from mathutils import Matrix, Vector

from . import canvas, live
from .scene.cameras import OPENCV_TO_BLENDER, matrix_from_rows
from .scene.picking import Hit
from .scene.scan import find_scan

MARK_RADIUS = 14.0  # pixels around a mark's dot that count as the mark


@dataclass(frozen=True)
class Pixel:
    """A pixel of a keyframe; the centre of the first one is (0, 0)."""

    frame: str
    u: float
    v: float


class Pointer:
    """One viewport of one scene, while neither moves. Screen places are pixels of the region.

    Attributes:
        region: the viewport's.
        scan: the scan that can be pointed at, None when it is hidden or gone.
    """

    def __init__(self, scene: bpy.types.Scene, region: bpy.types.Region, view: bpy.types.RegionView3D) -> None:
        self._scene, self.region, self._view = scene, region, view
        scan = find_scan(scene, scene.clickfield.capture_id)
        self.scan = scan if scan is not None and scan.visible_get() else None
        self._back = scan.matrix_world.inverted_safe() if scan is not None else Matrix.Identity(4)

    def hit(self, x: float, y: float) -> Hit | None:
        """Where the scan is met, in its own space. Waits for the picker if it is not made yet."""
        if self.scan is None:
            return None
        start = view3d_utils.region_2d_to_origin_3d(self.region, self._view, (x, y))
        direction = view3d_utils.region_2d_to_vector_3d(self.region, self._view, (x, y))
        start, direction = self._back @ start, self._back.to_3x3() @ direction
        return live.session().canvas.hit(self.scan, np.array(start), np.array(direction))

    def pixel(self, x: float, y: float) -> Pixel | None:
        """The keyframe's pixel when the viewport looks through its camera and the place lies in its picture."""
        camera, own = self._scene.camera, self._scene.clickfield
        if self._view.view_perspective != "CAMERA" or camera is None or camera.clickfield.role != "CAMERA":
            return None
        lens = camera.clickfield
        if lens.capture_id != own.capture_id:
            return None
        direction = view3d_utils.region_2d_to_vector_3d(self.region, self._view, (x, y))
        rotation = (camera.matrix_world @ OPENCV_TO_BLENDER).to_3x3().normalized()
        a, b, z = rotation.transposed() @ direction
        u, v = lens.fx * a / z + lens.cx, lens.fy * b / z + lens.cy
        inside = -0.5 <= u < lens.width - 0.5 and -0.5 <= v < lens.height - 0.5
        return Pixel(lens.frame, u, v) if inside else None

    def label(self, x: float, y: float) -> tuple[int, float] | None:
        """Uid of the label that is shown at a place, 0 for none, and its confidence; None beside the scan."""
        hit = self.hit(x, y)
        if hit is None:
            return None
        uid, confidence = live.session().canvas.label_at(self.scan, hit.vertex)
        return canvas.look_of(self._scene).shown.get(uid, 0), confidence

    def stored(self, point: np.ndarray) -> Vector:
        """A point in the scan's own space as marks keep it, in the capture's own world."""
        return matrix_from_rows(list(self._scene.clickfield.scene_from_world)).inverted_safe() @ Vector(point)

    def world(self, point: np.ndarray) -> Vector:
        """A point in the scan's own space in Blender's world."""
        return self._back.inverted_safe() @ Vector(point)

    def nearest(self, positions: np.ndarray, x: float, y: float) -> int | None:
        """The row of the point (N, 3) of Blender's world whose dot is under a place, the nearest to it, or None."""
        return nearest_dot(positions, np.array(self._view.perspective_matrix), self._size(), (x, y))

    def _size(self) -> tuple[int, int]:
        return self.region.width, self.region.height


def nearest_dot(
    positions: np.ndarray, perspective: np.ndarray, size: tuple[int, int], place: tuple[float, float]
) -> int | None:
    """The row of the point (N, 3) that is drawn nearest to a screen place, within `MARK_RADIUS`, or None.

    Args:
        perspective: (4, 4), world to clip space. size: width and height of the region in pixels.
    """
    if not len(positions):
        return None
    clip = np.c_[positions, np.ones(len(positions))] @ perspective.T
    with np.errstate(divide="ignore", invalid="ignore"):
        screen = (clip[:, :2] / clip[:, 3:] + 1) / 2 * size
        distance = np.linalg.norm(screen - place, axis=1)
    distance = np.where(clip[:, 3] > 0, distance, np.inf)
    row = int(np.argmin(distance))
    return row if distance[row] <= MARK_RADIUS else None


def pressed_at(event: bpy.types.Event) -> tuple[int, int]:
    """Where in the window a button or key went down.

    While Blender draws, presses and movements wait in line, and a press that waited may carry the place of the pointer
    when it was read, far along a stroke. The place before it is that of the last movement before the press.
    """
    return event.mouse_prev_x, event.mouse_prev_y


def region_under(
    context: bpy.types.Context, place: tuple[int, int]
) -> tuple[bpy.types.Region, bpy.types.RegionView3D] | tuple[None, None]:
    """The 3D viewport at a place of the window and its view; (None, None) elsewhere."""
    x, y = place
    for area in context.window.screen.areas:
        for region in area.regions if area.type == "VIEW_3D" else ():
            inside = region.x <= x < region.x + region.width and region.y <= y < region.y + region.height
            if region.type == "WINDOW" and inside:
                return region, region.data or area.spaces.active.region_3d
    return None, None


def pointer_at(context: bpy.types.Context, place: tuple[int, int]) -> tuple[Pointer, float, float] | None:
    """What points at a place of the window, and where in its region; None beside 3D viewports."""
    region, view = region_under(context, place)
    if view is None:
        return None
    return Pointer(context.scene, region, view), place[0] - region.x, place[1] - region.y
