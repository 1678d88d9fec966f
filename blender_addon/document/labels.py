"""The label document: built from the scene's property groups, checked, digested, read from and written to files.

A document on disk carries ``version``, the number of its schema (`protocol.migrated` leads older ones to today's).
Points are in the capture's own world, except on the stream.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...backend import protocol
from ...backend.protocol import DOCUMENT_VERSION, DocumentError, checked_document


def build(group: Any, revision: int) -> dict[str, Any]:
    """The checked document of a scene.

    Args:
        group: has ``labels`` (uid, name, parent, kind, thing, color) and ``marks`` (uid, label, sign, frame, u, v,
            points with ``co``, muted, local, instance), ``method`` and ``schema`` (version of the layout in which the
            file keeps them), as ``Scene.clickfield`` does.
        revision: number that the backend's answer will carry.

    Raises:
        DocumentError: one sentence that names the entry at fault.
    """
    check_size(group)
    tree = [
        {
            "uid": label.uid,
            "name": label.name or f"Label {label.uid}",
            "parent": label.parent,
            "kind": label.kind,
            "thing": bool(label.thing),
            "color": [float(c) for c in label.color],
        }
        for label in group.labels
    ]
    marks = [_mark(mark) for mark in group.marks]
    return checked_document({"revision": revision, "method": group.method, "tree": tree, "marks": marks})


def check_size(group: Any) -> None:
    """Refuse what a file of somebody else may hold before any of it is copied. Raises DocumentError."""
    if group.schema > DOCUMENT_VERSION:
        raise DocumentError("This file's labels were made by a newer Clickfield; update Clickfield to go on with them.")
    points = sum(len(mark.points) for mark in group.marks) if len(group.marks) <= protocol.MAX_MARKS else 0
    for count, most, what in (
        (len(group.labels), protocol.MAX_LABELS, "labels"),
        (len(group.marks), protocol.MAX_MARKS, "marks"),
        (points, protocol.MAX_POINTS, "points in its marks"),
    ):
        if count > most:
            raise DocumentError(f"This scene has {count:,} {what}; {most:,} is the most.")


def sign(group: Any) -> None:
    """Note the layout in which a scene's labels are kept, unless a newer one is noted."""
    group.schema = max(group.schema, DOCUMENT_VERSION)


def _mark(mark: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": mark.uid, "label": mark.label, "sign": mark.sign}
    entry |= {"muted": bool(mark.muted), "local": bool(mark.local), "instance": mark.instance}
    if mark.frame:
        entry.update(frame=mark.frame, u=mark.u, v=mark.v)
    if len(mark.points):
        entry["points"] = [[float(c) for c in point.co] for point in mark.points]
    return entry


def digest(document: dict[str, Any]) -> str:
    """SHA-256 of what the document says: equal for equal labels, marks and method, whatever the revision."""
    said = {key: document[key] for key in ("method", "tree", "marks")}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def in_scene(document: dict[str, Any], scene_from_world: Sequence[float]) -> dict[str, Any]:
    """The document as the backend wants it: points in scene metres instead of the capture's own world.

    Args:
        scene_from_world: 16 numbers, row-major, an affine map.
    """
    rows = [scene_from_world[0:4], scene_from_world[4:8], scene_from_world[8:12]]

    def moved(point: list[float]) -> list[float]:
        return [sum(row[i] * point[i] for i in range(3)) + row[3] for row in rows]

    marks = [{**mark, "points": [moved(point) for point in mark["points"]]} for mark in document["marks"]]
    return {**document, "marks": marks}


def load(path: Path) -> dict[str, Any]:
    """Read and check a label document. Raises DocumentError with a sentence that names the file."""
    return protocol.read_document(path)


def save(document: dict[str, Any], path: Path) -> None:
    """Write a checked document for other programs, colours as ``#rrggbb``. Raises OSError."""
    tree = [{**node, "color": hex_color(node["color"])} for node in document["tree"]]
    marks = [{k: v for k, v in mark.items() if _says(k, v)} for mark in document["marks"]]
    said = {"version": DOCUMENT_VERSION, "method": document["method"], "tree": tree, "marks": marks}
    text = json.dumps(said, indent=1, ensure_ascii=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _says(field: str, value: Any) -> bool:
    """Whether a mark's field differs from what it is when it is left out."""
    return value not in (None, []) and value is not False and (field, value) != ("instance", 0)


def hex_color(color: list[float]) -> str:
    """Three floats 0..1 as ``#rrggbb``."""
    return "#" + "".join(f"{round(min(max(c, 0.0), 1.0) * 255):02x}" for c in color[:3])
