"""Preferences of the extension, and what follows from them: interpreter, folders, device."""

import functools
import os
import sys
import tomllib
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from .. import __package__ as base_package
from .bridge import environment, install_folder
from .bridge.remote_command import remote_command, with_options
from .bridge.states import BridgeError
from .bridge.wheels import Lock, LockError, read_lock

first_sections, sections = [], []  # functions that draw before and after: they get the context and the layout
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


def _at_least_some(self, context):
    """Below that nothing runs; 0 is automatic."""
    if 0 < self.memory < environment.LEAST_MEMORY:
        self.memory = environment.LEAST_MEMORY


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
    folder: StringProperty(
        name="Backend Folder",
        description="Where Install Backend puts the backend's own Python and packages. Empty for the default",
        subtype="DIR_PATH",
    )
    index: StringProperty(
        name="Package Index",
        description="Where Install Backend downloads from: the address of a package index, or a folder of wheels. "
        "Empty for what pip or uv are configured for on this computer",
    )

    remote: StringProperty(
        name="Remote",
        description="Command that starts the backend on another machine, for example: "
        'ssh workstation "cd clickfield && .venv/bin/python -m backend serve". Empty for a backend on this machine',
    )

    memory: FloatProperty(
        name="Memory",
        description="GB of main memory that the backend may take: less makes large scans coarser. 0 for automatic, "
        "seven tenths of its machine's. Holds from the backend's next start",
        default=0.0,
        min=0.0,
        soft_max=64.0,
        precision=1,
        step=50,
        update=_at_least_some,
    )
    gpu_memory: FloatProperty(
        name="GPU Memory",
        description="GB of a CUDA graphics card's memory that the backend may take, so that Blender can render beside "
        "it. 0 for all that is free. Holds from the backend's next start",
        default=0.0,
        min=0.0,
        soft_max=80.0,
        precision=1,
        step=50,
    )
    release_before_render: BoolProperty(
        name="Release before Render",
        description="Stop the backend while Blender renders an image or animation, so that all memory is for rendering",
        default=False,
    )
    cache_size: FloatProperty(
        name="Cache Size",
        description="GB that fused surfaces, trained fields and pictures may take; what was not used for longest goes "
        "first. Holds from the backend's next start",
        default=4.0,
        min=0.1,
        soft_max=100.0,
        precision=1,
        step=50,
    )
    unpacked_size: FloatProperty(
        name="Unpacked Captures",
        description="GB that captures which come in one file may take when they are unpacked; the one that was not "
        "used for longest goes first. Holds from the backend's next start",
        default=32.0,
        min=1.0,
        soft_max=500.0,
        precision=1,
        step=100,
    )

    def draw(self, context):
        """The preferences panel."""
        layout = self.layout
        layout.use_property_split = True
        for section in first_sections:
            section(context, layout)
        column = layout.column()
        column.prop(self, "interpreter", placeholder=found_interpreter() or "None was found")
        column.prop(self, "device")
        column.prop(self, "cache", placeholder=str(default_cache()))
        column.prop(self, "folder", placeholder=str(install_folder.default_folder()))
        column.prop(self, "index", placeholder="As pip or uv are configured")
        column.prop(self, "remote", placeholder="None: the backend runs on this machine")
        for section in sections:
            section(context, layout)


def get() -> ClickfieldPreferences:
    """The preferences of this extension."""
    return bpy.context.preferences.addons[base_package].preferences


def found_interpreter() -> str:
    """The interpreter that is used when none is set; empty when there is none."""
    return str(next(iter(environment.candidates(ROOT, installed().interpreter)), ""))


def interpreter() -> Path:
    """The interpreter that shall run the backend. Raises BridgeError with a sentence when there is none."""
    given = get().interpreter.strip() or found_interpreter()
    if not given:
        raise BridgeError("There is no backend yet; press Install Backend in the preferences of Clickfield.")
    return environment.resolved(bpy.path.abspath(given))


def is_remote() -> bool:
    """Shall the backend run on another machine?"""
    return bool(get().remote.strip())


def backend_command() -> list[str]:
    """The command that starts the backend, here or on another machine. Raises BridgeError."""
    budgets = environment.Budgets.of(get())
    if is_remote():
        return remote_command(with_options(get().remote, budgets.arguments()))
    return environment.backend_command(interpreter(), budgets)


@functools.cache
def lock() -> Lock:
    """The list of the backend's packages. Raises LockError."""
    return read_lock(ROOT / "assets" / "backend.lock")


def backend_folder() -> Path:
    """The folder of the backend's own environment."""
    given = get().folder.strip()
    return Path(bpy.path.abspath(given)) if given else install_folder.default_folder()


def package_index() -> str:
    """The index that the person named: an address, the path of a folder, or ""."""
    given = get().index.strip()
    return given if not given or "://" in given else bpy.path.abspath(given)


def installed() -> install_folder.Installed:
    """What is in that folder."""
    try:
        return install_folder.installed(backend_folder(), lock().digest)
    except LockError as error:
        return install_folder.Installed("broken", str(error), None, {})


def cache_folder() -> Path:
    """The folder for fused surfaces and fields."""
    given = get().cache.strip()
    return Path(bpy.path.abspath(given)) if given else default_cache()


def version() -> str:
    """The version of the extension, from its manifest."""
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    return str(manifest["version"])


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
