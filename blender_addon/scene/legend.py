"""The names of labels beside their colours, drawn into a picture.

Blender cannot draw text without a window and a graphics card, so the outlines of its own font are filled here: every
letter that Blender can show, everywhere it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

SIZE = 1 / 30  # height of a line, as a share of the picture's
SMALLEST = 12  # pixels
WIDEST = 0.48  # share of the picture that the panel may take
FINER = 4  # samples along each side of a pixel
DARK, SHADE, INK = 0.08, 0.72, 0.96
Entry = tuple[str, tuple[float, float, float]]  # name, sRGB colour 0..1


def draw(picture: np.ndarray, entries: Sequence[Entry]) -> None:
    """Draw a panel with these labels into the lower left corner of a picture (H, W, 3) uint8 sRGB.

    Lines that do not fit are counted in the last one.
    """
    height, width = picture.shape[:2]
    line = max(round(height * SIZE), SMALLEST)
    pad = line // 2
    room = max((height - 3 * pad) // line, 1)
    shown = list(entries[:room])
    if len(entries) > room:
        shown[-1] = (f"+ {len(entries) - room + 1} more", (DARK,) * 3)
    if not shown:
        return
    texts = [_text(name, round(line * 0.72)) for name, _ in shown]
    swatch = round(line * 0.7)
    across = min(max(text.shape[1] for text in texts) + swatch + 3 * pad, int(width * WIDEST))
    tall = len(shown) * line + pad
    left, top = pad, max(height - pad - tall, 0)
    panel = picture[top : top + tall, left : left + across].astype(np.float32) / 255
    panel *= 1 - SHADE
    panel += SHADE * DARK
    for row, ((_, color), text) in enumerate(zip(shown, texts, strict=True)):
        y = pad // 2 + row * line + (line - swatch) // 2
        panel[y : y + swatch, pad : pad + swatch] = color
        start = y + (swatch - text.shape[0]) // 2
        place = panel[max(start, 0) :, 2 * pad + swatch : -pad or None]
        text = text[max(-start, 0) :][: place.shape[0], : place.shape[1]]
        spot = place[: text.shape[0], : text.shape[1]]
        spot += text[..., None] * (INK - spot)
    picture[top : top + tall, left : left + across] = np.rint(panel * 255).astype(np.uint8)


def _text(words: str, height: int) -> np.ndarray:
    """Coverage (h, w) float32 0..1 of a line of text whose lines are ``height`` pixels tall."""
    curve = bpy.data.curves.new("Legend", "FONT")
    body = bpy.data.objects.new("Legend", curve)
    try:
        curve.body, curve.resolution_u = words, 3
        mesh = body.to_mesh()
        mesh.calc_loop_triangles()
        points = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", points)
        corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
        mesh.loop_triangles.foreach_get("vertices", corners)
        body.to_mesh_clear()
    finally:
        bpy.data.objects.remove(body)
        bpy.data.curves.remove(curve)
    if not len(corners):
        return np.zeros((height, 0), np.float32)
    xy = points.reshape(-1, 3)[:, :2] * (height * FINER)
    xy[:, 1] = height * FINER * 0.8 - xy[:, 1]  # the base line leaves a fifth for what hangs below it
    width = int(np.ceil(xy[:, 0].max() / FINER)) + 1
    fine = _filled((height * FINER, width * FINER), xy[corners.reshape(-1, 3)].astype(np.float64))
    return fine.reshape(height, FINER, width, FINER).mean(axis=(1, 3)).astype(np.float32)


def _filled(shape: tuple[int, int], triangles: np.ndarray) -> np.ndarray:
    """Which samples (H, W), at the centres of cells, lie in one of some triangles (T, 3, 2) of any winding."""
    height, width = shape
    a, b = triangles[..., None], np.roll(triangles, -1, axis=1)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (np.arange(height) + 0.5 - a[:, :, 1]) / (b[:, :, 1] - a[:, :, 1])  # (T, 3, H) of each edge
    crosses = (along >= 0) & (along <= 1)
    x = a[:, :, 0] + np.where(crosses, along, 0.0) * (b[:, :, 0] - a[:, :, 0])
    first = np.ceil(np.where(crosses, x, np.inf).min(axis=1) - 0.5).clip(0, width).astype(np.int64)  # (T, H)
    behind = np.floor(np.where(crosses, x, -np.inf).max(axis=1) + 0.5).clip(0, width).astype(np.int64)
    of, row = np.nonzero(behind > first)
    depth = np.zeros((height, width + 1), np.int64)
    np.add.at(depth, (row, first[of, row]), 1)
    np.add.at(depth, (row, behind[of, row]), -1)
    return depth.cumsum(axis=1)[:, :-1] > 0
