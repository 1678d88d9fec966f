"""Stands where the backend's interpreter is expected, and damages what goes through it on request.

    python proxy.py CONTROL PYTHON ARGUMENTS...

Runs PYTHON with the arguments. CONTROL is a JSON file that may change at any time: while it holds a ``fault``, the
stream towards Blender (``up``: towards the backend) is damaged once, ``after`` bytes from then on:

- ``flip``: one byte is changed; ``rubbish``: text is put in; ``half``: nothing more comes; ``cut``: the stream ends
- ``flood``: messages that nobody asked for, without end
- ``shuffle``: answers wait for the next one and come after it, each with one to a request that was never made

``memory`` makes torch in the backend run out of memory, see ``inside/sitecustomize.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from backend import protocol  # noqa: E402

CONTROL = Path(sys.argv[1])
RUBBISH = b"UserWarning: something unimportant\n"


def told() -> dict:
    """What the benchmark wants now."""
    return json.loads(CONTROL.read_text())


def struck() -> None:
    """Tell the benchmark that the fault has happened."""
    CONTROL.with_suffix(".struck").touch()


class Damage:
    """Applies one fault to a run of bytes."""

    def __init__(self, out, direction: str):
        self._out, self._direction = out, direction
        self._left: int | None = None  # bytes until the fault, once it is wanted
        self._done = False

    def write(self, data: bytes) -> None:
        """Pass bytes on, damaged where it is time."""
        wanted = told()
        fault = wanted.get("fault")
        if fault in ("flip", "rubbish", "half", "cut") and wanted.get("direction", "down") == self._direction:
            if self._left is None:
                self._left = wanted["after"]
            if not self._done and self._left < len(data):
                self._done = True
                struck()
                data = self._damaged(fault, data, self._left)
            self._left -= len(data)
        if not (self._done and fault in ("half", "cut")):
            self._pass(data)

    def _damaged(self, fault: str, data: bytes, at: int) -> bytes:
        if fault == "flip":
            return data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :]
        if fault == "rubbish":
            return data[:at] + RUBBISH + data[at:]
        self._pass(data[:at])
        if fault == "cut":
            os._exit(0)
        return b""

    def _pass(self, data: bytes) -> None:
        self._out.write(data)
        self._out.flush()


def shuffled(source, out) -> None:
    """Pass whole messages on; while ``shuffle`` or ``flood`` is wanted, in disorder or among many others."""
    held = None
    while (message := protocol.read_message(source)) is not None:
        fault = told().get("fault")
        if fault == "flood":
            struck()
            event = {"type": "event", "id": 0, "event": "status", "data": {"state": "idle", "text": "x" * 500}}
            while True:
                protocol.write_message(out, event)
        if fault == "shuffle" and message[0]["type"] == "result":
            struck()
            stranger = {**message[0], "id": message[0]["id"] + 1_000_000}
            protocol.write_message(out, stranger, message[1])
            if held is None:
                held = message
                continue
        protocol.write_message(out, *message)
        if held is not None:
            protocol.write_message(out, *held)
            held = None


def pump(source, sink: Damage) -> None:
    """Until the source ends."""
    while data := os.read(source.fileno(), 1 << 16):
        sink.write(data)


def main() -> None:
    """Become the interpreter, or stand before it."""
    command, wanted = sys.argv[2:], told()
    if wanted.get("memory"):
        os.environ["PYTHONPATH"] = str(Path(__file__).with_name("inside"))
        os.environ["CLICKFIELD_MEMORY"] = json.dumps(wanted["memory"])
    if not wanted.get("proxy"):
        os.execv(command[0], command)
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def downward() -> None:
        if wanted["proxy"] == "messages":
            shuffled(child.stdout, sys.stdout.buffer)
        else:
            pump(child.stdout, Damage(sys.stdout.buffer, "down"))
        os._exit(child.wait())

    threading.Thread(target=downward, daemon=True).start()
    try:
        pump(sys.stdin.buffer, Damage(child.stdin, "up"))
        child.stdin.close()
    except BrokenPipeError:
        pass
    os._exit(child.wait())


if __name__ == "__main__":
    main()
