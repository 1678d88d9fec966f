"""What marks state about vertices: contradictions, strokes, hierarchy."""

import numpy as np
import pytest

from backend.labels.placement import PlacedMark
from backend.labels.statements import agreement, statements
from backend.labels.tree import Label, LabelTree

GROUP, CHILD, OTHER = 1, 2, 3
VOXEL = 0.02
POINTS = np.array([[0.02 * k, 0, 0] for k in range(10)] + [[0.008, 0, 0]], np.float32)
SUPERPOINTS = np.array([0] * 5 + [1] * 5 + [0])


@pytest.fixture(scope="module")
def tree():
    gray = (0.5, 0.5, 0.5)
    return LabelTree(
        [
            Label(GROUP, "group", 0, "group", True, gray),
            Label(CHILD, "child", GROUP, "class", True, gray),
            Label(OTHER, "other", 0, "class", True, gray),
        ]
    )


def _mark(uid, label, *vertices, sign=1, local=False):
    at = np.array(vertices, np.int64)
    return PlacedMark(uid, label, sign, at, POINTS[at], local=local)


def _said(tree, *marks):
    return statements(tree, marks, POINTS, VOXEL, SUPERPOINTS)


def test_agreement_of_statements(tree):
    kinds = [(GROUP, 1), (CHILD, 1), (OTHER, 1), (GROUP, -1), (CHILD, -1)]
    expected = [
        [1, 1, 0, 0, 1],  # group: its child may be there, or not that child
        [1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1],
        [1, 0, 1, 1, 1],
    ]
    assert agreement(tree, kinds).astype(int).tolist() == expected


def test_the_higher_number_wins_where_marks_meet_and_it_is_told(tree):
    for marks in ([_mark(4, CHILD, 3), _mark(7, OTHER, 3)], [_mark(7, OTHER, 3), _mark(4, CHILD, 3)]):
        said = _said(tree, *marks)
        assert said.contradictions == ((7, 4),)
        assert (said.vertices.tolist(), said.labels.tolist(), said.marks.tolist()) == ([3], [OTHER], [7])


def test_marks_less_than_a_voxel_apart_meet_and_those_a_voxel_apart_do_not(tree):
    assert _said(tree, _mark(1, CHILD, 0), _mark(2, OTHER, 10)).contradictions == ((2, 1),)
    assert _said(tree, _mark(1, CHILD, 0), _mark(2, OTHER, 1)).contradictions == ()


def test_a_mark_that_lost_does_not_come_back_when_its_winner_loses(tree):
    said = _said(tree, _mark(1, CHILD, 3), _mark(2, OTHER, 3), _mark(3, CHILD, 3, sign=1))
    assert said.contradictions == ((2, 1), (3, 2))
    assert said.marks.tolist() == [3]


def test_a_stroke_loses_only_where_it_is_contradicted(tree):
    said = _said(tree, _mark(1, CHILD, 2, 3, 4, 5), _mark(2, OTHER, 4))
    assert said.contradictions == ((2, 1),)
    assert said.vertices[said.labels == CHILD].tolist() == [2, 3, 5]
    np.testing.assert_allclose(said.weights[said.labels == CHILD], 0.25)
    assert said.superpoints.tolist() == [0, 0, 0, 1]


def test_statements_that_can_both_hold_stand_side_by_side(tree):
    said = _said(
        tree, _mark(1, GROUP, 3), _mark(2, CHILD, 3), _mark(3, OTHER, 3, sign=-1), _mark(4, GROUP, 8, local=True)
    )
    assert said.contradictions == ()
    assert said.vertices.tolist() == [3, 3, 3, 8]
    assert said.marks.tolist() == [1, 2, 3, 4]
    assert said.positive.tolist() == [True, True, False, True]
    assert said.local.tolist() == [False, False, False, True]


def test_nothing_said(tree):
    assert len(_said(tree)) == 0
    assert len(_said(tree, _mark(1, CHILD))) == 0
