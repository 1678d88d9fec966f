"""Ask Me: where it asks, where it does not, and what it offers. Known answers on a room whose truth is known."""

import numpy as np
import pytest

from backend import asking
from backend.captures.detect import ImportOptions, open_capture
from backend.errors import UserError
from backend.service import Service
from backend.surface.fusion import fuse
from backend.surface.mesh import extract
from tests import rooms

FRAMES = 8


def silent(fraction, text):
    """No progress wanted."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A room on disk whose second depth image has a hole."""
    folder = tmp_path_factory.mktemp("room")
    shots = rooms.write_transforms(folder, n_frames=FRAMES)
    depth = shots[1].depth.copy()
    depth[:, : depth.shape[1] // 2] = 0
    rooms.save_image(folder / "depth" / f"{shots[1].name}.png", rooms.encode_depth(depth, 1000.0))
    return folder


class Scene:
    """The room open in a service, spoken to by requests."""

    def __init__(self, folder, cache):
        self.events = []
        self.service = Service(lambda *event: self.events.append(event), "cpu")
        answer, arrays = self.request("open", path=str(folder), cache=str(cache))
        _, shape, data = arrays["positions"]
        self.positions = np.frombuffer(data, "<f4").reshape(shape)
        self.vertices = answer["vertices"]
        self.capture = self.service._workspace.capture
        self.revision = 0

    def request(self, method, **params):
        return self.service.handle(method, params, {}, silent)

    def document(self, marks, tree=None):
        """Send labels and marks; the answer."""
        self.revision += 1
        whole = rooms.marks_for(rooms.shoot(FRAMES))
        document = {"revision": self.revision, "tree": tree or whole["tree"], "marks": marks}
        return self.request("document", document=document)[0]

    def ask(self, **changes):
        params = {"measure": "entropy", "top": 5, "seed": 1, "level": 0, "skipped": []} | changes
        return self.request("ask", **params)[0]


@pytest.fixture(scope="module")
def scene(folder, tmp_path_factory):
    made = Scene(folder, tmp_path_factory.mktemp("cache"))
    made.service._workspace._keyframes.finish(silent)
    yield made
    made.service.close()


@pytest.fixture(scope="module")
def marks():
    whole = rooms.marks_for(rooms.shoot(FRAMES))
    return [{"id": index + 1, **mark} for index, mark in enumerate(whole["marks"])]


def uncertainty_of(scene, measure):
    _, arrays = scene.request("uncertainty", measure=measure, level=0)
    dtype, shape, data = arrays["uncertainty"]
    assert (dtype, shape) == ("u1", (scene.vertices,))
    return np.frombuffer(data, np.uint8)


def vertex_at(scene, point):
    return int(((scene.positions - np.array(point)) ** 2).sum(1).argmin())


@pytest.mark.parametrize("measure", ["entropy", "least-confidence", "margin"])
@pytest.mark.parametrize("top", [1, 5])
def test_asked_place_is_among_the_most_uncertain_of_its_keyframe(scene, marks, measure, top):
    scene.document(marks[:4])
    unsure = uncertainty_of(scene, measure)
    workspace = scene.service._workspace
    frames, _, vertices = workspace._keyframes.joined()
    for seed in range(6):
        question = scene.ask(measure=measure, top=top, seed=seed)
        index = workspace._keyframes.names.index(question["frame"])
        here = unsure[vertices[frames == index]]
        at = unsure[vertex_at(scene, question["point"])]
        allowed = int(np.ceil(top / 100 * workspace._keyframes.areas[index]))
        assert (here > at).sum() <= allowed + 0.02 * len(here)  # pixels near marks do not count, bytes round
        assert at > np.median(here)


def test_keyframes_are_drawn_by_their_uncertainty(scene, marks):
    """Each keyframe comes up about as often as its part of the uncertainty says."""
    scene.document(marks[:3])
    keyframes = scene.service._workspace._keyframes
    asked = [scene.ask(seed=seed)["frame"] for seed in range(300)]
    frames, _, vertices = keyframes.joined()
    unsure = uncertainty_of(scene, "entropy").astype(float)
    expected = np.bincount(frames, unsure[vertices], minlength=len(keyframes.names))
    expected /= expected.sum()
    counted = np.array([asked.count(name) for name in keyframes.names]) / len(asked)
    assert np.abs(counted - expected).max() < 4 * np.sqrt(0.25 / len(asked))


def test_pixel_and_point_are_the_same_place(scene, marks):
    scene.document(marks[:4])
    for seed in range(5):
        question = scene.ask(seed=seed)
        picked = scene.request("pick", frame=question["frame"], u=question["u"], v=question["v"])[0]["point"]
        assert np.linalg.norm(np.subtract(picked, question["point"])) < 0.05


def test_same_seed_same_question(scene, marks):
    scene.document(marks[:4])
    first = scene.ask(seed=7)
    scene.document(marks[:2])
    scene.document(marks[:4])
    assert scene.ask(seed=7) == first
    assert len({(q["frame"], q["u"], q["v"]) for q in (scene.ask(seed=s) for s in range(8))}) > 4


def test_marked_and_skipped_places_are_not_asked_again(scene, marks):
    answer = scene.document(marks[:4])
    places = [mark["point"] for mark in answer["marks"]]
    skipped = []
    for seed in range(25):
        question = scene.ask(seed=seed, skipped=skipped)
        distance = np.linalg.norm(np.array(places + skipped) - question["point"], axis=1)
        assert distance.min() > 0.95 * asking.APART
        skipped.append(question["point"])


def test_nothing_is_asked_where_everything_was_skipped(scene, marks):
    scene.document(marks[:4])
    with pytest.raises(UserError, match="Nothing is left to ask") as caught:
        scene.ask(skipped=scene.positions[::7].tolist())
    assert caught.value.code == "nothing_to_ask"


def test_unsure_geometry_is_left_out(scene, folder):
    frames, pixels, vertices = scene.service._workspace._keyframes.joined()
    width = scene.capture.frames[1].intrinsics.width
    assert pixels[frames == 1][:, 0].min() >= width / 2 - 1  # the left half has no depth
    assert pixels[frames == 0][:, 0].min() < width / 4
    for index in (0, 4):
        frame = scene.capture.frames[index]
        depth = frame.depth()
        u, v = pixels[frames == index].astype(int).T
        spread = np.stack([depth[v + dy, u + dx] for dy in (-2, 2) for dx in (-2, 2)])
        assert (np.ptp(spread, axis=0) < asking.EDGE * 1.01 * depth[v, u]).all()
        pose = scene.capture.camera_to_scene(frame)
        points = frame.intrinsics.unproject(np.stack([u, v], 1), depth[v, u]) @ pose[:3, :3].T + pose[:3, 3]
        away = np.linalg.norm(points - scene.positions[vertices[frames == index]], axis=1)
        assert away.max() <= 2 * scene.service._workspace.surface.voxel + 1e-6


def test_broken_depth_shows_nothing(tmp_path):
    rooms.write_transforms(tmp_path, n_frames=3)
    capture = open_capture(tmp_path, ImportOptions())
    surface = extract(fuse(capture, silent, device="cpu"), silent)
    (tmp_path / "depth" / f"{capture.frames[1].name}.png").write_bytes(b"no picture")
    keyframes = asking.Keyframes(capture, surface)
    keyframes.finish(silent)
    counts = np.bincount(keyframes.joined()[0], minlength=3)
    assert counts[1] == 0 and counts[0] > 0 and counts[2] > 0


def test_choices_are_the_likeliest_labels_then_those_without_marks(scene, marks):
    scene.document(marks[:4])
    question = scene.ask()
    shown = [choice["uid"] for choice in question["choices"]]
    chances = [choice["probability"] for choice in question["choices"]]
    marked = {mark["label"] for mark in marks[:4]}
    assert len(shown) == len(set(shown)) <= asking.MOST_CHOICES
    assert chances == sorted(chances, reverse=True) and sum(chances) <= 1.001
    assert {uid for uid, chance in zip(shown, chances, strict=True) if chance > 0} <= marked
    assert set(shown[: len(marked)]) == marked


def test_questions_before_the_first_mark(scene, marks):
    """With labels but no marks everything is unsure; with no labels there is nothing to offer but a new one."""
    scene.document([])
    assert uncertainty_of(scene, "entropy").min() == 255
    question = scene.ask()
    assert question["choices"] and all(choice["probability"] == 0 for choice in question["choices"])
    scene.request("document", document={"tree": [], "marks": []})
    assert scene.ask() == question | {"choices": []}


def test_questions_after_the_first_mark_go_far_from_it(scene, marks):
    tree = rooms.marks_for(rooms.shoot(FRAMES))["tree"]
    _, arrays = scene.request("document", document={"tree": tree, "marks": marks[:1]})
    confidence = np.frombuffer(arrays["confidence"][2], np.uint8)
    asked = [confidence[vertex_at(scene, scene.ask(seed=seed)["point"])] for seed in range(20)]
    assert np.median(asked) <= np.median(confidence)


def test_questions_on_a_level_offer_that_levels_labels(scene, marks):
    whole = rooms.marks_for(rooms.shoot(FRAMES))["tree"]
    groups = [{"uid": 901, "name": "shell", "kind": "group"}, {"uid": 902, "name": "things", "kind": "group"}]
    tree = groups + [{**node, "parent": 902 if node["uid"] >= 70 else 901} for node in whole]
    scene.document(marks, tree=tree)
    question = scene.ask(level=1)
    assert {choice["uid"] for choice in question["choices"]} == {901, 902}
    assert sum(choice["probability"] for choice in question["choices"]) == pytest.approx(1, abs=0.02)


def test_answering_makes_the_place_certain(scene, marks):
    scene.document(marks[:4])
    question = scene.ask(seed=3)
    said = {"id": 99, "label": marks[0]["label"], "frame": question["frame"], "u": question["u"], "v": question["v"]}
    answer = scene.document([*marks[:4], said])
    assert answer["marks"][-1]["problem"] is None
    assert np.linalg.norm(np.subtract(answer["marks"][-1]["point"], question["point"])) < 0.05


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"measure": "guess"}, "no measure"), ({"skipped": [[1, 2]]}, "points"), ({"top": "many"}, "number")],
)
def test_bad_queries_are_refused_in_a_sentence(scene, marks, changes, words):
    scene.document(marks[:4])
    with pytest.raises(UserError, match=words):
        scene.ask(**changes)


