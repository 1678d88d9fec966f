"""Per-frame PNGs: ``images/``, ``labels/`` and ``instances/`` beside ``classes.json``.

A label map has the uids of the tree, an instance map the number of the object within its label. It is the layout in
which `evaluation.truth` reads true labels.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..captures.capture import Frame
from ..images import write_image
from ..labels.tree import LabelTree
from .labelled import LabelledFrames
from .pictures import copy_picture


def classes_file(tree: LabelTree) -> dict[str, Any]:
    """What ``classes.json`` says: names by uid, and the tree."""
    nodes = [{**asdict(node), "color": list(node.color)} for node in tree.labels.values()]
    return {"classes": {str(node["uid"]): node["name"] for node in nodes}, "tree": nodes}


class PngWriter:
    """Writes the maps below a folder; all label maps have 16 bits, all instance maps 8."""

    def __init__(self, folder: Path, data: LabelledFrames):
        self.notes: list[str] = []
        self._folder, self._tree = folder, data.tree
        self._written = 0

    def add(self, frame: Frame, segments: np.ndarray) -> None:
        """Write one frame. segments: (H, W) int32. Raises UserError."""
        copy_picture(frame, self._folder / "images")
        write_image(self._folder / "labels" / f"{frame.name}.png", (segments >> 8).astype(np.uint16))
        write_image(self._folder / "instances" / f"{frame.name}.png", (segments & 255).astype(np.uint8))
        self._written += 1

    def finish(self) -> dict[str, int]:
        """Write ``classes.json``; how many frames there are."""
        text = json.dumps(classes_file(self._tree), indent=1, ensure_ascii=False)
        (self._folder / "classes.json").write_text(text, encoding="utf-8")
        return {"frames": self._written}
