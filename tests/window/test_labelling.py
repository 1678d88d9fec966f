"""Labelling as a native tool: strokes, negative clicks, number keys, a keyframe's picture, Ask Me, the tree by keys,
saving and reopening, with real mouse and key events. What is asserted are labels and marks, never pixels."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.window.driving import (
    LOOK,
    STATE,
    Truth,
    click_on,
    holding,
    labels_at,
    property_at,
    show_everything,
    until,
    wait,
)

MARKS = """
own = bpy.context.scene.clickfield
result = [[m.uid, m.label, m.sign, m.frame, m.u, m.v, [list(p.co) for p in m.points], m.muted] for m in own.marks]
"""
TREE = """
own = bpy.context.scene.clickfield
result = {"names": [l.name for l in own.labels], "parents": [l.parent for l in own.labels],
          "uids": [l.uid for l in own.labels], "active": own.labels[own.active_label].uid}
"""
ASKING = """
from bl_ext.user_default.clickfield.blender_addon import live
asking = live.session().asking
question = asking.question
result = {"active": asking.active, "typed": asking.typed, "answers": asking.answers,
          "question": [question.frame, question.u, question.v, [c[0] for c in question.choices]] if question else None}
"""


@pytest.fixture(scope="module")
def truth():
    return Truth()


def look_at(blender, truth, mark):
    """Look at a ground-truth pixel from where its frame was taken; the pixel on the screen and the point."""
    point, eye = truth.point(mark["frame"], mark["u"], mark["v"]), truth.poses[mark["frame"]][:3, 3].tolist()
    pixel = blender.run(LOOK.format(eye=eye, point=point) + f"result = at_3d({point})\n")
    blender.settle()
    return pixel, point


def test_labelling_with_mouse_and_keys(blender, truth, shots):
    uid_of = {name: uid for uid, name in truth.names.items()}
    by_name = {truth.names[mark["label"]]: mark for mark in truth.marks}
    open_sample(blender, truth)

    # a stroke is one mark of many points on the surface; Ctrl-Z and Ctrl-Shift-Z take it back and forth
    rug = by_name["Rug"]
    click_on(blender, truth, by_name["Sofa"], uid_of["Sofa"])
    blender.run(f"bpy.ops.clickfield.choose_label(uid={uid_of['Rug']})")
    (x, y), _ = look_at(blender, truth, rug)
    before = wait(blender, "up_to_date, settled")["marks"]
    _, digest = labels_at(blender, [])
    blender.drag(x - 40, y - 5, x + 40, y + 5, steps=12)
    stroke = until(blender, MARKS, lambda marks: len(marks) == before + 1)[-1]
    assert stroke[1:3] == [uid_of["Rug"], 1] and len(stroke[6]) >= 4
    begun = blender.run(f"result = at_3d({stroke[6][0]})")
    assert np.hypot(begun[0] - (x - 40), begun[1] - (y - 5)) < 4  # where the button went down, however late it was read
    gaps = np.linalg.norm(np.diff(np.array(stroke[6]), axis=0), axis=1)
    assert gaps.max() < 4 * np.median(gaps)
    wait(blender, "up_to_date, settled")
    _, stroked = labels_at(blender, [])
    assert stroked != digest
    blender.key("ctrl+z")
    until(blender, MARKS, lambda marks: len(marks) == before)
    wait(blender, "up_to_date, settled")
    assert labels_at(blender, [])[1] == digest
    blender.key("ctrl+shift+z")
    until(blender, MARKS, lambda marks: len(marks) == before + 1)
    wait(blender, "up_to_date, settled")
    assert labels_at(blender, [])[1] == stroked

    # Ctrl-click: not this
    with holding(blender, "Control_L"):
        click_at(blender, truth, by_name["Chair"])
    negative = until(blender, MARKS, lambda marks: len(marks) == before + 2)[-1]
    assert negative[1:3] == [uid_of["Rug"], -1]
    wait(blender, "up_to_date")
    assert labels_at(blender, [truth.point(*place(by_name["Chair"]))])[0][0] != uid_of["Rug"]

    # Shift-click takes the label under the pointer, a number key one of the labels used last
    with holding(blender, "Shift_L"):
        click_at(blender, truth, by_name["Sofa"])
    assert until(blender, TREE, lambda tree: tree["active"] == uid_of["Sofa"])
    used = [int(uid) for uid in blender.run("result = bpy.context.scene.clickfield.recent").split(",")]
    blender.key(str(1 + used.index(uid_of["Rug"])))
    until(blender, TREE, lambda tree: tree["active"] == uid_of["Rug"])

    # Alt-click on a mark takes it back
    with holding(blender, "Alt_L"):
        click_at(blender, truth, by_name["Chair"])
    until(blender, MARKS, lambda marks: len(marks) == before + 1)

    through_a_camera(blender, truth, shots, by_name["Plant"], uid_of["Plant"])
    answer_questions(blender, shots)
    change_the_tree(blender, uid_of)
    change_the_tree_by_mouse(blender)
    save_and_reopen(blender, shots)


def place(mark):
    return mark["frame"], mark["u"], mark["v"]


def click_at(blender, truth, mark):
    pixel, _ = look_at(blender, truth, mark)
    blender.click(*pixel)


def open_sample(blender, truth):
    if not blender.run("result = bpy.context.scene.clickfield.capture_id"):
        assert blender.run("result = list(bpy.ops.clickfield.import_sample())") == ["FINISHED"]
    wait(blender, "vertices>20000, !importing")
    document = Path(blender.home) / "tree.json"
    document.write_text(json.dumps({"tree": truth.tree, "marks": []}), encoding="utf-8")
    blender.run(
        f"bpy.ops.clickfield.load_labels(filepath={str(document)!r})\n"
        "scan = next(t for t in bpy.context.scene.objects if t.clickfield.role == 'SCAN')\n"
        "scan.hide_viewport = False; scan.hide_set(False)\n"
        "for thing in list(bpy.context.scene.objects):\n"
        "    if thing.clickfield.role == 'OBJECT':\n"
        "        bpy.data.objects.remove(thing)\n"
        "bpy.ops.wm.tool_set_by_id(name='clickfield.label_tool')"
    )


def through_a_camera(blender, truth, shots, mark, uid):
    """Looking through a keyframe, a click stores the picture's pixel; Page Down goes to the next keyframe."""
    before = len(blender.run(MARKS))
    blender.run(f"bpy.ops.clickfield.choose_label(uid={uid})\nbpy.ops.clickfield.view_frame(frame={mark['frame']!r})")
    blender.settle()
    point = truth.point(*place(mark))
    pixel = blender.run(f"result = at_3d({point})")
    blender.click(*pixel)
    made = until(blender, MARKS, lambda marks: len(marks) == before + 1)[-1]
    assert made[1:4] == [uid, 1, mark["frame"]] and made[6] == []
    assert abs(made[4] - mark["u"]) < 2 and abs(made[5] - mark["v"]) < 2
    wait(blender, "up_to_date, settled")
    assert labels_at(blender, [point])[0][0] == uid
    blender.settle(6)
    blender.shot(shots / "4 through a keyframe.png")
    frame = "result = bpy.context.scene.camera.clickfield.frame"
    blender.key("Next")
    assert until(blender, frame, lambda name: name != mark["frame"]) > mark["frame"]
    blender.key("Prior")
    until(blender, frame, lambda name: name == mark["frame"])


