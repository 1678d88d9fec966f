"""Things of gardens and yards."""

from __future__ import annotations

import numpy as np

from .paint import Paint, clouds, darker, hsv
from .shapes import Part, bar, copies, joined, lathe, leaf, pillow, ring, rod, rotation, sheet, sphere, tube, unit
from .stage import Kit, Thing

IRON = Paint("plain", (0.12, 0.12, 0.13), scale=0.2, gloss=0.3)
STEEL = Paint("brushed", (0.68, 0.69, 0.71), scale=0.05, gloss=0.6)


def green(kit: Kit) -> Paint:
    """Leaves of one plant."""
    color = hsv(kit.between(0.2, 0.36), kit.between(0.4, 0.75), kit.between(0.28, 0.55))
    return Paint("blade", darker(color, 0.75), darker(color, 1.3), hsv(0.18, 0.4, 0.7), scale=1.0, gloss=0.1)


def ground(kit: Kit, wide: float, deep: float, bare: tuple[float, float, float, float]) -> Thing:
    """A lawn with bumps and tufts, its middle at the origin; no tufts grow in ``bare`` (x0, y0, x1, y1)."""
    thing = Thing("Grass")
    x, y = np.meshgrid(np.linspace(-wide / 2, wide / 2, 60), np.linspace(-deep / 2, deep / 2, 50), indexing="ij")
    z = 0.045 * (clouds(np.stack([x.ravel() / 1.5, y.ravel() / 1.5, 0 * x.ravel()], 1)) - 0.6).reshape(x.shape)
    hue = kit.between(0.2, 0.3)
    lawn = Paint("grass", hsv(hue, 0.6, 0.3), hsv(hue, 0.55, 0.5), hsv(0.15, 0.45, 0.5), scale=0.25, gloss=0)
    thing.add(sheet(np.stack([x, y, z], -1)), lawn)
    count = 420
    places = np.stack(
        [
            kit.rng.uniform(-wide / 2, wide / 2, count),
            kit.rng.uniform(-deep / 2, deep / 2, count),
            np.full(count, -0.01),
        ],
        1,
    )
    inside = ((places[:, :2] > bare[:2]) & (places[:, :2] < bare[2:])).all(1)
    places = places[~inside]
    count = len(places)
    blade = leaf(0.09, 0.012, 0.9, 3)
    tuft = joined([blade.moved(turn=(0, -kit.between(50, 85), 72.0 * k + kit.between(-20, 20))) for k in range(5)])
    size = kit.rng.uniform(0.6, 1.4, count)
    turns = np.stack([rotation((0, 0, a)) for a in kit.rng.uniform(0, 360, count)]) * size[:, None, None]
    return thing.add(
        copies(tuft, places, turns),
        Paint("blade", hsv(hue, 0.6, 0.35), hsv(hue, 0.5, 0.55), hsv(hue, 0.4, 0.6), scale=1.0),
    )


def path(kit: Kit, length: float) -> Thing:
    """A path along X of slabs, pavers or gravel."""
    thing, wide = Thing("Path"), kit.between(0.7, 1.0)
    style = kit.pick("slabs", "pavers", "gravel")
    if style == "slabs":
        stone = kit.stone()
        for x in np.arange(-length / 2 + 0.3, length / 2, 0.58):
            thing.block(
                (0.54, wide * kit.between(0.85, 1.0), 0.04),
                stone,
                (x, kit.between(-0.04, 0.04), -0.005),
                (0, 0, kit.between(-3, 3)),
                bevel=0.01,
            )
        return thing
    color = hsv(kit.between(0.02, 0.12), kit.between(0.1, 0.45), kit.between(0.45, 0.65))
    paver = Paint("brick", color, darker(color, 0.75), darker(color, 0.45), scale=0.2, axis=2, gloss=0)
    gravel = Paint("speckle", darker(color, 1.1), darker(color, 0.6), darker(color, 1.5), scale=0.02, gloss=0)
    thing.block((length, wide, 0.05), paver if style == "pavers" else gravel, (0, 0, -0.028))
    if style == "pavers":
        for y in (-1, 1):
            thing.block((length, 0.05, 0.07), kit.stone(), (0, y * wide / 2, -0.03))
    return thing


