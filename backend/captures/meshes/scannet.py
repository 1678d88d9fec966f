"""The true labels that lie beside a mesh: ScanNet's segments, objects and NYU-40 labels, and AGILE3D's ``label.ply``.

ScanNet: ``<scene>_vh_clean_2.ply``, ``<scene>_vh_clean_2.0.010000.segs.json`` (one segment per vertex),
``<scene>.aggregation.json`` (segments of each object and its name), ``<scene>_vh_clean_2.labels.ply`` (NYU-40 id).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.captures.common import child, number, read_json
from backend.errors import UserError

from . import ply
from .part import Found, Part, damaged

CLEAN = "_vh_clean"
MAX_ID = 1 << 20


def add_truth(path: Path, found: Found) -> None:
    """Fill labels, instances and class names from the files beside a mesh, if there are any. Raises UserError."""
    part = found.parts[0]
    if path.name == "scan.ply":
        beside = child(path.parent, "label.ply")
        if beside is not None and beside.is_file():
            part.instances = _fitting(beside, ply.read(beside).parts[0].labels, part)
        return
    if CLEAN not in path.name:
        return
    scene, stem = path.name.split(CLEAN)[0], path.name.removesuffix(".ply")
    labelled = child(path.parent, f"{stem}.labels.ply")
    if labelled is not None:
        part.labels = _fitting(labelled, ply.read(labelled).parts[0].labels, part)
    groups, segments = child(path.parent, f"{scene}.aggregation.json"), child(path.parent, f"{stem}.0.010000.segs.json")
    if groups is not None and segments is not None:
        _objects(groups, segments, found)


def _fitting(path: Path, ids: np.ndarray | None, part: Part) -> np.ndarray:
    if ids is None or len(ids) != len(part.positions):
        raise damaged(path, f"has no label for each of the {len(part.positions):,} vertices of the mesh beside it")
    return ids


def _objects(groups: Path, segments: Path, found: Found) -> None:
    """Instances 1.. of the aggregation, and its names as classes where the mesh has no labels of its own."""
    part = found.parts[0]
    of_vertex = _segments(segments, part)
    objects = _field(groups, read_json(groups), "segGroups")
    names: dict[str, int] = {}
    instance, label = np.zeros(MAX_ID, np.int64), np.zeros(MAX_ID, np.int64)
    for group in objects:
        inside = [n for n in _field(groups, group, "segments") if type(n) is int and 0 <= n < MAX_ID]
        known = number(group.get("objectId"))
        if known is None or not 0 <= known < MAX_ID:
            raise damaged(groups, "has an object without a usable objectId")
        name = str(group.get("label") or "unnamed")[:256]
        instance[inside] = int(known) + 1
        label[inside] = names.setdefault(name, len(names) + 1)
    part.instances = instance[of_vertex]
    if part.labels is None:
        part.labels, found.classes = label[of_vertex], {uid: name for name, uid in names.items()}


def _segments(path: Path, part: Part) -> np.ndarray:
    try:
        ids = np.array(_field(path, read_json(path), "segIndices"), np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise damaged(path, "has segments that are no whole numbers", repr(error)) from error
    if ids.ndim != 1 or not (ids.size and ids.min() >= 0 and ids.max() < MAX_ID):
        raise damaged(path, "has segments that are no whole numbers of a usable size")
    if len(ids) != len(part.positions):
        sentence = f"{path.name} has {len(ids):,} segments for {len(part.positions):,} vertices; they must fit."
        raise UserError("bad_truth", sentence)
    return ids


def _field(path: Path, value: object, key: str) -> list:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise damaged(path, f"has no list called {key}")
    return found
