"""Textures of things whose paint is known, from photos whose exposures differ."""

from dataclasses import replace

import numpy as np
import pytest

from backend import budget
from backend.captures.capture import Intrinsics
from backend.objects.aligning import aligned
from backend.objects.exposure import gains
from backend.objects.sightings import Hiding, light_of, view_of
from backend.objects.srgb import to_linear, to_srgb
from backend.objects.texels import fine_mesh
from backend.objects.texture import Shape, _batches, dress_all
from backend.objects.unwrap import unwrapped
from backend.surface.mesh import vertex_normals
from backend.surface.surface import Surface
from tests.backend.surface_scenes import capture_of, directions, looking_at

HALF = np.array([0.30, 0.20, 0.15])
VOXEL = 0.015
GAINS = (1.0, 0.7, 1.35)  # linear light, of frames 0, 1, 2, 0, ...
ASIDE = np.array([0.75, 0.0, 0.0])  # where the second box stands


def paint(points, axis, side):
    """SRGB 0..1 of points on the side of a box: its own colour with stripes and rings."""
    base = np.array([[0.62, 0.36, 0.30], [0.30, 0.55, 0.38], [0.34, 0.40, 0.62]])[axis]
    stripe = 0.10 * np.sin(points @ [38.0, 25.0, 31.0] + 2 * axis + side)
    ring = 0.08 * np.sign(np.sin(60 * np.linalg.norm(points, axis=-1)))
    return (base + (stripe + ring)[..., None]).clip(0.05, 0.95)


def side_of(points, normals):
    """Axis and sign of the side of the box that points lie on."""
    axis = np.abs(normals).argmax(-1)
    return axis, np.sign(np.take_along_axis(normals, axis[..., None], -1)[..., 0])


def see_boxes(camera, pose, gain):
    """Photo (H, W, 3) uint8 and depth (H, W) of the two boxes on a grey floor."""
    ray = directions(camera, pose)
    floor = (-HALF[2] - pose[2, 3]) / np.where(ray[..., 2] < 0, ray[..., 2], -1e-9)
    depth, color = np.where(ray[..., 2] < 0, floor, 30.0), np.full(ray.shape, 0.45)
    for middle in (np.zeros(3), ASIDE):
        with np.errstate(divide="ignore", invalid="ignore"):
            near = (-np.sign(ray) * HALF + middle - pose[:3, 3]) / ray
            far = (np.sign(ray) * HALF + middle - pose[:3, 3]) / ray
        enter, leave = near.max(-1), far.min(-1)
        hit = (enter < leave) & (enter > 0) & (enter < depth)
        points = pose[:3, 3] + ray * enter[..., None] - middle
        axis = near.argmax(-1)
        normals = -np.take_along_axis(np.sign(ray), axis[..., None], -1) * np.eye(3)[axis]
        looks = paint(points, *side_of(points, normals))
        color = np.where(hit[..., None], looks[..., ::-1] if middle.any() else looks, color)
        depth = np.where(hit, enter, depth)
    photo = to_srgb((to_linear(color) * gain).clip(0, 1))
    return np.rint(photo * 255).astype(np.uint8), np.where(depth < 20, depth, 0).astype(np.float32)


def box(cuts=1):
    """A closed box of triangles, each side cut so often in each direction."""
    vertices, faces = [], []
    steps = np.linspace(-1, 1, cuts + 1)
    for axis in range(3):
        for sign in (-1, 1):
            u, v = np.meshgrid(steps, steps, indexing="ij")
            points = np.zeros((*u.shape, 3))
            points[..., axis], points[..., (axis + 1) % 3], points[..., (axis + 2) % 3] = sign, u, v
            index = np.arange(u.size).reshape(u.shape) + sum(map(len, vertices))
            a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
            quads = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
            vertices.append(points.reshape(-1, 3))
            faces.append(quads if sign > 0 else quads[:, ::-1])
    points, number = np.unique(np.round(np.concatenate(vertices), 9), axis=0, return_inverse=True)
    return points * HALF, number.ravel()[np.concatenate(faces)]


