"""Things of kitchens and offices."""

from __future__ import annotations

import numpy as np

from . import decor
from .paint import IMAGE, Paint, darker
from .shapes import bar, box, lathe, pillow, ring, rod, tube
from .stage import Kit, Thing

BLACK = Paint("plain", (0.06, 0.06, 0.07), scale=0.3, gloss=0.5)
WHITE = Paint("plain", (0.9, 0.9, 0.88), scale=0.3, gloss=0.4)
STEEL = Paint("brushed", (0.66, 0.67, 0.69), scale=0.05, gloss=0.65)


def fridge(kit: Kit) -> Thing:
    """A fridge with a freezer door, long handles and a few magnets."""
    thing, paint = Thing("Fridge"), kit.pick(WHITE, STEEL, kit.lacquer(kit.color((0.2, 0.6), (0.5, 0.8))))
    wide, deep, high = 0.6, 0.62, kit.between(1.5, 1.85)
    thing.block((wide, deep, high), paint, bevel=0.012)
    split = kit.between(0.35, 0.6) * high
    for low, tall in ((0.04, split - 0.045), (split, high - split - 0.005)):
        thing.block((wide - 0.004, 0.045, tall), paint, (0, -deep / 2 - 0.024, low), bevel=0.012)
        end = low + tall - 0.05 if low < 0.1 else low + 0.05
        step = -0.25 if low < 0.1 else 0.25
        thing.add(rod((-0.24, -deep / 2 - 0.075, end), (-0.24, -deep / 2 - 0.075, end + step), 0.011), STEEL)
    for _ in range(kit.pick(0, 3, 6)):
        place = (kit.between(-0.15, 0.25), -deep / 2 - 0.05, kit.between(split + 0.1, high - 0.1))
        thing.add(pillow((0.04, 0.012, 0.04), 4, 5), kit.lacquer(), place)
    return thing


def oven(kit: Kit, high: float) -> Thing:
    """A stove of a worktop's height: oven door with a window, knobs, four plates."""
    thing, paint = Thing("Oven"), kit.pick(WHITE, STEEL, BLACK)
    thing.block((0.6, 0.6, high), paint, bevel=0.004)
    thing.block((0.57, 0.03, 0.5), paint, (0, -0.31, 0.14), bevel=0.006)
    thing.block((0.42, 0.01, 0.28), BLACK, (0, -0.325, 0.22))
    thing.add(rod((-0.22, -0.36, 0.6), (0.22, -0.36, 0.6), 0.010), STEEL)
    for x in np.linspace(-0.22, 0.22, 5):
        thing.add(rod((x, -0.3, high - 0.07), (x, -0.345, high - 0.07), 0.02), BLACK)
    thing.block((0.56, 0.52, 0.006), BLACK, (0, 0, high))
    for x in (-0.14, 0.14):
        for y in (-0.12, 0.13):
            thing.add(ring(0.085, 0.006, 20, 5), Paint("plain", (0.25, 0.24, 0.24)), (x, y, high + 0.008))
    return thing


def hood(kit: Kit) -> Thing:
    """An extractor hood, from z = 0 upwards, back to +Y."""
    thing = Thing("Hood")
    top = [(0.3, 0.0), (0.3, 0.05), (0.12, 0.25), (0.12, 0.75)]
    square = lathe(np.array(top) * [np.sqrt(2), 1], 4).moved((0, -0.3, 0), (0, 0, 45), (1.0, 0.95, 1.0))
    thing.add(square, STEEL)
    return thing


def microwave(kit: Kit) -> Thing:
    """A microwave with window, key pad and feet."""
    thing, paint = Thing("Microwave"), kit.pick(WHITE, BLACK, STEEL)
    thing.block((0.47, 0.34, 0.27), paint, (0, 0, 0.012), bevel=0.008)
    thing.block((0.31, 0.008, 0.2), BLACK if paint is not BLACK else STEEL, (-0.06, -0.172, 0.045))
    thing.add(rod((0.115, -0.19, 0.06), (0.115, -0.19, 0.23), 0.008), STEEL)
    for row in range(5):
        for column in range(3):
            place = (0.155 + 0.025 * column, -0.173, 0.06 + 0.03 * row)
            thing.block((0.017, 0.006, 0.018), Paint("plain", (0.45, 0.45, 0.47)), place)
    for x in (-0.2, 0.2):
        thing.add(rod((x, 0.12, 0), (x, 0.12, 0.02), 0.012), BLACK)
        thing.add(rod((x, -0.12, 0), (x, -0.12, 0.02), 0.012), BLACK)
    return thing


