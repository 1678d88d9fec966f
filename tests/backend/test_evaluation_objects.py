"""One object at a time: the protocol's clicks and figures, and meshes as they lie on disk."""

import json

import numpy as np
import pytest
import trimesh

from backend.errors import UserError
from backend.evaluation.meshes import load_mesh
from backend.evaluation.objects import (
    MOST,
    ObjectRun,
    ObjectUser,
    graph_masks,
    run_objects,
    segment_object,
    summary,
    walker_masks,
)
from backend.surface.superpoints import segment
from tests.backend.label_scenes import boxes_on_floor


@pytest.fixture(scope="module")
def scene():
    return boxes_on_floor()


def test_first_click_is_in_the_middle_of_the_object(scene):
    surface, truth = scene
    click = ObjectUser(surface).click(1, np.zeros(len(truth), bool), truth == 2)
    assert click.sign == 1 and np.linalg.norm(click.points[0, :2] - [0.65, 0.7]) < 0.1


def test_later_clicks_go_to_the_largest_error_with_its_sign(scene):
    surface, truth = scene
    user = ObjectUser(surface)
    both = (truth == 2) | (truth == 3)
    click = user.click(2, both, truth == 2)  # the other box is wrong altogether
    assert click.sign == -1 and truth[click.vertices[0]] == 3
    half = (truth == 2) & (surface.vertices[:, 0] < 0.6)
    click = user.click(2, half, truth == 2)
    assert click.sign == 1 and 0.6 <= click.points[0, 0] <= 0.9
    assert user.click(2, truth == 2, truth == 2) is None


def test_figures_of_known_runs():
    slow = ObjectRun(1, 100, [0.5, 0.7, 0.82, 0.86] + [0.89] * 16, [0.1] * MOST)
    quick = ObjectRun(2, 100, [0.95] * MOST, [0.3])
    assert slow.clicks_to(80) == 3 and slow.clicks_to(85) == 4 and slow.clicks_to(90) == MOST
    found = summary([slow, quick])
    assert found["IoU@1"] == pytest.approx(72.5) and found["IoU@20"] == pytest.approx(92.0)
    assert found["NOC@80"] == 2.0 and found["NOC@90"] == 10.5 and found["seconds_worst"] == 0.3


def test_an_oracle_needs_one_click_and_a_blind_engine_never_arrives(scene):
    surface, truth = scene
    user = ObjectUser(surface)
    oracle = segment_object(user, lambda marks: truth == 2, truth == 2)
    assert oracle.iou == [1.0] * MOST and len(oracle.seconds) == 1
    blind = segment_object(user, lambda marks: np.zeros(len(truth), bool), truth == 2)
    assert blind.iou == [0.0] * MOST and blind.clicks_to(80) == MOST


@pytest.mark.parametrize("masks", [graph_masks, walker_masks])
def test_engines_find_boxes_within_a_few_clicks(scene, masks):
    surface, truth = scene
    instances = np.where(truth > 1, truth, 0)
    runs = run_objects(surface, instances, masks(surface, segment(surface)))
    assert [run.instance for run in runs] == [2, 3]
    assert min(run.iou[9] for run in runs) > 0.8
    assert np.mean([run.iou[9] for run in runs]) >= np.mean([run.iou[0] for run in runs]) - 1e-9


# Meshes on disk.


def cube():
    mesh = trimesh.creation.box((1, 2, 3))
    return mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32)


def test_npz_and_ply_hold_the_same_mesh(tmp_path):
    vertices, faces = cube()
    ids = np.arange(len(vertices)) % 3
    np.savez(tmp_path / "m.npz", vertices=vertices, faces=faces, instances=ids)
    surface, instances = load_mesh(tmp_path / "m.npz")
    assert np.array_equal(instances, ids) and np.allclose(np.linalg.norm(surface.normals, axis=1), 1)
    mesh = trimesh.Trimesh(vertices, faces, process=False, vertex_colors=np.full((len(vertices), 4), 200, np.uint8))
    mesh.export(tmp_path / "m.ply")
    np.savetxt(tmp_path / "ids.txt", ids, fmt="%d")
    again, instances = load_mesh(tmp_path / "m.ply", tmp_path / "ids.txt")
    assert np.array_equal(again.vertices, surface.vertices) and np.array_equal(instances, ids)
    assert (again.colors == 200).all()


def test_scannet_groups_segments_to_objects(tmp_path):
    vertices, faces = cube()
    trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "scene0000_00_vh_clean_2.ply")
    segments = {"segIndices": [5, 5, 5, 9, 9, 9, 2, 2]}
    (tmp_path / "scene0000_00_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    groups = {"segGroups": [{"objectId": 0, "segments": [5]}, {"objectId": 1, "segments": [2]}]}
    path = tmp_path / "scene0000_00.aggregation.json"
    path.write_text(json.dumps(groups))
    _, instances = load_mesh(tmp_path / "scene0000_00_vh_clean_2.ply", path)
    assert instances.tolist() == [1, 1, 1, 0, 0, 0, 2, 2]


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"vertices": np.zeros((3, 3)), "faces": np.array([[0, 1, 7]])}, "no usable"),
        ({"vertices": np.full((3, 3), np.nan), "faces": np.array([[0, 1, 2]])}, "no usable"),
        ({"faces": np.array([[0, 1, 2]])}, "no mesh that can be used"),
        ({"vertices": np.eye(3), "faces": np.array([[0, 1, 2]])}, "give --truth"),
        ({"vertices": np.eye(3), "faces": np.array([[0, 1, 2]]), "instances": np.ones(4, int)}, "4 instance ids"),
    ],
)
def test_a_bad_mesh_is_one_sentence(tmp_path, arrays, sentence):
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(UserError, match=sentence) as caught:
        load_mesh(tmp_path / "m.npz")
    assert caught.value.sentence.endswith(".")


def test_a_missing_mesh_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="check the path"):
        load_mesh(tmp_path / "none.npz")
