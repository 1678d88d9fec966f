"""E57 (ASTM E2807) scans: every station's points, placed by its pose; read with the optional package pye57."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.captures.arrays import library
from backend.errors import UserError

from .part import Found, Part, bytes_of_colors, check_counts, damaged, opened

FORMAT = "E57"
COLORS = ("colorRed", "colorGreen", "colorBlue")


def opens(path: Path) -> bool:
    """Whether a file is an E57, by its signature."""
    with open(path, "rb") as stream:
        return stream.read(8) == b"ASTM-E57"


def read(path: Path) -> Found:
    """A cloud. Raises UserError, also when pye57 is missing."""
    if len(opened(path)) < 48:
        raise damaged(path, "is cut off")
    pye57 = library("pye57", "pye57", "E57 files")
    try:
        file = pye57.E57(str(path))
        headers = [file.get_header(index) for index in range(file.scan_count)]
        check_counts(path, sum(header.point_count for header in headers), 0)
        parts = []
        for index, header in enumerate(headers):
            colored = set(COLORS) <= set(header.point_fields)
            parts.append(_station(file.read_scan(index, colors=colored, ignore_missing_fields=True), colored))
    except UserError:
        raise
    except Exception as error:  # the library raises its own kinds, some of them plain Exceptions
        raise damaged(path, "is damaged", repr(error)) from error
    return Found(FORMAT, parts)


def _station(values: dict[str, np.ndarray], colored: bool) -> Part:
    positions = np.stack([values[f"cartesian{axis}"] for axis in "XYZ"], axis=1).astype(np.float64)
    colors = np.stack([values[name] for name in COLORS], axis=1) if colored else None
    return Part(positions, np.zeros((0, 3), np.int64), None if colors is None else bytes_of_colors(colors))
