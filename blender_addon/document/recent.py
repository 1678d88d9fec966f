"""Labels on number keys: those that were marked last, then the others of the tree."""

from __future__ import annotations

from collections.abc import Sequence

KEYS = 9
KEPT = 32


def remember(recent: str, uid: int) -> str:
    """The list of labels used last, comma joined, with one more in front."""
    return ",".join(map(str, [uid, *(one for one in _uids(recent) if one != uid)][:KEPT]))


def choices(recent: str, present: Sequence[int]) -> list[int]:
    """Uids on the keys 1 to 9: labels used last that are still there, the newest first, then the rest in order."""
    there = set(present)
    used = [uid for uid in _uids(recent) if uid in there]
    return [*used, *(uid for uid in present if uid not in set(used))][:KEYS]


def _uids(recent: str) -> list[int]:
    return [int(one) for one in recent.split(",") if one.strip().isdigit()]
