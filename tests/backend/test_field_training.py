"""Geometry and labels learned on an analytic scene: a red ball in a room."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.captures.capture import Capture, Frame, Intrinsics
from backend.errors import UserError
from backend.field.field import Field, FieldConfig
from backend.field.rendering import render_view
from backend.field.sampling import PointSampler, build_pool
from backend.field.training import FieldTrainer, Marks, TrainingConfig, new_field
from backend.surface.surface import Surface

CENTER, RADIUS, HALF = np.array([0.2, -0.1, -0.6]), 0.5, np.array([2.0, 1.5, 1.2])
CAMERA = Intrinsics(120, 90, 82.0, 82.0, 59.5, 44.5)


def distance(points):
    room = (HALF - np.abs(points)).min(-1)
    return np.minimum(room, np.linalg.norm(points - CENTER, axis=-1) - RADIUS)


def color(points):
    shades = np.stack([0.5 + 0.4 * np.sin(1.5 * points[..., k] + k) for k in range(3)], -1)
    return np.where(on_ball(points)[..., None], [0.9, 0.2, 0.1], shades)


def on_ball(points):
    return np.linalg.norm(points - CENTER, axis=-1) < RADIUS + 0.02


class Analytic:
    """The scene's truncated distance, observed within the band alone."""

    voxel, truncation, device = 0.02, 0.08, torch.device("cpu")

    def sample(self, points):
        sdf = torch.from_numpy(distance(points.double().numpy())).float()
        return sdf.clamp(-self.truncation, self.truncation), (sdf.abs() < self.truncation).float()


class Unobserved(Analytic):
    """A volume that knows nothing: the field has to learn from single measurements."""

    def sample(self, points):
        return torch.full((len(points),), self.truncation), torch.zeros(len(points))


def looking(eye, target):
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, eye], axis=1)
    return pose


def seen_from(pose):
    """True z-depth (H, W) and surface points (H * W, 3), by sphere tracing."""
    rows, columns = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width]
    uv = np.stack([columns, rows], -1).reshape(-1, 2)
    rays = CAMERA.unproject(uv, np.ones(len(uv))) @ pose[:3, :3].T
    depth = np.zeros(len(rays))
    for _ in range(80):
        depth += distance(pose[:3, 3] + depth[:, None] * rays) / np.linalg.norm(rays, axis=1)
    return depth.reshape(CAMERA.height, CAMERA.width), pose[:3, 3] + depth[:, None] * rays


def frame(number, noise, generator):
    turn = 2 * np.pi * number / 10
    eye = np.array([1.2 * np.cos(turn), 0.9 * np.sin(turn), 0.3 + 0.3 * np.sin(3 * turn)])
    pose = looking(eye, -0.6 * eye + np.array([0, 0, -0.3]))
    depth, points = seen_from(pose)
    depth = (depth + noise * depth**2 * generator.standard_normal(depth.shape)).astype(np.float32)
    picture = (color(points) * 255).round().astype(np.uint8).reshape(*depth.shape, 3)
    return Frame(f"{number:06d}", Path("none.png"), CAMERA, CAMERA, pose, lambda: picture, lambda: depth)


def quiet(fraction, text):
    pass


@pytest.fixture(scope="module")
def capture():
    generator = np.random.default_rng(0)
    frames = tuple(frame(number, 0.005, generator) for number in range(10))
    return Capture("ball", "analytic", Path("."), frames, np.eye(4))


