"""Rug, pictures, plant, vase, books, cushions, ball and baskets."""

from __future__ import annotations

import math

import numpy as np

from . import materials as m
from .furniture import SHELF_LEVELS, SHELF_SIZE
from .labels import UID
from .shapes import Builder, Part, bent_tube, beveled_box, lathe, pillow, rod, scatter_cushion, sheet, sphere


def rug_pattern(columns: int = 720, rows: int = 480) -> np.ndarray:
    """(rows, columns, 3) sRGB: rows of diamonds inside a striped border."""
    x, y = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
    picture = np.empty((rows, columns, 3))
    picture[:] = (0.86, 0.80, 0.69)
    diamond = np.abs((x * 9) % 1 - 0.5) + np.abs((y * 6) % 1 - 0.5)
    for low, high, color in (
        (0.0, 0.12, (0.16, 0.25, 0.36)),
        (0.22, 0.32, (0.72, 0.33, 0.22)),
        (0.42, 0.48, (0.80, 0.60, 0.30)),
    ):
        picture[(diamond >= low) & (diamond < high)] = color
    edge = np.minimum(np.minimum(x, 1 - x) * 1.5, np.minimum(y, 1 - y))
    for limit, color in ((0.105, (0.86, 0.80, 0.69)), (0.085, (0.16, 0.25, 0.36)), (0.05, (0.72, 0.33, 0.22))):
        picture[edge < limit] = color
    picture[edge < 0.018] = (0.86, 0.80, 0.69)
    return picture * np.random.default_rng(3).normal(1.0, 0.05, (rows, columns, 1)).clip(0.8, 1.15).clip(0, 1.2)


def rug(at: tuple, size: tuple[float, float] = (2.25, 1.5), heading: float = 0.0) -> None:
    """A thick woven rug with soft edges."""
    thing = Builder("Rug", UID["Rug"])
    cloth = m.painted("rug cloth", np.clip(rug_pattern(), 0, 1), weave=150.0, roughness=0.95)
    thing.add(beveled_box((*size, 0.024), 0.01), cloth, (0, 0, 0.012))
    thing.build(at, heading)


def landscape(columns: int = 420, rows: int = 300) -> np.ndarray:
    """(rows, columns, 3) sRGB: layered hills under a low sun, first row at the bottom."""
    x, y = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    low, high = np.array((0.98, 0.82, 0.60)), np.array((0.45, 0.65, 0.72))
    picture = low + (high - low) * np.clip(y * 1.25 - 0.35, 0, 1)[..., None]
    picture[(x - 0.66) ** 2 * 1.96 + (y - 0.66) ** 2 < 0.0105] = (0.93, 0.42, 0.24)
    layers = ((0.56, 0.07, 3.1, (0.55, 0.66, 0.66)), (0.42, 0.08, 4.3, (0.33, 0.49, 0.52)))
    layers += ((0.27, 0.07, 2.2, (0.80, 0.50, 0.28)), (0.15, 0.05, 5.2, (0.16, 0.25, 0.30)))
    for base, swing, waves, color in layers:
        ridge = base + swing * np.sin(waves * 2 * x + base * 9) + 0.02 * np.sin(waves * 7 * x)
        picture[y < ridge] = color
    return picture


def arches(columns: int = 220, rows: int = 300) -> np.ndarray:
    """(rows, columns, 3) sRGB: nested arches on a pale ground, first row at the bottom."""
    x, y = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(0, 1.36, rows))
    picture = np.empty((rows, columns, 3))
    picture[:] = (0.93, 0.89, 0.82)
    reach = np.where(y > 0.58, np.hypot(x, y - 0.58), np.abs(x))
    for limit, color in ((0.74, (0.75, 0.36, 0.24)), (0.56, (0.91, 0.68, 0.36)), (0.38, (0.24, 0.40, 0.42))):
        picture[(reach < limit) & (y > 0.14)] = color
        picture[(reach < limit - 0.13) & (y > 0.14)] = (0.93, 0.89, 0.82)
    return picture


def picture(name: str, pixels: np.ndarray, size: tuple[float, float], at: tuple, heading: float = 0.0) -> None:
    """A framed picture; ``at`` is its middle on the wall, its back towards +Y."""
    wide, high = size
    frame = m.wood(f"{name} frame", (0.10, 0.055, 0.03), (0.22, 0.12, 0.06), "X")
    thing = Builder(name, UID["Picture"])
    for side in (-1, 1):
        thing.add(beveled_box((wide, 0.035, 0.03), 0.005), frame, (0, -0.0175, side * (high / 2 - 0.015)))
        thing.add(beveled_box((0.03, 0.035, high), 0.005), frame, (side * (wide / 2 - 0.015), -0.0175, 0))
    thing.add(beveled_box((wide - 0.03, 0.012, high - 0.03), 0.0), m.painted(name, pixels, "Z", 0.6), (0, -0.016, 0))
    thing.build(at, heading)


