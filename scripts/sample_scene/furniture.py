"""Sofa, table, chairs, shelf and lamp."""

from __future__ import annotations

import math

import numpy as np

from . import materials as m
from .labels import UID
from .shapes import Builder, bent_tube, beveled_box, joined, lathe, pillow, rod


def sofa(at: tuple, heading: float = 0.0) -> None:
    """A three-seater of about 2.05 x 0.92 x 0.8 m; its back is towards +Y."""
    cloth = m.fabric("sofa cloth", (0.105, 0.19, 0.33))
    legs = m.wood("sofa legs", (0.12, 0.06, 0.03), (0.24, 0.13, 0.06), "Z")
    thing = Builder("Sofa", UID["Sofa"])
    thing.add(pillow((2.0, 0.86, 0.22), 16), cloth, (0, 0, 0.22))
    for side in (-1, 1):
        thing.add(pillow((0.19, 0.9, 0.5), 7), cloth, (side * 0.94, 0, 0.37))
    thing.add(pillow((1.86, 0.2, 0.66), 9), cloth, (0, 0.36, 0.46), (-7, 0, 0))
    for i in (-1, 0, 1):
        thing.add(pillow((0.575, 0.64, 0.17), 5.5), cloth, (i * 0.578, -0.09, 0.39))
        thing.add(pillow((0.57, 0.2, 0.43), 4.5), cloth, (i * 0.578, 0.22, 0.645), (-12, 0, 0))
    for x in (-0.88, 0.88):
        for y in (-0.34, 0.34):
            thing.add(rod((x, y, 0.14), (x * 1.02, y * 1.06, 0.0), 0.026, 0.016), legs)
    thing.build(at, heading)


def round_table(at: tuple, heading: float = 0.0) -> None:
    """A low round table, 0.92 m across and 0.44 m high, on three leaning legs with a ring."""
    top = m.wood("table top", (0.11, 0.045, 0.02), (0.30, 0.14, 0.062), "X", 0.3)
    leg = m.wood("table legs", (0.10, 0.042, 0.02), (0.24, 0.11, 0.05), "Z", 0.35)
    thing = Builder("Table", UID["Table"])
    thing.add(
        lathe([(0, 0.40), (0.42, 0.40), (0.452, 0.412), (0.46, 0.422), (0.452, 0.434), (0.44, 0.438), (0, 0.438)], 64),
        top,
    )
    for k in range(3):
        a = math.radians(90 + 120 * k)
        foot = (0.40 * math.cos(a), 0.40 * math.sin(a), 0.0)
        thing.add(rod((0.23 * math.cos(a), 0.23 * math.sin(a), 0.405), foot, 0.028, 0.018), leg)
    ring = np.array([[0.305 * math.cos(a), 0.305 * math.sin(a), 0.17] for a in np.linspace(0, 2 * math.pi, 33)])
    thing.add(bent_tube(ring, 0.011, 8), leg)
    thing.build(at, heading)