def fence(kit: Kit, length: float) -> Thing:
    """A fence along X: posts, two rails, slats with gaps; front towards -Y."""
    thing, high, gap = Thing("Fence"), kit.between(0.9, 1.5), kit.between(0.02, 0.07)
    wide, paint = (
        kit.between(0.07, 0.12),
        kit.pick(kit.wood(0.6), kit.wood(0.9), kit.lacquer(hsv(kit.rng.random(), 0.25, 0.8), 0.1)),
    )
    pointed = kit.chance(0.5)
    for x in np.linspace(-length / 2, length / 2, max(round(length / 1.5), 1) + 1):
        thing.block((0.08, 0.08, high + 0.08), paint, (x, 0.06, 0))
    for z in (0.25, 0.8):
        thing.block((length, 0.035, 0.07), paint, (0, 0.015, z * high))
    for x in np.arange(-length / 2 + wide / 2, length / 2, wide + gap):
        top = high * kit.between(0.98, 1.0)
        thing.block((wide, 0.018, top - 0.06), paint, (x, -0.012, 0.06), (0, kit.between(-0.6, 0.6), 0))
        if pointed:
            thing.add(lathe([(0.707 * wide, 0), (0, 0.7 * wide)], 4), paint, (x, -0.012, top), (0, 0, 45), (1, 0.18, 1))
    return thing


def _foliage(kit: Kit, count: int, center, size, length: float) -> Part:
    """Leaves (of ``length``) near the surface of an ellipsoid of half axes ``size``."""
    direction = unit(kit.rng.normal(0, 1, (count, 3)))
    lumps = 0.82 + 0.3 * clouds(direction * 0.9 + kit.rng.uniform(0, 9, 3))[:, None]
    places = np.asarray(center) + direction * lumps * kit.rng.uniform(0.72, 1.0, (count, 1)) * np.asarray(size)
    out = unit(direction + kit.rng.normal(0, 0.6, (count, 3)))
    side = unit(np.cross(out, kit.rng.normal(0, 1, (count, 3))))
    matrices = np.stack([out, side, np.cross(out, side)], -1) * kit.rng.uniform(0.7, 1.2, count)[:, None, None]
    return copies(leaf(length, 0.55 * length, 0.7, 3), places, matrices)


def bush(kit: Kit) -> Thing:
    """A round or long bush; a dark core keeps it dense; sometimes with flowers."""
    thing, paint = Thing("Bush"), green(kit)
    size = np.array([kit.between(0.3, 0.55), kit.between(0.28, 0.45), kit.between(0.3, 0.5)])
    core = pillow(2 * size * 0.66, 2.2, 9)
    thing.add(
        core,
        Paint("grass", darker(paint.a, 0.7), darker(paint.a, 1.0), darker(paint.a, 0.8), scale=0.1),
        (0, 0, size[2]),
    )
    thing.add(_foliage(kit, 560, (0, 0, size[2] * 1.02), size, kit.between(0.06, 0.1)), paint)
    if kit.chance(0.4):
        blossom = kit.lacquer(hsv(kit.pick(0.0, 0.9, 0.13, 0.75), kit.between(0.3, 0.8), 0.95), 0.0)
        for _ in range(24):
            at = unit(kit.rng.normal(0, 1, 3) * [1, 1, 0.6]) * size * 1.0
            at[2] += 1.05 * size[2]
            thing.add(pillow((0.05, 0.05, 0.035), 2.2, 4), blossom, at)
    return thing


def tree(kit: Kit) -> Thing:
    """A tree: bent trunk, branches, a crown of leaves in lumps."""
    thing, paint, high = Thing("Tree"), green(kit), kit.between(1.9, 2.7)
    bark = Paint("worn", hsv(0.08, 0.35, 0.33), hsv(0.09, 0.25, 0.5), scale=0.06)
    s = np.linspace(0, 1, 8)[:, None]
    bend = kit.rng.normal(0, 0.12, 2)
    trunk = np.concatenate([bend[0] * s**2, bend[1] * s**2, 0.72 * high * s], 1)
    thing.add(tube(trunk, np.linspace(0.085, 0.035, 8) * (1 + 0.6 * (s[:, 0] < 0.05)), 9), bark)
    for k in range(kit.pick(4, 5, 6)):
        start = trunk[int(kit.rng.integers(4, 8))]
        a = 2.4 * k + kit.between(-0.3, 0.3)
        reach = kit.between(0.3, 0.55)
        tip = start + np.array([reach * np.cos(a), reach * np.sin(a), kit.between(0.15, 0.5)])
        thing.add(tube([start, 0.5 * (start + tip) + [0, 0, 0.06], tip], [0.03, 0.02, 0.01], 6), bark)
        lump = np.array([1, 1, 0.75]) * kit.between(0.26, 0.42)
        thing.add(_foliage(kit, 150, tip, lump, kit.between(0.09, 0.13)), paint)
    return thing.add(_foliage(kit, 200, trunk[-1] + [0, 0, 0.15], (0.4, 0.4, 0.35), 0.11), paint)


