"""STL: binary and ascii; always triangles, no colours, corners repeated per triangle."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from .part import Found, Part, check_counts, damaged, opened

FORMAT = "STL"
HEADER = 84  # bytes before the first triangle
ROW = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")])
MAX_ASCII = 1 << 30  # bytes


def opens(path: Path) -> bool:
    """Whether a file is an STL: by its length, or its first word."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(HEADER)
    if len(head) == HEADER and size == HEADER + ROW.itemsize * int.from_bytes(head[80:84], "little"):
        return True
    return path.suffix.lower() == ".stl"


def read(path: Path) -> Found:
    """A mesh. Raises UserError."""
    data = opened(path)
    count = int.from_bytes(data[80:HEADER].tobytes(), "little") if len(data) >= HEADER else 0
    if len(data) >= HEADER and len(data) == HEADER + count * ROW.itemsize:
        check_counts(path, 3 * count, count)
        corners = np.frombuffer(data, ROW, count, HEADER)["corners"]
    elif re.match(rb"\s*solid", data[:200].tobytes()):
        corners = _ascii(path, data)
    else:
        raise damaged(path, "is cut off or no STL")
    positions = corners.reshape(-1, 3).astype(np.float64)
    return Found(FORMAT, [Part(positions, np.arange(len(positions)).reshape(-1, 3))])


def _ascii(path: Path, data: np.ndarray) -> np.ndarray:
    if len(data) > MAX_ASCII:
        raise damaged(path, f"has {len(data) >> 20} MB of text, which is too much; write it as binary STL")
    lines = re.findall(rb"vertex\s+([^\r\n]+)", data.tobytes())
    text = b" ".join(lines).decode("ascii", errors="replace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's way to say that it stopped at a word
        values = np.fromstring(text, np.float64, sep=" ")
    if len(values) != 3 * len(lines) or len(lines) % 3:
        raise damaged(path, "has words where numbers are expected, or a triangle that is cut off")
    return values.reshape(-1, 3, 3)
