"""Progress of long work: a function that is called with 0..1 and a text, and may raise ``Cancelled``."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]


def silent(fraction: float, text: str) -> None:
    """No progress is shown."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """What a part of the work calls with 0..1, where the whole is between ``start`` and ``end``."""
    return lambda fraction, text: progress(start + fraction * (end - start), text)
