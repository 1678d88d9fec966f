"""Furniture of rooms, kitchens and offices."""

from __future__ import annotations

import numpy as np

from .paint import Paint, darker, hsv
from .shapes import bar, box, lathe, leaf, pillow, pleats, ring, rod, sheet, tube
from .stage import Kit, Thing


def _legs(thing: Thing, kit: Kit, wide: float, deep: float, high: float, paint: Paint, splay: float = 0.0) -> None:
    """Four legs at the corners: square, round and tapered, or hairpins of wire."""
    style = kit.pick("square", "round", "round", "hairpin")
    r = kit.between(0.014, 0.026)
    for x in (-1, 1):
        for y in (-1, 1):
            top = np.array([x * wide / 2, y * deep / 2, high])
            foot = np.array([x * (wide / 2 + splay), y * (deep / 2 + splay), 0.0])
            if style == "square":
                thing.add(bar(foot, top, 2 * r), paint)
            elif style == "round":
                thing.add(rod(foot, top, 0.7 * r, 1.15 * r), paint)
            else:
                for side in (-0.05, 0.05):
                    thing.add(
                        rod(foot, top + np.array([side, 0, 0]), 0.007, segments=6), Paint("plain", (0.08, 0.08, 0.09))
                    )


def chair(kit: Kit) -> Thing:
    """A chair with four legs; back of slats, rungs, or one panel; sometimes a cushion or arms."""
    thing = Thing("Chair")
    paint = kit.pick(kit.wood(), kit.wood(), kit.lacquer())
    wide, deep, seat = kit.between(0.40, 0.48), kit.between(0.40, 0.47), kit.between(0.43, 0.48)
    _legs(thing, kit, wide - 0.07, deep - 0.07, seat, paint, kit.pick(0.0, 0.04))
    if kit.chance(0.5):
        thing.block((wide, deep, 0.028), paint, (0, 0, seat), bevel=0.01)
    else:
        thing.add(pillow((wide, deep, 0.05), 6), paint, (0, 0, seat + 0.015))
    if kit.chance(0.5):
        thing.add(pillow((0.93 * wide, 0.93 * deep, 0.05), 5), kit.cloth(), (0, 0.0, seat + 0.05))
    top, back, lean = kit.between(0.82, 0.98), deep / 2 - 0.03, kit.between(0.03, 0.09)
    x = wide / 2 - 0.035
    for side in (-x, x):
        thing.add(rod((side, back, seat - 0.02), (side, back + lean, top), 0.016), paint)
    style = kit.pick("slats", "rungs", "panel")
    if style == "slats":
        for s in np.linspace(-0.72, 0.72, int(kit.between(3, 6))):
            thing.add(bar((s * x, back, seat), (s * x, back + lean, top - 0.03), 0.025, 0.012), paint)
        thing.add(bar((-x, back + lean, top - 0.03), (x, back + lean, top - 0.03), 0.022, 0.06), paint)
    elif style == "rungs":
        for s in np.linspace(0.4, 1.0, int(kit.between(2, 5))):
            y, z = back + lean * s, seat + (top - seat) * s - 0.03
            thing.add(bar((-x, y, z), (x, y, z), 0.016, 0.055), paint)
    else:
        turn = (-np.degrees(np.arctan2(lean, top - seat)), 0, 0)
        middle = (0, back + 0.65 * lean, seat + 0.65 * (top - seat))
        thing.add(pillow((2 * x, 0.035, 0.6 * (top - seat)), 6), kit.pick(paint, kit.cloth()), middle, turn)
    if kit.chance(0.25):
        for side in (-x, x):
            thing.add(bar((side, -deep / 3, seat + 0.2), (side, back, seat + 0.22), 0.04, 0.022), paint)
            thing.add(rod((side, -deep / 3, seat), (side, -deep / 3, seat + 0.2), 0.013), paint)
    return thing


