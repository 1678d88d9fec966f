"""What a file is that the person is about to import: asked of the backend while the file browser is open.

Drawing asks with `Preview.lines`, which only remembers what is wanted; `step`, called with every tick of the session,
sends the request, and starts over when another file or another option is chosen.
"""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass
from typing import Any

import bpy

from . import preferences
from .asks import Arrays, Ask, Requests
from .bridge.client import BackendClient
from .bridge.states import State

LOOKING = "Looking..."
ABROAD = "The backend is on another machine: what this is will be told after Import, when it has been sent."
REST = 0.3  # seconds that a choice must stand before the backend is asked: arrow keys pass over many files


@dataclass
class Choice:
    """A path, the import options, and what is known of it."""

    path: str
    options: dict[str, Any]
    since: float
    request: int = 0  # 0 before it is sent
    lines: tuple[str, ...] = (LOOKING,)
    answered: bool = False
    problem: bool = False  # the lines say why it cannot be imported


class Preview:
    """The newest choice, and its request."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._choice: Choice | None = None

    def look(self, path: str, options: dict[str, Any]) -> Choice:
        """What is known of a file or folder; asks for it when it is another one than last time."""
        known = self._choice
        if known is None or (known.path, known.options) != (path, options):
            self.forget()
            self._choice = Choice(path, options, time.monotonic())
        return self._choice

    @property
    def waiting(self) -> bool:
        """Is a choice without an answer?"""
        return self._choice is not None and not self._choice.answered

    def forget(self) -> None:
        """Nobody looks any more."""
        if self._choice is not None and self._choice.request and not self._choice.answered:
            self._requests.drop(self._choice.request)
        self._choice = None

    def step(self, client: BackendClient, free: bool) -> None:
        """Send what is wanted, when the backend runs and opens nothing."""
        now = self._choice
        if now is None or now.answered:
            return
        if preferences.is_remote():
            self._answered(now, [ABROAD], False)
        elif client.state is State.FAILED:
            self.failed(client.reason)
        elif now.request or not free or client.state not in (State.READY, State.BUSY):
            return
        elif time.monotonic() - now.since >= REST:
            params = {"path": now.path, "options": now.options, "cache": str(preferences.cache_folder())}

            def done(data: dict[str, Any], arrays: Arrays) -> None:
                self._answered(now, data["lines"], False)

            def failed(code: str, sentence: str) -> None:
                self._answered(now, [sentence], True)

            now.request = self._requests.send(Ask("inspect", params, done, failed, ""))

    def failed(self, sentence: str) -> None:
        """The backend cannot be asked."""
        if self.waiting:
            self._answered(self._choice, [sentence], True)

    def _answered(self, choice: Choice, lines: list[str], problem: bool) -> None:
        choice.lines, choice.problem, choice.answered = tuple(lines), problem, True
        for window in bpy.context.window_manager.windows:
            for area in window.screen.areas:
                area.tag_redraw()


def draw(layout: bpy.types.UILayout, choice: Choice, width: int) -> None:
    """Show what is known in a box; ``width`` is that of the region in pixels."""
    column = layout.box().column(align=True)
    letters = max(int(width / (6.2 * bpy.context.preferences.system.ui_scale)) - 7, 24)
    for index, line in enumerate(choice.lines):
        icon = "ERROR" if choice.problem else "TIME" if not choice.answered else "INFO" if not index else "BLANK1"
        for part in textwrap.wrap(line, letters):
            column.label(text=part, icon=icon)
            icon = "BLANK1"