def kettle(kit: Kit) -> Thing:
    """A water kettle with spout, lid and handle on its base."""
    thing, paint = Thing("Kettle"), kit.pick(STEEL, kit.lacquer(gloss=0.5), WHITE)
    r = kit.between(0.07, 0.085)
    body = [(0, 0.02), (r, 0.02), (r, 0.06), (0.75 * r, 0.19), (0.7 * r, 0.2), (0.5 * r, 0.22), (0, 0.225)]
    thing.add(lathe([(0, 0), (1.05 * r, 0), (1.05 * r, 0.02)], 24), BLACK).add(lathe(body, 24), paint)
    thing.add(pillow((0.025, 0.025, 0.02), 2.5, 5), BLACK, (0, 0, 0.235))
    thing.add(rod((0.7 * r, 0, 0.14), (1.35 * r, 0, 0.2), 0.02, 0.012), paint)
    a = np.linspace(-1.2, 1.35, 10)
    thing.add(tube(np.stack([-0.65 * r - 0.06 * np.cos(a), 0 * a, 0.125 + 0.075 * np.sin(a)], 1), 0.011), BLACK)
    return thing


def pot(kit: Kit, label: str) -> Thing:
    """A cooking pot with two handles and sometimes a lid, or a pan with a long one."""
    thing, paint = Thing(label), kit.pick(STEEL, kit.lacquer(gloss=0.5), BLACK)
    r, high = kit.between(0.09, 0.13), kit.between(0.05, 0.15)
    thing.add(lathe([(0, 0), (r, 0), (r, high), (r - 0.006, high), (r - 0.006, 0.01), (0, 0.01)], 28), paint)
    if high < 0.08:
        thing.add(tube([(r, 0, high - 0.01), (r + 0.08, 0, high + 0.01), (r + 0.2, 0, high + 0.02)], 0.011), BLACK)
        return thing
    for side in (-1, 1):
        a = np.linspace(-1.3, 1.3, 8)
        thing.add(
            tube(np.stack([side * (r + 0.03 * np.cos(a)), 0.04 * np.sin(a), 0 * a + 0.8 * high], 1), 0.006), BLACK
        )
    if kit.chance(0.6):
        thing.add(lathe([(r + 0.004, high), (0.6 * r, high + 0.02), (0, high + 0.025)], 28), paint)
        thing.add(pillow((0.03, 0.03, 0.03), 2.5, 5), BLACK, (0, 0, high + 0.035))
    return thing


def toaster(kit: Kit) -> Thing:
    """A toaster with two slots and a lever."""
    thing, paint = Thing("Toaster"), kit.pick(STEEL, kit.lacquer(gloss=0.5))
    thing.add(pillow((0.28, 0.17, 0.2), 7, 10), paint, (0, 0, 0.105))
    for y in (-0.035, 0.035):
        thing.block((0.18, 0.025, 0.004), BLACK, (0, y, 0.204))
    thing.block((0.03, 0.03, 0.016), BLACK, (0.15, 0, 0.11))
    return thing


def tap(kit: Kit) -> Thing:
    """A curved kitchen tap with a lever."""
    thing, a = Thing("Sink"), np.linspace(0, np.pi, 10)
    arc = np.stack([0 * a, -0.09 + 0.09 * np.cos(a), 0.26 + 0.09 * np.sin(a)], 1)
    line = np.concatenate([[[0, 0, 0], [0, 0, 0.15]], arc, [[0, -0.18, 0.2]]])
    thing.add(tube(line, 0.013), STEEL).add(rod((0, 0, 0), (0, 0, 0.03), 0.026), STEEL)
    thing.add(rod((0, 0, 0.06), (0.09, 0, 0.1), 0.007), STEEL)
    return thing