def swivel_chair(kit: Kit) -> Thing:
    """An office chair: five arms on castors, gas spring, seat, back and perhaps arm rests."""
    thing = Thing("Swivel chair")
    dark, cloth = kit.lacquer(hsv(0.6, 0.05, kit.between(0.08, 0.2))), kit.cloth()
    base = kit.pick(dark, kit.metal())
    seat = kit.between(0.43, 0.5)
    for k in range(5):
        a = np.radians(72 * k + 20)
        tip = np.array([0.28 * np.cos(a), 0.28 * np.sin(a), 0.07])
        thing.add(rod((0, 0, 0.11), tip, 0.024, 0.016), base)
        thing.add(pillow((0.035, 0.05, 0.055), 3, 5), dark, (tip[0], tip[1], 0.028), (0, 0, 72 * k))
    thing.add(rod((0, 0, 0.08), (0, 0, seat - 0.04), 0.027, 0.02), kit.metal(0.5))
    thing.add(pillow((0.48, 0.47, 0.10), 4.5), cloth, (0, 0, seat))
    thing.add(tube([(0, 0.1, seat - 0.05), (0, 0.27, seat - 0.02), (0, 0.29, seat + 0.3)], 0.022), dark)
    high = kit.between(0.42, 0.62)
    thing.add(pillow((0.44, 0.08, high), 4), cloth, (0, 0.25, seat + 0.12 + high / 2), (-8, 0, 0))
    if kit.chance(0.6):
        for x in (-0.27, 0.27):
            thing.add(tube([(x * 0.8, 0, seat - 0.03), (x, 0, seat), (x, 0, seat + 0.2)], 0.015), dark)
            thing.add(pillow((0.06, 0.26, 0.035), 4, 6), dark, (x, 0, seat + 0.21))
    return thing


def stool(kit: Kit) -> Thing:
    """A round stool, low or at bar height, with a foot ring."""
    thing = Thing("Stool")
    high, paint, r = (
        kit.pick(0.46, 0.66, 0.72),
        kit.pick(kit.wood(), kit.metal(), kit.lacquer()),
        kit.between(0.15, 0.19),
    )
    thing.add(
        lathe([(0, high), (r - 0.01, high), (r, high - 0.015), (r - 0.02, high - 0.035), (0, high - 0.035)]), paint
    )
    legs = kit.pick(3, 4)
    for k in range(legs):
        a = 2 * np.pi * k / legs + 0.5
        c, s = np.cos(a), np.sin(a)
        thing.add(rod((1.15 * r * c, 1.15 * r * s, 0), (0.7 * r * c, 0.7 * r * s, high - 0.03), 0.013), paint)
    thing.add(ring(r * 0.98, 0.009), paint, (0, 0, high * 0.35))
    return thing


def table(kit: Kit, label: str = "Table", size=None, high: float | None = None) -> Thing:
    """A rectangular, round or oval table with a rim, on legs, a column or two trestles."""
    thing = Thing(label)
    wide, deep = size or (kit.between(1.1, 1.6), kit.between(0.75, 0.95))
    high = high or kit.between(0.71, 0.76)
    top = kit.pick(kit.wood(), kit.wood(), kit.lacquer(hsv(0.1, 0.04, 0.85)), kit.stone())
    leg = kit.pick(top, kit.wood(), kit.metal(), kit.lacquer(hsv(0, 0, 0.12)))
    thick = kit.between(0.022, 0.045)
    if kit.chance(0.3) and size is None:
        r = 0.5 * min(wide, 1.15)
        thing.add(lathe([(0, high), (r, high), (r, high - thick), (0, high - thick)], 36), top)
        if kit.chance(0.5):
            column = [(0.3, 0), (0.28, 0.03), (0.06, 0.06), (0.05, 0.3), (0.07, 0.5), (0.09, high - thick)]
            thing.add(lathe(column, 20), leg)
        else:
            _legs(thing, kit, r * 1.15, r * 1.15, high - thick, leg, 0.06)
        thing.tops = [(-0.7 * r, 0.7 * r, -0.7 * r, 0.7 * r, high)]
        return thing
    thing.block((wide, deep, thick), top, (0, 0, high - thick), bevel=kit.pick(0.0, 0.008))
    style = kit.pick("legs", "legs", "trestle", "frame")
    if style == "trestle":
        for x in (-0.36 * wide, 0.36 * wide):
            for y in (-1, 1):
                thing.add(bar((x, y * 0.42 * deep, 0), (x, y * 0.12 * deep, high - thick), 0.045, 0.03), leg)
            thing.add(bar((x, -0.33 * deep, 0.2), (x, 0.33 * deep, 0.2), 0.03, 0.05), leg)
        thing.add(bar((-0.36 * wide, 0, 0.25), (0.36 * wide, 0, 0.25), 0.03, 0.06), leg)
    else:
        _legs(thing, kit, wide - 0.12, deep - 0.12, high - thick, leg)
        if style == "frame":
            for y in (-0.5, 0.5):
                thing.block((wide - 0.14, 0.02, 0.07), leg, (0, y * (deep - 0.14), high - thick - 0.07))
            for x in (-0.5, 0.5):
                thing.block((0.02, deep - 0.14, 0.07), leg, (x * (wide - 0.14), 0, high - thick - 0.07))
    thing.tops = [(-wide / 2 + 0.03, wide / 2 - 0.03, -deep / 2 + 0.03, deep / 2 - 0.03, high)]
    return thing


