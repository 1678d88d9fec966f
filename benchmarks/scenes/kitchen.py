"""Kitchens and offices: a row of cupboards under a worktop, desks, swivel chairs, a dining place."""

from __future__ import annotations

import numpy as np

from . import appliances, decor, furniture, tableware
from .paint import Paint, darker, hsv
from .room import Walls, against_wall, keep_clear, on_wall, plaster, shell
from .shapes import box
from .stage import Floor, Kit, Stage, Sun, Thing, Walk, within

GROUPS = {
    "Structure": ("Floor", "Wall", "Backsplash", "Window", "Door"),
    "Furniture": ("Cupboard", "Worktop", "Table", "Chair", "Swivel chair", "Shelf", "Lamp"),
    "Appliance": ("Fridge", "Oven", "Hood", "Sink", "Microwave", "Kettle", "Toaster"),
    "Office": ("Monitor", "Laptop", "Keyboard", "Binder", "Cable", "Paper"),
    "Small": ("Bin", "Crockery", "Bottle", "Fruit", "Plant"),
}
HIGH = 0.9  # of the worktop


def build(rng: np.random.Generator) -> Stage:
    """A kitchen with a working corner."""
    stage = Stage(rng, GROUPS, voxel=0.02)
    kit = Kit(stage)
    size = (kit.between(4.0, 4.9), kit.between(3.6, 4.3), kit.between(2.45, 2.6))
    shell(stage, kit, size, _floor(kit), [plaster(kit)] * 4)
    floor, faces = Floor(rng, size[:2]), Walls(rng, size)
    _row(stage, kit, size, floor, faces)
    for thing, wide, deep in ((decor.door(kit), 1.05, 0.7), (decor.window(kit, 1.2, 1.1), 1.35, 0.05)):
        place = faces.claim(wide, (1, 2, 3))
        if place:
            stage.put(thing, on_wall(size, *place, 0.0 if thing.label == "Door" else 1.05), 90.0 * place[0])
            keep_clear(floor, size, *place, wide, deep)
    laptop = kit.chance(0.4)
    for _ in range(kit.pick(1, 2)):
        _workplace(stage, kit, floor, laptop)
    _eat(stage, kit, floor)
    _loose(stage, kit, size, floor, faces)
    w, d, h = size
    stage.walk = Walk((w / 2, d / 2 - 0.15), (0.29 * w, 0.29 * d), (1.2, 1.7), (0.2, 0.3 * d, 0.45), (w - 0.2, d, 1.4))
    stage.sun = Sun(
        (w / 2 + kit.between(-0.5, 0.5), d / 2 - 0.3, h - 0.05), (w / 2, d / 2, 0), 150.0, color=(1, 0.97, 0.92)
    )
    return stage


def _floor(kit: Kit) -> Paint:
    first = hsv(kit.between(0, 0.2), kit.between(0.02, 0.3), kit.between(0.45, 0.8))
    style = kit.pick("checker", "tiles", "planks", "speckle")
    second = kit.pick(darker(first, 0.5), darker(first, 0.8))
    axis = 0 if style == "planks" else 2
    scale = {"checker": 0.3, "tiles": 0.3, "planks": 0.12, "speckle": 0.03}[style]
    return Paint(style, first, second, darker(first, 0.6), scale=scale, axis=axis, gloss=0.25)


