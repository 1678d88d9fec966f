"""One Blender camera per keyframe, its picture as background, and the way of the camera as a curve.

A camera shows exactly what its frame saw: with the frame's resolution and pixel aspect on the scene, Blender projects
every point onto the pixel where the capture's own intrinsics put it. Pixels are centre-origin, as in the protocol.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from .best_view import Lenses

SENSOR = 36.0  # mm; enlarged for lenses under Blender's minimum of 1 mm
PICTURES_IN_MEMORY = 4
OPENCV_TO_BLENDER = Matrix.Diagonal((1.0, -1.0, -1.0, 1.0))


def build_cameras(
    collection: bpy.types.Collection, frames: list[dict[str, Any]], capture_id: str, parent: bpy.types.Object | None
) -> Iterator[None]:
    """Make one camera per frame in a collection; yields after each, so that a caller can stop for breath.

    Args:
        frames: dicts with ``name, image, width, height, fx, fy, cx, cy`` (pixels) and ``camera_to_scene``, 16 numbers
            row-major, OpenCV camera axes to scene metres.
        parent: object that carries the whole capture, or None.
    """
    for index, frame in enumerate(frames):
        data = bpy.data.cameras.new(frame["name"])
        camera = bpy.data.objects.new(frame["name"], data)
        own = camera.clickfield
        own.role, own.capture_id, own.frame, own.index = "CAMERA", capture_id, frame["name"], index
        own.image_path = frame["image"]
        own.width, own.height = frame["width"], frame["height"]
        own.fx, own.fy, own.cx, own.cy = (frame[key] for key in ("fx", "fy", "cx", "cy"))
        set_lens(camera)
        camera.matrix_basis = matrix_from_rows(frame["camera_to_scene"]) @ OPENCV_TO_BLENDER
        camera.parent = parent
        data.display_size = 0.1
        data.clip_start, data.clip_end = 0.01, 1000.0
        collection.objects.link(camera)
        yield


def matrix_from_rows(numbers: list[float]) -> Matrix:
    """16 numbers, row-major, as a Matrix."""
    return Matrix([numbers[row * 4 : row * 4 + 4] for row in range(4)])


def set_lens(camera: bpy.types.Object) -> None:
    """Lens, sensor and shift from the intrinsics stored on the object.

    Formulas for ``sensor_fit`` HORIZONTAL; ``shift_y`` is in units of the width after the pixel aspect, fx / fy.
    """
    own, data = camera.clickfield, camera.data
    data.type, data.sensor_fit = "PERSP", "HORIZONTAL"
    data.sensor_width = max(SENSOR, own.width / own.fx * 1.01)
    data.lens_unit = "MILLIMETERS"
    data.lens = own.fx * data.sensor_width / own.width
    data.shift_x = (own.width / 2 - (own.cx + 0.5)) / own.width
    data.shift_y = ((own.cy + 0.5) - own.height / 2) * (own.fx / own.fy) / own.width


def set_resolution(scene: bpy.types.Scene, camera: bpy.types.Object) -> None:
    """Give the scene the frame's resolution and pixel aspect; Blender keeps them per scene, not per camera."""
    own, render = camera.clickfield, scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = own.width, own.height, 100
    render.pixel_aspect_x = max(1.0, own.fy / own.fx)
    render.pixel_aspect_y = max(1.0, own.fx / own.fy)


def description(camera: bpy.types.Object) -> dict[str, Any]:
    """The camera as the backend's ``views`` request wants it, relative to the capture that carries it."""
    own = camera.clickfield
    base = camera.parent.matrix_world.inverted() if camera.parent else Matrix.Identity(4)
    matrix = base @ camera.matrix_world @ OPENCV_TO_BLENDER
    return {
        "name": own.frame or camera.name,
        **{key: getattr(own, key) for key in ("width", "height", "fx", "fy", "cx", "cy")},
        "camera_to_scene": [value for row in matrix for value in row],
    }


def lenses(cameras: list[bpy.types.Object]) -> Lenses:
    """The cameras of keyframes as arrays, relative to the capture that carries them."""
    described = [description(camera) for camera in cameras]

    def column(*keys: str) -> np.ndarray:
        return np.array([[one[key] for key in keys] for one in described], dtype=np.float64).reshape(-1, len(keys))

    poses = np.array([one["camera_to_scene"] for one in described], dtype=np.float64).reshape(-1, 4, 4)
    return Lenses(column("width", "height"), column("fx", "fy"), column("cx", "cy"), poses)


