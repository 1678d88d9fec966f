"""What an artist does when things came out in pieces, with real clicks on objects and on the buttons of the sidebar:
separate, merge two, separate again, give one to another label. A small analytic room, so that it takes seconds."""

import json
import sys
from pathlib import Path

import pytest
from scipy import ndimage

from tests.window.driving import LOOK, button_at, holding, until, wait

sys.path.append(str(Path(__file__).resolve().parents[1]))
import rooms

TREE = [(1, "Room", False), (2, "Box", True), (3, "Crate", True)]  # uid, name, is a thing
THINGS = """
things = [t for t in bpy.context.scene.objects if t.clickfield.role == "OBJECT" and t.clickfield.label > 1]
places = [at_3d(list(t.matrix_world.translation)) for t in things]
result = {t.name: [t.clickfield.label, t.clickfield.instance, max(t.dimensions), at]
          for t, at in zip(things, places)}
"""
TAB = """
from bl_ext.user_default.clickfield.blender_addon.ui import objects_panel
objects_panel.unregister()
for kind in objects_panel.CLASSES:
    kind.bl_category = {tab!r}
objects_panel.register()
area.spaces.active.show_region_ui = True
"""
SHOW_TAB = "next(r for r in area.regions if r.type == 'UI').active_panel_category = {tab!r}; area.tag_redraw()"
NUMBERS = "result = [mark.instance for mark in bpy.context.scene.clickfield.marks]"
SELECTED = "result = sorted(thing.name for thing in bpy.context.selected_objects)"


@pytest.fixture
def sidebar(blender):
    """The Objects panel in a tab of its own, so that all its buttons are to be seen; presses them."""
    yield Sidebar(blender)
    blender.run(TAB.format(tab="Clickfield"))


class Sidebar:
    """Buttons by what they do."""

    def __init__(self, blender):
        self.blender = blender

    def open(self):
        """Show the panel."""
        self.blender.run(TAB.format(tab="Things"))
        self.blender.settle()
        self.blender.run(SHOW_TAB.format(tab="Things"))
        self.blender.settle(6)

    def press(self, name, from_below=False):
        """Click on the button of an operator; it is looked for from the top of the sidebar down, or the other way."""
        left, bottom, width, height = self.blender.run(
            "r = next(r for r in area.regions if r.type == 'UI'); result = [r.x, r.y, r.width, r.height]"
        )
        top = self.blender.run("result = bpy.context.window.height") - bottom - height
        places = range(top + 40, top + height, 16)
        for y in reversed(places) if from_below else places:
            if button_at(self.blender, left + width // 2, y).startswith(f"bpy.ops.clickfield.{name}("):
                self.blender.click(left + width // 2, y)
                return
        raise AssertionError(f"there is no button {name}")


def test_pieces_become_one_thing_by_clicks(blender, sidebar, shots):
    import_room(blender)
    sidebar.open()
    sidebar.press("separate")
    wait(blender, "objects>3, !busy, !waiting")
    look_from_above(blender)
    pieces = blender.run(THINGS)
    assert sorted(piece[:2] for piece in pieces.values()) == [[2, 1], [2, 2], [2, 3]]
    (one, other), third = sorted(pieces, key=lambda name: pieces[name][1])[:2], sorted(pieces)[-1]
    blender.click(*pieces[one][3])
    until(blender, SELECTED, lambda names: names == [one])
    with holding(blender, "Shift_L"):
        blender.click(*pieces[other][3])
    until(blender, SELECTED, lambda names: names == sorted([one, other]))
    sidebar.press("merge_instances", from_below=True)
    until(
        blender, "result = [m.instance for m in bpy.context.scene.clickfield.marks][-2:]", lambda last: last == [1, 1]
    )
    blender.shot(shots / "7 merged.png")
    sidebar.press("separate")
    merged = until(blender, THINGS, lambda things: len(things) == 2)
    wait(blender, "!busy, !waiting")
    assert merged[one][2] > 1.5 > pieces[one][2] and sorted(thing[1] for thing in merged.values()) == [1, 3]

    blender.click(*merged[third][3])
    until(blender, SELECTED, lambda names: names == [third])
    sidebar.press("assign_objects", from_below=True)
    blender.settle(4)
    blender.type("Crate")
    blender.key("Return")
    assert until(blender, THINGS, lambda things: things[third][0] == 3)[one][0] == 2
    blender.shot(shots / "8 assigned.png")


def import_room(blender):
    """A labelled room with three boxes."""
    folder = Path(blender.home) / "room"
    taken = rooms.write_transforms(folder, n_frames=8)
    tree = [{"uid": uid, "name": name, "parent": 0, "kind": "class", "thing": thing} for uid, name, thing in TREE]
    marks = []
    for surface in range(1, 10):
        depths = {shot.name: ndimage.distance_transform_cdt(shot.labels == surface) for shot in taken}
        name = max(depths, key=lambda one: depths[one].max())
        v, u = divmod(int(depths[name].argmax()), depths[name].shape[1])
        marks.append({"label": 1 if surface < 7 else 2, "sign": 1, "frame": name, "u": u, "v": v})
    document = folder / "labels.json"
    document.write_text(json.dumps({"tree": tree, "marks": marks}), encoding="utf-8")
    blender.run("bpy.ops.wm.read_homefile()\nbpy.data.objects.remove(bpy.data.objects['Cube'])")
    blender.run(f"bpy.ops.clickfield.import_capture(filepath={str(folder / 'transforms.json')!r})")
    wait(blender, "vertices>100, !importing")
    blender.run(f"bpy.ops.clickfield.load_labels(filepath={str(document)!r})")
    wait(blender, "up_to_date")
    blender.run("bpy.context.scene.clickfield.separation.close = False")


def look_from_above(blender):
    """Through the ceiling, which is hidden with the walls."""
    blender.run(
        "for thing in bpy.context.scene.objects:\n"
        "    if thing.clickfield.role == 'OBJECT' and thing.clickfield.label == 1: thing.hide_set(True)\n"
        + LOOK.format(eye=[0, -2.5, 4.5], point=[-0.3, 0, -1])
        + "space.show_region_ui = True"
    )
    blender.settle(4)