def sofa(kit: Kit, seats: int | None = None) -> Thing:
    """A sofa or armchair: base, arms, seat cushions and back cushions on short legs."""
    seats = seats or kit.pick(1, 2, 3)
    thing, cloth = Thing("Sofa"), kit.cloth(kit.color((0.1, 0.55), (0.2, 0.7)))
    wide, deep, arm = 0.66 * seats + 0.1, kit.between(0.8, 0.95), kit.between(0.13, 0.24)
    full = wide + 2 * arm
    for x in (-1, 1):
        for y in (-1, 1):
            thing.add(
                rod(
                    (x * (full / 2 - 0.08), y * (deep / 2 - 0.08), 0),
                    (x * (full / 2 - 0.09), y * (deep / 2 - 0.09), 0.12),
                    0.018,
                    0.028,
                ),
                kit.wood(0.2),
            )
    thing.add(pillow((full - 0.05, deep - 0.04, 0.22), 14), cloth, (0, 0, 0.21))
    armrest = kit.between(0.55, 0.66)
    for x in (-1, 1):
        thing.add(pillow((arm, deep, armrest - 0.1), 7), cloth, (x * (full - arm) / 2, 0, 0.1 + (armrest - 0.1) / 2))
    thing.add(pillow((full - 0.04, 0.22, 0.66), 9), cloth, (0, deep / 2 - 0.1, 0.46), (-6, 0, 0))
    for k in range(seats):
        x = (k - (seats - 1) / 2) * wide / seats
        thing.add(pillow((wide / seats - 0.01, deep - 0.24, 0.16), 6), cloth, (x, -0.09, 0.39))
        thing.add(pillow((wide / seats - 0.02, 0.18, 0.42), 5), cloth, (x, deep / 2 - 0.27, 0.62), (-14, 0, 0))
    thing.tops = [(-wide / 2 + 0.1, wide / 2 - 0.1, -deep / 4, deep / 12, 0.47)]
    return thing


def cushion(kit: Kit) -> Thing:
    """A throw cushion leaning back, its lower edge on z = 0."""
    thing, size = Thing("Cushion"), kit.between(0.36, 0.46)
    line = np.linspace(-1.0, 1.0, 13)
    u, w = np.meshgrid(line, line, indexing="ij")
    puff = ((1 - np.abs(u) ** 2.6) * (1 - np.abs(w) ** 2.6)).clip(0) ** 0.42
    cloth = kit.cloth()
    for sign in (-1.0, 1.0):
        x, z = (a * size / 2 * (1 - 0.09 * (1 - a * a) * np.abs(b) ** 3) for a, b in ((u, w), (w, u)))
        half = sheet(np.stack([x, sign * 0.075 * puff, z], -1))
        thing.add(half, cloth, (0, 0, 0.47 * size), (kit.between(-30, -18), 0, 0))
    return thing