def _row(stage: Stage, kit: Kit, size, floor: Floor, faces: Walls) -> None:
    """Along the +Y wall: fridge, cupboards under a worktop, stove, sink; wall cupboards and a hood above."""
    w, d, _ = size
    paint = kit.pick(kit.lacquer(kit.color((0.05, 0.5), (0.55, 0.9))), kit.wood())
    top = kit.pick(kit.stone(), kit.wood(), Paint("marble", (0.85, 0.84, 0.82), (0.5, 0.5, 0.52), scale=0.4, gloss=0.4))
    order = [0.6] * int((w - 0.75) / 0.6)
    faces.taken[0].append((w / 2, w))
    floor.take(w / 2, d - 0.36, w - 0.002, 0.7)
    x, y = 0.62, d - 0.31
    stage.put(appliances.fridge(kit), (0.32, d - 0.33, 0), 0)
    stove = int(kit.rng.integers(1, len(order) - 1))
    basin = kit.pick(*[k for k in range(len(order)) if abs(k - stove) > 1] or [0])
    splash = Paint(
        kit.pick("tiles", "brick"),
        kit.color((0.02, 0.5), (0.6, 0.95)),
        kit.color((0.02, 0.4), (0.6, 0.95)),
        (0.8, 0.8, 0.78),
        scale=0.15,
        axis=1,
        gloss=0.4,
    )
    wide = 0.6 * len(order)
    tiles = Thing("Backsplash").add(box((wide, 0.01, 0.5)), splash, (0, -0.005, 0.25))
    stage.put(tiles, (x + wide / 2, d, HIGH), 0)
    worktop = Thing("Worktop")
    for k, part in enumerate(order):
        middle = x + part / 2
        if k == stove:
            stage.put(appliances.oven(kit, HIGH), (middle, y, 0), 0)
            stage.put(appliances.hood(kit), (middle, d, 1.55), 0)
            pan = appliances.pot(kit, "Crockery")
            stage.put(pan, (middle + kit.pick(-0.14, 0.14), y + 0.1, HIGH + 0.012), kit.between(0, 360))
        else:
            stage.put(furniture.cabinet(kit, "Cupboard", (part, 0.58, HIGH - 0.04), paint, 0.08), (middle, y, 0), 0)
            worktop.block((part, 0.63, 0.04), top, (middle, y - 0.005, HIGH - 0.04))
            if k == basin:
                stage.put(appliances.sink(kit), (middle, y, HIGH), 0, scale=(0.78, 1, 1))
        x += part
    stage.put(worktop)
    for k, part in enumerate(order):
        middle = 0.62 + part * (k + 0.5)
        if k not in (stove, basin):
            stage.put(furniture.cabinet(kit, "Cupboard", (part, 0.34, 0.65), paint, 0.0), (middle, d - 0.175, 1.45), 0)
    _on_worktop(stage, kit, [0.62 + 0.6 * (k + 0.5) for k in range(len(order)) if k not in (stove, basin)], y)


def _on_worktop(stage: Stage, kit: Kit, places: list[float], y: float) -> None:
    """Appliances and small things, each on its stretch."""
    appliance = kit.pick(appliances.microwave, appliances.kettle, appliances.toaster)
    small = kit.pick(tableware.bottle, tableware.fruit, tableware.small_plant)
    for index, x in enumerate(places):
        owner = Thing("Worktop")
        owner.tops = [(-0.28, 0.28, -0.27, 0.24, HIGH)]
        things = [appliance(kit)] if index < 2 else []
        for _ in range(3):
            crockery = kit.pick(tableware.cup, tableware.plate, tableware.bowl, appliances.pot)
            things.append(small(kit) if kit.chance(0.5) else crockery(kit, "Crockery"))
        stage.scatter(owner, (x, y, 0), 0, things)


def _workplace(stage: Stage, kit: Kit, floor: Floor, laptop: bool) -> None:
    """A desk at a wall with a laptop or screens and a keyboard, a mouse, papers, cables and a swivel chair."""
    desk = furniture.table(kit, "Table", size=(kit.between(1.2, 1.5), kit.between(0.62, 0.75)), high=0.73)
    placed = against_wall(stage, floor, desk, 0.75)
    if not placed:
        return
    at, heading = placed
    x0, x1, y0, y1, z = desk.tops[0]
    if laptop:
        place = within(at, heading, kit.between(-0.2, 0.1), y0 + 0.3, z)
        stage.put(appliances.laptop(kit), place, heading + kit.between(-20, 20))
    else:
        for x, turn in ((kit.between(-0.2, 0.0), 0), (x1 - 0.25, -20))[: kit.pick(1, 2)]:
            place = within(at, heading, x, y1 - 0.13, z)
            stage.put(appliances.monitor(kit), place, heading + turn + kit.between(-8, 8))
        stage.put(appliances.keyboard(kit), within(at, heading, -0.08, y0 + 0.12, z), heading + kit.between(-6, 6))
    mouse = appliances.mouse(kit, "Laptop" if laptop else "Keyboard")
    stage.put(mouse, within(at, heading, 0.26, y0 + 0.13, z), heading)
    cord = tableware.cable(kit, (0.24, y0 + 0.2, z + 0.004), (kit.between(0.1, 0.3), y1, z + 0.004))
    stage.put(cord, at, heading)
    owner = Thing("Table")
    owner.tops = [(x1 - 0.25, x1, y0, y1 - 0.3, z), (x0, x0 + 0.35, y0, y1, z)]
    things = [
        tableware.notepad(kit),
        tableware.cup(kit, "Crockery"),
        appliances.laptop(kit),
        tableware.notepad(kit),
    ]
    stage.scatter(owner, at, heading, things)
    stage.put(
        furniture.swivel_chair(kit),
        within(at, heading, kit.between(-0.2, 0.2), y0 - 0.35),
        heading + 180 + kit.between(-50, 50),
    )
    drop = tableware.cable(kit, (x1 - 0.1, y1 - 0.02, z), (x1 - 0.05, y1 - 0.03, 0.005), sway=0.05, radius=0.005)
    stage.put(drop, at, heading)


