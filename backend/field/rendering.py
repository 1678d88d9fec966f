"""Volume rendering of colour, depth and label logits along rays.

Weights are those of iLabel (Equation 2): w_i = o_i prod_{j<i} (1 - o_j), with the occupancy o of NeuS (Equation 13),
which follows from signed distances without bias. Samples are placed around the surface: where a depth is guessed (a
rasterised mesh), or where tracing the field's own distances first crosses from free space into matter.

Axes: ``R`` rays, ``S`` samples per ray, ``C`` label outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..captures.capture import Intrinsics
from .field import COLOR, GEOMETRY, LOGITS, Field

SAMPLES = 6  # intervals around the surface
_WINDOW = 0.6  # half of what they cover, in truncations
_SHARPNESS = 10.0  # logistic slope in 1 / truncation: the window carries 99.5 % of the weight
_MIN_WEIGHT = 0.02  # samples below it are not asked for colour and labels
_MIN_OPACITY = 0.05  # rays below it hit nothing
_SHORTEST_STEP, _LONGEST_STEP, _SAFETY = 0.5, 3.0, 0.7  # of tracing: in truncations, in truncations, share of the sdf
_MAX_STEPS = 2000
_QUERY_CHUNK = 1 << 14  # points; more only miss the cache of a CPU core


def sdf_to_weights(sdf: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Signed distances at the ends of intervals to rendering weights (NeuS, Equation 13; iLabel, Equation 2).

    Args:
        sdf: (R, S + 1) metres, front to back.
        sharpness: slope of the logistic function in 1/metres.

    Returns:
        weights (R, S), and the transmittance (R,) that is left behind the last interval; they sum to 1.
    """
    log_phi = functional.logsigmoid(sdf * sharpness)
    passed = (log_phi[:, 1:] - log_phi[:, :-1]).exp().clamp(max=1)  # 1 - o
    transmittance = torch.cumprod(passed, dim=1)
    before = torch.cat([torch.ones_like(transmittance[:, :1]), transmittance[:, :-1]], dim=1)
    return before - transmittance, transmittance[:, -1]


def composite(weights: Tensor, values: Tensor) -> Tensor:
    """Weighted sum along rays: weights (R, S) and values (R, S) or (R, S, C) to (R,) or (R, C)."""
    if values.dim() == 2:
        return (weights * values).sum(dim=1)
    return torch.einsum("rs,rsc->rc", weights, values)


@dataclass(frozen=True)
class RenderedRays:
    """What R rays see. Colour, depth and logits are divided by opacity, and 0 where a ray hits nothing."""

    color: Tensor  # (R, 3) 0..1
    depth: Tensor  # (R,) along the given directions: z-depth for directions with z = 1
    logits: Tensor | None  # (R, C); None before labels were started
    opacity: Tensor  # (R,) 0..1
    depth_variance: Tensor  # (R,)


def render_rays(
    field: Field,
    origins: Tensor,
    directions: Tensor,
    near: float,
    far: float,
    depth_guess: Tensor | None = None,
    want: tuple[str, ...] = (COLOR, LOGITS),
) -> RenderedRays:
    """Render rays ``origin + t * direction`` for near <= t <= far.

    Differentiable with respect to the field's parameters; where the samples are placed is not.

    Args:
        origins: (R, 3) scene metres.
        directions: (R, 3), of any length: depths come in units of it.
        depth_guess: (R,) t of the surface, 0 where unknown. A guess without a surface of the field near it is
            dropped, and the ray traced.
        want: which of colour and logits to render besides depth.
    """
    reach = _WINDOW * field.config.truncation / torch.linalg.vector_norm(directions, dim=1)
    with torch.no_grad():
        guess = torch.zeros_like(reach) if depth_guess is None else depth_guess.to(reach)
        center, edges, sdf = _place(field, origins, directions, reach, guess, near, far)
    if torch.is_grad_enabled():
        sdf = _sdf_along(field, origins, directions, edges)
    weights, _ = sdf_to_weights(sdf, _SHARPNESS / field.config.truncation)
    weights = weights * (center > 0)[:, None]
    return _shade(field, origins, directions, edges, weights, want)


