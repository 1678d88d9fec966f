"""Labels over the picture of the keyframe that is looked through, one texel per pixel of the picture.

The labels become a texture in bands of rows, a few in each redraw, so that a large picture does not hold up the window;
until all are there the former picture stays. Opacity is a number for the shader and costs nothing.
"""

from __future__ import annotations

import dataclasses
import time

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Vector

from .. import canvas, live
from ..scene import shades
from ..viewing import KeyframeLabels

BAND = 400_000  # pixels that are turned into colours at a time
BUDGET = 0.03  # seconds of a redraw after which no more bands are made


class _Film:
    """The texture bands of one keyframe's labels in one look."""

    def __init__(self, source: KeyframeLabels, look: shades.Look) -> None:
        self.source, self.look = source, look
        self.bands: list[tuple[int, int, gpu.types.GPUTexture]] = []  # first row, row after the last one
        self._next = 0

    @property
    def done(self) -> bool:
        """Are all bands made?"""
        return self._next >= len(self.source.labels)

    def work(self, until: float) -> None:
        """Make bands, at least one."""
        height, width = self.source.labels.shape
        rows = max(BAND // max(width, 1), 1)
        while not self.done:
            first, last = self._next, min(self._next + rows, height)
            part = slice(first, last)
            rgba = shades.picture_colors(self.look, self.source.labels[part], self.source.confidence[part])
            rgba[..., :3] = shades.linear(rgba[..., :3])  # which is what viewports take
            data = gpu.types.Buffer("FLOAT", rgba.size, np.ascontiguousarray(rgba).ravel())
            self.bands.append((first, last, gpu.types.GPUTexture((width, last - first), format="RGBA8", data=data)))
            self._next = last
            if time.perf_counter() > until:
                return


_films: dict[str, _Film] = {}  # "shown", and "coming" while it is being made


def frame_rectangle(
    window_matrix: np.ndarray, view_frame: list[Vector], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Where the camera's picture is in a viewport that looks through it: left, bottom, right, top in pixels.

    Args:
        window_matrix: of the region's view, camera to clip space, with the zoom and the offset of the camera view.
        view_frame: the corners of the picture in the camera's own space, of ``Camera.view_frame``.
        size: width and height of the region in pixels.
    """
    corners = np.array([(*corner, 1.0) for corner in view_frame]) @ np.asarray(window_matrix, dtype=np.float64).T
    screen = (corners[:, :2] / corners[:, 3:] + 1) / 2 * size
    return (*screen.min(axis=0), *screen.max(axis=0))


def _film_of(source: KeyframeLabels, look: shades.Look) -> _Film | None:
    """The film to draw; makes some more of the newest one if it is not done."""
    look = dataclasses.replace(look, mix=1.0)
    newest = _films.get("coming") or _films.get("shown")
    if newest is None or newest.source is not source or newest.look != look:
        newest = _films["coming"] = _Film(source, look)
    if not newest.done:
        newest.work(time.perf_counter() + BUDGET)
        bpy.context.region.tag_redraw()
    if newest.done:
        _films["shown"] = newest
        _films.pop("coming", None)
    shown = _films.get("shown")
    return shown if shown is not None and shown.source.frame == source.frame else None


def draw(context: bpy.types.Context) -> None:
    """Over the picture, when a viewport looks through a keyframe's camera."""
    scene, view = context.scene, context.region_data
    camera, own = scene.camera, scene.clickfield
    if view is None or view.view_perspective != "CAMERA" or camera is None or camera.clickfield.role != "CAMERA":
        return
    if own.show == "PHOTO" or not context.space_data.overlay.show_overlays:
        return
    source = live.session().viewer.keyframe(camera.clickfield.frame)
    if source is None or camera.clickfield.capture_id != own.capture_id:
        return
    film = _film_of(source, canvas.look_of(scene))
    if film is not None:
        region = context.region
        corners = camera.data.view_frame(scene=scene)
        _draw_film(film, frame_rectangle(view.window_matrix, corners, (region.width, region.height)), own.mix)


def _draw_film(film: _Film, rectangle: tuple[float, float, float, float], opacity: float) -> None:
    left, bottom, right, top = rectangle
    height = len(film.source.labels)
    shader = gpu.shader.from_builtin("IMAGE_COLOR")
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_float("color", (1.0, 1.0, 1.0, opacity))
    for first, last, texture in film.bands:
        upper, lower = (top - (top - bottom) * row / height for row in (first, last))
        batch = batch_for_shader(
            shader,
            "TRI_FAN",
            {
                "pos": ((left, upper), (right, upper), (right, lower), (left, lower)),
                "texCoord": ((0, 0), (1, 0), (1, 1), (0, 1)),
            },
        )
        shader.uniform_sampler("image", texture)
        batch.draw(shader)
    gpu.state.blend_set("NONE")


def forget() -> None:
    """Let go of the textures."""
    _films.clear()
