"""Grids and positional encoding: known answers, identities, gradients."""

import math

import pytest
import torch
from torch.nn import functional

from backend.field.encoding import DenseGrids, frequency_encoding, interpolate, interpolate_by_gather


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


def affine_grid(coefficients, shape):
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    a, b, c, d = coefficients
    return (a * x + b * y + c * z + d)[None]


@pytest.mark.parametrize("lookup", [interpolate, interpolate_by_gather])
@pytest.mark.parametrize("points", [1, 2, 7, 64])
def test_trilinear_lookup_reproduces_an_affine_function(lookup, points, generator):
    coefficients = (0.5, -2.0, 3.0, 1.25)
    grid = affine_grid(coefficients, (4, 6, 5))
    index = torch.rand((points, 3), generator=generator, dtype=torch.float64) * torch.tensor([4.0, 5.0, 3.0])
    expected = index @ torch.tensor(coefficients[:3], dtype=torch.float64) + coefficients[3]
    torch.testing.assert_close(lookup(grid, index)[:, 0], expected, rtol=0, atol=1e-12)


def test_both_lookups_equal_grid_sample_inside_at_nodes_and_outside(generator):
    grid = torch.randn((3, 4, 6, 5), generator=generator, dtype=torch.float64)
    sizes = torch.tensor([5.0, 6.0, 4.0], dtype=torch.float64)
    inside = torch.rand((51, 3), generator=generator, dtype=torch.float64) * (sizes - 1)
    nodes = torch.stack([torch.zeros(3), sizes - 1, torch.tensor([2.0, 3.0, 1.0])]).double()
    outside = torch.tensor([[-3.0, 2.0, 1.0], [9.0, 9.0, 9.0], [1.5, -0.1, 3.2]], dtype=torch.float64)
    index = torch.cat([inside, nodes, outside])
    normal = (2 * index / (sizes - 1) - 1).view(1, 1, 1, -1, 3)
    expected = functional.grid_sample(grid[None], normal, padding_mode="border", align_corners=True)
    expected = expected.view(3, -1).t()
    torch.testing.assert_close(interpolate(grid, index), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(interpolate_by_gather(grid, index), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(interpolate(grid, nodes[2:])[0], grid[:, 1, 3, 2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("lookup", [interpolate, interpolate_by_gather])
def test_lookup_gradient(lookup, generator):
    grid = torch.randn((2, 3, 3, 4), generator=generator, dtype=torch.float64, requires_grad=True)
    index = torch.rand((5, 3), generator=generator, dtype=torch.float64) * torch.tensor([2.8, 1.8, 1.8]) + 0.05
    assert torch.autograd.gradcheck(lambda values: lookup(values, index), (grid,))


def test_dense_grids_gradient_through_all_levels(generator):
    grids = DenseGrids((2.0, 1.0, 0.6), (2, 4), (2, 1), 1.0, generator).double()
    position = torch.rand((6, 3), generator=generator, dtype=torch.float64) * 0.5 - 0.25

    def encoded(*levels):
        return torch.func.functional_call(grids, {f"levels.{i}": level for i, level in enumerate(levels)}, (position,))

    assert torch.autograd.gradcheck(encoded, tuple(level.detach().requires_grad_() for level in grids.levels))


def test_node_positions_are_where_the_lookup_finds_the_nodes(generator):
    grids = DenseGrids((2.0, 1.3, 0.7), (3, 8), (1, 2), 1.0, generator)
    for level in (0, 1):
        grid = grids.levels[level]
        column = 0 if level == 0 else slice(1, 3)
        values = grids(grids.node_positions(level))[:, column].reshape(len(grid.flatten(1).t()), -1)
        torch.testing.assert_close(values, grid.flatten(1).t(), rtol=0, atol=2e-5)


def test_grids_cover_the_box(generator):
    grids = DenseGrids((2.0, 1.3, 0.7), (16, 64), (1, 1), 1.0, generator)
    for level in (0, 1):
        nodes = grids.node_positions(level)
        corner = torch.tensor([1.0, 0.65, 0.35])
        assert (nodes.min(0).values <= -corner + 1e-6).all() and (nodes.max(0).values >= corner - 1e-4).all()


def test_frequency_encoding_known_values():
    position = torch.tensor([[0.5, -0.25, 0.0]], dtype=torch.float64)
    encoded = frequency_encoding(position, 2)
    half = math.sqrt(0.5)
    sines = torch.tensor([1.0, -half, 0.0, 0.0, -1.0, 0.0], dtype=torch.float64)  # sin(pi y), then sin(2 pi y)
    cosines = torch.tensor([0.0, half, 1.0, -1.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(encoded[0], torch.cat([sines, cosines]), rtol=0, atol=1e-12)
    assert frequency_encoding(position, 0).shape == (1, 0)