def _place(
    field: Field, origins: Tensor, directions: Tensor, reach: Tensor, guess: Tensor, near: float, far: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Where to sample: t of the surface (R,), 0 for none; interval ends (R, S + 1) and the distances there."""
    center = guess.clone()
    rays = (center > 0).nonzero()[:, 0]
    # One step of sphere tracing from the guess, so that the window can be narrow.
    off = _sdf_along(field, origins[rays], directions[rays], center[rays, None])[:, 0] / field.config.truncation
    center[rays] = (center[rays] + off.clamp(-1, 1) * reach[rays] / _WINDOW).clamp(min=1e-6)
    edges, sdf = _edges(center, reach), torch.ones((len(guess), SAMPLES + 1), device=guess.device)
    sdf[rays] = _sdf_along(field, origins[rays], directions[rays], edges[rays])
    rays = ((center <= 0) | (sdf[:, 0] <= 0) | (sdf[:, -1] >= 0)).nonzero()[:, 0]
    center[rays] = _first_crossing(field, origins[rays], directions[rays], near, far)
    edges[rays] = _edges(center[rays], reach[rays])
    rays = rays[center[rays] > 0]
    sdf[rays] = _sdf_along(field, origins[rays], directions[rays], edges[rays])
    return center, edges, sdf


def _edges(center: Tensor, reach: Tensor) -> Tensor:
    """(R, S + 1) interval ends from center - reach to center + reach, never behind the camera."""
    steps = torch.linspace(-1, 1, SAMPLES + 1, device=center.device)
    return (center[:, None] + reach[:, None] * steps).clamp(min=0)


def _sdf_along(field: Field, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
    points = origins[:, None] + t[..., None] * directions[:, None]
    return _sdf(field, points.view(-1, 3)).view(t.shape)


def _sdf(field: Field, points: Tensor) -> Tensor:
    return torch.cat([field.query(some, want=(GEOMETRY,)).sdf for some in points.split(_QUERY_CHUNK)])


def _shade(
    field: Field, origins: Tensor, directions: Tensor, edges: Tensor, weights: Tensor, want: tuple[str, ...]
) -> RenderedRays:
    """Ask colour and logits in the middle of the intervals that matter, and composite."""
    middle = (edges[:, 1:] + edges[:, :-1]) / 2
    opacity = weights.sum(dim=1)
    hit = opacity > _MIN_OPACITY
    share = weights / opacity.clamp(min=_MIN_OPACITY)[:, None] * hit[:, None]
    depth = composite(share, middle)
    variance = composite(share, (middle - depth[:, None]) ** 2)
    ray, sample = (share.detach() > _MIN_WEIGHT).nonzero(as_tuple=True)
    points = origins[ray] + middle[ray, sample, None] * directions[ray]
    answers = [field.query(some, want=want) for some in points.split(_QUERY_CHUNK)]
    kept = share[ray, sample]
    total = torch.zeros_like(opacity).index_add(0, ray, kept).clamp(min=_MIN_WEIGHT)

    def gathered(pieces: list[Tensor]) -> Tensor:
        values = torch.cat(pieces)
        rendered = values.new_zeros(len(edges), values.shape[1])
        return rendered.index_add(0, ray, values * kept[:, None]) / total[:, None]

    color = gathered([answer.color for answer in answers]) if COLOR in want else middle.new_zeros(len(edges), 3)
    labelled = LOGITS in want and field.outputs > 0
    logits = gathered([answer.logits for answer in answers]) if labelled else None
    return RenderedRays(color, depth, logits, opacity, variance)


def _first_crossing(field: Field, origins: Tensor, directions: Tensor, near: float, far: float) -> Tensor:
    """t (R,) where rays first pass from positive to negative distance; 0 for those that never do.

    Sphere tracing with bounded steps: at least half a truncation, so that a ray that grazes a surface gets on; at most
    three, since the field's distances are only bounded from below in free space.
    """
    truncation = field.config.truncation
    speed = torch.linalg.vector_norm(directions, dim=1)
    t, end = _box_interval(field.box, origins, directions, near, far)
    crossing = torch.zeros_like(t)
    active = (t < end).nonzero()[:, 0]
    last_t, last_sdf = t.clone(), torch.full_like(t, -1.0)
    for _ in range(_MAX_STEPS):
        if not len(active):
            break
        here = t[active]
        sdf = _sdf(field, origins[active] + here[:, None] * directions[active])
        front, before = last_sdf[active], last_t[active]
        crossed = (sdf <= 0) & (front > 0)
        share = front / (front - sdf).clamp(min=1e-9)
        crossing[active] = torch.where(crossed, before + share * (here - before), crossing[active])
        last_t[active], last_sdf[active] = here, sdf
        step = (_SAFETY * sdf.abs()).clamp(_SHORTEST_STEP * truncation, _LONGEST_STEP * truncation) / speed[active]
        t[active] = here + step
        active = active[~crossed & (here < end[active])]
    return crossing


def _box_interval(box: Tensor, origins: Tensor, directions: Tensor, near: float, far: float) -> tuple[Tensor, Tensor]:
    """Where rays are inside the box: t of entry and exit (R,), within near..far; entry > exit for a miss."""
    safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    first, second = (box[0] - origins) / safe, (box[1] - origins) / safe
    entry = torch.minimum(first, second).amax(dim=1).clamp(min=near)
    exit_ = torch.maximum(first, second).amin(dim=1).clamp(max=far)
    return entry, exit_


@dataclass(frozen=True)
class RenderedView:
    """One picture of the field, as arrays."""

    color: np.ndarray  # (H, W, 3) uint8 sRGB, black where nothing is
    depth: np.ndarray  # (H, W) float32 z-depth in metres, 0 where nothing is
    logits: np.ndarray | None  # (H, W, C) float32
    opacity: np.ndarray  # (H, W) float32


def render_view(
    field: Field,
    intrinsics: Intrinsics,
    camera_to_scene: np.ndarray,
    progress: Callable[[float, str], None],
    depth_guess: np.ndarray | None = None,
    want: tuple[str, ...] = (COLOR, LOGITS),
    near: float = 0.05,
    far: float = 30.0,
    chunk: int = 32768,
) -> RenderedView:
    """Render what a camera sees.

    Args:
        camera_to_scene: (4, 4), OpenCV axes.
        depth_guess: (H, W) z-depth of the scan's mesh in metres, 0 where it has none: ten times faster than without.
        chunk: rays at a time.
    """
    device, height, width = field.box.device, intrinsics.height, intrinsics.width
    rows, columns = np.mgrid[0:height, 0:width]
    uv = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    pose = np.asarray(camera_to_scene, dtype=np.float64)
    rays = intrinsics.unproject(uv, np.ones(len(uv))) @ pose[:3, :3].T
    directions = torch.from_numpy(rays.astype(np.float32)).to(device)
    origin = torch.from_numpy(pose[:3, 3].astype(np.float32)).to(device)
    guess = None if depth_guess is None else torch.from_numpy(depth_guess.astype(np.float32)).reshape(-1).to(device)
    parts: list[RenderedRays] = []
    with torch.no_grad():
        for start in range(0, len(directions), chunk):
            progress(start / len(directions), "Rendering")
            some = directions[start : start + chunk]
            hint = None if guess is None else guess[start : start + chunk]
            parts.append(render_rays(field, origin.expand_as(some), some, near, far, hint, want))

    def image(pieces: list[Tensor]) -> np.ndarray:
        joined = torch.cat(pieces).float().cpu().numpy()
        return joined.reshape(height, width, *joined.shape[1:])

    labelled = LOGITS in want and field.outputs > 0
    return RenderedView(
        color=image([(part.color * 255).round() for part in parts]).astype(np.uint8),
        depth=image([part.depth for part in parts]),
        logits=image([part.logits for part in parts]) if labelled else None,
        opacity=image([part.opacity for part in parts]),
    )