# What an answer to a document tells beside the labels.


def test_one_startling_mark_is_told(scene, marks):
    """A wall marked as a box takes a wall along: the sentence names the mark, and the same document says the same."""
    walls = [mark for mark in marks if mark["label"] < 70]
    boxes = [mark for mark in marks if mark["label"] >= 70]
    said = [*walls[:3], boxes[0]]
    calm = [{**mark, "id": index + 1} for index, mark in enumerate(said)]
    assert scene.document(calm)["warning"] is None  # the first mark of a label may change much
    wrong = {**walls[0], "id": 50, "label": boxes[0]["label"]}
    answer = scene.document([*calm, wrong])
    warning = answer["warning"]
    assert warning["mark"] == 50 and warning["share"] > 0.06 and warning["sentence"].startswith("Mark 50 (")
    muted = scene.document([*calm, {**wrong, "muted": True}])
    assert muted["warning"] is None
    assert scene.document([*calm, wrong])["warning"] == warning


def test_warning_is_that_of_a_fresh_process(folder, scene, marks, tmp_path):
    walls = [mark for mark in marks if mark["label"] < 70]
    boxes = [mark for mark in marks if mark["label"] >= 70]
    calm = [{**mark, "id": index + 1} for index, mark in enumerate([*walls[:3], boxes[0]])]
    wrong = {**walls[0], "id": 50, "label": boxes[0]["label"]}
    scene.document(calm)
    told = scene.document([*calm, wrong])
    fresh = Scene(folder, tmp_path)
    again = fresh.document([wrong, *calm[::-1]])
    fresh.service.close()
    assert again["warning"] == told["warning"] is not None