def _leaf(length: float, width: float, droop: float) -> Part:
    along, across = np.linspace(0, 1, 9), np.linspace(-1, 1, 5)
    s, t = np.meshgrid(along, across, indexing="ij")
    half = width / 2 * np.sin(np.pi * s**0.8) ** 0.75 * (1 - 0.15 * s)
    bend = droop * s
    x = length * np.sin(bend) / max(droop, 1e-3)
    z = length * (np.cos(bend) - 1) / max(droop, 1e-3) + 0.18 * np.abs(t) * half
    return sheet(np.stack([x, t * half, z], axis=-1))


def plant(at: tuple, seed: int = 5) -> None:
    """A rubber tree in a clay pot: a few stems, broad leaves in a spiral."""
    rng = np.random.default_rng(seed)
    clay = m.glossy("clay pot", (0.50, 0.19, 0.095), 0.7)
    soil = m.fabric("soil", (0.035, 0.024, 0.017), 60.0)
    bark = m.wood("bark", (0.10, 0.065, 0.035), (0.20, 0.14, 0.08), "Z", 0.8)
    greens = [
        m.leaf(f"leaf {i}", c) for i, c in enumerate(((0.035, 0.15, 0.045), (0.055, 0.21, 0.06), (0.10, 0.27, 0.07)))
    ]
    thing = Builder("Plant", UID["Plant"])
    pot = [
        (0, 0),
        (0.135, 0),
        (0.145, 0.02),
        (0.19, 0.27),
        (0.205, 0.275),
        (0.205, 0.325),
        (0.185, 0.33),
        (0.178, 0.28),
    ]
    thing.add(lathe(pot, 48), clay)
    thing.add(lathe([(0.18, 0.285), (0.1, 0.295), (0, 0.3)], 32), soil)
    for stem in range(4):
        around = math.radians(90 * stem + rng.uniform(-25, 25))
        lean, top = rng.uniform(0.06, 0.17), rng.uniform(0.95, 1.5)
        s = np.linspace(0, 1, 7)
        line = np.stack(
            [lean * s**1.6 * math.cos(around), lean * s**1.6 * math.sin(around), 0.28 + (top - 0.28) * s], -1
        )
        line[:, 0] += 0.03 * math.cos(around)
        line[:, 1] += 0.03 * math.sin(around)
        thing.add(bent_tube(line, 0.011, 8), bark)
        for k in range(9):
            where = 0.3 + 0.7 * k / 8
            base = np.array([np.interp(where, s, line[:, i]) for i in range(3)])
            turn = math.degrees(around) + 137.5 * k + rng.uniform(-15, 15)
            length = rng.uniform(0.30, 0.40) * (1.1 - 0.35 * where)
            blade = _leaf(length, length * rng.uniform(0.46, 0.56), rng.uniform(0.7, 1.25))
            pitch = -rng.uniform(18, 50) - 30 * (k == 8)
            thing.add(blade, greens[int(rng.integers(3))], tuple(base), (rng.uniform(-12, 12), pitch, turn))
    thing.build(at)


def vase(at: tuple) -> None:
    """A glazed vase with a few dry twigs."""
    glaze = m.glossy("vase glaze", (0.03, 0.22, 0.23), 0.18)
    twig = m.wood("twigs", (0.28, 0.17, 0.08), (0.45, 0.30, 0.15), "Z", 0.8)
    bud = m.fabric("buds", (0.75, 0.60, 0.42), 60.0)
    thing = Builder("Vase", UID["Vase"])
    profile = [(0, 0), (0.05, 0), (0.075, 0.03), (0.092, 0.085), (0.082, 0.15), (0.045, 0.20), (0.036, 0.225)]
    thing.add(lathe([*profile, (0.046, 0.25), (0.041, 0.25), (0.03, 0.225), (0.0, 0.21)], 48), glaze)
    for k, (lean, turn, top) in enumerate(((0.10, 20, 0.46), (0.07, 140, 0.52), (0.12, 255, 0.42), (0.03, 320, 0.56))):
        a = math.radians(turn)
        end = (lean * math.cos(a), lean * math.sin(a), top)
        thing.add(rod((0, 0, 0.21), end, 0.005, 0.004, 8), twig)
        thing.add(pillow((0.032, 0.032, 0.055), 2.2, 4), bud, end, (0, lean * 200, turn + 7 * k))
    thing.build(at)


