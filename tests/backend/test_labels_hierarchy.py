"""The tree and the labels: edits read the same marks anew, levels add up, uncertainty at every level."""

from dataclasses import replace

import numpy as np
import pytest

from backend.labels.engine import LabelEngine
from backend.labels.queries import MEASURES
from backend.labels.tree import Label, LabelTree
from tests.backend.label_scenes import boxes_on_floor, mark, superpoints_by_hand

FLOOR, RED, BLUE, BOXES = 1, 2, 3, 4
AT = {FLOOR: (2.1, 0.3), RED: (0.65, 0.7), BLUE: (1.6, 0.95)}


def _tree(**parents):
    """Floor, red and blue under the root unless said otherwise, and a group of boxes."""
    found = {FLOOR: 0, RED: 0, BLUE: 0, BOXES: 0}
    found.update({{"floor": FLOOR, "red": RED, "blue": BLUE, "boxes": BOXES}[name]: to for name, to in parents.items()})
    return LabelTree(Label(uid, str(uid), parent, "class", True, (0.5, 0.5, 0.5)) for uid, parent in found.items())


@pytest.fixture(scope="module")
def scene():
    surface, truth = boxes_on_floor()
    return surface, truth, LabelEngine(surface, superpoints_by_hand(surface, 300))


@pytest.fixture(scope="module")
def marks(scene):
    return [mark(scene[0], uid, uid, *AT[uid]) for uid in (FLOOR, RED, BLUE)]


NESTED = _tree(red=BOXES, blue=BOXES)


def test_moving_labels_under_a_group_keeps_what_is_there(scene, marks):
    _, truth, engine = scene
    for tree in (_tree(), NESTED, _tree(red=BOXES), _tree(red=BOXES, blue=BOXES, floor=BOXES)):
        assert (engine.predict(tree, marks).labels == truth).mean() > 0.95


def test_merging_two_labels_is_the_union_of_their_marks(scene, marks):
    _, truth, engine = scene
    merged = [replace(one, label=RED if one.label == BLUE else one.label) for one in marks]
    labels = engine.predict(_tree(), merged).labels
    assert (labels == np.where(truth == BLUE, RED, truth)).mean() > 0.95


def test_splitting_a_label_needs_marks_only_on_the_new_parts(scene, marks):
    surface, truth, engine = scene
    floor, *_ = marks
    both = [floor, mark(surface, 2, BOXES, *AT[RED]), mark(surface, 3, BOXES, *AT[BLUE])]
    assert (engine.predict(NESTED, both).labels == np.where(truth == FLOOR, FLOOR, BOXES)).mean() > 0.95
    split = [*both, mark(surface, 4, RED, AT[RED][0] + 0.1, AT[RED][1])]
    labels = engine.predict(NESTED, split).labels
    assert (labels[truth == RED] == RED).mean() > 0.8
    assert (engine.predict(NESTED, split).at_level(NESTED, 1) == np.where(truth == FLOOR, FLOOR, BOXES)).mean() > 0.95


def test_children_that_are_told_apart_divide_all_of_a_marked_group(scene, marks):
    surface, truth, engine = scene
    floor, *_ = marks
    group = [floor, mark(surface, 2, BOXES, *AT[RED]), mark(surface, 3, BOXES, *AT[BLUE])]
    parts = [mark(surface, k, uid, AT[uid][0] + 0.1, AT[uid][1]) for k, uid in ((4, RED), (5, BLUE))]
    labels = engine.predict(NESTED, [*group, *parts]).labels
    assert BOXES not in labels
    assert (labels == truth).mean() > 0.95


def test_a_mark_inside_a_group_leaves_the_level_above_as_it_was_for_a_group_already_marked_there(scene, marks):
    surface, _, engine = scene
    before = engine.predict(NESTED, marks)
    after = engine.predict(NESTED, [*marks, mark(surface, 9, RED, *AT[BLUE])])
    floor = before.probability[:, before.uids.tolist().index(FLOOR)]
    floor_after = after.probability[:, after.uids.tolist().index(FLOOR)]
    np.testing.assert_allclose(floor, floor_after, atol=1e-5)  # the superpoint said "box" before and says it now
    assert not np.array_equal(before.labels, after.labels)


def test_levels(scene, marks):
    _, truth, engine = scene
    found = engine.predict(NESTED, marks)
    assert np.array_equal(found.at_level(NESTED, 0), found.labels)
    assert np.array_equal(found.at_level(NESTED, 2), found.labels)
    top = found.at_level(NESTED, 1)
    assert top.dtype == np.uint16
    assert (top == np.where(truth == FLOOR, FLOOR, BOXES)).mean() > 0.95
    uids, probability = found.probability_at(NESTED, 1)
    assert uids.tolist() == [FLOOR, BOXES]
    np.testing.assert_allclose(probability.sum(axis=1), found.probability.sum(axis=1), atol=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_uncertainty_has_a_value_at_every_vertex_and_level(scene, marks, measure):
    _, truth, engine = scene
    found = engine.predict(NESTED, marks)
    for level in (0, 1, 2):
        unsure = found.uncertainty(measure, NESTED, level)
        assert unsure.shape == truth.shape
        assert unsure.dtype == np.float32
        assert 0 <= unsure.min() <= unsure.max() <= 1
    assert (engine.predict(NESTED, []).uncertainty(measure, NESTED) == 1).all()


def test_choosing_among_children_is_no_uncertainty_of_their_parent(scene):
    surface, truth, engine = scene
    marks = [mark(surface, 1, FLOOR, *AT[FLOOR]), mark(surface, 2, RED, 0.5, 0.7), mark(surface, 3, BLUE, 0.8, 0.7)]
    found = engine.predict(NESTED, marks)
    on_box = truth == RED
    below, above = (found.uncertainty("least-confidence", NESTED, level)[on_box].mean() for level in (0, 1))
    assert above < 0.5 * below


def test_effects_name_the_marks_that_matter(scene, marks):
    surface, truth, engine = scene
    again = mark(surface, 4, FLOOR, 2.0, 0.35)
    effects = engine.effects(_tree(), [*marks, again])
    assert set(effects) == {1, 2, 3, 4}
    assert effects[RED] == pytest.approx((truth == RED).mean(), rel=0.3)
    assert effects[4] < 0.02
    assert engine.effects(_tree(), []) == {}
