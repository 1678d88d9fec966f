"""The backend's process and the threads that move bytes, so that Blender's main thread never waits for a pipe."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...backend import protocol

MAX_LOG = 1 << 20  # bytes after which the log is moved aside at the next start
CHUNK = 1 << 16  # bytes of one read from the pipe
MAX_WAITING = 512  # messages read ahead; then the backend has to wait
STOP_STEPS = 1.0  # seconds that each step of an ending may take
EOF_GRACE = 1.0  # seconds between the end of the stream and the end of the process


@dataclass(frozen=True)
class Ended:
    """The last thing that comes out of a child: its exit code, and what was wrong with its stream, if anything."""

    code: int
    rubbish: str = ""


def clean_environment(base: dict[str, str]) -> dict[str, str]:
    """The environment for the backend: without what steers Blender's own Python."""
    unwanted = ("PYTHON", "BLENDER_", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in base.items() if not name.upper().startswith(unwanted)}


def open_log(path: Path):
    """The log file opened for appending, moved to ``.1`` first when it has grown; elsewhere if it cannot be opened."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MAX_LOG:
            with contextlib.suppress(OSError):  # an ending backend on Windows may still hold it: it grows on
                os.replace(path, path.with_name(path.name + ".1"))
        return open(path, "ab")
    except OSError:
        return tempfile.NamedTemporaryFile(prefix="clickfield-", suffix=".log", delete=False)


class _Counted:
    """A stream that counts what has been read, so that a long message on a slow line shows as a sign of life."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read1(min(size, CHUNK))  # what is there, not what is asked for
        self.count += len(data)
        return data


class Child:
    """One run of the backend. Raises OSError from the constructor when the command cannot be started."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str], log_path: Path):
        with open_log(log_path) as log:
            self.log_path = Path(log.name)
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Its own group, so that ending it ends what it started, and Ctrl-C in Blender's terminal spares it.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        self.pid = self._process.pid
        self._stdout = _Counted(self._process.stdout)
        self._incoming: queue.Queue = queue.Queue(MAX_WAITING)
        self._outgoing: queue.SimpleQueue = queue.SimpleQueue()
        self._discard = threading.Event()
        self._exited: float | None = None  # when the process was first seen to have ended
        self.threads = [
            threading.Thread(target=target, name=f"clickfield {target.__name__.strip('_')}", daemon=True)
            for target in (self._read, self._write)
        ]
        for thread in self.threads:
            thread.start()

    def send(self, buffers: list[bytes | memoryview]) -> None:
        """Queue one encoded message. Never blocks."""
        self._outgoing.put(b"".join(buffers))

    def receive(self) -> tuple[dict, dict] | Ended | None:
        """The next message, the end, or None when nothing is there. Never blocks."""
        try:
            return self._incoming.get_nowait()
        except queue.Empty:
            return self._left_behind()

    def received(self) -> int:
        """Bytes that have come out of it, also of messages that are not complete yet."""
        return self._stdout.count

    def _left_behind(self) -> Ended | None:
        """The end of a process whose pipe is held open by something that it has started; that is killed."""
        if self.running():
            return None
        if self._exited is None:
            self._exited = time.monotonic()
        if time.monotonic() - self._exited < EOF_GRACE + 1.0:  # the reader has its time first
            return None
        self._kill()
        return Ended(self._process.returncode)

    def alive(self) -> bool:
        """Is the process, or a thread that serves it, still there?"""
        return self.running() or any(thread.is_alive() for thread in self.threads)

    def running(self, wait: float = 0.0) -> bool:
        """Is the process still there, after at most ``wait`` seconds?"""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait)
        return self._process.returncode is None

    def end(self, shutdown: list[bytes | memoryview] | None = None) -> None:
        """End it in a thread of its own: ask, close its input, terminate, kill, a second for each. Never blocks."""
        self._discard.set()
        if shutdown is not None:
            self.send(shutdown)
        self._outgoing.put(None)
        self._start_thread(self._escalate, [lambda: None, self._terminate, self._kill])

    def kill(self) -> None:
        """End it at once. Never blocks."""
        self._discard.set()
        self._outgoing.put(None)
        self._start_thread(self._escalate, [self._kill])

    def join(self, timeout: float) -> bool:
        """Wait until the process and its threads are gone; were they, in that time?"""
        until = time.monotonic() + timeout
        for thread in list(self.threads):
            thread.join(max(0.0, until - time.monotonic()))
        return not self.alive()

    def _start_thread(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, name="clickfield reaper", daemon=True)
        self.threads.append(thread)
        thread.start()

    def _escalate(self, steps: list) -> None:
        for step in steps:
            step()
            try:
                self._process.wait(STOP_STEPS)
                break
            except subprocess.TimeoutExpired:
                continue
        self.threads[0].join(EOF_GRACE)
        self._kill()

    def _terminate(self) -> None:
        with contextlib.suppress(OSError):  # it has just ended
            self._process.terminate()

    def _kill(self) -> None:
        if self._process.returncode is not None and not self.threads[0].is_alive():
            return  # all gone; its number may be another's by now
        with contextlib.suppress(OSError):  # it has just ended
            if os.name == "posix":
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._process.kill()

    # The two threads.

    def _read(self) -> None:
        rubbish = ""
        try:
            while (message := protocol.read_message(self._stdout)) is not None:
                self._deliver(message)
        except (protocol.ProtocolError, OSError) as error:
            rubbish = "" if isinstance(error, protocol.StreamEnded) else str(error)
        try:
            code = self._process.wait(EOF_GRACE)
        except subprocess.TimeoutExpired:
            self._kill()
            code = self._process.wait()
        self._outgoing.put(None)
        with contextlib.suppress(OSError):
            self._process.stdout.close()
        self._deliver(Ended(code, rubbish))

    def _deliver(self, message) -> None:
        while not self._discard.is_set():
            try:
                self._incoming.put(message, timeout=0.1)
                return
            except queue.Full:
                continue
        if isinstance(message, Ended):
            self._make_room()
            self._incoming.put(message)

    def _make_room(self) -> None:
        with contextlib.suppress(queue.Empty):
            while self._incoming.full():
                self._incoming.get_nowait()

    def _write(self) -> None:
        stdin = self._process.stdin
        with contextlib.suppress(OSError, ValueError):  # the reader says how and why it has ended
            while (data := self._outgoing.get()) is not None:
                stdin.write(data)
                stdin.flush()
        with contextlib.suppress(OSError):
            stdin.close()
