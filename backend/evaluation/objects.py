"""One object at a time on a labelled mesh: the protocol of InterObject3D (Kontogianni et al. 2023).

The simulated user clicks into the middle of the object first, and then always into the middle of the largest wrong
region: positive where part of the object is missing, negative where something else was taken for it. Reported are the
mean IoU after k clicks and the number of clicks (NOC) that reach an IoU, MOST where it is never reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..labels.engine import LabelEngine
from ..labels.placement import PlacedMark
from ..labels.tree import Label, LabelTree
from ..progress import silent
from ..surface.features import components, mesh_edges
from ..surface.surface import Superpoints, Surface
from .baselines import RandomWalker
from .engines import Engine

OBJECT, BACKGROUND = 1, 2  # uids
MOST = 20  # clicks per object
REPORTED = (1, 2, 3, 5, 10, 15, 20)
REACHED = (80, 85, 90)  # percent of IoU
SMALLEST = 50  # vertices of an object that is worth asking for

Masks = Callable[[Sequence[PlacedMark]], np.ndarray]  # marks of OBJECT with both signs to (V,) bool


@dataclass(frozen=True)
class ObjectRun:
    """How one object went."""

    instance: int
    vertices: int
    iou: list[float]  # after 1, 2, ... MOST clicks
    seconds: list[float]  # from each click to the mask

    def clicks_to(self, percent: int) -> int:
        """Clicks that reach an IoU, MOST where none do."""
        reached = np.flatnonzero(np.array(self.iou) >= percent / 100)
        return int(reached[0]) + 1 if len(reached) else MOST


def summary(runs: Sequence[ObjectRun]) -> dict[str, float]:
    """IoU@k in percent and NOC@q, means over objects, and the seconds from click to mask."""
    if not runs:
        return {}
    found = {f"IoU@{k}": 100 * float(np.mean([run.iou[k - 1] for run in runs])) for k in REPORTED}
    found |= {f"NOC@{percent}": float(np.mean([run.clicks_to(percent) for run in runs])) for percent in REACHED}
    seconds = [second for run in runs for second in run.seconds]
    return {**found, "seconds_median": float(np.median(seconds)), "seconds_worst": max(seconds)}


def graph_masks(surface: Surface, superpoints: Superpoints) -> Masks:
    """The label engine with a single label: negative marks are denials."""
    engine = LabelEngine(surface, superpoints)
    tree = LabelTree([Label(OBJECT, "Object", 0, "class", True, (0.9, 0.5, 0.1))])
    return lambda marks: engine.predict(tree, list(marks)).labels == OBJECT


def walker_masks(surface: Surface, superpoints: Superpoints) -> Masks:
    """A random walker between object and background: what negative marks are to methods that know only labels."""
    engine: Engine = RandomWalker(surface, superpoints)

    def masks(marks: Sequence[PlacedMark]) -> np.ndarray:
        named = [
            PlacedMark(mark.id, OBJECT if mark.sign > 0 else BACKGROUND, 1, mark.vertices, mark.points)
            for mark in marks
        ]
        return engine.update({}, named).labels == OBJECT

    return masks


class ObjectUser:
    """Clicks on one mesh."""

    def __init__(self, surface: Surface):
        self._surface = surface
        self._edges = mesh_edges(surface.faces, len(surface.vertices))
        self._rim = _open_rim(surface.faces, len(surface.vertices))

    def click(self, number: int, mask: np.ndarray, truth: np.ndarray) -> PlacedMark | None:
        """The next click for a predicted mask (V,) bool; None when it is right everywhere."""
        wrong = mask != truth
        if not wrong.any():
            return None
        a, b = self._edges.T
        same = wrong[a] & wrong[b] & (truth[a] == truth[b])
        ids = components(self._edges[same], len(wrong))
        largest = int(np.bincount(ids[wrong]).argmax())
        region = wrong & (ids == largest)
        vertex = self._middle(region)
        at = np.array([vertex], np.int64)
        return PlacedMark(number, OBJECT, 1 if truth[vertex] else -1, at, self._surface.vertices[at])

    def _middle(self, region: np.ndarray) -> int:
        """The vertex of a region that is farthest from what is around it and from where the scan ends."""
        inside = np.flatnonzero(region)
        a, b = self._edges.T
        around = np.unique(np.concatenate([b[region[a] & ~region[b]], a[region[b] & ~region[a]]]))
        around = np.union1d(around, np.flatnonzero(region & self._rim))
        points = self._surface.vertices
        if not len(around):  # a closed piece by itself
            return int(inside[((points[inside] - points[inside].mean(axis=0)) ** 2).sum(axis=1).argmin()])
        return int(inside[cKDTree(points[around]).query(points[inside])[0].argmax()])


def _open_rim(faces: np.ndarray, count: int) -> np.ndarray:
    """Vertices (count,) bool at edges that only one triangle has."""
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64), axis=1)
    keys, times = np.unique(pairs[:, 0] * count + pairs[:, 1], return_counts=True)
    rim = np.zeros(count, bool)
    rim[keys[times == 1] // count] = True
    rim[keys[times == 1] % count] = True
    return rim


def segment_object(user: ObjectUser, masks: Masks, truth: np.ndarray, instance: int = 1) -> ObjectRun:
    """Play the protocol for the object whose vertices are ``truth`` (V,) bool.

    A mask that is right everywhere ends the clicks; its IoU stands for those that were not needed.
    """
    marks: list[PlacedMark] = []
    iou, seconds = [], []
    mask = np.zeros(len(truth), bool)
    while len(iou) < MOST:
        click = user.click(len(marks) + 1, mask, truth)
        if click is None:
            break
        marks.append(click)
        started = time.perf_counter()
        mask = masks(marks)
        seconds.append(time.perf_counter() - started)
        iou.append(float((mask & truth).sum() / max((mask | truth).sum(), 1)))
    return ObjectRun(instance, int(truth.sum()), iou + [iou[-1]] * (MOST - len(iou)), seconds)


def run_objects(
    surface: Surface,
    instances: np.ndarray,
    masks: Masks,
    progress: Callable[[float, str], None] = silent,
) -> list[ObjectRun]:
    """Every object of at least SMALLEST vertices, one after another.

    Args:
        instances: (V,) int, 0 = belongs to no object.
    """
    user = ObjectUser(surface)
    ids, sizes = np.unique(instances[instances > 0], return_counts=True)
    chosen = ids[sizes >= SMALLEST].tolist()
    runs = []
    for turn, instance in enumerate(chosen):
        progress(turn / len(chosen), f"Object {turn + 1} of {len(chosen)}")
        runs.append(segment_object(user, masks, instances == instance, int(instance)))
    return runs
