"""The neural field as the posterior's student: it learns what the posterior says and decides where that is unsure.

The posterior is constant on superpoints; the field is continuous. Once the field agrees with its teacher where the
teacher is sure, the two together decide the rest: borders below superpoints, and everything that is no vertex (novel
views). It never overrules a sure posterior, nor a mark.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..captures.capture import Capture, Intrinsics
from ..errors import UserError
from ..field.bare import SurfaceDistances, pool_from_surface
from ..field.field import Field
from ..field.persistence import load, save
from ..field.rendering import render_rays
from ..field.sampling import PointSampler, build_pool
from ..field.training import FieldTrainer, Marks, PointCache, TrainingConfig, new_field
from ..surface.fusion import Volume, fuse
from ..surface.surface import Superpoints, Surface
from .engine import Prediction
from .placement import PlacedMark
from .views import LabelView

AGREEMENT = 0.97  # with the teacher where it is sure, before the field may speak
SURE = 0.6  # confidence from which the teacher is asked whether they agree
OPEN = 0.9  # confidence below which the field has a say
PROBES = 20_000
CACHE_POINTS = 1 << 15
RAYS = 4096  # rendered at a time
NEAR, FAR = 0.05, 30.0  # metres
CONFIG = TrainingConfig()


class Student:
    """One scene's field and its training, in slices.

    Args:
        stem: where the settled field is kept, path without suffix; None keeps it nowhere.
        capture: with frames it teaches geometry and colour; without any the surface itself does.
        volume: the fused volume; None when the surface came from the cache, then it is fused again if needed.
        check: called often during long work; raises Cancelled.
    """

    STEPS = CONFIG.geometry_steps + CONFIG.label_steps

    def __init__(
        self,
        stem: Path | None,
        capture: Capture,
        surface: Surface,
        superpoints: Superpoints,
        volume: Volume | None,
        device: torch.device,
        check: Callable[[float, str], None],
    ):
        self._stem, self._surface, self._superpoints = stem, surface, superpoints
        self._vertices = torch.from_numpy(surface.vertices).float()
        self._assignment = torch.from_numpy(superpoints.ids).long()
        self._codes: list[torch.Tensor] = []
        self._cache: PointCache | None = None
        self._columns: np.ndarray | None = None  # uids that the field's label outputs stand for
        field = self._saved_field()
        if field is not None:
            self._trainer = FieldTrainer(field, None, device, CONFIG)
            return
        if capture.frames:
            volume = volume if volume is not None else fuse(capture, check, device=str(device))
            broken = {one.name for one in volume.left_out}
            readable = replace(capture, frames=tuple(frame for frame in capture.frames if frame.name not in broken))
            pool = build_pool(readable, volume, check)
        else:
            volume = SurfaceDistances(surface)
            pool = pool_from_surface(surface, volume, check)
        self._trainer = FieldTrainer(new_field(surface, volume), PointSampler(pool), device, CONFIG)

    def _saved_field(self) -> Field | None:
        if self._stem is None or not self._stem.with_name(self._stem.name + ".json").exists():
            return None
        try:
            field, _ = load(self._stem)
        except UserError:  # damaged: it is trained again and replaced
            return None
        return field

    @property
    def steps(self) -> int:
        """Steps taken for geometry and for the labels at hand."""
        return self._trainer.step + self._trainer.label_steps_taken

    @property
    def geometry_done(self) -> bool:
        """Whether geometry and colour are settled and every vertex's code is known."""
        return self._cache is not None

    @property
    def labels_done(self) -> bool:
        """Whether the field has learnt the posterior that it was last given."""
        return self._columns is not None and self._trainer.labels_done

    def geometry_slice(self, seconds: float) -> float | None:
        """Train geometry and colour for about so long; the loss, or None when no step was taken. Raises UserError."""
        end, loss = time.perf_counter() + seconds, None
        while time.perf_counter() < end:
            if not self._trainer.geometry_done:
                loss = self._trainer.geometry_step()["total"]
            elif not self._trainer.settled:
                self._trainer.settle()
                self.save()
            elif len(self._codes) * CACHE_POINTS < len(self._vertices):
                start = len(self._codes) * CACHE_POINTS
                self._codes.append(self._trainer.cache_points(self._vertices[start : start + CACHE_POINTS]).code)
            else:
                here = [code.to(self._trainer.device) for code in self._codes]  # a full GPU hands over
                self._cache, self._codes = PointCache(torch.cat(here)), []
                break
        return loss

    def save(self) -> int:
        """Keep the settled field; bytes written. Raises UserError."""
        if self._stem is None or not self._trainer.settled:
            return 0
        return save(self._trainer.field, self._stem, {"steps": self._trainer.step})

    def forget_labels(self) -> None:
        """The posterior changed: the next `label_slice` starts anew."""
        self._columns = None

    def label_slice(self, prediction: Prediction, marks: Sequence[PlacedMark], seconds: float) -> float | None:
        """Learn the posterior for about so long; always the same steps from the same seed. The last loss."""
        if self._columns is None:
            self._start(prediction, marks)
        end, loss = time.perf_counter() + seconds, None
        while not self._trainer.labels_done and time.perf_counter() < end:
            loss = self._trainer.label_step()["total"]
        return loss

    def _start(self, prediction: Prediction, marks: Sequence[PlacedMark]) -> None:
        column = {int(uid): index for index, uid in enumerate(prediction.uids)}
        known = [mark for mark in marks if mark.problem is None and mark.label in column and len(mark.points)]
        known.sort(key=lambda mark: mark.id)
        taught = Marks(
            torch.from_numpy(np.array([mark.points[0] for mark in known], np.float32).reshape(-1, 3)),
            torch.tensor([column[mark.label] for mark in known], dtype=torch.long),
            torch.tensor([float(mark.sign) for mark in known]),
        )
        self._trainer.start_labels(
            outputs=len(prediction.uids),
            points=self._cache,
            targets=torch.from_numpy(np.ascontiguousarray(prediction.probability)),
            marks=taught,
            assignment=self._assignment,
        )
        self._columns = prediction.uids

    def refined(self, prediction: Prediction, marks: Sequence[PlacedMark]) -> Prediction:
        """The posterior, decided by the field where it is unsure; the posterior itself if they do not agree."""
        labelled = prediction.labels != 0
        free = labelled & (prediction.confidence < OPEN)
        for mark in marks:
            free[mark.vertices] = False
        sure, unsure = np.flatnonzero(labelled & (prediction.confidence >= SURE)), np.flatnonzero(free)
        if not len(sure) or not len(unsure):
            return prediction
        probes = sure[:: -(-len(sure) // PROBES)]
        says = prediction.uids[self._ask(probes).argmax(1)]
        if (says == prediction.labels[probes]).mean() < AGREEMENT:
            return prediction
        joint = self._ask(unsure) * prediction.probability[self._superpoints.ids[unsure]]
        labels = prediction.labels.copy()
        decided = joint.max(1) > 0
        labels[unsure[decided]] = prediction.uids[joint[decided].argmax(1)]
        return replace(prediction, labels=labels)

    def _ask(self, vertices: np.ndarray) -> np.ndarray:
        codes = PointCache(self._cache.code[torch.from_numpy(vertices).to(self._cache.code.device)])
        return self._trainer.query_labels(codes).cpu().numpy()

    def fill(self, view: LabelView, intrinsics: Intrinsics, camera_to_scene: np.ndarray) -> LabelView:
        """A view whose holes, where the scan has no surface, show what the field has there.

        Volume rendering of colour, depth and label logits along those rays (iLabel, Equation 2). Where the scan has a
        surface its own colours are sharper and its labels the same.
        """
        rows, columns = np.nonzero(view.depth <= 0)
        if not self.geometry_done or not len(rows):
            return view
        pixels = np.stack([columns, rows], 1).astype(np.float64)
        rays = intrinsics.unproject(pixels, np.ones(len(pixels))) @ camera_to_scene[:3, :3].T
        directions = torch.from_numpy(rays.astype(np.float32)).to(self._trainer.device)
        origin = torch.from_numpy(camera_to_scene[:3, 3].astype(np.float32)).to(directions)
        color, depth, labels = view.color.copy(), view.depth.copy(), view.labels.copy()
        for start in range(0, len(rows), RAYS):
            some = directions[start : start + RAYS]
            with torch.no_grad():
                seen = render_rays(self._trainer.field, origin.expand_as(some), some, NEAR, FAR)
            hit = (seen.opacity > 0.5).cpu().numpy()
            at = rows[start : start + RAYS][hit], columns[start : start + RAYS][hit]
            color[at] = (seen.color.cpu().numpy()[hit] * 255).round().astype(np.uint8)
            depth[at] = seen.depth.cpu().numpy()[hit]
            # A single output says nothing: it is the same everywhere.
            if self.labels_done and seen.logits is not None and len(self._columns) > 1:
                labels[at] = self._columns[seen.logits.argmax(1).cpu().numpy()[hit]]
        return replace(view, color=color, depth=depth, labels=labels)