def sink(kit: Kit) -> Thing:
    """A basin let into the worktop (rim, drainer ribs, a dark bowl) with its tap; z = 0 is the worktop."""
    thing = Thing("Sink")
    thing.block((0.75, 0.45, 0.005), STEEL)
    thing.block((0.36, 0.36, 0.002), Paint("brushed", (0.32, 0.33, 0.35), scale=0.05, gloss=0.4), (-0.15, -0.02, 0.005))
    for side in (-0.18, 0.18):
        thing.block((0.36, 0.012, 0.014), STEEL, (-0.15, -0.02 + side, 0.004), bevel=0.005)
        thing.block((0.012, 0.36, 0.014), STEEL, (-0.15 + side, -0.02, 0.004), bevel=0.005)
    for x in np.linspace(0.1, 0.33, 6):
        thing.add(rod((x, -0.17, 0.006), (x, 0.15, 0.008), 0.005, segments=6), STEEL)
    return thing.merge(tap(kit), (-0.15, 0.18, 0.0))


def monitor(kit: Kit) -> Thing:
    """A flat screen on a foot, showing windows with lines of text or a picture."""
    thing, wide = Thing("Monitor"), kit.between(0.48, 0.64)
    high = 0.58 * wide
    thing.block((wide, 0.03, high), BLACK, (0, 0, 0.12), bevel=0.006)
    pixels = kit.pick(decor.printed, decor.landscape, decor.abstract, _code)(kit)
    face = decor.painted_face(wide - 0.02, high - 0.02)
    thing.add(face, kit.palette.picture(pixels, 0.4, 0.5), (0, -0.0155, 0.12 + high / 2))
    thing.add(bar((0, 0.03, 0.01), (0, 0.025, 0.3), 0.06, 0.015), kit.pick(BLACK, STEEL))
    thing.block((0.24, 0.17, 0.012), kit.pick(BLACK, STEEL), (0, 0.02, 0), bevel=0.004)
    return thing


def _code(kit: Kit) -> np.ndarray:
    """A dark screen with lines of coloured text; first row at the bottom."""
    picture = np.full((IMAGE, IMAGE, 3), 0.12)
    for row in range(4, IMAGE - 4, 4):
        start = 6 + 6 * int(kit.rng.integers(4))
        for _ in range(int(kit.rng.integers(1, 5))):
            stop = start + int(kit.rng.integers(4, 16))
            picture[row : row + 2, start : min(stop, IMAGE - 4)] = kit.pick(
                (0.8,) * 3, (0.4, 0.7, 0.9), (0.9, 0.6, 0.3)
            )
            start = stop + 3
    return picture


def laptop(kit: Kit, label: str = "Laptop") -> Thing:
    """An open laptop."""
    thing, shell = Thing(label), kit.pick(STEEL, BLACK, kit.lacquer())
    thing.block((0.34, 0.24, 0.016), shell, bevel=0.005)
    keys = Paint("checker", (0.1, 0.1, 0.11), (0.2, 0.2, 0.22), scale=0.018, axis=2)
    thing.block((0.29, 0.1, 0.001), keys, (0, 0.04, 0.016))
    thing.block((0.1, 0.06, 0.001), Paint("plain", darker(shell.a, 0.8)), (0, -0.07, 0.016))
    lid, tilt = Thing(label), (-kit.between(8, 28), 0, 0)
    lid.add(box((0.34, 0.008, 0.23), 0.003), shell, (0, 0, 0.115))
    pixels = kit.pick(decor.printed, decor.landscape, _code)(kit)
    lid.add(decor.painted_face(0.32, 0.2), kit.palette.picture(pixels, 0.3, 0.5), (0, -0.0046, 0.12))
    return thing.merge(lid, (0, 0.118, 0.014), tilt)


