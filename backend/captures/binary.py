"""Careful reading of binary containers."""

from __future__ import annotations

from typing import BinaryIO


class CutOff(Exception):
    """A container that ends too early or holds impossible numbers; readers turn it into their own sentence."""


def exactly(stream: BinaryIO, size: int) -> bytes:
    """The next ``size`` bytes. Raises CutOff when there are fewer."""
    data = stream.read(size)
    if len(data) != size:
        raise CutOff("the end")
    return data
