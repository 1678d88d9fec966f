"""Labels are a function of scene and document to the last bit: order, undo, redo, other engines, other questions."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.labels.engine import LabelEngine
from backend.labels.placement import PlacedMark
from backend.labels.tree import Label, LabelTree
from tests.backend.label_scenes import boxes_on_floor, superpoints_by_hand

LABELS = (1, 2, 3, 4, 5)  # 1 a group with 2 and 3 in it, 4 and 5 beside it
EXACT = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _tree(*more):
    gray = (0.5, 0.5, 0.5)
    parents = {1: 0, 2: 1, 3: 1, 4: 0, 5: 0}
    nodes = [Label(uid, str(uid), parent, "class", True, gray) for uid, parent in parents.items()]
    return LabelTree([*nodes, *more])


@pytest.fixture(scope="module")
def surface():
    return boxes_on_floor()[0]


@pytest.fixture(scope="module")
def superpoints(surface):
    return superpoints_by_hand(surface, 200)


@pytest.fixture(scope="module")
def engine(surface, superpoints):
    return LabelEngine(surface, superpoints)


one_mark = st.tuples(
    st.sampled_from(LABELS),
    st.sampled_from([1, 1, 1, -1]),
    st.lists(st.integers(0, 10_000), min_size=1, max_size=4, unique=True),
    st.booleans(),
)
documents = st.lists(one_mark, min_size=1, max_size=12)


def _placed(surface, document):
    return [
        PlacedMark(
            k + 1, label, sign, np.array(sorted(at), np.int64), surface.vertices[np.array(sorted(at))], local=local
        )
        for k, (label, sign, at, local) in enumerate(document)
    ]


def _same(one, other):
    assert one.contradictions == other.contradictions
    for name in ("uids", "probability", "labels", "confidence"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@EXACT
@given(documents, st.randoms(use_true_random=False))
def test_the_order_of_marks_does_not_change_a_bit(engine, surface, document, random):
    marks = _placed(surface, document)
    first = engine.predict(_tree(), marks)
    random.shuffle(marks)
    _same(first, engine.predict(_tree(), marks))


@EXACT
@given(documents, documents)
def test_undo_and_redo_do_not_change_a_bit(engine, surface, superpoints, document, more):
    before = engine.predict(_tree(), _placed(surface, document))
    after = engine.predict(_tree(), _placed(surface, document + more))
    engine.effects(_tree(), _placed(surface, more))
    _same(before, engine.predict(_tree(), _placed(surface, document)))
    _same(after, engine.predict(_tree(), _placed(surface, document + more)))


def test_another_engine_on_the_same_scene_gives_the_same_bits(engine, surface, superpoints):
    marks = _placed(surface, [(2, 1, [3000], False), (4, 1, [200, 250], False), (5, 1, [8000], True)])
    _same(engine.predict(_tree(), marks), LabelEngine(surface, superpoints).predict(_tree(), marks))


@EXACT
@given(documents)
def test_marks_are_kept_and_labels_are_those_of_the_document(engine, surface, document):
    marks = _placed(surface, document)
    found = engine.predict(_tree(), marks)
    tree = _tree()
    taught = {label for label, sign, _, _ in document if sign > 0}
    assert set(found.labels.tolist()) <= {0, *taught}
    losers = {loser for _, loser in found.contradictions}
    for mark in marks:
        if mark.id in losers or not taught:
            continue
        got = [uid != 0 and tree.is_under(uid, mark.label) for uid in found.labels[mark.vertices].tolist()]
        if mark.sign > 0:
            # another mark may deny all that could stand there
            assert all(got) or any(other.sign < 0 for other in marks)
        else:
            assert not any(got)


@EXACT
@given(documents, st.sampled_from([0, 1, 2, 4]))
def test_a_new_child_without_marks_does_not_change_a_bit(engine, surface, document, parent):
    marks = _placed(surface, document)
    child = Label(9, "new", parent, "class", True, (0.5, 0.5, 0.5))
    _same(engine.predict(_tree(), marks), engine.predict(_tree(child), marks))
