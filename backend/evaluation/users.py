"""Simulated users who click on pixels of training frames: one click per class, then corrections or answers.

The first clicks and the protocol "largest-error" follow interactive segmentation's usual simulated annotator (the
middle of the largest wrong region, as in InterObject3D, on frames as in iLabel): one click inside the largest visible
blob of each class, then each click inside the largest wrong blob of a frame drawn at random.
"random-error" clicks any wrong pixel of a random frame. The three "queries" let the engine ask (iLabel, Section 3.2):
a frame drawn by its mean uncertainty, a pixel from its most uncertain twentieth, answered from the truth. "random"
answers for random pixels: what active choice is worth is the difference to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..captures.capture import Frame
from .truth import Truth

QUERIES = {"queries-entropy": "entropy", "queries-least-confidence": "least-confidence", "queries-margin": "margin"}
PROTOCOLS = ("largest-error", "random-error", *QUERIES, "random")
ASKED = 3  # pixels around an earlier click that are not clicked again
SMALLEST = 12  # pixels of a mistake that somebody would see
QUERY_FRAMES = 10  # random frames among which the uncertain one is drawn
QUERY_SHARE = 0.05  # of a frame's pixels, the most uncertain, from which one is asked

Look = Callable[[Frame], np.ndarray]  # a frame to an (H, W) map


@dataclass(frozen=True)
class Click:
    """A click with its true label on a pixel of a training frame."""

    frame: str
    u: int
    v: int
    label: int


class User:
    """Clicks on training frames; every choice comes from the seed.

    Args:
        frames: training frames only; those without a label map give no clicks.
        truth: label maps.
        protocol: one of PROTOCOLS.
    """

    def __init__(self, frames: Sequence[Frame], truth: Truth, protocol: str = "largest-error", seed: int = 0):
        if protocol not in PROTOCOLS:
            raise ValueError(f"no protocol called {protocol}")
        self._frames = [frame for frame in frames if frame.name in truth]
        self._truth, self.protocol = truth, protocol
        self._random = np.random.default_rng(seed)
        self.clicks: list[Click] = []

    def first_clicks(self) -> list[Click]:
        """One click per class inside its largest visible blob, classes by id.

        Which of the three frames with the largest blobs is drawn, so that seeds differ from the first click on.
        """
        blobs: dict[int, list[tuple[int, str]]] = {}
        for frame in self._frames:
            truth = self._truth.of(frame.name)
            for uid in np.unique(truth[truth > 0]).tolist():
                size = _largest(truth == uid)[1]
                blobs.setdefault(uid, []).append((size, frame.name))
        for uid in sorted(blobs):
            best = sorted(blobs[uid], key=lambda entry: (-entry[0], entry[1]))[:3]
            # A frame in which the class is much smaller is not where a person would click it.
            good = [name for size, name in best if 2 * size >= best[0][0]]
            name = good[int(self._random.integers(len(good)))]
            blob, _ = _largest(self._truth.of(name) == uid)
            self._click(name, _middle(blob), uid)
        return list(self.clicks)

    def next_click(self, labels: Look, uncertainty: Callable[[str], Look] | None = None) -> Click | None:
        """The following click; None when nothing is left to say.

        Args:
            labels: predicted label map of a frame.
            uncertainty: for the protocols that let the engine ask: its uncertainty map of a frame by a measure.
        """
        if self.protocol == "largest-error":
            return self._correct(labels, largest=True)
        if self.protocol == "random-error":
            return self._correct(labels, largest=False)
        if self.protocol == "random":
            return self._answer(lambda frame: np.ones(self._truth.of(frame.name).shape, np.float32), 1.0)
        return self._answer(uncertainty(QUERIES[self.protocol]), QUERY_SHARE)

    def _correct(self, labels: Look, largest: bool) -> Click | None:
        for at in self._random.permutation(len(self._frames)).tolist():
            frame = self._frames[at]
            truth = self._truth.of(frame.name)
            wrong = (labels(frame) != truth) & (truth > 0) & ~self._asked(frame.name, truth.shape)
            if largest:
                found = self._largest_mistake(wrong, truth)
                if found is not None:
                    return self._click(frame.name, _middle(found), None)
            elif wrong.sum() >= SMALLEST:
                place = np.flatnonzero(wrong)
                pixel = np.unravel_index(int(self._random.choice(place)), wrong.shape)
                return self._click(frame.name, pixel, None)
        return None

    @staticmethod
    def _largest_mistake(wrong: np.ndarray, truth: np.ndarray) -> np.ndarray | None:
        """The largest connected wrong region of one true class, at least SMALLEST pixels."""
        best, size = None, SMALLEST - 1
        for uid in np.unique(truth[wrong]).tolist():
            chosen = wrong & (truth == uid)
            if chosen.sum() > size:
                blob, pixels = _largest(chosen)
                if pixels > size:
                    best, size = blob, pixels
        return best

    def _answer(self, uncertainty: Look, share: float) -> Click | None:
        some = self._random.permutation(len(self._frames))[:QUERY_FRAMES].tolist()
        maps = [uncertainty(self._frames[at]) for at in some]
        weight = np.array([float(one.mean()) for one in maps]) + 1e-9
        for turn in self._random.choice(len(some), len(some), replace=False, p=weight / weight.sum()).tolist():
            frame = self._frames[some[turn]]
            truth = self._truth.of(frame.name)
            free = np.flatnonzero((truth > 0) & ~self._asked(frame.name, truth.shape))
            if not len(free):
                continue
            value = maps[turn].ravel()[free]
            count = max(int(share * len(free)), 1)
            top = free[np.argsort(-value, kind="stable")[:count]]
            return self._click(frame.name, np.unravel_index(int(self._random.choice(top)), truth.shape), None)
        return None

    def _asked(self, frame: str, shape: tuple[int, int]) -> np.ndarray:
        """(H, W) bool: pixels near earlier clicks on this frame."""
        asked = np.zeros(shape, bool)
        for click in self.clicks:
            if click.frame == frame:
                rows = slice(max(click.v - ASKED, 0), click.v + ASKED + 1)
                asked[rows, max(click.u - ASKED, 0) : click.u + ASKED + 1] = True
        return asked

    def _click(self, frame: str, pixel: tuple, label: int | None) -> Click:
        v, u = int(pixel[0]), int(pixel[1])
        click = Click(frame, u, v, int(self._truth.of(frame)[v, u]) if label is None else label)
        self.clicks.append(click)
        return click


def _largest(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """The largest 4-connected region of a mask and its number of pixels; of equal ones the first."""
    regions, count = ndimage.label(mask)
    if not count:
        return mask, 0
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    best = int(sizes.argmax())
    return regions == best, int(sizes[best])


def _middle(blob: np.ndarray) -> tuple[int, int]:
    """(row, column) of the pixel of a region that is farthest from its rim."""
    rows, columns = np.flatnonzero(blob.any(axis=1)), np.flatnonzero(blob.any(axis=0))
    top, left = rows[0], columns[0]
    part = np.pad(blob[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    inside = ndimage.distance_transform_edt(part)[1:-1, 1:-1]
    v, u = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(v + top), int(u + left)
