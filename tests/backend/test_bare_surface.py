"""A mesh or a cloud without images, labelled over the real service by marks on its surface."""

import numpy as np
import pytest
import torch
import trimesh

from backend import protocol
from backend.errors import UserError
from backend.field.training import TrainingConfig
from backend.labels import student
from backend.service import Service, packed
from backend.surface.clouds import mesh_points

TREE = [{"uid": 1, "name": "ball"}, {"uid": 2, "name": "table", "thing": False}]
BALL, TABLE = [0.0, 0.0, 1.05], [0.7, 0.4, 0.5]
SHORT = TrainingConfig(geometry_steps=60, pixels=512, label_steps=60)
MARKS = [{"id": 1, "label": 1, "points": [BALL]}, {"id": 2, "label": 2, "points": [TABLE]}]


def silent(fraction, text):
    """No progress wanted."""


def two_objects(lift=0.0):
    """A red ball of 0.55 m on a grey slab, or above it: positions, faces, colours; the ball comes first."""
    ball = trimesh.creation.icosphere(3, 0.275)
    ball.apply_translation([0, 0, 0.775 + lift])
    slab = trimesh.creation.box([2, 1.4, 0.1])
    slab.apply_translation([0, 0, 0.45])
    positions = np.concatenate([ball.vertices, slab.vertices]).astype(np.float32)
    faces = np.concatenate([ball.faces, slab.faces + len(ball.vertices)]).astype(np.int32)
    colors = np.concatenate([np.tile(np.uint8([200, 30, 30]), (len(ball.vertices), 1)), np.full((8, 3), 130, np.uint8)])
    return positions, faces, colors


class Backend:
    """The service and what it emits."""

    def __init__(self, cache):
        self.events = []
        self.cache = str(cache)
        self.service = Service(lambda name, data, arrays: self.events.append((name, data)), "cpu")

    def ask(self, method, arrays=None, **params):
        data, answer = self.service.handle(method, params, arrays or {}, silent)
        return data, {k: np.frombuffer(d, np.dtype(f"<{t}")).reshape(s) for k, (t, s, d) in answer.items()}

    def open_mesh(self, positions, faces, colors, **params):
        sent = {"positions": packed(positions), "faces": packed(faces), "colors": packed(colors)}
        return self.ask("open_mesh", sent, name="things", cache=self.cache, **params)

    def document(self, marks=MARKS, revision=1, **more):
        return self.ask("document", document={"revision": revision, "tree": TREE, "marks": marks, **more})

    def settled(self, marks=MARKS):
        """The answer once the field has learnt the document."""
        self.document(marks)
        while self.service.idle():
            pass
        return self.document(marks)


@pytest.fixture(scope="module", autouse=True)
def short_training():
    """The field's schedule, made shorter: what it starts from is nearly right already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(student, "CONFIG", SHORT)
        yield


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    made = Backend(tmp_path_factory.mktemp("cache"))
    made.opened = made.open_mesh(*two_objects())
    yield made
    made.service.close()


def on_ball(positions):
    return positions[:, 2] > 0.51


def test_a_mesh_of_the_scene_becomes_a_capture_without_frames(backend):
    (event,) = [data for name, data in backend.events if name == "capture"]
    assert event["frames"] == [] and event["format"] == "Blender mesh" and event["id"] == backend.opened[0]["id"]
    assert event["scale"] == 1.0
    arrays = backend.opened[1]
    assert len(arrays["positions"]) > 20_000  # the slab's twelve triangles were cut
    assert arrays["faces"].max() < len(arrays["positions"])


def test_two_clicks_label_two_objects(backend):
    ball = on_ball(backend.opened[1]["positions"])
    for answer, stage in ((backend.document, "posterior"), (backend.settled, "settled")):
        data, arrays = answer()
        assert data["stage"] == stage and all(mark["problem"] is None for mark in data["marks"])
        labels = arrays["labels"]
        assert (labels[ball] == 1).mean() > 0.99 and (labels[~ball] == 2).mean() > 0.99
    assert (
        backend.ask("status")[0]["settled"]
        and backend.service._workspace.steps == SHORT.geometry_steps + SHORT.label_steps
    )


def test_the_field_knows_the_surface_that_taught_it(backend):
    """The settled field's distances: zero on the mesh, positive outside, negative inside, metres around it."""
    backend.settled()
    field = backend.service._workspace._student.result()._trainer.field
    directions = trimesh.creation.icosphere(2).vertices
    directions = directions[directions[:, 2] > -0.5]  # not where the slab is
    for height in (-0.03, 0.0, 0.03):
        places = np.float32([0, 0, 0.775]) + (0.275 + height) * directions
        with torch.no_grad():
            distance = field.encode(torch.from_numpy(places.astype(np.float32)))[0].numpy().ravel()
        assert np.abs(distance - height).mean() < 0.008 and np.abs(distance - height).max() < 0.03


