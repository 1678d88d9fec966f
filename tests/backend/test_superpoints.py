"""Superpoints: a partition into connected pieces, deterministic, with borders on the scan's edges."""

import numpy as np
import pytest

from backend.surface.features import (
    NAMES,
    averaging_matrix,
    components,
    describe,
    edge_graph,
    lab_from_srgb,
    mesh_edges,
)
from backend.surface.prior import shipped
from backend.surface.regions import felzenszwalb
from backend.surface.superpoints import segment
from backend.surface.surface import Superpoints, Surface
from tests.backend.label_scenes import boxes_on_floor, height_field, inside

POSTER = (0.5, 1.1, 0.4, 0.9)


@pytest.fixture(scope="module")
def poster():
    """A flat wall with a poster on it: no edge in shape, only in colour."""

    def color(x, y):
        return np.where(inside(x, y, POSTER)[..., None], (60.0, 120.0, 60.0), (200.0, 195.0, 190.0))

    surface = height_field((1.6, 1.3), lambda x, y: np.zeros_like(x), color)
    return surface, inside(surface.vertices[:, 0], surface.vertices[:, 1], POSTER)


def _connected(surface, ids):
    edges = mesh_edges(surface.faces, len(ids))
    inner = edges[ids[edges[:, 0]] == ids[edges[:, 1]]]
    return components(inner, len(ids)).max() == ids.max()


def test_a_partition_into_connected_pieces():
    surface, _ = boxes_on_floor()
    pieces = segment(surface, target=200)
    assert pieces.ids.shape == (len(surface.vertices),)
    assert np.array_equal(np.bincount(pieces.ids), pieces.sizes)
    assert pieces.sizes.min() > 0
    assert 40 <= len(pieces.sizes) <= 200
    assert _connected(surface, pieces.ids)


def test_numbered_by_first_vertex_with_sorted_neighbours_and_bounded_weights():
    surface, _ = boxes_on_floor()
    pieces = segment(surface, target=150)
    first = np.unique(pieces.ids, return_index=True)[1]
    assert (np.diff(first) > 0).all()
    assert (pieces.edges[:, 0] < pieces.edges[:, 1]).all()
    assert len(np.unique(pieces.edges, axis=0)) == len(pieces.edges)
    assert (pieces.weights > 0).all()
    assert (pieces.weights <= 1).all()
    centers = np.stack([np.bincount(pieces.ids, surface.vertices[:, k]) / pieces.sizes for k in range(3)], 1)
    np.testing.assert_allclose(pieces.centers, centers, atol=1e-4)
    assert np.isfinite(pieces.features).all()


def test_the_same_surface_gives_the_same_bits():
    surface, _ = boxes_on_floor(seed=3)
    one, two = segment(surface), segment(surface)
    for name in Superpoints.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_borders_follow_a_colour_edge_on_a_flat_wall(poster):
    surface, on_poster = poster
    ids = segment(surface, target=120).ids
    share = np.bincount(ids, weights=on_poster) / np.bincount(ids)
    wrong = np.where(share[ids] > 0.5, ~on_poster, on_poster)
    assert wrong.mean() < 0.01


@pytest.mark.parametrize("prior", [shipped, lambda: None], ids=["learned", "by hand"])
def test_affinity_is_low_across_the_edge_and_high_within(poster, prior):
    surface, on_poster = poster
    pieces = segment(surface, target=120, prior=prior)
    side = np.bincount(pieces.ids, weights=on_poster) / pieces.sizes > 0.5
    across = side[pieces.edges[:, 0]] != side[pieces.edges[:, 1]]
    assert across.any()
    assert np.median(pieces.weights[across]) < 0.2 * np.median(pieces.weights[~across])


def test_borders_follow_a_crease_of_one_colour():
    surface, truth = boxes_on_floor(colors=((150, 150, 150),) * 3)
    ids = segment(surface, target=200).ids
    table = np.zeros((ids.max() + 1, 4))
    np.add.at(table, (ids, truth), 1)
    assert (table.argmax(axis=1)[ids] == truth).mean() > 0.97


def test_felzenszwalb_cuts_a_chain_at_its_strong_edge_and_honours_the_scale():
    edges = np.array([[k, k + 1] for k in range(9)], np.int32)
    strength = np.full(9, 0.1, np.float32)
    strength[4] = 1.0
    assert felzenszwalb(edges, strength, 10, 0.5).tolist() == [0] * 5 + [1] * 5
    assert felzenszwalb(edges, strength, 10, 50.0).max() == 0
    assert felzenszwalb(edges, strength, 10, 0.01).max() == 9


def test_separate_pieces_are_bridged_by_weak_edges():
    lower, _ = boxes_on_floor()
    shifted = lower.vertices + np.float32([0, 0, 0.5])
    near = lower.vertices + np.float32([2.45, 0, 0])
    count = len(lower.vertices)
    stacked = Surface(
        np.concatenate([lower.vertices, near, shifted]),
        np.concatenate([lower.faces, lower.faces + count, lower.faces + 2 * count]),
        np.tile(lower.normals, (3, 1)),
        np.tile(lower.colors, (3, 1)),
        lower.voxel,
    )
    pieces = segment(stacked, target=300)
    of_piece = np.zeros(len(pieces.sizes), int)
    of_piece[pieces.ids] = np.arange(3 * count) // count
    pairs = {tuple(sorted(pair)) for pair in of_piece[pieces.edges].tolist()}
    assert (0, 1) in pairs  # 5 cm apart
    assert (0, 2) not in pairs  # half a metre above


def test_lab_of_known_colours():
    lab = lab_from_srgb(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [119, 119, 119]], np.uint8))
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [50.03, 0, 0]]
    np.testing.assert_allclose(lab, expected, atol=0.1)


def test_descriptors_tell_plane_from_edge_and_measure_height():
    surface, truth = boxes_on_floor()
    described = dict(zip(NAMES, describe(surface).T, strict=True))
    middle = inside(surface.vertices[:, 0], surface.vertices[:, 1], (0.55, 0.75, 0.6, 0.8))
    assert described["planarity_0"][middle].min() > 0.7
    assert described["scattering_0"][middle].max() < 0.05
    np.testing.assert_allclose(described["height"][truth == 2], 0.3, atol=1e-3)
    assert described["std_L_1"][middle].max() < 3
    assert described["verticality_0"][middle].max() < 0.05


def test_averaging_keeps_constants_and_edges_are_strong_at_steps_only(poster):
    surface, on_poster = poster
    graph = edge_graph(surface)
    average = averaging_matrix(graph.edges, len(surface.vertices))
    np.testing.assert_allclose(average @ np.ones(len(surface.vertices), np.float32), 1, atol=1e-5)
    a, b = graph.edges.T
    step = on_poster[a] != on_poster[b]
    assert np.percentile(graph.strength[step], 5) > 1.0
    assert np.median(graph.strength[~step]) < 0.4
