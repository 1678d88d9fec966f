"""What *Copy Diagnostics* copies."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import installing, live, preferences
from .bridge import diagnostics as texts
from .bridge import install_folder

KINDS = {"cuda": "CUDA 13", "cuda12": "CUDA 12", "rocm": "ROCm", "metal": "Metal", "cpu": "the processor only"}
UNTOLD = ("pid",)  # of what the backend says of itself


def diagnostics() -> str:
    """Versions, device, state and the last lines of the logs, without personal names and paths."""
    client = live.session().client
    there = preferences.installed()
    platform = bpy.app.build_platform.decode("utf-8", errors="replace")
    facts = {
        "Clickfield": preferences.version(),
        "Blender": f"{bpy.app.version_string} ({platform})",
        "Backend": f"{client.state.value} {client.reason}".strip(),
        "Interpreter": _interpreter(there),
        "Installed": f"{there.state} {there.facts or ''}".strip(),
        "Graphics drivers": KINDS[installing.found_kind()],
        "Device preference": preferences.get().device,
        **{name.capitalize(): value for name, value in client.hello.items() if name not in UNTOLD},
    }
    finding = installing.last()
    if finding is not None:
        facts["Last installation"] = finding.sentence
    logs = [client.log_path or preferences.log_path(), preferences.backend_folder() / install_folder.LOG]
    return texts.report(facts, [Path(log) for log in logs])


def _interpreter(there: install_folder.Installed) -> str:
    if preferences.get().interpreter.strip():
        return "set in the preferences"
    if there.interpreter is not None:
        return "installed by Clickfield"
    return preferences.found_interpreter() or "none"
