"""A series of renders as jobs of Blender: it draws and answers meanwhile, and Esc stops it like any render."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import bpy

from . import opening, window
from .scene.label_render import Step, render
from .scene.passes import PassError

SHOWN = 8.0  # seconds that the status bar says what became of it


def as_jobs(steps: Iterator[Step | Future], done: str) -> Iterator[object]:
    """Render a series, one job after the other, for `Session.build`; the status bar says how far it is."""
    said = ""
    try:
        for step in steps:
            if isinstance(step, Future):  # files that a thread reads and writes
                while not step.done():
                    yield opening.WAIT
                continue
            _say(f"Clickfield: {step.text} ({step.fraction:.0%}), Esc stops")
            _start(step)
            while bpy.app.is_job_running("RENDER"):
                yield opening.WAIT
            if not Path(step.scene.render.filepath).is_file():
                said = "Rendering was stopped; the pictures that were finished stay."
                return
            yield
        said = done
    except PassError as error:
        window.tell(str(error))
    except RuntimeError as error:
        window.tell(f"Blender could not render the labels: {error}")
    finally:
        steps.close()
        _say(said)
        bpy.app.timers.register(lambda: _say(""), first_interval=SHOWN)


def _start(step: Step) -> None:
    """Start Blender's own job, without the window that it would open for every picture."""
    view = bpy.context.preferences.view
    display, view.render_display_type = view.render_display_type, "NONE"
    try:
        with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
            render(step, "INVOKE_DEFAULT")
    finally:
        view.render_display_type = display


def _say(text: str) -> None:
    for workspace in {one.workspace for one in bpy.context.window_manager.windows}:
        workspace.status_text_set(text or None)
