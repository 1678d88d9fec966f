"""The keys of Clickfield in the preferences, as they are in the person's own configuration: shown, and edited."""

import rna_keymap_ui

from .. import preferences
from . import label_keys, tool


def draw(context, layout):
    """A section for the Label tool and one for the label tree."""
    config = context.window_manager.keyconfigs.user
    if config is None:
        return
    header, body = layout.panel("clickfield_keys", default_closed=True)
    header.label(text="Keys")
    if body is None:
        return
    body.use_property_split = False
    for text, items in (
        ("Label Tool", tool.keymap_items()),
        ("Label Tree, with the pointer over Clickfield's tab of the sidebar", label_keys.keymap_items()),
    ):
        column = body.column()
        column.label(text=text)
        for keymap, item in items:
            column.context_pointer_set("keymap", keymap)
            row = column.split(factor=0.2)
            row.label(text=_what(item))
            rna_keymap_ui.draw_kmi([], config, keymap, item, row.column(), 0)
    body.label(text="While Clickfield asks, 1 to 9 answer, N names a new label, S or Space skips, Esc stops.")


def _what(item):
    """What tells a key from the others of its operator."""
    set_to = item.properties
    if item.idname == label_keys.OPERATOR:
        return set_to.action.replace("_", " ").capitalize()
    if item.idname == "clickfield.choose_recent":
        return f"Label {set_to.number}"
    if item.idname == "clickfield.mark":
        return "This" if set_to.sign > 0 else "Not this"
    if item.idname == "clickfield.view_frame":
        return "Next" if set_to.offset > 0 else "Previous"
    return ""


def register() -> None:
    """Show the section in the preferences."""
    preferences.sections.append(draw)


def unregister() -> None:
    """Take it out."""
    preferences.sections.remove(draw)
