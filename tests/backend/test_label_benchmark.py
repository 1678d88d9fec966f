"""The label benchmark's bookkeeping: what is measured again, what a table says."""

import json

import numpy as np
import pytest
from PIL import Image

from backend.evaluation.simulation import Curve, LevelScore, Point
from backend.evaluation.truth import load_truth
from benchmarks.fewer_classes import with_fewer_classes
from benchmarks.label_report import Table, write_docs
from benchmarks.labels import Book
from tests.backend import surface_scenes

BUDGETS = ("1x", "20")
SPLITS = {"report": ("room-10", "desk-10"), "tuning": ("sample",)}


def run(engine, seed, values, readout="scan"):
    """A stored run with these mean IoUs in percent."""
    points = []
    for budget, clicks, value in zip(BUDGETS, (10, 20), values, strict=True):
        level = LevelScore(value / 100, 0.9, 0.5, 0.1, {"floor": value / 100})
        points.append(Point(budget, clicks, {kind: {"leaves": level} for kind in ("scan", "photo")}))
    return Curve(engine, "largest-error", seed, readout, points, 0.1, 0.2, None, [], 0).to_json()


@pytest.fixture
def runs():
    found = {}
    for scene, shift in (("room-10", 0), ("desk-10", 4)):
        for seed in (0, 1):
            found[f"{scene} combined {seed}"] = run("combined", seed, (60 + shift, 80 + seed), "photo")
            found[f"{scene} nearest {seed}"] = run("nearest", seed, (50 + shift, 70))
        found[f"{scene} ceiling"] = {"scan": 0.9, "photo": 0.95}
    found["sample combined 0"] = run("combined", 0, (10, 20), "photo")
    return found


def test_lead_is_paired_by_scene_and_seed(runs):
    table = Table(runs, SPLITS["report"], [0, 1], BUDGETS, "largest-error")
    assert table.engines() == ["combined", "nearest"]
    assert table.lead("nearest", "1x") == pytest.approx((10.0, 0.0))  # scenes differ, the lead does not
    mean, error = table.lead("nearest", "20")
    assert mean == pytest.approx(10.5) and error == pytest.approx(0.5773 / 2, abs=1e-3)
    assert table.lead("combined", "20") is None


def test_page_keeps_what_people_wrote(runs, tmp_path):
    page, plot = tmp_path / "benchmarks.md", tmp_path / "images" / "curves.svg"
    page.write_text("# Title\n\nbefore\n<!-- labels: begin -->\nold\n<!-- labels: end -->\nafter\n")
    for _ in range(2):
        write_docs(runs, SPLITS, BUDGETS, page, plot)
        text = page.read_text()
        assert text.startswith("# Title\n\nbefore\n") and text.endswith("\nafter\n") and "old" not in text
        assert "| 62.0 (60-64) | 80.5 (80-81) |" in text and "+10.5 ± 0.3" in text and "images/curves.svg" in text
        assert "would reach 90.0" in text and text.index("Report split") < text.index("Tuning split")
    assert plot.read_text().count("<polygon") == 2


def test_book_forgets_runs_of_other_code(tmp_path):
    book = Book(tmp_path / "r.json")
    book.add("a", {"x": 1})
    assert book.has("a") and not book.has("b")
    again = Book(tmp_path / "r.json")
    assert again.has("a") and again.runs["a"]["x"] == 1
    again.runs["a"]["digest"] = "of other code"
    assert not again.has("a") and not again.current


def test_small_classes_are_not_counted(tmp_path):
    capture = surface_scenes.ball_capture(views=2, size=40)
    nodes = [{"uid": 1, "name": "all", "parent": 0, "kind": "group"}]
    nodes += [{"uid": uid, "name": f"class {uid}", "parent": 1} for uid in (2, 3, 4, 5)]
    (tmp_path / "classes.json").write_text(json.dumps({"tree": nodes}))
    labels = np.full((30, 40), 2, np.uint8)
    labels[:5], labels[5, :3], labels[6] = 4, 3, 0
    for frame in capture.frames:
        Image.fromarray(labels).save(tmp_path / f"{frame.name}.png")
    truth = load_truth(tmp_path, capture)
    names = [frame.name for frame in capture.frames]
    few = with_fewer_classes(truth, names, 2)
    assert set(few.tree.labels) == {1, 2, 4}  # what stays, and its group
    assert np.array_equal(few.of(names[1]), np.where(np.isin(labels, (2, 4)), labels, 0))
    assert np.array_equal(truth.of(names[1]), labels)
