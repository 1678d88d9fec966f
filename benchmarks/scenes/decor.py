"""Flat and small things of rooms: pictures, rugs, windows, doors, books, vases, toys."""

from __future__ import annotations

import numpy as np

from .paint import IMAGE, Paint, darker, hsv
from .shapes import box, lathe, pillow, prism, ring, rod, sheet, sphere
from .stage import Kit, Thing


def _grid() -> tuple[np.ndarray, np.ndarray]:
    line = (np.arange(IMAGE) + 0.5) / IMAGE
    return np.meshgrid(line, line)


def landscape(kit: Kit) -> np.ndarray:
    """Layered hills under a sky; first row at the bottom."""
    x, y = _grid()
    sky = np.array(hsv(kit.rng.random(), kit.between(0.1, 0.4), 0.9))
    picture = sky + (np.array(hsv(kit.rng.random(), 0.3, 0.8)) - sky) * y[..., None]
    sun = (x - kit.between(0.2, 0.8)) ** 2 + (y - kit.between(0.6, 0.8)) ** 2 < kit.between(0.004, 0.015)
    picture[sun] = hsv(0.08, 0.6, 0.95)
    hue = kit.rng.random()
    for k, base in enumerate((0.6, 0.45, 0.3, 0.15)):
        ridge = base + 0.07 * np.sin(kit.between(3, 9) * x + kit.between(0, 6)) + 0.02 * np.sin(25 * x + 3 * k)
        picture[y < ridge] = hsv(hue + 0.06 * k, 0.25 + 0.12 * k, 0.75 - 0.15 * k)
    return picture


def abstract(kit: Kit) -> np.ndarray:
    """Overlapping discs and bars."""
    x, y = _grid()
    picture = np.broadcast_to(np.array(hsv(0.1, 0.1, 0.9)), (IMAGE, IMAGE, 3)).copy()
    for _ in range(kit.pick(4, 6, 9)):
        u, v, r = kit.between(0, 1), kit.between(0, 1), kit.between(0.06, 0.3)
        disc = (x - u) ** 2 + (y - v) ** 2 < r * r
        strip = (np.abs(x - u) < r) & (np.abs(y - v) < 0.25 * r)
        picture[disc if kit.chance(0.6) else strip] = kit.color()
    return picture


def printed(kit: Kit) -> np.ndarray:
    """A poster or page: a headline, a picture block and lines of text."""
    x, y = _grid()
    ground = np.array(hsv(kit.rng.random(), kit.pick(0.02, 0.5), kit.between(0.7, 0.95)))
    ink = np.array(kit.color((0.2, 0.9), (0.05, 0.35)))
    picture = np.broadcast_to(ground, (IMAGE, IMAGE, 3)).copy()
    picture[(y > 0.82) & (y < 0.92) & (x > 0.1) & (x < kit.between(0.5, 0.9))] = ink
    picture[(y > 0.45) & (y < 0.76) & (x > 0.1) & (x < 0.9)] = kit.color()
    lines = (
        (y < 0.4) & (y > 0.08) & ((y * 22) % 1 < 0.45) & (x > 0.1) & (x < 0.9 - 0.25 * ((y * 22).astype(int) % 3 == 0))
    )
    picture[lines] = ink
    return picture


def rug_pattern(kit: Kit) -> np.ndarray:
    """Diamonds, stripes or rings inside a border."""
    x, y = _grid()
    ground, first, second = (np.array(kit.color((0.1, 0.7), (0.25, 0.85))) for _ in range(3))
    picture = np.broadcast_to(ground, (IMAGE, IMAGE, 3)).copy()
    style, n = kit.pick("diamonds", "stripes", "rings"), kit.pick(3, 4, 6)
    if style == "diamonds":
        value = np.abs((x * n) % 1 - 0.5) + np.abs((y * n) % 1 - 0.5)
    elif style == "stripes":
        value = (y * n) % 1
    else:
        value = (np.hypot(x - 0.5, y - 0.5) * n) % 1
    picture[value < 0.25], picture[(value > 0.45) & (value < 0.55)] = first, second
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    picture[edge < 0.09], picture[edge < 0.03] = second, first
    return picture * kit.rng.normal(1, 0.05, (IMAGE, IMAGE, 1)).clip(0.8, 1.2)


