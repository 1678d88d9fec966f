"""Yards: lawn and path between a house wall, fences and bushes; skeletal and leafy things."""

from __future__ import annotations

import numpy as np

from . import decor, garden, tableware
from .paint import Paint, darker, hsv
from .shapes import box
from .stage import Floor, Kit, Stage, Sun, Thing, Walk

GROUPS = {
    "Structure": ("Grass", "Path", "House", "Window", "Door", "Fence"),
    "Plant": ("Tree", "Bush", "Flower pot"),
    "Furniture": ("Bench", "Chair", "Lamp post", "Bin"),
    "Object": ("Bicycle", "Watering can", "Stone", "Hose", "Ball"),
}


def build(rng: np.random.Generator) -> Stage:
    """A yard behind a house."""
    stage = Stage(rng, GROUPS, voxel=0.025)
    kit = Kit(stage)
    w, d = kit.between(5.4, 6.4), kit.between(4.8, 5.6)
    floor = Floor(rng, (w, d))
    _house(stage, kit, w, d, floor)
    _ground(stage, kit, w, d)
    stage.put(garden.fence(kit, d), (0, d / 2, 0), 90)
    stage.put(garden.fence(kit, d), (w, d / 2, 0), 270)
    if kit.chance(0.6):
        stage.put(garden.fence(kit, w), (w / 2, 0, 0), 180)
    else:
        for x in np.arange(0.35, w, 0.75):
            stage.put(garden.bush(kit), (x, kit.between(-0.1, 0.1), 0), kit.between(-20, 20))
        floor.take(w / 2, 0.2, w - 0.01, 0.39)
    _things(stage, kit, floor, w, d)
    stage.walk = Walk((w / 2, d / 2), (0.30 * w, 0.29 * d), (1.25, 1.7), (0.1, 0.1, 0.25), (w - 0.1, d, 0.95))
    a = kit.between(0.2, 2.9)
    at = (w / 2 + 7 * np.cos(a), d / 2 - 7 * np.sin(a), kit.between(7, 10))
    stage.sun = Sun(at, (w / 2, d / 2, 0), 52.0, (1.25, 1.15, 1.0), (0.42, 0.48, 0.58))
    return stage


def _ground(stage: Stage, kit: Kit, w: float, d: float) -> None:
    """The lawn, and a path across or along it."""
    half = 0.58  # metres, more than half the path's width
    if kit.chance(0.5):
        y = d * kit.between(0.35, 0.5)
        stage.put(garden.path(kit, w + 0.3), (w / 2, y, 0.012), 0)
        bare = (-w, y - d / 2 - half, w, y - d / 2 + half)
    else:
        x = w * kit.between(0.4, 0.6)
        stage.put(garden.path(kit, d + 0.3), (x, d / 2, 0.012), 90)
        bare = (x - w / 2 - half, -d, x - w / 2 + half, d)
    stage.put(garden.ground(kit, w + 0.6, d + 0.6, bare), (w / 2, d / 2, 0))


def _house(stage: Stage, kit: Kit, w: float, d: float, floor: Floor) -> None:
    """The house wall along +Y with a door, windows and a plinth."""
    red = hsv(kit.between(0.0, 0.12), kit.between(0.2, 0.6), kit.between(0.5, 0.8))
    paint = kit.pick(
        Paint("brick", red, darker(red, 0.8), (0.75, 0.73, 0.7), scale=0.26, axis=1, gloss=0),
        Paint("worn", darker(red, 1.15), red, scale=0.7, gloss=0),
        Paint("planks", red, darker(red, 0.7), scale=0.16, axis=2, gloss=0),
    )
    wall = Thing("House").add(box((w + 0.6, 0.1, 2.7)), paint, (0, 0.05, 1.35))
    wall.block((w + 0.6, 0.04, 0.25), kit.stone(), (0, -0.02, 0))
    stage.put(wall, (w / 2, d, 0))
    x = w * kit.between(0.2, 0.35)
    stage.put(decor.door(kit), (x, d - 0.03, 0.06))
    floor.take(x, d - 0.35, 1.1, 0.68)
    for share in (0.58, 0.84):
        stage.put(decor.window(kit, kit.between(0.8, 1.1), 1.1), (share * w, d - 0.001, 0.95))


def _things(stage: Stage, kit: Kit, floor: Floor, w: float, d: float) -> None:
    """Along the edges what leans or grows there, on the lawn what stands free."""
    twin = garden.flower_pot(kit)
    edge = [garden.bench(kit), garden.bicycle(kit), garden.wheelie_bin(kit), garden.wheelie_bin(kit), garden.bush(kit)]
    edge += [
        garden.tree(kit),
        garden.bush(kit),
        twin,
        twin,
        garden.flower_pot(kit),
        garden.bush(kit),
        garden.lamp_post(kit),
    ]
    if kit.chance(0.5):
        edge.append(garden.bicycle(kit))
    for thing in edge:
        low, high = thing.bounds()
        wide, deep = np.minimum((high - low)[:2], 1.75)
        if thing.label == "Tree":
            wide = deep = 0.8
        spot = floor.along(wide, deep, gap=0.08)
        if spot:
            middle = np.where(thing.label == "Tree", 0.0, 0.5 * (low + high)[:2])
            turn = np.radians(spot[2])
            x = spot[0] - middle[0] * np.cos(turn) + middle[1] * np.sin(turn)
            y = spot[1] - middle[0] * np.sin(turn) - middle[1] * np.cos(turn)
            stage.put(thing, (x, y, 0), spot[2], (kit.between(-6, 0), 0) if thing.label == "Bicycle" else (0, 0))
    free = [garden.garden_chair(kit), garden.garden_chair(kit), garden.stone(kit), garden.stone(kit), garden.stone(kit)]
    free += [
        garden.watering_can(kit),
        garden.toy_ball(kit),
        garden.toy_ball(kit),
        garden.lamp_post(kit),
        garden.flower_pot(kit),
    ]
    if kit.chance(0.5):
        free.append(garden.tree(kit))
    for thing in free:
        low, high = thing.bounds()
        spot = floor.inside(*np.minimum((high - low)[:2], 0.6), 0.3)
        if spot:
            stage.put(thing, (*spot, 0), kit.between(0, 360))
    spot = floor.inside(0.6, 0.6, 0.6)
    if spot:
        stage.put(tableware.coil(kit, 0.24, "Hose"), (*spot, 0))
        end = (min(max(spot[0] + kit.between(-1.5, 1.5), 0.3), w - 0.3), d - 0.3, 0.02)
        stage.put(tableware.cable(kit, (*spot, 0.02), end, "Hose", radius=0.013))