def mug(at: tuple, heading: float) -> None:
    """A mug beside the vase; it counts as tableware of the same class."""
    glaze = m.glossy("mug glaze", (0.72, 0.66, 0.55), 0.3)
    thing = Builder("Mug", UID["Vase"])
    thing.add(
        lathe([(0, 0), (0.036, 0), (0.042, 0.008), (0.042, 0.088), (0.037, 0.088), (0.037, 0.012), (0, 0.01)], 36),
        glaze,
    )
    a = np.linspace(-1.35, 1.35, 12)
    thing.add(bent_tube(np.stack([0.04 + 0.03 * np.cos(a), 0 * a, 0.046 + 0.028 * np.sin(a)], -1), 0.0055, 8), glaze)
    thing.build(at, heading)


BOOK_COLORS = (
    (0.55, 0.10, 0.07), (0.07, 0.16, 0.30), (0.72, 0.48, 0.12), (0.10, 0.27, 0.20),
    (0.72, 0.66, 0.54), (0.30, 0.11, 0.22), (0.78, 0.33, 0.14), (0.13, 0.13, 0.15),
)  # fmt: skip


def book_rows(at: tuple, heading: float, seed: int = 8) -> None:
    """Rows of books on the upper levels of the shelf that stands at ``at``; one object per level."""
    rng = np.random.default_rng(seed)
    covers = [m.glossy(f"cover {i}", color, 0.55) for i, color in enumerate(BOOK_COLORS)]
    half, back = SHELF_SIZE[0] / 2 - 0.035, SHELF_SIZE[1] / 2 - 0.02
    for number, (level, start, end) in enumerate(((2, -1.0, 0.75), (3, -0.25, 1.0), (4, -1.0, 0.25)), 1):
        thing = Builder(f"Books {number}", UID["Books"])
        x, limit = start * half, end * half
        while x < limit - 0.05:
            thick, high, deep = rng.uniform(0.022, 0.052), rng.uniform(0.19, 0.275), rng.uniform(0.17, 0.22)
            lean = 9.0 if x + 2.2 * thick > limit - 0.05 else 0.0
            place = (x + thick / 2 + lean * 0.002, back - deep / 2 - 0.04, SHELF_LEVELS[level] + high / 2)
            cover = covers[int(rng.integers(len(covers)))]
            thing.add(beveled_box((thick, deep, high), 0.004, 2), cover, place, (0, -lean, 0))
            x += thick + 0.0015
        thing.build(at, heading)


def lying_books(at: tuple, heading: float) -> None:
    """Two books on the table."""
    thing = Builder("Books on the table", UID["Books"])
    colors = ((0.72, 0.33, 0.13), (0.75, 0.70, 0.60))
    for k, (turn, color) in enumerate(zip((0, 14), colors, strict=True)):
        cover = m.glossy(f"lying cover {k}", color, 0.5)
        thing.add(
            beveled_box((0.235 - 0.03 * k, 0.165 - 0.02 * k, 0.03), 0.004, 2),
            cover,
            (0, 0, 0.015 + 0.0305 * k),
            (0, 0, turn),
        )
    thing.build(at, heading)


def cushion(name: str, color: tuple, at: tuple, heading: float, lean: float, size: float = 0.44) -> None:
    """A throw cushion leaning back by ``lean`` degrees."""
    thing = Builder(name, UID["Cushion"])
    thing.add(scatter_cushion(size, size, 0.17), m.fabric(name, color, 200.0), (0, 0, 0), (-lean, 0, 0))
    thing.build(at, heading)


def ball(at: tuple, radius: float = 0.125) -> None:
    """A rubber ball with a broad stripe."""
    red, cream = m.glossy("ball red", (0.60, 0.055, 0.035), 0.35), m.glossy("ball stripe", (0.80, 0.74, 0.62), 0.35)
    thing = Builder("Ball", UID["Ball"])
    thing.add(sphere(radius), red, (0, 0, radius), (25, 40, 0))
    a = np.linspace(-0.30, 0.30, 9)
    stripe = [(radius * 1.006 * math.cos(t), radius * 1.006 * math.sin(t)) for t in a]
    thing.add(lathe(stripe, 48), cream, (0, 0, radius), (25, 40, 0))
    thing.build(at)


def basket(name: str, at: tuple, heading: float) -> None:
    """A woven basket 0.36 x 0.27 x 0.22 m with a rim."""
    reed = m.fabric(name, (0.42, 0.27, 0.12), 120.0, 0.4)
    thing = Builder(name, UID["Basket"])
    wide, deep, high = 0.36, 0.26, 0.22
    thing.add(beveled_box((wide, deep, 0.02), 0.006), reed, (0, 0, 0.01))
    for row in range(7):
        z, out = 0.02 + (row + 0.5) * (high - 0.02) / 7, 1 + 0.01 * row
        for side in (-1, 1):
            thing.add(pillow((wide * out, 0.026, 0.034), 4, 5), reed, (0, side * deep / 2 * out, z))
            thing.add(pillow((0.026, deep * out, 0.034), 4, 5), reed, (side * wide / 2 * out, 0, z))
    thing.build(at, heading)
