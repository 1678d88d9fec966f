"""Links in a capture's folder: inside of it they are followed, out of it they are not.

A capture may come from anywhere, and so may the links in it; what they lead to, perhaps the person's own pictures,
would become part of textures and data sets. Where a link is left alone the person is told.
"""

from __future__ import annotations

import os
from contextvars import ContextVar, Token
from pathlib import Path

from backend.errors import UserError

_current: ContextVar[Bounds | None] = ContextVar("bounds", default=None)
NAMED = 3  # links that a sentence names


class Bounds:
    """A folder that readers stay in while they work: ``with bounds: ...``.

    What lies elsewhere by its name was put there by a reader or belongs to its format (unpacked pictures, calibrations
    above the folder); only links out of its own folder are refused there.

    Args:
        folder: the capture's.
        chosen: a file in it that the person has chosen, wherever it leads.
    """

    def __init__(self, folder: Path, chosen: Path | None = None):
        self._folder, self._real = Path(folder), os.path.realpath(folder)
        self._inside = {} if chosen is None else {str(chosen): True}  # folders and links that were looked at
        self._refused: list[str] = []
        self._tokens: list[Token] = []

    def __enter__(self) -> Bounds:
        self._tokens.append(_current.set(self))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        _current.reset(self._tokens.pop())
        if isinstance(error, UserError) and self._refused:
            sentence = f"{self._said()[:-1]}; put what they lead to there itself."
            raise UserError("links_out", sentence, f"{error.sentence} {error.detail}") from error

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person should know: one sentence, or none."""
        return (self._said(),) if self._refused else ()

    def allows(self, path: Path) -> bool:
        """Whether a path stays inside; noted if it does not."""
        if path == self._folder:
            return True
        home = self._real if path.is_relative_to(self._folder) else os.path.realpath(path.parent)
        # Links are rare, and what is none is where its folder is.
        return self._known(path if os.path.islink(path) else path.parent, home)

    def _known(self, place: Path, home: str) -> bool:
        key = str(place)
        if key not in self._inside:
            self._inside[key] = _within(os.path.realpath(place), home)
            if not self._inside[key]:
                self._refused.append(place.name)
        return self._inside[key]

    def _said(self) -> str:
        names, count = ", ".join(self._refused[:NAMED]), len(self._refused)
        more = f" and {count - NAMED} more" if count > NAMED else ""
        return f"{self._folder.name} has links that lead out of its folder and are not followed: {names}{more}."


def stays_inside(path: Path) -> bool:
    """Whether a path, with all links followed, stays in the folder of the capture that is being read, if one is."""
    bounds = _current.get()
    return bounds is None or bounds.allows(path)


def check_inside(path: Path) -> None:
    """Raises UserError for a path that does not stay inside."""
    if not stays_inside(path):
        sentence = f"The link {path.name} leads out of the capture's folder; put the file itself there."
        raise UserError("links_out", sentence, str(path))


def _within(real: str, folder: str) -> bool:
    return real == folder or real.startswith(folder.rstrip(os.sep) + os.sep)
