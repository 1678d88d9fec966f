"""Small things of tables: cups, bottles, plates, fruit, cutlery, pens, cables."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from . import decor
from .paint import Paint, darker, hsv
from .shapes import bar, box, lathe, leaf, pillow, ring, rod, sheet, sphere, tube
from .stage import Kit, Thing

STEEL = Paint("brushed", (0.7, 0.71, 0.73), scale=0.04, gloss=0.6)


def glaze(kit: Kit) -> Paint:
    """Ceramic: one colour, bands or dots."""
    color = kit.color((0.05, 0.7), (0.4, 0.92))
    kind = kit.pick("plain", "plain", "stripes", "dots", "speckle")
    other = kit.color((0.1, 0.8), (0.3, 0.9))
    return Paint(kind, color, other, darker(color, 0.7), scale=kit.between(0.015, 0.04), axis=2, gloss=0.4)


def cup(kit: Kit, label: str = "Cup") -> Thing:
    """A mug or cup with a handle, open, something to drink inside."""
    thing, paint = Thing(label), glaze(kit)
    r, high, flare = kit.between(0.036, 0.046), kit.between(0.07, 0.105), kit.between(0.7, 1.0)
    outside = [(0, 0), (flare * r, 0), (0.5 * (1 + flare) * r, 0.3 * high), (r, high)]
    inside = [(r - 0.004, high), (0.5 * (1 + flare) * r - 0.004, 0.35 * high)]
    thing.add(lathe([*outside, *inside], 28), paint)
    drink = kit.pick((0.25, 0.14, 0.07), (0.45, 0.25, 0.08), (0.9, 0.88, 0.82))
    thing.add(lathe([(0.95 * r - 0.004, 0.75 * high), (0, 0.75 * high)], 20), Paint("plain", drink, gloss=0.5))
    a = np.linspace(-1.35, 1.35, 10)
    line = np.stack([r - 0.004 + 0.03 * np.cos(a), 0 * a, 0.52 * high + 0.32 * high * np.sin(a)], 1)
    return thing.add(tube(line, 0.005), paint)


def glass(kit: Kit, label: str = "Cup") -> Thing:
    """A stemmed glass of opaque coloured glass."""
    thing, s = Thing(label), kit.between(0.9, 1.15)
    paint = kit.lacquer(kit.color((0.2, 0.6), (0.5, 0.9)), 0.5)
    profile = np.array(
        [(0.034, 0), (0.03, 0.005), (0.006, 0.012), (0.005, 0.075), (0.03, 0.1), (0.036, 0.13), (0.03, 0.17)]
    )
    return thing.add(lathe(profile * s, 24), paint)


def bottle(kit: Kit, label: str = "Bottle") -> Thing:
    """A bottle with a neck, a cap and a paper label around it."""
    thing, r, high = Thing(label), kit.between(0.03, 0.042), kit.between(0.2, 0.31)
    color = kit.pick(hsv(0.33, 0.6, 0.25), hsv(0.08, 0.7, 0.3), kit.color(), hsv(0.55, 0.25, 0.8))
    body, neck = kit.lacquer(color, 0.5), kit.between(0.35, 0.45) * r
    shoulder = kit.between(0.55, 0.75) * high
    profile = [
        (0, 0),
        (r, 0),
        (r, 0.01),
        (r, shoulder),
        (0.9 * r, shoulder + 0.02),
        (neck, shoulder + 0.06),
        (neck, high),
    ]
    thing.add(lathe(profile, 26), body)
    thing.add(lathe([(neck + 0.003, high - 0.02), (neck + 0.003, high + 0.003), (0, high + 0.003)], 18), kit.lacquer())
    paper = Paint("stripes", hsv(0.1, 0.1, 0.9), kit.color(), kit.color(), scale=kit.between(0.03, 0.08), axis=2)
    thing.add(lathe([(r + 0.0008, 0.2 * shoulder), (r + 0.0008, 0.85 * shoulder)], 26), paper)
    return thing


def plate(kit: Kit, label: str = "Plate") -> Thing:
    """A plate with a rim."""
    thing, r, paint = Thing(label), kit.between(0.09, 0.13), glaze(kit)
    profile = [
        (0, 0),
        (0.6 * r, 0),
        (0.72 * r, 0.006),
        (r, 0.018),
        (r, 0.021),
        (0.7 * r, 0.010),
        (0.6 * r, 0.005),
        (0, 0.005),
    ]
    return thing.add(lathe(profile, 36), paint)


def bowl(kit: Kit, label: str = "Bowl") -> Thing:
    """A round bowl on a foot."""
    thing, r, paint = Thing(label), kit.between(0.07, 0.13), glaze(kit)
    a = np.linspace(0.15, 1.45, 9)
    outside = np.stack([r * np.sin(a), 0.62 * r * (1 - np.cos(a)) + 0.01], 1)
    inside = outside[::-1] * [0.95, 1.0] + [0, 0.003]
    thing.add(lathe([(0.4 * r, 0), (0.38 * r, 0.012)], 24), paint)
    return thing.add(lathe(np.concatenate([outside, inside]), 32), paint)


def fruit(kit: Kit, label: str = "Fruit") -> Thing:
    """An apple, an orange, a lemon, a pear or a banana."""
    thing, kind = Thing(label), kit.pick("apple", "orange", "lemon", "pear", "banana")
    stalk = Paint("plain", (0.25, 0.17, 0.08))
    if kind == "banana":
        a = np.linspace(-0.7, 0.7, 9)
        line = np.stack([0.12 * np.sin(a), 0.12 * (1 - np.cos(a)), 0 * a + 0.018], 1)
        radius = np.array([0.006, 0.012, 0.016, 0.018, 0.018, 0.018, 0.016, 0.011, 0.006])
        yellow = Paint("worn", hsv(0.14, 0.75, 0.9), hsv(0.08, 0.6, 0.4), scale=0.05)
        return thing.add(tube(line, radius, 10), yellow)
    hue = {"apple": kit.pick(0.0, 0.02, 0.25), "orange": 0.075, "lemon": 0.15, "pear": 0.2}[kind]
    color = hsv(hue, 0.8, kit.between(0.65, 0.9))
    skin = Paint(
        "speckle" if kind != "lemon" else "plain", color, darker(color, 0.85), darker(color, 1.2), scale=0.01, gloss=0.3
    )
    r, t = kit.between(0.03, 0.042), np.linspace(0, np.pi, 14)
    pinch = {"apple": 0.16, "orange": 0.0, "lemon": -0.12, "pear": 0.0}[kind]
    radius = r * np.sin(t) * (1 + 0.10 * np.sin(t))
    z = r - r * np.cos(t) * (1 - pinch * np.exp(-((radius / (0.4 * r)) ** 2)))
    if kind == "pear":
        z, radius = z * 1.35, radius * (1 - 0.45 * (z / (2 * r)).clip(0, 1) ** 1.5)
    thing.add(lathe(np.stack([radius, z], 1), 22), skin)
    if kind in ("apple", "pear"):
        thing.add(rod((0, 0, z[-1] - 0.006), (0.004, 0, z[-1] + 0.014), 0.0018, segments=5), stalk)
    return thing


def pen(kit: Kit, label: str = "Pen") -> Thing:
    """A lying pen, pencil or marker along X."""
    thing, paint, r = Thing(label), kit.lacquer(gloss=0.4), kit.pick(0.004, 0.0045, 0.008)
    length = 0.14
    thing.add(rod((-length / 2, 0, r), (length / 2 - 0.02, 0, r), r, segments=8), paint)
    thing.add(rod((length / 2 - 0.02, 0, r), (length / 2, 0, r), r, 0.001, 8), kit.pick(STEEL, kit.wood(0.9)))
    thing.add(rod((-length / 2 - 0.01, 0, r), (-length / 2 + 0.03, 0, r), 1.08 * r, segments=8), kit.lacquer())
    return thing


def cable(kit: Kit, start, end, label: str = "Cable", sway: float = 0.12, radius: float = 0.0035) -> Thing:
    """A cable lying in curves from one point to another, both (x, y, z); a plug at its end."""
    thing, start, end = Thing(label), np.asarray(start, float), np.asarray(end, float)
    knots = np.linspace(start, end, 7)
    knots[1:-1, :2] += kit.rng.normal(0, sway, (5, 2)) * np.linalg.norm(end - start)
    line = CubicSpline(np.arange(7), knots)(np.linspace(0, 6, 49))
    line[:, 2] = np.maximum(line[:, 2], min(start[2], end[2]))
    paint = kit.pick(Paint("plain", (0.07, 0.07, 0.08)), Paint("plain", (0.88, 0.88, 0.86)), kit.lacquer())
    thing.add(tube(line, radius, 7), paint)
    along = line[-1] - line[-2]
    tip = line[-1] + 0.035 * along / max(np.linalg.norm(along), 1e-6)
    return thing.add(bar(line[-1], tip, 5 * radius, 3 * radius), paint)


def coil(kit: Kit, r: float, label: str = "Cable") -> Thing:
    """A coiled cable or hose."""
    thing, thick = Thing(label), r * 0.055
    a = np.linspace(0, 2 * np.pi * 5, 140)
    wobble = 1 + 0.05 * np.sin(2.3 * a) + 0.006 * a
    z = thick + 1.6 * thick * (a / 2 / np.pi) * (0.6 + 0.1 * np.sin(1.7 * a))
    return thing.add(tube(np.stack([r * wobble * np.cos(a), r * wobble * np.sin(a), z], 1), thick, 7), kit.lacquer())


def phone(kit: Kit, label: str = "Phone") -> Thing:
    """A phone lying on its back."""
    thing = Thing(label)
    thing.block((0.072, 0.148, 0.009), kit.pick(Paint("plain", (0.05,) * 3, gloss=0.5), kit.lacquer()), bevel=0.004)
    face = decor.painted_face(0.066, 0.14)
    pixels = kit.pick(decor.landscape, decor.printed)(kit)
    return thing.add(face, kit.palette.picture(pixels, 0.4, 0.3), (0, 0, 0.0096), (-90, 0, 0))


def cutlery(kit: Kit, label: str = "Cutlery") -> Thing:
    """A lying spoon, fork or knife along X."""
    thing, kind = Thing(label), kit.pick("spoon", "fork", "knife")
    thing.add(bar((-0.09, 0, 0.004), (0.03, 0, 0.005), 0.012, 0.003), STEEL)
    if kind == "spoon":
        thing.add(pillow((0.06, 0.038, 0.01), 2.2, 7), STEEL, (0.058, 0, 0.006))
    elif kind == "fork":
        thing.block((0.025, 0.024, 0.003), STEEL, (0.04, 0, 0.004))
        for y in (-0.0095, -0.003, 0.0035, 0.0095):
            thing.add(bar((0.05, y, 0.006), (0.09, y, 0.006), 0.003, 0.003), STEEL)
    else:
        thing.block((0.1, 0.018, 0.002), STEEL, (0.08, 0.003, 0.004))
    return thing


def scissors(kit: Kit, label: str = "Scissors") -> Thing:
    """Lying scissors, a little open."""
    thing, grip, open_ = Thing(label), kit.lacquer(gloss=0.3), kit.between(8, 22)
    for side in (-1, 1):
        half = Thing(label)
        half.add(bar((0, 0, 0.004), (0.1, 0, 0.004), 0.012, 0.002), STEEL)
        half.add(bar((0, 0, 0.004), (-0.03, -side * 0.006, 0.005), 0.01, 0.005), grip)
        half.add(ring(0.022, 0.005, 20), grip, (-0.055, -side * 0.015, 0.005), scale=(1.25, 0.8, 1))
        thing.merge(half, (0, 0, 0.002 * (side > 0)), (0, 0, side * open_ / 2))
    return thing


def tape(kit: Kit, label: str = "Tape") -> Thing:
    """A roll of tape lying on its side."""
    thing, r, high = Thing(label), kit.between(0.03, 0.055), kit.between(0.015, 0.05)
    inner = 0.6 * r
    thing.add(lathe([(inner, 0), (r, 0), (r, high), (inner, high)], 32), kit.lacquer(gloss=0.4))
    return thing.add(
        lathe([(inner - 0.002, 0.001), (inner - 0.002, high - 0.001)], 32), Paint("plain", (0.6, 0.48, 0.33))
    )


def glasses(kit: Kit, label: str = "Glasses") -> Thing:
    """Spectacles with folded-out temples."""
    thing, paint = Thing(label), kit.pick(Paint("plain", (0.07,) * 3, gloss=0.4), kit.lacquer())
    for side in (-1, 1):
        thing.add(ring(0.025, 0.0024, 24, 6), paint, (side * 0.033, 0, 0.022), (80, 0, 0), (1.1, 1, 0.9))
        thing.add(
            tube([(side * 0.06, 0, 0.027), (side * 0.064, 0.09, 0.025), (side * 0.06, 0.13, 0.003)], 0.002, 6), paint
        )
    return thing.add(rod((-0.008, 0, 0.028), (0.008, 0, 0.028), 0.002, segments=6), paint)


def notepad(kit: Kit, label: str = "Paper") -> Thing:
    """A sheet of paper or a thin pad, written on; nearly flat."""
    thing = Thing(label)
    wide, deep = kit.pick((0.21, 0.297), (0.148, 0.21), (0.076, 0.076))
    thick = kit.pick(0.0008, 0.004)
    thing.block((wide, deep, thick), Paint("plain", hsv(kit.pick(0.15, 0.6), kit.pick(0.02, 0.3), 0.93)))
    pixels = decor.printed(kit)
    return thing.add(decor.painted_face(wide, deep), kit.palette.picture(pixels), (0, 0, thick + 0.0004), (-90, 0, 0))


def cloth(kit: Kit, label: str = "Cloth", size: float = 0.4) -> Thing:
    """A napkin or towel lying in folds."""
    thing = Thing(label)
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 29), np.linspace(-0.5, 0.5, 29), indexing="ij")
    wave = sum(np.sin(kit.between(4, 14) * (x * np.cos(t) + y * np.sin(t)) + t) for t in kit.rng.uniform(0, 6, 4))
    z = 0.004 + 0.012 * (wave / 4) ** 2 * 2
    grid = np.stack([size * x * (1 + 0.05 * np.sin(5 * y)), 0.75 * size * y * (1 + 0.06 * np.cos(6 * x)), z], -1)
    return thing.add(sheet(grid), kit.cloth())


def carton(kit: Kit, label: str = "Carton") -> Thing:
    """A printed box: tea, cereal, crackers."""
    thing = Thing(label)
    wide, deep, high = kit.between(0.07, 0.18), kit.between(0.05, 0.08), kit.between(0.07, 0.26)
    color = kit.color((0.3, 0.9), (0.4, 0.9))
    thing.block((wide, deep, high), Paint("plain", color, gloss=0.1))
    for side, turn in ((-1, 0), (1, 180)):
        face = decor.painted_face(wide * 0.98, high * 0.98)
        pixels = kit.pick(decor.printed, decor.abstract)(kit)
        thing.add(face, kit.palette.picture(pixels), (0, side * (deep / 2 + 0.0006), high / 2), (0, 0, turn))
    return thing


def can(kit: Kit, label: str = "Can") -> Thing:
    """A tin with a paper sleeve."""
    thing, r, high = Thing(label), kit.between(0.033, 0.05), kit.between(0.08, 0.125)
    thing.add(
        lathe([(0, 0), (r, 0), (r, high), (r - 0.003, high), (r - 0.003, high - 0.004), (0, high - 0.004)], 28), STEEL
    )
    paper = Paint("stripes", kit.color(), kit.color(), hsv(0.1, 0.1, 0.9), scale=kit.between(0.03, 0.07), axis=2)
    return thing.add(lathe([(r + 0.0008, 0.006), (r + 0.0008, high - 0.006)], 28), paper)


def small_plant(kit: Kit, label: str = "Plant") -> Thing:
    """A cactus or a rosette in a small pot."""
    thing, r = Thing(label), kit.between(0.035, 0.055)
    thing.add(lathe([(0, 0), (0.75 * r, 0), (r, 1.4 * r), (0.85 * r, 1.4 * r), (0, 1.3 * r)], 22), glaze(kit))
    green = Paint("blade", hsv(0.33, 0.5, 0.35), hsv(0.3, 0.5, 0.55), hsv(0.2, 0.3, 0.7), scale=1.0)
    if kit.chance(0.4):
        body = sphere(0.8 * r, 12)
        ribs = 1 + 0.08 * np.cos(10 * np.arctan2(body.points[:, 1], body.points[:, 0]))[:, None]
        return thing.add(body._replace(points=body.points * ribs * [1, 1, 1.4]), green, (0, 0, 2.2 * r))
    for k in range(18):
        part = leaf(1.6 * r * kit.between(0.8, 1.2), 0.5 * r, kit.between(0.2, 0.8), 5)
        thing.add(part, green, (0, 0, 1.35 * r), (0, -25 - 3 * k, 137.5 * k))
    return thing


def board(kit: Kit, label: str = "Board") -> Thing:
    """A cutting board."""
    return Thing(label).add(box((0.36, 0.24, 0.018), 0.006), kit.wood(), (0, 0, 0.009))
