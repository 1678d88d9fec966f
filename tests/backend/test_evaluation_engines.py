"""Baselines: they learn what they can, and the machinery they are made of is right."""

import numpy as np
import pytest

from backend.evaluation.baselines import Nearest, RandomForest, RandomWalker, SuperpointGraph
from backend.evaluation.distilled import DistilledFeatures
from backend.evaluation.engines import GraphEngine, from_probability
from backend.evaluation.trees import ExtraTrees
from backend.labels.placement import PlacedMark
from backend.protocol import checked_document
from backend.surface.superpoints import segment
from backend.surface.surface import Superpoints
from tests.backend.label_scenes import boxes_on_floor, mark

TREE = [{"uid": uid, "name": f"label {uid}"} for uid in (1, 2, 3)]
DOCUMENT = checked_document({"tree": TREE, "marks": []})


@pytest.fixture(scope="module")
def scene():
    surface, truth = boxes_on_floor()
    return surface, truth, segment(surface)


MAKERS = {
    "nearest": lambda surface, parts: Nearest(surface),
    "random-walker": RandomWalker,
    "random-forest": lambda surface, parts: RandomForest(surface, parts, smooth=False),
    "forest-walker": lambda surface, parts: RandomForest(surface, parts, smooth=True),
    "features": lambda surface, parts: DistilledFeatures(surface, steps=60),
    "graph": GraphEngine,
}


@pytest.fixture(scope="module", params=MAKERS)
def engine(request, scene):
    surface, _, parts = scene
    made = MAKERS[request.param](surface, parts)
    assert made.name == request.param
    return made


def test_every_engine_labels_boxes_on_a_floor(scene, engine):
    surface, truth, _ = scene
    marks = [
        mark(surface, 1, 1, 0.1, 0.1),
        mark(surface, 2, 2, 0.65, 0.7),
        mark(surface, 3, 3, 1.6, 0.95),
        mark(surface, 4, 1, 1.1, 1.5),
        PlacedMark(5, 1, 1, np.zeros(0, np.int64), np.zeros((0, 3), np.float32), "not placed"),
    ]
    answer = engine.update(DOCUMENT, marks)
    assert answer.labels.shape == truth.shape and answer.labels.dtype == np.uint16
    assert (answer.labels == truth).mean() > 0.85  # the floor alone is 0.8
    assert min((answer.labels == truth)[truth == uid].mean() for uid in (1, 2, 3)) > 0.6
    assert 0 <= answer.confidence.min() <= answer.confidence.max() <= 1.0001
    unsure = answer.uncertainty("margin")
    assert unsure.shape == truth.shape and unsure.max() > unsure.min()
    assert np.array_equal(engine.update(DOCUMENT, marks[::-1]).labels, answer.labels)


def test_no_marks_no_labels(engine):
    assert not engine.update(DOCUMENT, []).labels.any()


def test_answer_of_superpoint_rows():
    rows = np.array([[0.7, 0.2], [0.1, 0.6]], np.float32)
    answer = from_probability(np.array([4, 9]), rows, np.array([1, 0, 0]))
    assert answer.labels.tolist() == [9, 4, 4] and answer.confidence == pytest.approx([0.6, 0.7, 0.7])
    assert answer.uncertainty("least-confidence") == pytest.approx([0.4, 0.3, 0.3])


def test_random_walker_on_a_chain_is_linear():
    """Between two seeds on a chain of equal edges the probability falls evenly (gambler's ruin)."""
    surface, _ = boxes_on_floor()
    count = 5
    ids = (np.arange(len(surface.vertices)) % count).astype(np.int32)
    edges = np.stack([np.arange(count - 1), np.arange(1, count)], axis=1).astype(np.int32)
    fields = {name: np.zeros((count, 1), np.float32) for name in Superpoints.__dataclass_fields__}
    fields |= {"ids": ids, "edges": edges, "sizes": np.bincount(ids).astype(np.int32)}
    graph = SuperpointGraph(surface, Superpoints(**fields))
    weight = -graph.laplacian[0, 1]
    spread = np.abs(graph.laplacian.toarray().diagonal(1) + weight).max()
    assert spread < 0.1 * weight  # all colours are mixed alike
    found = graph.walk(np.array([0, 4]), np.array([0, 1]), 2)
    assert found[:, 0] == pytest.approx([1, 0.75, 0.5, 0.25, 0], abs=0.03)
    assert found.sum(axis=1) == pytest.approx(np.ones(count), abs=1e-3)


def test_trees_fit_their_samples_and_generalise():
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (200, 5))
    classes = (features[:, 1] > 0) * 1 + (features[:, 3] > 0.5) * 2
    forest = ExtraTrees(features, classes, 4, trees=60, seed=1)
    assert (forest.predict(features).argmax(1) == classes).all()
    fresh = random.normal(0, 1, (500, 5))
    right = (fresh[:, 1] > 0) * 1 + (fresh[:, 3] > 0.5) * 2
    assert (forest.predict(fresh).argmax(1) == right).mean() > 0.8
    again = ExtraTrees(features, classes, 4, trees=60, seed=1)
    assert np.array_equal(forest.predict(fresh), again.predict(fresh))
    assert forest.predict(fresh).sum(axis=1) == pytest.approx(np.ones(500), abs=1e-5)


def test_trees_of_samples_that_cannot_be_told_apart():
    forest = ExtraTrees(np.ones((4, 3)), np.array([0, 0, 0, 1]), 2, trees=10)
    assert forest.predict(np.ones((1, 3)))[0] == pytest.approx([0.75, 0.25])