def answer_questions(blender, shots):
    """Ask Me with keys alone: a number answers, S skips, N and a name make a label, Esc stops."""
    before = len(blender.run(MARKS))
    blender.run("bpy.ops.clickfield.ask_me('INVOKE_DEFAULT')")
    first = until(blender, ASKING, lambda asked: asked["question"])["question"]
    blender.settle(6)
    blender.shot(shots / "5 ask me.png")
    blender.key("1")
    answered = until(blender, MARKS, lambda marks: len(marks) == before + 1)[-1]
    assert answered[1] == first[3][0] and answered[3] == first[0]
    second = until(blender, ASKING, lambda asked: asked["question"] and asked["question"] != first)["question"]
    blender.key("s")
    third = until(blender, ASKING, lambda asked: asked["question"] and asked["question"] != second)["question"]
    assert len(blender.run(MARKS)) == before + 1
    blender.key("n")
    until(blender, ASKING, lambda asked: asked["typed"] is not None)
    blender.type("radiator")
    until(blender, ASKING, lambda asked: asked["typed"] == "radiator")
    blender.key("Return")
    named = until(blender, MARKS, lambda marks: len(marks) == before + 2)[-1]
    tree = blender.run(TREE)
    assert named[1] == tree["uids"][tree["names"].index("radiator")] and named[3] == third[0]
    blender.key("Escape")
    until(blender, ASKING, lambda asked: not asked["active"])
    wait(blender, "up_to_date, settled")