@pytest.fixture(scope="module")
def scene():
    """(shapes, capture, surface) of two boxes on a floor, seen from all round but not from below."""
    camera = Intrinsics(160, 120, 153.0, 153.0, 79.2, 60.1)
    images = []
    for turn in range(9):
        angle = 2 * np.pi * turn / 9
        position = [0.37 + 1.25 * np.cos(angle), 1.25 * np.sin(angle), 0.45 + 0.3 * (turn % 2)]
        pose = looking_at(np.array(position), [0.37, 0.0, 0.0])
        images.append((camera, pose, *see_boxes(camera, pose, GAINS[turn % 3])))
    vertices, faces = box(16)
    scan = np.concatenate([vertices, vertices + ASIDE]).astype(np.float32)
    both = np.concatenate([faces, faces + len(vertices)])
    surface = Surface(
        scan, both.astype(np.int32), vertex_normals(scan, both), np.full(scan.shape, 128, np.uint8), VOXEL
    )
    vertices, faces = box(3)
    grey = np.full(vertices.shape, 90, np.uint8)
    return [Shape(vertices, faces, grey), Shape(vertices + ASIDE, faces, grey)], capture_of(images), surface


def texels_of(shape, made, middle):
    """Texture values (T, 4), true paint (T, 3) and the side's normals (T, 3) at the texels of a dressed box."""
    size = made.texture.shape[0]
    mesh = fine_mesh(shape.vertices, shape.faces, made.uv.reshape(-1, 3, 2).astype(float), size)
    corners = mesh.faces[mesh.texel_face]
    points = np.einsum("ti,tij->tj", mesh.weights, mesh.vertices[corners]) - middle
    a, b, c = mesh.vertices[corners].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    return made.texture.reshape(-1, 4)[mesh.texel] / 255.0, paint(points, *side_of(points, normals)), normals, points


def test_texture_is_the_paint_whatever_the_exposures(scene):
    shapes, capture, surface = scene
    told = []
    dressed = dress_all(shapes, capture, surface, 1024, lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and told[0] >= 0 and told[-1] <= 1
    for number, (shape, made) in enumerate(zip(shapes, dressed, strict=True)):
        assert made.uv.shape == (3 * len(shape.faces), 2) and made.uv.dtype == np.float32
        assert made.texture.dtype == np.uint8 and made.texture.shape == (256, 256, 4)  # about 130 pixels per metre
        values, truth, normals, points = texels_of(shape, made, number * ASIDE)
        truth = truth[:, ::-1] if number else truth
        below = normals[:, 2] < -1e-9
        below &= np.abs(normals[:, 2]) > np.abs(normals[:, :2]).max(axis=1)
        inner = np.sort(HALF - np.abs(points), axis=1)[:, 1] > 0.03  # away from the edges of the box
        assert values[below & inner, 3].max() == 0
        hidden = (points[:, 0] > HALF[0] - 1e-6) if number == 0 else (points[:, 0] < 1e-6 - HALF[0])
        seen = inner & ~hidden & ~below
        assert (values[seen, 3] == 1).mean() > 0.97
        # One gain for the whole box may be left: what is level is level up to that.
        light, wanted = to_linear(values[seen, :3]), to_linear(truth[seen])
        gain = np.exp(np.median(np.log(np.maximum(light, 1e-3) / np.maximum(wanted, 1e-3)), axis=0))
        error = to_srgb((light / gain).clip(0, 1)) - truth[seen]
        psnr = -10 * np.log10((error**2).mean())
        assert psnr > 29, psnr
        for axis in range(3):  # no side is lighter than another
            on = np.abs(normals[seen]).argmax(axis=1) == axis
            level = np.median(np.log(np.maximum(light[on], 1e-3) / np.maximum(wanted[on], 1e-3)), axis=0)
            assert np.abs(level - np.log(gain)).max() < 0.06
        # What was filled in below has the colours of the sides around it.
        assert np.abs(values[below, :3].mean(axis=0) - values[seen, :3].mean(axis=0)).max() < 0.15


def test_same_photos_give_the_same_texture_and_none_gives_the_objects_own_colours(scene):
    shapes, capture, surface = scene
    few = replace(capture, frames=capture.frames[:3])
    once, again = (dress_all(shapes[:1], few, surface, 256, lambda f, text: None)[0] for _ in range(2))
    assert np.array_equal(once.texture, again.texture) and np.array_equal(once.uv, again.uv)
    away = [Shape(shapes[0].vertices + np.array([0, 0, 50.0]), shapes[0].faces, shapes[0].colors)]
    (unseen,) = dress_all(away, few, surface, 1024, lambda f, text: None)
    assert not unseen.texture[..., 3].any() and np.abs(unseen.texture[..., :3].astype(int) - 90).max() <= 1


def test_gains_are_solved_from_what_pairs_of_photos_show():
    rng = np.random.default_rng(3)
    true = np.exp(rng.normal(0, 0.3, (7, 3)))
    first, second = rng.integers(0, 6, (2, 4000))  # the seventh photo shows nothing of the others
    light = rng.uniform(0.05, 0.3, (4000, 3))
    a, b = light / true[first] * np.exp(rng.normal(0, 0.02, light.shape)), light / true[second]
    a[:400] *= 3.0  # reflections
    found = gains(first, second, a, b, 7)
    ratio = np.log(found[:6] / true[:6])
    assert np.abs(ratio - ratio.mean(axis=0)).max() < 0.02
    assert np.array_equal(found[6], np.ones(3))
    assert np.array_equal(gains(first[:0], second[:0], a[:0], b[:0], 2), np.ones((2, 3)))


def tube(count=48):
    """A closed thick-walled tube, whose inside lies behind its outside from everywhere, with a wavy outline."""
    profile = np.array([[0.30, -0.3], [0.34, 0.0], [0.30, 0.3], [0.24, 0.3], [0.27, 0.0], [0.24, -0.3]])
    angle = 2 * np.pi * np.arange(count) / count
    radius = 1 + 0.15 * np.sin(5 * angle)
    ring = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], 1)
    vertices = np.concatenate([np.column_stack([ring * r, np.full(count, z)]) for r, z in profile])
    index = np.arange(6 * count).reshape(6, count)
    a, b = index, np.roll(index, -1, axis=1)
    c, d = np.roll(b, -1, axis=0), np.roll(a, -1, axis=0)
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    return vertices, faces


