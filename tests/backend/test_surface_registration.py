"""Frames whose poses are a little wrong find back to one scene; those that are right, or far off, stay."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.errors import Cancelled, UserError
from backend.registering import poses_of, registered_capture
from backend.store import Store
from backend.surface.registration import registered
from tests.backend import surface_scenes as scenes


def quiet(fraction, text):
    assert 0.0 <= fraction <= 1.0


def textured():
    """The room with a pattern on its walls, so that colour tells where a flat wall is."""
    capture = scenes.room_capture(turns=8, size=120)
    frames = []
    for frame in capture.frames:
        depth, color = frame.depth(), frame.color().astype(float)
        rays = scenes.directions(frame.intrinsics, frame.camera_to_world)
        place = frame.camera_to_world[:3, 3] + rays * depth[..., None]
        color *= 0.8 + 0.2 * np.sin(9.0 * place).prod(-1, keepdims=True)
        image = color.astype(np.uint8)
        frames.append(dataclasses.replace(frame, load_color=lambda image=image: image))
    return dataclasses.replace(capture, frames=tuple(frames))


def shaken(capture, millimetres, degrees, seed=0):
    """The capture with an error on every pose."""
    random, poses = np.random.default_rng(seed), {}
    for frame in capture.frames:
        pose = capture.camera_to_scene(frame)
        pose[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * random.normal(0, 0.6, 3)).as_matrix() @ pose[:3, :3]
        pose[:3, 3] += 0.001 * millimetres * random.normal(0, 0.6, 3)
        poses[frame.name] = pose
    return capture.with_poses(poses)


def misplaced(capture, truth):
    """RMS millimetres between where frames put what they see and where it is, after one rigid motion of everything."""
    here, there = [], []
    for frame, true in zip(capture.frames, truth.frames, strict=True):
        depth = frame.depth()[::8, ::8]
        v, u = np.mgrid[: depth.shape[0], : depth.shape[1]] * 8
        points = frame.depth_intrinsics.unproject(np.stack([u, v], -1).astype(float), depth).reshape(-1, 3)
        for into, pose in ((here, capture.camera_to_scene(frame)), (there, truth.camera_to_scene(true))):
            into.append(points @ pose[:3, :3].T + pose[:3, 3])
    here, there = np.concatenate(here), np.concatenate(there)
    turn, _ = Rotation.align_vectors(here - here.mean(0), there - there.mean(0))
    apart = here - here.mean(0) - turn.apply(there - there.mean(0))
    return 1000 * np.sqrt((apart**2).sum(1).mean())


@pytest.fixture(scope="module")
def room():
    return textured()


def test_drift_is_taken_out(room):
    drifted = shaken(room, 12, 0.4)
    before, after = misplaced(drifted, room), misplaced(registered(drifted, quiet), room)
    assert before > 10 and after < 0.5 * before


def test_good_poses_stay(room):
    assert misplaced(registered(room, quiet), room) < 1.5


def test_frames_that_are_not_in_the_model_find_to_it(room):
    wrong, shaken_ones = room.frames[5], shaken(room, 15, 0.5)
    pose = shaken_ones.camera_to_scene(shaken_ones.frames[5])
    capture = room.with_poses({wrong.name: pose})
    found = registered(capture, quiet, model={frame.name for frame in room.frames} - {wrong.name})
    error = np.linalg.inv(room.camera_to_scene(wrong)) @ found.camera_to_scene(found.frame(wrong.name))
    assert np.linalg.norm(error[:3, 3]) < 0.004 < np.linalg.norm(pose[:3, 3] - room.camera_to_scene(wrong)[:3, 3])
    assert Rotation.from_matrix(error[:3, :3]).magnitude() < np.radians(0.15)


def test_a_frame_that_is_elsewhere_keeps_its_pose(room):
    lost = room.camera_to_scene(room.frames[3])
    lost[:3, 3] += [0.5, 0.4, 0.0]
    capture = room.with_poses({room.frames[3].name: lost})
    found = registered(capture, quiet, model={frame.name for frame in room.frames} - {room.frames[3].name})
    assert np.allclose(found.camera_to_scene(found.frames[3]), lost, atol=1e-12)


def test_a_frame_that_cannot_be_read_keeps_its_pose(room):
    def broken():
        raise UserError("cannot_read", "It is broken.")

    frames = (dataclasses.replace(room.frames[0], load_depth=broken), *room.frames[1:])
    found = registered(dataclasses.replace(room, frames=frames), quiet)
    assert len(found.frames) == len(room.frames)
    assert np.allclose(found.frames[0].camera_to_world, room.frames[0].camera_to_world, atol=1e-12)


def test_poses_are_known_the_second_time_and_the_same_bits(room, tmp_path):
    drifted, store = dataclasses.replace(shaken(room, 10, 0.3), fingerprint="shaken"), Store(tmp_path)
    first = registered_capture(drifted, quiet, store=store)
    again = registered_capture(drifted, forbidden, store=store)
    anew = registered_capture(drifted, quiet)
    assert np.array_equal(poses_of(first), poses_of(anew))
    assert np.allclose(poses_of(first), poses_of(again), atol=1e-12)


def forbidden(fraction, text):
    raise AssertionError(f"nothing was to be done, but: {text}")


def test_it_can_be_cancelled(room):
    def cancel(fraction, text):
        if fraction > 0.6:
            raise Cancelled

    with pytest.raises(Cancelled):
        registered(room, cancel)


def test_two_frames_are_left_alone(room):
    two = dataclasses.replace(room, frames=room.frames[:2])
    assert registered_capture(two, forbidden) is two


def test_poses_go_through_the_world_of_the_capture(room):
    turn = Rotation.from_euler("xyz", [0.3, 1.0, -0.4]).as_matrix()
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = 2.5 * turn, [1.0, -2.0, 0.5]
    capture = dataclasses.replace(room, scene_from_world=world)
    wanted = capture.camera_to_scene(capture.frames[1])
    wanted[:3, 3] += 0.1
    moved = capture.with_poses({capture.frames[0].name: wanted})
    assert np.allclose(moved.camera_to_scene(moved.frames[0]), wanted, atol=1e-12)
    assert moved.frames[1] is capture.frames[1]
