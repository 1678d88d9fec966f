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
    120: "The backend ended while it wrote its last words; press Restart.",  # Python: its output was closed
    126: "The backend's command may not be run; check the permissions of the interpreter.",
    127: "The backend's command was not found; check the interpreter path in the preferences.",
    130: "The backend was interrupted; press Restart.",
    255: "The connection to the backend's machine was lost or refused; check it and press Restart.",  # ssh
    # Windows: the status of a process that the system ended.
    0x40010004: "The backend was ended because the computer was shutting down or logging off; press Restart.",
    0xC0000005: "The backend crashed; the log has the details. Press Restart.",  # access violation
    0xC0000017: "The backend ran out of memory; close other programs and press Restart.",
    0xC000001D: "The backend crashed: its torch does not fit this processor.",  # illegal instruction
    0xC0000022: "The backend may not be run; check the permissions of its folder and the virus scanner.",
    0xC00000FD: "The backend crashed; the log has the details. Press Restart.",  # stack overflow
    0xC000012D: "The backend ran out of memory; close other programs and press Restart.",  # commitment limit
    0xC0000135: "The backend misses a system library; press Repair in the preferences.",  # DLL not found
    0xC0000139: "A library of the backend does not fit the others; press Repair in the preferences.",
    0xC000013A: "The backend was interrupted; press Restart.",  # Ctrl-C
    0xC0000142: "A library of the backend could not start; press Repair in the preferences.",
    0xC000026B: "The backend was ended because the computer was shutting down or logging off; press Restart.",
    0xC0000374: "The backend crashed; the log has the details. Press Restart.",  # damaged heap
    0xC0000409: "The backend crashed; the log has the details. Press Restart.",  # abort()
}
SIGNAL_SENTENCES = {
    "SIGHUP": "The backend was ended because its session was closed; press Restart.",
    "SIGINT": "The backend was interrupted; press Restart.",
    "SIGQUIT": "The backend was interrupted; press Restart.",
    "SIGKILL": "The backend was ended by the system, perhaps out of memory; press Restart.",
    "SIGTERM": "The backend was ended by another program; press Restart.",
    "SIGSEGV": "The backend crashed; the log has the details. Press Restart.",
    "SIGABRT": "The backend crashed; the log has the details. Press Restart.",
    "SIGBUS": "The backend crashed, perhaps because a disk is full; the log has the details. Press Restart.",
    "SIGFPE": "The backend crashed; the log has the details. Press Restart.",
    "SIGTRAP": "The backend crashed; the log has the details. Press Restart.",
    "SIGSYS": "The system forbids something that the backend needs; the log has the details.",
    "SIGILL": "The backend crashed: its torch does not fit this processor.",
    "SIGPIPE": "The backend lost its connection to Blender; press Restart.",
    "SIGXCPU": "The backend used more processor time than this system allows it; raise the limit and press Restart.",
    "SIGXFSZ": "The backend wrote a larger file than this system allows it; raise the limit and press Restart.",
}


def exit_sentence(code: int) -> str:
    """One sentence for the exit code of a backend that was not asked to end.

    Negative codes are signals, and so are those above 128 where a shell or ssh stands between; Windows' codes are
    taken with and without sign.
    """
    known = EXIT_SENTENCES.get(code) or (EXIT_SENTENCES.get(code + (1 << 32)) if code < -1000 else None)
    if known:
        return known
    if -1000 < code < 0 or 128 < code < 160:
        try:
            name = signal.Signals(-code if code < 0 else code - 128).name
        except ValueError:
            name = f"signal {-code if code < 0 else code - 128}"
        return SIGNAL_SENTENCES.get(name, f"The backend was ended by {name}; press Restart.")
    return f"The backend ended unexpectedly (exit code {code}); the log has the details."


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
