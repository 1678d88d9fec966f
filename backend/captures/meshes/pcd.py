"""PCD, the Point Cloud Library's files, version 0.6 and 0.7: ascii, binary and binary_compressed.

https://pointclouds.org/documentation/tutorials/pcd_file_format.html; colours are packed 0x00RRGGBB in a field called
rgb or rgba whose type may be float.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from .part import Found, Part, check_counts, damaged, opened

FORMAT = "PCD"
MAX_HEADER = 1 << 16  # bytes
MAX_FIELDS = 128
MAX_ASCII = 1 << 30  # bytes
KINDS = {"F": "f", "I": "i", "U": "u"}


def opens(path: Path) -> bool:
    """Whether a file is a PCD, by its header."""
    with open(path, "rb") as stream:
        head = stream.read(2048)
    return re.search(rb"^\s*FIELDS\s", head, re.MULTILINE) is not None and b"\nSIZE" in head


def read(path: Path) -> Found:
    """A cloud. Raises UserError."""
    data = opened(path)
    head, start = _header(path, data)
    row, names = _layout(path, head)
    count = _whole(path, head, "POINTS")
    check_counts(path, count, 0)
    kind = head["DATA"][0].lower() if head.get("DATA") else ""
    body = data[start:]
    if kind == "ascii":
        table = _ascii(path, body, count, row)
    elif kind == "binary":
        if count * row.itemsize > len(body):
            raise damaged(path, f"promises {count:,} points, which it is too short for")
        table = np.frombuffer(body, row, count)
    elif kind == "binary_compressed":
        table = _compressed(path, body, count, row)
    else:
        raise damaged(path, "does not say how its points are stored")
    return Found(FORMAT, [_part(path, table, names)])


def _header(path: Path, data: np.ndarray) -> tuple[dict[str, list[str]], int]:
    head = data[:MAX_HEADER].tobytes()
    end = re.search(rb"^\s*DATA\s+\w+[ \t]*\r?\n", head, re.MULTILINE)
    if end is None:
        raise damaged(path, "has no complete PCD header")
    lines = head[: end.end()].decode("ascii", errors="replace").splitlines()
    words = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return {line[0].upper(): line[1:] for line in words}, end.end()


def _whole(path: Path, head: dict[str, list[str]], key: str) -> int:
    values = head.get(key, [])
    if len(values) != 1 or not values[0].isdecimal() or len(values[0]) > 15:
        raise damaged(path, f"has no usable {key} in its header")
    return int(values[0])


def _layout(path: Path, head: dict[str, list[str]]) -> tuple[np.dtype, dict[str, str]]:
    """The type of a point, and the field of each name."""
    names, sizes, kinds = (head.get(key, []) for key in ("FIELDS", "SIZE", "TYPE"))
    counts = head.get("COUNT", ["1"] * len(names))
    if not 0 < len(names) <= MAX_FIELDS or not len(names) == len(sizes) == len(kinds) == len(counts):
        raise damaged(path, "has a PCD header whose FIELDS, SIZE and TYPE do not fit each other")
    fields, of = [], {}
    for index, (name, size, kind, count) in enumerate(zip(names, sizes, kinds, counts, strict=True)):
        known = kind in KINDS and size in ("1", "2", "4", "8") and not (kind == "F" and size in "12")
        if not known or not count.isdecimal() or not 1 <= int(count) <= 4096:
            raise damaged(path, f"has a field {name[:20]!r} of unknown type")
        fields.append((f"f{index}", f"<{KINDS[kind]}{size}", (int(count),)))
        of[name.lower()] = f"f{index}"
    return np.dtype(fields), of


def _ascii(path: Path, body: np.ndarray, count: int, row: np.dtype) -> np.ndarray:
    width = sum(row[name].shape[0] for name in row.names)
    if len(body) > MAX_ASCII or 2 * count * width > len(body) + 1:
        raise damaged(path, f"promises {count:,} points, which its text does not fit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's way to say that it stopped at a word
        values = np.fromstring(body.tobytes().decode("ascii", errors="replace"), np.float64, sep=" ")
    if len(values) < count * width:
        raise damaged(path, "is cut off or has words where numbers are expected")
    values = values[: count * width].reshape(count, width)
    table, at = np.empty(count, row), 0
    for name in row.names:
        part = values[:, at : at + row[name].shape[0]]
        with np.errstate(invalid="ignore"):
            table[name] = part
        at += row[name].shape[0]
    return table


def _compressed(path: Path, body: np.ndarray, count: int, row: np.dtype) -> np.ndarray:
    """LZF over the fields one after the other."""
    if len(body) < 8:
        raise damaged(path, "is cut off")
    packed, size = (int(n) for n in np.frombuffer(body, "<u4", 2))
    if packed > len(body) - 8 or size != count * row.itemsize or size > 4096 * max(packed, 1):
        raise damaged(path, "has compressed points whose sizes do not fit its header")
    plain = _lzf(path, body[8 : 8 + packed].tobytes(), size)
    table, at = np.empty(count, row), 0
    for name in row.names:
        kind = row[name]
        table[name] = np.frombuffer(plain, kind.base, count * kind.shape[0], at).reshape(count, -1)
        at += count * kind.itemsize
    return table


def _lzf(path: Path, data: bytes, size: int) -> bytes:
    """LZF (Lehmann): literal runs, and references to what was written up to 8 kB before."""
    out, at = bytearray(), 0
    try:
        while at < len(data) and len(out) <= size:
            control = data[at]
            at += 1
            if control < 32:
                out += data[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            back = ((control & 31) << 8) + data[at] + 1
            at += 1
            start, length = len(out) - back, length + 2
            if start < 0:
                raise IndexError(start)
            pattern = bytes(out[start : start + length])
            out += (pattern * (length // len(pattern) + 1))[:length]
    except IndexError as error:
        raise damaged(path, "has compressed points that are damaged", repr(error)) from error
    if len(out) != size:
        raise damaged(path, "has compressed points that are damaged")
    return bytes(out)


def _part(path: Path, table: np.ndarray, names: dict[str, str]) -> Part:
    def column(name: str) -> np.ndarray:
        return table[names[name]][:, 0]

    if not all(name in names for name in "xyz"):
        raise damaged(path, "has no points with x, y and z")
    part = Part(np.stack([column(name) for name in "xyz"], axis=1).astype(np.float64), np.zeros((0, 3), np.int64))
    packed = next((name for name in ("rgb", "rgba") if name in names), None)
    if packed and column(packed).dtype.itemsize == 4:
        # A float that only holds bits: ascii files write it as the number that those bits are.
        bits = np.ascontiguousarray(column(packed)).view(np.uint32)
        part.colors = np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)
    if all(f"normal_{axis}" in names for axis in "xyz"):
        part.normals = np.stack([column(f"normal_{axis}") for axis in "xyz"], axis=1).astype(np.float64)
    if "label" in names:
        part.labels = column("label").astype(np.int64)
    return part
