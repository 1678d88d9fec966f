"""Enabling, disabling, and that nothing is left behind."""

import os
import threading

import addon_utils
import bpy
import pytest
from bl_ui.space_toolsystem_toolbar import VIEW3D_PT_tools_active

NAME = "bl_ext.dev.clickfield"


def footprint():
    """Everything that an extension can leave in Blender."""
    handlers = {name: getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)}
    return {
        "classes": {name for name in dir(bpy.types) if "clickfield" in name.lower()},
        "operators": {name for name in dir(bpy.ops.clickfield)},
        "properties": {
            (kind, "clickfield" in getattr(bpy.types, kind).bl_rna.properties)
            for kind in ("Scene", "Object", "WindowManager")
        },
        "handlers": {
            (name, getattr(function, "__module__", ""))
            for name, functions in handlers.items()
            if isinstance(functions, list)
            for function in functions
            if "clickfield" in getattr(function, "__module__", "")
        },
        "threads": {thread.name for thread in threading.enumerate() if "clickfield" in thread.name},
        "import menu": [
            f for f in bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize() if "clickfield" in f.__module__
        ],
        "tools": [
            tool.idname
            for tool in VIEW3D_PT_tools_active._tools_flatten(VIEW3D_PT_tools_active._tools["OBJECT"])
            if tool is not None and "clickfield" in tool.idname
        ],
        "keymaps": {
            keymap.name for keymap in bpy.context.window_manager.keyconfigs.default.keymaps if "Label" in keymap.name
        },
    }


def test_disable_leaves_nothing_and_enable_brings_it_back(live):
    before = footprint()
    timer = live._timer
    assert before["classes"] and before["operators"] and before["tools"] == ["clickfield.label_tool"]
    assert before["handlers"] and before["import menu"] and bpy.app.timers.is_registered(timer)
    bpy.ops.clickfield.start_backend()
    session = live.session()
    assert live.wait_until(lambda: session.client.state.value in ("Ready", "Failed"), 60)
    assert session.client.state.value == "Ready", session.client.reason
    addon_utils.disable(NAME, default_set=True)
    after = footprint()
    assert {name: bool(left) for name, left in after.items() if name not in ("properties", "keymaps")} == {
        name: False for name in after if name not in ("properties", "keymaps")
    }
    assert not any(there for _kind, there in after["properties"])
    assert not after["keymaps"]
    assert not bpy.app.timers.is_registered(timer)
    assert session.client.join(0) and session.client.state.value == "Stopped"
    addon_utils.enable(NAME, default_set=True)
    assert footprint() == before
    assert addon_utils._extensions_warnings_get() == {}


def test_two_more_rounds_change_nothing():
    before = footprint()
    for _ in range(2):
        addon_utils.disable(NAME, default_set=True)
        addon_utils.enable(NAME, default_set=True)
    assert footprint() == before


def test_polls_answer_without_a_capture():
    for name in dir(bpy.ops.clickfield):
        assert getattr(bpy.ops.clickfield, name).poll() in (True, False)


def test_backend_is_tested_in_one_sentence():
    preferences = bpy.context.preferences.addons[NAME].preferences
    try:
        preferences.interpreter = os.environ["CLICKFIELD_PYTHON"]
        assert bpy.ops.clickfield.test_backend() == {"FINISHED"}
        preferences.interpreter = "/nowhere/python"
        with pytest.raises(RuntimeError, match="There is no Python at"):
            bpy.ops.clickfield.test_backend()
        with pytest.raises(RuntimeError, match="There is no Python at"):
            bpy.ops.clickfield.start_backend()
    finally:
        preferences.interpreter = ""