def bed(kit: Kit) -> Thing:
    """A bed with head board, mattress and a blanket that hangs over its sides."""
    thing, frame = Thing("Bed"), kit.pick(kit.wood(), kit.cloth())
    wide, deep, cloth = kit.pick(0.95, 1.45), 2.02, kit.cloth()
    thing.block((wide, deep, 0.1), frame, (0, 0, 0.2), bevel=0.01)
    for x in (-1, 1):
        for y in (-1, 1):
            thing.add(
                bar(
                    (x * (wide / 2 - 0.06), y * (deep / 2 - 0.06), 0),
                    (x * (wide / 2 - 0.06), y * (deep / 2 - 0.06), 0.2),
                    0.06,
                ),
                frame,
            )
    thing.block((wide + 0.06, 0.06, kit.between(0.7, 1.0)), frame, (0, deep / 2, 0.12), bevel=0.02)
    thing.add(
        pillow((wide - 0.02, deep - 0.06, 0.22), 10),
        Paint("fabric", (0.86, 0.85, 0.82), (0.75, 0.75, 0.74), scale=0.01),
        (0, 0, 0.4),
    )
    x, y = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 0.45, 30), indexing="ij")
    over = np.maximum(np.abs(x) - 0.86, 0) / 0.14
    z = 0.535 - 0.3 * over**1.3 + 0.008 * np.sin(9 * x + 3 * y) * np.cos(7 * y - 2 * x)
    across = np.sign(x) * (np.minimum(np.abs(x), 0.86) / 0.86 * wide / 2 + 0.03 * over * (1 + 0.5 * np.sin(14 * y)))
    thing.add(sheet(np.stack([across, y * deep / 2, z], -1)), cloth)
    thing.tops = [(-wide / 2 + 0.2, wide / 2 - 0.2, deep / 2 - 0.42, deep / 2 - 0.3, 0.5)]
    return thing


def shelf(kit: Kit, label: str = "Shelf", size=None) -> Thing:
    """An open shelf of boards between two sides or on two ladders, perhaps with a back."""
    thing = Thing(label)
    wide, deep, high = size or (kit.between(0.7, 1.2), kit.between(0.26, 0.36), kit.between(1.2, 2.0))
    paint, levels = kit.pick(kit.wood(), kit.wood(), kit.lacquer(hsv(0.1, 0.02, 0.88))), max(int(high / 0.36), 2)
    if kit.chance(0.7):
        for x in (-1, 1):
            thing.block((0.022, deep, high), paint, (x * (wide / 2 - 0.011), 0, 0))
    else:
        steel = kit.lacquer(hsv(0, 0, 0.1))
        for x in (-1, 1):
            for y in (-1, 1):
                thing.block((0.025, 0.025, high), steel, (x * (wide / 2 - 0.0125), y * (deep / 2 - 0.0125), 0))
    if kit.chance(0.5):
        thing.block((wide - 0.03, 0.008, high - 0.06), paint, (0, deep / 2 - 0.004, 0.04))
    for z in np.linspace(0.06, high - 0.022, levels + 1):
        thing.block((wide - 0.03, deep - 0.012, 0.022), paint, (0, 0, z))
        thing.tops.append((-wide / 2 + 0.03, wide / 2 - 0.03, -deep / 2 + 0.02, deep / 2 - 0.02, z + 0.022))
    return thing


def cabinet(
    kit: Kit, label: str = "Cabinet", size=None, paint: Paint | None = None, feet: float | None = None
) -> Thing:
    """A carcass with rows of doors and drawers that stand out a little, and handles or knobs."""
    thing = Thing(label)
    wide, deep, high = size or (kit.between(0.8, 1.5), kit.between(0.38, 0.5), kit.between(0.55, 1.1))
    paint = paint or kit.pick(kit.wood(), kit.wood(), kit.lacquer(kit.color((0.02, 0.3), (0.6, 0.9))))
    low = kit.pick(0.03, 0.12) if feet is None else feet
    if feet is None:
        _legs(thing, kit, wide - 0.1, deep - 0.1, low, paint)
    thing.block((wide, deep, high - low), paint, (0, 0, low), bevel=0.004)
    columns, rows = max(round(wide / kit.between(0.42, 0.6)), 1), kit.pick(1, 2, 3) if high < 1.3 else 1
    front, handle = kit.pick(paint, paint, kit.lacquer(hsv(0.1, 0.05, 0.8))), kit.metal()
    cell_w, cell_h = (wide - 0.02) / columns, (high - low - 0.02) / rows
    round_knob = kit.chance(0.4)
    for column in range(columns):
        for row in range(rows):
            x, z = -wide / 2 + 0.01 + (column + 0.5) * cell_w, low + 0.01 + (row + 0.5) * cell_h
            thing.add(box((cell_w - 0.008, 0.02, cell_h - 0.008), 0.003), front, (x, -deep / 2 - 0.008, z))
            tall = cell_h > 0.35
            hx, hz = (x + (0.38 * cell_w if column % 2 == 0 else -0.38 * cell_w), z + 0.2 * cell_h) if tall else (x, z)
            if round_knob:
                thing.add(pillow((0.03, 0.03, 0.03), 2.2, 5), handle, (hx, -deep / 2 - 0.03, hz))
            else:
                step = np.array([0, 0, 0.07]) if tall else np.array([0.07, 0, 0])
                middle = np.array([hx, -deep / 2 - 0.04, hz])
                thing.add(rod(middle - step, middle + step, 0.006, segments=6), handle)
                for end in (-0.8, 0.8):
                    thing.add(
                        rod(middle + end * step, middle + end * step + np.array([0, 0.03, 0]), 0.005, segments=5),
                        handle,
                    )
    thing.tops = [(-wide / 2 + 0.04, wide / 2 - 0.04, -deep / 2 + 0.04, deep / 2 - 0.04, high)]
    return thing


