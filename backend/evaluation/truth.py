"""What is really there: per-frame label maps and the names, and if wanted the tree, of their classes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..captures.capture import Capture, Frame
from ..captures.images import BROKEN, BrokenImage, read_header
from ..errors import UserError
from ..labels.tree import LabelTree
from ..protocol import MAX_UID, DocumentError, checked_document

IGNORED = 0  # id of pixels that nobody asks about
MAX_JSON = 16 << 20


@dataclass(frozen=True)
class Truth:
    """True label maps of a capture's frames, and the label tree that they are drawn from."""

    tree: LabelTree
    nodes: list[dict[str, Any]]  # the tree as a label document says it
    _maps: dict[str, Path] = field(repr=False)
    _sizes: dict[str, tuple[int, int]] = field(repr=False)
    _cache: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __contains__(self, frame: str) -> bool:
        return frame in self._maps

    def of(self, frame: str) -> np.ndarray:
        """(H, W) uint16 uids of a frame at its photo's size, 0 = not counted. Raises UserError."""
        if frame not in self._cache:
            labels = read_labels(self._maps[frame])
            height, width = self._sizes[frame]
            if labels.shape != (height, width):
                raise UserError(
                    "bad_truth",
                    f"The label map {self._maps[frame].name} has {labels.shape[1]} x {labels.shape[0]} pixels but its "
                    f"photo has {width} x {height}; scale it without smoothing.",
                )
            unknown = sorted(set(np.unique(labels).tolist()) - {IGNORED, *self.tree.labels})
            if unknown:
                raise UserError(
                    "bad_truth",
                    f"The label map {self._maps[frame].name} has the id {unknown[0]}, but classes.json has no such id.",
                )
            self._cache[frame] = labels.astype(np.uint16)
        return self._cache[frame]

    def name(self, uid: int) -> str:
        """Name of a class."""
        return self.tree.labels[uid].name

    @property
    def depth(self) -> int:
        """Number of levels of the tree; 1 when it is flat."""
        return max(len(self.tree.path(uid)) for uid in self.tree.labels)

    def levels(self) -> dict[str, np.ndarray]:
        """Tables (largest uid + 1,) uint16 that take a uid to what it is at a level of the tree.

        "leaves" leaves every uid as it is; "level 1" is the ancestor right below the root, "level 2" the one below
        that, and so on above the leaves.
        """
        size = max(self.tree.labels) + 1
        tables = {"leaves": np.arange(size, dtype=np.uint16)}
        for level in range(1, self.depth):
            table = np.zeros(size, np.uint16)
            for uid in self.tree.labels:
                path = self.tree.path(uid)
                table[uid] = path[min(level, len(path)) - 1]
            tables[f"level {level}"] = table
        return tables


def load_truth(folder: Path, capture: Capture) -> Truth:
    """Read `LABELS`: one `<frame name>.png` (8 or 16 bit ids) per frame, and `classes.json` in it or beside it.

    `classes.json` is `{id: name}`, or `{"classes": {id: name}, "tree": [...]}`, or a label document with a `tree`;
    without a tree of its own, a `label_tree.json` beside it is taken. Raises UserError.
    """
    if not folder.is_dir():
        raise UserError("no_truth", f"{folder} is not a folder; --truth takes the folder of the label maps.")
    maps = {frame.name: folder / f"{frame.name}.png" for frame in capture.frames}
    maps = {name: path for name, path in maps.items() if path.is_file()}
    if not maps:
        example = capture.frames[0].name if capture.frames else "000000"
        raise UserError(
            "no_truth",
            f"{folder} has no label map for any frame of the capture; they must be called like the frames, "
            f"for example {example}.png.",
        )
    nodes = _nodes(folder)
    return Truth(LabelTree.from_document({"tree": nodes}), nodes, maps, {f.name: _size(f) for f in capture.frames})


def read_labels(path: Path) -> np.ndarray:
    """(H, W) ids of an 8 or 16 bit PNG with one channel (a palette's indices count as they are). Raises UserError."""
    try:
        read_header(path)
        with Image.open(path, formats=("PNG",)) as image:
            labels = np.asarray(image)
    except (BrokenImage, *BROKEN) as error:
        raise UserError("bad_truth", f"The label map {path.name} is damaged or no PNG.", repr(error)) from error
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() > MAX_UID:
        raise UserError("bad_truth", f"The label map {path.name} must have one channel of 8 or 16 bit ids.")
    return labels


def _size(frame: Frame) -> tuple[int, int]:
    return frame.intrinsics.height, frame.intrinsics.width


def _nodes(folder: Path) -> list[dict[str, Any]]:
    path = next((p for p in (folder / "classes.json", folder.parent / "classes.json") if p.is_file()), None)
    if path is None:
        raise UserError("no_classes", f'{folder} has no classes.json that names its ids, like {{"1": "wall"}}.')
    data = _json(path)
    tree = data.get("tree") if isinstance(data, dict) else None
    beside = path.with_name("label_tree.json")
    if tree is None and beside.is_file():
        tree = _json(beside).get("tree")
    if tree is None:
        named = data.get("classes", data) if isinstance(data, dict) else data
        tree = _flat(named, path)
    try:
        nodes = checked_document({"tree": tree, "marks": []})["tree"]
    except DocumentError as error:
        raise UserError("bad_classes", f"{path.name}: {error}") from error
    if not nodes:
        raise UserError("bad_classes", f"{path.name} names no class.")
    return nodes


def _flat(named: Any, path: Path) -> list[dict[str, Any]]:
    problem = f'{path.name} must map ids from 1 to {MAX_UID} to names, like {{"1": "wall"}}.'
    if not isinstance(named, dict):
        raise UserError("bad_classes", problem)
    try:
        entries = [{"uid": int(uid), "name": name, "parent": 0} for uid, name in named.items()]
    except (TypeError, ValueError) as error:
        raise UserError("bad_classes", problem, repr(error)) from error
    return [entry for entry in entries if entry["uid"] != IGNORED]


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON:
            raise UserError("json_too_large", f"{path.name} is larger than {MAX_JSON >> 20} MB.")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError("cannot_read", f"{path} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, RecursionError) as error:
        raise UserError("not_json", f"{path.name} is not JSON in UTF-8; check the file.", repr(error)) from error