def test_charts_do_not_overlap_and_keep_their_shape():
    for vertices, faces in (tube(), box(6)):
        made = unwrapped(vertices, faces, 512)
        assert made.uv.shape == (len(faces), 3, 2) and made.uv.min() >= 0 and made.uv.max() <= 1
        u, v = made.uv[:, 1] - made.uv[:, 0], made.uv[:, 2] - made.uv[:, 0]
        area = 0.5 * np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
        mesh = fine_mesh(vertices, faces, made.uv, 512)
        assert len(mesh.texel) == len(np.unique(mesh.texel))
        assert abs(len(mesh.texel) / (area.sum() * 512**2) - 1) < 0.03  # where charts overlap, texels are missing
        a, b, c = vertices[faces].transpose(1, 0, 2)
        scale = area / (0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1))
        scale /= scale.max()
        assert scale.min() > 0.3 and made.used > 0.35
        assert made.charts.max() + 1 < len(faces) / 5


def test_a_photo_is_moved_to_where_it_fits_the_scan(scene):
    _, capture, _ = scene
    vertices, faces = box(60)
    normals = vertex_normals(vertices, faces)
    looks = paint(vertices, *side_of(vertices, normals))
    painted = Surface(vertices.astype(np.float32), faces.astype(np.int32), normals, np.uint8(looks * 255), 0.01)
    plain = replace(painted, colors=np.full_like(painted.colors, 128))
    frame, hiding = capture.frames[2], Hiding((vertices, faces), (), 0.01)
    view, light = view_of(capture, frame, hiding), light_of(frame.color())
    off = replace(view, camera=replace(view.camera, cx=view.camera.cx + 1.2, cy=view.camera.cy - 0.7))
    found = aligned(off, light, painted).camera
    assert abs(found.cx - view.camera.cx) < 0.25 and abs(found.cy - view.camera.cy) < 0.25
    assert aligned(off, light, plain) is off  # nothing to see on the scan


def test_fewer_texels_are_painted_at_a_time_within_a_small_budget():
    before, batches = budget.current(), []
    try:
        for gigabytes in (2.5, 1.0):
            budget.use(budget.Budget(int(gigabytes * budget.GB)))
            batches.append(list(_batches([1024] * 12 + [4096])))
    finally:
        budget.use(before)
    most = [max(len(batch) for batch in some) for some in batches]
    assert most[0] > most[1] >= 1
    assert all([number for batch in some for number in batch] == list(range(13)) for some in batches)
