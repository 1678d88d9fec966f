"""Frames that are kept from fusion, so that labels can be tested on views that nobody has learnt from."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from .capture import Capture


def without(capture: Capture, names: Collection[str]) -> Capture:
    """The capture without some of its frames."""
    return replace(capture, frames=tuple(frame for frame in capture.frames if frame.name not in names))


def only(capture: Capture, names: Collection[str]) -> Capture:
    """The capture with some of its frames alone."""
    return replace(capture, frames=tuple(frame for frame in capture.frames if frame.name in names))


def every_nth(capture: Capture, every: int) -> frozenset[str]:
    """Names of every N-th frame, beginning in the middle of the first N."""
    return frozenset(frame.name for frame in capture.frames[every // 2 :: every])


def held_out_frames(choice: str, capture: Capture) -> frozenset[str]:
    """Names of the frames that are held out.

    Args:
        choice: N for every N-th frame, else the path of a JSON list of names; names that the capture does not have
            are passed over as long as it has some.

    Raises:
        UserError: the file cannot be used, or no frame or every frame would be held out.
    """
    if choice.isascii() and choice.isdigit():
        if int(choice) < 2:
            raise UserError("bad_held_out", "--held-out takes a file, or every N-th frame with N of at least 2.")
        names = every_nth(capture, int(choice))
    else:
        names = read_names(Path(choice)) & {frame.name for frame in capture.frames}
    if not 0 < len(names) < len(capture.frames):
        raise UserError("bad_held_out", "Some frames of the capture, but not all, must be held out; change --held-out.")
    return names


def read_names(path: Path) -> frozenset[str]:
    """A JSON list of names. Raises UserError."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError("cannot_read", f"{path} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, RecursionError) as error:
        raise UserError("not_json", f"{path.name} is not JSON in UTF-8; check the file.", repr(error)) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError("bad_held_out", f"{path.name} must hold a JSON list of frame names.")
    return frozenset(names)
