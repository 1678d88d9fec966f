"""The learned prior: it loads, it is small, it helps where hand-made weights are blind, and it may be absent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as read
from safetensors.numpy import save

from backend.captures.capture import Capture, Frame, Intrinsics
from backend.labels.kernel import SHIFTS, GraphKernel, by_hand, diffusion
from backend.surface import prior as priors
from backend.surface.cues import gather
from backend.surface.descriptors import EDGE_FEATURES, EdgeEvidence, no_cues, on_rim
from backend.surface.features import describe, edge_graph, mesh_edges
from backend.surface.fusion import fuse
from backend.surface.mesh import extract
from backend.surface.superpoints import segment
from backend.surface.surface import Superpoints
from scripts.prior import metric, networks
from tests.backend.label_scenes import boxes_on_floor

NO_PRIOR = {"prior": lambda: None}


@pytest.fixture(scope="module")
def shipped():
    prior = priors.shipped()
    assert prior is not None, "assets/prior.safetensors is missing; scripts/train_prior.py makes it"
    return prior


def same(one, two):
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in Superpoints.__dataclass_fields__)


# The file.


def test_the_shipped_file_is_small_and_says_what_it_was_trained_on(shipped):
    data = priors.PATH.read_bytes()
    assert len(data) < 2_000_000
    assert b"left out for the report" in data[:4000]
    assert len(shipped.digest) == 64
    assert len(shipped.edges.mean) == len(EDGE_FEATURES)
    assert all(np.isfinite(array).all() for array in read(data).values())


def test_storing_and_loading_gives_the_same_answers(tmp_path, shipped):
    path = tmp_path / "prior.safetensors"
    path.write_bytes(save(priors.arrays_of(shipped)))
    again = priors.load(path)
    features = np.random.default_rng(0).normal(size=(100, len(EDGE_FEATURES))).astype(np.float32)
    assert np.array_equal(again.edges(features), shipped.edges(features))
    assert (again.mixture is None) == (shipped.mixture is None)
    assert again.digest != shipped.digest  # the metadata is part of the file


def test_no_file_a_torn_file_and_one_of_another_layout_give_no_prior(tmp_path, shipped, caplog):
    assert priors.load(tmp_path / "absent.safetensors") is None
    assert not caplog.records
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(priors.PATH.read_bytes()[:-50])
    other = tmp_path / "other.safetensors"
    other.write_bytes(save(priors.arrays_of(shipped) | {"layout": np.frombuffer(b"0", np.uint8)}))
    poor = tmp_path / "poor.safetensors"
    arrays = priors.arrays_of(shipped)
    poor.write_bytes(save({name: array for name, array in arrays.items() if not name.startswith("pairs")}))
    for path in (torn, other, poor):
        assert priors.load(path) is None
    assert len(caplog.records) == 3


def test_a_network_refuses_features_of_another_number(shipped):
    with pytest.raises(ValueError, match="features"):
        shipped.edges(np.zeros((3, 2), np.float32))


# Superpoints with and without it.


def test_without_the_prior_the_hand_made_weights_serve():
    surface, truth = boxes_on_floor()
    pieces = segment(surface, target=200, **NO_PRIOR)
    side = np.array([np.bincount(truth[pieces.ids == s]).argmax() for s in range(len(pieces.sizes))])
    a, b = pieces.edges.T
    assert np.median(pieces.weights[side[a] != side[b]]) < 0.2 * np.median(pieces.weights[side[a] == side[b]])
    kernel = GraphKernel(pieces, **NO_PRIOR)
    np.testing.assert_allclose(kernel.matrix.diagonal(), 1, atol=1e-3)


@pytest.mark.parametrize("learned", [False, True])
def test_hypotheses_are_nested_or_coarser_and_describe_every_superpoint(shipped, learned):
    surface, _ = boxes_on_floor()
    pieces = segment(surface, target=200, prior=lambda: shipped if learned else None)
    count = len(pieces.sizes)
    assert pieces.objects.shape == (count, 2)
    assert pieces.objects.dtype == np.int32
    assert pieces.embedding.shape[0] == count
    assert np.isfinite(pieces.embedding).all()
    assert 1 <= pieces.objects[:, 1].max() + 1 <= pieces.objects[:, 0].max() + 1 <= count
    assert (pieces.weights > 0).all()
    assert (pieces.weights <= 1).all()


def test_the_same_surface_and_prior_give_the_same_bits(shipped):
    surface, _ = boxes_on_floor(seed=5)
    one, two = (segment(surface, target=200, prior=lambda: shipped) for _ in range(2))
    assert same(one, two)
    assert bool((GraphKernel(one).matrix == GraphKernel(two).matrix).all())


BOXES = {  # low and high corners in metres: a floor, and two things of its colour that touch
    1: ((-1.2, -1.2, -0.1), (1.2, 1.2, 0.0)),
    2: ((-0.50, -0.3, 0.0), (0.0, 0.3, 0.45)),
    3: ((0.0, -0.3, 0.0), (0.45, 0.3, 0.55)),
}
CAMERA = Intrinsics(160, 120, 130.0, 130.0, 79.5, 59.5)


def looking(eye, target):
    """Camera to scene (4, 4), OpenCV axes."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([right, np.cross(forward, right), forward], axis=1), eye
    return pose


