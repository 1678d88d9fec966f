"""Confidence is a frequency: known values of the map, and counts on a scene with known labels."""

import numpy as np

from backend.labels.calibration import calibrated, reached
from backend.labels.engine import LabelEngine
from tests.backend.label_scenes import flat_tree, superpoints_by_hand, things_on_floor
from tests.backend.robot import Robot


def test_the_map_rises_with_probability_and_reach():
    p = np.linspace(0, 1, 101)
    assert (np.diff(calibrated(p)) >= 0).all()
    assert calibrated(np.array([0.0])) < 0.05
    assert calibrated(np.array([1.0])) > 0.98
    assert reached(np.array([0.0])) == 0
    assert (np.diff(reached(p)) > 0).all()
    assert reached(np.array([1.0])) > 0.98


def _scene():
    colors = [(120, 90, 60), (70, 70, 110), (140, 120, 100), (60, 110, 70), (150, 60, 60), (100, 100, 100)]
    places = [(0.2, 0.6, 0.2, 0.7), (0.9, 1.3, 0.2, 0.6), (1.6, 2.2, 0.3, 0.7), (0.2, 0.7, 1.0, 1.5)]
    places += [(1.0, 1.4, 1.0, 1.6), (1.7, 2.1, 1.1, 1.5)]
    things = [(place, 0.1 * (k % 3), color) for k, (place, color) in enumerate(zip(places, colors, strict=True))]
    return things_on_floor(things, noise=12.0)


def test_confidence_is_near_the_frequency_of_right_labels():
    surface, truth = _scene()
    engine, tree = LabelEngine(surface, superpoints_by_hand(surface, 300)), flat_tree(7)
    sure, right = [], []
    for seed in range(3):
        robot = Robot(surface, truth, seed)
        robot.first_clicks()
        for _ in range(6):
            found = engine.predict(tree, robot.marks)
            sure.append(found.confidence)
            right.append(found.labels == truth)
            if not robot.correct(found.labels):
                break
    sure, right = np.concatenate(sure), np.concatenate(right)
    bins = np.minimum((sure * 10).astype(int), 9)
    error = sum(abs(sure[bins == k].mean() - right[bins == k].mean()) * (bins == k).mean() for k in np.unique(bins))
    assert error < 0.12
    assert right[sure > 0.9].mean() > right[sure < 0.7].mean()


def test_unsettled_tells_when_to_stop():
    surface, truth = _scene()
    engine, tree = LabelEngine(surface, superpoints_by_hand(surface, 300)), flat_tree(7)
    robot = Robot(surface, truth, 0)
    assert engine.predict(tree, []).unsettled == 1.0
    first = engine.predict(tree, robot.first_clicks())
    labels = first.labels
    while len(robot.marks) < 25 and robot.correct(labels):
        labels = engine.predict(tree, robot.marks).labels
    last = engine.predict(tree, robot.marks)
    assert last.unsettled < 0.1
    assert last.confidence.mean() > first.confidence.mean()
