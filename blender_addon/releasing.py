"""Memory that is given back: the backend ends, and comes back when it is needed or when a render is over.

Blender calls handlers of renders from the thread that renders, while the timer goes on in the main one. So they only
note what has happened, and `Releases.step` acts on it, in the main thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import bpy

from . import preferences
from .bridge.states import State
from .scene import cameras
from .session import RUNNING, Session

RELEASED = "The memory was released; the next edit of the labels starts the backend again"
FOR_RENDER = "The memory was released for rendering; the backend comes back afterwards"
PAUSE = 1.0  # seconds after a render in which the next one of a series may begin


class Releases:
    """When the backend makes room for something else.

    Attributes:
        away: it was ended for a render and is to come back.
    """

    def __init__(self, session: Session) -> None:
        self.away = False
        self._session = session
        self._events: deque[bool] = deque()  # a render has begun (True) or is over
        self._back_at: float | None = None

    def release(self, why: str = RELEASED) -> None:
        """End the backend and let go of pictures and label maps. Labels and all else stay. Never blocks."""
        self._session.stop(why)
        self._session.viewer.forget()
        for scene in bpy.data.scenes:
            cameras.let_go_of_pictures(scene)

    def render_begins(self) -> None:
        """Told by Blender, from whichever thread."""
        self._note(True)

    def render_ends(self) -> None:
        """Told by Blender, from whichever thread."""
        self._note(False)

    def _note(self, begun: bool) -> None:
        self._events.append(begun)
        if threading.current_thread() is threading.main_thread():  # it is blocked until the render is over
            self.step()

    def step(self) -> None:
        """Act on what has been noted, in the main thread."""
        rendering = None
        while self._events:
            rendering = self._events.popleft()
        if rendering:
            self._back_at = None
            self._make_room()
        elif rendering is False and self.away:
            self._back_at = time.monotonic() + PAUSE
        if self._back_at is not None and time.monotonic() > self._back_at and not bpy.app.is_job_running("RENDER"):
            self._come_back()

    def _make_room(self) -> None:
        """A capture that is being imported is finished first: ending that would undo it."""
        wanted = preferences.get().release_before_render and not self._session.importing
        if wanted and self._session.client.state in RUNNING:
            self.away = True
            self._session.stop(FOR_RENDER)

    def _come_back(self) -> None:
        self.away, self._back_at = False, None
        if self._session.client.state in (State.STOPPED, State.STOPPING):  # nobody has needed it meanwhile
            self._session.restart()
