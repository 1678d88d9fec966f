"""Small coloured scenes with known labels: boxes on a floor, a flat wall with a poster, as dense triangle grids."""

import numpy as np

from backend.labels.placement import PlacedMark
from backend.labels.tree import Label, LabelTree
from backend.surface.superpoints import segment
from backend.surface.surface import Surface

VOXEL = 0.02


def height_field(size, height, color, seed=0, voxel=VOXEL, noise=3.0):
    """A surface z = height(x, y) on a grid of ``size`` metres; ``color(x, y)`` gives (..., 3) sRGB.

    Steep steps become slanted walls one cell wide, as in a scan of boxes seen from above.
    """
    x, y = np.meshgrid(np.arange(0, size[0], voxel), np.arange(0, size[1], voxel), indexing="ij")
    z = height(x, y)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    gradient = np.stack(np.gradient(z, voxel), axis=-1)
    normals = np.concatenate([-gradient, np.ones((*x.shape, 1))], axis=-1).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colors = color(x, y).reshape(-1, 3) + np.random.default_rng(seed).normal(0, noise, vertices.shape)
    colors = np.clip(colors, 0, 255).astype(np.uint8)
    return Surface(vertices, faces.astype(np.int32), normals.astype(np.float32), colors, voxel)


def superpoints_by_hand(surface, target):
    """Superpoints from hand-made weights, so that what is tested does not hang on what a prior was trained on."""
    return segment(surface, target=target, prior=lambda: None)


def inside(x, y, box):
    x0, x1, y0, y1 = box
    return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)


BOXES = {2: (0.4, 0.9, 0.4, 1.0), 3: (1.3, 1.9, 0.7, 1.2)}


def boxes_on_floor(colors=((90, 80, 70), (200, 40, 40), (40, 60, 200)), boxes=BOXES, seed=0):
    """Surface and true uids (V,): floor 1 and boxes of 30 cm height with the uids of ``boxes``."""

    def truth(x, y):
        labels = np.ones(x.shape, np.uint16)
        for uid, box in boxes.items():
            labels[inside(x, y, box)] = uid
        return labels

    palette = np.array([(0, 0, 0), *colors], np.float64)
    surface = height_field((2.4, 1.8), lambda x, y: 0.3 * (truth(x, y) > 1), lambda x, y: palette[truth(x, y)], seed)
    return surface, truth(surface.vertices[:, 0], surface.vertices[:, 1])


def flat_tree(count):
    return LabelTree(Label(uid, f"label {uid}", 0, "class", True, (0.5, 0.5, 0.5)) for uid in range(1, count + 1))


def mark(surface, uid, label, x, y, sign=1):
    """A mark on the vertex nearest to (x, y) seen from above."""
    vertex = np.array([((surface.vertices[:, :2] - (x, y)) ** 2).sum(axis=1).argmin()], np.int64)
    return PlacedMark(uid, label, sign, vertex, surface.vertices[vertex])


def things_on_floor(things, floor=(90, 80, 70), size=(2.4, 1.8), noise=3.0, seed=0):
    """Surface and true uids (V,): floor 1, and things from 2 on as ((x0, x1, y0, y1), height in metres, colour)."""

    def truth(x, y):
        labels = np.ones(x.shape, np.uint16)
        for uid, (box, _, _) in enumerate(things, start=2):
            labels[inside(x, y, box)] = uid
        return labels

    heights = np.array([0.0, 0.0, *(height for _, height, _ in things)])
    palette = np.array([(0, 0, 0), floor, *(color for _, _, color in things)], np.float64)
    surface = height_field(
        size, lambda x, y: heights[truth(x, y)], lambda x, y: palette[truth(x, y)], seed, noise=noise
    )
    return surface, truth(surface.vertices[:, 0], surface.vertices[:, 1])


def iou(labels, truth, uid):
    """Intersection over union of one label."""
    return ((labels == uid) & (truth == uid)).sum() / max(((labels == uid) | (truth == uid)).sum(), 1)
