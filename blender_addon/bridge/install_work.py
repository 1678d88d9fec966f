"""Work on the folder of environments in a thread: its progress, its end, its cancellation; and its removal."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import install_folder as folders
from .child import open_log
from .environment import Finding
from .install_fetch import Cancelled, sentence_of
from .install_program import TICK
from .states import BridgeError, last_lines

QUEUE = 60.0  # seconds that another installation, or the rest of a killed one, has to end
UNEXPECTED = "Something went wrong that Clickfield does not know; Copy Diagnostics holds the details."
ENDING = 15.0  # seconds that a running backend has to end


@dataclass(frozen=True)
class Progress:
    """How far an installation is: 0 to 1, and what is done now."""

    fraction: float = 0.0
    text: str = "Preparing"


class Work:
    """Something that changes the folder of environments, in a thread, from construction on."""

    cancelled_sentence = ""

    def __init__(self, folder: Path, free: Callable[[float], bool]):
        """``free(seconds)`` waits for the backend that runs from the folder: is it gone?"""
        self.progress = Progress()
        self._folder = folder
        self._free = free
        self._finding: Finding | None = None
        self._cancelled = threading.Event()
        self.thread = threading.Thread(target=self._run, name="clickfield install", daemon=True)
        self.thread.start()

    def poll(self) -> Finding | None:
        """The finding, or None while it goes on. Never blocks."""
        return self._finding

    def given_up(self) -> bool:
        """Was it cancelled?"""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Give up; returns at once, the finding follows."""
        self._cancelled.set()

    def _run(self) -> None:
        try:
            self._finding = self._work()
        except Cancelled:
            self._finding = Finding(False, self.cancelled_sentence)
        except BridgeError as error:
            self._finding = Finding(False, str(error), detail="\n".join(last_lines(self._folder / folders.LOG)))
        except OSError as error:
            self._finding = Finding(False, sentence_of(error, self._folder), detail=repr(error))
        except Exception:  # a thread that ends without a finding would be waited for for ever
            detail = traceback.format_exc()
            with contextlib.suppress(OSError), open_log(self._folder / folders.LOG) as log:
                log.write(detail.encode("utf-8", "replace"))
            self._finding = Finding(False, UNEXPECTED, detail=detail)

    def _work(self) -> Finding:
        """What is to be done. Raises Cancelled, BridgeError, OSError."""
        raise AssertionError("each kind of work has its own")

    def _hold(self, stack: contextlib.ExitStack) -> int:
        """Hold the folder while the stack is open; the descriptor of ``alone``."""
        until = time.monotonic() + QUEUE
        while True:
            try:
                return stack.enter_context(folders.alone(self._folder))
            except BridgeError:
                if time.monotonic() > until:
                    raise
            self._say(0.0, "Waiting for another installation to end")
            self._cancelled.wait(TICK)

    def _wait_for_backend(self) -> None:
        self._say(self.progress.fraction, "Ending the backend")
        until = time.monotonic() + ENDING
        while not self._free(TICK):
            self._say(self.progress.fraction, "Ending the backend")
            if time.monotonic() > until:
                raise BridgeError("The backend does not end; close Blender and try again.")

    def _say(self, fraction: float, text: str) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self.progress = Progress(fraction, text)


class Removal(Work):
    """Deletes what was installed; ``poll`` gives the finding when it is over."""

    cancelled_sentence = "The backend was not removed."

    def _work(self) -> Finding:
        self._wait_for_backend()
        with contextlib.ExitStack() as stack:
            self._hold(stack)
            self._say(0.5, "Removing the backend")
        folders.remove(self._folder)
        return Finding(True, "The backend was removed.")
