"""The one place where the backend's answers meet the scene: the `Session` of this Blender and the pump that drives it.

`pump` does one slice; a timer calls it in a window, tests and scripts call it themselves, because Blender's timers
never fire in the background.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import bpy

from . import caching, window
from .releasing import Releases
from .session import Session

logger = logging.getLogger(__name__)
_session: Session | None = None
_releases: Releases | None = None


def session() -> Session:
    """The session of this Blender. Raises RuntimeError when the extension is not enabled."""
    if _session is None:
        raise RuntimeError("Clickfield is not enabled")
    return _session


def releases() -> Releases:
    """What gives the session's memory back. Raises RuntimeError when the extension is not enabled."""
    if _releases is None:
        raise RuntimeError("Clickfield is not enabled")
    return _releases


def pump(budget_s: float = 0.01) -> None:
    """One slice of the session's work."""
    releases().step()
    session().tick(budget_s)
    caching.step()


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Pump until a condition holds; did it, within ``timeout`` seconds? For scripts without a window."""
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            return False
        pump()
        time.sleep(0.002)
    return True


def _timer() -> float:
    try:
        pump()
    except Exception:  # a timer that raises is dropped by Blender, and with it every later answer
        logger.exception("the pump failed")
        window.tell("Something went wrong in Clickfield; Blender's console has the details.")
    return 0.02 if session().active else 0.1


def register() -> None:
    """Make the session and start the timer."""
    global _session, _releases
    _session = Session()
    _releases = Releases(_session)
    bpy.app.timers.register(_timer, first_interval=0.1, persistent=True)


def unregister() -> None:
    """Stop the timer and end the backend."""
    global _session, _releases
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)
    session().elsewhere.stop()
    session().close()
    _session = _releases = None
