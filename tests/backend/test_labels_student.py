"""The field as the posterior's student: it speaks only where it agrees, and never against sure labels or marks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.captures.capture import Intrinsics
from backend.field.training import TrainingConfig
from backend.labels import student as module
from backend.labels.prediction import Prediction
from backend.labels.student import AGREEMENT, OPEN, SURE, Student
from backend.surface.raster import interpolate, rasterize
from backend.surface.surface import Superpoints
from tests.backend.label_scenes import boxes_on_floor, mark
from tests.backend.surface_scenes import capture_of, looking_at

CAMERA = Intrinsics(96, 72, 80.0, 80.0, 47.5, 35.5)
TILE = 0.3  # metres along a superpoint


@pytest.fixture(scope="module")
def scene():
    """Boxes on a floor: surface, truth, square superpoints that straddle the boxes' edges."""
    surface, truth = boxes_on_floor()
    tile = np.floor(surface.vertices[:, :2] / TILE).astype(int)
    _, ids = np.unique(tile[:, 0] * 1000 + tile[:, 1], return_inverse=True)
    count = int(ids.max()) + 1
    superpoints = Superpoints(
        ids.astype(np.int32),
        np.zeros((0, 2), np.int32),
        np.zeros(0, np.float32),
        np.zeros((count, 1), np.float32),
        np.bincount(ids).astype(np.int32),
        np.zeros((count, 3), np.float32),
        np.zeros((count, 2), np.int32),
        np.zeros((count, 0), np.float32),
    )
    return surface, truth, superpoints


@pytest.fixture(scope="module")
def student(scene):
    surface, _, superpoints = scene
    images = []
    for turn in np.linspace(0, 2 * np.pi, 8, endpoint=False):
        pose = looking_at(np.array([1.2 + 1.3 * np.cos(turn), 0.9 + 1.3 * np.sin(turn), 1.7]), [1.2, 0.9, 0.0])
        hit = rasterize(surface.vertices, surface.faces, CAMERA, pose)
        color = interpolate(hit, surface.faces, surface.colors.astype(np.float32)).round().astype(np.uint8)
        images.append((CAMERA, pose, color, hit.depth))
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "CONFIG", TrainingConfig(geometry_steps=80, pixels=256, label_steps=80, label_points=512))
    made = Student(None, capture_of(images), surface, superpoints, None, torch.device("cpu"), lambda f, text: None)
    while not made.geometry_done:
        made.geometry_slice(1.0)
    patch.undo()
    return made


def taught(scene):
    """What a posterior says that knows superpoints alone: sure inside, unsure where a tile holds two things."""
    _, truth, superpoints = scene
    uids = np.unique(truth).astype(np.int32)
    counts = np.stack([np.bincount(superpoints.ids, truth == uid, len(superpoints.sizes)) for uid in uids], 1)
    share = counts / counts.sum(1, keepdims=True)
    probability = (0.05 + 0.85 * share).astype(np.float32)
    found = uids[probability.argmax(1)][superpoints.ids].astype(np.uint16)
    sure = probability.max(1)[superpoints.ids]
    return Prediction(uids, probability, found, sure, superpoints.ids)


def learnt(student, prediction, marks=()):
    student.forget_labels()
    while not student.labels_done:
        student.label_slice(prediction, marks, 1.0)
    return student.refined(prediction, marks)


def test_the_field_finds_edges_inside_of_superpoints(scene, student):
    surface, truth, _ = scene
    prediction = taught(scene)
    marks = [
        mark(surface, k + 1, uid, x, y) for k, (uid, x, y) in enumerate([(1, 0.2, 0.2), (2, 0.6, 0.7), (3, 1.6, 0.9)])
    ]
    refined = learnt(student, prediction, marks)
    changed = refined.labels != prediction.labels
    assert changed.any()
    assert (refined.labels == truth).mean() > (prediction.labels == truth).mean()
    assert (refined.labels == truth)[changed].mean() > 0.5


def test_sure_labels_and_marks_stay(scene, student):
    surface, _, _ = scene
    prediction = taught(scene)
    unsure = int(np.flatnonzero(prediction.confidence < OPEN)[0])
    place = surface.vertices[unsure]
    marks = [mark(surface, 1, int(prediction.labels[unsure]), place[0], place[1])]
    refined = learnt(student, prediction, marks)
    sure = prediction.confidence >= OPEN
    assert np.array_equal(refined.labels[sure], prediction.labels[sure])
    assert refined.labels[marks[0].vertices[0]] == prediction.labels[marks[0].vertices[0]]
    assert np.array_equal(refined.confidence, prediction.confidence)


def test_a_field_that_disagrees_says_nothing(scene, student):
    prediction = taught(scene)
    learnt(student, prediction)
    shifted = np.roll(prediction.uids, 1)
    other = replace(prediction, labels=shifted[np.searchsorted(prediction.uids, prediction.labels)])
    says = student._ask(np.flatnonzero(prediction.confidence >= SURE)).argmax(1)
    agreement = (prediction.uids[says] == other.labels[prediction.confidence >= SURE]).mean()
    assert agreement < AGREEMENT
    assert student.refined(other, ()) is other


def test_agreement_is_the_bar(scene, student, monkeypatch):
    prediction = taught(scene)
    refined = learnt(student, prediction)
    assert not np.array_equal(refined.labels, prediction.labels)
    monkeypatch.setattr(module, "AGREEMENT", 1.1)
    assert student.refined(prediction, ()) is prediction
