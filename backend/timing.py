"""How long things took."""

from __future__ import annotations

import time


class Timed:
    """``with Timed(seconds, name)`` notes under a name how many seconds its block took."""

    def __init__(self, seconds: dict[str, float], name: str):
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *exc_info: object) -> None:
        self._seconds[self._name] = time.perf_counter() - self._started
