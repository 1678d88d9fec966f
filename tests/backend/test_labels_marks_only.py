"""iLabel's method: marks alone teach a joint field, flat and level by level, the same bits from the same document."""

import numpy as np
import pytest
import torch

from backend.captures.capture import Intrinsics
from backend.field import joint
from backend.field.sampling import PointSampler
from backend.labels import marks_only
from backend.labels.marks_only import MarksOnlyField, _Coding, _level_widths
from backend.labels.placement import PlacedMark
from backend.labels.tree import Label, LabelTree
from backend.surface.raster import interpolate, rasterize
from tests.backend.label_scenes import boxes_on_floor, mark
from tests.backend.surface_scenes import capture_of, looking_at

CAMERA = Intrinsics(96, 72, 80.0, 80.0, 47.5, 35.5)
FLOOR, RED, BLUE, BOXES = 1, 2, 3, 4


def tree():
    nodes = [(FLOOR, 0, "class"), (BOXES, 0, "group"), (RED, BOXES, "class"), (BLUE, BOXES, "class")]
    return LabelTree(Label(uid, str(uid), parent, kind, True, (0.5, 0.5, 0.5)) for uid, parent, kind in nodes)


@pytest.fixture(scope="module")
def scene():
    """A red and a blue box on a floor: capture, surface, true labels."""
    surface, truth = boxes_on_floor()
    images = []
    for turn in np.linspace(0, 2 * np.pi, 8, endpoint=False):
        pose = looking_at(np.array([1.2 + 1.3 * np.cos(turn), 0.9 + 1.3 * np.sin(turn), 1.7]), [1.2, 0.9, 0.0])
        hit = rasterize(surface.vertices, surface.faces, CAMERA, pose)
        color = interpolate(hit, surface.faces, surface.colors.astype(np.float32)).round().astype(np.uint8)
        images.append((CAMERA, pose, color, hit.depth))
    return capture_of(images), surface, truth


@pytest.fixture(scope="module")
def field(scene, settings):
    made = MarksOnlyField(scene[0], scene[1], tree(), seed=3)
    while not made.geometry_done:
        made.geometry_slice(0.05)
    return made


@pytest.fixture(scope="module")
def settings():
    """A shorter schedule and a narrower network, enough for a scene this small."""
    patch = pytest.MonkeyPatch()
    for name, value in {"GEOMETRY_STEPS": 120, "GEOMETRY_PIXELS": 256, "LABEL_STEPS": 80, "LABEL_PIXELS": 64}.items():
        patch.setattr(marks_only, name, value)
    patch.setattr(joint, "WIDTH", 64)
    yield
    patch.undo()


class SmallDevice(PointSampler):
    """A sampler whose device has too little memory for so many of the next draws."""

    failing = 0

    def draw(self, pixels):
        batch = super().draw(pixels)
        if self.failing:
            self.failing -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch


def clicks(surface):
    return [
        mark(surface, 1, FLOOR, 0.2, 0.2),
        mark(surface, 2, RED, 0.6, 0.7),
        mark(surface, 3, BLUE, 1.6, 0.9),
        mark(surface, 4, FLOOR, 1.1, 1.5),
    ]


def learnt(field, marks, by_level=False):
    field.forget_labels()
    field.set_mode(by_level)
    while not field.labels_done:
        field.label_slice(tree(), marks, 0.01)
    return field.predict()


@pytest.mark.parametrize("by_level", [False, True])
def test_two_things_on_a_floor(field, scene, by_level):
    _, surface, truth = scene
    found = learnt(field, clicks(surface), by_level)
    right = found.labels == truth
    assert right.mean() > 0.95, right.mean()
    assert all(right[truth == uid].mean() > 0.8 for uid in (FLOOR, RED, BLUE))
    assert np.allclose(found.confidence, found.probability.max(1)) and found.confidence[right].mean() > 0.5
    assert np.allclose(found.probability.sum(1), 1, atol=1e-4)
    assert list(found.uids) == [FLOOR, RED, BLUE]


def test_the_same_document_gives_the_same_bits(field, scene):
    surface = scene[1]
    first = learnt(field, clicks(surface))
    learnt(field, clicks(surface)[:2], True)
    again = learnt(field, clicks(surface)[::-1])
    fresh = MarksOnlyField(scene[0], surface, tree(), seed=3)
    while not fresh.geometry_done:
        fresh.geometry_slice(10.0)
    other = learnt(fresh, clicks(surface))
    for found in (again, other):
        assert np.array_equal(first.labels, found.labels) and np.array_equal(first.probability, found.probability)


