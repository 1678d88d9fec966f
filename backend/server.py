"""The backend's loop: messages from the stream become calls on a workspace, one at a time, in arrival order.

Two threads. The main thread computes and is the only one that writes to the stream. The reader thread only reads: it
queues requests, marks cancelled ones, and ends the process when the stream ends, whatever the main thread is doing.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from . import devices, protocol
from .errors import Cancelled, UserError
from .out_of_memory import broke_import, is_out_of_memory, not_loaded
from .progress import Progress

log = logging.getLogger("clickfield.server")

Arrays = dict[str, protocol.Array]
Emit = Callable[[str, dict, Arrays], None]

PR_SET_PDEATHSIG = 1  # of prctl(2); the parent is the thread that started this process: Blender's main thread
PROGRESS_INTERVAL = 1 / 20  # seconds between two progress messages of one request
END_GRACE = 0.8  # seconds that the main thread gets after the end of the stream
EXIT_CANNOT_START = 3
EXIT_RUBBISH = 4
DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)  # Windows has no quota's
NO_BARRIER = {"document", "pick", "status"}  # requests whose answer does not depend on the last document


class Workspace(Protocol):
    """What the server drives: one open scene. Everything is called on the main thread."""

    def handle(self, method: str, params: dict, arrays: Arrays, progress: Progress) -> tuple[dict, Arrays]:
        """Answer one request. ``progress`` raises Cancelled. Raises UserError, also for an unknown method."""
        ...

    def idle(self) -> bool:
        """One short slice of background work; False when there is nothing more to do until the next request."""
        ...

    def close(self) -> None:
        """Give everything back; called once, at the end."""
        ...


def claim_streams() -> tuple[BinaryIO, BinaryIO]:
    """Take stdin and stdout for the protocol alone, and ask the system to end this process with its parent.

    Afterwards descriptor 1 is stderr and descriptor 0 is empty, so that neither a stray print, of this process or of
    one that it starts, nor a stray read can touch the stream. The end of stdin ends the process too, but only a system
    that does it by itself ends one that is stopped, or that never lets its reader thread run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)
    return stdin, stdout


def serve(
    workspace_factory: Callable[[Emit], Workspace],
    stdin: BinaryIO,
    stdout: BinaryIO,
    describe: Callable[[], dict] = devices.hello,
) -> int:
    """Make the workspace, say hello, answer until a shutdown request or the end of the stream; the exit code.

    Whatever keeps it from starting is told as an error message with id 0. When the stream ends this process ends with
    ``os._exit`` at most END_GRACE later, even while the main thread is busy.

    Args:
        workspace_factory: gets ``emit(event, data, arrays)``; may import for long, but must not emit.
        stdin, stdout: buffered binary streams, see :func:`claim_streams`.
        describe: the data of the hello event.
    """
    session = _Session(stdin, stdout)
    threading.Thread(target=session.read, name="reader", daemon=True).start()
    workspace = None
    try:
        hello = describe()
        workspace = workspace_factory(session.emit)
        session.emit("hello", hello, {})
        session.run(workspace)
        return session.code
    except Exception as error:  # not of a request: those are answered
        log.exception("The backend cannot go on")
        session.send({"type": "error", "id": 0, **error_fields(error)})
        return EXIT_CANNOT_START
    finally:
        if workspace is not None:
            workspace.close()
        session.finished.set()


def error_fields(error: BaseException) -> dict[str, str]:
    """``code``, ``sentence`` and ``detail`` of an error message for any exception."""
    if isinstance(error, UserError):
        return {"code": error.code, "sentence": error.sentence, "detail": error.detail}
    if isinstance(error, Cancelled):
        return {"code": "cancelled", "sentence": "Cancelled.", "detail": ""}
    if isinstance(error, protocol.DocumentError):
        return {"code": "bad_document", "sentence": str(error), "detail": ""}
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("backend"):
        sentence = f"The package {error.name} is missing in the backend's Python; install it there."
        return {"code": "missing_package", "sentence": sentence, "detail": _trace(error)}
    code, sentence = "internal", "Something went wrong in the backend; the log has the details."
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        code, sentence = "disk_full", "The disk is full; free some space and try again."
    elif is_out_of_memory(error):
        code, sentence = "out_of_memory", "The backend ran out of memory; use fewer keyframes or another device."
    return {"code": code, "sentence": sentence, "detail": _trace(error)}


def _check_whole(error: BaseException) -> None:
    """Raises UserError when an error has left this process so that it cannot go on."""
    if broke_import(error):
        raise not_loaded() from error


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


