"""Finding things that stand in several places: chairs whose fronts and backs were seen in different places."""

import numpy as np
import pytest

from backend.captures.capture import Intrinsics
from backend.errors import UserError
from backend.finding_similar import find_similar
from backend.objects.graphs import is_closed
from backend.surface.raster import rasterize
from tests.backend.surface_scenes import capture_of, looking_at

VOXEL = 0.02
PLACES = ((0.0, 0.0, 0.3), (2.2, 0.3, 2.2), (4.4, 0.0, 1.1))  # x, y, yaw; the third chair is larger
LARGER = 1.12
SHADES = ((90, 80, 70), (108, 96, 84), (120, 120, 120))  # one colour in two lights, and another
CAMERA = Intrinsics(160, 120, 130.0, 130.0, 79.5, 59.5)


def block(low, high, cell=0.045):
    """A closed box with small triangles."""
    low, high = np.array(low), np.array(high)
    vertices, faces = [], []
    for axis in range(3):
        across = [(axis + 1) % 3, (axis + 2) % 3]
        steps = [np.linspace(low[a], high[a], max(int((high[a] - low[a]) / cell), 1) + 1) for a in across]
        for side in (low, high):
            u, v = np.meshgrid(*steps, indexing="ij")
            points = np.zeros((*u.shape, 3))
            points[..., axis], points[..., across[0]], points[..., across[1]] = side[axis], u, v
            index = np.arange(u.size).reshape(u.shape) + sum(map(len, vertices))
            a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
            quads = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
            vertices.append(points.reshape(-1, 3))
            faces.append(quads if side is high else quads[:, ::-1])
    points, number = np.unique(np.round(np.concatenate(vertices), 9), axis=0, return_inverse=True)
    return points, number.ravel()[np.concatenate(faces)]


def chair(scale=1.0):
    """Seat, back, four legs and one arm rest, so that no turn or mirror maps it onto itself."""
    legs = [([x, y, 0], [x + 0.06, y + 0.06, 0.4]) for x in (0.0, 0.42) for y in (0.0, 0.38)]
    parts = [
        ([0, 0, 0.4], [0.48, 0.44, 0.48]),
        ([0, 0.38, 0.48], [0.48, 0.44, 0.95]),
        ([0, 0, 0.48], [0.06, 0.38, 0.7]),
    ]
    vertices, faces = [], []
    for low, high in legs + parts:
        points, triangles = block(low, high)
        faces.append(triangles + sum(map(len, vertices)))
        vertices.append(points)
    return (np.concatenate(vertices) - [0.24, 0.22, 0.0]) * scale, np.concatenate(faces)


def place(x, y, yaw):
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    matrix[:2, 3] = x, y
    return matrix


@pytest.fixture(scope="module")
def scene():
    """(capture, list of (vertices in own axes, faces, observed, matrix)) of the three chairs on a floor."""
    rng = np.random.default_rng(0)
    floor, tiles = block([-3, -3, -0.1], [8, 3, 0.0], 1.0)
    chairs = [(*chair(scale), place(*where)) for scale, where in zip((1, 1, LARGER), PLACES, strict=True)]
    vertices, faces, start = [floor], [tiles], len(floor)
    for points, triangles, matrix in chairs:
        vertices.append(points @ matrix[:3, :3].T + matrix[:3, 3])
        faces.append(triangles + start)
        start += len(points)
    vertices, faces = np.concatenate(vertices), np.concatenate(faces)
    images, seen = [], np.zeros(len(vertices), bool)
    for number, (x, y, yaw) in enumerate(PLACES):
        for turn in (-0.7, 0.2, 1.0, 1.9):  # another side of each
            angle = yaw + turn + (0.0, 1.3, 0.0)[number]
            eye = np.array([x + 1.7 * np.cos(angle), y + 1.7 * np.sin(angle), 1.0 + 0.3 * turn])
            pose = looking_at(eye, [x, y, 0.4])
            depth = rasterize(vertices, faces, CAMERA, pose).depth
            depth = np.where(depth > 0, depth + rng.normal(0, 0.002, depth.shape), 0).astype(np.float32)
            images.append((CAMERA, pose, np.zeros((120, 160, 3), np.uint8), depth))
            local = (vertices - pose[:3, 3]) @ pose[:3, :3]
            u, v = np.rint(CAMERA.project(local)).astype(int).T
            inside = (local[:, 2] > 0) & (u >= 0) & (v >= 0) & (u < 160) & (v < 120)
            at = depth[v.clip(0, 119), u.clip(0, 159)]
            seen |= inside & (np.abs(local[:, 2] - at) < 0.02)
    start, items = len(floor), []
    for points, triangles, matrix in chairs:
        noisy = points + rng.normal(0, 0.002, points.shape)
        items.append((noisy, triangles, seen[start : start + len(points)], matrix))
        start += len(points)
    return capture_of(images), items


