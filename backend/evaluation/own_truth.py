"""The truth that a capture brings itself: label maps of its frames, as the readers of data sets find them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..captures.capture import Capture, Frame
from ..errors import UserError
from ..labels.tree import LabelTree
from ..protocol import MAX_LABELS, MAX_UID, checked_document
from .truth import IGNORED, Truth


@dataclass(frozen=True)
class OwnTruth(Truth):
    """Label maps that the frames load themselves."""

    _frames: dict[str, Frame] = field(default_factory=dict, repr=False)

    def __contains__(self, frame: str) -> bool:
        return frame in self._frames

    def of(self, frame: str) -> np.ndarray:
        """(H, W) uint16 uids of a frame at its photo's size, 0 = not counted. Raises UserError."""
        if frame not in self._cache:
            self._cache[frame] = _uids(self._frames[frame].labels())
        return self._cache[frame]


def truth_of(capture: Capture) -> Truth:
    """The truth of a capture whose frames have label maps: every id that they show is a class, 0 is not counted.

    All label maps are read once, to know the classes; classes without a name are called by their id.

    Raises:
        UserError: no frame has a label map, or one cannot be read.
    """
    frames = {frame.name: frame for frame in capture.frames if frame.load_labels is not None}
    if not frames:
        sentence = (
            f"simulate needs --truth, the folder of label maps and classes.json: {capture.name} brings none of its own."
        )
        raise UserError("no_truth", sentence)
    shown = np.zeros(MAX_UID + 1, bool)
    for frame in frames.values():
        shown[_uids(frame.labels())] = True
    ids = [uid for uid in np.flatnonzero(shown).tolist() if uid != IGNORED]
    if not 0 < len(ids) <= MAX_LABELS:
        raise UserError("no_truth", f"The label maps of {capture.name} show {len(ids)} classes, which is no use.")
    tree = [{"uid": uid, "name": str(capture.classes.get(uid) or f"class {uid}")[:256]} for uid in ids]
    nodes = checked_document({"tree": tree, "marks": []})["tree"]
    return OwnTruth(LabelTree.from_document({"tree": nodes}), nodes, {}, {}, _frames=frames)


def _uids(labels: np.ndarray) -> np.ndarray:
    """Ids outside of 1..MAX_UID mean nothing."""
    return np.where((labels > 0) & (labels <= MAX_UID), labels, IGNORED).astype(np.uint16)
