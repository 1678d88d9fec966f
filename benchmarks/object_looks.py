"""How an object's texture compares with held-out photos, and with the colours of its vertices in its place."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from backend.objects.assets import Asset
from backend.objects.sightings import sampled
from backend.surface.raster import interpolate, rasterize
from benchmarks.object_truth import TrueThings

LEAST_PIXELS = 80  # of an object in a held-out frame
OUTLINE = 2.5  # pixels beside an outline whose colours mix with what is behind


def looks(things: TrueThings, instance: int, asset: Asset) -> dict[str, float]:
    """PSNR and sharpness by the names that ``benchmarks.objects.Row`` has for them; nothing where no photo shows it."""
    if asset.texture is None:
        return {}
    points = asset.pose.scene(asset.vertices)[asset.faces].reshape(-1, 3)
    corners = np.arange(len(points)).reshape(-1, 3)
    texture, colors = asset.texture.astype(np.float32) / 255, asset.colors[asset.faces].reshape(-1, 3) / 255
    errors, edges, pixels = np.zeros(5), np.zeros(3), np.zeros(2)
    for frame in (frame for frame in things.capture.frames if frame.name in things.held_out):
        mask = things.instances_in(frame) == instance
        if mask.sum() < LEAST_PIXELS:
            continue
        hit = rasterize(points, corners, frame.intrinsics, things.capture.camera_to_scene(frame))
        uv = interpolate(hit, corners, asset.uv).reshape(-1, 2)
        texel = sampled(texture, uv * [1, -1] * len(texture) + [-0.5, len(texture) - 0.5]).reshape(*mask.shape, 4)
        shown = mask & (hit.face >= 0) & (texel[..., 3] > 0.5)
        if shown.sum() < LEAST_PIXELS:
            continue
        photo = frame.color() / 255.0
        found, plain = (_fitted(image, photo, shown) for image in (texel[..., :3], interpolate(hit, corners, colors)))
        inner = ndimage.distance_transform_edt(shown) > OUTLINE
        pairs = [(texel[..., :3], shown), (found, shown), (plain, shown), (found, inner), (plain, inner)]
        errors += [((image - photo)[where] ** 2).mean(axis=-1).sum() for image, where in pairs]
        pixels += [shown.sum(), inner.sum()]
        edges += _common_edges([found, plain, photo], photo, shown)
    if not pixels.all():
        return {}
    names = ("psnr_raw", "psnr", "psnr_vertices", "psnr_inner", "psnr_vertices_inner")
    levels = -10 * np.log10(np.maximum(errors / pixels[[0, 0, 0, 1, 1]], 1e-12))
    shares = edges[:2] / max(edges[2], 1e-12)
    named = zip((*names, "sharpness", "sharpness_vertices"), (*levels, *shares), strict=True)
    return {name: round(float(value), 2) for name, value in named}


def _fitted(found: np.ndarray, photo: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) after the gain and offset per channel that bring it nearest to a photo where it is shown."""
    fitted = np.zeros(photo.shape)
    for channel in range(3):
        rows = np.stack([found[shown][:, channel], np.ones(shown.sum())], axis=1)
        fitted[shown, channel] = rows @ np.linalg.lstsq(rows, photo[shown][:, channel], rcond=None)[0]
    return fitted


def _common_edges(images: list[np.ndarray], photo: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Sums of the products of each image's (H, W, 3) differences between neighbouring pixels with the photo's."""
    totals = np.zeros(len(images))
    for axis in (0, 1):
        both = np.diff(shown.astype(np.int8), axis=axis) == 0
        both &= np.take(shown, range(1, shown.shape[axis]), axis=axis)
        steps = [np.diff(image, axis=axis)[both] for image in (*images, photo)]
        totals += [float((step * steps[-1]).sum()) for step in steps[:-1]]
    return totals
