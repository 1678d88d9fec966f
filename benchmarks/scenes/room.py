"""Living rooms and bedrooms."""

from __future__ import annotations

import numpy as np

from . import decor, furniture
from .paint import Paint, darker, hsv
from .shapes import box
from .stage import Floor, Kit, Stage, Sun, Thing, Walk, within

GROUPS = {
    "Structure": ("Floor", "Wall", "Ceiling", "Window", "Door", "Radiator"),
    "Furniture": ("Sofa", "Chair", "Table", "Shelf", "Cabinet", "Bed", "Lamp"),
    "Textile": ("Rug", "Curtain", "Cushion"),
    "Decor": ("Picture", "Poster", "Plant", "Vase", "Books", "Basket", "Toy", "Clock"),
}
INWARD = ((0, -1), (1, 0), (0, 1), (-1, 0))  # of the walls +Y, -X, -Y, +X


def shell(stage: Stage, kit: Kit, size: tuple[float, float, float], floor: Paint, walls: list[Paint]) -> None:
    """Floor, four walls with skirting and a ceiling around (0..w, 0..d, 0..h)."""
    w, d, h = size
    stage.put(Thing("Floor").block((w, d, 0.04), floor, (0, 0, -0.04)), (w / 2, d / 2, 0))
    if "Ceiling" in stage.uids:
        white = Paint("plain", hsv(0.12, 0.03, 0.9), scale=0.7)
        stage.put(Thing("Ceiling").block((w, d, 0.04), white), (w / 2, d / 2, h))
    skirting = kit.pick(kit.lacquer(hsv(0.1, 0.04, 0.88)), kit.wood())
    for k in range(4):
        length = w if k in (0, 2) else d
        wall = Thing("Wall").add(box((length, 0.04, h)), walls[k], (0, 0.02, h / 2))
        wall.block((length, 0.012, 0.07), skirting, (0, -0.006, 0))
        stage.put(wall, on_wall(size, k, length / 2), 90.0 * k)


def on_wall(size, wall: int, along: float, z: float = 0.0) -> tuple[float, float, float]:
    """The point of a wall at a distance from its start; things put there with heading 90 * wall lean on it."""
    w, d = size[:2]
    x, y = ((along, d), (0.0, along), (along, 0.0), (w, along))[wall]
    return x, y, z


def plaster(kit: Kit) -> Paint:
    """A wall's paint: plain, striped wallpaper or rough."""
    color = hsv(kit.rng.random(), kit.between(0.03, 0.28), kit.between(0.66, 0.9))
    style = kit.pick("plain", "plain", "plain", "stripes", "worn")
    if style == "stripes":
        return Paint(
            "stripes", color, darker(color, 0.92), darker(color, 1.05), scale=kit.between(0.12, 0.3), axis=0, gloss=0
        )
    if style == "worn":
        return Paint("worn", color, darker(color, 0.93), scale=0.5, gloss=0)
    return Paint("plain", color, scale=0.8, gloss=0)


def flooring(kit: Kit) -> Paint:
    """Boards, tiles or carpet."""
    style = kit.pick("planks", "planks", "carpet", "tiles")
    wood = kit.wood()
    if style == "planks":
        return Paint("planks", wood.a, wood.b, scale=kit.between(0.09, 0.15), axis=kit.pick(0, 0), gloss=0.2)
    if style == "carpet":
        color = kit.color((0.05, 0.4), (0.3, 0.7))
        return Paint("fabric", color, darker(color, 0.75), scale=0.02, gloss=0)
    color = hsv(kit.between(0.03, 0.15), kit.between(0.05, 0.35), kit.between(0.5, 0.85))
    return Paint(
        "tiles", color, darker(color, 0.85), darker(color, 0.6), scale=kit.between(0.25, 0.45), axis=2, gloss=0.3
    )


class Walls:
    """Free stretches of the four walls, so that flat things do not overlap."""

    def __init__(self, rng: np.random.Generator, size):
        self.rng, self.size = rng, size
        self.taken: list[list[tuple[float, float]]] = [[], [], [], []]

    def claim(self, wide: float, walls=(0, 1, 2, 3), at: tuple[int, float] | None = None) -> tuple[int, float] | None:
        """(wall, distance along it) of a free stretch, or None."""
        for _ in range(40):
            wall = int(self.rng.choice(walls)) if at is None else at[0]
            length = self.size[0] if wall in (0, 2) else self.size[1]
            middle = self.rng.uniform(wide / 2 + 0.15, length - wide / 2 - 0.15) if at is None else at[1]
            inside = 0.1 + wide / 2 < middle < length - 0.1 - wide / 2
            if inside and all(abs(middle - m) > (wide + w) / 2 + 0.06 for m, w in self.taken[wall]):
                self.taken[wall].append((middle, wide))
                return wall, middle
            if at is not None:
                return None
        return None