def photographed(pose, seed):
    """Colour and depth of the boxes, which are all of one grey under a light from one side, with some noise."""
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = CAMERA.unproject(np.stack([u, v], axis=-1), np.ones(u.shape)) @ pose[:3, :3].T
    depth, side = np.full(u.shape, np.inf), np.zeros(u.shape, int)
    for low, high in BOXES.values():
        ends = (np.stack([low, high]) - pose[:3, 3])[:, None, None] / rays
        near, far = ends.min(axis=0), ends.max(axis=0).min(axis=-1)
        hit = (near.max(axis=-1) < far) & (near.max(axis=-1) < depth) & (far > 0)
        depth, side = np.where(hit, near.max(axis=-1), depth), np.where(hit, near.argmax(axis=-1), side)
    random = np.random.default_rng(seed)
    light = np.array([150.0, 120.0, 185.0])[side] + random.normal(0, 4, u.shape)
    color = np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    depth = np.where(np.isfinite(depth), depth + random.normal(0, 0.002, u.shape), 0).astype(np.float32)
    return color, depth


@pytest.fixture(scope="module")
def touching_boxes():
    """A scan of the boxes, what its frames say, and the true uid of every vertex."""
    frames = []
    for k in range(10):
        angle = 2 * np.pi * k / 10
        pose = looking((1.7 * np.cos(angle), 1.7 * np.sin(angle), 1.2), (0, 0, 0.25))
        color, depth = photographed(pose, k)
        load = (lambda image=color: image, lambda image=depth: image)
        frames.append(Frame(f"{k}", Path(), CAMERA, CAMERA, pose, *load))
    capture = Capture("boxes", "made up", Path(), tuple(frames), np.eye(4))
    surface = extract(fuse(capture, lambda f, text: None, voxel=0.02), lambda f, text: None)
    distance = []
    for low, high in BOXES.values():
        outside = np.maximum(np.maximum(low - surface.vertices, surface.vertices - high), 0)
        inside = np.minimum(surface.vertices - low, high - surface.vertices).min(axis=1)
        distance.append(np.linalg.norm(outside, axis=1) + np.maximum(inside, 0))
    return surface, gather(capture, surface), 1 + np.argmin(distance, axis=0)


def rightly_labelled(surface, cues, truth, prior):
    """Share of each thing's vertices that get its label from one mark on each thing by diffusion alone, their mean."""
    pieces = segment(surface, cues, target=300, prior=lambda: prior)
    top = [(-0.9, -0.9, 0.0), (-0.25, 0.0, 0.45), (0.2, 0.0, 0.55)]
    marked = [pieces.ids[((surface.vertices - place) ** 2).sum(axis=1).argmin()] for place in top]
    answer = GraphKernel(pieces, prior=lambda: prior).local.regress(
        np.array(marked, np.int64), np.eye(3) - 1 / 3, np.full(3, 0.02)
    )
    right = (1 + answer.argmax(axis=1))[pieces.ids] == truth
    return np.mean([right[truth == uid].mean() for uid in BOXES])


def test_it_separates_touching_things_of_one_colour_better_than_by_hand(shipped, touching_boxes):
    learned, by_hand_made = (rightly_labelled(*touching_boxes, prior) for prior in (shipped, None))
    assert learned > by_hand_made
    assert learned > 0.9


# What it looks at.


def test_edge_features_are_as_named_and_do_not_depend_on_the_rows_asked_for():
    surface, _ = boxes_on_floor()
    graph = edge_graph(surface)
    evidence = EdgeEvidence(surface, graph, describe(surface), no_cues(surface, graph.edges))
    every = evidence.features(slice(None))
    assert every.shape == (len(graph.edges), len(EDGE_FEATURES))
    assert np.array_equal(evidence.features(np.arange(7, 90)), every[7:90])
    lengths = np.linalg.norm(np.diff(surface.vertices[graph.edges], axis=1)[:, 0], axis=1)
    np.testing.assert_allclose(every[:, EDGE_FEATURES.index("length")], lengths / surface.voxel, rtol=1e-4)
    np.testing.assert_allclose(every[:, EDGE_FEATURES.index("strength")], np.log1p(graph.strength), rtol=1e-5)
    assert not every[:, EDGE_FEATURES.index("views")].any()
    np.testing.assert_array_equal(evidence.logits(lambda features: features[:, 0] * 2), every[:, 0] * 2)


def test_the_rim_is_where_the_scan_ends():
    surface, _ = boxes_on_floor()
    edges = mesh_edges(surface.faces, len(surface.vertices))
    rim = on_rim(surface.faces, edges, len(surface.vertices))
    x, y = surface.vertices[edges, 0], surface.vertices[edges, 1]
    bounds = (x == x.min()).all(1) | (x == x.max()).all(1) | (y == y.min()).all(1) | (y == y.max()).all(1)
    assert np.array_equal(rim, bounds)


