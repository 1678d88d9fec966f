"""The real extension in a Blender without a window: built, installed into a fresh profile, driven by its operators."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "bl_ext.user_default.clickfield"
Show = Callable[[float, str], None]


def silent(fraction: float, text: str) -> None:
    """Show no progress."""


class Headless:
    """Installs the extension's zip into ``profile`` and enables it. Makes ``bpy`` importable; one per process.

    Args:
        profile: folder for Blender's settings and the extension; nothing of the person's own Blender is touched.
        python: interpreter for the backend.
    """

    def __init__(self, profile: Path, package: Path, python: str = sys.executable):
        profile.mkdir(parents=True, exist_ok=True)
        os.environ["BLENDER_USER_RESOURCES"] = str(profile)
        import bpy

        self.bpy = bpy
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        bpy.ops.extensions.package_install_files(
            filepath=str(package), repo="user_default", enable_on_install=True, overwrite=True
        )
        preferences = bpy.context.preferences.addons[NAME].preferences
        preferences.interpreter = python
        preferences.cache = str(profile / "cache")
        self.live = importlib.import_module(NAME + ".blender_addon.live")
        self.longest_tick = 0.0  # seconds that the main thread was in our code at a time

    @property
    def own(self):
        """The scene's Clickfield properties."""
        return self.bpy.context.scene.clickfield

    @property
    def window(self):
        """What the panels would show."""
        return self.bpy.context.window_manager.clickfield

    def wait(self, condition: Callable[[], bool], what: str, timeout: float, show: Show = silent) -> float:
        """Pump until the condition holds; seconds waited. Exits with a sentence on an error or after `timeout` s."""
        started = time.perf_counter()
        while not condition():
            if self.window.problem:
                sys.exit(f"{what}: {self.window.problem}")
            if time.perf_counter() - started > timeout:
                sys.exit(f"{what} took more than {timeout:.0f} s; {self.window.status or self.window.state}")
            tick = time.perf_counter()
            self.live.pump()
            self.longest_tick = max(self.longest_tick, time.perf_counter() - tick)
            text = self.window.busy or self.window.status
            if text:
                show(min(self.window.progress, 0.999) if self.window.busy else 0.0, text)
            time.sleep(0.001)
        return time.perf_counter() - started

    def import_capture(self, path: Path, show: Show = silent) -> float:
        """Import a capture; seconds until the scan mesh is in the scene."""
        started = time.perf_counter()
        self.bpy.ops.clickfield.import_capture(filepath=str(path))
        self.wait(lambda: not self.live.session().importing, "The import", 600, show)
        return time.perf_counter() - started

    def until_answered(self, show: Show = silent) -> float:
        """Seconds until the backend has answered the newest label document."""
        return self.wait(lambda: self.live.session().up_to_date, "Labelling", 300, show)

    def until_settled(self, show: Show = silent) -> float:
        """Seconds until the field has learnt the labels."""
        return self.wait(lambda: self.live.session().up_to_date and self.window.settled, "Training", 900, show)

    def separate(self, show: Show = silent) -> list:
        """Separate, and the objects made."""
        self.bpy.ops.clickfield.separate()
        self.wait(lambda: not self.live.session().waiting, "Separating", 300, show)
        return [item for item in self.bpy.context.scene.objects if item.clickfield.role == "OBJECT"]

    def scan(self):
        """The scan object."""
        return next(item for item in self.bpy.context.scene.objects if item.clickfield.role == "SCAN")

    def stop(self) -> None:
        """End the backend."""
        self.bpy.ops.clickfield.stop_backend()
        self.live.session().client.join(5.0)


def leave(code: int = 0) -> None:
    """End the process at once: Blender as a module may hang while it unloads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