def build_path(
    collection: bpy.types.Collection, frames: list[dict[str, Any]], capture_id: str, parent: bpy.types.Object | None
) -> bpy.types.Object:
    """A poly curve through the camera centres in the order of the recording."""
    curve = bpy.data.curves.new("Camera Path", "CURVE")
    curve.dimensions = "3D"
    spline = curve.splines.new("POLY")
    spline.points.add(len(frames) - 1)
    centers = [(*(frame["camera_to_scene"][i] for i in (3, 7, 11)), 1.0) for frame in frames]
    spline.points.foreach_set("co", [number for center in centers for number in center])
    path = bpy.data.objects.new("Camera Path", curve)
    path.clickfield.role, path.clickfield.capture_id = "PATH", capture_id
    path.parent = parent
    path.hide_render = True
    collection.objects.link(path)
    return path


def move(scene: bpy.types.Scene, capture_id: str, poses: np.ndarray) -> Iterator[None]:
    """Put the cameras of a capture, and the path through them, to poses (N, 4, 4), OpenCV axes to scene metres.

    Yields after each camera, so that a caller can stop for breath.
    """
    for camera in capture_cameras(scene, capture_id):
        camera.matrix_basis = Matrix(poses[camera.clickfield.index].tolist()) @ OPENCV_TO_BLENDER
        yield
    for item in scene.objects:
        if item.clickfield.role == "PATH" and item.clickfield.capture_id == capture_id:
            centers = np.concatenate([poses[:, :3, 3], np.ones((len(poses), 1))], axis=1)
            item.data.splines[0].points.foreach_set("co", centers.astype(np.float32).ravel())


def capture_cameras(scene: bpy.types.Scene, capture_id: str) -> list[bpy.types.Object]:
    """The cameras of a capture in the order of the recording."""
    found = [
        o for o in scene.objects if o.clickfield.role == "CAMERA" and o.clickfield.capture_id == capture_id and o.data
    ]
    return sorted(found, key=lambda o: o.clickfield.index)


def show_picture(scene: bpy.types.Scene, camera: bpy.types.Object) -> str | None:
    """Load a keyframe's picture as its camera's background, and let go of those viewed longest ago.

    Returns:
        None, or one sentence that says why there is no picture.
    """
    own, data = camera.clickfield, camera.data
    if min(own.width, own.height) < 1 or not 0 < min(own.fx, own.fy) <= max(own.fx, own.fy) < math.inf:
        return "This keyframe's camera has no lens any more; import the capture again."
    set_resolution(scene, camera)
    problem = None
    if not any(entry.image for entry in data.background_images):
        problem = _load(data, own.image_path)
    others = [c for c in capture_cameras(scene, own.capture_id) if c != camera and len(c.data.background_images)]
    others.sort(key=lambda c: abs(c.clickfield.index - own.index))
    for far in others[PICTURES_IN_MEMORY - 1 :]:
        drop_picture(far)
    return problem


def lies_elsewhere(camera: bpy.types.Object) -> bool:
    """Whether a keyframe's picture is on another computer, which would be asked for it, and waited for."""
    return camera.clickfield.image_path.startswith("\\\\")


def _load(data: bpy.types.Camera, path: str) -> str | None:
    if not os.path.isfile(bpy.path.abspath(path)):
        return f"The picture {os.path.basename(path)} of this keyframe is not where it was."
    try:
        image = bpy.data.images.load(path, check_existing=True)
    except RuntimeError:
        return f"The picture {os.path.basename(path)} of this keyframe cannot be read."
    background = data.background_images.new()
    background.image = image
    background.alpha, background.display_depth, background.frame_method = 1.0, "FRONT", "STRETCH"
    data.show_background_images = True
    return None


def drop_picture(camera: bpy.types.Object) -> None:
    """Take a camera's background away, and out of memory when nobody else uses it."""
    images = [entry.image for entry in camera.data.background_images if entry.image]
    for entry in camera.data.background_images:
        entry.image = None  # clear() alone would leave its count of users as it was
    camera.data.background_images.clear()
    for image in images:
        if not image.users:
            bpy.data.images.remove(image)


def let_go_of_pictures(scene: bpy.types.Scene) -> None:
    """Take every keyframe's background away, before undo or redo exchanges the datablocks.

    Pictures come and go with the view, which is no undo step. A camera that is the same in both states is kept by
    Blender as it is, and must not point to an image of which the other state knows nothing.
    """
    for camera in scene.objects:
        if camera.clickfield.role == "CAMERA" and camera.data and len(camera.data.background_images):
            for entry in camera.data.background_images:
                entry.image = None
            camera.data.background_images.clear()
