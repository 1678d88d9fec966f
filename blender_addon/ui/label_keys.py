"""Keys of the label tree. They work while the pointer is over Clickfield's tab of the 3D viewport's sidebar.

The tab and the viewport share one keymap of Blender's; the operator lets a key pass that is not meant for the tree.
"""

import bpy

# Action of clickfield.label_key, key, modifiers. The mouse means a double-click.
TREE_KEYMAP = (
    ("RENAME", "F2", ()),
    ("ADD_SIBLING", "A", ("shift",)),
    ("ADD_CHILD", "A", ("ctrl", "shift")),
    ("DUPLICATE", "D", ("shift",)),
    ("SPLIT", "Y", ()),
    ("MERGE", "J", ("ctrl",)),
    ("MOVE_TO", "M", ()),
    ("MOVE_UP", "UP_ARROW", ("alt",)),  # Blender's lists keep arrows alone, and with Ctrl or Shift, for themselves
    ("MOVE_DOWN", "DOWN_ARROW", ("alt",)),
    ("MOVE_IN", "RIGHT_ARROW", ("alt",)),
    ("MOVE_OUT", "LEFT_ARROW", ("alt",)),
    ("EXPAND", "NUMPAD_PLUS", ()),
    ("EXPAND", "EQUAL", ()),
    ("COLLAPSE", "NUMPAD_MINUS", ()),
    ("COLLAPSE", "MINUS", ()),
    ("ISOLATE", "SLASH", ()),
    ("RECOLOR", "C", ()),
    ("HIDE", "H", ()),
    ("SELECT", "L", ()),
    ("SELECT", "LEFTMOUSE", ()),
    ("REMOVE", "DEL", ()),
    ("REMOVE", "X", ()),
)
KEYMAP, OPERATOR = "3D View Generic", "clickfield.label_key"
_added = []


def keymap_items():
    """``(keymap, item)`` of every key in the person's own configuration, for the preferences."""
    keymaps = bpy.context.window_manager.keyconfigs.user.keymaps
    found = keymaps.get(KEYMAP)
    return [(found, item) for item in found.keymap_items if item.idname == OPERATOR] if found else []


def register() -> None:
    """Add the keys, which a Blender without a window has no configuration for."""
    config = bpy.context.window_manager.keyconfigs.addon
    if config is None:
        return
    keymap = config.keymaps.new(name=KEYMAP, space_type="VIEW_3D")
    for action, key, modifiers in TREE_KEYMAP:
        repeat = key.endswith("_ARROW")
        value = "DOUBLE_CLICK" if key == "LEFTMOUSE" else "PRESS"
        item = keymap.keymap_items.new(OPERATOR, key, value, repeat=repeat, **dict.fromkeys(modifiers, True))
        item.properties.action = action
        _added.append((keymap, item))


def unregister() -> None:
    """Take them out."""
    while _added:
        keymap, item = _added.pop()
        keymap.keymap_items.remove(item)