def bench(kit: Kit) -> Thing:
    """A garden bench of slats on two iron or wooden ends."""
    thing, wide, wood = (
        Thing("Bench"),
        kit.between(1.15, 1.6),
        kit.pick(kit.wood(), kit.wood(), kit.lacquer(hsv(0.35, 0.5, 0.35))),
    )
    end = kit.pick(IRON, wood, kit.stone())
    for x in (-wide / 2 + 0.08, wide / 2 - 0.08):
        for foot, top in (
            ((x, -0.22, 0), (x, -0.2, 0.43)),
            ((x, 0.26, 0), (x, 0.2, 0.43)),
            ((x, 0.2, 0.4), (x, 0.31, 0.85)),
        ):
            thing.add(bar(foot, top, 0.05, 0.04), end)
        thing.add(bar((x, -0.22, 0.41), (x, 0.22, 0.41), 0.05, 0.04), end)
        thing.add(tube([(x, -0.22, 0.43), (x, -0.23, 0.62), (x, 0.25, 0.64)], 0.02), end)
    for y in np.linspace(-0.2, 0.18, 5):
        thing.block((wide, 0.07, 0.025), wood, (0, y, 0.43), bevel=0.004)
    for s in (0.2, 0.5, 0.8):
        thing.add(
            bar(
                (-wide / 2, 0.2 + 0.11 * s - 0.02, 0.43 + 0.42 * s),
                (wide / 2, 0.2 + 0.11 * s - 0.02, 0.43 + 0.42 * s),
                0.022,
                0.08,
            ),
            wood,
        )
    thing.tops = [(-wide / 2 + 0.15, wide / 2 - 0.15, -0.15, 0.12, 0.455)]
    return thing


def _wheel(thing: Thing, hub: np.ndarray, r: float) -> None:
    """A bicycle's wheel: tyre, rim, hub and spokes."""
    thing.add(ring(r - 0.015, 0.016, 36, 7), IRON, hub, (90, 0, 0))
    thing.add(ring(r - 0.036, 0.008, 36, 5), STEEL, hub, (90, 0, 0))
    thing.add(rod(hub - np.array([0, 0.05, 0]), hub + np.array([0, 0.05, 0]), 0.022), STEEL)
    for k in range(14):
        a = 2 * np.pi * k / 14
        tip = hub + (r - 0.04) * np.array([np.cos(a), 0, np.sin(a)])
        thing.add(rod(hub + np.array([0, 0.025 * (-1) ** k, 0]), tip, 0.0022, segments=4), STEEL)


