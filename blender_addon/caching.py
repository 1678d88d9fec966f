"""The cache of this Blender: what the preferences say of it, and clearing it while everything else goes on."""

from __future__ import annotations

import re

import bpy

from . import preferences, window
from .bridge.cache_folder import CacheFolder

_folder = CacheFolder()
_shown = ""  # what was known of it when the preferences were drawn last
_done = ""  # what the last clearing came to


def in_words() -> str:
    """What is in the cache, for one line of the preferences."""
    amount = _folder.look(preferences.cache_folder())
    return "Looking at the cache" if amount is None else f"Now {amount}{_done}"


def clear() -> bool:
    """Begin to clear the cache; False when that is under way. `step` tells when it is done."""
    global _done
    _done = ""
    captures = {scene.clickfield.capture_id for scene in bpy.data.scenes}
    return _folder.clear(preferences.cache_folder(), {re.sub(r"\W", "_", one) for one in captures if one} | captures)


def step() -> None:
    """Show what the threads have found; called by the pump."""
    global _done, _shown
    outcome = _folder.taken()
    if outcome is not None:
        gone, left = outcome
        _done = f"; {gone} removed" + (f", {left} could not be" if left.files else "")
    now = f"{_folder.amount}{_done}"
    if now != _shown:
        _shown = now
        window.redraw_sidebars()


def join(timeout: float) -> bool:
    """Wait until the threads are done; for scripts."""
    return _folder.join(timeout)
