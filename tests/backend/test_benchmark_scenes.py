"""Generated benchmark scenes: the same seed gives the same bytes, and truth, depth and poses agree."""

import json

import numpy as np
import pytest
from PIL import Image

from backend.captures.detect import open_capture
from backend.protocol import checked_document
from benchmarks import scenes

FRAMES, SIZE = 6, (80, 60)


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def image(path):
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module", params=scenes.KINDS)
def scene(request, tmp_path_factory):
    return scenes.make(request.param, 7, FRAMES, SIZE, tmp_path_factory.mktemp("scenes"))


def truth(scene):
    data = json.loads((scene.truth / "classes.json").read_text(encoding="utf-8"))
    maps = {path.stem: image(path) for path in sorted(scene.truth.glob("*.png"))}
    return {int(uid): name for uid, name in data["classes"].items()}, data["tree"], maps


def test_reader_opens_every_frame_as_written(scene):
    capture = open_capture(scene.capture)
    assert len(capture.frames) == FRAMES and not capture.left_out
    true = json.loads((scene.root / "scene.json").read_text(encoding="utf-8"))
    for frame in capture.frames:
        pose, exact = capture.camera_to_scene(frame), np.array(true["camera_to_scene"][frame.name])
        assert np.linalg.norm(pose[:3, 3] - exact[:3, 3]) < 6 * true["shift"]
        assert np.degrees(np.arccos((np.trace(pose[:3, :3] @ exact[:3, :3].T) - 1) / 2)) < 6 * true["turn"]
        assert frame.color().shape == (SIZE[1], SIZE[0], 3) and frame.depth().shape == (SIZE[1], SIZE[0])


def test_every_class_is_seen_and_has_a_place_in_the_tree(scene):
    classes, tree, maps = truth(scene)
    assert 8 <= len(classes) <= 30
    assert set(np.unique(np.stack(list(maps.values())))) - {0} == set(classes)
    document = json.loads((scene.root / "document.json").read_text(encoding="utf-8"))
    nodes = {node["uid"]: node for node in checked_document(document)["tree"]}
    assert nodes == {node["uid"]: node for node in checked_document({"tree": tree})["tree"]}
    for uid, name in classes.items():
        assert nodes[uid]["name"] == name and nodes[nodes[uid]["parent"]]["kind"] == "group"


def test_held_out_frames_are_a_third_and_named(scene):
    _, _, maps = truth(scene)
    held_out = set(json.loads(scene.held_out.read_text(encoding="utf-8")))
    assert held_out < set(maps) and len(held_out) == FRAMES // 3
    assert {frame.name for frame in open_capture(scene.capture).frames} == set(maps)


def test_instances_have_one_class_each(scene):
    _, _, maps = truth(scene)
    pairs = np.concatenate(
        [np.stack([image(scene.instances / f"{n}.png"), m], -1).reshape(-1, 2) for n, m in maps.items()]
    )
    pairs = np.unique(pairs[pairs[:, 1] > 0], axis=0)
    assert len(np.unique(pairs[:, 0])) == len(pairs) > len(np.unique(pairs[:, 1]))


def test_measured_points_lie_on_the_labelled_mesh(scene):
    """Sensor depth through the true poses lands on vertices of the mesh that carry the truth's label of the pixel."""
    _, _, maps = truth(scene)
    true = json.loads((scene.root / "scene.json").read_text(encoding="utf-8"))
    mesh = np.load(scene.mesh, allow_pickle=False)
    assert mesh["labels"].shape == mesh["instances"].shape == (len(mesh["vertices"]),)
    cell = 2 * true["mesh_voxel"]
    known = {}
    for key, label in zip(map(tuple, np.floor(mesh["vertices"] / cell).astype(int)), mesh["labels"], strict=True):
        known.setdefault(key, set()).add(int(label))
    near = agreed = total = 0
    for frame in open_capture(scene.capture).frames[::2]:  # the mesh is made of every second view
        depth = frame.depth()
        v, u = np.nonzero(depth > 0)
        pose = np.array(true["camera_to_scene"][frame.name])
        points = frame.depth_intrinsics.unproject(np.stack([u, v], 1), depth[v, u]) @ pose[:3, :3].T + pose[:3, 3]
        for key, label in zip(map(tuple, np.floor(points / cell).astype(int)), maps[frame.name][v, u], strict=True):
            total += 1
            near += key in known
            agreed += int(label) in known.get(key, ())
    assert near > 0.7 * total
    assert agreed > 0.85 * near


def test_depth_is_like_a_sensors(scene):
    """Mostly there, with holes; most of it within a few quanta of what the next frame's mesh says is tested above."""
    holes = [(frame.depth() == 0).mean() for frame in open_capture(scene.capture).frames]
    assert 0.005 < np.mean(holes) < 0.6


def test_same_seed_gives_the_same_bytes_from_a_whole_cache_alone(tmp_path):
    first = scenes.make("tabletop", 3, 3, (64, 48), tmp_path)
    before = files(first.root)
    assert scenes.make("tabletop", 3, 3, (64, 48), tmp_path) == first
    (first.root / "scene.json").unlink()  # as if it had been broken off
    (first.root / "capture" / "transforms.json").write_text("{}")
    assert files(scenes.make("tabletop", 3, 3, (64, 48), tmp_path).root) == before
    assert [path.name for path in tmp_path.iterdir()] == [first.root.name]
    other = scenes.make("tabletop", 4, 3, (64, 48), tmp_path)
    assert files(other.truth) != files(first.truth)


def test_seeds_have_one_role_each():
    roles = [*scenes.TRAINING, *scenes.TUNING, *scenes.REPORT]
    assert len(set(roles)) == len(roles)
