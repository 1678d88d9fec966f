"""Installing the backend from inside Blender: what is shown, what is refused, what happens, what is left."""

import json
import os
import sys
import time
from pathlib import Path

import bpy
import pytest
from fakes.package_index import wheel

NAME = "bl_ext.dev.clickfield"
DOCTOR = 'import json; print(json.dumps({"ok": True, "sentence": "All is there.", "python": "3.11"}))\n'


def part(name):
    return sys.modules[f"{NAME}.blender_addon.{name}"]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A lock of two tiny wheels, a folder for the environment, and an extension root whose doctor is content."""
    preferences, installing = part("preferences"), part("installing")
    wheels, root = tmp_path / "wheels", tmp_path / "root"
    wheels.mkdir()
    (root / "backend").mkdir(parents=True)
    (root / "backend" / "__init__.py").touch()
    (root / "backend" / "__main__.py").write_text(DOCTOR)
    build = {"label": "processor", "torch": "1.0", "backend": "", "about": 0, "alone": True}
    facts = {
        "longest_path": 100,
        "builds": {f"{installing.machine().system}/cpu": build},
        "packages": [wheel(wheels, "torch"), wheel(wheels, "numpy")],
    }
    (root / "assets").mkdir()
    (root / "assets" / "backend.lock").write_text(json.dumps(facts))
    preferences.lock.cache_clear()
    monkeypatch.setattr(preferences, "ROOT", root)
    # uv is beside the Python of the tests; without it pip would do, at length.
    monkeypatch.setenv("PATH", str(Path(os.environ["CLICKFIELD_PYTHON"]).parent), prepend=os.pathsep)
    monkeypatch.delenv("CLICKFIELD_PYTHON")
    own = preferences.get()
    own.folder = str(tmp_path / "ünï x" / "env")
    yield wheels
    own.folder = ""
    preferences.lock.cache_clear()


def finish():
    installing = part("installing")
    until = time.monotonic() + 60
    while installing.tick():
        assert time.monotonic() < until
        time.sleep(0.02)  # the interval of the timer
    return installing.last()


def test_from_nothing_over_a_folder_to_ready_and_gone(small):
    preferences = part("preferences")
    assert preferences.installed().state == "absent" and not preferences.found_interpreter()
    with pytest.raises(RuntimeError, match="press Install Backend in the preferences"):
        bpy.ops.clickfield.start_backend()
    assert not bpy.ops.clickfield.remove_backend.poll()
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match="Blender is not allowed to go online"):
        bpy.ops.clickfield.install_backend()
    assert bpy.ops.clickfield.install_from_folder(directory=str(small)) == {"FINISHED"}
    assert not bpy.ops.clickfield.install_backend.poll()
    finding = finish()
    assert finding.ok and finding.sentence == "All is there."
    there = preferences.installed()
    assert there.state == "ready" and there.sentence == "Installed: torch 1.0 for the processor"
    assert preferences.interpreter() == there.interpreter.absolute()
    assert "ünï x" in str(there.interpreter)
    assert bpy.ops.clickfield.install_backend() == {"FINISHED"}  # all wheels are kept: no network is needed
    bpy.ops.clickfield.cancel_install()
    assert "was cancelled" in finish().sentence
    assert bpy.ops.clickfield.remove_backend() == {"FINISHED"}
    assert finish().sentence == "The backend was removed."
    assert preferences.installed().state == "absent" and not preferences.backend_folder().exists()


def test_cancel_and_damage_are_told_and_nothing_half_is_used(small):
    preferences = part("preferences")
    bpy.ops.clickfield.install_from_folder(directory=str(small))
    bpy.ops.clickfield.cancel_install()
    assert "was cancelled" in finish().sentence and not bpy.ops.clickfield.cancel_install.poll()
    assert preferences.installed().state in ("absent", "broken") and not preferences.found_interpreter()
    file = next(small.glob("numpy*"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    for kept in (preferences.backend_folder() / "wheels").glob("numpy*"):
        kept.unlink()
    bpy.ops.clickfield.install_from_folder(directory=str(small))
    assert finish().sentence == f"{file.name} in {small} is damaged or another file; copy it again."
    assert not preferences.found_interpreter()
    assert bpy.context.window_manager.clickfield.problem == part("installing").last().sentence


def test_diagnostics_hold_versions_and_logs_and_nothing_personal(live):
    preferences = part("preferences")
    log = preferences.log_path()
    log.parent.mkdir(parents=True, exist_ok=True)
    scan = Path.home() / "Client Ä" / "secret room" / "scan.ply"
    raised = f'  File "{preferences.ROOT}/backend/service.py", line 7'
    log.write_text(f"started\n{raised}\n{scan} is gone\n/mnt/secret/room 2: no such folder\n", "utf-8")
    assert bpy.ops.clickfield.copy_diagnostics() == {"FINISHED"}
    text = sys.modules[f"{NAME}.blender_addon.reporting"].diagnostics()
    assert "Clickfield: 0." in text and f"Blender: {bpy.app.version_string}" in text
    assert "started" in text and '"…/backend/service.py", line 7' in text and "<path>.ply is gone" in text
    for personal in ("secret", "Client", "Ä", str(Path.home()) + "/", str(preferences.ROOT)):
        assert personal not in text, text