def bicycle(kit: Kit) -> Thing:
    """A bicycle along X on its wheels: spokes, tubes, saddle, handlebar, chain, mudguards."""
    thing, paint, r = Thing("Bicycle"), kit.lacquer(kit.color((0.4, 0.9), (0.3, 0.8)), 0.4), 0.33
    hubs = {-1: np.array([-0.51, 0, r]), 1: np.array([0.53, 0, r])}
    for hub in hubs.values():
        _wheel(thing, hub, r)
    crank, seat, head, fork = (
        np.array(p) for p in ((-0.08, 0, 0.29), (-0.22, 0, 0.72), (0.36, 0, 0.78), (0.41, 0, 0.6))
    )
    for a, b in ((crank, seat), (seat + np.array([0.02, 0, -0.05]), head), (crank, fork), (head, fork)):
        thing.add(rod(a, b, 0.019), paint)
    for y in (-0.05, 0.05):
        side = np.array([0, y, 0])
        thing.add(rod(crank + side * 0.6, hubs[-1] + side, 0.011), paint)
        thing.add(rod(seat + side * 0.4 - [0, 0, 0.04], hubs[-1] + side, 0.010), paint)
        thing.add(rod(fork + side, hubs[1] + side, 0.013), paint)
    thing.add(rod(seat, seat + np.array([-0.03, 0, 0.14]), 0.013), STEEL)
    thing.add(
        pillow((0.27, 0.16, 0.07), 3, 8),
        Paint("plain", kit.pick((0.08,) * 3, (0.3, 0.18, 0.1))),
        seat + np.array([-0.02, 0, 0.17]),
    )
    stem = head + np.array([-0.02, 0, 0.14])
    thing.add(rod(head, stem, 0.014), STEEL)
    bars = [
        (stem[0] - 0.16, -0.29, stem[2] + 0.05),
        (stem[0], -0.18, stem[2] + 0.03),
        stem,
        (stem[0], 0.18, stem[2] + 0.03),
        (stem[0] - 0.16, 0.29, stem[2] + 0.05),
    ]
    thing.add(tube(bars, 0.012), STEEL)
    thing.add(ring(0.09, 0.007, 22, 5), IRON, crank + np.array([0, -0.06, 0]), (90, 0, 0))
    for side in (-1, 1):
        pedal = crank + np.array([0.13 * side, 0.11 * side, -0.1 * side])
        thing.add(rod(crank + np.array([0, 0.07 * side, 0]), pedal - np.array([0, 0.02 * side, 0]), 0.010), STEEL)
        thing.block((0.09, 0.08, 0.02), IRON, pedal + np.array([0, 0.03 * side, -0.01]))
    for z in (0.09, -0.09):
        thing.add(rod(crank + np.array([0, -0.06, z]), hubs[-1] + [0, -0.06, 0.35 * z], 0.004, segments=5), IRON)
    for hub in hubs.values():
        a = np.linspace(0.5, 2.6, 12)
        arc = hub + 0.36 * np.stack([np.cos(a), 0 * a, np.sin(a)], 1)
        thing.add(tube(arc, 0.018, 6), paint)
    if kit.chance(0.4):
        thing.block((0.32, 0.3, 0.02), STEEL, stem + np.array([0.2, 0, -0.12]))
        for y in (-0.15, 0.15):
            thing.block(
                (0.32, 0.008, 0.2),
                Paint("checker", (0.4,) * 3, (0.6,) * 3, scale=0.03),
                stem + np.array([0.2, y, -0.12]),
            )
        for x in (0.04, 0.36):
            thing.block(
                (0.008, 0.3, 0.2), Paint("checker", (0.4,) * 3, (0.6,) * 3, scale=0.03), stem + np.array([x, 0, -0.12])
            )
    return thing


def wheelie_bin(kit: Kit) -> Thing:
    """A rubbish bin on two wheels with a hinged lid."""
    thing, paint = Thing("Bin"), kit.lacquer(hsv(kit.pick(0.35, 0.6, 0.13, 0.0), 0.6, kit.between(0.25, 0.5)), 0.2)
    lid = kit.pick(paint, kit.lacquer(hsv(kit.pick(0.13, 0.6, 0.05), 0.7, 0.6)))
    body = np.array([(0.19, 0.06), (0.25, 0.85), (0.265, 0.85), (0.265, 0.9), (0.25, 0.9)]) * [np.sqrt(2), 1]
    thing.add(lathe(body, 4), paint, (0, 0, 0), (0, 0, 45))
    thing.add(pillow((0.56, 0.58, 0.1), 5, 9), lid, (0, -0.01, 0.93))
    thing.add(rod((-0.22, 0.3, 0.9), (0.22, 0.3, 0.9), 0.014), paint)
    for x in (-0.2, 0.2):
        thing.add(ring(0.075, 0.024, 20, 7), IRON, (x, 0.22, 0.1), (0, 90, 0))
        thing.add(lathe([(0, -0.015), (0.06, -0.015), (0.06, 0.015), (0, 0.015)], 16), IRON, (x, 0.22, 0.1), (0, 90, 0))
    return thing


def flower_pot(kit: Kit) -> Thing:
    """A clay pot or tub with a flowering plant; the plant is part of it."""
    thing, r = Thing("Flower pot"), kit.between(0.13, 0.22)
    high = r * kit.between(1.2, 1.7)
    clay = kit.pick(kit.lacquer(hsv(0.04, 0.6, 0.6), 0.05), kit.stone(), kit.lacquer(gloss=0.3))
    thing.add(
        lathe(
            [
                (0, 0),
                (0.7 * r, 0),
                (0.92 * r, 0.85 * high),
                (r, 0.85 * high),
                (r, high),
                (0.9 * r, high),
                (0.88 * r, 0.9 * high),
                (0, 0.9 * high),
            ],
            26,
        ),
        clay,
    )
    paint = green(kit)
    thing.add(_foliage(kit, 90, (0, 0, 1.35 * high), (0.85 * r, 0.85 * r, 0.6 * r), 0.5 * r), paint)
    hue = kit.pick(0.0, 0.05, 0.13, 0.85, 0.75)
    for k in range(9):
        a, lean = 2.4 * k, kit.between(0.1, 0.9) * r
        top = np.array([lean * np.cos(a), lean * np.sin(a), high + kit.between(0.9, 1.6) * r])
        thing.add(rod((0.3 * lean * np.cos(a), 0.3 * lean * np.sin(a), high), top, 0.005, segments=5), paint)
        petals = [
            pillow((0.28 * r, 0.15 * r, 0.03), 2.2, 4).moved((0.16 * r, 0, 0)).moved(turn=(0, -12, 72.0 * j))
            for j in range(5)
        ]
        thing.add(
            joined(petals), kit.lacquer(hsv(hue, 0.75, 0.92), 0.0), top, (kit.between(-25, 25), kit.between(-25, 25), 0)
        )
        thing.add(sphere(0.07 * r, 6), Paint("plain", (0.85, 0.65, 0.1)), top)
    return thing