def request(items, labels, colors=((40, 40, 40), (100, 100, 100), (160, 160, 160))):
    params = {
        "objects": [
            {"name": f"Chair {i}", "label": label, "matrix": matrix.ravel().tolist()}
            for i, (label, (_, _, _, matrix)) in enumerate(zip(labels, items, strict=True))
        ]
    }
    arrays = {}
    for i, (points, faces, observed, _) in enumerate(items):
        for name, kind, array in (
            ("positions", "f4", points.astype(np.float32)),
            ("faces", "i4", faces.astype(np.int32)),
            ("observed", "u1", (255 * observed).astype(np.uint8)),
            ("colors", "u1", np.tile(np.uint8(colors[i]), (len(points), 1))),
        ):
            arrays[f"o{i}.{name}"] = (kind, array.shape, array.tobytes())
    return params, arrays


def test_the_same_chair_is_found_and_a_larger_one_is_not(scene):
    capture, items = scene
    told = []
    data, arrays = find_similar(capture, VOXEL, *request(items, (5, 5, 5), SHADES), lambda f, text: told.append(f))
    assert [set(group["members"]) for group in data["groups"]] == [{0, 1}]
    (group,) = data["groups"]
    first, other = group["members"]
    assert group["rmse"][0] == 0 and 0 < group["rmse"][1] < 0.01
    assert group["violation"][1] < 0.02 and group["inliers"][1] > 0.4
    assert not any(set(pair["members"]) == {0, 1} for pair in data["unsure"])
    moves = [np.array(matrix).reshape(4, 4) for matrix in group["transforms"]]
    assert np.allclose(moves[0], items[first][3])
    off = np.linalg.inv(items[other][3]) @ moves[1]  # both chairs have the same own axes
    assert abs(np.degrees(np.arctan2(off[1, 0], off[0, 0]))) < 1 and np.abs(off[:3, 3]).max() < 0.01
    assert told == sorted(told) and max(told) <= 1
    # What was seen of both: more than of either, where the chair is.
    points, faces, observed = (arrays[f"g0.{name}"] for name in ("positions", "faces", "observed"))
    assert is_closed(faces, len(points)) and points.dtype == np.float32 and arrays["g0.colors"].dtype == np.uint8
    assert np.allclose(np.ptp(points, axis=0), np.ptp(chair()[0], axis=0), atol=2.5 * VOXEL)
    share = (observed > 127).mean()
    assert share > max(item[2].mean() for item in items[:2]) + 0.03
    # One light: that of the first, although the other stood in another.
    assert np.quantile(np.abs(arrays["g0.colors"].astype(int) - SHADES[first]), 0.95) <= 3


def test_the_same_chair_in_another_colour_is_asked_about(scene):
    capture, items = scene
    asked = request(items[:2], (5, 5), ((200, 140, 60), (180, 60, 45)))
    data, arrays = find_similar(capture, VOXEL, *asked, lambda f, text: None)
    assert not data["groups"] and not arrays
    (pair,) = data["unsure"]
    assert set(pair["members"]) == {0, 1} and pair["tinted"] is True and pair["rmse"] < 0.01


def test_labels_are_not_mixed_and_bad_requests_are_told(scene):
    capture, items = scene
    data, arrays = find_similar(capture, VOXEL, *request(items, (5, 6, 7)), lambda f, text: None)
    assert data == {"groups": [], "unsure": [], "notes": []} and arrays == {}
    params, arrays = request(items[:2], (5, 5))
    for broken in ({}, {"objects": []}, {"objects": [{"label": 1}]}):
        with pytest.raises(UserError):
            find_similar(capture, VOXEL, broken, arrays, lambda f, text: None)
    tilted = place(0, 0, 0)
    tilted[2, 2] = 2.0
    params["objects"][1]["matrix"] = tilted.ravel().tolist()
    with pytest.raises(UserError, match="Object 1"):
        find_similar(capture, VOXEL, params, arrays, lambda f, text: None)
