"""Uncertainty measures, checked on distributions whose values are known; metrics and the simulated user."""

import numpy as np
import pytest

from backend.evaluation.metrics import confusion, from_confusion, scores
from backend.labels.engine import LabelEngine
from backend.labels.queries import draw_query, entropy, least_confidence, margin
from backend.surface.superpoints import segment
from tests.backend.label_scenes import boxes_on_floor, flat_tree
from tests.backend.robot import Robot, clicks_to_scores

ROWS = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [0.7, 0.2, 0.1, 0]], np.float32)


def test_known_values():
    np.testing.assert_allclose(entropy(ROWS)[:3], [0, 1, 0.5], atol=1e-6)
    np.testing.assert_allclose(least_confidence(ROWS), [0, 0.75, 0.5, 0.3], atol=1e-6)
    np.testing.assert_allclose(margin(ROWS), [0, 1, 1, 0.5], atol=1e-6)


@pytest.mark.parametrize("measure", [entropy, least_confidence, margin])
def test_measures_ignore_the_order_of_classes_and_keep_the_shape(measure):
    grid = ROWS.reshape(2, 2, 4)
    assert measure(grid).shape == (2, 2)
    np.testing.assert_allclose(measure(grid), measure(grid[..., ::-1]), atol=1e-6)


def test_places_without_any_class_are_the_most_uncertain():
    nothing = np.zeros((3, 0), np.float32)
    assert least_confidence(nothing).tolist() == [1, 1, 1]
    assert margin(nothing).tolist() == [1, 1, 1]


def test_scores_of_a_small_map():
    truth = np.array([[1, 1, 2, 2], [1, 1, 2, 0]])
    predicted = np.array([[1, 1, 2, 1], [1, 3, 2, 3]])
    found = scores(truth, predicted)
    assert found.uids.tolist() == [1, 2]
    np.testing.assert_allclose(found.iou, [3 / 5, 2 / 3])
    assert found.miou == pytest.approx((3 / 5 + 2 / 3) / 2)
    assert found.accuracy == pytest.approx(5 / 7)
    assert found.places == 7


def test_confusions_of_views_add_up():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 5, (2, 3, 40))
    whole = from_confusion(confusion(truth, predicted, 5))
    parts = from_confusion(sum(confusion(t, p, 5) for t, p in zip(truth, predicted, strict=True)))
    np.testing.assert_array_equal(whole.iou, parts.iou)
    assert confusion(truth, predicted, 5).sum() == truth.size


def test_shapes_that_differ_are_refused_and_nothing_known_scores_nothing():
    with pytest.raises(ValueError, match="differ in shape"):
        scores(np.zeros(3, int), np.zeros(4, int))
    assert scores(np.zeros(3, int), np.ones(3, int)).places == 0


def test_the_robot_clicks_inside_every_class_then_in_mistakes():
    surface, truth = boxes_on_floor()
    robot = Robot(surface, truth, seed=0)
    marks = robot.first_clicks()
    assert [mark.label for mark in marks] == [1, 2, 3]
    assert 0.1 < marks[0].points[0, 0] < 2.3
    for mark in marks[1:]:
        x, y, z = mark.points[0]
        assert z == pytest.approx(0.3, abs=1e-3)
        center = {2: (0.65, 0.7), 3: (1.6, 0.95)}[mark.label]
        assert np.hypot(x - center[0], y - center[1]) < 0.15
    wrong = truth.copy()
    wrong[truth == 2] = 3
    assert robot.correct(wrong)
    assert robot.marks[-1].label == 2
    assert not robot.correct(truth)


def test_more_clicks_do_not_leave_the_scene_worse_than_one_per_class():
    surface, truth = boxes_on_floor(colors=((150, 140, 130), (160, 120, 110), (130, 130, 160)))
    engine, tree = LabelEngine(surface, segment(surface, target=300)), flat_tree(3)
    found = clicks_to_scores(
        Robot(surface, truth, seed=0),
        lambda marks: engine.predict(tree, marks).labels,
        lambda labels: scores(truth, labels).miou,
        (6, 12),
    )
    assert next(iter(found)) == 3
    assert found[max(found)] > 0.9
    assert found[max(found)] >= found[3] - 0.01


FRAMES = np.repeat(np.arange(4), 100)


def test_the_frame_is_drawn_by_its_uncertainty_and_the_pixel_from_the_top():
    worth = np.zeros(400)
    worth[100:200] = np.linspace(0.01, 1, 100)
    worth[300:400] = 3 * np.linspace(0.01, 1, 100)
    drawn = np.array([draw_query(FRAMES, worth, np.full(4, 100), 0.05, seed) for seed in range(300)])
    frames = np.bincount(FRAMES[drawn], minlength=4)
    assert frames[[0, 2]].tolist() == [0, 0]
    assert frames[3] / frames.sum() == pytest.approx(0.75, abs=0.08)
    assert set((drawn % 100).tolist()) == {95, 96, 97, 98, 99}
    one_percent = {draw_query(FRAMES, worth, np.full(4, 100), 0.01, seed) % 100 for seed in range(30)}
    assert one_percent == {99}


def test_pixels_without_worth_are_never_drawn_and_the_same_seed_draws_the_same():
    worth = np.zeros(400)
    worth[[120, 130]] = 0.5
    drawn = [draw_query(FRAMES, worth, np.full(4, 100), 0.05, seed) for seed in range(50)]
    assert set(drawn) == {120, 130}
    assert drawn == [draw_query(FRAMES, worth, np.full(4, 100), 0.05, seed) for seed in range(50)]
    assert draw_query(FRAMES, np.zeros(400), np.full(4, 100), 0.05, 0) is None
    assert draw_query(FRAMES[:0], np.zeros(0), np.full(4, 100), 0.05, 0) is None


def test_the_share_is_of_the_whole_picture_not_of_its_sure_pixels():
    worth = np.linspace(0.1, 1, 400)
    drawn = {draw_query(FRAMES, worth, np.full(4, 2000), 0.01, seed) % 100 for seed in range(200)}
    assert min(drawn) == 80
