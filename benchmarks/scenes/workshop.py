"""Things of workshops and store rooms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from . import decor
from .paint import Paint, darker, hsv
from .shapes import bar, box, lathe, pillow, prism, ring, rod, tube
from .stage import Kit, Thing

IRON = Paint("brushed", (0.42, 0.43, 0.45), scale=0.05, gloss=0.5)
RUBBER = Paint("plain", (0.09, 0.09, 0.095), scale=0.1)


def rack(kit: Kit, wide: float, deep: float, high: float) -> Thing:
    """A heavy rack: perforated uprights, beams, boards, diagonal braces at the ends."""
    thing = Thing("Rack")
    steel, beam, board = kit.lacquer(hsv(0.6, 0.5, 0.4)), kit.lacquer(hsv(0.07, 0.85, 0.85)), kit.wood(0.8)
    steel = kit.pick(steel, IRON)
    levels = np.linspace(0.12, high - 0.1, max(int(high / 0.5), 3))
    for x in (-wide / 2 + 0.02, wide / 2 - 0.02):
        for y in (-deep / 2 + 0.02, deep / 2 - 0.02):
            thing.block((0.04, 0.04, high), steel, (x, y, 0))
        for low, top in pairwise(levels):
            thing.add(bar((x, -deep / 2 + 0.02, low), (x, deep / 2 - 0.02, top), 0.02, 0.006), steel)
    for z in levels:
        for y in (-deep / 2 + 0.015, deep / 2 - 0.015):
            thing.block((wide - 0.06, 0.025, 0.05), beam, (0, y, z - 0.05))
        thing.block((wide - 0.04, deep - 0.06, 0.018), board, (0, 0, z))
        thing.tops.append((-wide / 2 + 0.05, wide / 2 - 0.05, -deep / 2 + 0.03, deep / 2 - 0.03, z + 0.018))
    return thing


def cardboard(kit: Kit, size=None) -> Thing:
    """A cardboard box: tape over its flaps, a label; sometimes open."""
    thing = Thing("Cardboard box")
    wide, deep, high = size or (kit.between(0.22, 0.5), kit.between(0.2, 0.38), kit.between(0.15, 0.36))
    color = hsv(kit.between(0.075, 0.1), kit.between(0.35, 0.5), kit.between(0.5, 0.7))
    card = Paint("worn", color, darker(color, 0.9), scale=0.25)
    if kit.chance(0.25):
        for x in (-1, 1):
            thing.block((0.006, deep, high), card, (x * wide / 2, 0, 0))
            thing.add(box((0.006, deep, 0.5 * wide)), card, (x * 0.62 * wide, 0, high + 0.13 * wide), (0, x * 62, 0))
            thing.block((wide, 0.006, high), card, (0, x * deep / 2, 0))
        thing.block((wide, deep, 0.006), darkish(card), (0, 0, 0.3 * high))
        return thing
    thing.block((wide, deep, high), card)
    tape = Paint("plain", hsv(0.1, 0.5, 0.75), gloss=0.4)
    thing.block((0.05, deep + 0.002, 0.001), tape, (0, 0, high))
    for y in (-1, 1):
        thing.block((0.05, 0.001, 0.07), tape, (0, y * (deep / 2 + 0.001), high - 0.07))
    if kit.chance(0.7):
        face = decor.painted_face(0.45 * wide, 0.4 * high)
        pixels = decor.printed(kit)
        thing.add(face, kit.palette.picture(pixels), (kit.between(-0.15, 0.15) * wide, -deep / 2 - 0.001, 0.5 * high))
    return thing


def darkish(paint: Paint) -> Paint:
    """The same, as inside a box."""
    return Paint(paint.texture, darker(paint.a, 0.5), darker(paint.b, 0.5), scale=paint.scale)


def crate(kit: Kit) -> Thing:
    """A stackable plastic crate with ribs and grip holes, open at the top."""
    thing, paint = Thing("Crate"), kit.lacquer(hsv(kit.pick(0.0, 0.33, 0.6, 0.13), 0.75, 0.7), 0.3)
    wide, deep, high = kit.between(0.36, 0.5), kit.between(0.28, 0.36), kit.between(0.16, 0.28)
    thing.block((wide, deep, 0.012), paint)
    for axis, (length, off) in enumerate(((wide, deep), (deep, wide))):
        for side in (-1, 1):
            turn = (0, 0, 90.0 * axis)
            at = (0, side * off / 2, 0) if axis == 0 else (side * off / 2, 0, 0)
            wall = Thing("Crate").block((length, 0.008, 0.7 * high), paint)
            wall.block((length, 0.014, 0.08 * high), paint, (0, 0, 0.92 * high))
            for x in np.linspace(-length / 2, length / 2, 6):
                wall.block((0.012, 0.02, high), paint, (x, 0, 0))
            thing.merge(wall, at, turn)
    thing.tops = [(-0.4 * wide, 0.4 * wide, -0.4 * deep, 0.4 * deep, 0.012)]
    return thing


def barrel(kit: Kit) -> Thing:
    """A steel drum with rolled hoops, or a wooden cask with bands."""
    thing, r, high = Thing("Barrel"), kit.between(0.22, 0.3), kit.between(0.6, 0.85)
    if kit.chance(0.6):
        paint = Paint("worn", kit.color((0.4, 0.9), (0.3, 0.75)), hsv(0.05, 0.6, 0.35), scale=0.2, gloss=0.3)
        z = np.linspace(0, high, 31)
        bulge = sum(0.018 * np.exp(-(((z - c * high) / 0.016) ** 2)) for c in (0.02, 0.34, 0.66, 0.98))
        thing.add(lathe(np.stack([r + bulge, z], 1), 30), paint)
        thing.add(lathe([(r, high - 0.012), (0, high - 0.012)], 30), paint)
        return thing.add(rod((0.5 * r, 0, high - 0.012), (0.5 * r, 0, high + 0.012), 0.03), IRON)
    wood, t = kit.wood(), np.linspace(0, 1, 13)
    profile = np.stack([r * (0.82 + 0.18 * np.sin(np.pi * t)), high * t], 1)
    body = lathe(profile, 30)
    angle = np.arctan2(body.points[:, 1], body.points[:, 0])
    body = body.painted(np.stack([body.points[:, 2], angle * r, 0 * angle], 1))
    thing.parts.append((body, Paint("planks", wood.a, wood.b, scale=0.08, axis=0)))
    thing.add(lathe([(0.82 * r, high - 0.02), (0, high - 0.02)], 30), wood)
    for c in (0.06, 0.24, 0.76, 0.94):
        thing.add(
            lathe([(float(np.interp(c + s, t, profile[:, 0])) + 0.005, (c + s) * high) for s in (-0.025, 0.025)], 30),
            IRON,
        )
    return thing


def ladder(kit: Kit) -> Thing:
    """A straight ladder leaning back to +Y, or an open stepladder."""
    thing = Thing("Ladder")
    paint = kit.pick(Paint("brushed", (0.72, 0.73, 0.75), scale=0.05, gloss=0.5), kit.wood(0.8))
    if kit.chance(0.5):
        high, lean = kit.between(1.9, 2.3), 0.5
        for x in (-0.2, 0.2):
            thing.add(bar((x, -lean, 0), (x, -0.03, high), 0.028, 0.06), paint)
        for s in np.arange(0.25, high - 0.1, 0.27) / high:
            thing.add(
                rod((-0.2, -lean + (lean - 0.03) * s, high * s), (0.2, -lean + (lean - 0.03) * s, high * s), 0.014),
                paint,
            )
        return thing
    high = kit.between(1.0, 1.5)
    for x in (-1, 1):
        thing.add(bar((x * 0.23, -0.35, 0), (x * 0.16, 0, high), 0.022, 0.05), paint)
        thing.add(bar((x * 0.21, 0.35, 0), (x * 0.15, 0.02, high), 0.02, 0.03), paint)
    for s in np.arange(0.2, 1.0, 0.25 / high):
        half = 0.23 - 0.07 * s
        thing.block((2 * half, 0.08, 0.022), paint, (0, -0.35 + 0.35 * s, high * s))
    thing.block((0.36, 0.2, 0.025), kit.lacquer(), (0, 0.02, high))
    return thing.add(bar((-0.2, 0.22, 0.35 * high), (0.2, 0.22, 0.35 * high), 0.02), paint)


def bench(kit: Kit) -> Thing:
    """A workbench: thick top, legs with stretchers, a lower board, a vice at the end."""
    thing, wood, wide, deep, high = Thing("Workbench"), kit.wood(0.7), kit.between(1.4, 1.8), 0.62, 0.88
    thing.block((wide, deep, 0.055), wood, (0, 0, high - 0.055), bevel=0.006)
    frame = kit.pick(wood, kit.lacquer(hsv(0.55, 0.5, 0.45)))
    for x in (-1, 1):
        for y in (-1, 1):
            thing.block((0.07, 0.07, high - 0.055), frame, (x * (wide / 2 - 0.1), y * (deep / 2 - 0.06), 0))
        thing.block((0.05, deep - 0.14, 0.07), frame, (x * (wide / 2 - 0.1), 0, 0.18))
    thing.block((wide - 0.15, deep - 0.12, 0.02), wood, (0, 0, 0.25))
    vice = Thing("Workbench").block((0.1, 0.14, 0.09), IRON, (0, 0, 0), bevel=0.01)
    vice.block((0.1, 0.05, 0.11), IRON, (0, -0.14, 0), bevel=0.01)
    vice.add(rod((0, -0.2, 0.04), (0, 0.05, 0.04), 0.013), IRON).add(
        rod((-0.08, -0.2, 0.04), (0.08, -0.2, 0.04), 0.007), IRON
    )
    thing.merge(vice, (wide / 2 - 0.2, -deep / 2 + 0.12, high))
    inner = (-wide / 2 + 0.15, wide / 2 - 0.15, -deep / 2 + 0.1, deep / 2 - 0.1, 0.27)
    thing.tops = [(-wide / 2 + 0.05, wide / 2 - 0.4, -deep / 2 + 0.05, deep / 2 - 0.05, high), inner]
    return thing


def pipes(kit: Kit, size) -> Thing:
    """Pipes along the corner of wall and ceiling and down the wall, with elbows and clamps."""
    thing, w, d, h = Thing("Pipe"), *size
    for k in range(kit.pick(2, 3)):
        r = kit.between(0.02, 0.045)
        y, z, x = d - 0.06 - 0.11 * k, h - 0.12 - 0.1 * k, kit.between(0.3, 0.9) + 0.15 * k
        line = [(w - 0.02, y, z), (x + 0.06, y, z), (x + 0.02, y, z - 0.02), (x, y, z - 0.06), (x, y, 0.0)]
        paint = kit.pick(
            IRON, kit.lacquer(), Paint("worn", (0.65, 0.38, 0.22), (0.35, 0.5, 0.42), scale=0.2, gloss=0.5)
        )
        thing.add(tube(line, r, 12), paint)
        for s in np.arange(x + 0.4, w, 0.9):
            thing.add(ring(r + 0.006, 0.008, 20, 6), IRON, (s, y, z), (0, 90, 0))
    return thing


def loose_pipe(kit: Kit, length: float) -> Thing:
    """One pipe lying along X."""
    r = kit.between(0.016, 0.04)
    paint = kit.pick(IRON, Paint("plain", (0.75, 0.75, 0.73)), kit.lacquer(hsv(0.07, 0.7, 0.7)))
    outside = lathe(
        [(r, -length / 2), (r, length / 2), (r - 0.004, length / 2), (r - 0.004, -length / 2), (r, -length / 2)], 18
    )
    return Thing("Pipe").add(outside, paint, (0, 0, r), (0, 90, 0))


def tyre(kit: Kit) -> Thing:
    """A lying tyre with a tread, sometimes on its rim."""
    thing, r, half = Thing("Tyre"), kit.between(0.26, 0.33), kit.between(0.08, 0.11)
    a = np.linspace(0.35, 2 * np.pi - 0.35, 24)
    profile = np.stack([0.78 * r - 0.22 * r * np.cos(a), half * np.sin(a) + half], 1)
    profile[:, 0] = np.minimum(profile[:, 0], r - 0.006 * (np.arange(24) % 4 < 2))
    thing.add(lathe(profile, 36), RUBBER)
    if kit.chance(0.5):
        dish = [
            (0.58 * r, 0.4 * half),
            (0.58 * r, 1.6 * half),
            (0.5 * r, 1.6 * half),
            (0.42 * r, 1.1 * half),
            (0, 1.2 * half),
        ]
        thing.add(lathe(dish, 28), Paint("brushed", (0.7, 0.71, 0.72), gloss=0.6))
    return thing


def bucket(kit: Kit, label: str = "Bucket") -> Thing:
    """A bucket with its bail."""
    thing, r, high = Thing(label), kit.between(0.12, 0.15), kit.between(0.2, 0.28)
    paint = kit.pick(kit.lacquer(gloss=0.3), Paint("brushed", (0.62, 0.64, 0.66), gloss=0.5))
    thing.add(
        lathe(
            [
                (0, 0),
                (0.75 * r, 0),
                (r, high),
                (r + 0.008, high),
                (0.97 * r, high - 0.005),
                (0.73 * r, 0.01),
                (0, 0.01),
            ],
            28,
        ),
        paint,
    )
    a = np.linspace(0, np.pi, 14)
    lean = kit.pick(0.2, 1.3)
    line = np.stack([r * np.cos(a), -r * np.sin(a) * np.sin(lean), high - 0.015 + r * np.sin(a) * np.cos(lean)], 1)
    return thing.add(tube(line, 0.004, 6), IRON)


def paint_can(kit: Kit) -> Thing:
    """A paint can with drips of its colour."""
    thing, r, high = Thing("Paint can"), kit.between(0.05, 0.09), kit.between(0.11, 0.2)
    color = kit.color((0.4, 0.95), (0.4, 0.95))
    thing.add(
        lathe([(0, 0), (r, 0), (r, high), (r - 0.004, high), (r - 0.008, high - 0.008), (0, high - 0.008)], 28),
        Paint("brushed", (0.7, 0.7, 0.72), gloss=0.6),
    )
    sleeve = Paint("stripes", color, hsv(0.1, 0.05, 0.92), darker(color, 0.6), scale=kit.between(0.07, 0.12), axis=2)
    thing.add(lathe([(r + 0.001, 0.15 * high), (r + 0.001, 0.9 * high)], 28), sleeve)
    for _ in range(4):
        a = kit.between(0, 6.28)
        at = ((r + 0.001) * np.cos(a), (r + 0.001) * np.sin(a), high - 0.03)
        thing.add(pillow((0.015, 0.015, kit.between(0.03, 0.08)), 2.2, 5), Paint("plain", color, gloss=0.3), at)
    return thing


def pallet(kit: Kit) -> Thing:
    """A wooden pallet."""
    thing, wood = Thing("Pallet"), kit.wood(0.85)
    for y in (-0.35, 0, 0.35):
        for x in (-0.5, 0, 0.5):
            thing.block((0.12, 0.09, 0.08), wood, (x, y, 0.02))
        thing.block((1.12, 0.09, 0.02), wood, (0, y, 0))
    for x in (-0.5, 0, 0.5):
        thing.block((0.11, 0.8, 0.02), wood, (x, 0, 0.1))
    for y in np.linspace(-0.36, 0.36, 6):
        thing.block((1.12, 0.09, 0.02), wood, (0, y, 0.12))
    thing.tops = [(-0.5, 0.5, -0.36, 0.36, 0.14)]
    return thing


def sack(kit: Kit) -> Thing:
    """A full sack lying on its side."""
    color = hsv(kit.between(0.08, 0.13), kit.between(0.15, 0.4), kit.between(0.55, 0.8))
    part = pillow((0.62, 0.38, 0.17), 3.0, 13)
    bumps = 1 + 0.05 * np.sin(9 * part.points[:, :1] + 5) * np.cos(11 * part.points[:, 1:2])
    part = part._replace(points=part.points * [1, 1, 1] * bumps)
    thing = Thing("Sack").add(part, Paint("fabric", color, darker(color, 0.7), scale=0.012), (0, 0, 0.085))
    return thing.add(bar((-0.33, -0.12, 0.08), (-0.33, 0.12, 0.08), 0.03, 0.04), Paint("fabric", color, scale=0.01))


def broom(kit: Kit) -> Thing:
    """A broom, mop or shovel that leans back to +Y."""
    thing, high, wood = Thing("Broom"), kit.between(1.25, 1.5), kit.wood(0.8)
    top, foot = np.array([0, -0.03, high]), np.array([0, -0.32, 0.07])
    thing.add(rod(foot, top, 0.012), kit.pick(wood, kit.lacquer()))
    if kit.chance(0.6):
        thing.block((0.32, 0.06, 0.035), wood, (0, -0.33, 0.06))
        bristle = Paint("stripes", hsv(0.1, 0.6, 0.5), hsv(0.1, 0.5, 0.35), hsv(0.1, 0.5, 0.6), scale=0.012, axis=0)
        return thing.add(box((0.31, 0.07, 0.07)), bristle, (0, -0.34, 0.035), (8, 0, 0))
    blade = np.array([(-0.1, 0.3), (0.1, 0.3), (0.11, 0.1), (0.06, 0.02), (0, 0), (-0.06, 0.02), (-0.11, 0.1)])
    return thing.add(prism(blade, 0.012), IRON, (0, -0.35, 0.0), (-8, 0, 0))


def tool(kit: Kit, label: str = "Tool") -> Thing:
    """A hand tool lying along X: hammer, spanner, screwdriver, saw or pliers. A few centimetres thick at most."""
    thing, kind = Thing(label), kit.pick("hammer", "spanner", "driver", "saw", "pliers")
    grip = kit.pick(kit.wood(0.6), kit.lacquer(hsv(kit.pick(0.0, 0.6, 0.13), 0.85, 0.75)))
    if kind == "hammer":
        thing.add(rod((-0.14, 0, 0.016), (0.14, 0, 0.016), 0.013, 0.009), grip)
        thing.add(rod((0.13, -0.05, 0.018), (0.13, 0.035, 0.018), 0.015), IRON)
        thing.add(bar((0.13, 0.03, 0.018), (0.135, 0.075, 0.012), 0.022, 0.009), IRON)
    elif kind == "spanner":
        thing.add(bar((-0.09, 0, 0.005), (0.09, 0, 0.005), 0.018, 0.007), IRON)
        thing.add(ring(0.017, 0.006, 18, 6), IRON, (-0.1, 0, 0.006))
        for y in (-0.013, 0.013):
            thing.add(bar((0.08, y * 0.6, 0.006), (0.12, y, 0.006), 0.011, 0.009), IRON)
    elif kind == "driver":
        thing.add(rod((-0.11, 0, 0.015), (-0.01, 0, 0.015), 0.015, 0.012), grip)
        thing.add(rod((-0.01, 0, 0.015), (0.11, 0, 0.012), 0.004), IRON)
    elif kind == "saw":
        blade = np.array([(-0.12, 0.0), (0.22, 0.03), (0.22, 0.07), (-0.12, 0.11)])
        thing.add(prism(blade, 0.003), Paint("brushed", (0.7, 0.71, 0.73), gloss=0.6), (0, -0.05, 0.012), (-90, 0, 0))
        thing.add(ring(0.04, 0.014, 18, 7), grip, (-0.16, 0, 0.016), scale=(1, 1.3, 1))
    else:
        for side in (-1, 1):
            thing.add(tube([(-0.12, side * 0.028, 0.01), (-0.05, side * 0.022, 0.01), (0.01, 0, 0.01)], 0.008, 7), grip)
            thing.add(bar((0.0, 0, 0.01), (0.06, side * 0.006, 0.01), 0.014, 0.012), IRON)
    return thing


def tool_board(kit: Kit, wide: float = 1.3, high: float = 0.75) -> Thing:
    """A perforated board with a frame, back to +Y, middle at z = 0; tools are hung on it as things of their own."""
    thing = Thing("Tool board")
    ground = hsv(kit.between(0, 1), kit.between(0.02, 0.25), kit.between(0.6, 0.9))
    holes = Paint("dots", ground, darker(ground, 0.3), scale=0.045, axis=2, contrast=1.0)
    thing.add(box((wide, 0.012, high)), holes, (0, -0.02, 0))
    frame = kit.wood()
    for side in (-1, 1):
        thing.add(box((wide, 0.025, 0.03)), frame, (0, -0.02, side * high / 2))
        thing.add(box((0.03, 0.025, high)), frame, (side * wide / 2, -0.02, 0))
    return thing


def trolley(kit: Kit) -> Thing:
    """A hand truck: bent tube, wheels, plate."""
    thing, paint = Thing("Trolley"), kit.lacquer(hsv(kit.pick(0.0, 0.6, 0.35), 0.8, 0.7))
    a = np.linspace(0, np.pi, 9)
    arc = np.stack([0.2 * np.cos(a), 0 * a + 0.03, 1.1 + 0.14 * np.sin(a)], 1)
    thing.add(tube(np.concatenate([[[0.2, 0, 0.05]], arc, [[-0.2, 0, 0.05]]]), 0.014), paint)
    for z in (0.3, 0.6, 0.9):
        thing.add(rod((-0.2, 0.01, z), (0.2, 0.01, z), 0.011), paint)
    thing.block((0.42, 0.24, 0.012), IRON, (0, -0.12, 0.02))
    for x in (-0.25, 0.25):
        thing.add(ring(0.09, 0.028, 22, 8), RUBBER, (x, 0.08, 0.115), (0, 90, 0))
        thing.add(lathe([(0, -0.02), (0.07, -0.02), (0.07, 0.02), (0, 0.02)], 18), IRON, (x, 0.08, 0.115), (0, 90, 0))
    return thing.add(rod((-0.25, 0.08, 0.115), (0.25, 0.08, 0.115), 0.012), IRON)


def gas_bottle(kit: Kit) -> Thing:
    """A gas cylinder with its valve: like a barrel, and not one."""
    thing, r, high = Thing("Gas bottle"), kit.between(0.1, 0.15), kit.between(0.6, 1.3)
    paint = kit.lacquer(kit.color((0.3, 0.9), (0.35, 0.8)), 0.4)
    thing.add(
        lathe(
            [
                (0, 0),
                (r, 0),
                (r, high - r),
                (0.9 * r, high - 0.5 * r),
                (0.55 * r, high - 0.12 * r),
                (0.25 * r, high),
                (0, high),
            ],
            28,
        ),
        paint,
    )
    thing.add(rod((0, 0, high), (0, 0, high + 0.07), 0.02), Paint("brushed", (0.7, 0.55, 0.3), gloss=0.6))
    return thing.add(ring(0.035, 0.008, 18, 6), IRON, (0, 0, high + 0.075))


def strip_light(kit: Kit) -> Thing:
    """A fluorescent lamp below the ceiling (z = 0), along X."""
    thing = Thing("Lamp").block((1.2, 0.1, 0.04), Paint("plain", (0.85, 0.85, 0.83)), (0, 0, -0.06))
    return thing.add(rod((-0.58, 0, -0.085), (0.58, 0, -0.085), 0.018), Paint("plain", (1, 1, 0.97), glow=1.3))
