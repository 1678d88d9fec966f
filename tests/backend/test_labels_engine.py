"""The label engine on small scenes with known answers."""

import numpy as np
import pytest

from backend.labels.engine import LabelEngine
from backend.labels.placement import PlacedMark
from backend.labels.tree import Label, LabelTree
from backend.surface.surface import Surface
from tests.backend.label_scenes import boxes_on_floor, flat_tree, inside, mark, superpoints_by_hand

FLOOR, RED, BLUE = 1, 2, 3
AT = {FLOOR: (2.1, 0.3), RED: (0.65, 0.7), BLUE: (1.6, 0.95)}


class Scene:
    def __init__(self, surface, truth):
        self.surface, self.truth = surface, truth
        self.superpoints = superpoints_by_hand(surface, 300)
        self.engine = LabelEngine(surface, self.superpoints)

    def mark(self, uid, label, at=None, sign=1):
        return mark(self.surface, uid, label, *(at or AT[label]), sign=sign)

    def three(self):
        return [self.mark(uid, uid) for uid in (FLOOR, RED, BLUE)]

    def where(self, uid):
        return self.truth == uid


@pytest.fixture(scope="module")
def scene():
    return Scene(*boxes_on_floor())


@pytest.fixture(scope="module")
def touching():
    """Two boxes side by side of one colour and one height, and the floor."""
    boxes = {2: (0.5, 1.0, 0.5, 1.1), 3: (1.0, 1.5, 0.5, 1.1)}
    return Scene(*boxes_on_floor(colors=((90, 80, 70), (150, 140, 60), (150, 140, 60)), boxes=boxes))


def test_three_marks_label_floor_and_two_boxes(scene):
    found = scene.engine.predict(flat_tree(3), scene.three())
    assert (found.labels == scene.truth).mean() > 0.95
    assert found.uids.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found.probability.sum(axis=1), 1, atol=1e-4)
    assert found.unsettled < 0.2
    assert found.share()[RED] == pytest.approx(scene.where(RED).mean(), rel=0.2)


def test_no_marks_no_labels(scene):
    found = scene.engine.predict(flat_tree(3), [])
    assert not found.labels.any()
    assert not found.confidence.any()
    assert found.uids.size == 0
    assert found.share() == {}
    assert found.unsettled == 1.0


def test_marks_that_could_not_be_placed_change_nothing(scene):
    lost = PlacedMark(9, BLUE, 1, np.zeros(0, np.int64), np.zeros((0, 3), np.float32), "There is no scan here.")
    _assert_same(
        scene.engine.predict(flat_tree(3), scene.three()), scene.engine.predict(flat_tree(3), [lost, *scene.three()])
    )


def test_one_label_takes_the_thing_that_is_marked_and_ends_where_it_ends(scene):
    found = scene.engine.predict(flat_tree(3), [scene.mark(1, RED)])
    assert (found.labels[scene.where(RED)] == RED).mean() > 0.7
    assert (found.labels[~scene.where(RED)] == 0).mean() > 0.98
    assert not found.confidence[found.labels == 0].any()


def test_touching_boxes_of_one_colour_share_the_space_between_their_marks(touching):
    marks = [touching.mark(1, 1, (2.1, 0.3)), touching.mark(2, 2, (0.7, 0.8)), touching.mark(3, 3, (1.3, 0.8))]
    found = touching.engine.predict(flat_tree(3), marks)
    x, y = touching.surface.vertices[:, :2].T
    tops = inside(x, y, (0.56, 1.44, 0.56, 1.04))
    assert (found.labels == touching.truth)[tops].mean() > 0.75
    assert (found.labels == touching.truth)[touching.truth == 1].mean() > 0.95


def test_marks_that_disagree_in_one_superpoint_divide_it(scene):
    biggest = int(scene.superpoints.sizes.argmax())
    inside = np.flatnonzero(scene.superpoints.ids == biggest)
    x = scene.surface.vertices[inside, 0]
    left, right = inside[x.argmin()], inside[x.argmax()]
    marks = [_at(scene, 1, RED, left), _at(scene, 2, BLUE, right)]
    labels = scene.engine.predict(flat_tree(3), marks).labels
    assert labels[left] == RED
    assert labels[right] == BLUE
    assert 0.2 < (labels[inside] == RED).mean() < 0.8
    nearer_left = scene.surface.vertices[inside, 0] < np.percentile(x, 20)
    assert (labels[inside[nearer_left]] == RED).mean() > 0.9