def _eat(stage: Stage, kit: Kit, floor: Floor) -> None:
    """A dining table laid for some, with chairs."""
    table = furniture.table(kit, "Table", size=(kit.between(0.9, 1.2), 0.75))
    spot = floor.inside(1.5, 1.3, 0.9) or floor.inside(1.2, 1.0, 0.8)
    if not spot:
        return
    stage.put(table, (*spot, 0))
    things = [
        tableware.plate(kit, "Crockery"),
        tableware.cup(kit, "Crockery"),
        tableware.bottle(kit),
        tableware.fruit(kit),
        tableware.plate(kit, "Crockery"),
    ]
    stage.scatter(
        table, (*spot, 0), 0, [*things, tableware.fruit(kit), tableware.cup(kit, "Crockery"), tableware.notepad(kit)]
    )
    chair = furniture.chair(kit)
    for side, heading in ((-1, 180), (1, 0)):
        for x in kit.pick((0.0,), (-0.25, 0.28)):
            at = (spot[0] + x, spot[1] + side * (0.375 + kit.between(0.1, 0.25)), 0)
            stage.put(chair, at, heading + kit.between(-20, 20))


def _loose(stage: Stage, kit: Kit, size, floor: Floor, faces: Walls) -> None:
    """Bins, plants, a filing shelf with binders, boards and posters on the walls, hanging lamps."""
    shelf = furniture.shelf(kit, size=(0.8, 0.32, kit.between(1.1, 1.8)))
    placed = against_wall(stage, floor, shelf)
    if placed:
        for top in shelf.tops[: kit.pick(2, 3)]:
            at = within(*placed, kit.between(-0.1, 0.1), 0.0, top[4])
            stage.put(appliances.binder_row(kit, kit.pick(4, 6, 7)), at, placed[1])
    things = [appliances.waste_bin(kit), appliances.waste_bin(kit), furniture.plant(kit), furniture.plant(kit, 0.6)]
    for thing in [*things, furniture.swivel_chair(kit)]:
        low, high = thing.bounds()
        spot = floor.along(*np.minimum((high - low)[:2], 0.6), gap=0.06)
        if spot:
            stage.put(thing, (spot[0], spot[1], 0), kit.between(0, 360))
    for thing in (
        decor.poster(kit, "Paper"),
        decor.poster(kit, "Paper"),
        decor.poster(kit, "Paper"),
        appliances.shelf_board(kit, 0.8),
    ):
        low, high = thing.bounds()
        place = faces.claim(float(high[0] - low[0]), (1, 2, 3))
        if place:
            at = on_wall(size, *place, kit.between(1.45, 1.7))
            stage.put(thing, at, 90.0 * place[0])
            if thing.tops:
                stage.scatter(
                    thing,
                    at,
                    90.0 * place[0],
                    [tableware.small_plant(kit), tableware.bottle(kit), tableware.cup(kit, "Crockery")],
                )
    for x in (-0.35, 0.35) if kit.chance(0.5) else ():
        stage.put(appliances.pendant(kit, 0.6), (size[0] / 2 + x, size[1] / 2 - 0.6, size[2]))
