"""Ask Me against the real backend, answered by the operators that the keys call."""

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import cameras
from real_room import import_room, waited

ops = bpy.ops.clickfield


@pytest.fixture
def asking(small_room, own, live):
    """The room with two marks; its `Asking`."""
    import_room(small_room, live)
    for name in ("floor", "wall"):
        ops.add_label(name=name)
    ops.add_mark(label=1, location=(-0.4, -0.6, -1.25))
    ops.add_mark(label=2, location=(0.2, 1.6, -0.5))
    yield live.session().asking
    live.session().asking.stop()


def asked(live, asking, before=None):
    """The question, once another one than ``before`` is there."""
    waited(live, lambda: asking.question is not None and asking.question is not before)
    return asking.question


def test_answers_are_ordinary_marks_on_the_asked_pixel(asking, live, own):
    assert not ops.answer_question.poll()
    ops.ask_me()
    assert asking.active and not ops.ask_me.poll()
    first = asked(live, asking)
    assert {uid for uid, _ in first.choices} == {1, 2}
    assert first.frame in {c.clickfield.frame for c in cameras.capture_cameras(bpy.context.scene, own.capture_id)}
    ops.answer_question(label=2)
    mark = own.marks[-1]
    assert (mark.label, mark.sign, mark.frame, mark.u, mark.v) == (2, 1, first.frame, first.u, first.v)
    second = asked(live, asking, first)
    assert asking.answers == 1
    place = live.session().findings.mark_points[mark.uid]
    assert np.linalg.norm(np.subtract(place, first.point)) < 0.05
    assert np.linalg.norm(np.subtract(second.point, first.point)) > 0.09
    with pytest.raises(RuntimeError, match="no label with the id 9"):
        ops.answer_question(label=9)
    assert asking.question is second


def test_skipped_places_are_not_asked_again_in_this_session(asking, live, own):
    ops.ask_me()
    skipped, question = [], None
    for _ in range(6):
        question = asked(live, asking, question)
        assert all(np.linalg.norm(np.subtract(question.point, point)) > 0.09 for point in skipped)
        skipped.append(question.point)
        ops.skip_question()
    assert len(own.marks) == 2 and asking.answers == 0
    ops.stop_asking()
    assert not asking.active and asking.question is None and not ops.skip_question.poll()
    ops.ask_me()
    again = asked(live, asking)
    assert all(np.linalg.norm(np.subtract(again.point, point)) > 0.09 for point in skipped)


def test_new_label_by_name(asking, live, own):
    ops.ask_me()
    first = asked(live, asking)
    ops.name_answer(name=" sofa ")
    assert [label.name for label in own.labels] == ["floor", "wall", "sofa"]
    assert own.marks[-1].label == 3
    second = asked(live, asking, first)
    ops.name_answer(name="SOFA")
    assert len(own.labels) == 3 and own.marks[-1].label == 3
    asked(live, asking, second)
    with pytest.raises(RuntimeError, match="needs a name"):
        ops.name_answer(name=" ")


def test_undo_asks_the_same_question_again(asking, live, own):
    bpy.ops.ed.undo_push(message="two marks")
    ops.ask_me()
    first = asked(live, asking)
    ops.answer_question(label=1)
    bpy.ops.ed.undo_push(message="answer")
    second = asked(live, asking, first)
    bpy.ops.ed.undo()
    assert len(own.marks) == 2 and asking.active and asking.question == first and asking.answers == 0
    bpy.ops.ed.redo()
    assert len(own.marks) == 3 and asking.answers == 1
    assert asked(live, asking, first).point != first.point
    bpy.ops.ed.undo()
    ops.answer_question(label=2)
    assert own.marks[-1].label == 2 and own.marks[-1].frame == first.frame
    assert asked(live, asking, first) is not second


def test_another_file_ends_it(asking, live):
    ops.ask_me()
    asked(live, asking)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert not live.session().asking.active


def test_stopped_backend_ends_it(asking, live):
    ops.ask_me()
    asked(live, asking)
    ops.stop_backend()
    assert not asking.active
    waited(live, lambda: live.session().client.state.value == "Stopped")


def test_answer_that_comes_too_late_is_for_nobody(asking, live):
    ops.ask_me()
    ops.stop_asking()
    waited(live, lambda: not live.session().waiting)
    live.pump()
    assert not asking.active and asking.question is None


def test_it_asks_before_there_is_any_label(small_room, live, own):
    import_room(small_room, live)
    asking = live.session().asking
    ops.ask_me()
    question = asked(live, asking)
    assert question.choices == ()
    ops.name_answer(name="thing")
    assert len(own.labels) == 1 and own.marks[0].label == 1
    assert asked(live, asking, question).choices[0][0] == 1
    ops.stop_asking()


def test_without_a_capture_there_is_nothing_to_ask(own):
    assert not ops.ask_me.poll()
