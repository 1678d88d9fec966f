"""Workshops and store rooms: racks full of look-alike boxes, crates and cans; a workbench; long and round things."""

from __future__ import annotations

import numpy as np

from . import decor, tableware, workshop
from .paint import Paint, darker, hsv
from .room import Walls, against_wall, keep_clear, on_wall, shell
from .stage import Floor, Kit, Stage, Sun, Thing, Walk, within

GROUPS = {
    "Structure": ("Floor", "Wall", "Door", "Pipe"),
    "Furniture": ("Rack", "Workbench", "Tool board", "Pallet", "Lamp"),
    "Container": ("Cardboard box", "Crate", "Barrel", "Gas bottle", "Bucket", "Paint can", "Sack"),
    "Equipment": ("Ladder", "Tool", "Tyre", "Broom", "Trolley", "Cable"),
}


def build(rng: np.random.Generator) -> Stage:
    """A store room with a workbench."""
    stage = Stage(rng, GROUPS, voxel=0.02)
    kit = Kit(stage)
    size = (kit.between(3.9, 4.6), kit.between(3.5, 4.1), kit.between(2.4, 2.6))
    shell(stage, kit, size, _floor(kit), _walls(kit))
    floor, faces = Floor(rng, size[:2]), Walls(rng, size)
    wall, along = faces.claim(1.05, (1, 2, 3)) or (2, 0.8)
    stage.put(decor.door(kit), on_wall(size, wall, along), 90.0 * wall)
    keep_clear(floor, size, wall, along, 1.0, 0.7)
    stage.put(workshop.pipes(kit, size))
    _bench(stage, kit, size, floor, faces)
    for _ in range(4):
        rack = workshop.rack(kit, kit.between(1.1, 1.6), kit.between(0.42, 0.55), kit.between(1.5, 2.0))
        placed = against_wall(stage, floor, rack)
        if placed:
            _fill(stage, kit, rack, *placed)
    _stand(stage, kit, floor)
    for x in (0.3, 0.7):
        stage.put(workshop.strip_light(kit), (x * size[0], size[1] / 2, size[2]), kit.pick(0, 90))
    w, d, h = size
    stage.walk = Walk((w / 2, d / 2), (0.30 * w, 0.30 * d), (1.2, 1.75), (0.1, 0.1, 0.35), (w - 0.1, d, 1.3))
    stage.sun = Sun((w * kit.between(0.3, 0.7), d / 2, h - 0.15), (w / 2, d / 2 + 0.01, 0), 155.0, (0.95, 0.97, 1.0))
    return stage


def _floor(kit: Kit) -> Paint:
    grey = hsv(kit.between(0.05, 0.6), kit.between(0.02, 0.1), kit.between(0.4, 0.65))
    if kit.chance(0.5):
        return Paint("worn", grey, darker(grey, 0.85), scale=0.6, gloss=0.1)
    return Paint("speckle", grey, darker(grey, 0.9), darker(grey, 1.1), scale=0.05, gloss=0.1)


def _walls(kit: Kit) -> list[Paint]:
    pale = hsv(kit.between(0.05, 0.6), kit.between(0.02, 0.12), kit.between(0.65, 0.88))
    red = hsv(kit.between(0.0, 0.06), kit.between(0.35, 0.6), kit.between(0.45, 0.65))
    brick = Paint("brick", red, darker(red, 0.75), (0.7, 0.68, 0.64), scale=0.24, axis=1, gloss=0)
    block = Paint("brick", pale, darker(pale, 0.93), darker(pale, 0.8), scale=0.45, axis=1, gloss=0)
    plain = Paint("worn", pale, darker(pale, 0.9), scale=0.5, gloss=0)
    first, second = kit.pick(brick, block, plain), kit.pick(block, plain)
    return [first, second, second, second]


def _bench(stage: Stage, kit: Kit, size, floor: Floor, faces: Walls) -> None:
    """The workbench with tools, cans and cables; the tool board hangs above it."""
    bench = workshop.bench(kit)
    placed = against_wall(stage, floor, bench, 0.5)
    if not placed:
        return
    at, heading = placed
    things = [workshop.tool(kit) for _ in range(5)] + [workshop.paint_can(kit), tableware.coil(kit, 0.1)]
    top, below = bench.tops
    bench.tops = [top]
    stage.scatter(bench, at, heading, things)
    bench.tops = [below]
    stage.scatter(
        bench, at, heading, [workshop.cardboard(kit, (0.3, 0.3, 0.25)), workshop.crate(kit), workshop.bucket(kit)]
    )
    wall = round(heading / 90) % 4
    along = at[0] if wall in (0, 2) else at[1]
    faces.claim(1.4, at=(wall, along))
    board = on_wall(size, wall, along, 1.55)
    stage.put(workshop.tool_board(kit), board, heading)
    for x in np.linspace(-0.5, 0.5, 6):
        for z in (0.17, -0.2):
            if kit.chance(0.85):
                # The flat side of a lying tool to the board, its long side hanging down.
                hung = within(board, heading, x + kit.between(-0.03, 0.03), -0.03, z)
                standing = Thing("Tool").merge(workshop.tool(kit), turn=(0, 90, 0), scale=1.3)
                stage.put(standing, hung, heading - 90)


