"""The benchmark of objects: known volumes of true things, and a whole run on a room that is known exactly."""

from dataclasses import asdict

import numpy as np
import pytest

from backend.captures.detect import open_capture
from backend.evaluation.truth import Truth
from backend.labels.tree import Label, LabelTree
from benchmarks import object_report, object_truth, objects
from tests import rooms

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
SIDES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
TRIANGLES = np.concatenate([SIDES[:, [0, 1, 2]], SIDES[:, [0, 2, 3]]])


def box(low, high):
    return (np.array(low) + CORNERS * np.subtract(high, low))[TRIANGLES]


def test_volume_of_true_things_however_their_triangles_are_turned():
    together = np.concatenate([box((0.1, 0.2, 0.3), (1.1, 1.2, 1.3)), box((0.6, 0.7, 0.8), (1.6, 1.7, 1.8))])
    turned = np.random.default_rng(4).random(len(together)) < 0.5
    together[turned] = together[turned][:, ::-1]
    solid = object_truth.outward(together)
    assert len(solid) == 24 and object_truth.union_volume(solid) == pytest.approx(2 - 0.5**3, rel=0.01)
    # A print on a side takes no room; without a side there is no solid, nor with a leaf beside it.
    one, leaf = box((0, 0, 0), (1, 1, 1)), np.array([[[0.2, 0, 0.2], [0.8, 0, 0.2], [0.8, 0, 0.8]]])
    solid = object_truth.outward(np.concatenate([one, leaf - [0, 0.001, 0]]))
    assert object_truth.union_volume(solid) == pytest.approx(1, rel=0.01)
    assert object_truth.outward(one[1:]) is None
    assert object_truth.outward(np.concatenate([one, leaf - [0, 0.5, 0]])) is None


def test_a_room_is_measured_to_its_end(tmp_path):
    shots = rooms.write_transforms(tmp_path, n_frames=9)
    capture, boxes = open_capture(tmp_path), rooms.Room().boxes
    places, labels = [], []
    for shot in shots:
        v, u = np.indices(shot.depth.shape)
        camera = shot.camera
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1)
        pose = capture.scene_from_world @ shot.camera_to_world
        places.append((rays * shot.depth[..., None]) @ pose[:3, :3].T + pose[:3, 3])
        labels.append(shot.labels)
    seen, label = np.concatenate(places).reshape(-1, 3), np.stack(labels).ravel().astype(int)
    maps = {shot.name: shot.labels for shot in shots}
    tree = LabelTree([Label(uid, f"label {uid}", 0, "class", uid > 6, (1, 1, 1)) for uid in range(1, 10)])
    place = capture.scene_from_world
    corners = np.concatenate([box(one.low, one.high) for one in boxes]) @ place[:3, :3].T + place[:3, 3]
    things = object_truth.TrueThings(
        "room",
        capture,
        frozenset({shots[5].name}),
        Truth(tree, [], {}, {}),
        corners,
        np.repeat([7, 8, 9], 12),
        seen,
        label,
        label,
        lambda frame: maps[frame.name],
    )
    rows = objects.measured(things, 256)
    assert [(row.name, row.found, row.closed) for row in rows] == [(f"label {uid}", True, True) for uid in (7, 8, 9)]
    for row, one in zip(rows, boxes, strict=True):
        assert row.volume == pytest.approx(1000 * np.prod(np.subtract(one.high, one.low)), rel=0.01)
        assert row.chamfer > 0 and row.seconds > 0 and row.foreign < 0.02
    assert all(row.fullness == pytest.approx(1, abs=0.01) for row in rows)
    lines = object_report.table([asdict(row) for row in rows]).splitlines()
    assert lines[0] == "| | room |" and lines[2] == "| found, closed | 3 of 3, 3 |"
    worst = 100 * float(np.median([abs(row.volume_error) for row in rows]))
    assert f"{worst:.0f} % / -" in lines[7]
    whole = rows[0]  # the others are seen from one side, and partly
    assert abs(whole.volume_error) < 0.1 and abs(whole.thickness) < 12 and whole.psnr > 25
    assert whole.completeness_seen < 10 and whole.completeness_unseen > whole.completeness_seen
