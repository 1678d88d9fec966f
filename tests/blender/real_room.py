"""The analytic room behind the real backend: waiting for it, and what is painted on the scan."""

import bpy
from bl_ext.dev.clickfield.blender_addon.scene import scan

SECONDS = 120


def waited(live, condition):
    """Run the add-on until a condition holds."""
    assert live.wait_until(condition, SECONDS), bpy.context.window_manager.clickfield.problem


def import_room(folder, live):
    """Import the room of the fixture ``small_room``."""
    bpy.ops.clickfield.import_capture(filepath=str(folder / "transforms.json"))
    waited(live, lambda: not live.session().importing)


def on_scan():
    """The scan's labels and confidence as bytes."""
    found = scan.find_scan(bpy.context.scene, bpy.context.scene.clickfield.capture_id)
    return [values.tobytes() for values in scan.read_labels(found.data)]


def painted(live):
    """The same once the newest document is answered."""
    waited(live, lambda: live.session().up_to_date)
    return on_scan()


def settled(live):
    """The same once the field has settled."""
    state = bpy.context.window_manager.clickfield
    waited(live, lambda: live.session().up_to_date and state.settled)
    return painted(live)
