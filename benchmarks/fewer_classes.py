"""The truth of a scene as a person labels who cares for its main classes alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.evaluation.truth import IGNORED, Truth
from backend.labels.tree import LabelTree


def with_fewer_classes(truth: Truth, frames: list[str], most: int) -> Truth:
    """The same truth with those classes alone that have most pixels; the others are not counted.

    Data sets are usually scored so: NYUv2 in 13 of its classes, ScanNet in 20.

    Args:
        frames: names of all frames with a label map; pixels of all of them count.
        most: classes that stay, at most.
    """
    maps = {frame: truth.of(frame) for frame in frames if frame in truth}
    pixels = np.bincount(np.concatenate([labels.ravel() for labels in maps.values()]), minlength=1 << 16)
    pixels[IGNORED] = 0
    kept = set(np.argsort(-pixels, kind="stable")[:most].tolist())
    parents = {node["parent"] for node in truth.nodes}
    nodes = [node for node in truth.nodes if node["uid"] in kept | parents]
    now = np.arange(1 << 16, dtype=np.uint16)
    now[[uid for uid in range(1 << 16) if uid not in kept]] = IGNORED
    counted = {frame: now[labels] for frame, labels in maps.items()}
    return replace(truth, tree=LabelTree.from_document({"tree": nodes}), nodes=nodes, _cache=counted)