def painted_face(wide: float, high: float) -> tuple:
    """A flat part facing -Y with texture x, z in 0..1."""
    x, z = np.meshgrid(np.linspace(-wide / 2, wide / 2, 5), np.linspace(-high / 2, high / 2, 5), indexing="ij")
    part = sheet(np.stack([x, 0 * x, z], -1))
    texture = part.points / np.array([wide, 1.0, high]) + np.array([0.5, 0.0, 0.5])
    return part.painted(texture)


def picture(kit: Kit, label: str = "Picture", size=None) -> Thing:
    """A framed picture, middle at z = 0, back to +Y on y = 0."""
    thing = Thing(label)
    wide, high = size or (kit.between(0.35, 0.9), kit.between(0.3, 0.7))
    frame, r = kit.pick(kit.wood(), kit.lacquer(), kit.metal()), kit.between(0.02, 0.04)
    for side in (-1, 1):
        thing.add(box((wide, 0.03, r), 0.004), frame, (0, -0.015, side * (high - r) / 2))
        thing.add(box((r, 0.03, high), 0.004), frame, (side * (wide - r) / 2, -0.015, 0))
    pixels = kit.pick(landscape, abstract)(kit)
    thing.add(painted_face(wide - r, high - r), kit.palette.picture(pixels, 0.15), (0, -0.012, 0))
    return thing


def poster(kit: Kit, label: str = "Poster", size=None) -> Thing:
    """A sheet of paper flat on the wall: nothing but its colours tells it from the wall."""
    thing = Thing(label)
    wide, high = size or kit.pick((0.42, 0.6), (0.6, 0.84), (0.5, 0.5), (0.3, 0.42))
    pixels = kit.pick(printed, printed, abstract, landscape)(kit)
    thing.add(painted_face(wide, high), kit.palette.picture(pixels), (0, -0.003, 0))
    return thing


def rug(kit: Kit, size=None) -> Thing:
    """A thin rug, rectangular or round."""
    thing, paint = Thing("Rug"), kit.palette.picture(rug_pattern(kit), 0.0)
    wide, deep = size or (kit.between(1.4, 2.2), kit.between(1.0, 1.5))
    if kit.chance(0.3):
        r = 0.5 * deep
        part = lathe([(0, 0.012), (r - 0.01, 0.012), (r, 0.0)], 40)
        extent = (2 * r, 2 * r)
    else:
        part, extent = box((wide, deep, 0.012)).moved((0, 0, 0.006)), (wide, deep)
    texture = part.points[:, [0, 2, 1]] / np.array([extent[0], 1.0, extent[1]]) + 0.5
    thing.add(part.painted(texture), paint)
    return thing


def window(kit: Kit, wide: float, high: float) -> Thing:
    """A framed window with a mullion and a sill, back to +Y on y = 0, from z = 0; daylight and hills outside."""
    thing, frame = Thing("Window"), kit.pick(kit.lacquer(hsv(0.1, 0.03, 0.9)), kit.wood())
    for side in (-1, 1):
        thing.block((0.06, 0.05, high), frame, (side * (wide / 2 - 0.03), -0.025, 0), bevel=0.006)
        thing.add(box((wide, 0.05, 0.06), 0.006), frame, (0, -0.025, high / 2 + side * (high / 2 - 0.03)))
    for k in range(1, max(round(wide / 0.6), 2)):
        thing.block((0.045, 0.045, high), frame, (-wide / 2 + k * wide / max(round(wide / 0.6), 2), -0.022, 0))
    thing.block((wide + 0.14, 0.16, 0.03), frame, (0, -0.08, -0.03), bevel=0.006)
    glass = kit.palette.picture(0.35 + 0.65 * landscape(kit), 0.9, 0.5)
    thing.add(painted_face(wide - 0.1, high - 0.1), glass, (0, -0.006, high / 2))
    return thing


