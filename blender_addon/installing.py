"""The installation of the backend that goes on in this Blender: started, watched by a timer, told about."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import bpy

from . import live, preferences, window
from .bridge import install_device, install_fetch, install_folder, install_index
from .bridge.environment import Finding
from .bridge.install import Install, Job
from .bridge.install_work import Removal, Work
from .bridge.states import BridgeError, State
from .bridge.wheels import LockError, Machine, Plan, this_machine

INTERVAL = 0.2  # seconds between two looks
AUTOMATIC = "auto"
PATIENCE = 3.0  # seconds that disabling the extension waits for a cancelled installation

_work: Work | None = None
_last: Finding | None = None


@functools.cache
def machine() -> Machine:
    """This machine, looked at once."""
    return this_machine()


@functools.cache
def found_kind() -> str:
    """The kind of torch that this machine can use, asked of its drivers once."""
    return install_device.kind()


def plan(kind: str = AUTOMATIC) -> Plan:
    """What would be installed. Raises BridgeError."""
    try:
        return preferences.lock().plan(machine(), found_kind() if kind == AUTOMATIC else kind)
    except LockError as error:
        raise BridgeError(str(error)) from error


def missing(what: Plan) -> int:
    """Bytes of a plan that are still to be downloaded."""
    folder = preferences.backend_folder() / install_folder.WHEELS
    torch = what.build.about if what.from_index and not install_index.remembered(folder, what) else 0
    return install_fetch.missing_bytes(what.everything(), folder) + torch


def online() -> bool:
    """Does Blender allow its add-ons to go online?"""
    return bpy.app.online_access


def refusal(what: Plan, source: Path | None = None) -> str:
    """Why the plan cannot be carried out now, one sentence, or ""."""
    if _work is not None:
        return "The backend is being installed already."
    needed = missing(what)
    if source is None and needed and not online():
        return "Blender is not allowed to go online: allow it in Preferences > System > Network, or use a folder."
    if source is not None and not source.is_dir():
        return f"There is no folder {source}; choose the folder that holds the wheels."
    return install_folder.problem(preferences.backend_folder(), what, needed)


def start(kind: str = AUTOMATIC, source: Path | None = None) -> None:
    """Start an installation. Raises BridgeError with a sentence when it cannot be."""
    what = plan(kind)
    reason = refusal(what, source)
    if reason:
        raise BridgeError(reason)
    timeout = max(float(getattr(bpy.context.preferences.system, "network_timeout", 0)), 15.0)
    folder, index = preferences.backend_folder(), preferences.package_index()
    job = Job(what, folder, preferences.ROOT, Path(sys.executable), source, index, timeout)
    _begin(Install(job, _ending()))


def remove() -> None:
    """Start to delete what was installed. Raises BridgeError when there is nothing of ours."""
    folder = preferences.backend_folder()
    if not install_folder.owned(folder):
        raise BridgeError(f"{folder} was not made by Clickfield; nothing was removed.")
    _begin(Removal(folder, _ending()))


def _begin(work: Work) -> None:
    global _work, _last
    _work, _last = work, None
    if not bpy.app.timers.is_registered(_timer):
        bpy.app.timers.register(_timer, first_interval=INTERVAL, persistent=True)


def _ending() -> Callable[[float], bool]:
    """Ends a backend that runs, whose files are going to be replaced; the function waits for that, in any thread."""
    session = live.session()
    if session.client.state not in (State.STOPPED, State.FAILED):
        session.stop()
    return session.client.join


def current() -> Work | None:
    """The installation or removal that goes on."""
    return _work


def last() -> Finding | None:
    """How the last one ended; None when there was none since Blender was started."""
    return _last


def tick() -> bool:
    """Look once; does an installation still go on? Called by a timer, and by scripts without a window."""
    global _work, _last
    if _work is None:
        return False
    finding = _work.poll()
    window.redraw_sidebars()
    if finding is None:
        return True
    given_up = _work.given_up()
    _work, _last = None, finding
    if finding.ok or given_up:
        window.clear_problem()
    else:
        window.tell(finding.sentence)
    return False


def _timer() -> float | None:
    return INTERVAL if tick() else None


def register() -> None:
    """Nothing goes on yet."""
    global _work, _last
    _work = _last = None


def unregister() -> None:
    """Give up what goes on."""
    global _work
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)
    if _work is not None:
        _work.cancel()
        _work.thread.join(PATIENCE)
        _work = None
