"""A picture on a wall that comes through it, in noisy photos: what belongs to which, and how well it is shown."""

import numpy as np
import pytest

from backend.captures.capture import Intrinsics
from backend.objects.srgb import to_linear, to_srgb
from backend.objects.texels import fine_mesh
from backend.objects.texture import Shape, dress_all
from backend.surface.mesh import vertex_normals
from backend.surface.surface import Surface
from tests.backend.surface_scenes import capture_of, directions, looking_at

VOXEL = 0.015
FRONT = 0.010  # metres of the picture's front before the wall
HALF = np.array([0.30, 0.20])  # of the picture, along Y and Z
NOISE = 0.05  # sRGB, of every pixel
GREY = 0.6


def paint(places):
    """SRGB of the wall (X = 0) and of the picture on it at (..., 2) places along Y and Z."""
    stripe = np.sign(np.sin(places @ [45.0, 30.0]))
    picture = np.stack([0.55 + 0.15 * stripe, 0.25 + 0.1 * stripe, 0.2 + 0 * stripe], axis=-1)
    return np.where(on_picture(places)[..., None], picture, GREY)


def on_picture(places, rim=0.0):
    return (np.abs(places) < HALF - rim).all(axis=-1)


def photo(camera, pose, gain, rng):
    """Photo (H, W, 3) uint8 and depth (H, W)."""
    ray = directions(camera, pose)
    depth = (FRONT - pose[0, 3]) / ray[..., 0]
    front = on_picture((pose[:3, 3] + ray * depth[..., None])[..., 1:])
    depth = np.where(front, depth, -pose[0, 3] / ray[..., 0])
    color = to_srgb((to_linear(paint((pose[:3, 3] + ray * depth[..., None])[..., 1:])) * gain).clip(0, 1))
    noisy = (color + rng.normal(0, NOISE, color.shape)).clip(0, 1)
    return np.rint(noisy * 255).astype(np.uint8), depth.astype(np.float32)


def sheet(counts, size):
    """Vertices (n, 3) at X = 0 and faces that look along X."""
    y, z = (np.linspace(-half, half, count + 1) for half, count in zip(size, counts, strict=True))
    points = np.stack([np.zeros((len(y), len(z))), *np.meshgrid(y, z, indexing="ij")], axis=-1)
    index = np.arange(points[..., 0].size).reshape(len(y), len(z))
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    return points.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


@pytest.fixture(scope="module")
def textures():
    """Per shape, wall and picture: texture values (T, 4) 0..1, places (T, 2), and whether they look along X (T,)."""
    rng = np.random.default_rng(8)
    camera = Intrinsics(240, 180, 210.0, 210.0, 119.5, 89.5)
    images = []
    for number in range(9):
        pose = looking_at(np.array([1.1, 0.3 * (number % 3 - 1), 0.25 * (number // 3 - 1)]), np.array([0.0, 0.05, 0.0]))
        images.append((camera, pose, *photo(camera, pose, (1.0, 0.8, 1.2)[number % 3], rng)))
    scan, faces = sheet((100, 80), (0.75, 0.6))
    scan[:, 0] = FRONT * on_picture(scan[:, 1:])
    colors = np.full(scan.shape, 128, np.uint8)
    surface = Surface(scan.astype(np.float32), faces.astype(np.int32), vertex_normals(scan, faces), colors, VOXEL)
    wall, wall_faces = sheet((40, 32), (0.7, 0.55))
    wall[::7, 0] = FRONT + 0.004  # remains of the picture, in front of it
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    box = np.column_stack([np.where(cube[:, 0], FRONT, -0.005), (2 * cube[:, 1:] - 1) * HALF])
    sides = [[4, 6, 7, 5], [0, 1, 3, 2], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    box_faces = np.array([corner for a, b, c, d in sides for corner in ((a, b, c), (a, c, d))])
    shapes = [Shape(v, f, np.full(v.shape, 90, np.uint8)) for v, f in ((wall, wall_faces), (box, box_faces))]
    made = dress_all(shapes, capture_of(images), surface, 512, lambda fraction, text: None)
    found = []
    for shape, one in zip(shapes, made, strict=True):
        side = len(one.texture)
        mesh = fine_mesh(shape.vertices, shape.faces, one.uv.reshape(-1, 3, 2).astype(float), side)
        a, b, c = mesh.vertices[mesh.faces[mesh.texel_face]].transpose(1, 0, 2)
        forward = np.cross(b - a, c - a)[:, 0] > 1e-12
        found.append((one.texture.reshape(-1, 4)[mesh.texel] / 255, mesh.points[:, 1:], forward))
    return found


def test_what_comes_through_a_picture_takes_nothing_of_it_and_gets_nothing_from_it(textures):
    (wall, places, _), (picture, there, forward) = textures
    inner = forward & on_picture(there, 0.03)
    assert (picture[inner, 3] == 1).mean() > 0.98
    assert not picture[~forward & on_picture(there, 0.03), 3].any()  # its back
    assert not wall[on_picture(places, 0.03), 3].any()
    seen = wall[:, 3] == 1
    assert seen.mean() > 0.5
    light = to_linear(wall[seen, :3])
    level = np.median(light, axis=0)
    away = np.abs(to_srgb(light / level * to_linear(np.array(GREY))) - GREY).max(axis=1)
    assert (away > 0.15).mean() < 0.001  # the picture is up to 0.5 away
    assert np.abs(wall[~seen, :3] / to_srgb(level) - 1).max() < 0.1  # what was filled in is wall


def test_several_photos_show_less_noise_than_one_and_are_as_sharp(textures):
    picture, places, forward = textures[1]
    inner = forward & on_picture(places, 0.03)
    found, wanted = picture[inner, :3], paint(places[inner])
    flat = np.abs(np.sin(places[inner] @ [45.0, 30.0])) > 0.5  # away from the edges of stripes
    for channel in (0, 1):
        slope, offset = np.polyfit(wanted[:, channel], found[:, channel], 1)
        assert slope > 0.85  # a blur flattens the stripes
        rest = found[flat, channel] - slope * wanted[flat, channel] - offset
        assert rest.std() < 0.45 * NOISE
