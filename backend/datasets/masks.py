"""Masks as COCO stores them: run lengths, and polygons along the edges of pixels.

Run lengths follow the description in ``cocoapi``'s ``common/maskApi.c``: counts of equal pixels in column order, the
first for zeros; from the fourth on as differences to the count two before; in groups of five bits with a bit for
"more", as text.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

RIGHT, DOWN, LEFT, UP = range(4)
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
ROUND = np.ones((3, 3), bool)


def run_lengths(mask: np.ndarray) -> dict:
    """A mask (H, W) bool as ``{"size": [H, W], "counts": text}``."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    if len(changes) and changes[-1] == mask.size:
        counts = counts[:-1]
    counts[3:] -= counts[1:-2].copy()
    return {"size": list(mask.shape), "counts": "".join(_text(int(count)) for count in counts)}


def _text(number: int) -> str:
    text = ""
    while True:
        low, number = number & 31, number >> 5
        last = number == (-1 if low & 16 else 0)
        text += chr(48 + (low if last else low | 32))
        if last:
            return text


def box_of(mask: np.ndarray) -> list[int]:
    """``[x, y, width, height]`` of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(v) for v in (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)]


def polygons(mask: np.ndarray) -> list[list[int]]:
    """Outlines of a mask (H, W) bool as ``[x0, y0, x1, y1, ...]``, corners of pixels, each piece without holes.

    Polygons of COCO cannot have holes; a piece with one is cut in two through the hole's middle, so that the
    polygons together cover exactly the mask.
    """
    found: list[list[int]] = []
    waiting = [(mask, 0, 0)]
    while waiting:
        whole, x0, y0 = waiting.pop()
        numbered, _ = ndimage.label(whole)
        for index, (rows, columns) in enumerate(ndimage.find_objects(numbered), start=1):
            piece = numbered[rows, columns] == index
            left, top = x0 + columns.start, y0 + rows.start
            cut = _through_hole(piece)
            if cut:
                waiting += [(piece[:, :cut], left, top), (piece[:, cut:], left + cut, top)]
            else:
                found.append(_outline(piece, left, top))
    return sorted(found)


def _through_hole(piece: np.ndarray) -> int:
    """A column through the middle of the first hole; 0 when there is none."""
    outside, count = ndimage.label(np.pad(~piece, 1, constant_values=True), structure=ROUND)
    if count == 1:
        return 0
    columns = ndimage.find_objects(outside, max_label=2)[1][1]  # the first one found surrounds the piece
    return max((columns.start + columns.stop) // 2 - 1, 1)


def _outline(piece: np.ndarray, left: int, top: int) -> list[int]:
    """The corners of a connected piece without holes, clockwise on the screen."""
    padded = np.pad(piece, 1)
    inside = padded[1:-1, 1:-1]
    leaving: dict[tuple[int, int], list[int]] = {}
    for direction, (beside, dx, dy) in enumerate(
        (
            (padded[:-2, 1:-1], 0, 0),  # nothing above: along the top, to the right
            (padded[1:-1, 2:], 1, 0),  # nothing on the right: along the right side, down
            (padded[2:, 1:-1], 1, 1),
            (padded[1:-1, :-2], 0, 1),
        )
    ):
        for y, x in zip(*np.nonzero(inside & ~beside), strict=True):
            leaving.setdefault((int(x) + dx, int(y) + dy), []).append(direction)
    start = min(leaving, key=lambda corner: (corner[1], corner[0]))
    place, heading, corners = start, RIGHT, []
    while True:
        choices = leaving[place]
        # Where pixels meet in a corner, the turn to the right stays with the same pixel.
        turn = next(t for t in (1, 0, 3) if (heading + t) % 4 in choices) if corners else 0
        heading = (heading + turn) % 4
        choices.remove(heading)
        if turn or not corners:
            corners.append(place)
        place = place[0] + STEPS[heading][0], place[1] + STEPS[heading][1]
        if place == start and not leaving[start]:
            return [number for x, y in corners for number in (x + left, y + top)]
