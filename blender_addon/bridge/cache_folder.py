"""The cache folder as the preferences show it: how much is in it, and emptying it, in a thread of its own.

What belongs to the cache is told by `protocol.is_cached`; nothing else in the folder is counted or removed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...backend.protocol import is_cached

KEPT = 5.0  # seconds for which a measurement counts as fresh


@dataclass(frozen=True)
class Amount:
    """Files and their bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.files + other.files, self.bytes + other.bytes)

    def __str__(self) -> str:
        size, unit = self.bytes / 1e6, "MB"
        if size >= 1000:
            size, unit = size / 1000, "GB"
        return f"{size:.1f} {unit} in {self.files:,} file{'' if self.files == 1 else 's'}"


def cached_files(root: Path) -> Iterator[Path]:
    """Every file that the backend made in a cache folder. Links are neither followed nor given."""
    for folder, inside, names in os.walk(root):
        parts = Path(folder).relative_to(root).parts
        # Three parts at most decide: below an unpacked capture everything is its own.
        inside[:] = [name for name in inside if _leads_on((*parts, name))]
        for name in names:
            path = Path(folder, name)
            if is_cached((*parts, name)) and not path.is_symlink():
                yield path


def _leads_on(parts: tuple[str, ...]) -> bool:
    if len(parts) == 1:
        return len(parts[0]) == 2 or parts[0] in ("unpacked", "pictures")
    return is_cached(parts) or (parts[0] == "pictures" and len(parts) == 2)


def measure(root: Path) -> Amount:
    """How much is in the cache."""
    total = Amount()
    for path in cached_files(root):
        try:
            total += Amount(1, path.lstat().st_size)
        except OSError:  # removed meanwhile
            continue
    return total


def clear(root: Path, keep: Collection[str] = ()) -> tuple[Amount, Amount]:
    """Remove what is in the cache; how much went, and how much could not be removed.

    Args:
        keep: captures whose pictures stay, by the names of their folders below ``pictures``.
    """
    gone, left, folders = Amount(), Amount(), set()
    for path in list(cached_files(root)):
        folders.update(folder for folder in path.parents if folder != root and folder.is_relative_to(root))
        parts = path.relative_to(root).parts
        if parts[0] == "pictures" and parts[1] in keep:
            continue
        try:
            size = path.lstat().st_size
            path.unlink()
            gone += Amount(1, size)
        except FileNotFoundError:
            continue
        except OSError:  # open in another process on Windows, or not ours to remove
            left += Amount(1, size)
    for folder in sorted(folders, reverse=True):  # what is inside comes first
        try:
            folder.rmdir()
        except OSError:  # something is still in it, or came meanwhile
            continue
    return gone, left


class CacheFolder:
    """One folder, looked at and emptied by threads. Never blocks.

    Attributes:
        amount: as measured last, None before.
        outcome: what the last clearing removed and left, until `taken`.
    """

    def __init__(self) -> None:
        self.amount: Amount | None = None
        self.outcome: tuple[Amount, Amount] | None = None
        self._root: Path | None = None
        self._measured = 0.0
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Is a thread at work?"""
        return self._thread is not None and self._thread.is_alive()

    def look(self, root: Path) -> Amount | None:
        """What is in the folder, as far as known; measured again when that is old."""
        if root != self._root:
            self._root, self.amount, self._measured = root, None, 0.0
        if not self.busy and time.monotonic() - self._measured > KEPT:
            self._start(self._measure, root)
        return self.amount

    def clear(self, root: Path, keep: Collection[str] = ()) -> bool:
        """Begin to empty the folder; False when it is being emptied already."""
        if self.busy and self._thread.name == "clickfield clear":
            return False
        self._start(self._clear, root, frozenset(keep), name="clickfield clear")
        return True

    def join(self, timeout: float) -> bool:
        """Wait for the thread; has it ended?"""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.busy

    def taken(self) -> tuple[Amount, Amount] | None:
        """What the last clearing removed and left, once."""
        found, self.outcome = self.outcome, None
        return found

    def _start(self, target, *arguments, name: str = "clickfield cache") -> None:
        self._thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._thread.start()

    def _measure(self, root: Path) -> None:
        found = measure(root)
        if root == self._root:
            self.amount, self._measured = found, time.monotonic()

    def _clear(self, root: Path, keep: Collection[str]) -> None:
        self.outcome = clear(root, keep)
        self._measure(root)