def watering_can(kit: Kit) -> Thing:
    """A watering can with its long spout and rose."""
    thing, paint = (
        Thing("Watering can"),
        kit.pick(kit.lacquer(gloss=0.3), Paint("brushed", (0.6, 0.63, 0.64), gloss=0.5)),
    )
    thing.add(lathe([(0, 0), (0.12, 0), (0.125, 0.22), (0.1, 0.26), (0.07, 0.26)], 24), paint)
    thing.add(tube([(0.11, 0, 0.05), (0.22, 0, 0.14), (0.38, 0, 0.33)], [0.03, 0.02, 0.014], 9), paint)
    thing.add(rod((0.37, 0, 0.32), (0.41, 0, 0.36), 0.02, 0.045), paint)
    a = np.linspace(-0.6, 2.2, 10)
    return thing.add(tube(np.stack([-0.1 - 0.1 * np.sin(a), 0 * a, 0.18 + 0.13 * np.cos(a) * 0.9], 1), 0.012), paint)


def stone(kit: Kit) -> Thing:
    """A boulder."""
    part = sphere(1.0, 14)
    lumps = 0.75 + 0.5 * clouds(part.points * 0.35 + kit.rng.uniform(0, 9, 3))[:, None]
    size = np.array([1.2, 0.9, 0.65]) * kit.between(0.11, 0.22)
    grey = hsv(kit.between(0.05, 0.6), kit.between(0.02, 0.12), kit.between(0.4, 0.65))
    rough = Paint("speckle", grey, darker(grey, 0.7), darker(grey, 1.2), scale=0.04, gloss=0)
    return Thing("Stone").add(part._replace(points=part.points * lumps), rough, (0, 0, 0.45 * size[2]), scale=size)


def lamp_post(kit: Kit) -> Thing:
    """A garden lamp on a post."""
    thing, high = Thing("Lamp post"), kit.between(1.1, 1.9)
    thing.add(lathe([(0.08, 0), (0.08, 0.03), (0.035, 0.1), (0.025, 0.2), (0.022, high), (0, high)], 16), IRON)
    thing.add(sphere(0.1, 12), Paint("plain", (0.95, 0.93, 0.85), glow=0.5), (0, 0, high + 0.09))
    return thing.add(lathe([(0.12, 0), (0.02, 0.07), (0, 0.09)], 16), IRON, (0, 0, high + 0.16))


def garden_chair(kit: Kit) -> Thing:
    """A folding garden chair: thin bars and slats."""
    thing, slat, steel = Thing("Chair"), kit.pick(kit.wood(0.7), kit.lacquer()), kit.pick(IRON, STEEL)
    for x in (-0.2, 0.2):
        thing.add(rod((x, -0.24, 0), (x, 0.2, 0.85), 0.011), steel).add(
            rod((x * 0.9, 0.24, 0), (x * 0.9, -0.2, 0.46), 0.011), steel
        )
    for y in np.linspace(-0.2, 0.14, 6):
        thing.block((0.42, 0.045, 0.014), slat, (0, y, 0.45))
    for s in (0.72, 0.84, 0.96):
        thing.block((0.42, 0.014, 0.06), slat, (0, -0.24 + 0.44 * s - 0.012, 0.85 * s), (-25, 0, 0))
    return thing


def toy_ball(kit: Kit) -> Thing:
    """A ball of two colours."""
    r = kit.between(0.09, 0.13)
    return Thing("Ball").add(
        sphere(r, 14), Paint("checker", kit.color(), (0.92, 0.92, 0.9), scale=0.12, axis=2, gloss=0.2), (0, 0, r)
    )
