"""Scores of label maps: known answers."""

import numpy as np
import pytest
from PIL import Image

from backend.captures.capture import Capture, Frame, Intrinsics
from backend.errors import UserError
from backend.evaluation import plots
from backend.evaluation.metrics import Tally, border, scores
from backend.evaluation.truth import load_truth


def halves(height=20, width=30, at=15):
    labels = np.ones((height, width), np.uint16)
    labels[:, at:] = 2
    return labels


def test_iou_and_accuracy_of_a_moved_border():
    truth, said = halves(), halves(at=18)
    found = scores(truth, said)
    assert found.uids.tolist() == [1, 2]
    assert found.iou == pytest.approx([15 / 18, 12 / 15]) and found.accuracy == pytest.approx(27 / 30)


def test_counts_of_views_are_added_before_they_are_divided():
    tally = Tally(3)
    tally.add(halves(), halves())
    tally.add(halves(10, 30, 5), np.ones((10, 30), np.uint16))
    together = scores(
        np.concatenate([halves().ravel(), halves(10, 30, 5).ravel()]),
        np.concatenate([halves().ravel(), np.ones(300, np.uint16)]),
    )
    assert tally.scores.miou == pytest.approx(together.miou)


def test_places_without_truth_do_not_count():
    truth = halves()
    truth[:5] = 0
    said = halves()
    said[:5] = 7
    tally = Tally(8)
    tally.add(truth, said)
    assert tally.scores.miou == 1.0 and tally.boundary == 1.0


def test_border_is_one_pixel_on_each_side():
    labels = halves()
    on = border(labels, labels > 0)
    assert (on[:, 14] == 1).all() and (on[:, 15] == 2).all() and np.count_nonzero(on) == 2 * 20


@pytest.mark.parametrize(("at", "f"), [(15, 1.0), (17, 1.0), (18, 0.0), (13, 1.0), (12, 0.0)])
def test_borders_count_within_two_pixels(at, f):
    tally = Tally(3)
    tally.add(halves(), halves(at=at))
    assert tally.boundary == pytest.approx(f)


def test_half_a_border_is_half_recall_and_full_precision():
    said = halves()
    said[:10, 15:] = 1
    tally = Tally(3)
    tally.add(halves(), said)
    # the new horizontal border of the prediction is 15 pixels long on each side and mostly wrong
    assert 0.4 < tally.boundary < 0.75


def test_calibration_error_of_known_confidences():
    truth = np.ones((10, 10), np.uint16)
    said = truth.copy()
    said[:2] = 2  # 80 % right
    for sure, error in ((0.8, 0.0), (1.0, 0.2), (0.5, 0.3)):
        tally = Tally(3)
        tally.add(truth, said, np.full((10, 10), sure, np.float32))
        assert tally.calibration_error == pytest.approx(error, abs=1e-6)
    silent = Tally(3)
    silent.add(truth, said)
    assert silent.calibration_error is None


# Truth on disk.


def capture_of(names, size=(6, 4)):
    camera = Intrinsics(*size, 5.0, 5.0, 2.5, 1.5)
    frames = [Frame(name, None, camera, camera, np.eye(4), None, None) for name in names]
    return Capture("c", "made", None, tuple(frames), np.eye(4))


def write_map(folder, name, labels):
    folder.mkdir(exist_ok=True)
    Image.fromarray(labels).save(folder / f"{name}.png")


def test_truth_reads_both_depths_and_knows_its_levels(tmp_path):
    folder = tmp_path / "labels"
    labels = np.zeros((4, 6), np.uint8)
    labels[1:] = 2
    write_map(folder, "a", labels)
    write_map(folder, "b", np.full((4, 6), 300, np.uint16))
    (tmp_path / "classes.json").write_text(
        '{"tree": [{"uid": 1, "name": "furniture", "kind": "group"}, {"uid": 2, "name": "chair", "parent": 1},'
        ' {"uid": 300, "name": "floor"}]}'
    )
    truth = load_truth(folder, capture_of(["a", "b", "c"]))
    assert "a" in truth and "c" not in truth
    assert truth.of("a").dtype == np.uint16 and truth.of("b").max() == 300
    levels = truth.levels()
    assert list(levels) == ["leaves", "level 1"]
    assert levels["level 1"][[0, 1, 2, 300]].tolist() == [0, 1, 1, 300]


@pytest.mark.parametrize(
    ("classes", "labels", "sentence"),
    [
        (None, np.ones((4, 6), np.uint8), "classes.json"),
        ("[1, 2]", np.ones((4, 6), np.uint8), "must map ids"),
        ('{"x": "wall"}', np.ones((4, 6), np.uint8), "must map ids"),
        ('{"1": "wall"', np.ones((4, 6), np.uint8), "not JSON"),
        ('{"1": "wall"}', np.full((4, 6), 9, np.uint8), "id 9"),
        ('{"1": "wall"}', np.ones((3, 6), np.uint8), "6 x 3 pixels"),
        ('{"1": "wall"}', np.ones((4, 6, 3), np.uint8), "one channel"),
    ],
)
def test_what_is_wrong_with_truth_is_one_sentence(tmp_path, classes, labels, sentence):
    folder = tmp_path / "labels"
    write_map(folder, "a", labels)
    if classes is not None:
        (folder / "classes.json").write_text(classes)
    with pytest.raises(UserError, match=sentence) as caught:
        load_truth(folder, capture_of(["a"])).of("a")
    assert caught.value.sentence.endswith(".")


def test_truth_needs_maps_called_like_frames(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "classes.json").write_text('{"1": "wall"}')
    with pytest.raises(UserError, match=r"a\.png"):
        load_truth(tmp_path / "labels", capture_of(["a"]))


# Plots.


def test_plot_holds_every_curve_in_both_formats(tmp_path):
    clicks = np.array([10, 20, 50])
    series = [
        plots.Series("ours <new>", clicks, np.array([[50, 60, 80], [54, 62, 84]])),
        plots.Series("other", clicks, np.array([[40, 55, 70]])),
    ]
    plots.draw(tmp_path / "p.svg", series, "Title & more")
    plots.draw(tmp_path / "p.png", series, "Title & more")
    text = (tmp_path / "p.svg").read_text()
    assert "ours &lt;new&gt; (82.0)" in text and "Title &amp; more" in text and text.count("<polygon") == 1
    image = np.asarray(Image.open(tmp_path / "p.png"))
    for color in plots.COLORS[:2]:
        wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
        assert (image[..., :3] == wanted).all(axis=2).sum() > 500
