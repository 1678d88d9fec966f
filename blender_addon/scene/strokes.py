"""A stroke of the pointer as evenly spaced points on a surface. No bpy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

STEP = 4.0  # pixels between rays: what is thinner may be jumped over
HALVINGS = 12  # of a step, to find the place where the surface is one spacing away
MOST_POINTS = 2000
Cast = Callable[[float, float], np.ndarray | None]


class Stroke:
    """Follows the pointer over a surface.

    Neighbouring points lie one spacing apart, by straight line, each exactly on the surface. Where the surface ends or
    steps back under the pointer, the stroke goes on at the other side.

    Args:
        cast: pixel to the (3,) point of the surface under it, or None.
        spacing: in the units of the points.
    """

    def __init__(self, cast: Cast, spacing: float) -> None:
        self.points: list[np.ndarray] = []
        self.pixels: list[tuple[float, float]] = []  # of the points
        self.full = False  # no more points are taken
        self._cast, self._spacing = cast, spacing
        self._at: tuple[float, float] | None = None

    def extend(self, x: float, y: float) -> None:
        """The pointer is at another pixel."""
        if self._at is None:
            self._at = (x, y)
            self._accept(self._at, self._cast(x, y))
            return
        (x0, y0), length = self._at, math.dist(self._at, (x, y))
        steps = max(math.ceil(length / STEP), 1)
        for i in range(1, steps + 1):
            self._advance((x0 + (x - x0) * i / steps, y0 + (y - y0) * i / steps))

    def _advance(self, pixel: tuple[float, float]) -> None:
        """Take the points between the last pixel and this one."""
        start, self._at = self._at, pixel
        found = self._cast(*pixel)
        if found is None:
            return
        while not self.full:
            if self.points and math.dist(found, self.points[-1]) < self._spacing:
                return
            place, point = self._where_apart(start, pixel, found)
            self._accept(place, point)
            if place == pixel:
                return
            start = place

    def _where_apart(
        self, start: tuple[float, float], end: tuple[float, float], found: np.ndarray
    ) -> tuple[tuple[float, float], np.ndarray]:
        """The pixel between two at which the surface is one spacing away from the last point, and its point.

        That is the end itself where there is no such place: at the first point, and across a step of the surface.
        """
        if not self.points:
            return end, found
        low, high, place, point = 0.0, 1.0, end, found
        for _ in range(HALVINGS):
            if abs(math.dist(point, self.points[-1]) - self._spacing) < 0.05 * self._spacing:
                return place, point
            middle = (low + high) / 2
            between = (start[0] + (end[0] - start[0]) * middle, start[1] + (end[1] - start[1]) * middle)
            met = self._cast(*between)
            if met is not None and math.dist(met, self.points[-1]) < self._spacing:
                low = middle
            else:
                high = middle
                if met is not None:
                    place, point = between, met
        return end, found

    def _accept(self, pixel: tuple[float, float], point: np.ndarray | None) -> None:
        if point is not None:
            self.points.append(point)
            self.pixels.append(pixel)
            self.full = len(self.points) >= MOST_POINTS
