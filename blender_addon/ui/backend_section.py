"""The backend in the preferences: what is installed, the way to it, how it runs, and what to send when it does not."""

import textwrap

from .. import installing, preferences
from ..bridge.states import BridgeError

VERBS = {"absent": "Install Backend", "broken": "Repair", "old": "Update", "ready": "Reinstall"}
ELSEWHERE = "The backend runs on another machine, started by the command in Remote below."
ABOUT = "The backend does the computing outside Blender, in a Python of its own with torch. Install it once."


def draw(context, layout):
    """The box at the top."""
    there = preferences.installed()
    box = layout.box().column()
    row = box.row()
    row.label(text="Backend", icon="SYSTEM")
    work = installing.current()
    if work is not None:
        _progress(box, work)
        return
    if preferences.is_remote():
        _text(box, context, ELSEWHERE, "URL")
        _running(layout, context)
        return
    icon = "CHECKMARK" if there.state == "ready" else "INFO"
    _text(box, context, ABOUT if there.state == "absent" else there.sentence, icon)
    finding = installing.last()
    if finding is not None and not context.window_manager.clickfield.problem:
        _text(box, context, finding.sentence, "BLANK1")
    _offers(box, context, there)
    _running(layout, context)


def _progress(layout, work):
    row = layout.row(align=True)
    row.progress(factor=work.progress.fraction, text=work.progress.text)
    row.operator("clickfield.cancel_install", text="", icon="X")
    layout.label(text="You can go on working; closing Blender keeps what is downloaded.")


def _offers(layout, context, there):
    try:
        needs_network = there.state != "ready" and installing.missing(installing.plan()) > 0
    except BridgeError as error:
        _alert(layout, context, str(error))
        return
    row = layout.row(align=True)
    first = row.row(align=True)
    first.scale_y = 1.3 if there.state != "ready" else 1.0
    first.operator("clickfield.install_backend", text=VERBS[there.state] + "...", icon="IMPORT")
    row = layout.row(align=True)
    row.operator("clickfield.install_from_folder", icon="FILE_FOLDER")
    if there.state != "absent":
        row.operator("clickfield.remove_backend", icon="TRASH")
    if needs_network and not installing.online():
        _text(layout, context, "Blender is not allowed to go online, so nothing can be downloaded.", "INTERNET_OFFLINE")
        layout.operator("screen.userpref_show", text="Open Network Preferences").section = "SYSTEM"


def _running(layout, context):
    window = context.window_manager.clickfield
    column = layout.column()
    row = column.row(align=True)
    row.operator("clickfield.start_backend", icon="PLAY")
    row.operator("clickfield.stop_backend", icon="SNAP_FACE")
    row.operator("clickfield.test_backend", icon="CHECKMARK")
    row = column.row(align=True)
    row.operator("clickfield.copy_diagnostics", icon="COPYDOWN")
    row.operator("clickfield.show_log", icon="TEXT")
    column.label(text=f"Now: {window.state.lower()}" + (f" on {window.device}" if window.device else ""))
    if window.problem:
        _alert(column, context, window.problem)


def _alert(layout, context, text):
    column = layout.column()
    column.alert = True
    _text(column, context, text, "ERROR")


def _text(layout, context, text, icon):
    """A sentence over as many rows as the width needs."""
    width = max(int(context.region.width / (9 * context.preferences.system.ui_scale)) - 6, 30)
    column = layout.column(align=True)
    column.scale_y = 0.9
    for number, line in enumerate(textwrap.wrap(text, width)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")


def register() -> None:
    """Show the section in the preferences."""
    preferences.first_sections.append(draw)


def unregister() -> None:
    """Take it out."""
    preferences.first_sections.remove(draw)