def test_the_same_document_says_the_same_after_another(backend):
    _, first = backend.document()
    backend.document(MARKS[:1], 2)
    _, again = backend.document(revision=3)
    assert np.array_equal(first["labels"], again["labels"])
    assert np.array_equal(first["confidence"], again["confidence"])


def test_separation_uncertainty_and_effects(backend):
    backend.document()
    found, arrays = backend.ask("separate")
    assert sorted((one["name"], one["instance"]) for one in found["objects"]) == [("ball", 1), ("table", 1)]
    ball = next(k for k, one in enumerate(found["objects"]) if one["label"] == 1)
    assert np.allclose(found["objects"][ball]["dimensions"], 0.55, atol=0.03)
    assert len(arrays[f"o{ball}.faces"]) > 1000
    unsure = backend.ask("uncertainty", measure="entropy")[1]["uncertainty"]
    assert len(unsure) == len(backend.opened[1]["positions"])
    effects = backend.ask("effects")[0]["effects"]
    assert set(effects) == {"1", "2"} and all(0 < share <= 1 for share in effects.values())


def test_a_question_is_a_point(backend):
    backend.document()
    params = {"measure": "least-confidence", "top": 5, "seed": 1}
    question, _ = backend.ask("ask", **params)
    assert question["frame"] == "" and len(question["point"]) == 3
    away = np.linalg.norm(np.array(question["point"]) - [BALL, TABLE], axis=1)
    assert (away > 0.09).all() and {one["uid"] for one in question["choices"]} == {1, 2}
    other, _ = backend.ask("ask", **params, skipped=[question["point"]])
    assert np.linalg.norm(np.array(other["point"]) - question["point"]) > 0.09


def test_requests_that_need_photos_say_so(backend):
    for method, params in (("keyframe", {"frame": "a"}), ("pick", {"frame": "a", "u": 1, "v": 1})):
        with pytest.raises(UserError, match="without photos"):
            backend.ask(method, **params)
    assert backend.document(method="marks-only")[0]["stage"] == "posterior"
    while (status := backend.ask("status")[0])["text"] != "Training geometry and colour":
        assert backend.service.idle()
    assert status["steps"] >= 0 and not status["settled"]
    mark = {"id": 1, "label": 1, "frame": "000", "u": 1, "v": 1}
    assert "no frame called 000" in backend.document([mark])[0]["marks"][0]["problem"]
    assert backend.ask("save")[0]["bytes"] > 10_000


def test_a_view_shows_the_labelled_mesh(backend):
    backend.document()
    look = np.eye(4)
    look[:3, :3], look[:3, 3] = np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]]).T, [0, 0, 3]
    camera = {"width": 64, "height": 48, "fx": 60, "fy": 60, "cx": 31.5, "cy": 23.5}
    camera["camera_to_scene"] = look.ravel().tolist()
    arrays = backend.ask("views", cameras=[camera], want=["labels", "depth"])[1]
    assert arrays["0.labels"][24, 32] == 1 and abs(arrays["0.depth"][24, 32] - 1.95) < 0.02
    assert arrays["0.labels"][5, 8] == 2


def test_what_came_back_opens_again_under_the_same_id(backend, tmp_path):
    arrays = backend.opened[1]
    other = Backend(tmp_path)
    data, again = other.open_mesh(
        *(arrays[k] for k in ("positions", "faces", "colors")), as_is=True, id="known to the scene"
    )
    assert data["id"] == "known to the scene"
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)
    marks = [{**MARKS[0], "points": [[0.1, 0.0, 1.031]]}, MARKS[1]]  # not settled in either
    _, first = backend.document(marks)
    _, second = other.document(marks)
    assert np.array_equal(first["labels"], second["labels"])
    other.service.close()


