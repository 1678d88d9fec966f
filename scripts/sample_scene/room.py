"""The room: floor, walls with a window, curtain, lights; and where everything stands."""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Vector

from . import decor, furniture
from . import materials as m
from .labels import UID
from .shapes import Builder, beveled_box, sheet

WIDTH, DEPTH, HEIGHT = 4.8, 6.4, 2.75  # the room is 0..WIDTH in x, -DEPTH..0 in y
WINDOW = (-2.45, -1.05, 0.88, 2.12)  # y from, y to, z from, z to, in the left wall


def build() -> None:
    """Fill the current, empty scene."""
    _shell()
    _window()
    _curtain()
    _lights()
    furniture.sofa((1.95, -0.58, 0))
    decor.cushion("Cushion 1", (0.58, 0.27, 0.045), (1.33, -0.60, 0.67), 14, 24)
    decor.cushion("Cushion 2", (0.50, 0.14, 0.075), (2.60, -0.62, 0.665), -18, 27, 0.42)
    decor.rug((1.95, -1.85, 0), heading=2.0)
    furniture.round_table((1.95, -1.75, 0.024), 20)
    decor.vase((1.83, -1.64, 0.462))
    decor.mug((2.22, -1.68, 0.462), 35)
    decor.lying_books((2.02, -1.98, 0.462), 25)
    furniture.armchair("Chair 1", (0.83, -2.15, 0), 68)
    furniture.armchair("Chair 2", (3.22, -2.02, 0), -62)
    furniture.floor_lamp((3.3, -0.42, 0))
    shelf_at = (4.22, -0.19, 0)
    furniture.shelf(shelf_at)
    decor.book_rows(shelf_at, 0)
    decor.basket("Basket 1", (4.02, -0.20, 0.101), 0)
    decor.basket("Basket 2", (4.43, -0.21, 0.101), 0)
    decor.basket("Basket 3", (4.06, -0.20, 0.461), 0)
    decor.plant((0.50, -0.50, 0))
    decor.picture("Landscape", decor.landscape(), (1.15, 0.82), (1.72, -0.001, 1.55))
    decor.picture("Arches", decor.arches(), (0.46, 0.63), (2.72, -0.001, 1.58))
    decor.ball((2.72, -2.62, 0.0))


def _shell() -> None:
    oak = m.planks("floor boards", (0.20, 0.105, 0.05), (0.46, 0.28, 0.15))
    floor = Builder("Floor", UID["Floor"])
    floor.add(beveled_box((WIDTH, DEPTH, 0.1), 0.0), oak, (WIDTH / 2, -DEPTH / 2, -0.05))
    floor.build()
    sage, white = m.paint("sage paint", (0.36, 0.43, 0.365)), m.paint("white paint", (0.74, 0.71, 0.66))
    trim = m.paint("trim", (0.78, 0.76, 0.72), 0.45)
    wall, thick = Builder("Wall", UID["Wall"]), 0.14
    wall.add(beveled_box((WIDTH + 2 * thick, thick, HEIGHT), 0.0), sage, (WIDTH / 2, thick / 2, HEIGHT / 2))
    wall.add(beveled_box((thick, DEPTH, HEIGHT), 0.0), white, (WIDTH + thick / 2, -DEPTH / 2, HEIGHT / 2))
    y0, y1, z0, z1 = WINDOW
    for low, high, bottom, top in (
        (-DEPTH, 0.0, 0.0, z0),
        (-DEPTH, 0.0, z1, HEIGHT),
        (-DEPTH, y0, z0, z1),
        (y1, 0.0, z0, z1),
    ):
        size, middle = (thick, high - low, top - bottom), (-thick / 2, (low + high) / 2, (bottom + top) / 2)
        wall.add(beveled_box(size, 0.0), white, middle)
    wall.add(beveled_box((WIDTH, 0.016, 0.085), 0.004), trim, (WIDTH / 2, -0.008, 0.0425))
    for x in (0.008, WIDTH - 0.008):
        wall.add(beveled_box((0.016, DEPTH, 0.085), 0.004), trim, (x, -DEPTH / 2, 0.0425))
    wall.build()


