"""A scene in the folders of ScanNet: ``color depth pose intrinsic`` with ``label`` and ``instance``.

Frames are numbered from 0. ``label/`` has 16-bit ids, which ``scannetv2-labels.combined.tsv`` names; ``instance/``
numbers the objects of the whole scene from 1, and ``<scene>.aggregation.json`` says which label each has (its
``objectId`` is that number less 1). ``label-filt`` and ``instance-filt`` are the same pictures under the names of
ScanNet's filtered ones. Sources: ScanNet's ``README.md``.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np

from ..captures.capture import Frame, Intrinsics
from ..captures.convert import convert
from ..errors import UserError
from ..images import write_image
from ..progress import silent
from .labelled import LabelledFrames

MOST_OBJECTS = 65535


class ScanNetWriter:
    """Writes one scene below a folder.

    Raises:
        UserError: the frames were taken with different cameras, for which the layout has no place.
    """

    def __init__(self, folder: Path, data: LabelledFrames):
        cameras = {(_rounded(frame.intrinsics), _rounded(frame.depth_intrinsics)) for frame in data.capture.frames}
        if len(cameras) > 1:
            sentence = "ScanNet's layout has one camera for all frames, but these differ; leave scannet out."
            raise UserError("cannot_convert", sentence)
        self.notes: list[str] = []
        self._folder, self._capture, self._tree = folder, data.capture, data.tree
        self._maps = folder.with_name(folder.name + "-maps")
        self._frames: list[Frame] = []
        self._numbers: dict[int, int] = {}  # segment -> number in the scene

    def add(self, frame: Frame, segments: np.ndarray) -> None:
        """Write one frame. segments: (H, W) int32. Raises UserError."""
        name = f"{len(self._frames)}.png"
        found, inverse = np.unique(segments, return_inverse=True)
        for segment in found.tolist():
            if segment & 255 or (segment and not self._tree.labels[segment >> 8].thing):
                self._numbers.setdefault(segment, len(self._numbers) + 1)
        if len(self._numbers) > MOST_OBJECTS:
            raise UserError("too_many_objects", f"ScanNet's layout has room for {MOST_OBJECTS} objects; leave it out.")
        numbers = np.array([self._numbers.get(segment, 0) for segment in found.tolist()], np.uint16)
        write_image(self._maps / "label" / name, (segments >> 8).astype(np.uint16))
        write_image(self._maps / "instance" / name, numbers[inverse.reshape(segments.shape)])
        self._frames.append(frame)

    def finish(self) -> dict[str, int]:
        """Write photos, depth and cameras, and the tables; how many frames and objects there are."""
        capture = replace(self._capture, frames=tuple(self._frames))
        self.notes = convert(capture, "scannet", self._folder, silent)
        for kind in ("label", "instance"):
            (self._maps / kind).rename(self._folder / kind)
            shutil.copytree(self._folder / kind, self._folder / f"{kind}-filt")
        self._maps.rmdir()
        table = StringIO()
        rows = csv.writer(table, delimiter="\t", lineterminator="\n")
        rows.writerow(["id", "raw_category", "category"])
        for uid, node in self._tree.labels.items():
            path = "/".join(self._tree.labels[step].name for step in self._tree.path(uid))
            rows.writerow([uid, node.name, path])
        (self._folder / "scannetv2-labels.combined.tsv").write_text(table.getvalue(), encoding="utf-8")
        groups = [
            {
                "objectId": number - 1,
                "id": number - 1,
                "label": self._tree.labels[segment >> 8].name,
                "labelId": segment >> 8,
                "instance": segment & 255,
            }
            for segment, number in self._numbers.items()
        ]
        data = {"sceneId": self._capture.name, "appId": "Clickfield", "segGroups": groups}
        path = self._folder / f"{self._folder.name}.aggregation.json"
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
        return {"frames": len(self._frames), "objects": len(self._numbers)}


def _rounded(camera: Intrinsics) -> tuple[float, ...]:
    return tuple(round(v, 5) for v in (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy))
