"""Run in a process of its own: installs a zip into the fresh profile, switches it on and off twice, tells what it saw.

Arguments: the zip, the file for the answer (JSON), the operators' idnames (JSON).
"""

import json
import os
import sys
import threading

import bpy  # isort: skip - it makes addon_utils importable
import addon_utils  # isort: skip

zip_path, answer_path, idnames = sys.argv[-3], sys.argv[-2], json.loads(sys.argv[-1])
NAME = "bl_ext.user_default.clickfield"


def state():
    """Everything that an extension may leave behind."""
    handlers = {
        name: sorted(f"{f.__module__}.{f.__qualname__}" for f in getattr(bpy.app.handlers, name))
        for name in dir(bpy.app.handlers)
        if isinstance(getattr(bpy.app.handlers, name), list)
    }
    keymaps = bpy.context.window_manager.keyconfigs.addon.keymaps
    ids = ("Scene", "Object", "WindowManager")
    return {
        "types": sorted(name for name in dir(bpy.types) if "clickfield" in name.lower()),
        "handlers": handlers,
        "keys": sorted(item.idname for map in keymaps for item in map.keymap_items if "clickfield" in item.idname),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "properties": [name for name in ids if hasattr(getattr(bpy.types, name), "clickfield")],
    }


def operators():
    return [name for name in idnames if hasattr(bpy.types, "CLICKFIELD_OT_" + name.split(".")[1])]


before = state()
bpy.ops.extensions.package_install_files(filepath=zip_path, repo="user_default", enable_on_install=False)
steps = [{"enabled": addon_utils.check(NAME)[1]}]
for _turn in range(2):
    module = addon_utils.enable(NAME, default_set=True)
    steps.append(
        {
            "enabled": addon_utils.check(NAME)[1],
            "loaded": module is not None,
            "operators": operators(),
            "properties": state()["properties"],
            "warnings": {key: list(value) for key, value in addon_utils._extensions_warnings_get().items()},
        }
    )
    addon_utils.disable(NAME, default_set=True)
    after = state()
    steps.append(
        {
            "enabled": addon_utils.check(NAME)[1],
            "left": {key: [before[key], after[key]] for key in before if before[key] != after[key]},
            "operators": operators(),
        }
    )
with open(answer_path, "w", encoding="utf-8") as file:
    json.dump(steps, file)
sys.stdout.flush()
os._exit(0)  # bpy 4.5 as a module may hang while it unloads