# The kernel.


def test_diffusion_by_dissection_is_the_inverse():
    surface, _ = boxes_on_floor()
    pieces = segment(surface, target=700, **NO_PRIOR)
    count = len(pieces.sizes)
    assert count > 500  # large enough to be cut
    affinity = np.zeros((count, count))
    affinity[tuple(pieces.edges.T)] = pieces.weights
    affinity += affinity.T
    scale = 1 / np.sqrt(affinity.sum(axis=1))
    for shift in SHIFTS:
        inverse = np.linalg.inv((1 + shift) * np.eye(count) - affinity * scale[:, None] * scale)
        inverse /= np.sqrt(np.outer(inverse.diagonal(), inverse.diagonal()))
        np.testing.assert_allclose(diffusion(pieces, shift).numpy(), inverse, atol=1e-4)


def test_superpoints_without_neighbours_and_torn_graphs_have_a_kernel():
    surface, _ = boxes_on_floor()
    pieces = segment(surface, target=700, **NO_PRIOR)
    lonely = replace(pieces, edges=pieces.edges[:5], weights=pieces.weights[:5])
    matrix = GraphKernel(lonely, **NO_PRIOR).matrix
    assert bool(np.isfinite(matrix).all())
    np.testing.assert_allclose(matrix.diagonal(), 1, atol=1e-3)


def test_the_kernel_is_a_covariance_and_its_local_part_knows_no_likeness(shipped):
    surface, _ = boxes_on_floor(
        boxes={2: (0.3, 0.8, 0.4, 1.0), 3: (1.5, 2.0, 0.4, 1.0)}, colors=((90, 80, 70),) + ((200, 40, 40),) * 2
    )
    pieces = segment(surface, target=300, prior=lambda: shipped)
    kernel = GraphKernel(pieces, prior=lambda: shipped)
    matrix = kernel.matrix.double().numpy()
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    assert np.linalg.eigvalsh(matrix).min() > -1e-4
    first = pieces.ids[((surface.vertices[:, :2] - (0.55, 0.7)) ** 2).sum(1).argmin()]
    second = pieces.ids[((surface.vertices[:, :2] - (1.75, 0.7)) ** 2).sum(1).argmin()]
    assert kernel.matrix[first, second] > kernel.local.matrix[first, second] + 0.02
    nodes, noise = np.array([first], np.int64), np.array([0.02])
    assert kernel.local.regress(nodes, np.ones((1, 1)), noise).shape == (len(pieces.sizes), 1)
    assert kernel.local.support(nodes, noise).max() <= 1


# Training.


def test_a_network_learns_what_a_line_cannot_and_twice_the_same():
    random = np.random.default_rng(3)
    features = random.normal(size=(6000, 4)).astype(np.float32)
    target = ((features[:, 0] * features[:, 1]) > 0).astype(np.float32)
    rows = networks.Rows(features[:4000], target[:4000], np.ones(4000, np.float32))
    one, two = (networks.fit([rows], (16, 8), 300, seed=1) for _ in range(2))
    assert networks.auc(one(features[4000:]), target[4000:]) > 0.97
    assert np.array_equal(one(features), two(features))


def test_known_areas_and_precisions():
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    assert networks.auc(scores, np.array([1, 0, 1, 0])) == pytest.approx(0.75)
    assert networks.average_precision(scores, np.array([1, 0, 1, 0])) == pytest.approx((1 + 2 / 3) / 2)


def test_the_mixture_learns_to_use_the_part_that_tells_the_labels():
    """Classes that only the features tell apart: likeness must gain weight over diffusion."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(2)
    count = 120
    label = random.integers(0, 3, count)
    surface, _ = boxes_on_floor()
    pieces = segment(surface, target=150, **NO_PRIOR)
    pieces = replace(
        pieces,
        edges=np.stack([np.arange(count - 1), np.arange(1, count)], axis=1).astype(np.int32),
        weights=np.ones(count - 1, np.float32),
        features=(np.eye(3)[label] * 2 + random.normal(0, 0.2, (count, 3))).astype(np.float32),
        sizes=np.full(count, 10, np.int32),
        centers=random.random((count, 3)).astype(np.float32),
        objects=np.zeros((count, 2), np.int32),
        embedding=np.zeros((count, 2), np.float32),
    )
    shares = torch.from_numpy(np.eye(3, dtype=np.float32)[label])
    spread = torch.stack([diffusion(pieces, shift) for shift in SHIFTS])
    tensors = [torch.from_numpy(getattr(pieces, name)) for name in ("features", "embedding", "centers", "objects")]
    task = metric.Task(spread, *tensors, shares, torch.full((count,), 10.0))
    start = by_hand(pieces)
    learnt, again = (metric.learn([task], start, 40, seed=0) for _ in range(2))
    assert learnt.parts[2:4].sum() / learnt.parts.sum() > 1.5 * start.parts[2:4].sum() / start.parts.sum()
    assert np.array_equal(learnt.parts, again.parts)
