"""What follows the person's view: the picture behind the active camera, the labels of the keyframe that is looked
through, and the uncertainty when it is to be seen. All of it is asked for when it is needed and let go of again."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from . import remote, window
from .canvas import Canvas, look_of
from .lookup import scene_by_uid
from .scene import cameras
from .scene import scan as scans

logger = logging.getLogger(__name__)
KEYFRAMES_KEPT = 4
PATIENCE = 20.0  # seconds after which a request that was never answered is forgotten: its backend may have died
Request = Callable[[str, dict[str, Any], Callable, Callable], None]


@dataclass(frozen=True)
class KeyframeLabels:
    """The labels of one keyframe, pixel by pixel, top row first."""

    frame: str
    answer: int  # of the canvas, when they were asked for
    labels: np.ndarray  # (H, W) uint16
    confidence: np.ndarray  # (H, W) uint8


class Viewer:
    """Notices what is looked at, by whatever way it came there, and asks the backend for what is missing.

    Args:
        ask: sends a request that nobody waits for: method, params, done(data, arrays), failed(code, sentence).
    """

    def __init__(self, canvas: Canvas, ask: Request) -> None:
        self._canvas, self._ask = canvas, ask
        self._viewed = 0  # session uid of the camera
        self._keyframes: OrderedDict[str, KeyframeLabels] = OrderedDict()
        self._asked: dict[str, object] = {}  # what was asked for last, answered or not, by method
        self._sent: dict[str, float] = {}  # when, for what is under way
        self._held: set[str] = set()  # captures that the backend has opened for the person

    def forget(self) -> None:
        """Another file: nothing of what is kept belongs to it."""
        self.__init__(self._canvas, self._ask)

    def look_again(self) -> None:
        """The picture behind the camera was let go of: load it when it is needed next."""
        self._viewed = 0

    def watch(self, scene: bpy.types.Scene, current: bool) -> None:
        """Catch up with the view; cheap when nothing has changed. Never during a render.

        Args:
            current: the backend holds the scene's capture, and the scan shows its answer to the newest document.
        """
        if bpy.app.is_job_running("RENDER"):
            return
        own = scene.clickfield
        if current and own.capture_id not in self._held:
            self._held.add(own.capture_id)
            self.look_again()
        self._watch_camera(scene, current)
        scan = scans.find_scan(scene, own.capture_id) if own.capture_id else None
        if scan is None:
            return
        self._canvas.prepare(scan)
        if self._canvas.unpainted and len(own.labels):
            self._canvas.recolor(scan, look_of(scene))
        if not current or not len(own.marks):
            return
        if own.show == "UNCERTAINTY":
            self._want_uncertainty(scene)
        if own.show != "PHOTO" and (camera := seen_through(scene)) is not None:
            self._want_keyframe(camera.clickfield.frame)

    def keyframe(self, frame: str) -> KeyframeLabels | None:
        """The newest labels of a keyframe that have come, perhaps of a document before."""
        return self._keyframes.get(frame)

    def _watch_camera(self, scene: bpy.types.Scene, current: bool) -> None:
        camera = scene.camera
        uid = camera.session_uid if camera is not None and camera.clickfield.role == "CAMERA" else 0
        if uid == self._viewed:
            return
        if uid and remote.wants_picture(camera.clickfield.image_path):
            if current:  # the camera is looked at again when it has come
                self._want_picture(camera.clickfield.frame, camera.clickfield.image_path)
            return
        self._viewed = uid
        if uid and cameras.lies_elsewhere(camera) and scene.clickfield.capture_id not in self._held:
            return  # a file may name any computer: none is asked before the person has opened the capture
        problem = cameras.show_picture(scene, camera) if uid else None
        if problem:
            window.tell(problem, locate=True)

    def _want_picture(self, frame: str, place: str) -> None:
        def done(data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
            problem = remote.keep_picture(place, arrays["file"].tobytes())
            if problem:
                window.tell(problem)

        self._request("picture", {"frame": frame}, place, done)

    def _want_uncertainty(self, scene: bpy.types.Scene) -> None:
        own = scene.clickfield
        params = {"measure": own.query_measure, "level": own.tree_level}
        answer, uid = self._canvas.answers, scene.session_uid

        def done(data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
            now = scene_by_uid(uid)
            scan = scans.find_scan(now, now.clickfield.capture_id) if now is not None else None
            if scan is not None and answer == self._canvas.answers:
                self._canvas.show_uncertainty(scan, arrays["uncertainty"], look_of(now))

        self._request("uncertainty", params, (answer, *params.values()), done)

    def _want_keyframe(self, frame: str) -> None:
        answer = self._canvas.answers
        known = self._keyframes.get(frame)
        if known is not None and known.answer == answer:
            self._keyframes.move_to_end(frame)
            return

        def done(data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
            self._keyframes[frame] = KeyframeLabels(frame, answer, arrays["labels"], arrays["confidence"])
            self._keyframes.move_to_end(frame)
            while len(self._keyframes) > KEYFRAMES_KEPT:
                self._keyframes.popitem(last=False)
            window.redraw()

        self._request("keyframe", {"frame": frame, "want": ["labels", "confidence"]}, (answer, frame), done)

    def _request(self, method: str, params: dict[str, Any], key: object, done: Callable) -> None:
        """Ask once for each key, one at a time."""
        now = time.monotonic()
        if self._asked.get(method) == key or now - self._sent.get(method, -PATIENCE) < PATIENCE:
            return
        self._asked[method], self._sent[method] = key, now

        def answered(data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
            self._sent.pop(method, None)
            done(data, arrays)

        def failed(code: str, sentence: str) -> None:
            self._sent.pop(method, None)
            logger.warning("%s: %s: %s", method, code, sentence)

        self._ask(method, params, answered, failed)


def seen_through(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The keyframe's camera through which a viewport on the scene looks, or None."""
    camera = scene.camera
    if camera is None or camera.clickfield.role != "CAMERA":
        return None
    if camera.clickfield.capture_id != scene.clickfield.capture_id:
        return None
    for each in bpy.context.window_manager.windows:
        for area in each.screen.areas if each.scene == scene else ():
            if area.type == "VIEW_3D" and area.spaces.active.region_3d.view_perspective == "CAMERA":
                return camera
    return None
