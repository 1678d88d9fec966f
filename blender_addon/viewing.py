"""Looking through keyframes: the picture behind the active camera, loaded when it is needed."""

from __future__ import annotations

import bpy

from . import window
from .scene import cameras


class Viewer:
    """Notices when another keyframe's camera becomes the scene's active one, by whatever way."""

    def __init__(self) -> None:
        self._viewed = 0  # session uid of the camera

    def watch(self, scene: bpy.types.Scene) -> None:
        """Load the picture of a newly active camera; cheap when nothing has changed. Never during a render."""
        camera = scene.camera
        uid = camera.session_uid if camera is not None and camera.clickfield.role == "CAMERA" else 0
        if uid == self._viewed or bpy.app.is_job_running("RENDER"):
            return
        self._viewed = uid
        problem = cameras.show_picture(scene, camera) if uid else None
        if problem:
            window.tell(problem, locate=True)