def test_a_mark_on_a_group_teaches_the_levels_above_it_alone(field, scene):
    _, surface, truth = scene
    coarse = [clicks(surface)[0], mark(surface, 2, BOXES, 0.6, 0.7), clicks(surface)[3]]
    found = learnt(field, coarse, True)
    assert set(np.unique(found.labels)) <= {FLOOR, BOXES}
    assert (found.labels[truth == RED] == BOXES).mean() > 0.8
    finer = learnt(field, [*coarse, mark(surface, 5, BLUE, 1.6, 0.9), mark(surface, 6, RED, 0.5, 0.5)], True)
    assert BOXES not in finer.labels and (finer.labels == truth).mean() > 0.9


def test_negative_marks_push_a_label_away(field, scene):
    _, surface, truth = scene
    said = clicks(surface)[:2]
    denied = [*said, mark(surface, 7, RED, 1.6, 0.9, sign=-1)]
    before, after = learnt(field, said), learnt(field, denied)
    column = list(after.uids).index(RED)
    here = denied[-1].vertices[0]
    assert after.probability[here, column] < 0.5 < before.probability[here, column] + 0.5
    assert after.probability[here, column] < before.probability[here, column]
    assert (after.labels[truth == RED] == RED).mean() > 0.7


def test_previews_come_before_the_end(field, scene):
    surface = scene[1]
    field.forget_labels()
    seen = []
    while not field.labels_done:
        field.label_slice(tree(), clicks(surface), 0.0)
        if field.preview is not None:
            seen.append(field.preview)
            field.preview = None
    assert len(seen) == 1  # of those that the short schedule reaches
    assert (seen[0].labels > 0).all()


def test_without_positive_marks_nothing_is_labelled(field, scene):
    found = learnt(field, [mark(scene[1], 1, RED, 0.6, 0.7, sign=-1)])
    assert not found.labels.any() and not len(found.uids)


def test_marks_that_could_not_be_placed_are_ignored(field, scene):
    surface = scene[1]
    lost = PlacedMark(9, BLUE, 1, np.zeros(0, np.int64), np.zeros((0, 3), np.float32), "it lies outside")
    assert np.array_equal(learnt(field, [*clicks(surface)[:2], lost]).labels, learnt(field, clicks(surface)[:2]).labels)


def test_digits_of_levels():
    labels = [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]
    wide = LabelTree(Label(uid, "", parent, "class", True, (0, 0, 0)) for uid, parent in labels)
    assert _level_widths(wide) == [2, 1]
    codes = _Coding(wide, [2, 3, 4, 5], True).targets([1, 2, 3, 4, 5]).tolist()
    assert codes == [[-1, -1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, -1], [-1, -1, 1]]


def test_labels_wait_for_geometry(scene, settings):
    fresh = MarksOnlyField(scene[0], scene[1], tree())
    with pytest.raises(RuntimeError):
        fresh.label_slice(tree(), clicks(scene[1]), 0.01)


def test_teaching_goes_on_from_what_was_learnt(scene, field):
    surface, truth = scene[1:]
    learnt(field, clicks(surface)[:1])
    field.forget_labels()
    field.label_steps = 0
    for count in (2, 3, 4):
        field.teach(clicks(surface)[:count], 25)
    found = field.predict()
    assert (found.labels == truth).mean() > 0.9


def test_short_of_memory_a_step_is_tried_again_with_the_same_bits_or_told(field, scene, monkeypatch):
    monkeypatch.setattr(marks_only, "PointSampler", SmallDevice)
    short = MarksOnlyField(scene[0], scene[1], tree(), seed=3)
    short._sampler.failing = 2
    while not short.geometry_done:
        short.geometry_slice(0.5)
    marks = clicks(scene[1])
    wanted = learnt(field, marks)
    short.label_slice(tree(), marks, 0.001)
    short._sampler.failing = 1 << 40
    with pytest.raises(torch.OutOfMemoryError):
        short.label_slice(tree(), marks, 1.0)
    short._sampler.failing = 0  # the person has closed something: the document is learnt from its beginning
    while not short.labels_done:
        short.label_slice(tree(), marks, 0.01)
    assert np.array_equal(short.predict().probability, wanted.probability)
