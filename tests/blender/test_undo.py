"""Undo un-teaches: after any sequence of marks, tree edits, undo, redo, mute, save and reload the labels are those that
the document alone gives, bit for bit, against the real backend. ``CLICKFIELD_UNDO_STEPS`` asks for a longer walk."""

import json
import os
import random
import signal

import bpy
from bl_ext.dev.clickfield.blender_addon.document import labels as documents
from real_room import import_room, on_scan, painted, settled, waited

ops = bpy.ops.clickfield
STEPS = int(os.environ.get("CLICKFIELD_UNDO_STEPS", "14"))
PLACES = (
    (-0.4, -0.6, -1.25),  # floor
    (0.2, 1.6, -0.5),  # a wall
    (1.2, 0.6, -0.6),  # a box
    (-1.4, 1.0, -0.2),  # another
    (0.8, -1.0, -0.85),  # the third
    (-2.0, 0.1, 0.3),  # another wall
)


def written():
    """The label document without its number, as text: what the labels may depend on."""
    document = documents.build(bpy.context.scene.clickfield, 0)
    return json.dumps({**document, "revision": 0}, sort_keys=True)


def answered(live):
    """What is on the scan for good; without a mark that teaches there is nothing to settle."""
    marks = bpy.context.scene.clickfield.marks
    return settled(live) if any(mark.sign > 0 and not mark.muted for mark in marks) else painted(live)


class Walk:
    """Random steps of a person, each an undo step as the window makes it."""

    def __init__(self, seed, folder):
        self._random = random.Random(seed)
        self._folder = folder
        self.took = []

    def step(self):
        """One step; ``took`` gets its name."""
        own = bpy.context.scene.clickfield
        steps = [self._mark, self._mark, self._undo, self._undo, self._redo, self._save_and_open]
        if len(own.marks):
            steps += [self._mute, self._delete, self._retype]
        if len(own.labels) > 2:
            steps += [self._merge, self._move]
        chosen = self._random.choice(steps)
        self.took.append(chosen.__name__.strip("_"))
        chosen()

    def _label(self):
        return self._random.choice([label.uid for label in bpy.context.scene.clickfield.labels])

    def _uid(self):
        return self._random.choice([mark.uid for mark in bpy.context.scene.clickfield.marks])

    def _did(self, name):
        bpy.ops.ed.undo_push(message=name)

    def _mark(self):
        sign = self._random.choice((1, 1, 1, -1))
        ops.add_mark(label=self._label(), sign=sign, location=self._random.choice(PLACES))
        self._did("mark")

    def _mute(self):
        ops.mute_marks(uid=self._uid())
        self._did("mute")

    def _delete(self):
        ops.delete_marks(uid=self._uid())
        self._did("delete")

    def _retype(self):
        ops.retype_marks(uid=self._uid(), label=self._label())
        self._did("retype")

    def _merge(self):
        own = bpy.context.scene.clickfield
        first, second = self._random.sample([label.uid for label in own.labels], 2)
        ops.merge_labels(uid=first, into=second, keep="OTHER")
        self._did("merge")

    def _move(self):
        own = bpy.context.scene.clickfield
        first, second = self._random.sample([label.uid for label in own.labels], 2)
        ops.move_label(uid=first, parent=second)
        self._did("move")

    def _undo(self):
        if bpy.ops.ed.undo.poll():
            bpy.ops.ed.undo()

    def _redo(self):
        if bpy.ops.ed.redo.poll():
            bpy.ops.ed.redo()

    def _save_and_open(self):
        path = str(self._folder / "walk.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)


def test_labels_depend_on_the_document_alone(small_room, own, live, tmp_path):
    import_room(small_room, live)
    for name in ("floor", "wall", "box", "chest"):
        ops.add_label(name=name)
    bpy.ops.ed.undo_push(message="labels")
    for number, place in enumerate(PLACES[:3]):
        ops.add_mark(label=1 + number, location=place)
        bpy.ops.ed.undo_push(message="mark")
    opened, known = None, {written(): settled(live)}
    walk, again = Walk(3, tmp_path), 0
    for _ in range(STEPS):
        walk.step()
        if not own.capture_id:  # undone beyond the import
            bpy.ops.ed.redo()
        text = written()
        opened = text if walk.took[-1] == "save_and_open" or opened == text else None
        labels = on_scan() if opened else answered(live)  # an opened file asks nothing until something changes
        again += text in known
        assert known.setdefault(text, labels) == labels, walk.took
    assert again > STEPS // 5, walk.took
    assert len(known) > STEPS // 4, walk.took
    if opened:
        ops.add_mark(label=own.labels[0].uid, location=PLACES[-1])
        known[written()] = settled(live)
    os.kill(live.session().client.hello["pid"], signal.SIGKILL)
    waited(live, lambda: live.session().client.state.value == "Failed")
    ops.restart_backend()
    waited(live, lambda: not live.session().importing)
    assert settled(live) == known[written()]