def _at(scene, uid, label, vertex, sign=1):
    vertices = np.array([vertex], np.int64)
    return PlacedMark(uid, label, sign, vertices, scene.surface.vertices[vertices])


def test_labels_are_exact_where_marks_are(scene):
    random = np.random.default_rng(0)
    chosen = random.choice(len(scene.truth), 60, replace=False)
    marks = [_at(scene, k + 1, int(random.integers(1, 6)), int(v)) for k, v in enumerate(chosen)]
    found = scene.engine.predict(flat_tree(5), marks)
    assert [int(found.labels[m.vertices[0]]) for m in marks] == [m.label for m in marks]
    assert (found.confidence[chosen] == 1).all()


def test_of_two_labels_at_one_vertex_the_later_mark_wins_whatever_the_order(scene):
    vertex = int(scene.mark(1, RED).vertices[0])
    early, late = _at(scene, 4, RED, vertex), _at(scene, 7, BLUE, vertex)
    for marks in ([early, late], [late, early]):
        assert scene.engine.predict(flat_tree(3), [*scene.three(), *marks]).labels[vertex] == BLUE


def _assert_same(one, other):
    for name in ("uids", "probability", "labels", "confidence"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_the_order_of_marks_does_not_change_a_bit(scene):
    random = np.random.default_rng(1)
    chosen = random.choice(len(scene.truth), 25, replace=False)
    signs = random.choice([1, 1, 1, -1], 25)
    marks = [_at(scene, k + 1, int(random.integers(1, 4)), int(v), int(signs[k])) for k, v in enumerate(chosen)]
    first = scene.engine.predict(flat_tree(3), marks)
    for _ in range(3):
        random.shuffle(marks)
        _assert_same(first, scene.engine.predict(flat_tree(3), marks))


def test_taking_a_mark_back_gives_the_same_bits_whatever_happened_between(scene):
    marks = scene.three()
    before = scene.engine.predict(flat_tree(3), marks)
    wrong = scene.mark(4, BLUE, AT[RED])
    changed = scene.engine.predict(flat_tree(3), [*marks, wrong])
    assert not np.array_equal(before.labels, changed.labels)
    scene.engine.predict(flat_tree(3), [])
    scene.engine.predict(flat_tree(3), [scene.mark(9, RED, AT[FLOOR], sign=-1), *marks])
    _assert_same(before, scene.engine.predict(flat_tree(3), marks))
    _assert_same(before, LabelEngine(scene.surface, scene.superpoints).predict(flat_tree(3), marks))


def test_a_negative_mark_takes_the_label_away_there(scene):
    marks = [scene.mark(1, FLOOR), scene.mark(2, RED)]
    assert (scene.engine.predict(flat_tree(3), marks).labels[scene.where(RED)] == RED).mean() > 0.9
    elsewhere = scene.mark(3, RED, (1.5, 0.9), sign=-1)
    found = scene.engine.predict(flat_tree(3), [*marks, elsewhere])
    assert found.labels[elsewhere.vertices[0]] == FLOOR
    assert (found.labels[scene.where(BLUE)] == RED).mean() < 0.05
    assert (found.labels[scene.where(RED)] == RED).mean() > 0.9


def test_the_only_label_denied_somewhere_leaves_that_unlabelled(scene):
    marks = [scene.mark(1, RED), scene.mark(2, RED, AT[FLOOR], sign=-1)]
    found = scene.engine.predict(flat_tree(3), marks)
    assert found.labels[marks[1].vertices[0]] == 0
    assert (found.labels[scene.where(RED)] == RED).mean() > 0.7
    assert (found.labels[scene.where(FLOOR)] == 0).mean() > 0.98


def test_a_negative_mark_on_a_label_without_positive_marks_changes_nothing(scene):
    tree = flat_tree(4)
    _assert_same(
        scene.engine.predict(tree, scene.three()),
        scene.engine.predict(tree, [*scene.three(), scene.mark(8, 4, AT[RED], sign=-1)]),
    )


def test_a_stroke_weighs_as_much_as_one_click(scene):
    row = np.flatnonzero(scene.where(BLUE))[::12]
    stroke = PlacedMark(3, BLUE, 1, row, scene.surface.vertices[row])
    found = scene.engine.predict(flat_tree(3), [scene.mark(1, FLOOR), scene.mark(2, RED), stroke])
    assert (found.labels[row] == BLUE).all()
    assert (found.labels == scene.truth).mean() > 0.95


GROUP, OTHER = 10, 11


def _nested():
    """other, group > (red box, blue box)."""
    rows = [(GROUP, 0, "group"), (OTHER, 0, "class"), (RED, GROUP, "class"), (BLUE, GROUP, "class")]
    return LabelTree(Label(uid, str(uid), parent, kind, True, (0, 0, 0)) for uid, parent, kind in rows)


def test_a_group_with_marks_and_no_marked_children_is_the_answer(scene):
    marks = [scene.mark(1, OTHER, AT[FLOOR]), scene.mark(2, GROUP, AT[RED]), scene.mark(3, GROUP, AT[BLUE])]
    found = scene.engine.predict(_nested(), marks)
    expected = np.where(scene.truth == FLOOR, OTHER, GROUP)
    assert (found.labels == expected).mean() > 0.95
    assert found.uids.tolist() == [GROUP, OTHER]


def test_a_flat_tree_and_the_same_labels_in_one_group_agree_below_the_group(scene):
    marks = [scene.mark(1, OTHER, AT[FLOOR]), scene.mark(2, RED), scene.mark(3, BLUE)]
    found = scene.engine.predict(_nested(), marks)
    expected = np.where(scene.truth == FLOOR, OTHER, scene.truth)
    assert (found.labels == expected).mean() > 0.95
    np.testing.assert_allclose(found.probability.sum(axis=1), 1, atol=1e-4)


def test_a_mark_on_a_group_conditions_only_the_path_above_it(scene):
    tree = _nested()
    marks = [scene.mark(1, OTHER, AT[FLOOR]), scene.mark(2, RED), scene.mark(3, BLUE)]
    before = scene.engine.predict(tree, marks)
    after = scene.engine.predict(tree, [*marks, scene.mark(4, GROUP, (1.0, 0.2))])
    red, blue = (before.probability[:, before.uids.tolist().index(uid)] for uid in (RED, BLUE))
    red_after, blue_after = (after.probability[:, after.uids.tolist().index(uid)] for uid in (RED, BLUE))
    enough = (red + blue > 1e-3) & (red_after + blue_after > 1e-3)
    assert enough.mean() > 0.1
    ratio, ratio_after = red / (red + blue), red_after / (red_after + blue_after)
    np.testing.assert_allclose(ratio[enough], ratio_after[enough], atol=1e-3)
    other = before.probability[:, before.uids.tolist().index(OTHER)]
    other_after = after.probability[:, after.uids.tolist().index(OTHER)]
    place = scene.superpoints.ids[scene.mark(4, GROUP, (1.0, 0.2)).vertices[0]]
    assert other_after[place] < other[place] - 0.2


def test_a_mark_on_a_group_is_kept_by_the_group_or_something_under_it(scene):
    tree = _nested()
    marks = [scene.mark(1, OTHER, AT[FLOOR]), scene.mark(2, RED), scene.mark(3, GROUP, AT[BLUE])]
    found = scene.engine.predict(tree, marks)
    assert tree.is_under(int(found.labels[marks[2].vertices[0]]), GROUP)
    assert (found.labels[scene.where(BLUE)] == GROUP).mean() > 0.9
    assert (found.labels[scene.where(RED)] == RED).mean() > 0.9


def test_labels_of_untouched_pieces_of_the_scan_are_unlabelled_with_one_label():
    """A piece far from all marks, connected to nothing and unlike the marked thing, is nobody's."""
    surface, truth = boxes_on_floor()
    count = len(surface.vertices)

    away = Surface(
        np.concatenate([surface.vertices, surface.vertices + np.float32([20, 0, 0])]),
        np.concatenate([surface.faces, surface.faces + count]),
        np.tile(surface.normals, (2, 1)),
        np.concatenate([surface.colors, 255 - surface.colors]),
        surface.voxel,
    )
    both = Scene(away, np.zeros(2 * count))
    found = both.engine.predict(flat_tree(3), [both.mark(1, RED)])
    assert (found.labels[:count][truth == RED] == RED).mean() > 0.7
    assert not found.labels[count:].any()