class _Session:
    """The state that the two threads share, and the stream."""

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO):
        self._stdin = stdin
        self._stdout = stdout
        self._changed = threading.Condition()
        self._queue: deque[tuple[dict, Arrays]] = deque()
        self._open: set[int] = set()  # ids of requests that have arrived and have no answer yet
        self._cancelled: set[int] = set()
        self._ended = False
        self._serving = 0  # id of the request being answered, 0 between requests
        self.code = 0  # what the process exits with
        self.finished = threading.Event()

    # Reader thread.

    def read(self) -> None:
        """Read until the stream ends, then end the process."""
        try:
            while (message := protocol.read_message(self._stdin)) is not None:
                self._arrived(*message)
        except protocol.ProtocolError as error:
            log.error("The stream from Blender is broken: %s", error)
            self.code = EXIT_RUBBISH
        except OSError as error:
            log.error("The stream from Blender cannot be read: %s", error)
        with self._changed:
            self._end()
        self.finished.wait(END_GRACE)
        os._exit(self.code)

    def _arrived(self, header: dict, arrays: Arrays) -> None:
        number = header.get("id")
        with self._changed:
            if header["type"] == "request" and type(number) is int:
                if header.get("method") == "shutdown":
                    self._cancelled |= self._open
                self._open.add(number)
                self._queue.append((header, arrays))
                self._changed.notify()
            elif header["type"] == "cancel":
                self._cancelled |= self._open & {number if type(number) is int else 0}
            else:
                log.warning("Message of unknown type %.80r", header["type"])

    def _end(self) -> None:
        self._ended = True
        self._cancelled |= self._open
        self._changed.notify()

    # Main thread.

    def run(self, workspace: Workspace) -> None:
        """Answer requests and let the workspace work in between, until shutdown or the end of the stream."""
        more = True
        while not self._ended:
            request = self._next(wait=not more)
            if request is None:
                more = not self._ended and self._idle(workspace)
            elif request[0].get("method") == "shutdown":
                self._answer(request[0]["id"], {})
                return
            else:
                self._serve(workspace, *request)
                more = True

    def _next(self, wait: bool) -> tuple[dict, Arrays] | None:
        with self._changed:
            while wait and not self._queue and not self._ended:
                self._changed.wait()
            return self._queue.popleft() if self._queue and not self._ended else None

    def _idle(self, workspace: Workspace) -> bool:
        try:
            return workspace.idle()
        except Cancelled:
            return False
        except Exception as error:
            log.exception("Background work failed")
            _check_whole(error)
            self.emit("problem", error_fields(error), {})
            return False

    def _serve(self, workspace: Workspace, header: dict, arrays: Arrays) -> None:
        number, method, params = header["id"], header.get("method"), header.get("params", {})
        started = time.monotonic()
        outcome = "done"
        try:
            if not isinstance(method, str) or not isinstance(params, dict):
                raise UserError("bad_request", "The request has no method or its parameters are not an object.")
            if method == "document" and self._superseded():
                raise UserError("superseded", "A newer label document has arrived.")
            if number in self._cancelled:
                raise Cancelled
            self._serving = number
            result, result_arrays = workspace.handle(method, params, arrays, self._progress(number))
            self._answer(number, result, result_arrays)
        except Exception as error:
            fields = error_fields(error)
            outcome = fields["code"]
            if fields["detail"]:
                log.error("%s: %s\n%s", method, fields["sentence"], fields["detail"])
            self._forget(number)
            self.send({"type": "error", "id": number, **fields})
            _check_whole(error)
        finally:
            self._serving = 0
        log.info("request %d %s: %s in %.3f s", number, method, outcome, time.monotonic() - started)

    def _superseded(self) -> bool:
        """Is a newer document queued, with no request before it that needs this one?"""
        with self._changed:
            for header, _ in self._queue:
                if header.get("method") == "document":
                    return True
                if header.get("method") not in NO_BARRIER:
                    return False
        return False

    def _progress(self, number: int) -> Progress:
        sent = -math.inf

        def progress(fraction: float, text: str) -> None:
            nonlocal sent
            if number in self._cancelled:
                raise Cancelled
            now = time.monotonic()
            if now - sent >= PROGRESS_INTERVAL:
                sent = now
                fraction = min(max(float(fraction), 0.0), 1.0)
                self.send({"type": "progress", "id": number, "fraction": fraction, "text": text})

        return progress

    def emit(self, event: str, data: dict, arrays: Arrays) -> None:
        """Send an event; its id is that of the request during which it happens, 0 for one that nobody asked for."""
        self.send({"type": "event", "id": self._serving, "event": event, "data": data}, arrays)

    def _answer(self, number: int, result: dict, arrays: Arrays | None = None) -> None:
        buffers = protocol.encode_message({"type": "result", "id": number, "result": result}, arrays)
        self._forget(number)
        self._write(buffers)

    def _forget(self, number: int) -> None:
        with self._changed:
            self._open.discard(number)
            self._cancelled.discard(number)

    def send(self, header: dict[str, Any], arrays: Arrays | None = None) -> None:
        """Write one message."""
        self._write(protocol.encode_message(header, arrays))

    def _write(self, buffers: list) -> None:
        try:
            for buffer in buffers:
                self._stdout.write(buffer)
            self._stdout.flush()
        except OSError as error:  # nobody reads any more
            if not self._ended:
                log.warning("The stream to Blender is closed: %s", error)
            with self._changed:
                self._end()
