"""Cutting a labelled scan into objects, on surfaces whose right answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from backend.errors import UserError
from backend.labels.tree import Label, LabelTree
from backend.objects.belonging import belonging
from backend.objects.cutting import cut_by_labels
from backend.objects.pose import foot
from backend.objects.separation import separate
from backend.surface.surface import Surface

VOXEL = 0.02
FLOOR, BOX, LAMP = 1, 2, 3
TREE = LabelTree(
    [
        Label(FLOOR, "Floor", 0, "class", False, (1, 1, 1)),
        Label(BOX, "Box", 0, "class", True, (1, 1, 1)),
        Label(LAMP, "Lämp", 0, "class", True, (1, 1, 1)),
    ]
)


def grid(origin, u, v, step=VOXEL):
    """A rectangle of triangles: vertices and faces, normal along u x v."""
    u, v = np.asarray(u, float), np.asarray(v, float)
    nu, nv = round(np.linalg.norm(u) / step), round(np.linalg.norm(v) / step)
    i, j = np.meshgrid(np.arange(nu + 1), np.arange(nv + 1), indexing="ij")
    vertices = np.asarray(origin, float) + i.reshape(-1, 1) / nu * u + j.reshape(-1, 1) / nv * v
    at = i[:-1, :-1] * (nv + 1) + j[:-1, :-1]
    a, b, c, d = (k.ravel() for k in (at, at + nv + 1, at + nv + 2, at + 1))
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def box(low, high):
    """The five sides of a box that stands on something."""
    (x, y, z), size = low, np.asarray(high) - low
    dx, dy, dz = np.diag(size)
    return [
        grid((x, y, z), dx, dz),
        grid((x, y + size[1], z), dz, dx),
        grid((x, y, z), dz, dy),
        grid((x + size[0], y, z), dy, dz),
        grid((x, y, z + size[2]), dx, dy),
    ]


def welded(parts):
    """One surface of all parts, equal vertices made one; and the part number of each vertex."""
    vertices = np.concatenate([v for v, _ in parts])
    starts = np.cumsum([0] + [len(v) for v, _ in parts])
    faces = np.concatenate([f + start for (_, f), start in zip(parts, starts[:-1], strict=True)])
    _, first, index = np.unique(np.round(vertices, 5), axis=0, return_index=True, return_inverse=True)
    faces = index.ravel()[faces]
    vertices = vertices[first].astype(np.float32)
    normals = np.tile(np.float32([0, 0, 1]), (len(vertices), 1))
    colors = (np.abs(vertices) * 90 % 256).astype(np.uint8)
    return Surface(vertices, faces.astype(np.int32), normals, colors, VOXEL)


def room():
    """A floor of 2 m x 2 m with two boxes on it, 0.4 and 0.3 m wide; the floor goes on under them."""
    surface = welded(
        [
            grid((0, 0, 0), (2, 0, 0), (0, 2, 0)),
            *box((0.2, 0.2, 0), (0.6, 0.6, 0.5)),
            *box((1.2, 1.0, 0), (1.5, 1.3, 0.2)),
        ]
    )
    labels = np.full(len(surface.vertices), FLOOR, np.uint16)
    labels[surface.vertices[:, 2] > 1e-6] = BOX
    return surface, labels


def area(vertices, faces):
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()


def run(surface, labels, **options):
    confidence = np.linspace(0, 1, len(labels), dtype=np.float32)
    return separate(surface, labels, confidence, TREE, **options)


def test_two_boxes_on_a_floor_become_two_instances_and_the_floor():
    surface, labels = room()
    result = run(surface, labels)
    assert [(o.name, o.label, o.instance) for o in result.objects] == [
        ("Floor", FLOOR, 1),
        ("Box", BOX, 1),
        ("Box", BOX, 2),
    ]
    floor, large, small = result.objects
    np.testing.assert_allclose(floor.dimensions, [2, 2, 0], atol=VOXEL)
    np.testing.assert_allclose(large.dimensions, [0.4, 0.4, 0.5], atol=VOXEL)
    np.testing.assert_allclose(small.dimensions, [0.3, 0.3, 0.2], atol=VOXEL)
    np.testing.assert_allclose(floor.origin, [1, 1, 0], atol=VOXEL)
    np.testing.assert_allclose(large.origin, [0.4, 0.4, 0], atol=VOXEL)
    np.testing.assert_allclose(small.origin, [1.35, 1.15, 0], atol=VOXEL)
    assert (result.crumb_pieces, result.crumb_faces, result.absorbed_pieces) == (0, 0, 0)


def test_no_surface_is_lost_or_doubled():
    surface, labels = room()
    result = run(surface, labels)
    assert sum(area(o.vertices, o.faces) for o in result.objects) == pytest.approx(
        area(surface.vertices, surface.faces), rel=1e-5
    )


def test_unlabelled_surface_is_left_out_up_to_half_an_edge():
    surface, labels = room()
    labels[(surface.vertices[:, 0] > 1.0) & (labels == FLOOR)] = 0
    floor, _, small = run(surface, labels).objects
    assert abs((floor.vertices + floor.origin)[:, 0].max() - 1.01) < VOXEL / 2
    np.testing.assert_allclose(small.dimensions, [0.3, 0.3, 0.2], atol=VOXEL)


def test_vertices_lie_on_the_scan_and_normals_keep_their_side():
    surface, labels = room()
    for made in run(surface, labels).objects:
        points = made.vertices + made.origin
        if made.label == FLOOR:
            # Seams between floor and box run up the sides by less than an edge.
            assert points[:, 2].min() >= -1e-6 and points[:, 2].max() < VOXEL
            a, b, c = points[made.faces].transpose(1, 0, 2)
            flat = np.ptp(points[made.faces][..., 2], axis=1) < 1e-6
            assert (np.cross(b - a, c - a)[flat][:, 2] > 0).all()
        else:
            low, high = points.min(axis=0), points.max(axis=0)
            to_side = np.minimum(np.abs(points - low), np.abs(points - high))[:, [0, 1]].min(axis=1)
            assert (np.minimum(to_side, np.abs(points[:, 2] - high[2])) < 1e-5).all()


def test_both_sides_of_a_seam_have_the_same_points():
    surface, labels = room()
    floor, large, _ = run(surface, labels).objects

    def rim(made):
        ends = np.sort(np.concatenate([made.faces[:, [0, 1]], made.faces[:, [1, 2]], made.faces[:, [2, 0]]]), axis=1)
        edges, uses = np.unique(ends, axis=0, return_counts=True)
        return np.unique(edges[uses == 1])

    box_rim = (large.vertices + large.origin)[rim(large)]
    floor_rim = (floor.vertices + floor.origin)[rim(floor)]
    distance = np.linalg.norm(box_rim[:, None] - floor_rim[None], axis=2).min(axis=1)
    assert len(box_rim) >= 80
    assert distance.max() < 1e-6


def test_things_that_touch_are_one_instance_and_a_gap_of_a_voxel_joins():
    parts = [
        grid((0, 0, 0), (0.4, 0, 0), (0, 0.4, 0)),
        grid((0.4, 0, 0), (0.4, 0, 0), (0, 0.4, 0)),
        grid((0.8 + 1.5 * VOXEL, 0, 0), (0.4, 0, 0), (0, 0.4, 0)),
        grid((1.23 + 3 * VOXEL, 0, 0), (0.4, 0, 0), (0, 0.4, 0)),
    ]
    surface = welded(parts)
    result = run(surface, np.full(len(surface.vertices), BOX, np.uint16))
    assert [round(float(o.dimensions[0]), 2) for o in result.objects] == [1.23, 0.4]


def test_stuff_is_one_object_however_many_pieces_it_has():
    surface = welded([grid((x, 0, 0), (0.4, 0, 0), (0, 0.4, 0)) for x in (0, 1, 2)])
    (floor,) = run(surface, np.full(len(surface.vertices), FLOOR, np.uint16)).objects
    assert floor.dimensions[0] == pytest.approx(2.4)
    assert area(floor.vertices, floor.faces) == pytest.approx(3 * 0.16, rel=1e-5)


def test_crumbs_are_dropped_and_counted():
    crumb = grid((1.0, 1.0, 1.0), (VOXEL, 0, 0), (0, VOXEL, 0))
    floor_crumb = grid((0, 0, 1.0), (VOXEL, 0, 0), (0, VOXEL, 0))
    surface = welded([*box((0, 0, 0), (0.4, 0.4, 0.4)), grid((1, 1, 0), (1, 0, 0), (0, 1, 0)), crumb, floor_crumb])
    labels = np.full(len(surface.vertices), BOX, np.uint16)
    labels[surface.vertices[:, 0] > 0.9] = FLOOR
    labels[(surface.vertices[:, 2] > 0.9)] = np.where(surface.vertices[:, 0] > 0.9, BOX, FLOOR)[
        surface.vertices[:, 2] > 0.9
    ]
    result = run(surface, labels)
    assert [o.name for o in result.objects] == ["Floor", "Box"]
    assert (result.crumb_pieces, result.crumb_faces) == (2, 4)
    kept = run(surface, labels, min_size=0.01)
    assert [o.name for o in kept.objects].count("Box") == 2  # so small, but as certain as anything here
    doubtful = np.where((surface.vertices[:, 2] > 0.9) & (labels == BOX), 0.9, 1).astype(np.float32)
    kept = separate(surface, labels, doubtful, TREE, min_size=0.01)
    assert [o.name for o in kept.objects].count("Box") == 1


def test_the_only_piece_of_a_label_is_never_a_crumb():
    surface = welded([*box((0, 0, 0), (0.4, 0.4, 0.4)), grid((1, 1, 0), (VOXEL, 0, 0), (0, VOXEL, 0))])
    labels = np.where(surface.vertices[:, 0] > 0.9, LAMP, BOX).astype(np.uint16)
    assert [o.name for o in run(surface, labels).objects] == ["Box", "Lämp"]


def test_a_speck_inside_another_label_takes_that_label():
    surface, labels = room()
    speck = np.linalg.norm(surface.vertices - np.float32([1.0, 0.5, 0]), axis=1) < 0.9 * VOXEL
    labels[speck] = BOX
    result = run(surface, labels)
    assert speck.sum() == 1 and result.absorbed_pieces == 1
    floor = result.objects[0]
    points = floor.vertices + floor.origin
    assert np.linalg.norm(points - surface.vertices[speck], axis=1).min() < 1e-6
    assert (floor.labels == FLOOR).all()


def patchy_room(sure):
    """The room with a patch of 0.2 m on the open floor that says Box, as certain as ``sure``; and a guess inside it."""
    surface, labels = room()
    x, y, z = surface.vertices.T
    patch = (np.abs(x - 1.0) < 0.11) & (np.abs(y - 0.4) < 0.11) & (z == 0)
    inner = (np.abs(x - 1.0) < 0.05) & (np.abs(y - 0.4) < 0.05) & (z == 0)
    labels[patch], labels[inner] = BOX, LAMP
    labels[(z > 0) & (x > 1)] = LAMP  # so that the lamp has a sure place, too
    confidence = np.ones(len(labels), np.float32)
    confidence[patch], confidence[inner] = sure, 0.0
    return surface, labels, confidence, patch


def test_a_guess_is_taken_in_by_what_is_around_it_and_so_is_a_guess_within():
    surface, labels, confidence, patch = patchy_room(sure=0.02)
    result = separate(surface, labels, confidence, TREE)
    assert [(o.name, o.instance) for o in result.objects] == [("Floor", 1), ("Box", 1), ("Lämp", 1)]
    assert (result.absorbed_pieces, result.crumb_pieces) == (2, 0)
    points = result.objects[0].vertices + result.objects[0].origin
    assert all(np.linalg.norm(points - p, axis=1).min() < 1e-6 for p in surface.vertices[patch])


def test_a_small_piece_that_is_certain_is_an_instance():
    surface, labels, confidence, _ = patchy_room(sure=0.8)
    result = separate(surface, labels, confidence, TREE)
    assert [(o.name, o.instance) for o in result.objects] == [("Floor", 1), ("Box", 1), ("Box", 2), ("Lämp", 1)]
    np.testing.assert_allclose(result.objects[2].dimensions, [0.22, 0.22, 0], atol=VOXEL)


def test_a_guess_that_nothing_surrounds_is_a_crumb():
    surface = welded([*box((0, 0, 0), (0.6, 0.6, 0.6)), grid((2, 2, 0), (0.2, 0, 0), (0, 0.2, 0))])
    labels = np.full(len(surface.vertices), BOX, np.uint16)
    confidence = np.where(surface.vertices[:, 0] > 1, 0.01, 1).astype(np.float32)
    result = separate(surface, labels, confidence, TREE)
    assert (len(result.objects), result.crumb_pieces, result.crumb_faces) == (1, 1, 200)
    # Of one size, both are boxes if anything speaks for the second one.
    surface = welded([*box((0, 0, 0), (0.6, 0.6, 0.6)), *box((2, 2, 0), (2.6, 2.6, 0.6))])
    for sure, count in ((0.2, 2), (0.01, 1)):
        confidence = np.where(surface.vertices[:, 0] > 1, sure, 1).astype(np.float32)
        found = separate(surface, np.full(len(confidence), BOX, np.uint16), confidence, TREE)
        assert (len(found.objects), found.crumb_pieces) == (count, 2 - count)


def test_colours_and_confidence_come_from_the_scan():
    surface, labels = room()
    confidence = np.linspace(0, 1, len(labels), dtype=np.float32)
    seen = 0
    for made in separate(surface, labels, confidence, TREE).objects:
        assert made.confidence.min() >= 0 and made.confidence.max() <= 1
        distance, nearest = cKDTree(surface.vertices).query(made.vertices + made.origin)
        same = distance < 1e-5  # the others are seam points
        seen += same.sum()
        np.testing.assert_array_equal(made.colors[same], surface.colors[nearest[same]])
        np.testing.assert_allclose(made.confidence[same], confidence[nearest[same]], atol=1e-6)
    assert seen > 0.9 * len(surface.vertices)


def test_same_input_same_bits_and_the_scan_stays_as_it_was():
    surface, labels = room()
    before = [array.copy() for array in (surface.vertices, surface.faces, surface.colors, labels)]
    first, second = run(surface, labels), run(surface, labels)
    for a, b in zip(first.objects, second.objects, strict=True):
        for field in ("vertices", "faces", "colors", "labels", "confidence", "origin", "dimensions"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    for old, new in zip(before, (surface.vertices, surface.faces, surface.colors, labels), strict=True):
        np.testing.assert_array_equal(old, new)


def test_instances_of_one_size_are_numbered_by_place():
    surface = welded([*box((1, 0, 0), (1.4, 0.4, 0.4)), *box((0, 0, 0), (0.4, 0.4, 0.4))])
    result = run(surface, np.full(len(surface.vertices), BOX, np.uint16))
    assert [o.instance for o in result.objects] == [1, 2]
    assert result.objects[0].origin[0] < result.objects[1].origin[0]


def test_the_foot_ignores_floaters_and_stands_between_the_legs():
    legs = np.concatenate(
        [np.array([x, y, 0]) + np.linspace(0, 0.4, 60)[:, None] * [0, 0, 1] for x in (0, 0.5) for y in (0, 0.3)]
    )
    seat = grid((0, 0, 0.4), (0.5, 0, 0), (0, 0.3, 0))[0]
    floater = np.array([[3.0, 3.0, -1.0]])
    np.testing.assert_allclose(foot(np.concatenate([legs, seat, floater]), VOXEL), [0.25, 0.15, 0], atol=0.01)


def test_nothing_labelled_is_a_sentence_and_a_foreign_label_an_error():
    surface, labels = room()
    with pytest.raises(UserError, match="Nothing is labelled"):
        run(surface, np.zeros_like(labels))
    with pytest.raises(ValueError, match="not in the tree"):
        run(surface, np.full_like(labels, 77))


def test_a_label_without_a_face_is_told():
    surface, labels = room()
    lone = np.append(surface.vertices, np.float32([[9, 9, 9]]), axis=0)
    surface = Surface(lone, surface.faces, lone, np.append(surface.colors, np.uint8([[0, 0, 0]]), axis=0), VOXEL)
    result = run(surface, np.append(np.zeros_like(labels), np.uint16(LAMP)))
    assert result.objects == () and result.notes == ("Too little surface for an object: Lämp.",)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_labelling_tiles_the_scan(seed):
    """Whatever the labels, the cut pieces cover each scan triangle exactly once."""
    rng = np.random.default_rng(seed)
    vertices, faces = grid((0, 0, 0), (0.2, 0, 0), (0, 0.2, 0))
    vertices[:, 2] = 0.02 * rng.standard_normal(len(vertices))
    labels = rng.integers(1, 5, len(vertices)).astype(np.uint16)
    cut = cut_by_labels(vertices, faces, labels)
    assert area(cut.points, cut.faces) == pytest.approx(area(vertices, faces), rel=1e-9)
    np.testing.assert_allclose(cut.interpolate(vertices), cut.points, atol=1e-12)
    a, b, c = cut.points[cut.faces].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()  # no piece turned over or collapsed
    point_label = np.zeros(len(cut.points), np.uint16)
    point_label[cut.faces] = cut.face_labels[:, None]
    assert (point_label[cut.faces] == cut.face_labels[:, None]).all()
    np.testing.assert_array_equal(point_label[: len(vertices)], labels)


def test_a_seam_is_smoothed_along_the_edges():
    """A straight boundary across the grid comes out nearly straight, not as stairs."""
    vertices, faces = grid((0, 0, 0), (0.6, 0, 0), (0, 0.6, 0))
    labels = np.where(vertices[:, 1] > 0.1 + 0.4 * vertices[:, 0], 2, 1).astype(np.uint16)
    cut = cut_by_labels(vertices, faces, labels)
    seam = cut.points[len(vertices) :]
    inner = (seam[:, 0] > 0.06) & (seam[:, 0] < 0.54)
    off = (seam[:, 1] - 0.1 - 0.4 * seam[:, 0])[inner] / np.hypot(1, 0.4)
    # Half an edge is what cutting at the middles gives at worst.
    assert np.std(off) < 0.2 * VOXEL


@pytest.mark.parametrize("seed", range(12))
def test_noisy_labels_give_whole_objects(seed):
    """Specks of every label inside every other: parts of one label then meet in single points."""
    vertices, faces = grid((0, 0, 0), (0.6, 0, 0), (0, 0.6, 0))
    surface = Surface(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        np.tile(np.float32([0, 0, 1]), (len(vertices), 1)),
        np.full((len(vertices), 3), 128, np.uint8),
        VOXEL,
    )
    generator = np.random.default_rng(seed)
    labels = np.array([FLOOR, BOX, LAMP], np.uint16)[(vertices[:, 0] * 5).astype(int) % 3]
    speck = generator.random(len(labels)) < 0.25
    labels[speck] = generator.integers(0, 4, speck.sum())
    result = separate(surface, labels, generator.random(len(labels)).astype(np.float32), TREE)
    for made in result.objects:
        assert made.faces.min() == 0 and made.faces.max() == len(made.vertices) - 1
        assert len(np.unique(made.faces)) == len(made.vertices)
        assert np.abs((made.vertices + made.origin)[:, 2]).max() < 1e-4


def test_what_hangs_in_the_air_belongs_to_what_is_under_it():
    """A table's top, two legs that end a little below it, a stool under it, and another table's leg elsewhere."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.5, 0.5, 21), np.linspace(-0.5, 0.5, 21)))
    top = np.column_stack([x, y, np.where(np.abs(x) > 0.45, 0.40, 0.44)])
    up = np.linspace(0.0, 0.36, 20)[:, None]
    legs = [np.column_stack([0 * up + px, 0 * up + py, up]) for px, py in ((0.3, 0.3), (-0.3, 0.3), (2.0, 0.0))]
    stool = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.2], [0.0, 0.1, 0.1]])
    pieces = [top, *legs, stool]
    points = np.concatenate(pieces)
    piece = np.repeat(np.arange(5), [len(one) for one in pieces])
    area, label = np.array([1.0, 0.1, 0.1, 0.1, 0.2]), np.full(5, 7)
    standing = [(number, 0.0) for number in (1, 2, 3, 4) for _ in range(5)]

    def linked(*contacts, area=area, label=label):
        links = belonging(points, piece, label, area, np.array([*standing, *contacts]), 0.02)
        return {tuple(link) for link in links.tolist()}

    vase = [(0, 0.44)] * 9  # stands on the top
    assert linked(*vase) == {(0, 1), (0, 2)}
    assert linked(*vase, label=np.array([7, 7, 8, 7, 7])) == {(0, 1)}
    assert linked(*vase, *[(0, 0.40)] * 30) == set()  # a shelf on a wall
    # What is so little must be a fragment, whatever the rest stands on.
    small = np.array([1.0, 0.1, 0.04, 0.04, 0.04])
    assert linked(*[(0, 0.40)] * 30, area=small) == {(0, 2), (0, 4)}
