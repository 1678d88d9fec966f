"""Fusion and meshing of analytic scenes, where every answer is known."""

import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from backend.captures.capture import Intrinsics
from backend.errors import Cancelled, UserError
from backend.surface.culling import NEAR, seen_blocks
from backend.surface.fusion import fuse
from backend.surface.mesh import components, extract, vertex_edges
from backend.surface.volume import Volume
from tests.backend import surface_scenes as scenes

VOXEL = 0.025


def quiet(fraction, text):
    assert 0.0 <= fraction <= 1.0


@pytest.fixture(scope="module")
def ball():
    volume = fuse(scenes.ball_capture(), quiet, voxel=VOXEL)
    return volume, extract(volume, quiet)


@pytest.fixture(scope="module")
def room():
    volume = fuse(scenes.room_capture(), quiet, voxel=0.04)
    return volume, extract(volume, quiet)


def ball_distance(points):
    return np.linalg.norm(points - scenes.BALL_CENTER, axis=-1) - scenes.BALL_RADIUS


def test_ball_lies_where_it_is(ball):
    _, surface = ball
    assert np.abs(ball_distance(surface.vertices)).mean() < 0.3 * VOXEL
    assert np.abs(ball_distance(surface.vertices)).max() < VOXEL


def test_ball_is_closed_with_the_right_volume_and_outward_normals(ball):
    _, surface = ball
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * scenes.BALL_RADIUS**3, rel=0.02)
    outward = surface.vertices - scenes.BALL_CENTER
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    assert (surface.normals * outward).sum(1).min() > 0.8
    assert np.allclose(np.linalg.norm(surface.normals, axis=1), 1.0, atol=1e-5)
    assert components(surface.faces, len(surface.vertices)).max() == 0


def test_ball_has_the_colour_of_each_side(ball):
    _, surface = ball
    x = surface.vertices[:, 0] - scenes.BALL_CENTER[0]
    assert np.abs(surface.colors[x > 2 * VOXEL].astype(int) - [220, 40, 40]).max() < 12
    assert np.abs(surface.colors[x < -2 * VOXEL].astype(int) - [40, 40, 220]).max() < 12


def test_surface_arrays_have_their_types(ball):
    _, surface = ball
    assert surface.vertices.dtype == surface.normals.dtype == np.float32
    assert surface.faces.dtype == np.int32 and surface.colors.dtype == np.uint8
    assert surface.voxel == VOXEL
    assert np.array_equal(np.unique(surface.faces), np.arange(len(surface.vertices)))


def test_sample_agrees_with_the_analytic_distance(ball):
    volume, _ = ball
    random = np.random.default_rng(3)
    around = random.normal(size=(4000, 3))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    offset = random.uniform(-1.5 * VOXEL, 1.5 * VOXEL, 4000)
    points = scenes.BALL_CENTER + around * (scenes.BALL_RADIUS + offset)[:, None]
    distance, weight = volume.sample(torch.from_numpy(points).float())
    assert (weight > 0).all()
    assert np.abs(distance.numpy() - offset).mean() < 0.15 * VOXEL


def test_sample_far_away_is_unobserved(ball):
    volume, _ = ball
    distance, weight = volume.sample(torch.tensor([[50.0, 0.0, 0.0], [-1e6, 1e6, 3.0], [*scenes.BALL_CENTER]]))
    assert torch.allclose(distance, torch.full((3,), volume.truncation))
    assert not weight.any()


def test_observed_free_is_free_and_seen(room):
    volume, _ = room
    low, high = volume.bounds()
    assert (low < -scenes.ROOM).all() and (high > scenes.ROOM).all()
    points = np.random.default_rng(0).uniform(low, high, (20000, 3))
    free = volume.observed_free(torch.from_numpy(points)).numpy()
    depth_inside = (scenes.ROOM - np.abs(points)).min(1)
    assert depth_inside[free].min() > 0.5 * volume.truncation
    assert free[(depth_inside > 1.3 * volume.truncation) & (depth_inside < 2 * volume.truncation)].mean() > 0.9


