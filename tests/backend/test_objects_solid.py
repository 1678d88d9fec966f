"""Closed objects from what cameras saw, on scenes whose solids are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from backend.captures.capture import Capture, Intrinsics
from backend.errors import UserError
from backend.labels.tree import Label, LabelTree
from backend.objects.assets import LabelledScene, Options, make_assets
from backend.objects.instances import Claim, Known
from backend.objects.pose import turn
from backend.objects.solid_lighter import lighter
from backend.objects.validity import hollow_share, is_closed, report_on, signed_volume
from backend.separating import described, options_of
from backend.surface.fusion import fuse
from backend.surface.mesh import extract, vertex_edges, vertex_normals
from backend.surface.raster import rasterize
from backend.surface.surface import Surface
from benchmarks import object_truth
from tests.backend.surface_scenes import capture_of, directions, looking_at

FLOOR, THING, OTHER = 1, 2, 3
TREE = LabelTree(
    [
        Label(FLOOR, "Floor", 0, "class", False, (1, 1, 1)),
        Label(THING, "Thing", 0, "class", True, (1, 1, 1)),
        Label(OTHER, "Other", 0, "class", True, (1, 1, 1)),
    ]
)
NO_FRAMES = Capture("mesh", "memory", Path("."), (), np.eye(4))
SIZE, YAW, AT = np.array([0.4, 0.26, 0.3]), np.radians(20.0), np.array([0.15, -0.1, 0.0])
VOXEL = 0.02


def silent(fraction, text):
    """Nobody listens."""


def see_boxes(camera, pose, boxes):
    """Colour (red boxes, grey floor) and depth of boxes (low, high) about AT on a floor, all turned by YAW."""
    ray, eye = directions(camera, pose) @ turn(YAW), (pose[:3, 3] - AT) @ turn(YAW)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = floor = np.where(ray[..., 2] < 0, -eye[2] / ray[..., 2], np.inf)
        for low, high in boxes:
            first, second = (low - eye) / ray, (high - eye) / ray
            near, far = np.minimum(first, second).max(-1), np.maximum(first, second).min(-1)
            depth = np.where((near < far) & (near > 0) & (near < depth), near, depth)
    color = np.where((depth < floor)[..., None], [200, 40, 40], [120, 120, 120]).astype(np.uint8)
    return color, np.where((depth < floor) | (floor < 4), depth, 0.0).astype(np.float32)


def see_box(camera, pose):
    """The box alone."""
    return see_boxes(camera, pose, [(SIZE * [-0.5, -0.5, 0], SIZE * [0.5, 0.5, 1])])


def from_one_side(see, target=(0.0, 0.0, 0.1), heights=(0.5, 0.9)):
    """A capture by cameras in front of AT, of images as ``see`` gives them for a camera and a pose."""
    camera = Intrinsics(200, 150, 210.0, 210.0, 99.5, 74.5)
    poses = []
    for height in heights:
        for angle in np.radians([-60, -25, 10, 40]) + YAW - np.pi / 2:
            place = AT + np.array([1.1 * np.cos(angle), 1.1 * np.sin(angle), height])
            poses.append(looking_at(place, AT + np.array(target)))
    return capture_of([(camera, pose, *see(camera, pose)) for pose in poses], "box")


@pytest.fixture(scope="module")
def box():
    """The box from one side and above, never from behind: its scene, and what it becomes."""
    return made_of(from_one_side(see_box), Options(fill=True, hulls="convex"))


def made_of(capture, options):
    """The labelled scene of a capture of things on the floor, and its objects."""
    surface = extract(fuse(capture, silent, voxel=VOXEL), silent)
    labels = np.where(surface.vertices[:, 2] > 0.6 * VOXEL, THING, FLOOR).astype(np.uint16)
    scene = LabelledScene(surface, capture, labels, np.ones(len(labels), np.float32), TREE)
    return scene, make_assets(scene, options)


def test_a_box_seen_from_one_side_is_whole(box):
    _, made = box
    floor, thing = made.objects
    assert not floor.report.closed and floor.report.volume == 0
    report = thing.report
    assert report.closed and is_closed(thing.faces)
    assert report.volume == pytest.approx(np.prod(SIZE), rel=0.03)
    assert report.volume == pytest.approx(signed_volume(thing.vertices, thing.faces), rel=1e-3)
    assert report.hull_ratio > 0.9 and report.free_violation < 0.002
    assert np.degrees(thing.pose.yaw) == pytest.approx(20, abs=1.5)
    np.testing.assert_allclose(thing.pose.dimensions, SIZE, atol=1.5 * VOXEL)  # corners have lips
    np.testing.assert_allclose(thing.pose.origin, AT, atol=0.6 * VOXEL)
    # Level with the floor, flat, and nothing under it.
    x, y, z = thing.vertices.T
    bottom = (np.abs(x) < 0.17) & (np.abs(y) < 0.1) & (z < 0.1)
    assert bottom.sum() >= 4 and np.abs(z[bottom]).max() < 0.002 and z.min() > -0.002
    # What was seen is where it is; the back and the bottom are invented, and say so.
    seen, edge = thing.observed > 0.5, 0.03
    beside = np.abs([np.abs(x) - SIZE[0] / 2, np.abs(y) - SIZE[1] / 2, z - SIZE[2]]).min(axis=0)
    assert np.percentile(beside[seen], 98) < VOXEL / 2
    inner = (np.abs(x) < SIZE[0] / 2 - edge) & (z > edge) & (z < SIZE[2] - edge)
    assert seen[inner & (y < -0.1)].mean() > 0.95 and seen[inner & (y > 0.1)].mean() < 0.05
    assert not seen[bottom].any()
    assert (np.abs(thing.colors[seen].astype(int) - [200, 40, 40]).max(axis=1) < 60).mean() > 0.9
    assert len(thing.hulls) == 1 and thing.preview.shape == (256, 256, 4) and thing.preview[..., 3].any()


def test_nothing_shows_between_the_box_and_its_floor(box):
    scene, made = box
    points = [thing.pose.scene(thing.vertices) for thing in made.objects]
    faces = np.concatenate([made.objects[0].faces, made.objects[1].faces + len(points[0])])
    gaps = []
    for frame in scene.capture.frames[::3]:
        camera, pose = frame.depth_intrinsics, scene.capture.camera_to_scene(frame)
        there = rasterize(scene.surface.vertices, scene.surface.faces, camera, pose).face >= 0
        found = rasterize(np.concatenate(points), faces, camera, pose).face >= 0
        assert there.mean() > 0.5
        gaps.append((there & ~found).mean())
    assert np.mean(gaps) < 0.0011  # of the pixels; 0.0016 where the rim of the box is nobody's


def test_a_thing_whose_foot_was_out_of_the_picture_goes_down_to_the_floor():
    def see(camera, pose):
        color, depth = see_box(camera, pose)
        points = directions(camera, pose) * depth[..., None] + pose[:3, 3] - AT
        below = (np.abs(points[..., :2]) < 0.45).all(axis=-1) & (points[..., 2] < 0.12)
        return color, np.where(below, 0.0, depth).astype(np.float32)

    scene, made = made_of(from_one_side(see), Options())
    assert scene.surface.vertices[made.objects[1].label == scene.labels, 2].min() > 0.08
    thing = made.objects[1]
    assert thing.report.closed and thing.report.volume == pytest.approx(np.prod(SIZE), rel=0.05)
    assert abs(thing.pose.origin[2]) < 0.005


def test_the_space_between_boards_is_not_filled():
    at = np.array([[0.0, 0.1, 0.0], [0.0, 0.1, 0.14], [0.0, 0.1, 0.28], [0.0, 0.1, 0.42]])
    boards = [(place - [0.3, 0.12, 0.0], place + np.array([0.3, 0.12, 0.03])) for place in at]
    sides = [(np.array([x - 0.015, -0.02, 0.0]), np.array([x + 0.015, 0.22, 0.45])) for x in (-0.315, 0.315)]
    rack = from_one_side(lambda camera, pose: see_boxes(camera, pose, boards + sides), (0.0, 0.1, 0.2), (0.8, 1.2))
    _, made = made_of(rack, Options())
    solid = sum(np.prod(high - low) for low, high in boards + sides)
    report = made.objects[1].report
    assert report.closed and report.volume < 1.4 * solid  # 1.64 if all unseen space were alike


def test_what_the_box_hid_is_floor_again(box):
    _, made = box
    filled = made.filled
    assert filled.name == "Scene without Thing"
    local = (filled.vertices - AT) @ turn(YAW)
    under = (np.abs(local[:, 0]) < SIZE[0] / 2 - VOXEL) & (np.abs(local[:, 1]) < SIZE[1] / 2 - VOXEL)
    assert under.sum() > 0.8 * (SIZE[0] - 2 * VOXEL) * (SIZE[1] - 2 * VOXEL) / VOXEL**2
    assert (filled.observed[under] == 0).all() and np.abs(filled.vertices[:, 2]).max() < VOXEL
    assert (np.abs(filled.colors[under].astype(int) - 120).max(axis=1) < 60).mean() > 0.9
    a, b, c = filled.vertices[filled.faces].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] > 0).mean() > 0.99
    # The patch hangs together with the floor: hardly any rim is left where the box stood.
    ends = np.sort(np.concatenate([filled.faces[:, [0, 1]], filled.faces[:, [1, 2]], filled.faces[:, [2, 0]]]), axis=1)
    edges, uses = np.unique(ends, axis=0, return_counts=True)
    assert under[edges[uses == 1]].any(axis=1).sum() < 0.02 * under[edges].any(axis=1).sum()


def test_the_answer_travels_as_agreed(box):
    data, arrays = described(box[1])
    assert set(data) == {"objects", "crumbs", "notes", "filled"} and data["filled"]["name"] == "Scene without Thing"
    entry = data["objects"][1]
    assert set(entry["report"]) == {
        *("closed", "volume", "hull_ratio", "free_violation", "observed", "mirror_error", "notes"),
    }
    assert (entry["texture"], entry["hulls"], len(entry["origin"]), len(entry["dimensions"])) == (0, 1, 3, 3)
    kinds = {name: (array.dtype.str[1:], array.shape[1:]) for name, array in arrays.items() if name.startswith("o1.")}
    assert kinds == {
        "o1.positions": ("f4", (3,)),
        "o1.faces": ("i4", (3,)),
        "o1.colors": ("u1", (3,)),
        "o1.confidence": ("u1", ()),
        "o1.observed": ("u1", ()),
        "o1.preview": ("u1", (256, 4)),
        "o1.hull0.positions": ("f4", (3,)),
        "o1.hull0.faces": ("i4", (3,)),
    }


def meshed(distance, low, high, step=0.01):
    """The zero level of a distance function as a scan, without what lies under the floor z = 0."""
    axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
    values = distance(*np.meshgrid(*axes, indexing="ij"))
    vertices, faces, _, _ = marching_cubes(values.astype(np.float32), 0.0)
    vertices = (vertices * step + low).astype(np.float32)
    faces = faces[(vertices[faces][..., 2] > 1e-4).all(axis=1)].astype(np.int32)
    used, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3).astype(np.int32)
    return vertices[used], faces


def scan_of(*parts, voxel=0.01):
    """A surface of separate meshes, and which of them each vertex is of."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts])
    vertices = np.concatenate([vertices for vertices, _ in parts])
    faces = np.concatenate([faces + start for (_, faces), start in zip(parts, starts[:-1], strict=True)])
    colors = np.full((len(vertices), 3), 150, np.uint8)
    owner = np.repeat(np.arange(len(parts)), np.diff(starts))
    return Surface(vertices, faces.astype(np.int32), vertex_normals(vertices, faces), colors, voxel), owner


