"""Documents of the marks-only methods in a workspace: previews, then settled labels that only the document decides."""

import numpy as np
import pytest
import torch

from backend import out_of_memory, protocol, teaching
from backend.captures.detect import ImportOptions
from backend.field import joint
from backend.labels import marks_only
from backend.workspace import Workspace
from tests import rooms


def silent(fraction, text):
    """No progress wanted."""


def document(method, count=6, revision=1):
    """The first marks of the room's: walls and boxes."""
    whole = rooms.marks_for(rooms.shoot(8))
    marks = [{"id": index + 1, **mark} for index, mark in enumerate(whole["marks"])]
    return protocol.checked_document(
        {"revision": revision, "tree": whole["tree"], "marks": marks[:count], "method": method}
    )


@pytest.fixture(scope="module")
def seen():
    return {"status": [], "labels": []}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, seen):
    patch = pytest.MonkeyPatch()
    short = {"GEOMETRY_STEPS": 60, "GEOMETRY_PIXELS": 128, "LABEL_STEPS": 60, "LABEL_PIXELS": 48}
    for name, value in short.items():
        patch.setattr(marks_only, name, value)
    patch.setattr(joint, "WIDTH", 48)
    patch.setattr(teaching, "STEPS", 120)
    folder = tmp_path_factory.mktemp("room")
    rooms.write_transforms(folder, n_frames=8)
    with Workspace("cpu", on_status=seen["status"].append, on_labels=seen["labels"].append) as opened:
        opened.open(folder, ImportOptions(), silent, lambda capture: None)
        yield opened
    patch.undo()


@pytest.fixture(scope="module")
def settled(workspace, seen):
    first = workspace.label(document("marks-only"))
    return first, workspace.settle(silent)


def test_marks_are_shown_at_once_and_the_rest_follows(settled, workspace, seen):
    first, then = settled
    assert (first.stage, then.stage) == ("posterior", "settled")
    for mark in first.marks:
        assert (first.labels[mark.vertices] == mark.label).all()
    assert (first.labels > 0).mean() < 0.1 and (then.labels > 0).all()
    assert set(np.unique(then.labels)) <= set(then.classes) and len(then.classes) == 6
    stages = [labelling.stage for labelling in seen["labels"]]
    assert stages == ["posterior", "settled"]  # one preview within the short schedule
    told = [status for status in seen["status"] if status.text == "The field learns the marks"]
    assert told and all(s.steps > 0 and s.loss is not None and not s.settled for s in told)
    assert workspace.status.settled


def test_settled_labels_do_not_depend_on_what_came_before(settled, workspace):
    workspace.label(document("marks-only", 3, revision=2))
    shorter = workspace.settle(silent)
    assert not np.array_equal(shorter.labels, settled[1].labels)
    remembered = workspace.label(document("marks-only", revision=3))
    assert remembered.stage == "settled" and remembered.revision == 3
    workspace._settled.clear()
    workspace.label(document("marks-only", revision=4))
    again = workspace.settle(silent)
    assert np.array_equal(again.labels, settled[1].labels) and np.array_equal(again.confidence, settled[1].confidence)


def test_methods_can_be_changed_at_any_time(settled, workspace):
    workspace.label(document("marks-only-tree", revision=5))
    for _ in range(5):
        workspace.idle()
    combined = workspace.label(document("combined", revision=6))
    assert combined.stage == "posterior" and not workspace._by_marks.waiting
    workspace.label(document("marks-only-tree", revision=7))
    by_level = workspace.settle(silent)
    assert by_level.revision == 7 and by_level.stage == "settled" and (by_level.labels > 0).all()


def test_without_marks_there_is_nothing_to_learn(settled, workspace):
    found = workspace.label(document("marks-only", 0, revision=8))
    assert not found.labels.any() and not workspace._by_marks.waiting


def test_a_device_without_memory_hands_over_to_the_cpu_which_gives_the_same_labels(settled, workspace):
    out_of_memory.notices()
    workspace._settled.clear()
    workspace.label(document("marks-only", revision=20))
    by_marks = workspace._by_marks
    by_marks._device = torch.device("cuda")  # as if its field were there
    field = by_marks._field.result()
    field._sampler = Full(field._sampler)
    workspace.idle()
    assert by_marks._device.type == "cpu" and by_marks._field.result() is not field
    assert np.array_equal(workspace.settle(silent).labels, settled[1].labels)


class Full:
    """A sampler on a device that is full for good."""

    def __init__(self, sampler):
        self.generator = sampler.generator

    def draw(self, pixels):
        raise torch.OutOfMemoryError("CUDA out of memory")