def _fill(stage: Stage, kit: Kit, rack, at, heading: float) -> None:
    """Boards full of things, many alike: each level has a main kind."""
    makers = (
        workshop.cardboard,
        workshop.crate,
        workshop.paint_can,
        workshop.cardboard,
        workshop.bucket,
        workshop.sack,
    )
    levels = rack.tops
    for number, top in enumerate(levels):
        room = (levels[number + 1][4] if number + 1 < len(levels) else 9.0) - top[4] - 0.07
        rack.tops = [top]
        main = kit.pick(*makers)
        things = []
        for _ in range(16):
            thing = (main if kit.chance(0.75) else kit.pick(*makers))(kit)
            low, high = thing.bounds()
            if high[2] < room and np.min((high - low)[:2]) < top[3] - top[2]:
                things.append(thing)
        _lined_up(stage, kit, top, at, heading, things)


def _lined_up(stage: Stage, kit: Kit, top, at, heading: float, things) -> None:
    """Things side by side on a board, touching now and then."""
    x = top[0]
    for thing in things:
        low, high = thing.bounds()
        wide, deep = (high - low)[:2]
        turn = 90.0 if deep > 0.95 * (top[3] - top[2]) and wide < deep else 0.0
        wide = deep if turn else wide
        if x + wide > top[1]:
            continue
        place = within(at, heading, x + wide / 2, kit.between(-0.03, 0.03), top[4])
        stage.put(thing, place, heading + turn + kit.between(-4, 4))
        x += wide + kit.pick(0.0, 0.004, 0.05, 0.15)


def _stand(stage: Stage, kit: Kit, floor: Floor) -> None:
    """What stands and lies on the floor: stacks, barrels, tyres, leaning things, loose pipes, a cable."""
    for thing in (workshop.ladder(kit), workshop.broom(kit), workshop.broom(kit), workshop.trolley(kit)):
        against_wall(stage, floor, thing)
    pallet = workshop.pallet(kit)
    spot = floor.along(1.2, 0.9, gap=0.1) or floor.inside(1.2, 0.9, 0.8)
    if spot:
        heading = spot[2] if len(spot) == 3 else 0.0
        at = (spot[0], spot[1], 0)
        stage.put(pallet, at, heading)
        things = [kit.pick(workshop.sack, workshop.cardboard)(kit) for _ in range(5)]
        stage.scatter(pallet, at, heading, things)
    twin = workshop.barrel(kit)
    round_things = [twin, twin, workshop.barrel(kit), workshop.gas_bottle(kit), workshop.gas_bottle(kit)]
    for thing in (*round_things, workshop.bucket(kit), workshop.bucket(kit), workshop.sack(kit), workshop.crate(kit)):
        low, high = thing.bounds()
        spot = floor.along(*(high - low)[:2], gap=0.03)
        if spot:
            stage.put(thing, (spot[0], spot[1], 0), spot[2] + kit.between(-10, 10))
    spot = floor.along(0.68, 0.68, gap=0.05)
    if spot:
        tyre = workshop.tyre(kit)
        for k in range(kit.pick(2, 3, 4)):
            high = float(tyre.bounds()[1][2])
            stage.put(tyre, (spot[0] + kit.between(-0.02, 0.02), spot[1], k * high), kit.between(0, 360))
    for _ in range(3):
        size = (kit.between(0.35, 0.5), kit.between(0.3, 0.4), kit.between(0.25, 0.35))
        spot = floor.along(*size[:2], gap=0.02)
        if spot:
            z = 0.0
            for k in range(kit.pick(1, 2, 3)):
                box = workshop.cardboard(kit, tuple(np.array(size) * (1 - 0.12 * k)))
                stage.put(box, (spot[0], spot[1], z), spot[2] + kit.between(-6, 6))
                z += size[2] * (1 - 0.12 * k)
    spot = floor.inside(1.5, 0.4, 0.5)
    if spot:
        heading = kit.pick(0, 90)
        for k in range(4):
            at = within((*spot, 0), heading, kit.between(-0.1, 0.1), -0.15 + 0.1 * k)
            stage.put(workshop.loose_pipe(kit, kit.between(0.9, 1.4)), at, heading + kit.between(-2, 2))
    for radius in (0.16, 0.12):
        spot = floor.inside(0.4, 0.4, 0.5)
        if spot:
            stage.put(tableware.coil(kit, radius), (*spot, 0))
            end = (spot[0] + kit.between(-0.8, 0.8), spot[1] + kit.between(-0.5, 0.5), 0.008)
            stage.put(tableware.cable(kit, (*spot, 0.008), end, radius=0.007))
