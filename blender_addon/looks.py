"""Repaints the scan as soon as the person wants to see its labels in another way; the backend is not needed for it."""

from __future__ import annotations

import bpy

from . import live, properties, window
from .canvas import look_of
from .scene.scan import find_scan


def repaint(scene: bpy.types.Scene) -> None:
    """Begin to paint the scene's scan as its properties say now; the pump goes on with it."""
    scan = find_scan(scene, scene.clickfield.capture_id) if scene.clickfield.capture_id else None
    if scan is not None:
        live.session().canvas.recolor(scan, look_of(scene))
    window.redraw()


def register() -> None:
    """Listen to the properties that say how labels are shown."""
    properties.look_changed.append(repaint)


def unregister() -> None:
    """Listen no more."""
    properties.look_changed.remove(repaint)