@pytest.fixture(scope="module")
def surface(capture):
    """Points of the scene with their normals, as the vertices of a scan."""
    points = np.concatenate([seen_from(capture.camera_to_scene(f))[1][::7] for f in capture.frames])
    step = 1e-4 * np.eye(3)
    normals = np.stack([distance(points + s) - distance(points - s) for s in step], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colors = (color(points) * 255).astype(np.uint8)
    return Surface(points.astype(np.float32), np.zeros((0, 3), np.int32), normals.astype(np.float32), colors, 0.02)


@pytest.fixture(scope="module")
def pool(capture):
    return build_pool(capture, Analytic(), quiet, pixels=60_000)


@pytest.fixture(scope="module")
def truth():
    """A view that was not trained on: pose, depth, points."""
    pose = looking(np.array([0.5, -0.8, 0.5]), np.array([-0.5, 0.5, -0.4]))
    return pose, *seen_from(pose)


SHORT = TrainingConfig(geometry_steps=80, pixels=512, label_steps=60, label_points=1024)


@pytest.fixture(scope="module")
def trainer(surface, pool):
    trainer = FieldTrainer(new_field(surface, Analytic()), PointSampler(pool), config=SHORT)
    while not trainer.geometry_done:
        trainer.geometry_step()
    trainer.settle()
    return trainer


def errors(field, truth):
    points = torch.from_numpy(truth[2]).float()
    with torch.no_grad():
        answer = field.query(points, want=("sdf", "color"))
    shade = torch.from_numpy(color(truth[2])).float()
    return float(answer.sdf.abs().mean()), float((answer.color - shade).abs().mean())


def test_field_starts_from_the_fused_volume_before_any_step(surface, truth):
    assert errors(new_field(surface, Analytic()), truth)[0] < 0.02


def test_schedule_reaches_the_surface_and_its_colour(trainer, truth):
    geometry, shade = errors(trainer.field, truth)
    assert geometry < 0.005 and shade < 0.02
    assert trainer.skipped == 0 and trainer.step == SHORT.geometry_steps


def test_learning_from_depth_alone_reaches_a_centimetre(capture, truth):
    pool = build_pool(capture, Unobserved(), quiet, pixels=60_000)
    config = FieldConfig(truncation=0.08)
    field = Field(config, torch.tensor([[-2.2, -1.7, -1.4], [2.2, 1.7, 1.4]]))
    trainer = FieldTrainer(field, PointSampler(pool), config=TrainingConfig(geometry_steps=150, pixels=512))
    while not trainer.geometry_done:
        trainer.geometry_step()
    assert errors(field, truth)[0] < 0.01


def test_distances_are_positive_in_observed_space_and_negative_behind_the_surface(trainer, truth):
    pose, _, points = truth
    eye = pose[:3, 3]
    unit = (points - eye) / np.linalg.norm(points - eye, axis=1, keepdims=True)
    half_way = (points + eye) / 2
    half_way = torch.from_numpy(half_way[distance(half_way) > 0.12]).float()
    behind = torch.from_numpy(points + 0.05 * unit).float()
    square_on = torch.from_numpy(distance(points + 0.05 * unit) < -0.03)
    with torch.no_grad():
        assert (trainer.field.query(half_way, want=("sdf",)).sdf > 0.04).float().mean() > 0.99
        assert (trainer.field.query(behind[square_on], want=("sdf",)).sdf < 0).float().mean() > 0.99


def test_rendered_view_matches_the_scene(trainer, truth):
    pose, depth, points = truth
    view = render_view(trainer.field, CAMERA, pose, quiet, depth_guess=depth.astype(np.float32))
    assert np.median(np.abs(view.depth - depth)) < 0.005
    assert (view.opacity > 0.5).mean() > 0.98
    assert np.abs(view.color / 255.0 - color(points).reshape(view.color.shape)).mean() < 0.02
    free = render_view(trainer.field, CAMERA, pose, quiet)
    assert (np.abs(free.depth - depth) < 0.02).mean() > 0.97


def test_geometry_training_is_the_same_bits_for_the_same_seed(surface, pool):
    def trained(seed):
        trainer = FieldTrainer(new_field(surface, Analytic()), PointSampler(pool, seed), config=SHORT)
        for _ in range(5):
            trainer.geometry_step()
        return [p.detach().clone() for group in trainer.field.geometry_parameters() for p in group]

    first, second, other = trained(0), trained(0), trained(1)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_training_leaves_the_global_generator_alone(surface, pool):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trainer = FieldTrainer(new_field(surface, Analytic()), PointSampler(pool), config=SHORT)
    trainer.geometry_step()
    trainer.field.reset_semantics(4, 1)
    assert torch.equal(torch.rand(3), expected)


def test_distilled_features_are_learned(pool, surface):
    target = torch.stack([pool.surface[:, 0], (pool.surface[:, 2] > 0).float()], dim=1)
    teaching = type(pool)(**{**vars(pool), "features": target.half()})
    config = FieldConfig(truncation=0.08, feature_dim=2)
    field = Field(config, torch.tensor([[-2.2, -1.7, -1.4], [2.2, 1.7, 1.4]]))
    trainer = FieldTrainer(field, PointSampler(teaching), config=SHORT)
    losses = [trainer.geometry_step()["features"] for _ in range(60)]
    assert losses[-1] < 0.25 * losses[0]
    trainer.settle()
    trainer.start_labels(2, pool.surface[:500], torch.eye(2)[(target[:500, 1]).long()])
    assert trainer.field.query(pool.surface[:9]).features.shape == (9, 2)


# labels


def two_boxes():
    """Points on the faces of two boxes that touch at x = 0, and which box each is on."""
    generator = np.random.default_rng(2)
    points = generator.uniform(-1, 1, (6000, 3)) * [0.5, 0.3, 0.3]
    axis, side = generator.integers(1, 3, 6000), generator.choice([-0.3, 0.3], 6000)
    points[np.arange(6000), axis] = side
    return torch.from_numpy(points).float(), torch.from_numpy((points[:, 0] > 0).astype(np.int64))


@pytest.fixture
def boxes():
    field = Field(FieldConfig(truncation=0.05), torch.tensor([[-0.6, -0.4, -0.4], [0.6, 0.4, 0.4]]))
    trainer = FieldTrainer(field, None, config=SHORT)
    trainer.settle()
    return trainer


def train_labels(trainer, *arguments, **options):
    trainer.start_labels(*arguments, **options)
    while not trainer.labels_done:
        trainer.label_step()


def test_soft_targets_of_two_touching_boxes_are_learned(boxes):
    points, side = two_boxes()
    soft = torch.nn.functional.one_hot(side, 3).float() * 0.8 + torch.tensor([0.1, 0.1, 0.0])
    train_labels(boxes, 3, points, soft)
    answer = boxes.query_labels(points)
    torch.testing.assert_close(answer.sum(1), torch.ones(len(points)))
    clear = points[:, 0].abs() > 0.02
    assert (answer.argmax(1) == side)[clear].float().mean() > 0.99
    assert 0.8 < float(answer.max(1).values.mean()) < 0.95  # as sure as the teacher


def test_targets_per_superpoint_are_those_of_its_points(boxes):
    points, side = two_boxes()
    rows = torch.eye(2) * 0.8 + 0.1
    train_labels(boxes, 2, points, rows, assignment=side)
    one = boxes.query_labels(points)
    train_labels(boxes, 2, points, rows[side])
    assert torch.equal(one, boxes.query_labels(points))


def test_marks_override_the_teacher_and_negative_marks_repel(boxes):
    points, _ = two_boxes()
    soft = torch.full((len(points), 3), 1 / 3)
    place = torch.tensor([[-0.4, 0.3, 0.0], [0.4, 0.3, 0.0], [0.4, -0.3, 0.1]])
    marks = Marks(place, torch.tensor([0, 1, 2]), torch.tensor([1, 1, -1]))
    train_labels(boxes, 3, points, soft, marks)
    answer = boxes.query_labels(place)
    assert answer[0].argmax() == 0 and answer[1].argmax() == 1
    assert answer[0, 0] > 0.6 and answer[1, 1] > 0.6 and answer[2, 2] < 0.15


def test_many_marks_are_balanced_by_class(boxes):
    points, side = two_boxes()
    few = torch.cat([(side == 0).nonzero()[:600, 0], (side == 1).nonzero()[:3, 0]])
    marks = Marks(points[few], side[few], torch.ones(len(few)))
    train_labels(boxes, 2, points, torch.full((len(points), 2), 0.5), marks)
    assert (boxes.query_labels(points[few]).argmax(1) == side[few]).float().mean() > 0.98
    assert (boxes.query_labels(points[few[-3:]]).argmax(1) == 1).all()


def test_points_without_a_target_teach_nothing(boxes):
    points, side = two_boxes()
    soft = torch.nn.functional.one_hot(side, 2).float()
    wrong = torch.arange(len(points)) % 2 == 0
    soft[wrong] = 0
    train_labels(boxes, 2, points, soft)
    clear = points[:, 0].abs() > 0.02
    assert (boxes.query_labels(points).argmax(1) == side)[clear].float().mean() > 0.98
    with pytest.raises(ValueError, match="target"):
        boxes.start_labels(2, points, torch.zeros(len(points), 2))
    with pytest.raises(ValueError, match="targets for"):
        boxes.start_labels(2, points, soft[:5])


def test_labels_are_the_same_bits_whatever_was_trained_before(trainer, surface):
    points = torch.from_numpy(surface.vertices)
    cache = trainer.cache_points(points)
    ball = torch.from_numpy(on_ball(surface.vertices)).long()
    soft = torch.nn.functional.one_hot(ball, 2).float() * 0.9 + 0.05
    marks = Marks(points[:5], ball[:5], torch.ones(5))
    train_labels(trainer, 2, cache, soft, marks, seed=11)
    first = trainer.query_labels(cache)
    assert (first.argmax(1) == ball).float().mean() > 0.97
    train_labels(trainer, 5, cache, torch.rand(len(points), 5, generator=torch.Generator().manual_seed(0)), seed=3)
    trainer.start_labels(2, cache, 1 - soft)
    trainer.label_step()
    train_labels(trainer, 2, points, soft, marks, seed=11)
    assert torch.equal(trainer.query_labels(points), first)
    train_labels(trainer, 2, cache, soft, marks, seed=12)
    assert not torch.equal(trainer.query_labels(cache), first)


def test_labels_never_reach_geometry_or_colour(surface, pool):
    field = new_field(surface, Analytic())  # not frozen: only the detached branch stands between
    field.reset_semantics(3, seed=0)
    with torch.no_grad():
        field.semantics.network[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
    logits = field.query(pool.surface[:200]).logits
    torch.nn.functional.cross_entropy(logits, torch.arange(200) % 3).backward()
    grids, networks = field.geometry_parameters()
    assert all(p.grad is None for p in grids + networks)
    assert all(p.grad.abs().sum() > 0 for p in field.semantics.network.parameters())


def test_label_training_changes_no_bit_of_geometry(trainer, surface):
    before = {name: value.clone() for name, value in trainer.field.state_dict().items() if "semantics" not in name}
    targets = torch.eye(2)[torch.arange(len(surface.vertices)) % 2]
    train_labels(trainer, 2, torch.from_numpy(surface.vertices), targets)
    after = trainer.field.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


# trouble


def test_a_step_that_is_not_finite_is_skipped_and_counted(surface, pool):
    colors = pool.surface.clone()
    broken = type(pool)(**{**vars(pool), "target": torch.full_like(pool.target, float("nan"))})
    trainer = FieldTrainer(new_field(surface, Analytic()), PointSampler(broken), config=SHORT)
    before = [p.detach().clone() for group in trainer.field.geometry_parameters() for p in group]
    trainer.geometry_step()
    after = [p for group in trainer.field.geometry_parameters() for p in group]
    assert trainer.skipped == 1 and trainer.step == 1
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    trainer.sampler = PointSampler(pool)
    trainer.geometry_step()
    assert trainer.skipped == 1 and torch.isfinite(trainer.field.query(colors[:50]).sdf).all()


class SmallDevice(PointSampler):
    """A sampler on a device that has memory for 200 pixels, or for so many only after some calls have failed."""

    failing = 1 << 40

    def draw(self, pixels):
        batch = super().draw(pixels)
        if pixels > 200 and self.failing:
            self.failing -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch


def test_out_of_memory_halves_the_batch_and_goes_on(surface, pool):
    trainer = FieldTrainer(new_field(surface, Analytic()), SmallDevice(pool), config=SHORT)
    trainer.same_bits = False  # as on a GPU
    losses = [trainer.geometry_step()["total"] for _ in range(3)]
    assert trainer.step == 3 and all(np.isfinite(losses))


def test_out_of_memory_on_the_cpu_is_tried_again_with_the_same_bits_or_told(surface, pool):
    whole = FieldTrainer(new_field(surface, Analytic()), PointSampler(pool), config=SHORT)
    short = FieldTrainer(new_field(surface, Analytic()), SmallDevice(pool), config=SHORT)
    for _ in range(3):
        short.sampler.failing = 2
        assert short.geometry_step() == whole.geometry_step()
    short.sampler.failing = 1 << 40
    with pytest.raises(torch.OutOfMemoryError):
        short.geometry_step()
    short.sampler.failing = 0  # the person has closed something
    assert short.geometry_step() == whole.geometry_step()


def test_training_that_moves_to_another_device_goes_on_with_the_same_numbers(surface, pool):
    trainers = [FieldTrainer(new_field(surface, Analytic()), PointSampler(pool), config=SHORT) for _ in range(2)]
    targets = torch.eye(3)[torch.arange(60) % 3]
    for trainer in trainers:
        trainer.geometry_step()
    trainers[1].to("cpu")
    assert trainers[0].geometry_step() == trainers[1].geometry_step()
    for trainer in trainers:
        trainer.settle()
        trainer.start_labels(3, pool.surface[:60], targets)
        trainer.label_step()
    trainers[1].to("cpu")
    assert trainers[0].label_step() == trainers[1].label_step()


def test_other_errors_are_not_taken_for_lack_of_memory(surface, pool):
    broken = type(pool)(**{**vars(pool), "offset": pool.offset[:, :1]})
    trainer = FieldTrainer(new_field(surface, Analytic()), PointSampler(broken), config=SHORT)
    with pytest.raises(RuntimeError, match="size"):
        trainer.geometry_step()


def test_a_capture_without_usable_depth_is_told(capture):
    empty = np.zeros((90, 120), np.float32)
    blind = tuple(
        Frame(f.name, f.color_path, CAMERA, CAMERA, f.camera_to_world, f.load_color, lambda: empty)
        for f in capture.frames
    )
    with pytest.raises(UserError) as error:
        build_pool(Capture("blind", "analytic", Path("."), blind, np.eye(4)), Analytic(), quiet)
    assert error.value.code == "no_depth"


def test_an_empty_scan_is_told():
    nothing = np.zeros((0, 3), np.float32)
    with pytest.raises(UserError) as error:
        new_field(Surface(nothing, np.zeros((0, 3), np.int32), nothing, nothing.astype(np.uint8), 0.02), Analytic())
    assert error.value.code == "empty_surface"


def test_points_outside_the_box_are_answered_and_farther(trainer):
    points = torch.tensor([[50.0, 0.0, 0.0], [-50.0, 80.0, 3.0]])
    answer = trainer.field.query(points)
    assert torch.isfinite(answer.sdf).all() and torch.isfinite(answer.color).all() and (answer.sdf > 40).all()
