"""What the person is told: the transient state that panels draw, the status bar, problems as sentences."""

from __future__ import annotations

import time
from typing import Any

import bpy

from .bridge.client import BackendClient
from .bridge.states import State

MAX_LEFT_OUT_SHOWN = 8
SHOWN_EVERY = 0.4  # seconds between two counts of steps in the panel


def state() -> bpy.types.PropertyGroup:
    """The WindowManager's Clickfield properties."""
    return bpy.context.window_manager.clickfield


def _put(name: str, value: Any) -> None:
    """Set a property and redraw what shows it, only when it is another value."""
    if getattr(state(), name) != value:
        setattr(state(), name, value)
        redraw_sidebars()


def redraw() -> None:
    """Redraw viewports and preferences."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "PREFERENCES"}:
                area.tag_redraw()


def redraw_sidebars() -> None:
    """Redraw the sidebars and preferences alone: cheap enough for numbers that change all the time."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            for region in area.regions if area.type == "VIEW_3D" else ():
                if region.type == "UI":
                    region.tag_redraw()


def mirror(client: BackendClient) -> None:
    """Show where the backend stands."""
    _put("state", client.state.value)
    if client.state is State.FAILED and not state().problem:
        _put("problem", client.reason)
    if client.state not in (State.READY, State.BUSY):
        _put("device", "")
        _put("status", "")


_work: dict[str, Any] = {}  # what the backend said last, and when that was shown


def status(data: dict[str, Any]) -> None:
    """Show what the backend does by itself; steps are counted in the panel a few times a second."""
    now = time.monotonic()
    same = (data.get("state"), data.get("text")) == (_work.get("state"), _work.get("text"))
    if same and now - _work["shown"] < SHOWN_EVERY:
        return
    _work.clear()
    _work.update(data, shown=now)
    text = str(data.get("text") or "")
    if data.get("total"):
        text += f", step {data['steps']} of {data['total']}"
        text += f", loss {data['loss']:.3g}" if data.get("loss") is not None else ""
    _put("device", str(data.get("device") or ""))
    _put("status", text)


def training() -> float | None:
    """How far the field's training is, 0 to 1; None when none goes on."""
    return min(_work["steps"] / _work["total"], 1.0) if _work.get("total") else None


def sentence(client: BackendClient) -> str:
    """What the backend does, in words that always say something."""
    if client.state is State.STOPPED:
        return _work.get("stopped") or "The backend is not running; it starts when it is needed"
    if client.state is State.FAILED:
        return client.reason
    if client.state is State.STARTING:
        return "Starting the backend"
    if client.state is State.STOPPING:
        return "The backend is ending"
    device = f" on {state().device}" if state().device else ""
    return (state().busy or state().status or "Ready") + device


def stopped(why: str) -> None:
    """Remember why the backend does not run; an empty text when it does."""
    _work.clear()
    if why:
        _work["stopped"] = why
    redraw_sidebars()


def progress(fraction: float, text: str) -> None:
    """Show how far the task is; an empty text ends it."""
    fraction = min(max(fraction, 0.0), 1.0)
    if abs(state().progress - fraction) > 0.002:
        _put("progress", fraction)
    if text != state().busy:
        _put("busy", text)
    workspaces = {window.workspace for window in bpy.context.window_manager.windows}
    for workspace in workspaces:
        workspace.status_text_set(f"Clickfield: {text} ({fraction:.0%})" if text else None)
    if not text:
        _put("request", 0)


def running(number: int) -> None:
    """Cancel now means this request."""
    _put("request", number)


def finished(number: int) -> None:
    """A request was answered."""
    if number == state().request:
        progress(1.0, "")


def tell(sentence: str, locate: bool = False) -> None:
    """Tell the person what went wrong: in the panel, and as a pop-up where there is a window.

    Args:
        locate: the capture's files were not found, so the panel offers to find them.
    """
    _put("problem", sentence)
    _put("locate", locate)
    windows = bpy.context.window_manager.windows
    if not sentence or bpy.app.background or not len(windows):
        return

    def draw(menu, context):
        menu.layout.label(text=sentence)

    with bpy.context.temp_override(window=windows[0]):
        bpy.context.window_manager.popup_menu(draw, title="Clickfield", icon="ERROR")


def tell_failure(code: str, sentence: str) -> None:
    """Tell an error of the backend; what the person cancelled is no news."""
    if code != "cancelled":
        tell(sentence)


def clear_problem() -> None:
    """The person tried again."""
    _put("problem", "")
    _put("locate", False)


def notes(capture: dict[str, Any]) -> None:
    """Keep what the person should know of a capture: notes, and which frames were left out and why."""
    lines = [str(note) for note in capture["notes"]]
    left_out = capture["left_out"]
    if left_out:
        lines.append(f"{len(left_out)} frames were left out:")
        lines += [f"{one['name']}: {one['reason']}" for one in left_out[:MAX_LEFT_OUT_SHOWN]]
    if len(left_out) > MAX_LEFT_OUT_SHOWN:
        lines.append(f"and {len(left_out) - MAX_LEFT_OUT_SHOWN} more")
    _put("notes", "\n".join(lines))


def shares(data: dict[str, Any]) -> None:
    """Keep how much of the surface each label has."""
    own = state()
    own.shares.clear()
    for uid, value in data["share"].items():
        share = own.shares.add()
        share.name, share.value = str(uid), value
    own.unsettled = data["unsettled"]
    own.settled = data["stage"] == "settled"