def build(rng: np.random.Generator) -> Stage:
    """A furnished room."""
    stage = Stage(rng, GROUPS, voxel=0.02)
    kit = Kit(stage)
    size = (kit.between(4.2, 5.2), kit.between(3.7, 4.6), kit.between(2.45, 2.7))
    wall = plaster(kit)
    walls = [wall] * 4
    if kit.chance(0.5):
        walls[int(rng.integers(4))] = plaster(kit)
    shell(stage, kit, size, flooring(kit), walls)
    floor, faces = Floor(rng, size[:2]), Walls(rng, size)
    _openings(stage, kit, size, floor, faces)
    _furnish(stage, kit, floor, faces, size)
    _hang(stage, kit, size, faces)
    w, d, h = size
    stage.walk = Walk((w / 2, d / 2), (0.33 * w, 0.33 * d), (1.15, 1.7), (0.2, 0.2, 0.1), (w - 0.2, d - 0.2, 1.25))
    stage.sun = Sun(
        (w * kit.between(0.35, 0.65), d * kit.between(0.35, 0.65), h - 0.05), (w / 2, d / 2 + 0.01, 0), 150.0
    )
    return stage


def _openings(stage: Stage, kit: Kit, size, floor: Floor, faces: Walls) -> None:
    """One or two windows with curtains and a heater, and a door."""
    for _ in range(kit.pick(1, 2)):
        wide, high, sill = kit.between(1.0, 1.6), kit.between(1.1, 1.35), kit.between(0.8, 0.95)
        place = faces.claim(wide + 0.7)
        if place is None:
            continue
        wall, along = place
        stage.put(decor.window(kit, wide, high), on_wall(size, wall, along, sill), 90.0 * wall)
        stage.put(furniture.curtain(kit, wide + 0.55, sill + high + 0.12), on_wall(size, wall, along), 90.0 * wall)
        stage.put(decor.radiator(kit, wide * 0.8), on_wall(size, wall, along), 90.0 * wall)
        keep_clear(floor, size, wall, along, wide + 0.6, 0.2)
    wall, along = faces.claim(1.05) or (0, 0.8)
    stage.put(decor.door(kit), on_wall(size, wall, along), 90.0 * wall)
    keep_clear(floor, size, wall, along, 1.0, 0.7)


def keep_clear(floor: Floor, size, wall: int, along: float, wide: float, deep: float) -> None:
    """Leave the floor before a stretch of a wall free."""
    x, y, _ = on_wall(size, wall, along)
    inward = np.array(INWARD[wall]) * deep / 2
    extent = (wide, deep) if wall in (0, 2) else (deep, wide)
    floor.take(x + inward[0], y + inward[1], *(e - 0.001 for e in extent))


def against_wall(stage: Stage, floor: Floor, thing: Thing, front: float = 0.0) -> tuple | None:
    """Put a thing with its back to a wall, with free floor of depth ``front`` before it; (at, heading) or None."""
    low, high = thing.bounds()
    spot = floor.along(float(high[0] - low[0]) + 0.02, float(high[1] - low[1]) + front)
    if spot is None:
        return None
    x, y, heading = spot
    back = np.radians(heading + 90.0)  # the direction of the wall
    middle = 0.5 * float(high[1] + low[1])
    shift = front / 2 - middle
    at = (x + shift * np.cos(back), y + shift * np.sin(back), 0.0)
    stage.put(thing, at, heading)
    return at, heading