RADIUS, MIDDLES = 0.1, np.array([[-0.098, 0.0, 0.2], [0.098, 0.0, 0.2]])


def two_spheres():
    def distance(x, y, z):
        return np.minimum(*(np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) - RADIUS for a, b, c in MIDDLES))

    return meshed(distance, (-0.24, -0.14, 0.05), (0.24, 0.14, 0.35))


def separated(surface, labels, **more):
    claims = more.pop("claims", ())
    scene = LabelledScene(surface, NO_FRAMES, labels, np.ones(len(labels), np.float32), TREE, claims)
    return make_assets(scene, Options(**more)).objects


def test_touching_things_are_split_by_a_mark_each_and_keep_their_numbers():
    surface, _ = scan_of(two_spheres())
    labels = np.full(len(surface.vertices), THING, np.uint16)
    assert len(separated(surface, labels)) == 1

    def at(*place):
        return np.array([cKDTree(surface.vertices).query(place)[1]])

    # The marks lie nowhere alike: one close to where the spheres touch, one at the far side.
    claims = [Claim(THING, 7, at(-0.05, 0.08, 0.2)), Claim(THING, 2, at(0.2, 0.0, 0.2))]
    made = separated(surface, labels, claims=claims)
    assert [thing.instance for thing in made] == [2, 7]
    for thing, middle in zip(made, MIDDLES[::-1], strict=True):
        points = thing.pose.scene(thing.vertices)
        np.testing.assert_allclose(0.5 * (points.min(axis=0) + points.max(axis=0)), middle, atol=0.012)
        assert thing.report.closed and thing.report.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.05)
    together = separated(surface, labels, claims=[Claim(THING, 4, claim.vertices) for claim in claims])
    assert [thing.instance for thing in together] == [4]

    # A larger thing of the label comes up elsewhere: who is known keeps its number.
    known = tuple(Known(THING, number, middle) for number, middle in ((1, MIDDLES[0]), (2, MIDDLES[1])))

    def ball(x, y, z):
        return np.sqrt((x - 2) ** 2 + y**2 + (z - 0.2) ** 2) - 0.15

    more, owner = scan_of(two_spheres(), meshed(ball, (1.8, -0.2, 0.0), (2.2, 0.2, 0.4)))
    labels = np.full(len(more.vertices), THING, np.uint16)
    claims = [Claim(THING, 1, claims[0].vertices)]
    made = separated(more, labels, claims=claims, known=known[:1], close=False)
    assert [(thing.instance, round(float(thing.pose.origin[0]))) for thing in made] == [(1, 0), (2, 2)]
    labels[(owner == 0) & (more.vertices[:, 0] > 0)] = OTHER
    made = separated(more, labels, known=(known[0], Known(THING, 2, np.array([2.0, 0.0, 0.2]))), close=False)
    assert [(thing.label, thing.instance, round(float(thing.pose.origin[0]))) for thing in made] == [
        *((THING, 1, 0), (THING, 2, 2), (OTHER, 1, 0)),
    ]