def door(kit: Kit, wide: float = 0.88, high: float = 2.03) -> Thing:
    """A door leaf with panels, its frame and a handle, back to +Y on y = 0."""
    thing, paint = Thing("Door"), kit.pick(kit.wood(), kit.lacquer(hsv(kit.rng.random(), kit.between(0.02, 0.4), 0.8)))
    frame = kit.pick(paint, kit.lacquer(hsv(0.1, 0.03, 0.88)))
    for side in (-1, 1):
        thing.block((0.07, 0.06, high + 0.07), frame, (side * (wide / 2 + 0.035), -0.03, 0), bevel=0.006)
    thing.block((wide, 0.06, 0.07), frame, (0, -0.03, high))
    thing.block((wide, 0.04, high), paint, (0, -0.02, 0))
    for z, h in kit.pick(((0.15, 0.75), (1.0, 0.9)), ((0.15, 0.5), (0.75, 0.5), (1.35, 0.5)), ()):
        for x in (-0.22, 0.22):
            thing.block((0.30, 0.012, h), paint, (x * wide / 0.88, -0.044, z), bevel=0.005)
    metal = kit.metal(0.6)
    thing.add(rod((0.38 * wide, -0.04, 1.02), (0.38 * wide, -0.09, 1.02), 0.01), metal)
    thing.add(rod((0.38 * wide, -0.085, 1.02), (0.24 * wide, -0.085, 1.02), 0.009), metal)
    return thing


def book(kit: Kit, label: str = "Books", size=None) -> Thing:
    """One lying book: covers, spine and pages."""
    thing = Thing(label)
    wide, deep, thick = size or (kit.between(0.13, 0.2), kit.between(0.19, 0.27), kit.between(0.015, 0.04))
    cover = kit.lacquer(gloss=0.2)
    pages = Paint("stripes", (0.88, 0.86, 0.78), (0.8, 0.78, 0.7), (0.84, 0.82, 0.75), scale=0.003, axis=2, gloss=0)
    for z in (0.0, thick - 0.003):
        thing.block((wide, deep, 0.003), cover, (0, 0, z))
    thing.block((0.003, deep, thick), cover, (-wide / 2, 0, 0))
    thing.block((wide - 0.008, deep - 0.01, thick - 0.006), pages, (-0.003, 0, 0.003))
    if kit.chance(0.6):
        pixels = kit.pick(printed, abstract)(kit)
        face = painted_face(wide * 0.96, deep * 0.96)
        thing.add(face, kit.palette.picture(pixels, 0.15), (0, 0, thick + 0.0006), (-90, 0, 0))
    return thing


def book_row(kit: Kit, wide: float, deep: float, high: float, label: str = "Books") -> Thing:
    """Standing books side by side from x = -wide / 2, spines to -Y; the last ones lean."""
    thing, x = Thing(label), -wide / 2
    covers = [kit.lacquer(gloss=0.2) for _ in range(8)]
    while x < wide / 2 - 0.05:
        thick, tall, long = kit.between(0.018, 0.048), kit.between(0.62, 0.95) * high, kit.between(0.7, 0.95) * deep
        lean = 10.0 if x + 2.2 * thick > wide / 2 - 0.05 else 0.0
        cover = kit.pick(*covers)
        place = (x + thick / 2 + 0.012 * (lean > 0), deep / 2 - long / 2, 0)
        thing.block((thick, long, tall), cover, place, (0, -lean, 0), bevel=0.002)
        if kit.chance(0.4):
            band = kit.lacquer(hsv(0.1, 0.2, 0.85))
            thing.block((thick + 0.001, 0.004, 0.03), band, (place[0], deep / 2 - long, tall * 0.7), (0, -lean, 0))
        x += thick + 0.0015
    return thing


