"""What a data set is made of: frames with label and instance maps, the tree they are drawn from, whole objects.

Ids, the same in every format
    label       uid of the node in the label tree, 1 to 65535; 0 = unlabelled.
    instance    number of the object within its label, 1 to 255; 0 = no single object: stuff, or a thing's pixels that
                belong to none of its objects.
    segment     label * 256 + instance: one number for both, which fits the 24 bits of a COCO panoptic picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..captures.capture import Capture, Frame
from ..errors import UserError
from ..labels.tree import LabelTree
from ..objects.assets import LabelledScene
from ..objects.instances import Known
from ..objects.separation import separate
from ..surface.surface import Surface

MOST_INSTANCES = 255

Maps = Callable[[Frame], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Solid:
    """A whole object, for masks of what is hidden too."""

    label: int
    instance: int
    positions: np.ndarray  # (n, 3) scene metres
    faces: np.ndarray  # (m, 3)


@dataclass(frozen=True)
class Cloud:
    """The labelled scan."""

    surface: Surface
    labels: np.ndarray  # (V,) uint16
    instances: np.ndarray  # (V,) uint16
    confidence: np.ndarray  # (V,) float32 0..1


@dataclass(frozen=True)
class LabelledFrames:
    """Everything that writers need.

    Attributes:
        capture: its frames are those to write.
        tree: the label tree.
        maps: gives label and instance map of a frame, both (H, W) uint16 at the photo's pixels. Raises UserError.
        cloud: the labelled scan; None for pictures alone.
        solids: whole objects for amodal masks.
    """

    capture: Capture
    tree: LabelTree
    maps: Maps
    cloud: Cloud | None = None
    solids: tuple[Solid, ...] = ()


def segments(labels: np.ndarray, instances: np.ndarray, tree: LabelTree) -> tuple[np.ndarray, set[tuple[int, int]]]:
    """Segment ids (H, W) int32 of a frame's maps, and the objects whose numbers are too high and became 0.

    Stuff has no instances, whatever the map says.
    """
    things = np.zeros(65536, bool)
    things[[uid for uid, node in tree.labels.items() if node.thing]] = True
    wide = labels.astype(np.int32)
    numbers = np.where(things[wide], instances, 0).astype(np.int32)
    over = numbers > MOST_INSTANCES
    lost = set(zip(wide[over].tolist(), numbers[over].tolist(), strict=True))
    return np.where(wide > 0, wide * 256 + np.where(over, 0, numbers), 0), lost


def number_instances(
    scene: LabelledScene, min_size: float, known: Sequence[Known], progress: Callable[[float, str], None]
) -> Cloud:
    """The scan with labels and instance numbers as its separate objects have them; crumbs and stuff have number 0.

    Args:
        min_size: metres, known: objects that exist already and keep their numbers; see `objects.separation.separate`.

    Raises:
        UserError: nothing is labelled. Cancelled by progress.
    """
    result = separate(
        scene.surface,
        scene.labels,
        scene.confidence,
        scene.tree,
        min_size,
        scene.claims,
        known,
        scene.superpoints,
        progress,
    )
    labels = np.array([0, *(made.label for made in result.objects)], np.uint16)
    numbers = np.array([0, *(made.instance if made.thing else 0 for made in result.objects)], np.uint16)
    of = np.maximum(result.of_vertex + 1, 0)
    own = np.where(of > 0, labels[of], scene.labels).astype(np.uint16)
    return Cloud(scene.surface, own, numbers[of], scene.confidence)


def check_ids(tree: LabelTree, labels: np.ndarray, name: str) -> None:
    """Raises UserError when a frame's label map has an id that the tree does not."""
    unknown = sorted(set(np.unique(labels).tolist()) - {0, *tree.labels})
    if unknown:
        sentence = f"The label map of {name} has the id {unknown[0]}, which is not in the label tree; label it again."
        raise UserError("unknown_label", sentence)