def lamp(kit: Kit, label: str = "Lamp", high: float | None = None) -> Thing:
    """A standing lamp (or a desk lamp when low): foot, thin column, shade."""
    thing = Thing(label)
    high, metal = high or kit.between(1.35, 1.75), kit.pick(kit.metal(), kit.lacquer(hsv(0, 0, 0.08)), kit.wood())
    foot, s = (0.14, 1.0) if high > 0.8 else (0.075, 0.55)
    thing.add(lathe([(0, 0), (foot, 0), (foot, 0.012), (0.03, 0.028), (0.012, 0.05)], 24), metal)
    shade = Paint("fabric", hsv(0.11, kit.between(0.1, 0.4), 0.9), hsv(0.1, 0.3, 0.8), scale=0.01, glow=0.45)
    if kit.chance(0.6):
        thing.add(rod((0, 0, 0.03), (0, 0, high), 0.011), metal)
        r0, r1 = kit.between(0.18, 0.24) * s, kit.between(0.1, 0.2) * s
        thing.add(lathe([(r0, high - 0.27 * s), (r1, high)], 28), shade)
    else:
        bend = np.linspace(0, 1, 9)[:, None]
        line = np.concatenate([0.32 * s * bend**3, 0 * bend, 0.03 + (high - 0.03) * np.sin(bend * np.pi / 2)], 1)
        thing.add(tube(line, 0.010), metal)
        cone = [(0.02 * s, 0.1 * s), (0.06 * s, 0.06 * s), (0.15 * s, -0.09 * s)]
        thing.add(lathe(cone, 24), kit.lacquer(), (0.34 * s, 0, high - 0.02), (0, 15, 0))
    return thing


def curtain(kit: Kit, wide: float, high: float) -> Thing:
    """Two hanging cloths on a rail, z from the floor; the rail is its middle."""
    thing, cloth = Thing("Curtain"), kit.cloth(kit.color((0.05, 0.6), (0.4, 0.85)))
    part = kit.between(0.2, 0.3) * wide
    for side in (-1, 1):
        folds = pleats(part, high - 0.1, round(part / 0.085), 0.03, kit.between(0, 6))
        thing.add(folds, cloth, (side * (wide / 2 - part / 2), -0.07, 0.06))
    thing.add(rod((-wide / 2 - 0.08, -0.07, high - 0.02), (wide / 2 + 0.08, -0.07, high - 0.02), 0.012), kit.metal(0.3))
    return thing


