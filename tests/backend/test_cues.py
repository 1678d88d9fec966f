"""What frames say about the surface: known answers on walls that a few made-up cameras look at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.captures.capture import Capture, Frame, Intrinsics
from backend.errors import UserError
from backend.surface.cues import EDGE_NAMES, VERTEX_NAMES, Cues, gather
from backend.surface.features import lab_from_srgb, mesh_edges
from backend.surface.surface import Surface

CAMERA = Intrinsics(160, 120, 140.0, 140.0, 79.5, 59.5)
LOOKING_ALONG_Y = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
RED, BLUE = (190, 40, 40), (40, 40, 190)
VOXEL = 0.03


def wall(distance):
    """A grid of vertices (x, distance(x), z) in front of cameras at the origin that look along +Y."""
    x, z = np.meshgrid(np.arange(-1, 1, VOXEL) + 0.5 * VOXEL, np.arange(-0.6, 0.6, VOXEL), indexing="ij")
    vertices = np.stack([x, distance(x), z], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    normals = np.tile(np.float32([0, -1, 0]), (len(vertices), 1))
    return Surface(vertices, faces.astype(np.int32), normals, np.full((len(vertices), 3), 128, np.uint8), VOXEL)


def photographed(distance, frames=3, painted=True):
    """A capture of such a wall, red where x < 0 and blue elsewhere, from places side by side."""
    made = []
    for number in range(frames):
        shift = 0.1 * (number - (frames - 1) / 2)
        tangent = (np.arange(CAMERA.width) - CAMERA.cx) / CAMERA.fx
        depth = np.full(CAMERA.width, 2.0)
        for _ in range(60):  # where the ray of each column meets the wall, damped
            depth = 0.5 * depth + 0.5 * distance(shift + depth * tangent)
        left = (shift + depth * tangent < 0) | (not painted)
        color = np.where(left[:, None], RED, BLUE).astype(np.uint8)
        images = np.tile(color, (CAMERA.height, 1, 1)), np.tile(depth.astype(np.float32), (CAMERA.height, 1))
        pose = LOOKING_ALONG_Y.copy()
        pose[0, 3] = shift
        load = (lambda image=images[0]: image, lambda image=images[1]: image)
        made.append(Frame(f"{number}", Path(), CAMERA, CAMERA, pose, *load))
    return Capture("wall", "made up", Path(), tuple(made), np.eye(4))


def flat(x):
    return np.full_like(x, 2.0)


def column(cues, name):
    return cues.edges[:, EDGE_NAMES.index(name)]


def across(surface):
    """Edges from the left half to the right one, and edges far from there; both in the cameras' view."""
    edges = mesh_edges(surface.faces, len(surface.vertices))
    x = surface.vertices[edges, 0]
    inner = (np.abs(surface.vertices[edges, 2]) < 0.5).all(axis=1)
    return (x[:, 0] < 0) & (x[:, 1] > 0) & inner, (np.abs(x) > 0.3).all(axis=1) & (np.abs(x) < 0.8).all(axis=1) & inner


def test_a_step_in_colour_is_as_large_as_the_colours_differ_and_nothing_else_is_a_step():
    surface = wall(flat)
    cues = gather(photographed(flat), surface)
    crossing, far = across(surface)
    lab = lab_from_srgb(np.array([RED, BLUE], np.uint8))
    step = np.linalg.norm(lab[0] - lab[1])
    np.testing.assert_allclose(column(cues, "wide_contrast")[crossing], step, rtol=0.1)
    assert (column(cues, "gradient")[crossing] > 0.1 * step).all()
    for name in ("contrast", "wide_contrast", "gradient"):
        assert np.abs(column(cues, name)[far]).max() < 1e-3
    assert (column(cues, "views")[crossing | far] == 3).all()
    assert np.abs(column(cues, "bend")[far]).max() < 0.02
    assert not column(cues, "occlusion")[far].any()


def test_vertices_know_their_colour_in_the_photos_and_that_it_does_not_flicker():
    surface = wall(flat)
    cues = gather(photographed(flat), surface)
    middle = (np.abs(surface.vertices[:, 2]) < 0.4) & (surface.vertices[:, 0] < -0.3) & (surface.vertices[:, 0] > -0.7)
    found = dict(zip(VERTEX_NAMES, cues.vertices[middle].T, strict=True))
    expected = lab_from_srgb(np.array([RED], np.uint8))[0]
    for name, value in zip("Lab", expected, strict=True):
        np.testing.assert_allclose(found[name], value, atol=0.01)
    assert found["flicker"].max() < 0.1
    assert found["coarse_texture"].max() < 0.01


@pytest.mark.parametrize(("sign", "name"), [(1, "ridge"), (-1, "groove")])
def test_a_ridge_bends_away_from_the_camera_and_a_groove_towards_it(sign, name):
    def distance(x):
        return 2.0 + sign * 0.7 * np.abs(x)

    surface = wall(distance)
    cues = gather(photographed(distance, painted=False), surface)
    crossing, far = across(surface)
    assert (sign * column(cues, "bend")[crossing] > 0.3).all(), name
    assert np.abs(column(cues, "bend")[far]).max() < 0.1
    assert np.abs(column(cues, "contrast")).max() < 1e-3


def test_what_is_hidden_behind_something_is_known_to_be():
    surface = wall(flat)
    capture = photographed(flat)

    def covered(frame):
        depth = frame.depth().copy()
        depth[:, 100:] = 1.0  # something nearer hides the right part
        return replace(frame, load_depth=lambda: depth)

    hiding = replace(capture, frames=tuple(covered(frame) for frame in capture.frames[1:2]))
    occlusion = column(gather(hiding, surface), "occlusion")
    edges = mesh_edges(surface.faces, len(surface.vertices))
    u = CAMERA.fx * surface.vertices[edges, 0] / 2.0 + CAMERA.cx
    inside = (np.abs(surface.vertices[edges, 2]) < 0.5).all(axis=1)
    at_rim = inside & (u.min(axis=1) < 99.4) & (u.max(axis=1) > 99.6)
    assert at_rim.any() and (occlusion[at_rim] == 1).all()
    assert not occlusion[inside & (u.max(axis=1) < 99.4)].any()


def test_frames_that_cannot_be_read_are_named_and_the_others_serve():
    def broken():
        raise UserError("bad_image", "The image is broken.")

    surface, capture = wall(flat), photographed(flat)
    torn = replace(capture, frames=(capture.frames[0], replace(capture.frames[1], load_color=broken)))
    cues = gather(torn, surface)
    assert cues.unreadable == ("1",)
    alone = gather(replace(capture, frames=capture.frames[:1]), surface)
    assert np.array_equal(cues.edges, alone.edges)
    assert column(cues, "views").max() == 1


def test_no_frames_say_nothing():
    surface = wall(flat)
    cues = gather(replace(photographed(flat), frames=()), surface)
    assert cues.edges.shape == (len(mesh_edges(surface.faces, len(surface.vertices))), len(EDGE_NAMES))
    assert not cues.edges.any()
    assert not cues.vertices.any()


def test_the_same_capture_gives_the_same_bits_and_progress_may_end_it():
    surface, capture = wall(flat), photographed(flat, frames=6)
    told = []
    one = gather(capture, surface, lambda fraction, text: told.append(fraction))
    two = gather(capture, surface)
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in Cues.__dataclass_fields__)
    assert told == sorted(told)
    assert len(told) == 6

    def stop(fraction, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(capture, surface, stop)
