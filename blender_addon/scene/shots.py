"""Which pictures are rendered: a camera, the cameras of a capture, or the frames of an animation; and their lenses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy
from mathutils import Matrix

from . import cameras
from .library import file_stem


@dataclass(frozen=True)
class Shot:
    """One picture."""

    camera: bpy.types.Object
    frame: int
    name: str  # file stem


def of_cameras(scene: bpy.types.Scene, chosen: Sequence[bpy.types.Object]) -> list[Shot]:
    """One picture per camera, at the scene's frame, named after the keyframe or the camera."""
    frame, taken, found = scene.frame_current, set(), []
    for camera in chosen:
        stem = name = file_stem(camera.clickfield.frame or camera.name)
        number = 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        found.append(Shot(camera, frame, name))
    return found


def of_animation(scene: bpy.types.Scene, camera: bpy.types.Object | None) -> list[Shot]:
    """The scene's frame range, through one camera or, with None, through the one that is active at each frame."""
    numbers = range(scene.frame_start, scene.frame_end + 1, max(scene.frame_step, 1))
    shots = [Shot(camera or active_at(scene, number), number, f"{number:06d}") for number in numbers]
    return [shot for shot in shots if shot.camera is not None]


def active_at(scene: bpy.types.Scene, frame: int) -> bpy.types.Object | None:
    """The camera that a marker on the timeline has made active by a frame, else the scene's."""
    bound = [marker for marker in scene.timeline_markers if marker.camera is not None]
    past = [marker for marker in bound if marker.frame <= frame]
    if past:
        return max(past, key=lambda marker: marker.frame).camera
    return min(bound, key=lambda marker: marker.frame).camera if bound else scene.camera


def bind_cameras(scene: bpy.types.Scene, chosen: Sequence[bpy.types.Object]) -> None:
    """Make the cameras of a capture an animation: frame 1 is seen by the first one, and so on.

    Resolution is the scene's, so that of the first camera; markers that bound cameras before are replaced.
    """
    for marker in [marker for marker in scene.timeline_markers if marker.camera is not None]:
        scene.timeline_markers.remove(marker)
    for number, camera in enumerate(chosen, start=1):
        scene.timeline_markers.new(camera.clickfield.frame or camera.name, frame=number).camera = camera
    scene.frame_start, scene.frame_end, scene.frame_step = 1, len(chosen), 1
    scene.camera = chosen[0]
    cameras.set_resolution(scene, chosen[0])
    scene.frame_set(1)


def described(stage: bpy.types.Scene, shot: Shot, base: Matrix) -> dict[str, Any] | None:
    """The camera as a frame of ``transforms.json``; None if it is no pinhole.

    Pixels are corner-origin, axes those of OpenGL.

    Args:
        stage: a scene that stands at the shot's frame with its resolution.
        base: takes Blender's world to the coordinates of the file.
    """
    if shot.camera.data.type != "PERSP":
        return None
    render, graph = stage.render, stage.view_layers[0].depsgraph
    width, height = picture_size(stage)
    camera = shot.camera.evaluated_get(graph)
    lens = camera.calc_matrix_camera(
        graph, x=width, y=height, scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y
    )
    pose = base @ camera.matrix_world.normalized()
    return {
        "fl_x": lens[0][0] * width / 2,
        "fl_y": lens[1][1] * height / 2,
        "cx": (1 - lens[0][2]) * width / 2,
        "cy": (1 + lens[1][2]) * height / 2,
        "w": width,
        "h": height,
        "transform_matrix": [list(row) for row in pose],
    }


def picture_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height of a scene's renders in pixels."""
    render = scene.render
    share = render.resolution_percentage / 100
    return max(int(render.resolution_x * share), 1), max(int(render.resolution_y * share), 1)
