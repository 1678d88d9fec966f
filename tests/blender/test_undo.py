"""Undo un-teaches: after any sequence of marks, strokes, tree edits, undo, redo, mute, save and reload the labels are
those that the document alone gives, bit for bit, against the real backend.

``CLICKFIELD_UNDO_STEPS`` asks for longer sequences, ``CLICKFIELD_UNDO_RUNS`` for more of them. A sequence that breaks
the rule is made as short as possible before it is shown.
"""

import json
import os
import signal

import bpy
from bl_ext.dev.clickfield.blender_addon.document import labels as documents
from bl_ext.dev.clickfield.blender_addon.scene.scan import find_scan
from bl_ext.dev.clickfield.operators.mark import give_mark, world_from_blender
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from mathutils import Vector
from real_room import import_room, on_scan, painted, settled, waited

ops = bpy.ops.clickfield
STEPS = int(os.environ.get("CLICKFIELD_UNDO_STEPS", "8"))
RUNS = int(os.environ.get("CLICKFIELD_UNDO_RUNS", "1"))
PLACES = (
    (-0.4, -0.6, -1.25),  # floor
    (0.2, 1.6, -0.5),  # a wall
    (1.2, 0.6, -0.6),  # a box
    (-1.4, 1.0, -0.2),  # another
    (0.8, -1.0, -0.85),  # the third
    (-2.0, 0.1, 0.3),  # another wall
)
some = st.integers(0, 1 << 16)  # one of what there is, whatever its number


def own():
    """The scene's properties, which undo exchanges."""
    return bpy.context.scene.clickfield


def written():
    """The label document without its number, as text: what the labels may depend on."""
    return json.dumps({**documents.build(own(), 0), "revision": 0}, sort_keys=True)


def any_marks(person):
    """For preconditions."""
    return len(own().marks) > 0


def some_labels(person):
    """For preconditions."""
    return len(own().labels) > 2


class Person(RuleBasedStateMachine):
    """What a person does to a labelled file, each an undo step as the window makes it."""

    live = folder = None  # set by the test
    known = {}  # labels by document, over all sequences
    seen = {"steps": 0, "again": 0}

    def __init__(self):
        super().__init__()
        self.opened = None  # the document of a file that was just opened
        bpy.ops.wm.open_mainfile(filepath=str(self.folder / "base.blend"))
        bpy.ops.ed.undo_push(message="opened")

    def did(self, name):
        self.opened = None
        bpy.ops.ed.undo_push(message=name)

    def label(self, number):
        return own().labels[number % len(own().labels)].uid

    def two_labels(self, first, second):
        uids = [label.uid for label in own().labels]
        first, second = first % len(uids), second % (len(uids) - 1)
        return uids[first], [uid for index, uid in enumerate(uids) if index != first][second]

    def uid(self, number):
        return own().marks[number % len(own().marks)].uid

    @rule(label=some, sign=st.sampled_from((1, 1, 1, -1)), place=st.sampled_from(PLACES))
    def mark(self, label, sign, place):
        ops.add_mark(label=self.label(label), sign=sign, location=place)
        self.did("mark")

    @rule(label=some, x=st.floats(-1, 0), y=st.floats(-1.2, 0))
    def stroke(self, label, x, y):
        scene, uid = bpy.context.scene, self.label(label)
        place = world_from_blender(scene, find_scan(scene, own().capture_id))
        points = [place @ Vector((x + 0.04 * number, y, -1.25)) for number in range(12)]
        give_mark(scene, next(one for one in own().labels if one.uid == uid), 1, points=points)
        self.did("stroke")

    @precondition(any_marks)
    @rule(mark=some)
    def mute(self, mark):
        ops.mute_marks(uid=self.uid(mark))
        self.did("mute")

    @precondition(any_marks)
    @rule(mark=some)
    def delete(self, mark):
        ops.delete_marks(uid=self.uid(mark))
        self.did("delete")

    @precondition(any_marks)
    @rule(mark=some, label=some)
    def retype(self, mark, label):
        ops.retype_marks(uid=self.uid(mark), label=self.label(label))
        self.did("retype")

    @precondition(some_labels)
    @rule(first=some, second=some)
    def merge(self, first, second):
        first, second = self.two_labels(first, second)
        ops.merge_labels(uid=first, into=second, keep="OTHER")
        self.did("merge")

    @precondition(some_labels)
    @rule(first=some, second=some)
    def move(self, first, second):
        first, second = self.two_labels(first, second)
        ops.move_label(uid=first, parent=second)
        self.did("move")

    @rule(times=st.integers(1, 3))
    def undo(self, times):
        for _ in range(times):
            if bpy.ops.ed.undo.poll():
                bpy.ops.ed.undo()
        if not own().capture_id:  # undone beyond the file's opening
            bpy.ops.ed.redo()
        self.opened = None

    @rule(times=st.integers(1, 3))
    def redo(self, times):
        for _ in range(times):
            if bpy.ops.ed.redo.poll():
                bpy.ops.ed.redo()
        self.opened = None

    @rule()
    def save_and_open(self):
        path = str(self.folder / "walk.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
        self.opened = written()

    @invariant()
    def labels_depend_on_the_document_alone(self):
        text = written()
        labels = on_scan() if self.opened == text else answered(self.live)  # an opened file asks nothing by itself
        self.seen["steps"] += 1
        self.seen["again"] += text in self.known
        assert self.known.setdefault(text, labels) == labels


def answered(live):
    """What is on the scan for good; without a mark that teaches there is nothing to settle."""
    teaches = any(mark.sign > 0 and not mark.muted for mark in own().marks)
    return settled(live) if teaches else painted(live)


def test_labels_depend_on_the_document_alone(small_room, live, tmp_path):
    import_room(small_room, live)
    for name in ("floor", "wall", "box", "chest"):
        ops.add_label(name=name)
    for number, place in enumerate(PLACES[:3]):
        ops.add_mark(label=1 + number, location=place)
    bpy.ops.ed.undo_push(message="labels")
    Person.live, Person.folder = live, tmp_path
    Person.known[written()] = settled(live)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "base.blend"))
    told = settings(
        max_examples=1 + RUNS,  # the first one is always the simplest
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Person, settings=told)
    assert Person.seen["again"] > 1 and len(Person.known) > STEPS // 4, Person.seen

    text = written()
    os.kill(live.session().client.hello["pid"], signal.SIGKILL)
    waited(live, lambda: live.session().client.state.value == "Failed")
    ops.restart_backend()
    waited(live, lambda: live.session().client.state.value in ("Ready", "Busy") and not live.session().importing)
    assert answered(live) == Person.known[text]
