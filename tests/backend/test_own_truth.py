"""Label maps that a capture brings itself are its truth, and meshes bring theirs."""

import json
import struct

import numpy as np
import pytest

from backend import simulate_job
from backend.captures.detect import open_capture
from backend.errors import UserError
from backend.evaluation.meshes import load_mesh
from backend.evaluation.own_truth import truth_of
from tests import rooms, writers


def silent(fraction, text):
    """No progress wanted."""


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captures") / "room"
    return folder, writers.write_semantic_nerf(folder)


def test_classes_are_those_that_the_frames_show(labelled):
    folder, shots = labelled
    capture = open_capture(folder)
    truth = truth_of(capture)
    shown = sorted(set(np.unique(np.stack([shot.labels for shot in shots])).tolist()) - {0})
    assert sorted(truth.tree.labels) == shown
    assert truth.name(5) == "floor" and truth.name(shown[0]) == f"class {shown[0]}"
    name = capture.frames[3].name
    assert name in truth and "other" not in truth
    assert np.array_equal(truth.of(name), capture.frame(name).labels()) and truth.of(name).dtype == np.uint16
    assert (truth.of(name) > 0).mean() > 0.9


def test_simulate_takes_them_without_being_told(labelled, tmp_path):
    folder, _ = labelled
    out = tmp_path / "out.json"
    job = simulate_job.SimulateJob(folder, None, clicks="1x", engine="nearest", json=out)
    report = simulate_job.run(job, silent)
    (point,) = report["points"]
    assert point["scores"][report["readout"]]["leaves"]["miou"] > 0.3
    names = {node["name"] for node in json.loads(simulate_job.marks_path(out).read_text())["tree"]}
    assert "floor" in names


def test_a_capture_without_label_maps_says_so(tmp_path):
    rooms.write_transforms(tmp_path / "plain", n_frames=3)
    with pytest.raises(UserError, match="needs --truth"):
        truth_of(open_capture(tmp_path / "plain"))


def scannet_mesh(folder, side=24):
    """Two squares of side x side vertices at different heights, as ScanNet stores a scan and its objects."""
    y, x = np.mgrid[:side, :side] * 0.05
    low = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    vertices = np.concatenate([low, low + np.array([0.3, 0.2, 0.6])]).astype("<f4")
    grid = np.arange(side * side).reshape(side, side)
    quads = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], -1).reshape(-1, 4)
    quads = np.concatenate([quads, quads + side * side]).astype("<i4")
    rgb = ["property uchar red", "property uchar green", "property uchar blue", "property uchar alpha"]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {axis}" for axis in "xyz"] + rgb + [f"element face {len(quads)}"]
    header += ["property list uchar int vertex_indices", "end_header\n"]
    body = b"".join(v.tobytes() + (b"\xc8\x1e\x1e\xff" if v[2] > 0 else b"\x82\x82\x82\xff") for v in vertices)
    body += b"".join(struct.pack("<B", 4) + quad.tobytes() for quad in quads)
    path = folder / "scene0001_00_vh_clean_2.ply"
    path.write_bytes("\n".join(header).encode() + body)
    segments = {"segIndices": [7] * side**2 + [8] * side**2}
    (folder / "scene0001_00_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    groups = [{"objectId": k, "segments": [7 + k], "label": name} for k, name in enumerate(("floor", "table"))]
    (folder / "scene0001_00.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    return path


def test_objects_of_a_scannet_mesh_are_its_truth(tmp_path):
    path = scannet_mesh(tmp_path)
    surface, instances = load_mesh(path)
    assert np.array_equal(instances, np.where(surface.vertices[:, 2] > 0.3, 2, 1))
    report = simulate_job.run(simulate_job.SimulateJob(path, None, object=True), silent)
    assert report["objects"] == 2 and report["IoU@5"] > 90
