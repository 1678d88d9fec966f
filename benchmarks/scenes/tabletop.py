"""Table tops seen from close by: a dozen kinds of small things, some alike, some touching, some nearly flat."""

from __future__ import annotations

import numpy as np

from . import appliances, decor, furniture, tableware, workshop
from .paint import Paint, darker
from .room import flooring, plaster, shell
from .stage import Kit, Stage, Sun, Thing, Walk, within

GROUPS = {
    "Structure": ("Floor", "Wall", "Table", "Chair"),
    "Tableware": ("Cup", "Bottle", "Plate", "Bowl", "Cutlery", "Board", "Cloth"),
    "Food": ("Fruit", "Can", "Carton"),
    "Desk": ("Book", "Pen", "Paper", "Scissors", "Tape", "Glasses", "Plant", "Tool"),
    "Electronics": ("Phone", "Laptop", "Keyboard", "Cable"),
}
WIDE, DEEP, HIGH = 1.25, 0.78, 0.73  # of the table


def _book(kit: Kit) -> Thing:
    return decor.book(kit, "Book")


def _laptop(kit: Kit) -> Thing:
    small = appliances.laptop(kit)
    return Thing("Laptop").merge(small, scale=0.85)


MAKERS = {
    "Cup": tableware.cup,
    "Bottle": tableware.bottle,
    "Plate": tableware.plate,
    "Bowl": tableware.bowl,
    "Cutlery": tableware.cutlery,
    "Board": tableware.board,
    "Cloth": tableware.cloth,
    "Fruit": tableware.fruit,
    "Can": tableware.can,
    "Carton": tableware.carton,
    "Book": _book,
    "Pen": tableware.pen,
    "Paper": tableware.notepad,
    "Scissors": tableware.scissors,
    "Tape": tableware.tape,
    "Glasses": tableware.glasses,
    "Plant": tableware.small_plant,
    "Tool": workshop.tool,
    "Phone": tableware.phone,
    "Laptop": _laptop,
    "Keyboard": appliances.keyboard,
}
LARGE = ("Laptop", "Keyboard", "Board", "Cloth")


def build(rng: np.random.Generator) -> Stage:
    """A table with things."""
    stage = Stage(rng, GROUPS, voxel=0.004, far=1.7)
    kit = Kit(stage)
    size = (2.9, 2.5, 2.3)
    shell(stage, kit, size, flooring(kit), [plaster(kit)] * 4)
    table = furniture.table(kit, size=(WIDE, DEEP), high=HIGH)
    if kit.chance(0.35):
        # A cloth hides the table's top under a pattern.
        color = kit.color((0.1, 0.6), (0.4, 0.9))
        pattern = Paint(kit.pick("plaid", "dots", "stripes"), color, darker(color, 1.5), darker(color, 0.6), scale=0.07)
        table.block((WIDE + 0.004, DEEP + 0.004, 0.002), pattern, (0, 0, HIGH))
    middle = (size[0] / 2, size[1] / 2, 0.0)
    stage.put(table, middle)
    z = HIGH + 0.002
    _things(stage, kit, middle, z)
    chair = furniture.chair(kit)
    for x, heading in ((-0.3, 180), (0.35, 0)):
        side = -1 if heading == 180 else 1
        stage.put(chair, within(middle, 0, x, side * (DEEP / 2 + 0.22)), heading + kit.between(-15, 15))
    center = (middle[0], middle[1])
    low = (center[0] - 0.4, center[1] - 0.22, HIGH - 0.08)
    high = (center[0] + 0.4, center[1] + 0.22, HIGH + 0.1)
    stage.walk = Walk(center, (0.66, 0.60), (HIGH + 0.33, HIGH + 0.65), low, high, clearance=0.25)
    at = (center[0] + kit.between(-0.5, 0.5), center[1] + kit.between(-0.5, 0.5), size[2] - 0.1)
    stage.sun = Sun(at, (*center, HIGH), 110.0, (1.0, 0.94, 0.85), (0.55, 0.56, 0.58))
    return stage


def _things(stage: Stage, kit: Kit, middle, z: float) -> None:
    """Large things first, then composed ones, then many small ones wherever there is room."""
    top = Thing("Table")
    top.tops = [(-WIDE / 2 + 0.02, WIDE / 2 - 0.02, -DEEP / 2 + 0.02, DEEP / 2 - 0.02, z)]
    names = [str(name) for name in kit.rng.permutation(list(MAKERS))]
    large = [name for name in names if name in LARGE][:1]
    small = [name for name in names if name not in LARGE][: kit.pick(13, 14)]
    things = [MAKERS[name](kit) for name in large]
    bases = []
    if "Book" in small:
        bases.append(_stack(kit))
    for name in small:
        pattern = MAKERS[name](kit)
        for number in range(kit.pick(2, 2, 3, 4)):
            # Some are twins; a twin of a twin's colour stands close more often than not.
            things.append(pattern if number and kit.chance(0.35) else MAKERS[name](kit))
    order = sorted(things, key=lambda thing: -float(np.ptp(np.array(thing.bounds()), axis=0)[:2].max()))
    placed = stage.scatter(top, middle, 0.0, [*bases, *order], gap=-0.003)
    for carrier, name in (("Plate", "Fruit"), ("Paper", "Pen"), ("Plate", "Cutlery"), ("Cloth", "Cutlery")):
        _upon(stage, kit, placed, carrier, name)
    for _ in range(kit.pick(1, 2)):
        start = (kit.between(-0.5, 0.5), kit.between(-0.3, 0.3), z + 0.003)
        end = (kit.between(-0.55, 0.55), DEEP / 2 - 0.02, z + 0.003)
        stage.put(tableware.cable(kit, start, end, sway=0.15, radius=0.0028), middle)


def _stack(kit: Kit) -> Thing:
    """Two or three books on one another."""
    stack, z = Thing("Book"), 0.0
    for _ in range(kit.pick(2, 3)):
        one = _book(kit)
        stack.merge(one, (0, 0, z), (0, 0, kit.between(-15, 15)))
        z = float(stack.bounds()[1][2])
    return stack


def _upon(stage: Stage, kit: Kit, placed, carrier: str, name: str) -> None:
    """Something on the first thing of a kind, where there is one and both kinds are on the table."""
    present = {thing.label for thing, _ in placed}
    for thing, place in placed:
        if thing.label == carrier and name in present:
            low, high = thing.bounds()
            lift = 0.008 if carrier == "Plate" else float(high[2] - low[2]) + 0.0005
            stage.put(MAKERS[name](kit), place + np.array([0, 0, lift]), kit.between(0, 360))
            return
