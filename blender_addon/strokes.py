"""The stroke that is being drawn: what the overlay shows of it while the button is down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mathutils import Vector


@dataclass
class LiveStroke:
    """Points in Blender's world, and how they are drawn."""

    color: tuple[float, float, float]
    sign: int
    points: list[Vector] = field(default_factory=list)


_now: list[LiveStroke] = []


def begin(color: tuple[float, float, float], sign: int) -> None:
    """The button is down and the mouse moves."""
    _now[:] = [LiveStroke(color, sign)]


def extend(points: Iterable[Vector]) -> None:
    """The mouse has moved over more of the surface."""
    if _now:
        _now[0].points.extend(points)


def end() -> None:
    """The button is up."""
    _now.clear()


def current() -> LiveStroke | None:
    """The stroke that is being drawn, or None."""
    return _now[0] if _now else None
