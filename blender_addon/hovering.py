"""The label under the pointer: looked up once per movement of the mouse, shown in the tool's header."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from . import canvas, live
from .pointer import Pointer

TOOL = "clickfield.label_tool"


@dataclass(frozen=True)
class Hovered:
    """What is under the pointer. ``uid`` is 0 where there is no label."""

    uid: int
    confidence: float  # 0..1


_state: dict[str, Hovered | None] = {"now": None}


def now() -> Hovered | None:
    """What the pointer was over last; None beside the scan."""
    return _state["now"]


def forget() -> None:
    """The pointer is over nothing."""
    _state["now"] = None


def look(context: bpy.types.Context, pointer: Pointer, x: float, y: float) -> None:
    """The pointer is at a place of a viewport. Redraws no more than what changes with it.

    While the picker is being made in its thread nothing is looked up: a movement must not wait.
    """
    found = None
    if pointer.scan is not None and live.session().canvas.picker(pointer.scan) is not None:
        label = pointer.label(x, y)
        if label is not None:
            found = Hovered(label[0], round(label[1], 2))
    before, _state["now"] = _state["now"], found
    if found == before:
        return
    outlined = (found.uid if found else 0) != (before.uid if before else 0)
    for area in context.window.screen.areas:
        for region in area.regions if area.type == "VIEW_3D" else ():
            if region.type == "TOOL_HEADER" or (outlined and region.type == "WINDOW"):
                region.tag_redraw()


def text(scene: bpy.types.Scene) -> str:
    """The label under the pointer and its confidence, empty beside the scan."""
    found = now()
    if found is None:
        return ""
    label = next((label for label in scene.clickfield.labels if label.uid == found.uid), None)
    return f"{label.name}  {found.confidence:.0%}" if label is not None else "No label"


def tool_is_active(context: bpy.types.Context) -> bool:
    """Is the Label tool the one in hand?"""
    if context.mode != "OBJECT" or context.workspace is None:
        return False
    tool = context.workspace.tools.from_space_view3d_mode("OBJECT", create=False)
    return tool is not None and tool.idname == TOOL


def outline(context: bpy.types.Context, scan: bpy.types.Object):
    """Ends of line segments (n, 3) around the label under the pointer, in the scan's own space."""
    found = now()
    uid = found.uid if found is not None else 0
    return live.session().canvas.outline(scan, uid, canvas.look_of(context.scene))
