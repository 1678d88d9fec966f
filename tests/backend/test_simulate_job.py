"""The `simulate` command on a small room, and that its marks give the same labels through `label`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend import simulate_job
from backend.captures.detect import ImportOptions, open_capture
from backend.captures.held_out import held_out_frames, without
from backend.errors import UserError
from backend.evaluation.engines import Answer, Engine
from backend.evaluation.metrics import Tally
from backend.evaluation.simulation import Curve, Scene, document_of, parse_budgets, simulate
from backend.evaluation.truth import load_truth
from backend.simulate_job import fused
from tests import rooms

ROOT = Path(__file__).resolve().parents[2]
N_FRAMES = 10
HELD_OUT = ["000002", "000006"]


def write_room(folder):
    shots = rooms.write_transforms(folder / "capture", n_frames=N_FRAMES)
    for shot in shots:
        rooms.save_image(folder / "truth" / f"{shot.name}.png", shot.labels * 10)
    tree = [{"uid": 1, "name": "walls", "kind": "group"}, {"uid": 2, "name": "things", "kind": "group"}]
    seen = np.unique(np.stack([shot.labels for shot in shots])).tolist()
    tree += [{"uid": 10 * k, "name": f"label {k}", "parent": 1 if k < 7 else 2} for k in seen]
    (folder / "truth" / "classes.json").write_text(json.dumps({"tree": tree}))
    (folder / "held_out.json").write_text(json.dumps(HELD_OUT))
    return shots


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    write_room(folder)
    capture = open_capture(folder / "capture", ImportOptions())
    truth = load_truth(folder / "truth", capture)
    left = frozenset(HELD_OUT)
    return folder, Scene("room", capture, left, truth, fused(without(capture, left)))


def backend(*arguments):
    command = [sys.executable, "-m", "backend", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def command(room, tmp_path_factory):
    """One run of the command with the whole product as engine."""
    folder, out = room[0], tmp_path_factory.mktemp("out")
    done = backend(
        "simulate", folder / "capture", "--truth", folder / "truth", "--clicks", "1x,12",
        "--protocol", "random", "--seed", 3,
        "--held-out", folder / "held_out.json", "--json", out / "r.json", "--plot", out / "r.svg", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_command_reports_a_learning_curve(command):
    out, printed = command
    report = json.loads((out / "r.json").read_text())
    assert report["held_out"] == HELD_OUT and report["engine"] == "combined" and report["without_effect"] == 0
    one, twelve = Curve.from_json(report).points
    assert one.clicks == report["classes"] and twelve.clicks == 12
    leaves, groups = twelve.scores["photo"]["leaves"], twelve.scores["photo"]["level 1"]
    assert leaves.miou > 0.9 and groups.miou > 0.9 and set(groups.iou) == {"walls", "things"}
    assert 0 < leaves.boundary <= 1 and 0 <= leaves.calibration_error < 1
    assert 0 < report["seconds_median"] <= report["seconds_worst"]
    assert "mIoU" in printed and (out / "r.svg").read_text().startswith("<svg")


def test_held_out_frames_never_give_marks(command):
    marks = json.loads((command[0] / "r.marks.json").read_text())["marks"]
    assert len(marks) == 12 and not {mark["frame"] for mark in marks} & set(HELD_OUT)
    first = [mark["label"] for mark in marks[: len({mark["label"] for mark in marks})]]
    assert len(set(first)) == len(first)


def test_label_gives_the_same_labels_for_the_same_marks(room, command, tmp_path):
    folder, scene = room
    done = backend(
        "label", folder / "capture", "--marks", command[0] / "r.marks.json", "--out", tmp_path,
        "--held-out", folder / "held_out.json", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((command[0] / "r.json").read_text())
    tally = Tally(256)
    for name in HELD_OUT:
        tally.add(scene.truth.of(name), np.asarray(Image.open(tmp_path / "labels" / f"{name}.png")))
    theirs = report["points"][-1]["scores"]["photo"]["leaves"]
    assert list(theirs["iou"].values()) == tally.scores.iou.tolist()
    assert theirs["accuracy"] == tally.scores.accuracy and theirs["boundary"] == tally.boundary


class Oracle(Engine):
    """Knows everything that the training frames show, from the first click on."""

    name = "oracle"

    def __init__(self, scene):
        self._labels = scene.readout.truth(scene.training, scene.truth)

    def update(self, document, marks):
        return Answer(self._labels)


class Blind(Engine):
    """Says the label of the first mark everywhere."""

    name = "blind"

    def __init__(self, scene):
        self._count = len(scene.surface.vertices)

    def update(self, document, marks):
        return Answer(np.full(self._count, marks[0].label, np.uint16))


def test_oracle_is_right_and_blind_engine_gets_every_click(room):
    scene = room[1]
    oracle = simulate(scene, Oracle(scene), budgets=["1x", "30"])
    assert oracle.miou("30") > 0.9 and oracle.points[0].scores["scan"]["leaves"].calibration_error is None
    blind = simulate(scene, Blind(scene), budgets=["1x", "30"])
    assert blind.points[1].clicks == 30 and blind.miou("30") < 0.2
    classes = len({mark["label"] for mark in blind.marks})
    assert oracle.marks[:classes] == blind.marks[:classes]  # the same first clicks whatever the engine


def test_a_seed_fixes_the_curve(room):
    scene = room[1]
    one, two = (simulate(scene, Blind(scene), "random-error", ["15"], 4) for _ in range(2))
    assert one.marks == two.marks and one.points == two.points
    assert simulate(scene, Blind(scene), "random-error", ["15"], 5).marks != one.marks


def test_queries_need_an_engine_that_knows_how_unsure_it_is(room):
    with pytest.raises(UserError, match="choose another --protocol"):
        simulate(room[1], Blind(room[1]), "queries-margin", ["30"])


def test_document_of_clicks_is_a_label_document(room):
    scene = room[1]
    document = document_of(scene.truth, [])
    assert [node["uid"] for node in document["tree"]][:2] == [1, 2] and document["marks"] == []


def test_curve_survives_json(room):
    curve = simulate(room[1], Blind(room[1]), budgets=["1x"])
    assert Curve.from_json(json.loads(json.dumps(curve.to_json()))) == curve


def test_budgets():
    assert parse_budgets("120, 1x,20,20") == ["1x", "20", "120"]
    for text in ("", "0", "-3", "2x", "1.5", "1x,,3"):
        with pytest.raises(UserError, match="list like"):
            parse_budgets(text)


def test_held_out_frames_from_a_number_or_a_file(room, tmp_path):
    capture = room[1].capture
    assert sorted(held_out_frames("5", capture)) == ["000002", "000007"]
    (tmp_path / "names.json").write_text('["000001", "nobody"]')
    assert held_out_frames(str(tmp_path / "names.json"), capture) == {"000001"}
    (tmp_path / "none.json").write_text('["nobody"]')
    (tmp_path / "bad.json").write_text('{"a": 1}')
    for choice in ("1", str(tmp_path / "none.json"), str(tmp_path / "bad.json"), str(tmp_path / "missing.json")):
        with pytest.raises(UserError):
            held_out_frames(choice, capture)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"engine": "magic"}, "--engine magic"),
        ({"protocol": "magic"}, "--protocol magic"),
        ({"truth": None}, "needs --truth"),
        ({"plot": Path("p.pdf")}, r"\.svg or \.png"),
        ({"clicks": "many"}, "list like"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(room, changed, sentence):
    job = {"capture": room[0] / "capture", "truth": room[0] / "truth", **changed}
    with pytest.raises(UserError, match=sentence) as caught:
        simulate_job.run(simulate_job.SimulateJob(**job), lambda fraction, text: None)
    assert caught.value.sentence.endswith(".")


def test_command_with_the_fewest_options_says_what_is_wrong_in_one_sentence(room, tmp_path):
    done = backend("simulate", room[0] / "capture", "--truth", tmp_path / "nowhere")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "label maps" in done.stderr


def test_objects_of_a_mesh_through_the_command(tmp_path):
    from tests.backend.label_scenes import boxes_on_floor

    surface, truth = boxes_on_floor()
    arrays = {"vertices": surface.vertices, "faces": surface.faces, "colors": surface.colors}
    np.savez(tmp_path / "m.npz", **arrays, instances=np.where(truth > 1, truth, 0))
    done = backend("simulate", tmp_path / "m.npz", "--object", "--json", tmp_path / "o.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "o.json").read_text())
    assert report["objects"] == 2 and {"IoU@1", "IoU@20", "NOC@80", "NOC@85", "NOC@90"} <= set(report)
    assert "NOC@90" in done.stdout