def _furnish(stage: Stage, kit: Kit, floor: Floor, faces: Walls, size) -> None:
    wide_things = [furniture.bed(kit)] if kit.chance(0.45) else [furniture.sofa(kit, kit.pick(2, 3))]
    wide_things += [furniture.sofa(kit, kit.pick(1, 2))]
    for thing in wide_things:
        placed = against_wall(stage, floor, thing, 0.35)
        if placed:
            x0, x1, _, y1, z = thing.tops[0]
            for k in range(kit.pick(1, 2, 3)):
                at = within(*placed, x0 + (x1 - x0) * (k + 0.5) / 3, y1 + 0.02, z)
                stage.put(furniture.cushion(kit), at, placed[1] + kit.between(-20, 20))
    rug = None
    for _ in range(kit.pick(1, 2)):
        rug = (size[0] / 2 + kit.between(-0.9, 0.9), size[1] / 2 + kit.between(-0.7, 0.7))
        stage.put(decor.rug(kit), (*rug, 0.001 + 0.004 * _), kit.pick(0.0, 90.0) + kit.between(-8, 8))
    for _ in range(kit.pick(1, 2)):
        shelf = furniture.shelf(kit)
        placed = against_wall(stage, floor, shelf)
        if placed:
            fill_shelf(stage, kit, shelf, *placed)
    for _ in range(kit.pick(1, 2)):
        cabinet = furniture.cabinet(kit)
        placed = against_wall(stage, floor, cabinet)
        if placed:
            things = [
                decor.vase(kit),
                furniture.lamp(kit, high=kit.between(0.35, 0.5)),
                decor.book(kit),
                decor.toy(kit),
            ]
            stage.scatter(cabinet, *placed, things[: kit.pick(2, 3, 4)])
    _dine(stage, kit, floor, size)
    low = furniture.table(kit, size=(kit.between(0.8, 1.1), kit.between(0.45, 0.6)), high=kit.between(0.36, 0.45))
    spot = floor.inside(1.1, 0.65, 0.8, near=rug, spread=0.4)
    if spot:
        heading = kit.between(-12, 12)
        stage.put(low, (*spot, 0), heading)
        stage.scatter(low, (*spot, 0), heading, [decor.book(kit), decor.vase(kit), decor.book(kit)])
    loose = [
        furniture.plant(kit),
        furniture.plant(kit),
        furniture.lamp(kit),
        furniture.basket(kit),
        furniture.ottoman(kit),
    ]
    loose += [decor.toy(kit), decor.toy(kit), furniture.plant(kit, 0.5), furniture.basket(kit), furniture.chair(kit)]
    for thing in loose:
        lower, upper = thing.bounds()
        extent = np.minimum((upper - lower)[:2], 0.75)
        spot = floor.along(*extent, gap=0.08) if kit.chance(0.7) else floor.inside(*extent, 0.5)
        if spot:
            middle = 0.25 * (lower + upper)
            stage.put(thing, (spot[0] - middle[0], spot[1] - middle[1], 0), kit.between(0, 360))


def _dine(stage: Stage, kit: Kit, floor: Floor, size) -> None:
    """A table with chairs around it and things on it."""
    table = furniture.table(kit)
    low, high = table.bounds()
    wide, deep = (high - low)[:2]
    spot = floor.inside(wide + 0.5, deep + 0.7, 0.9)
    if not spot:
        return
    stage.put(table, (*spot, 0))
    stage.scatter(
        table, (*spot, 0), 0, [decor.vase(kit), decor.book(kit), decor.book(kit), decor.vase(kit), decor.toy(kit)]
    )
    spare = [furniture.chair(kit), furniture.chair(kit)]
    same = spare[0] if kit.chance(0.6) else None
    for x, y, heading in ((0, -1, 180), (0, 1, 0), (1, 0, 270), (-1, 0, 90)):
        if kit.chance(0.8):
            out = kit.between(0.1, 0.22)
            at = (spot[0] + x * (wide / 2 + out), spot[1] + y * (deep / 2 + out), 0)
            stage.put(same or kit.pick(*spare), at, heading + kit.between(-15, 15))


def fill_shelf(stage: Stage, kit: Kit, shelf: Thing, at, heading: float) -> None:
    """Rows of books and small things on the boards of a shelf."""
    for x0, x1, y0, y1, z in shelf.tops:
        share = kit.between(0.35, 0.95)
        wide = (x1 - x0) * share
        if kit.chance(0.85):
            row = decor.book_row(kit, wide, 0.85 * (y1 - y0), 0.26)
            stage.put(row, within(at, heading, x0 + wide / 2, 0.5 * (y0 + y1), z), heading)
        if share < 0.72:
            thing = kit.pick(decor.vase(kit, scale=0.8), decor.toy(kit), furniture.plant(kit, 0.3))
            place = within(at, heading, x1 - 0.1, 0.5 * (y0 + y1), z)
            stage.put(thing, place, kit.between(0, 360), scale=0.8)


def _hang(stage: Stage, kit: Kit, size, faces: Walls) -> None:
    """Pictures, posters and a clock on what is left of the walls."""
    things = [decor.picture(kit) for _ in range(kit.pick(2, 3, 4))] + [decor.poster(kit) for _ in range(kit.pick(2, 3))]
    things.append(furniture.wall_clock(kit))
    for thing in things:
        low, high = thing.bounds()
        place = faces.claim(float(high[0] - low[0]))
        if place:
            stage.put(thing, on_wall(size, *place, kit.between(1.5, 1.8)), 90.0 * place[0])