def test_muted_marks_teach_nothing(scene, marks):
    """A document with a muted mark is labelled bit for bit as the one without it, and back."""

    def labels(sent):
        _, arrays = scene.request("document", document=whole | {"marks": sent})
        return bytes(arrays["labels"][2]), bytes(arrays["confidence"][2])

    whole = {"tree": rooms.marks_for(rooms.shoot(FRAMES))["tree"]}
    with_it, without = labels(marks[:5]), labels(marks[:4])
    assert with_it != without
    assert labels([*marks[:4], {**marks[4], "muted": True}]) == without
    assert labels(marks[:5]) == with_it


def test_contradictions_name_winner_and_loser(scene, marks):
    first = marks[0]
    other = next(mark for mark in marks if mark["label"] != first["label"])
    assert scene.document([first, other])["contradictions"] == []
    over = {**first, "id": 40, "label": other["label"]}
    assert scene.document([first, other, over])["contradictions"] == [[40, first["id"]]]


def test_effects_are_the_shares_that_muting_changes(scene, marks):
    some = marks[:5]
    scene.document(some)
    effects = scene.request("effects")[0]["effects"]
    assert set(effects) == {str(mark["id"]) for mark in some}
    assert all(0 <= share <= 1 for share in effects.values()) and max(effects.values()) > 0.02
    before = labels_of(scene, some)
    for mark in some:
        muted = labels_of(scene, [{**other, "muted": other is mark} for other in some])
        assert (before != muted).mean() == pytest.approx(effects[str(mark["id"])], abs=0.08)


def labels_of(scene, marks):
    tree = rooms.marks_for(rooms.shoot(FRAMES))["tree"]
    _, arrays = scene.request("document", document={"tree": tree, "marks": marks})
    return np.frombuffer(arrays["labels"][2], "<u2")


def test_keyframe_is_as_sharp_as_its_photo(scene, marks):
    scene.document(marks)
    frame = scene.capture.frames[2]
    _, arrays = scene.request("keyframe", frame=frame.name, want=["labels", "confidence"])
    size = (frame.intrinsics.height, frame.intrinsics.width)
    assert {name: (kind, shape) for name, (kind, shape, _) in arrays.items()} == {
        "labels": ("u2", size),
        "confidence": ("u1", size),
    }
    shown = np.frombuffer(arrays["labels"][2], "<u2").reshape(size)
    truth = rooms.shoot(FRAMES)[2].labels
    assert (shown == 10 * truth.astype(int)).mean() > 0.6
    assert set(scene.request("keyframe", frame=frame.name)[1]) == {"labels"}
    with pytest.raises(UserError, match="no keyframe called"):
        scene.request("keyframe", frame="nowhere")