def vase(kit: Kit, label: str = "Vase", scale: float = 1.0) -> Thing:
    """A glazed vase of random profile, sometimes with twigs."""
    thing, high = Thing(label), kit.between(0.16, 0.34) * scale
    t = np.linspace(0, 1, 12)
    wave = 0.62 + 0.38 * np.sin(np.pi * (kit.between(0.7, 1.5) * t + kit.between(0.0, 0.4)))
    r = 0.30 * high * wave.clip(0.28)
    glaze = kit.pick(
        kit.lacquer(gloss=0.6), Paint("stripes", kit.color(), kit.color(), kit.color(), scale=0.08, axis=2)
    )
    thing.add(lathe([(0, 0), *zip(r, t * high, strict=True)], 28), glaze)
    thing.add(lathe([(0.9 * r[-1], high), (0.8 * r[-1], 0.85 * high), (0, 0.85 * high)], 20), glaze)
    if kit.chance(0.5):
        twig = kit.wood(0.4)
        for k in range(5):
            a, lean = 2 * np.pi * k / 5, kit.between(0.05, 0.14) * scale
            end = (lean * np.cos(a), lean * np.sin(a), high + kit.between(0.15, 0.3) * scale)
            thing.add(rod((0, 0, 0.85 * high), end, 0.004, 0.003, 6), twig)
            thing.add(pillow((0.03, 0.03, 0.05), 2.2, 4), Paint("plain", kit.color((0.3, 0.8), (0.5, 0.9))), end)
    return thing


def toy(kit: Kit) -> Thing:
    """A ball, a stack of rings, building blocks or a toy car."""
    thing, style = Thing("Toy"), kit.pick("ball", "rings", "blocks", "car")
    if style == "ball":
        r = kit.between(0.07, 0.13)
        paint = kit.pick(
            kit.lacquer(gloss=0.3), Paint("stripes", kit.color(), kit.color(), kit.color(), scale=0.09, axis=2)
        )
        thing.add(sphere(r, 14), paint, (0, 0, r))
    elif style == "rings":
        thing.add(rod((0, 0, 0), (0, 0, 0.24), 0.012), kit.wood())
        for k in range(5):
            thing.add(ring(0.075 - 0.010 * k, 0.022), kit.lacquer(hsv(0.17 * k, 0.8, 0.8)), (0, 0, 0.022 + 0.042 * k))
    elif style == "blocks":
        for k in range(6):
            paint = kit.lacquer(hsv(0.17 * k, 0.75, 0.8))
            place = (0.075 * (k % 3) + kit.between(-0.01, 0.01), 0.04 * (k // 3 % 2), 0.0 if k < 4 else 0.06)
            thing.block((0.06, 0.06, 0.06), paint, place, (0, 0, kit.between(-20, 20)), bevel=0.004)
    else:
        body, glass = kit.lacquer(gloss=0.5), kit.lacquer(hsv(0.55, 0.2, 0.3), 0.8)
        side = [
            (-0.14, 0.03),
            (0.14, 0.03),
            (0.14, 0.07),
            (0.08, 0.08),
            (0.05, 0.12),
            (-0.08, 0.12),
            (-0.11, 0.08),
            (-0.14, 0.07),
        ]
        thing.add(prism(side, 0.11), body)
        thing.add(prism(np.array(side)[3:7] * [0.85, 1.0] + [0, -0.008], 0.112), glass)
        for x in (-0.085, 0.085):
            thing.add(
                lathe([(0, -0.06), (0.032, -0.06), (0.032, 0.06), (0, 0.06)], 16),
                kit.lacquer((0.05,) * 3),
                (x, 0, 0.032),
                (90, 0, 0),
            )
    return thing


def radiator(kit: Kit, wide: float) -> Thing:
    """A ribbed heater, back to +Y."""
    thing, paint = Thing("Radiator"), kit.lacquer(hsv(0.12, 0.04, 0.88))
    for x in np.arange(-wide / 2 + 0.03, wide / 2, 0.06):
        thing.add(pillow((0.045, 0.08, 0.56), 5, 5), paint, (x, -0.06, 0.4))
    for z in (0.16, 0.64):
        thing.add(rod((-wide / 2, -0.06, z), (wide / 2, -0.06, z), 0.018), darkened(paint))
    return thing


def darkened(paint: Paint, factor: float = 0.9) -> Paint:
    """The same paint a little darker."""
    return Paint(paint.texture, darker(paint.a, factor), paint.b, paint.c, paint.scale, gloss=paint.gloss)
