"""The states of the backend as the add-on sees them, the moves between them, and what is said when it ends."""

from __future__ import annotations

import enum
import signal
from pathlib import Path


class State(enum.Enum):
    """Where the backend process stands."""

    STOPPED = "Stopped"
    STARTING = "Starting"
    READY = "Ready"
    BUSY = "Busy"
    STOPPING = "Stopping"
    FAILED = "Failed"


MOVES: dict[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.STARTING, State.FAILED}),
    State.STARTING: frozenset({State.READY, State.STOPPING, State.FAILED}),
    State.READY: frozenset({State.BUSY, State.STOPPING, State.FAILED}),
    State.BUSY: frozenset({State.READY, State.STOPPING, State.FAILED}),
    State.STOPPING: frozenset({State.STOPPED, State.FAILED}),
    State.FAILED: frozenset({State.STARTING, State.STOPPED, State.FAILED}),
}


class BridgeError(Exception):
    """Something was asked of the bridge that its state does not allow; the text is a sentence for the person."""


EXIT_SENTENCES = {
    0: "The backend ended by itself; press Restart.",
    1: "The backend ended with an error; the log has the details.",
    2: "The backend did not understand how it was started; install the backend that belongs to this add-on.",
    3: "The backend could not start; press Test in the preferences to see what is missing.",
    4: "The backend received a broken message from Blender and ended; press Restart.",
    126: "The backend's command may not be run; check the permissions of the interpreter.",
    127: "The backend's command was not found; check the interpreter path in the preferences.",
    255: "The connection to the backend's machine was lost or refused; check it and press Restart.",  # ssh
    0xC0000005: "The backend crashed; the log has the details. Press Restart.",  # Windows: access violation
    0xC0000135: "The backend misses a system library; install torch in its Python again.",  # Windows: DLL not found
}
SIGNAL_SENTENCES = {
    "SIGKILL": "The backend was ended by the system, perhaps out of memory; press Restart.",
    "SIGTERM": "The backend was ended by another program; press Restart.",
    "SIGSEGV": "The backend crashed; the log has the details. Press Restart.",
    "SIGABRT": "The backend crashed; the log has the details. Press Restart.",
    "SIGBUS": "The backend crashed; the log has the details. Press Restart.",
    "SIGILL": "The backend crashed: its torch does not fit this processor.",
}


def exit_sentence(code: int) -> str:
    """One sentence for the exit code of a backend that was not asked to end; negative codes are signals."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return SIGNAL_SENTENCES.get(name, f"The backend was ended by {name}; press Restart.")
    return EXIT_SENTENCES.get(code, f"The backend ended unexpectedly (exit code {code}); the log has the details.")


def last_lines(log: Path, count: int = 12) -> list[str]:
    """The last lines of a log file, as far as it can be read."""
    try:
        with open(log, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 16_384))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
