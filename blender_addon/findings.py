"""What the backend found out about the marks of the newest document. Panels and overlays read it; nothing is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import window


class Findings:
    """Places, problems and effects of marks, by the id of the mark.

    Attributes:
        mark_points: scene coordinates of marks that could be placed.
        mark_problems: a sentence for each mark that could not.
        contradictions: (mark that won, mark that it overruled) where marks contradict each other.
        effects: share of the surface that changes when a mark is muted.
        warning: ``{"mark", "share", "sentence"}`` when the newest mark changes startlingly much, else None.
    """

    def __init__(self) -> None:
        self.mark_points: dict[int, tuple[float, float, float]] = {}
        self.mark_problems: dict[int, str] = {}
        self.contradictions: list[tuple[int, int]] = []
        self.effects: dict[int, float] = {}
        self.warning: dict[str, Any] | None = None
        self._overruled: set[int] = set()
        self._effects_of = 0  # revision that the effects belong to
        self._watched = False
        self._kept: set[int] = set()  # marks whose warning the person has seen and answered

    def take(self, data: dict[str, Any]) -> None:
        """Remember what an answer to a document says."""
        marks = data.get("marks", [])
        self.mark_points = {mark["id"]: tuple(mark["point"]) for mark in marks if mark["point"]}
        self.mark_problems = {mark["id"]: mark["problem"] for mark in marks if mark["problem"]}
        self.contradictions = [(winner, loser) for winner, loser in data.get("contradictions", [])]
        self._overruled = {loser for _, loser in self.contradictions}
        warning = data.get("warning")
        self.warning = warning if warning and warning["mark"] not in self._kept else None
        window.shares(data)

    def troubled(self, mark: int) -> bool:
        """Does a mark teach nothing, or is it overruled by another one?"""
        return mark in self.mark_problems or mark in self._overruled

    def all_troubled(self) -> list[int]:
        """Marks that are `troubled`."""
        return [*self.mark_problems, *self._overruled]

    def keep(self, mark: int) -> None:
        """The person meant it: no more warning about this mark."""
        self._kept.add(mark)
        if self.warning is not None and self.warning["mark"] == mark:
            self.warning = None

    def watch(self) -> None:
        """The list of marks was drawn: its effects are wanted."""
        self._watched = True

    def want_effects(self, revision: int, ask: Callable[..., None]) -> None:
        """Ask what every mark of a revision does, if somebody looks at it and nobody has asked yet.

        Args:
            ask: sends a request: method, params, done(data, arrays), failed(code, sentence).
        """
        if self._effects_of == revision or not self._watched:
            return
        self._watched = False

        def known(effects: dict[str, float]) -> None:
            self._effects_of = revision
            self.effects = {int(mark): share for mark, share in effects.items()}
            window.redraw_sidebars()

        def failed(code: str, sentence: str) -> None:
            if code == "cancelled":  # for a newer document
                self._watched = True
            else:
                known({})

        ask("effects", {}, lambda data, arrays: known(data["effects"]), failed)
