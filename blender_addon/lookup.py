"""Scenes by id. Datablocks are looked up when they are needed and never kept: undo and file loading exchange them."""

from __future__ import annotations

import bpy


def current_scene() -> bpy.types.Scene:
    """The scene that the person works in; inside a timer that of the first window."""
    windows = bpy.context.window_manager.windows
    return windows[0].scene if bpy.context.window is None and len(windows) else bpy.context.scene


def scene_by_uid(uid: int) -> bpy.types.Scene | None:
    """A scene by its session uid."""
    return next((scene for scene in bpy.data.scenes if scene.session_uid == uid), None)


def edit_state(scene: bpy.types.Scene) -> tuple[int, int]:
    """Changes with every edit of a label document: which scene, and its revision."""
    return scene.session_uid, scene.clickfield.revision