def change_the_tree(blender, uid_of):
    """Over the sidebar keys act on the chosen label; marks stay with their labels and Ctrl-Z takes edits back."""
    blender.run(f"bpy.ops.clickfield.choose_label(uid={uid_of['Chair']})")
    show_everything(blender)
    blender.settle()
    side = blender.run(
        "r = next(r for r in area.regions if r.type == 'UI'); result = [r.x + r.width // 2, r.y + r.height // 2]"
    )
    height = blender.run("result = bpy.context.window.height")
    blender.move(side[0], height - side[1])
    blender.settle()
    marks, tree = blender.run(MARKS), blender.run(TREE)
    blender.key("shift+d")
    longer = until(blender, TREE, lambda now: len(now["names"]) == len(tree["names"]) + 1)
    assert longer["active"] not in tree["uids"] and blender.run(MARKS) == marks
    blender.key("alt+Up")
    until(blender, TREE, lambda now: now["uids"] != longer["uids"])
    blender.key("ctrl+z")
    blender.key("ctrl+z")
    assert until(blender, TREE, lambda now: now["names"] == tree["names"])["uids"] == tree["uids"]
    wait(blender, "up_to_date, settled")


def change_the_tree_by_mouse(blender):
    """A click on a row chooses its label, one on its eye hides and shows it."""
    rows = "result = [[l.uid, l.visible, l.expanded] for l in bpy.context.scene.clickfield.labels]"
    area = "r = next(r for r in area.regions if r.type == 'UI'); result = [r.x, r.y, r.width, r.height]"
    left, bottom, width, height = blender.run(area)
    top = blender.run("result = bpy.context.window.height") - bottom - height
    middle, right = left + width // 2, left + width
    first = next(y for y in range(top + 20, top + height, 16) if property_at(blender, middle, y).endswith(".label_row"))
    first += 20  # well inside of the list
    eye = next(x for x in range(right - 8, middle, -8) if property_at(blender, x, first).endswith(".visible"))
    found = [(y, property_at(blender, eye, y)) for y in (first, first + 22)]
    index = [int(path.rsplit("labels[", 1)[1].split("]")[0]) for _, path in found]
    assert index[1] > index[0]  # the rows of the list, from top to bottom
    y, row, before = first + 22, index[1], blender.run(rows)
    blender.click(middle, y)
    assert until(blender, TREE, lambda tree: tree["active"] == before[row][0])
    blender.click(eye, y)
    until(blender, rows, lambda now: now[row][1] != before[row][1])
    blender.click(eye, y)
    until(blender, rows, lambda now: now == before)


def save_and_reopen(blender, shots):
    """The file keeps labels, marks and what is painted; the backend says the same after reopening."""
    marks, tree = blender.run(MARKS), blender.run(TREE)
    _, digest = labels_at(blender, [])
    path = str(Path(blender.home) / "labelled.blend")
    blender.run(f"bpy.ops.wm.save_as_mainfile(filepath={path!r})")
    blender.run("bpy.ops.wm.read_homefile(use_empty=False)")
    blender.run(f"bpy.ops.wm.open_mainfile(filepath={path!r}, load_ui=False)")
    until(blender, STATE, lambda state: state["vertices"] > 0)
    assert blender.run(MARKS) == marks and blender.run(TREE)["uids"] == tree["uids"]
    assert labels_at(blender, [])[1] == digest
    blender.run("bpy.ops.clickfield.remove_mark('EXEC_DEFAULT', True, uid=0)")
    wait(blender, "up_to_date, settled")
    assert labels_at(blender, [])[1] != digest
    blender.move(420, 420)  # keys go to what is under the pointer
    blender.key("ctrl+z")
    until(blender, MARKS, lambda now: now == marks)
    wait(blender, "up_to_date, settled")
    assert blender.run(MARKS) == marks
    assert labels_at(blender, [])[1] == digest
    blender.shot(shots / "6 reopened.png")