def plant(kit: Kit, high: float | None = None, label: str = "Plant") -> Thing:
    """A potted plant: stems with leaves in a spiral, a fan of blades, or a palm-like crown."""
    thing, high = Thing(label), high or kit.between(0.7, 1.4)
    r = 0.06 + 0.11 * min(high, 1.2)
    pot_high = 1.7 * r
    pot = kit.pick(kit.lacquer(hsv(0.04, 0.55, 0.6), 0.1), kit.lacquer(), kit.stone(), kit.lacquer(hsv(0, 0, 0.9)))
    thing.add(
        lathe(
            [
                (0, 0),
                (0.7 * r, 0),
                (0.95 * r, pot_high - 0.03),
                (r, pot_high - 0.03),
                (r, pot_high),
                (0.88 * r, pot_high),
                (0.85 * r, 0.9 * pot_high),
                (0, 0.9 * pot_high),
            ]
        ),
        pot,
    )
    green = hsv(kit.between(0.25, 0.38), kit.between(0.45, 0.75), kit.between(0.25, 0.5))
    blade = Paint("blade", darker(green, 0.8), darker(green, 1.25), hsv(0.2, 0.3, 0.7), scale=1.0, gloss=0.25)
    style = kit.pick("stems", "stems", "blades", "palm")
    if style == "blades":
        for k in range(int(kit.between(14, 26))):
            length, lean = kit.between(0.6, 1.0) * (high - pot_high), kit.between(0.08, 0.5)
            part = leaf(length, kit.between(0.05, 0.07), lean, 7)
            thing.add(
                part,
                blade,
                (kit.between(-0.3, 0.3) * r, kit.between(-0.3, 0.3) * r, 0.9 * pot_high),
                (kit.between(-15, 15), -kit.between(62, 88), 137.5 * k),
            )
        return thing
    bark = Paint("worn", hsv(0.08, 0.4, 0.35), hsv(0.08, 0.3, 0.5), scale=0.03)
    for stem in range(1 if style == "palm" else kit.pick(2, 3, 4)):
        a, top = kit.between(0, 2 * np.pi), kit.between(0.75, 1.0) * high
        s = np.linspace(0, 1, 6)[:, None]
        lean = kit.between(0.02, 0.18) * high
        line = np.concatenate(
            [lean * s**1.5 * np.cos(a), lean * s**1.5 * np.sin(a), 0.85 * pot_high + (top - 0.85 * pot_high) * s], 1
        )
        thing.add(tube(line, np.linspace(0.013, 0.006, 6), 6), bark)
        count = int(kit.between(7, 12) * (1.6 if style == "palm" else 1))
        for k in range(count):
            where = 1.0 if style == "palm" else 0.3 + 0.7 * k / (count - 1)
            base = [float(np.interp(where, s[:, 0], line[:, i])) for i in range(3)]
            length = kit.between(0.24, 0.34) * high * (1.5 if style == "palm" else 1.1 - 0.3 * where)
            part = leaf(
                length, length * (0.16 if style == "palm" else kit.between(0.4, 0.55)), kit.between(0.6, 1.4), 6
            )
            thing.add(part, blade, base, (kit.between(-12, 12), -kit.between(10, 60), 137.5 * k + 60 * stem))
    return thing


def basket(kit: Kit, label: str = "Basket") -> Thing:
    """A round woven basket, open at the top."""
    thing, r, high = Thing(label), kit.between(0.16, 0.24), kit.between(0.2, 0.34)
    z = np.linspace(0, high, 19)
    bulge = r * (0.85 + 0.15 * np.sin(np.pi * z / high)) + 0.005 * np.cos(np.pi * np.arange(19))
    color = hsv(0.09, kit.between(0.3, 0.6), kit.between(0.4, 0.75))
    paint = Paint("checker", color, darker(color, 0.6), scale=0.025, axis=0)
    thing.add(lathe(np.stack([bulge, z], 1), 28), paint)
    thing.add(lathe([(0, 0.02), (0.85 * r, 0.02)], 20), paint)
    thing.add(ring(bulge[-1], 0.012), paint, (0, 0, high))
    return thing


def ottoman(kit: Kit) -> Thing:
    """A round padded seat of the same family as the sofa."""
    thing, r, high = Thing("Sofa"), kit.between(0.22, 0.32), kit.between(0.34, 0.44)
    thing.add(
        lathe([(0, 0), (0.95 * r, 0), (r, 0.05), (r, high - 0.06), (0.9 * r, high - 0.01), (0, high)], 28), kit.cloth()
    )
    return thing


def wall_clock(kit: Kit) -> Thing:
    """A round clock, its back to +Y, its middle on z = 0."""
    thing, r = Thing("Clock"), kit.between(0.12, 0.18)
    rim, face = kit.lacquer(), Paint("plain", (0.9, 0.9, 0.86), scale=0.3)
    turn = (90, 0, 0)
    thing.add(lathe([(r, 0), (r, 0.035), (r - 0.015, 0.04), (r - 0.02, 0.028)], 32), rim, (0, 0, 0), turn)
    thing.add(lathe([(r - 0.015, 0.026), (0, 0.026)], 32), face, (0, 0, 0), turn)
    for angle, length in ((kit.between(0, 6), 0.55), (kit.between(0, 6), 0.8)):
        tip = (length * r * np.cos(angle), -0.032, length * r * np.sin(angle))
        thing.add(bar((0, -0.032, 0), tip, 0.008, 0.004), Paint("plain", (0.05, 0.05, 0.05)))
    thing.add(box((0.02, 0.01, 0.02)), rim, (0, -0.032, 0))
    return thing
