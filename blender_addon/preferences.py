"""Preferences of the extension, and what follows from them: interpreter, folders, device."""

import os
import sys
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from .. import __package__ as base_package
from .bridge import environment
from .bridge.states import BridgeError

sections = []  # functions that draw more: they get the context and the layout
ROOT = Path(__file__).resolve().parents[1]
DEVICE_ITEMS = (
    ("auto", "Automatic", "The fastest device that works"),
    ("cuda", "CUDA", "An NVIDIA or, with ROCm, an AMD graphics card"),
    ("mps", "Metal", "The graphics processor of a Mac"),
    ("cpu", "Processor", "No graphics card"),
)


def default_cache() -> Path:
    """The per-user cache folder of this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "clickfield" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "clickfield"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clickfield"


class ClickfieldPreferences(bpy.types.AddonPreferences):
    bl_idname = base_package

    interpreter: StringProperty(
        name="Interpreter",
        description="Python that has torch, or the folder of its virtual environment; empty looks in the usual places",
        subtype="FILE_PATH",
    )
    device: EnumProperty(name="Device", description="Where the field is trained", items=DEVICE_ITEMS, default="auto")
    cache: StringProperty(
        name="Cache Folder",
        description="Where fused surfaces and trained fields are kept; all of it can be rebuilt. Empty for the default",
        subtype="DIR_PATH",
    )

    def draw(self, context):
        """The preferences panel."""
        layout = self.layout
        layout.use_property_split = True
        column = layout.column()
        column.prop(self, "interpreter", placeholder=found_interpreter() or "No Python with torch was found")
        column.prop(self, "device")
        column.prop(self, "cache", placeholder=str(default_cache()))
        window = context.window_manager.clickfield
        row = column.row(align=True)
        row.operator("clickfield.start_backend", icon="PLAY")
        row.operator("clickfield.stop_backend", icon="SNAP_FACE")
        row.operator("clickfield.test_backend", icon="CHECKMARK")
        column.label(text=f"Backend: {window.state}" + (f" on {window.device}" if window.device else ""))
        if window.problem:
            row = column.row()
            row.alert = True
            row.label(text=window.problem, icon="ERROR")
        column.label(text=f"Log: {log_path()}")
        for section in sections:
            section(context, layout)


def get() -> ClickfieldPreferences:
    """The preferences of this extension."""
    return bpy.context.preferences.addons[base_package].preferences


def found_interpreter() -> str:
    """The interpreter that is used when none is set; empty when there is none."""
    return str(next(iter(environment.candidates(ROOT)), ""))


def interpreter() -> Path:
    """The interpreter that shall run the backend. Raises BridgeError with a sentence when there is none."""
    given = get().interpreter.strip() or found_interpreter()
    if not given:
        raise BridgeError("No Python with torch was found; choose one in the preferences of Clickfield.")
    return environment.resolved(bpy.path.abspath(given))


def cache_folder() -> Path:
    """The folder for fused surfaces and fields."""
    given = get().cache.strip()
    return Path(bpy.path.abspath(given)) if given else default_cache()


def log_path() -> Path:
    """The backend's log file."""
    try:
        return Path(bpy.utils.extension_path_user(base_package, path="logs")) / "backend.log"
    except ValueError:  # not installed as an extension
        return default_cache() / "logs" / "backend.log"


def register() -> None:
    """Register the preferences."""
    bpy.utils.register_class(ClickfieldPreferences)


def unregister() -> None:
    """Take them back."""
    bpy.utils.unregister_class(ClickfieldPreferences)
