"""Volume rendering: identities, known answers, views."""

import numpy as np
import pytest
import torch

from backend.captures.capture import Intrinsics
from backend.field.field import Field, FieldConfig
from backend.field.rendering import composite, render_rays, render_view, sdf_to_weights

BOX = torch.tensor([[-1.0, -1.0, 0.0], [1.0, 1.0, 3.0]])
CAMERA = Intrinsics(24, 16, 30.0, 30.0, 11.5, 7.5)


def plane_field(depth, box=BOX):
    """A field that is exactly the half space z > depth, with untrained colour and labels."""
    field = Field(FieldConfig(truncation=0.08, resolutions=(4, 8)), box, seed=1)
    field.start_from(depth - field.start_points()[:, 2])
    return field


def quiet(fraction, text):
    pass


def test_weights_and_what_passes_sum_to_one():
    sdf = torch.randn((200, 13), generator=torch.Generator().manual_seed(0)) * 0.1
    weights, passed = sdf_to_weights(sdf, 125.0)
    assert (weights >= 0).all() and (passed >= 0).all()
    torch.testing.assert_close(weights.sum(1) + passed, torch.ones(200))


def test_weights_of_a_linear_distance_are_the_logistic_density():
    sdf = torch.linspace(0.1, -0.1, 9, dtype=torch.float64)[None]
    weights, passed = sdf_to_weights(sdf, 30.0)
    phi = torch.sigmoid(sdf * 30.0)[0]
    torch.testing.assert_close(weights[0], (phi[:-1] - phi[1:]) / phi[0])
    torch.testing.assert_close(passed[0], phi[-1] / phi[0])


def test_a_second_surface_behind_the_first_has_no_weight():
    one = torch.linspace(0.2, -0.2, 30)
    weights, _ = sdf_to_weights(torch.cat([one, one])[None], 100.0)
    assert weights[0, :29].sum() > 0.999 and weights[0, 30:].sum() < 1e-6


def test_free_space_lets_everything_pass():
    weights, passed = sdf_to_weights(torch.full((1, 10), 0.5), 100.0)
    assert weights.sum() == 0 and passed[0] == 1


def test_composite_of_a_constant_is_the_constant_times_opacity():
    weights, passed = sdf_to_weights(torch.linspace(0.1, -0.03, 12)[None], 60.0)
    values = torch.tensor([0.2, 0.5, 0.9]).expand(1, 11, 3)
    torch.testing.assert_close(composite(weights, values)[0], (1 - passed[0]) * values[0, 0])
    torch.testing.assert_close(composite(weights, values[..., 0])[0], (1 - passed[0]) * 0.2)


@pytest.mark.parametrize("guess", [None, 1.37, 1.34, 0.4])
@pytest.mark.parametrize("slant", [0.0, 0.8])
def test_an_opaque_plane_at_depth_d_renders_d(guess, slant):
    field = plane_field(1.37)
    directions = torch.tensor([[0.0, 0.0, 1.0], [slant * 0.5, -slant * 0.3, 1.0]])
    origins = torch.zeros(2, 3) + torch.tensor([0.0, 0.0, 0.01])
    hint = None if guess is None else torch.full((2,), guess - 0.01)
    with torch.no_grad():
        rendered = render_rays(field, origins, directions, 0.0, 10.0, hint)
    torch.testing.assert_close(rendered.depth, torch.full((2,), 1.36), rtol=0, atol=5e-4)
    assert (rendered.opacity > 0.99).all()
    assert (rendered.depth_variance < 0.02**2).all()


def test_depth_comes_in_units_of_the_direction():
    field = plane_field(1.5)
    with torch.no_grad():
        rendered = render_rays(field, torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 2.0]]), 0.0, 10.0)
    assert abs(float(rendered.depth[0]) - 0.75) < 5e-4


def test_rays_that_hit_nothing_are_empty():
    field = plane_field(1.5)
    directions = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    with torch.no_grad():
        rendered = render_rays(field, torch.full((3, 3), 0.5), directions, 0.0, 10.0)
    assert (rendered.opacity[:2] == 0).all() and (rendered.depth[:2] == 0).all() and (rendered.color[:2] == 0).all()
    assert rendered.opacity[2] > 0.99


def test_rendered_colour_is_the_colour_at_the_surface():
    field = plane_field(1.2)
    with torch.no_grad():  # the same colour everywhere
        field.color_head[-1].weight.zero_()
        field.color_head[-1].bias.copy_(torch.tensor([-1.0, 0.0, 2.0]))
        rendered = render_rays(field, torch.zeros(1, 3), torch.tensor([[0.1, 0.0, 1.0]]), 0.0, 10.0)
    torch.testing.assert_close(rendered.color[0], torch.tensor([-1.0, 0.0, 2.0]).sigmoid())


def test_rendering_is_differentiable_and_moves_the_surface_the_right_way():
    field = plane_field(1.2)
    rendered = render_rays(field, torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]), 0.0, 10.0)
    rendered.depth.sum().backward()
    # raising the distance everywhere pushes the surface away by as much
    assert float(field.trunk[-1].bias.grad[0]) == pytest.approx(0.08, rel=0.05)


def test_labels_are_rendered_but_do_not_reach_geometry():
    field = plane_field(1.2)
    field.reset_semantics(3, seed=0)
    rendered = render_rays(field, torch.zeros(2, 3), torch.tensor([[0.0, 0.0, 1.0], [0.1, 0.0, 1.0]]), 0.0, 10.0)
    assert rendered.logits.shape == (2, 3)


def view(field, pose=None, **options):
    return render_view(field, CAMERA, np.eye(4) if pose is None else pose, quiet, **options)


def test_view_has_z_depth_and_is_the_same_for_any_chunk():
    field = plane_field(1.25)
    field.reset_semantics(4, seed=0)
    whole = view(field)
    assert whole.color.shape == (16, 24, 3) and whole.color.dtype == np.uint8
    assert whole.logits.shape == (16, 24, 4) and whole.depth.dtype == np.float32
    np.testing.assert_allclose(whole.depth, 1.25, atol=2e-3)
    parts = view(field, chunk=50)
    np.testing.assert_allclose(parts.depth, whole.depth, atol=1e-5)
    assert np.abs(parts.color.astype(int) - whole.color).max() <= 1


def test_view_with_a_guess_equals_the_view_without_and_survives_a_wrong_guess():
    field = plane_field(1.25)
    right = np.full((16, 24), 1.25, np.float32)
    right[:, :5] = 0  # the mesh has a hole
    right[:4] = 2.6  # and is wrong here
    np.testing.assert_allclose(view(field, depth_guess=right).depth, view(field).depth, atol=2e-3)


def test_view_follows_the_camera():
    field = plane_field(1.25)
    pose = np.eye(4)
    pose[:3, 3] = [0.1, 0.2, 0.5]
    np.testing.assert_allclose(view(field, pose).depth, 0.75, atol=2e-3)
    assert view(field, want=("color",)).logits is None
