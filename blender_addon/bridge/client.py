"""The add-on's end of the stream: one backend process, its state, and the requests under way.

Every method returns at once; Blender's main thread is the only caller. Worker threads (in ``child``) move bytes and
never touch Blender.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...backend import protocol
from .child import Child, Ended, clean_environment
from .states import MOVES, BridgeError, State, exit_sentence, last_lines

START_DEADLINE = 120.0  # seconds until hello; a first import of torch, with a virus scanner watching, is slow
STOP_DEADLINE = 6.0  # seconds after which a backend that is asked, told and killed counts as unkillable
REQUEST_DEADLINE = 60.0  # seconds of silence while a request is being worked on
RESTART_PAUSE = 5.0  # seconds between a start and the next automatic one
PAUSE = 1.0  # seconds between two polls; what goes beyond does not count against the backend
FLOOD = 5000  # messages in FLOOD_SECONDS that nobody has asked for; at work it is 50 a second
FLOOD_SECONDS = 10.0

Arrays = dict[str, protocol.Array]


@dataclass(frozen=True)
class Message:
    """What came out of the backend.

    ``type`` is "result", "error", "progress" or "event". ``id`` is the request's (of an event that during which it
    happened, or 0), ``name`` its method or the event's name. ``data`` is the result, ``{"code", "sentence",
    "detail"}``, ``{"fraction", "text"}`` or the event's data.
    """

    type: str
    id: int
    name: str
    data: dict[str, Any]
    arrays: Arrays = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class _Pending:
    method: str
    deadline: float | None
    sent: float


class BackendClient:
    """Starts, drives and ends one backend at a time.

    Attributes:
        state: where it stands; the moves are those of ``states.MOVES``.
        reason: why it FAILED, one sentence.
        log_lines: the last lines of its log at that time.
        log_path: where its log is.
        hello: what the running backend said of itself: protocol, version, python, torch, devices, pid.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.state = State.STOPPED
        self.reason = ""
        self.log_lines: list[str] = []
        self.log_path: Path | None = None
        self.hello: dict[str, Any] = {}
        self._clock = clock
        self._child: Child | None = None
        self._pending: dict[int, _Pending] = {}  # in the order of sending, which is the order of answers
        self._undelivered: list[Message] = []
        self._last_id = 0
        self._started: float | None = None
        self._stopping = 0.0
        self._received = 0  # bytes out of the child when last looked
        self._heard = 0.0  # when that number last grew
        self._unasked: deque[float] = deque(maxlen=FLOOD)  # when the last messages came that are no answers
        self._polled = 0.0

    # Starting and ending.

    def start(
        self,
        command: list[str],
        cwd: Path,
        log_path: Path,
        env: dict[str, str] | None = None,
        automatic: bool = False,
    ) -> None:
        """Start the backend; READY comes through ``poll``. A command that cannot run leads to FAILED.

        Args:
            command: argument list, for example ``environment.backend_command(interpreter)``.
            cwd: the extension's root folder, where ``backend`` is found.
            log_path: the file that takes its stderr.
            env: environment, by default this process's; variables that steer Blender's Python are left out.
            automatic: nobody pressed a button: refused within RESTART_PAUSE of the last start.

        Raises:
            BridgeError: one is running or still ending, or it is too early for an automatic restart.
        """
        if self.state not in (State.STOPPED, State.FAILED):
            raise BridgeError(f"The backend is {self.state.value.lower()} already.")
        if automatic and self.restart_wait() > 0:
            raise BridgeError("The backend has ended right after its start; press Restart to try again.")
        if self._child is not None and self._child.running(wait=0.05):
            raise BridgeError("The last backend is still ending; try again in a moment.")
        self.reason, self.log_lines, self.hello, self._child, self._received = "", [], {}, None, 0
        self._unasked.clear()
        self._started = self._polled = self._clock()
        self.log_path = Path(log_path)
        try:
            self._child = Child(command, Path(cwd), clean_environment(dict(env or os.environ)), self.log_path)
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            self._fail(f"The backend cannot be started with {command[0]} ({_why(error)}); check the interpreter path.")
            return
        self.log_path = self._child.log_path
        self._move(State.STARTING)

    def restart_wait(self) -> float:
        """Seconds until an automatic start is allowed; 0 when it is."""
        return 0.0 if self._started is None else max(0.0, self._started + RESTART_PAUSE - self._clock())

    def stop(self) -> None:
        """End the backend: asked, then told, then killed, by a thread. STOPPED comes through ``poll``."""
        if self.state is State.FAILED:
            self._move(State.STOPPED)
        elif self.state in (State.STARTING, State.READY, State.BUSY):
            self._abandon("stopped", "The backend was stopped.")
            self._last_id += 1
            request = {"type": "request", "id": self._last_id, "method": "shutdown", "params": {}}
            self._child.end(protocol.encode_message(request))
            self._stopping = self._polled = self._clock()
            self._move(State.STOPPING)

    def join(self, timeout: float) -> bool:
        """Wait until the stopped or failed backend and its threads are gone; were they, in that time?"""
        return self._child is None or self._child.join(timeout)

    # Talking.

    def request(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        arrays: Arrays | None = None,
        deadline: float | None = REQUEST_DEADLINE,
    ) -> int:
        """Send a request; its id. The answer, one "result" or "error", comes through ``poll`` in any case.

        Args:
            deadline: seconds without any sign of life from the backend while it works on this request, after which
                it counts as hung and is killed; None waits for ever.

        Raises:
            BridgeError: the backend is not ready. ValueError, TypeError: this cannot be sent.
        """
        if self.state not in (State.READY, State.BUSY):
            raise BridgeError("The backend is not running; start it first.")
        number = self._last_id + 1
        header = {"type": "request", "id": number, "method": method, "params": params or {}}
        self._child.send(protocol.encode_message(header, arrays))
        self._last_id = number
        self._pending[number] = _Pending(method, deadline, self._clock())
        if self.state is State.READY:
            self._move(State.BUSY)
        return number

    def cancel(self, number: int) -> bool:
        """Ask to give a request up; its answer still comes. False when it has been answered already."""
        if number not in self._pending:
            return False
        self._child.send(protocol.encode_message({"type": "cancel", "id": number}))
        return True

    @property
    def pending(self) -> dict[int, str]:
        """Ids and methods of the requests without an answer, oldest first."""
        return {number: pending.method for number, pending in self._pending.items()}

    def poll(self, budget_s: float = 0.01) -> list[Message]:
        """What has come in, at most about ``budget_s`` seconds' worth; checks deadlines. Never blocks."""
        self._forgive_pause()
        messages, self._undelivered = self._undelivered, []
        until = time.perf_counter() + budget_s
        while self._child is not None and self.state not in (State.STOPPED, State.FAILED):
            item = self._child.receive()
            if item is None:
                self._check_deadlines()
                break
            self._take(item, messages)
            if time.perf_counter() >= until:
                break
        messages += self._undelivered
        self._undelivered = []
        return messages

    def _take(self, item: tuple[dict, Arrays] | Ended, messages: list[Message]) -> None:
        if isinstance(item, Ended):
            self._ended(item)
        elif self.state is not State.STOPPING:
            try:
                message = self._understood(*item)
            except protocol.ProtocolError as error:
                self._rubbish(str(error))
                return
            if message is not None:
                messages.append(message)

    def _understood(self, header: dict[str, Any], arrays: Arrays) -> Message | None:
        kind, number = header["type"], header.get("id", 0)
        if type(number) is not int:
            raise protocol.ProtocolError(f"message of type {kind[:40]!r} with the id {number!r:.40}")
        if kind == "error" and number == 0:  # of no request: it cannot start or go on
            self._fail(_typed(header, "sentence", str))
            return None
        if self.state is State.STARTING:
            return self._greeted(header)
        if kind == "event":
            self._check_flood()
            self._check_forgotten(number)
            return Message(kind, number, _typed(header, "event", str), _typed(header, "data", dict), arrays)
        if kind not in ("result", "error", "progress"):
            raise protocol.ProtocolError(f"message of type {kind[:40]!r}")
        if number not in self._pending:
            self._check_flood()
            return None
        if kind != "progress" and number != next(iter(self._pending)):
            raise protocol.ProtocolError("an answer before its turn")
        method = self._pending[number].method
        if kind == "result":
            data = _typed(header, "result", dict)
        elif kind == "error":
            data = {key: _typed(header, key, str) for key in ("code", "sentence", "detail")}
        else:
            data = {"fraction": float(_typed(header, "fraction", (int, float))), "text": _typed(header, "text", str)}
        if kind != "progress":
            del self._pending[number]
            if not self._pending:
                self._move(State.READY)
        return Message(kind, number, method, data, arrays)

    def _greeted(self, header: dict[str, Any]) -> Message | None:
        if header.get("event") != "hello":
            raise protocol.ProtocolError("no hello first")
        hello = _typed(header, "data", dict)
        if hello.get("protocol") != protocol.VERSION:
            theirs, ours = hello.get("version"), protocol.VERSION
            self._fail(
                f"The backend (version {theirs}) does not speak this add-on's protocol {ours}; "
                "install the backend that belongs to this add-on."
            )
            return None
        self.hello = hello
        self._move(State.READY)
        return Message("event", 0, "hello", hello)

    # Failing.

    def _forgive_pause(self) -> None:
        """Time in which nobody polled (a modal dialog, a render, a sleeping laptop) is not the backend's silence."""
        now = self._clock()
        pause = now - self._polled - PAUSE
        self._polled = now
        if pause > 0:
            self._heard += pause
            if self.state is State.STARTING:
                self._started += pause
            self._stopping += pause
            self._pending = {
                number: _Pending(pending.method, pending.deadline, pending.sent + pause)
                for number, pending in self._pending.items()
            }

    def _check_deadlines(self) -> None:
        now = self._clock()
        if self._child.received() != self._received:
            self._received, self._heard = self._child.received(), now
        if self.state is State.STARTING and now - self._started > START_DEADLINE:
            self._fail(f"The backend has not started within {START_DEADLINE:.0f} seconds; press Restart.")
        elif self.state is State.STOPPING and now - self._stopping > STOP_DEADLINE:
            self._fail(f"The backend does not end; end process {self._child.pid} yourself.")
        elif self._pending:
            oldest = next(iter(self._pending.values()))  # requests are answered in order: only this one is worked on
            if oldest.deadline is not None and now - max(self._heard, oldest.sent) > oldest.deadline:
                self._fail(f"The backend has not answered for {oldest.deadline:g} seconds; press Restart.")

    def _check_flood(self) -> None:
        """Raises ProtocolError when more comes than anybody can read: it would keep Blender busy for ever."""
        now = self._clock()
        if len(self._unasked) == FLOOD and now - self._unasked[0] < FLOOD_SECONDS:
            raise protocol.ProtocolError(f"{FLOOD} messages in {now - self._unasked[0]:.0f} seconds, without end")
        self._unasked.append(now)

    def _check_forgotten(self, number: int) -> None:
        """What is done by the way, with number 0, is done when no request waits: then none can be open for long."""
        oldest = next(iter(self._pending.values()), None)
        if number or oldest is None or oldest.deadline is None or self._child.unsent:
            return
        if self._clock() - oldest.sent > oldest.deadline:
            raise protocol.ProtocolError(f"no answer to {oldest.method}, but other things")

    def _ended(self, end: Ended) -> None:
        if self.state is State.STOPPING:
            self._move(State.STOPPED)
        elif end.rubbish:
            self._rubbish(end.rubbish)
        else:
            self._fail(exit_sentence(end.code))

    def _rubbish(self, what: str) -> None:
        self._fail(
            f"The backend sent something that is not a message ({what[:80]}); "
            "check the interpreter in the preferences and press Restart."
        )

    def _fail(self, sentence: str) -> None:
        self.reason = sentence
        self.log_lines = last_lines(self.log_path)
        if self._child is not None:
            self._child.kill()
        self._abandon("backend_gone", sentence)
        self._move(State.FAILED)

    def _abandon(self, code: str, sentence: str) -> None:
        """Answer every open request with an error, so that whoever waits stops waiting."""
        data = {"code": code, "sentence": sentence, "detail": "\n".join(self.log_lines)}
        self._undelivered += [Message("error", number, one.method, data) for number, one in self._pending.items()]
        self._pending = {}

    def _move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise RuntimeError(f"no move from {self.state} to {state}")
        self.state = state


def _typed(header: dict[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    value = header.get(key)
    if not isinstance(value, kind):
        raise protocol.ProtocolError(f"{header['type']} without {key}")
    return value


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