def _window() -> None:
    lacquer = m.paint("window lacquer", (0.82, 0.81, 0.78), 0.35)
    thing = Builder("Window", UID["Window"])
    y0, y1, z0, z1 = WINDOW
    middle, span, high = (y0 + y1) / 2, y1 - y0, z1 - z0
    for y in (y0 + 0.03, middle, y1 - 0.03):
        thing.add(beveled_box((0.06, 0.07, high), 0.008), lacquer, (-0.055, y, (z0 + z1) / 2))
    for z in (z0 + 0.035, z0 + 0.62 * high, z1 - 0.035):
        thing.add(beveled_box((0.055, span, 0.06), 0.008), lacquer, (-0.055, middle, z))
    thing.add(beveled_box((0.22, span + 0.14, 0.035), 0.01), lacquer, (0.02, middle, z0 - 0.005))
    for y in (y0 - 0.03, y1 + 0.03):
        thing.add(beveled_box((0.022, 0.07, high + 0.08), 0.005), lacquer, (0.011, y, (z0 + z1) / 2 + 0.03))
    thing.add(beveled_box((0.022, span + 0.13, 0.07), 0.005), lacquer, (0.011, middle, z1 + 0.035))
    thing.build()
    sky = Builder("Sky", 0)
    sky.add(beveled_box((0.02, 16.0, 9.0), 0.0), m.emission("sky", (0.72, 0.86, 1.0), 1.5), (-1.6, middle - 1.0, 1.5))
    sky.build().visible_shadow = False


def _curtain() -> None:
    cloth, metal = (
        m.fabric("curtain cloth", (0.66, 0.62, 0.52), 240.0, 0.06),
        m.glossy("rail", (0.03, 0.03, 0.03), 0.4, 0.7),
    )
    thing = Builder("Curtain", UID["Curtain"])
    z = np.linspace(0.06, 2.33, 18)
    for low, high in ((-2.98, -2.36), (-1.14, -0.78)):
        y = np.linspace(low, high, int(140 * (high - low)))
        yy, zz = np.meshgrid(y, z, indexing="ij")
        x = 0.085 + (0.030 + 0.008 * zz) * np.sin(yy * 58 + 0.6 * np.sin(zz * 1.4)) * (0.75 + 0.25 * np.sin(yy * 13))
        thing.add(sheet(np.stack([x, yy, zz], axis=-1)), cloth)
    thing.add(beveled_box((0.022, 2.4, 0.022), 0.008), metal, (0.085, -1.87, 2.345))
    thing.build()


def _lights() -> None:
    world = bpy.data.worlds.new("Ambient")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.92, 0.95, 1.0, 1.0)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.26
    bpy.context.scene.world = world
    middle = ((WINDOW[0] + WINDOW[1]) / 2, (WINDOW[2] + WINDOW[3]) / 2)
    _area(
        "Window light",
        (-0.35, middle[0], middle[1] + 0.25),
        (1.9, middle[0] + 0.2, 0.4),
        (1.35, 1.2),
        72.0,
        (0.86, 0.93, 1.0),
    )
    _area("Soft box", (2.9, -3.6, 2.7), (2.1, -1.2, 0.3), (2.6, 1.8), 46.0, (1.0, 0.93, 0.84))
    sun = bpy.data.lights.new("Sun", "SUN")
    sun.energy, sun.angle, sun.color = 9.0, math.radians(1.6), (1.0, 0.88, 0.70)
    thing = bpy.data.objects.new("Sun", sun)
    thing.rotation_euler = Vector((1.0, -0.12, -0.62)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(thing)


def _area(name: str, at: tuple, towards: tuple, size: tuple[float, float], watts: float, color: tuple) -> None:
    light = bpy.data.lights.new(name, "AREA")
    light.shape, light.size, light.size_y, light.energy, light.color = "RECTANGLE", *size, watts, color
    thing = bpy.data.objects.new(name, light)
    thing.location = at
    thing.rotation_euler = (Vector(towards) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(thing)