def test_room_walls_are_flat_and_coloured(room):
    volume, surface = room
    wall = np.abs(scenes.ROOM - np.abs(surface.vertices)).min(1)
    assert wall.mean() < 0.3 * volume.voxel
    near = np.sort(np.abs(scenes.ROOM - np.abs(surface.vertices)), 1)[:, 1] > 4 * volume.voxel  # away from edges
    axis = np.abs(scenes.ROOM - np.abs(surface.vertices)).argmin(1)
    for (which, sign), color in {**scenes.WALL_COLORS, (2, -1): scenes.FLOOR}.items():
        here = near & (axis == which) & (np.sign(surface.vertices[:, which]) == sign)
        assert here.sum() > 200
        assert (surface.normals[here, which] * -sign).min() > 0.97  # into the room
        assert np.abs(surface.colors[here].astype(int) - color).max() <= 2
    area = trimesh.Trimesh(surface.vertices, surface.faces, process=False).area
    assert area == pytest.approx(8 * (scenes.ROOM * np.roll(scenes.ROOM, 1)).sum(), rel=0.03)


def test_fusing_twice_gives_the_same_bits():
    capture = scenes.ball_capture(views=6, size=80)
    first, second = (fuse(capture, quiet) for _ in range(2))
    assert first.voxel == second.voxel
    for name in ("blocks", "tsdf", "weight", "color"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    one, two = extract(first, quiet), extract(second, quiet)
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("vertices", "faces", "colors"))


def test_saved_volume_comes_back_bit_for_bit(ball, tmp_path):
    volume = dataclasses.replace(ball[0])
    path = tmp_path / "völume 1.safetensors"
    volume.save(path)
    loaded = Volume.load(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert (loaded.voxel, loaded.truncation, loaded.left_out) == (volume.voxel, volume.truncation, volume.left_out)
    for name in ("blocks", "tsdf", "weight", "color", "index", "first"):
        assert torch.equal(getattr(loaded, name), getattr(volume, name))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError) as caught:
        Volume.load(path)
    assert caught.value.code == "bad_volume"


@pytest.mark.parametrize("calls", [1, 8, 14, 22])
def test_cancel_stops_the_work(calls):
    seen = []

    def progress(fraction, text):
        seen.append(fraction)
        if len(seen) == calls:
            raise Cancelled

    with pytest.raises(Cancelled):
        extract(fuse(scenes.ball_capture(views=6, size=60), progress), progress)
    assert len(seen) == calls


def test_progress_never_goes_back():
    seen = []
    fuse(scenes.ball_capture(views=5, size=60), lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen) and len(seen) >= 10


def test_unreadable_frames_are_told_and_the_rest_is_fused():
    capture = scenes.ball_capture(views=8, size=80)

    def broken():
        raise UserError("bad_image", "The image 003.png is cut off.")

    frames = list(capture.frames)
    frames[3] = dataclasses.replace(frames[3], load_depth=broken)
    frames[5] = dataclasses.replace(frames[5], load_color=broken)
    volume = fuse(dataclasses.replace(capture, frames=tuple(frames)), quiet, voxel=0.03)
    assert sorted(item.name for item in volume.left_out) == ["003", "005"]
    assert all("cut off" in item.reason for item in volume.left_out)
    with pytest.raises(UserError) as caught:
        fuse(dataclasses.replace(capture, frames=(frames[3],)), quiet)
    assert caught.value.code == "no_frames"


def test_captures_without_depth_are_refused_in_a_sentence():
    camera = Intrinsics(40, 30, 40.0, 40.0, 19.5, 14.5)
    image = np.zeros((30, 40, 3), np.uint8)
    for depth in (np.zeros((30, 40), np.float32), np.full((30, 40), np.nan, np.float32)):
        with pytest.raises(UserError) as caught:
            fuse(scenes.capture_of([(camera, np.eye(4), image, depth)]), quiet)
        assert caught.value.code == "no_depth"