@pytest.mark.parametrize("ending", ["ply", "glb"])
def test_a_file_is_opened_like_a_capture(tmp_path, ending):
    positions, faces, colors = two_objects()
    if ending == "glb":
        positions = positions @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # Y is up there
    mesh = trimesh.Trimesh(positions, faces, vertex_colors=colors, process=False)
    mesh.export(tmp_path / f"things.{ending}")
    backend = Backend(tmp_path / "cache")
    _, arrays = backend.ask("open", path=str(tmp_path / f"things.{ending}"), cache=backend.cache)
    labels = backend.document()[1]["labels"]
    ball = on_ball(arrays["positions"])
    assert (labels[ball] == 1).mean() > 0.98 and (labels[~ball] == 2).mean() > 0.98
    backend.service.close()


def sampled(count=40_000, normals=False):
    mesh = trimesh.Trimesh(*two_objects(0.1)[:2], process=False)
    points, triangle = trimesh.sample.sample_surface(mesh, count, seed=1)
    colors = np.where(on_ball(points)[:, None], np.uint8([[200, 30, 30]]), np.uint8([[130, 130, 130]]))
    return points.astype(np.float32), colors, mesh.face_normals[triangle] if normals else None


@pytest.mark.parametrize("normals", [False, True])
def test_a_cloud_becomes_a_surface_near_its_points(normals):
    points, colors, facing = sampled(normals=normals)
    surface, lonely = mesh_points(points, colors, facing)
    ball = surface.colors[:, 0] > 165
    radius = np.linalg.norm(surface.vertices[ball] - [0, 0, 0.875], axis=1)
    assert np.abs(radius - 0.275).max() < 0.02 and lonely == 0
    outwards = np.einsum("ij,ij->i", surface.normals[ball], surface.vertices[ball] - np.float32([0, 0, 0.875]))
    assert (outwards > 0).mean() > 0.97
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    whole = trimesh.Trimesh(*two_objects(0.1)[:2], process=False).area
    assert abs(mesh.area / whole - 1) < 0.06
    again, _ = mesh_points(points, colors, facing)
    assert np.array_equal(again.vertices, surface.vertices) and np.array_equal(again.faces, surface.faces)


def test_noise_of_a_cloud_is_left_out_and_few_points_are_refused():
    points, colors, _ = sampled()
    far = np.float32([[3, 3, 3], [-2, 3, 1]])
    _, lonely = mesh_points(np.concatenate([points, far]), np.concatenate([colors, colors[:2]]), None)
    assert lonely == 2
    with pytest.raises(UserError, match="too small"):
        mesh_points(points[:20], colors[:20], None)


def test_a_cloud_file_says_what_is_lost(tmp_path):
    points, colors, _ = sampled()
    trimesh.PointCloud(points, colors).export(tmp_path / "scan.ply")
    backend = Backend(tmp_path / "cache")
    _, arrays = backend.ask("open", path=str(tmp_path), cache=backend.cache)  # the only mesh in its folder
    (event,) = [data for name, data in backend.events if name == "capture"]
    assert any("were meshed at" in note for note in event["notes"])
    labels = backend.document()[1]["labels"]
    ball = on_ball(arrays["positions"])
    assert (labels[ball] == 1).mean() > 0.95 and (labels[~ball] == 2).mean() > 0.95
    backend.service.close()


def test_arrays_that_are_no_mesh_are_refused(backend, tmp_path):
    other = Backend(tmp_path)
    positions, faces, colors = two_objects()
    for sent in (
        {"positions": packed(positions)},
        {"positions": packed(positions), "faces": packed(faces + 9999)},
        {"positions": packed(positions), "faces": packed(faces[:0])},
        {"positions": packed(positions), "faces": packed(faces), "colors": packed(colors[:4])},
    ):
        with pytest.raises(UserError) as caught:
            other.ask("open_mesh", sent, name="things", cache=other.cache)
        assert caught.value.sentence.endswith(".")
    with pytest.raises(UserError, match="No capture is open"):
        other.document()


def test_methods_of_the_protocol_are_known(backend):
    with pytest.raises(UserError, match="does not know"):
        backend.ask("open_meshes")
    assert "combined" in protocol.METHODS
