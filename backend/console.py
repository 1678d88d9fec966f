"""What the commands print to a terminal: a progress bar on stderr, plain lines where it is no terminal."""

from __future__ import annotations

import re
import sys
import time
from typing import TextIO

WIDTH = 28
BAR_INTERVAL = 0.1  # seconds between two drawings
LINE_INTERVAL = 5.0  # seconds between two plain lines of the same text


class ProgressBar:
    """Call it with (fraction 0..1, text); ``close`` ends the line."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._started = time.monotonic()
        self._drawn = -LINE_INTERVAL
        self._text = ""

    def __call__(self, fraction: float, text: str) -> None:
        now = time.monotonic()
        interval = BAR_INTERVAL if self._terminal else LINE_INTERVAL
        stage = re.sub(r"[\d,.]+", "#", text)  # counting on is no news for a log
        if now - self._drawn < interval and fraction < 1 and (self._terminal or stage == self._text):
            return
        self._drawn, self._text = now, stage
        share = f"{100 * min(max(fraction, 0.0), 1.0):3.0f} %"
        if self._terminal:
            filled = round(WIDTH * min(max(fraction, 0.0), 1.0))
            bar = "#" * filled + "." * (WIDTH - filled)
            self._stream.write(f"\r\x1b[K[{bar}] {share}  {now - self._started:5.0f} s  {text}")
        else:
            self._stream.write(f"{share}  {now - self._started:6.1f} s  {text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the terminal on a fresh line."""
        if self._terminal and self._text:
            self._stream.write("\n")
            self._stream.flush()