def keyboard(kit: Kit, label: str = "Keyboard") -> Thing:
    """A keyboard with rows of keys."""
    thing, dark = Thing(label), kit.chance(0.6)
    base, key = (BLACK, Paint("plain", (0.16, 0.16, 0.18))) if dark else (WHITE, Paint("plain", (0.78, 0.78, 0.76)))
    thing.block((0.43, 0.14, 0.014), base, (0, 0, 0), (2, 0, 0), bevel=0.004)
    for row, count in enumerate((15, 15, 14, 13, 9)):
        widths = np.full(count, 0.40 / count)
        x = -0.2 + np.cumsum(widths) - widths / 2
        for k in range(count):
            thing.block((widths[k] - 0.004, 0.021, 0.006), key, (x[k], 0.05 - 0.025 * row, 0.013))
    return thing


def mouse(kit: Kit, label: str = "Mouse") -> Thing:
    """A computer mouse with its cable."""
    thing, paint = Thing(label), kit.pick(BLACK, WHITE, kit.lacquer())
    thing.add(pillow((0.06, 0.1, 0.05), 2.6), paint, (0, 0, 0.012), scale=(1, 1, 0.9))
    thing.block((0.006, 0.02, 0.012), Paint("plain", (0.3, 0.3, 0.3)), (0, -0.03, 0.024))
    return thing


def waste_bin(kit: Kit, label: str = "Bin") -> Thing:
    """A bin: tapered and open, or with a pedal and a domed lid."""
    thing, paint, r = Thing(label), kit.pick(STEEL, kit.lacquer(gloss=0.3), BLACK), kit.between(0.12, 0.17)
    high = kit.between(0.28, 0.5)
    if kit.chance(0.5):
        profile = [(0, 0), (0.75 * r, 0), (r, high), (r + 0.008, high), (r - 0.006, high), (0.74 * r, 0.01), (0, 0.01)]
        return thing.add(lathe(profile, 24), paint)
    thing.add(lathe([(0, 0), (r, 0), (r, high)], 28), paint)
    thing.add(lathe([(r + 0.005, high), (r + 0.005, high + 0.02), (0.6 * r, high + 0.06), (0, high + 0.07)], 28), BLACK)
    thing.block((0.07, 0.06, 0.012), BLACK, (0, -r - 0.02, 0.015))
    return thing


def pendant(kit: Kit, drop: float) -> Thing:
    """A lamp that hangs by its cord from z = 0."""
    thing, r = Thing("Lamp"), kit.between(0.12, 0.2)
    thing.add(rod((0, 0, 0), (0, 0, -drop), 0.004, segments=6), BLACK)
    dome = [(0.02, 0), (0.03, -0.05), (0.6 * r, -0.08), (0.95 * r, -0.15), (r, -0.2)]
    thing.add(lathe(dome, 28), kit.lacquer(gloss=0.4), (0, 0, -drop))
    thing.add(pillow((0.06, 0.06, 0.08), 2.2, 7), Paint("plain", (1, 0.95, 0.8), glow=1.2), (0, 0, -drop - 0.14))
    return thing


def shelf_board(kit: Kit, wide: float, label: str = "Shelf") -> Thing:
    """A single board on two brackets, back to +Y."""
    thing, metal = Thing(label), kit.metal(0.3)
    thing.block((wide, 0.2, 0.025), kit.wood(), (0, -0.1, 0))
    for x in (-0.4 * wide, 0.4 * wide):
        thing.add(bar((x, -0.005, -0.14), (x, -0.005, 0), 0.02, 0.006), metal)
        thing.add(bar((x, -0.01, -0.13), (x, -0.17, -0.003), 0.015, 0.006), metal)
    thing.tops = [(-wide / 2 + 0.02, wide / 2 - 0.02, -0.19, -0.01, 0.025)]
    return thing


def binder_row(kit: Kit, count: int) -> Thing:
    """Office binders side by side, labels on their backs."""
    thing, same = Thing("Binder"), kit.lacquer()
    for k in range(count):
        thick = kit.pick(0.05, 0.08)
        x = (k - count / 2) * 0.082
        thing.block((thick, 0.28, 0.315), kit.pick(same, kit.lacquer()), (x, 0, 0), bevel=0.003)
        thing.block((thick - 0.015, 0.001, 0.12), WHITE, (x, -0.1405, 0.12))
    return thing
