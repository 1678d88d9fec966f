"""Clickfield: turn an RGB-D scan into separate, labelled, usable assets with a few clicks.

This file imports nothing of Blender, so that tests can collect the folder without it.
"""


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import blender_addon, operators

    operators.register()  # first, because the Label tool's keymap reads their properties
    blender_addon.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled; leaves nothing behind."""
    from . import blender_addon, operators

    blender_addon.unregister()
    operators.unregister()