def armchair(name: str, at: tuple, heading: float) -> None:
    """An easy chair with an oak frame, 0.68 m wide; it looks towards -Y."""
    oak = m.wood(f"{name} frame", (0.36, 0.20, 0.09), (0.60, 0.38, 0.19), "Y")
    oak_up = m.wood(f"{name} legs", (0.36, 0.20, 0.09), (0.60, 0.38, 0.19), "Z")
    cloth = m.fabric(f"{name} cloth", (0.52, 0.30, 0.055))
    thing = Builder(name, UID["Chair"])
    for side in (-1, 1):
        x = side * 0.31
        thing.add(rod((x, -0.30, 0.0), (x, -0.26, 0.57), 0.018, 0.024), oak_up)
        thing.add(rod((x, 0.33, 0.0), (x, 0.24, 0.55), 0.018, 0.024), oak_up)
        thing.add(beveled_box((0.062, 0.66, 0.028), 0.012), oak, (x, -0.01, 0.575), (2, 0, 0))
        thing.add(beveled_box((0.026, 0.56, 0.05), 0.008), oak, (side * 0.285, -0.01, 0.29), (4, 0, 0))
        thing.add(rod((side * 0.25, 0.22, 0.27), (side * 0.23, 0.40, 0.84), 0.02, 0.015), oak_up)
    thing.add(beveled_box((0.6, 0.05, 0.05), 0.01), oak, (0, -0.27, 0.31))
    thing.add(beveled_box((0.6, 0.05, 0.05), 0.01), oak, (0, 0.22, 0.27))
    thing.add(beveled_box((0.5, 0.03, 0.07), 0.01), oak, (0, 0.395, 0.82), (-17, 0, 0))
    for k in range(5):
        thing.add(beveled_box((0.05, 0.014, 0.5), 0.005), oak_up, (-0.18 + 0.09 * k, 0.325, 0.56), (-17, 0, 0))
    thing.add(pillow((0.56, 0.58, 0.13), 5), cloth, (0, -0.02, 0.37), (4, 0, 0))
    thing.add(pillow((0.53, 0.13, 0.54), 4.5), cloth, (0, 0.235, 0.66), (-17, 0, 0))
    thing.build(at, heading)


SHELF_SIZE = (0.92, 0.34, 1.86)
SHELF_LEVELS = (0.10, 0.46, 0.82, 1.18, 1.52)  # heights of the boards' upper faces above the foot


def shelf(at: tuple, heading: float = 0.0) -> None:
    """An open bookcase with a back board; its back is towards +Y."""
    wide, deep, high = SHELF_SIZE
    body = m.wood("shelf body", (0.55, 0.42, 0.27), (0.72, 0.58, 0.40), "Z", 0.5)
    board = m.wood("shelf boards", (0.55, 0.42, 0.27), (0.72, 0.58, 0.40), "X", 0.5)
    thing = Builder("Shelf", UID["Shelf"])
    for side in (-1, 1):
        thing.add(beveled_box((0.028, deep, high), 0.004), body, (side * (wide / 2 - 0.014), 0, high / 2))
    for top in (*SHELF_LEVELS, high):
        thing.add(beveled_box((wide - 0.05, deep - 0.01, 0.026), 0.004), board, (0, 0, top - 0.013))
    thing.add(beveled_box((wide - 0.04, 0.01, high - 0.06), 0.0), body, (0, deep / 2 - 0.008, high / 2))
    thing.add(beveled_box((wide - 0.05, 0.02, 0.075), 0.003), board, (0, -deep / 2 + 0.03, 0.038))
    thing.build(at, heading)


def floor_lamp(at: tuple) -> None:
    """A floor lamp 1.62 m high: weighted foot, thin pole, linen shade that glows."""
    metal = m.glossy("lamp metal", (0.025, 0.024, 0.023), 0.4, 0.6)
    linen = m.lampshade("lamp shade", (0.80, 0.72, 0.58), 0.35)
    thing = Builder("Lamp", UID["Lamp"])
    thing.add(lathe([(0, 0), (0.15, 0), (0.15, 0.018), (0.14, 0.028), (0.03, 0.034), (0.016, 0.06), (0, 0.06)]), metal)
    thing.add(rod((0, 0, 0.03), (0, 0, 1.50), 0.0135), metal)
    shade = [(0.235, 1.25), (0.155, 1.60), (0.151, 1.60), (0.231, 1.25), (0.235, 1.25)]
    thing.add(lathe(shade, 48), linen)
    spokes = [rod((0, 0, 1.5), (0.152 * math.cos(a), 0.152 * math.sin(a), 1.595), 0.004) for a in (0.3, 2.4, 4.5)]
    thing.add(joined(spokes), metal)
    bulb = m.emission("bulb", (1.0, 0.72, 0.42), 16.0)
    thing.add(lathe([(0, 1.38), (0.03, 1.40), (0.04, 1.43), (0.03, 1.47), (0.012, 1.5), (0, 1.5)], 20), bulb)
    thing.build(at)