def test_absurd_voxels_are_refused():
    with pytest.raises(UserError) as caught:
        fuse(scenes.room_capture(turns=2, size=480), quiet, voxel=0.001)
    assert caught.value.code == "scene_too_large"


def test_voxel_follows_the_scene():
    near = fuse(scenes.ball_capture(views=6, size=80, distance=1.2), quiet).voxel
    far = fuse(scenes.room_capture(turns=2, size=60), quiet).voxel
    sharper = fuse(scenes.ball_capture(views=2, size=320, distance=1.2), quiet).voxel
    assert 0.004 <= sharper < 0.7 * near and near < far <= 0.025


def test_only_the_chosen_frames_are_fused():
    capture = scenes.ball_capture(views=8, size=80)
    some = fuse(capture, quiet, voxel=0.03, frames=capture.frames[2:4])
    same = fuse(dataclasses.replace(capture, frames=capture.frames[2:4]), quiet, voxel=0.03)
    assert torch.equal(some.tsdf, same.tsdf) and torch.equal(some.blocks, same.blocks)


def test_color_of_another_resolution_lands_on_the_same_side():
    capture = scenes.ball_capture(views=12, size=120)
    frames = []
    for frame in capture.frames:
        camera = frame.intrinsics.resized(300, 225)
        color, _ = scenes.see_ball(camera, frame.camera_to_world)
        frames.append(dataclasses.replace(frame, intrinsics=camera, load_color=lambda color=color: color))
    surface = extract(fuse(dataclasses.replace(capture, frames=tuple(frames)), quiet, voxel=VOXEL), quiet)
    x = surface.vertices[:, 0] - scenes.BALL_CENTER[0]
    for side, color in ((x > 2 * VOXEL, [220, 40, 40]), (x < -2 * VOXEL, [40, 40, 220])):
        assert np.abs(surface.colors[side].astype(int) - color).mean() < 3


def test_culling_leaves_no_voxel_out_and_drops_most_of_the_hidden():
    capture = scenes.room_capture(turns=1, size=90)
    voxel, truncation = 0.03, 0.09
    blocks = np.stack(np.meshgrid(*[np.arange(-8, 8)] * 3, indexing="ij"), -1).reshape(-1, 3)
    local = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), -1).reshape(-1, 3) * voxel
    for frame in capture.frames:
        camera, depth = frame.depth_intrinsics, frame.depth().copy()
        depth[20:50, 30:70] = 0
        limit = np.where(depth > 0, depth + truncation, 0)
        project = camera.matrix @ np.linalg.inv(frame.camera_to_world)[:3]
        corners = blocks * 8 * voxel @ project[:, :3].T + project[:, 3]
        offsets = local @ project[:, :3].T
        rows = seen_blocks(*(torch.from_numpy(a.astype(np.float32)) for a in (corners, offsets, limit)), camera)
        points = corners[:, None] + offsets
        z = points[..., 2]
        u, v = (np.rint(points[..., i] / np.where(z > 0, z, 1)).astype(int) for i in (0, 1))
        inside = (z > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        reach = np.where(inside, limit[v.clip(0, camera.height - 1), u.clip(0, camera.width - 1)], 0.0)
        observed = (inside & (z < reach - 1e-5)).any(1) & (z.min(1) > NEAR + 1e-5)
        chosen = np.zeros(len(blocks), bool)
        chosen[rows] = True
        assert chosen[observed].all()
        assert chosen.sum() < 2 * observed.sum()


def test_vertex_edges_and_components():
    faces = np.array([[0, 1, 2], [2, 1, 3], [5, 6, 4]], np.int32)
    assert vertex_edges(faces).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [4, 5], [4, 6], [5, 6]]
    label = components(faces, 8)
    assert label.dtype == np.int32 and len(set(label[:4])) == 1 and len(set(label[4:7])) == 1
    assert len(set(label.tolist())) == 3
