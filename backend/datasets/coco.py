"""COCO: panoptic pictures with their JSON, and instances as run lengths, as polygons, and whole (amodal).

The layout is that of the task descriptions on cocodataset.org. Ids of segments are those of `labelled`, so a panoptic
picture's red channel is the instance, green and blue are the label's low and high byte.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..captures.capture import Frame
from ..images import write_image
from ..labels.tree import LabelTree
from ..surface.raster import rasterize
from .labelled import LabelledFrames
from .masks import box_of, polygons, run_lengths
from .pictures import copy_picture


def categories(tree: LabelTree) -> list[dict[str, Any]]:
    """Every node of the tree: id, name, ``supercategory`` (its topmost ancestor), ``isthing`` and colour."""
    return [
        {
            "id": uid,
            "name": node.name,
            "supercategory": tree.labels[tree.path(uid)[0]].name,
            "isthing": int(node.thing),
            "color": [round(255 * channel) for channel in node.color],
        }
        for uid, node in tree.labels.items()
    ]


class CocoWriter:
    """Writes ``images/``, ``panoptic/`` and ``annotations/`` below a folder."""

    def __init__(self, folder: Path, data: LabelledFrames):
        self.notes: list[str] = []
        self._folder, self._capture, self._tree, self._solids = folder, data.capture, data.tree, data.solids
        self._images: list[dict] = []
        self._panoptic: list[dict] = []
        self._instances: list[dict] = []
        self._outlines: list[dict] = []
        self._whole: list[dict] = []

    def add(self, frame: Frame, segments: np.ndarray) -> None:
        """Write one frame. segments: (H, W) int32. Raises UserError."""
        number = len(self._images) + 1
        picture = copy_picture(frame, self._folder / "images")
        height, width = segments.shape
        self._images.append({"id": number, "file_name": picture.name, "width": width, "height": height})
        bytes_ = np.stack([segments & 255, segments >> 8 & 255, segments >> 16], axis=-1).astype(np.uint8)
        write_image(self._folder / "panoptic" / f"{frame.name}.png", bytes_)
        found = []
        for segment in np.unique(segments[segments > 0]).tolist():
            mask = segments == segment
            found.append(self._segment(segment, mask))
            if self._tree.labels[segment >> 8].thing:
                self._add_instance(number, segment, mask, found[-1])
        self._panoptic.append({"image_id": number, "file_name": f"{frame.name}.png", "segments_info": found})
        self._add_whole(number, frame, segments)

    def _segment(self, segment: int, mask: np.ndarray) -> dict:
        thing = self._tree.labels[segment >> 8].thing
        return {
            "id": segment,
            "category_id": segment >> 8,
            "area": int(mask.sum()),
            "bbox": box_of(mask),
            "iscrowd": int(thing and not segment & 255),
        }

    def _add_instance(self, image: int, segment: int, mask: np.ndarray, known: dict) -> None:
        entry = {**known, "id": len(self._instances) + 1, "image_id": image, "instance": segment & 255}
        self._instances.append({**entry, "segmentation": run_lengths(mask)})
        if not known["iscrowd"]:  # a crowd has no polygons
            self._outlines.append({**entry, "segmentation": polygons(mask)})

    def _add_whole(self, image: int, frame: Frame, segments: np.ndarray) -> None:
        """What the camera would see of each object if nothing were in front of it."""
        pose = self._capture.camera_to_scene(frame)
        for solid in self._solids:
            visible = segments == solid.label * 256 + solid.instance
            whole = visible | (rasterize(solid.positions, solid.faces, frame.intrinsics, pose).face >= 0)
            if not whole.any():
                continue
            area = int(whole.sum())
            self._whole.append(
                {
                    "id": len(self._whole) + 1,
                    "image_id": image,
                    "category_id": solid.label,
                    "instance": solid.instance,
                    "area": area,
                    "bbox": box_of(whole),
                    "iscrowd": 0,
                    "segmentation": run_lengths(whole),
                    "visible_mask": run_lengths(visible),
                    "occlude_rate": round(1 - int(visible.sum()) / area, 6),
                }
            )

    def finish(self) -> dict[str, int]:
        """Write the annotations; how many there are."""
        named = {"instances": self._instances, "instances_polygons": self._outlines}
        if self._solids:
            named["instances_amodal"] = self._whole
        classes = categories(self._tree)
        things = [entry for entry in classes if entry["isthing"]]
        place = self._folder / "annotations"
        place.mkdir(parents=True, exist_ok=True)
        info = {"description": self._capture.name}
        for name, entries, known in (
            *((name, entries, things) for name, entries in named.items()),
            ("panoptic", self._panoptic, classes),
        ):
            data = {"info": info, "images": self._images, "annotations": entries, "categories": known}
            (place / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        return {"segments": sum(len(one["segments_info"]) for one in self._panoptic)} | {
            name: len(entries) for name, entries in named.items()
        }
