"""PLY: ascii and binary, any order and type of properties, lists of any length (Turk 1994, "The PLY polygon file
format").

A row's layout is read from its list counts; following rows of the same layout are taken together, so that a triangle
mesh is one view into the file. Nothing is allocated for a count that the file's length cannot hold.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .part import Found, Part, bytes_of_colors, check_counts, damaged, fans, opened

FORMAT = "PLY"
MAX_HEADER = 1 << 20  # bytes
MAX_ASCII = 1 << 30  # bytes
MAX_PROPERTIES = 256
FIRST_RUN = 64  # rows that are looked at together at first
TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
LABELS = ("label", "labels", "class", "semantic", "scalar_label", "scalar_classification")
INSTANCES = ("instance", "instances", "instance_id", "objectid", "object_id", "object")
INDICES = ("vertex_indices", "vertex_index")


@dataclass
class Property:
    """One property of an element; ``count`` is the type of a list's count, empty for a scalar."""

    name: str
    type: str
    count: str = ""


@dataclass
class Element:
    """One table of the file."""

    name: str
    rows: int
    properties: list[Property] = field(default_factory=list)


def opens(path: Path) -> bool:
    """Whether a file is a PLY, by its first line."""
    with open(path, "rb") as stream:
        return bool(re.match(rb"ply[ \t]*[\r\n]", stream.read(16)))


def read(path: Path) -> Found:
    """A mesh or a cloud. Raises UserError."""
    data = opened(path)
    elements, order, start = _header(path, data)
    count = {element.name: element.rows for element in elements}
    check_counts(path, count.get("vertex", 0), count.get("face", 0))
    types = {one.name: np.dtype(one.type) for e in elements if e.name == "vertex" for one in e.properties}
    if not order:
        data, start = _numbers(path, data[start:]), 0
        order = "="
        for element in elements:
            for one in element.properties:
                one.type, one.count = "f8", "f8" if one.count else ""
    tables = {}
    for element in elements:
        columns, start = _rows(path, data, start, element, order)
        tables.setdefault(element.name, columns)
        if {"vertex", "face"} <= set(tables):
            break  # what comes later is not needed
    return _found(path, tables, types)


def _header(path: Path, data: np.ndarray) -> tuple[list[Element], str, int]:
    """The elements, the byte order ("" for ascii), and where the tables begin."""
    head = data[:MAX_HEADER].tobytes()
    end = re.search(rb"[\r\n]end_header[ \t]*", head)
    if end is None:
        raise damaged(path, "has no complete PLY header")
    first = re.match(rb"ply[ \t]*(\r\n|\r|\n)", head)
    if first is None or not head.startswith(newline := first.group(1), end.end()):
        raise damaged(path, "has no complete PLY header")
    elements: list[Element] = []
    order = None
    for line in head[: end.start()].decode("ascii", errors="replace").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) >= 2:
            order = ORDERS.get(words[1])
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal() and len(words[2]) < 16:
            elements.append(Element(words[1].lower(), int(words[2])))
        elif words[0] == "property" and elements and (one := _property(words[1:])) is not None:
            elements[-1].properties.append(one)
        else:
            raise damaged(path, f"has the line {line.strip()[:40]!r} in its PLY header, which means nothing")
    if order is None:
        raise damaged(path, "does not say whether it is ascii or binary")
    if any(len(element.properties) > MAX_PROPERTIES for element in elements):
        raise damaged(path, "has an absurd number of properties")
    return elements, order, end.end() + len(newline)


def _property(words: list[str]) -> Property | None:
    if len(words) == 4 and words[0] == "list" and words[1] in TYPES and words[2] in TYPES:
        return Property(words[3].lower(), TYPES[words[2]], TYPES[words[1]])
    return Property(words[1].lower(), TYPES[words[0]]) if len(words) == 2 and words[0] in TYPES else None


def _numbers(path: Path, body: np.ndarray) -> np.ndarray:
    """The numbers of an ascii file as bytes of float64, up to the first word that is none."""
    if len(body) > MAX_ASCII:
        raise damaged(path, f"has {len(body) >> 20} MB of text, which is too much; write it as binary PLY")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's way to say that it stopped at a word
        return np.fromstring(body.tobytes().decode("ascii", errors="replace"), np.float64, sep=" ").view(np.uint8)


