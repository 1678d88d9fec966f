"""Requests to the backend: those that wait for the capture and the newest document, those on their way, and who gets
the answer. Arrays come as numpy arrays."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend.protocol import Array
from . import window
from .bridge.client import BackendClient, Message

logger = logging.getLogger(__name__)
Arrays = dict[str, np.ndarray]
DERIVED = ("effects", "keyframe", "uncertainty")  # requests whose answers a new document makes worthless


@dataclass(frozen=True)
class Ask:
    """A request: what to do with its answer. ``done`` gets the result and its arrays."""

    method: str
    params: dict[str, Any]
    done: Callable[[dict[str, Any], Arrays], None]
    failed: Callable[[str, str], None]  # error code and sentence
    text: str  # what is shown while it runs
    arrays: dict[str, Array] | None = None  # what it brings

    @property
    def quiet(self) -> bool:
        """Nobody waits for it: no progress is shown, and Cancel does not mean it."""
        return not self.text


class Requests:
    """The requests of one session, in the order in which they were made."""

    def __init__(self, client: BackendClient) -> None:
        self.waiting: deque[Ask] = deque()
        self._client = client
        self._sent: dict[int, Ask] = {}
        self._logged = ""

    def __bool__(self) -> bool:
        """Is any waiting or on its way?"""
        return bool(self.waiting or self._sent)

    def add(self, one: Ask) -> None:
        """Send it when its turn has come; what is only derived from the labels goes last."""
        first = next((place for place, other in enumerate(self.waiting) if other.method in DERIVED), len(self.waiting))
        self.waiting.insert(len(self.waiting) if one.method in DERIVED else first, one)
        if not one.quiet:
            window.progress(0.0, one.text)

    def send(self, one: Ask) -> int:
        """Send it now; its id."""
        number = self._client.request(one.method, one.params, one.arrays)
        self._sent[number] = one
        return number

    def send_next(self) -> None:
        """Send the one that has waited longest."""
        one = self.waiting.popleft()
        number = self.send(one)
        if not one.quiet:
            window.running(number)

    def under_way(self, method: str) -> bool:
        """Is a request of this kind on its way?"""
        return any(one.method == method for one in self._sent.values())

    def take(self, message: Message) -> None:
        """Pass a progress, result or error message on."""
        if message.type == "progress":
            one = self._sent.get(message.id)
            if one is not None and not one.quiet:
                window.running(message.id)
                window.progress(message.data["fraction"], message.data["text"])
            return
        one = self._sent.pop(message.id, None)
        window.finished(message.id)
        if one is None:
            return
        if message.type == "error":
            if message.data["detail"] and message.data["detail"] != self._logged:  # once for many
                self._logged = message.data["detail"]
                logger.warning("%s: %s", message.data["sentence"], message.data["detail"])
            one.failed(message.data["code"], message.data["sentence"])
        else:
            self._logged = ""
            one.done(message.data, as_arrays(message))

    def drop(self, number: int) -> None:
        """Nobody wants the answer any more."""
        self._sent.pop(number, None)
        self._client.cancel(number)

    def drop_quiet(self) -> None:
        """Give up what nobody waits for: it belongs to an older document, and would hold up what somebody waits for."""
        for number, one in [(number, one) for number, one in self._sent.items() if one.quiet and one.method in DERIVED]:
            self.drop(number)
            one.failed("cancelled", "Cancelled.")

    def forget_sent(self) -> None:
        """The backend is gone: no answer will come."""
        self._sent.clear()

    def fail_waiting(self, code: str, sentence: str) -> None:
        """Tell those who wait that nothing will come."""
        asks = list(self.waiting)
        self.waiting.clear()
        if any(not one.quiet for one in asks):
            window.progress(1.0, "")
        for one in asks:
            one.failed(code, sentence)


def as_arrays(message: Message) -> Arrays:
    """The arrays of a message as numpy arrays over its bytes; read-only."""
    return {
        name: np.frombuffer(data, dtype=np.dtype(f"<{kind}")).reshape(shape)
        for name, (kind, shape, data) in message.arrays.items()
    }