def test_a_mark_on_a_noisy_spot_speaks_for_its_thing():
    middles = np.array([[-0.06, 0.0, 0.2], [0.06, 0.0, 0.2]])

    def distance(x, y, z):
        return np.minimum(*(np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) - RADIUS for a, b, c in middles))

    surface, _ = scan_of(meshed(distance, (-0.2, -0.15, 0.05), (0.2, 0.15, 0.35)))
    ends = np.array([[-0.06 - RADIUS, 0.0, 0.2], [0.06 + RADIUS, 0.0, 0.2]])
    marked = cKDTree(surface.vertices).query(ends)[1]
    spot = np.linalg.norm(surface.vertices - surface.vertices[marked[1]], axis=1) < 0.025
    normals = surface.normals.copy()
    normals[spot] += np.random.default_rng(0).normal(size=(spot.sum(), 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    labels = np.full(len(surface.vertices), THING, np.uint16)
    claims = [Claim(THING, 1 + k, marked[[k]]) for k in (0, 1)]
    made = separated(replace(surface, normals=normals), labels, claims=claims, close=False)
    for thing, side in zip(made, (-1, 1), strict=True):
        assert (side * thing.pose.scene(thing.vertices)[:, 0] > 0).mean() > 0.9


def test_the_handle_of_a_mug_stays_open():
    def mug(x, y, z):
        body = np.maximum(np.hypot(x, y) - 0.06, z - 0.12)
        handle = np.hypot(np.hypot(x - 0.06, z - 0.06) - 0.035, y) - 0.012
        return np.minimum(body, handle)

    x, y = np.meshgrid(np.arange(-30, 31), np.arange(-30, 31), indexing="ij")
    at = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (k.ravel() for k in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    triangles = triangles[np.hypot(x, y).ravel()[triangles].min(axis=1) > 6]  # nobody saw under the mug
    floor = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(np.float32) / 100, triangles
    surface, owner = scan_of(floor, meshed(mug, (-0.1, -0.1, -0.03), (0.13, 0.1, 0.16), 0.005), voxel=0.005)
    labels = np.where(owner == 0, FLOOR, THING).astype(np.uint16)
    _, thing = separated(surface, labels)
    assert thing.report.closed
    count = len(np.unique(thing.faces))
    assert count - len(vertex_edges(thing.faces)) + len(thing.faces) == 0  # Euler: one handle
    assert np.abs(thing.vertices[:, 2]).min() < 0.002 and thing.vertices[:, 2].min() > -0.004
    body = np.pi * 0.06**2 * 0.12
    assert 0.9 * body < thing.report.volume < 1.15 * body


def test_a_hollow_shell_is_no_solid():
    outer, inner = np.zeros((30, 30, 30), bool), np.zeros((30, 30, 30), bool)
    outer[4:26, 4:26, 2:20], inner[7:23, 7:23, 2:17] = True, True
    shell = outer & ~inner
    free = ~outer
    free[:, :, :2] = False  # it stands on something
    assert hollow_share(shell, free, inner) > 0.5
    opened = free.copy()
    opened[:, :7, :17] = True  # a table: cameras saw under it
    assert hollow_share(shell & ~opened, opened, inner & ~opened) == 0
    vertices, faces, _, _ = marching_cubes(np.where(np.pad(shell, 1), -1.0, 1.0), 0.0)
    report = report_on(vertices, faces, np.ones(len(vertices)), hollow_share(shell, free, inner), 0.0)
    assert not report.closed and any("hollow" in note for note in report.notes)
    assert not report_on(vertices, faces[1:], np.ones(len(vertices)), 0.0, 0.0).closed
    assert "inside out" in report_on(vertices, faces[:, ::-1], np.ones(len(vertices)), 0.0, 0.0).notes[0]


def test_lighter_things_stay_closed():
    """Noise makes sheets meet; fewer triangles must not open them."""
    noise = gaussian_filter(np.random.default_rng(3).standard_normal((40, 40, 40)), 2.0)
    x, y, z = np.mgrid[-1:1:40j, -1:1:40j, -1:1:40j]
    field = np.pad(np.hypot(np.hypot(x, y), 1.2 * z) - 0.6 + 2.0 * noise, 1, constant_values=1.0)
    vertices, faces, _, _ = marching_cubes(field, 0.0)
    for share in (0.8, 0.3):
        points, triangles, values = lighter(
            vertices.astype(float), faces, vertices.astype(float), int(share * len(faces))
        )
        assert is_closed(triangles) and len(triangles) < 0.9 * len(faces)
        assert signed_volume(points, triangles) == pytest.approx(signed_volume(vertices, faces), rel=0.03)
        assert np.linalg.norm(values - points, axis=1).max() < 1.0


CHAIR, LAMP, PLANT = 9, 11, 14
THIN = {  # heights between which there is nothing but what is thin, and the share of it that must be there
    CHAIR: (0.04, 0.20, 0.8),  # legs, 4 cm
    LAMP: (0.10, 1.20, 0.9),  # the pole, 2.7 cm
    PLANT: (0.45, 2.00, 0.8),  # stems, 2.2 cm, and leaves
}


def test_thin_parts_survive_on_the_sample():
    """Against the very room that the sample was rendered from."""
    things = object_truth.load("sample")
    surface = extract(fuse(things.training, silent), silent)
    labels = things.labels_on(surface.vertices, 3 * surface.voxel)
    labels[~np.isin(labels, list(THIN))] = 4  # all else is floor
    sure, tree = np.ones(len(labels), np.float32), things.truth.tree
    made = make_assets(LabelledScene(surface, things.training, labels, sure, tree), Options(min_size=0.3)).objects
    assert [asset.label for asset in made] == [4, CHAIR, CHAIR, LAMP, PLANT]  # a lamp's shade and foot are one thing
    assert all(asset.report.closed for asset in made[1:])
    surfaces = [object_truth.spread_over(asset.pose.scene(asset.vertices)[asset.faces]) for asset in made]
    for instance in things.counted():
        uid = things.label_of(instance)
        if uid not in THIN:
            continue
        low, high, least = THIN[uid]
        thin = things.surface_of(instance)
        thin = thin[(thin[:, 2] > low) & (thin[:, 2] < high)]
        thin = thin[cKDTree(things.seen_of(instance)).query(thin)[0] < surface.voxel]
        mine = [points for asset, points in zip(made, surfaces, strict=True) if asset.label == uid]
        share = max((cKDTree(points).query(thin)[0] < 2 * surface.voxel).mean() for points in mine)
        assert share > least, things.truth.name(uid)
    pole = surfaces[3][(surfaces[3][:, 2] > 0.1) & (surfaces[3][:, 2] < 1.2)]
    lamp = next(instance for instance in things.counted() if things.label_of(instance) == LAMP)
    away = cKDTree(things.surface_of(lamp)).query(pole)[0]
    assert np.percentile(away, 90) < surface.voxel  # and it is as thin as it was


def test_options_are_checked():
    options = options_of(
        {"min_size": 0.1, "texture": 1024, "known": [{"label": 3, "instance": 2, "centre": [0, 1, 2]}]}
    )
    assert (options.min_size, options.texture, options.close, options.known[0].instance) == (0.1, 1024, True, 2)
    for wrong, told in (
        ({"texture": 300}, "512 to 4096"),
        ({"hulls": "many"}, "none, convex, decomposed"),
        ({"margin": "wide"}, "'margin'"),
        ({"min_size": -1}, "'min_size'"),
        ({"close": 1}, "'close'"),
        ({"known": [{"label": 1}]}, "'known'"),
    ):
        with pytest.raises(UserError, match=told):
            options_of(wrong)
