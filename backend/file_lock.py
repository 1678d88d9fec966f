"""A lock that one process at a time holds, and that the system takes back when the process dies, however it dies."""

from __future__ import annotations

import sys
from pathlib import Path


class FileLock:
    """Held from the constructor until `release`, or until the process ends.

    Args:
        path: the file that stands for the lock; made if it is not there, and it stays.

    Raises:
        BlockingIOError: another process holds it. OSError: the file cannot be made.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(path, "a+b")  # noqa: SIM115  (closed by release, or by the system)
        try:
            if sys.platform == "win32":
                import msvcrt

                self._stream.seek(0)
                msvcrt.locking(self._stream.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._stream.close()
            raise BlockingIOError(f"{path} is held by another process") from error

    def release(self) -> None:
        """Let another process have it."""
        self._stream.close()
