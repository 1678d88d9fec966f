"""Things that superpoints find hard: thin ones, flat ones, ones that look like their surroundings; and look-alikes."""

from dataclasses import replace

import numpy as np
import pytest

from backend.evaluation.objects import ObjectUser, segment_object
from backend.labels.engine import LabelEngine
from tests.backend.label_scenes import flat_tree, iou, mark, superpoints_by_hand, things_on_floor

FLOOR = 1
FAR = (2.2, 1.6)


def _labels(surface, marks, target=300):
    return LabelEngine(surface, superpoints_by_hand(surface, target)).predict(flat_tree(6), marks).labels


@pytest.mark.parametrize(
    ("thing", "at", "least"),
    [
        (((0.3, 1.9, 0.80, 0.86), 0.06, (30, 30, 30)), (1.1, 0.83), 0.55),  # 3 vertices across, 80 along
        (((1.0, 1.1, 0.8, 0.9), 0.6, (150, 110, 60)), (1.04, 0.84), 0.5),  # 5 by 5 vertices
    ],
    ids=["cable", "post"],
)
def test_a_thin_thing_is_told_from_the_floor_by_one_mark(thing, at, least):
    surface, truth = things_on_floor([thing])
    labels = _labels(surface, [mark(surface, 1, FLOOR, *FAR), mark(surface, 2, 2, *at)])
    assert iou(labels, truth, 2) > least
    assert iou(labels, truth, FLOOR) > 0.97


@pytest.mark.parametrize("color", [(200, 60, 50), (120, 105, 90)], ids=["poster", "pale poster"])
def test_a_flat_thing_is_told_by_its_colour_alone(color):
    surface, truth = things_on_floor([((0.8, 1.5, 0.5, 1.2), 0.0, color)])
    labels = _labels(surface, [mark(surface, 1, FLOOR, *FAR), mark(surface, 2, 2, 1.15, 0.85)])
    assert iou(labels, truth, 2) > 0.85


def test_a_rug_with_a_pattern_needs_few_marks():
    def striped(surface, truth):
        stripe = (truth == 2) & ((surface.vertices[:, 0] / 0.12).astype(int) % 2 == 0)
        return replace(surface, colors=np.where(stripe[:, None], [40, 40, 120], surface.colors).astype(np.uint8))

    surface, truth = things_on_floor([((0.6, 1.8, 0.4, 1.3), 0.0, (180, 60, 50))])
    surface = striped(surface, truth)
    marks = [mark(surface, 1, FLOOR, *FAR), mark(surface, 2, 2, 0.66, 0.8), mark(surface, 3, 2, 0.78, 0.8)]
    assert iou(_labels(surface, marks), truth, 2) > 0.8


def test_a_mark_on_a_thing_that_no_superpoint_shows_takes_the_thing_not_the_superpoint():
    surface, truth = things_on_floor([((1.0, 1.08, 0.8, 0.88), 0.0, (200, 180, 60))])
    superpoints = superpoints_by_hand(surface, 12)
    marks = [mark(surface, 1, FLOOR, 0.3, 0.3), mark(surface, 2, FLOOR, *FAR), mark(surface, 3, FLOOR, 1.2, 0.84)]
    marks.append(mark(surface, 4, 2, 1.04, 0.84))
    labels = LabelEngine(surface, superpoints).predict(flat_tree(2), marks).labels
    assert iou(labels, truth, 2) > 0.5
    assert iou(labels, truth, FLOOR) > 0.98


CHAIRS = [((x, x + 0.35, 0.4, 0.8), 0.3, (150, 90, 40)) for x in (0.2, 1.0, 1.8)]
CENTERS = [(x + 0.18, 0.6) for x in (0.2, 1.0, 1.8)]


@pytest.fixture(scope="module")
def row():
    """Three chairs of one look."""
    surface, truth = things_on_floor(CHAIRS)
    return surface, truth, LabelEngine(surface, superpoints_by_hand(surface, 300))


def test_look_alikes_follow_a_mark(row):
    surface, truth, engine = row
    labels = engine.predict(flat_tree(2), [mark(surface, 1, FLOOR, *FAR), mark(surface, 2, 2, *CENTERS[0])]).labels
    for uid in (2, 3, 4):
        assert (labels[truth == uid] == 2).mean() > 0.8
    assert (labels[truth == 1] == 1).mean() > 0.95


def test_a_mark_for_only_this_piece_stays_there(row):
    surface, truth, engine = row
    only = replace(mark(surface, 2, 2, *CENTERS[0]), local=True)
    found = engine.predict(flat_tree(2), [mark(surface, 1, FLOOR, *FAR), only])
    assert (found.labels[truth == 2] == 2).mean() > 0.8
    for uid in (3, 4):
        assert not (found.labels[truth == uid] == 2).any()
    assert (found.labels[truth == 1] == 1).mean() > 0.95


def test_of_two_look_alikes_each_may_have_a_label_of_its_own(row):
    surface, truth, engine = row
    mine = replace(mark(surface, 2, 2, *CENTERS[0]), local=True)
    others = mark(surface, 3, 3, *CENTERS[1])
    labels = engine.predict(flat_tree(3), [mark(surface, 1, FLOOR, *FAR), mine, others]).labels
    assert (labels[truth == 2] == 2).mean() > 0.8
    assert (labels[truth == 3] == 3).mean() > 0.8
    assert (labels[truth == 4] == 3).mean() > 0.8


def test_a_denial_for_only_this_piece_leaves_the_others(row):
    surface, truth, engine = row
    marks = [mark(surface, 1, FLOOR, *FAR), mark(surface, 2, 2, *CENTERS[0])]
    denied = replace(mark(surface, 3, 2, *CENTERS[2], sign=-1), local=True)
    labels = engine.predict(flat_tree(2), [*marks, denied]).labels
    assert labels[denied.vertices[0]] != 2
    assert (labels[truth == 2] == 2).mean() > 0.8
    assert (labels[truth == 3] == 2).mean() > 0.8


def test_one_object_at_a_time_by_what_it_is_and_what_it_is_not(row):
    surface, truth, engine = row
    marks = [mark(surface, 1, 2, *CENTERS[1])]
    labels = engine.predict(flat_tree(2), marks).labels
    assert iou(labels, np.where(truth == 3, 2, 1), 2) > 0.7  # a single click finds one chair of three
    marks.append(mark(surface, 2, 2, *FAR, sign=-1))
    labels = engine.predict(flat_tree(2), marks).labels
    assert (labels[truth == 1] == 2).mean() < 0.05
    assert (labels[truth == 3] == 2).mean() > 0.75

    def mask(given):
        return engine.predict(flat_tree(2), [replace(one, label=2) for one in given]).labels == 2

    run = segment_object(ObjectUser(surface), mask, truth == 3)
    assert run.iou[0] > 0.75 and run.iou[3] > 0.85 and run.iou[4] > 0.95