def _rows(path: Path, data: np.ndarray, start: int, element: Element, order: str) -> tuple[dict, int]:
    """The columns of an element: name -> list of arrays (n,) or, for lists, (n, c); and where the next one begins."""
    names = [one.name for one in element.properties]
    first = {name: names.index(name) for name in names}  # of a name that is there twice the first counts
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    least = sum(np.dtype(one.count or one.type).itemsize for one in element.properties)
    if element.rows * least > len(data) - start:
        raise damaged(path, f"promises {element.rows:,} rows of {element.name!r}, which it is too short for")
    fixed = not any(one.count for one in element.properties)
    done, run = 0, element.rows if fixed else FIRST_RUN
    while done < element.rows and least:
        layout, lengths = _layout(path, data, start, element, order)
        count = min(element.rows - done, run, (len(data) - start) // layout.itemsize)
        table = np.frombuffer(data, layout, count, start)
        same = np.ones(count, bool)
        for index, length in lengths.items():
            same &= table[f"n{index}"] == length
        alike = count if same.all() else int(np.argmin(same))
        for name, index in first.items():
            columns[name].append(table[f"p{index}"][:alike])
        run = run * 4 if alike == run else FIRST_RUN
        done, start = done + alike, start + alike * layout.itemsize
    return columns, start


def _layout(path: Path, data: np.ndarray, start: int, element: Element, order: str) -> tuple[np.dtype, dict[int, int]]:
    """The type of the row that begins at ``start``, and the length of each list in it by the property's index."""
    fields, lengths, at = [], {}, start
    for index, one in enumerate(element.properties):
        kind = np.dtype(order + one.type)
        if not one.count:
            fields.append((f"p{index}", kind))
            at += kind.itemsize
            continue
        counted = np.dtype(order + one.count)
        if at + counted.itemsize > len(data):
            raise damaged(path, "is cut off")
        length = np.frombuffer(data, counted, 1, at)[0]
        if not 0 <= length <= (len(data) - at) // kind.itemsize or length != int(length):
            raise damaged(path, f"has a list of {length} values in {element.name!r}")
        lengths[index] = int(length)
        fields += [(f"n{index}", counted), (f"p{index}", kind, (int(length),))]
        at += counted.itemsize + int(length) * kind.itemsize
    if at > len(data):
        raise damaged(path, "is cut off")
    return np.dtype(fields), lengths


def _found(path: Path, tables: dict[str, dict[str, list[np.ndarray]]], types: dict[str, np.dtype]) -> Found:
    """``types`` are those that the header gives the vertices; an ascii file's columns are float64."""
    vertex = {name: _joined(parts) for name, parts in tables.get("vertex", {}).items() if _scalar(parts)}
    if not all(name in vertex for name in "xyz"):
        raise damaged(path, "has no vertices with x, y and z")
    columns = [name for name in INDICES if name in tables.get("face", {})]
    faces, notes = _faces(tables["face"][columns[0]]) if columns else (np.zeros((0, 3), np.int64), [])
    if not len(faces) and "tristrips" in tables:
        raise damaged(path, "has triangle strips, which are not read, in place of faces")
    part = Part(np.stack([vertex[name] for name in "xyz"], axis=1).astype(np.float64), faces)
    for names in COLORS:
        if all(name in vertex for name in names):
            part.colors = bytes_of_colors(np.stack([vertex[name] for name in names], axis=1), types[names[0]])
            break
    if all(name in vertex for name in ("nx", "ny", "nz")):
        part.normals = np.stack([vertex[name] for name in ("nx", "ny", "nz")], axis=1).astype(np.float64)
    part.labels, part.instances = _ids(vertex, LABELS), _ids(vertex, INSTANCES)
    return Found(FORMAT, [part], notes=notes)


def _scalar(parts: list[np.ndarray]) -> bool:
    return bool(parts) and all(part.ndim == 1 for part in parts)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    joined = np.concatenate(parts) if len(parts) != 1 else parts[0]
    return joined.astype(joined.dtype.newbyteorder("="))


def _faces(runs: list[np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """Triangles (F, 3) int64 of polygons, and what was left out."""
    good = [run for run in runs if run.ndim == 2 and run.shape[1] >= 3]
    left = sum(len(run) for run in runs) - sum(len(run) for run in good)
    notes = [f"{left:,} faces with fewer than three corners were left out."] if left else []
    with np.errstate(invalid="ignore"):
        whole = [fans(np.nan_to_num(run, nan=-1.0)).astype(np.int64) for run in good]
    return np.concatenate([np.zeros((0, 3), np.int64), *whole]), notes


def _ids(vertex: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    name = next((name for name in names if name in vertex), None)
    if name is None:
        return None
    return np.clip(np.nan_to_num(vertex[name].astype(np.float64)), -(2**31), 2**31 - 1).astype(np.int64)
