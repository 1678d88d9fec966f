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

MAX_LOG = 1 << 20  # bytes after which a log is moved aside; one older one is kept
CHUNK = 1 << 16  # bytes of one read from the pipe
PIECE = 1 << 20  # bytes of one write; on a slow line a long message takes longer than any deadline
MAX_WAITING = 512  # messages read ahead; then the backend has to wait
MAX_WAITING_BYTES = 512 << 20  # the same of what is in them; one message may be larger
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


class Log:
    """A log that never outgrows MAX_LOG, however long it is written: then it becomes the older one.

    Attributes:
        path: where it is; not always the wanted place, see ``open_log``.
    """

    def __init__(self, path: Path):
        self._stream = open_log(path)
        self.path = Path(self._stream.name)

    def write(self, data: bytes) -> None:
        """Add to it. A full disk loses the data and nothing else."""
        with contextlib.suppress(OSError, ValueError):
            if self._stream.tell() + len(data) > MAX_LOG:
                self._stream.close()
                with contextlib.suppress(OSError):  # Windows, and somebody reads it: it starts anew all the same
                    os.replace(self.path, self.path.with_name(self.path.name + ".1"))
                self._stream = open(self.path, "wb")  # noqa: SIM115  (closed by close())
            self._stream.write(data)
            self._stream.flush()

    def close(self) -> None:
        """Nothing more will come."""
        with contextlib.suppress(OSError):
            self._stream.close()


class _Counted:
    """A stream that counts what has been read, so that a long message on a slow line shows as a sign of life."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read1(min(size, CHUNK))  # what is there, not what is asked for
        self.count += len(data)
        return data


def _payload(message: tuple[dict, dict]) -> int:
    return sum(len(data) for _, _, data in message[1].values())


class Child:
    """One run of the backend. Raises OSError from the constructor when the command cannot be started."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str], log_path: Path):
        self._log = Log(log_path)
        self.log_path = self._log.path
        try:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Its own group, so that ending it ends what it started, and Ctrl-C in Blender's terminal spares it.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except (OSError, ValueError):
            self._log.close()
            raise
        self.pid = self._process.pid
        self._stdout = _Counted(self._process.stdout)
        self._incoming: queue.Queue = queue.Queue(MAX_WAITING)
        self._outgoing: queue.SimpleQueue = queue.SimpleQueue()
        self._sent, self._written = 0, 0  # messages
        self._pushed = 0  # grows with every piece but the first of what is written
        self._taken = 0  # bytes of payload that were received and taken
        self._given = 0  # bytes of payload that were read
        self._discard = threading.Event()
        self._exited: float | None = None  # when the process was first seen to have ended
        self.threads = [
            threading.Thread(target=target, name=f"clickfield {target.__name__.strip('_')}", daemon=True)
            for target in (self._read, self._write)
        ]
        # Not one of those that must end: a stranger that holds the pipe open may keep it for ever.
        self._logger = threading.Thread(target=self._keep_log, name="clickfield log", daemon=True)
        for thread in (*self.threads, self._logger):
            thread.start()

    def send(self, buffers: list[bytes | memoryview]) -> None:
        """Queue one encoded message. Never blocks."""
        self._sent += 1
        self._outgoing.put(b"".join(buffers))

    @property
    def unsent(self) -> int:
        """Messages that the backend has not taken yet."""
        return self._sent - self._written

    def receive(self) -> tuple[dict, dict] | Ended | None:
        """The next message, the end, or None when nothing is there. Never blocks."""
        try:
            message = self._incoming.get_nowait()
        except queue.Empty:
            return self._left_behind()
        if not isinstance(message, Ended):
            self._taken += _payload(message)
        return message

    def received(self) -> int:
        """Grows with every byte that comes out of it, and while it takes in a long message: signs of life."""
        return self._stdout.count + self._pushed

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
        for thread in (*self.threads, self._logger):
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

    # The threads.

    def _keep_log(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self._process.stderr.read1(CHUNK):
                self._log.write(data)
        self._log.close()
        with contextlib.suppress(OSError):
            self._process.stderr.close()

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
        self._logger.join(EOF_GRACE)  # its last words are in the log before its end is told
        self._deliver(Ended(code, rubbish))

    def _deliver(self, message) -> None:
        if not isinstance(message, Ended):
            self._given += _payload(message)
        while not self._discard.is_set():
            if self._given - self._taken > MAX_WAITING_BYTES and not self._incoming.empty():
                time.sleep(0.01)
                continue
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
                for start in range(0, len(data), PIECE):
                    stdin.write(memoryview(data)[start : start + PIECE])
                    self._pushed += start
                stdin.flush()
                self._written += 1
        with contextlib.suppress(OSError):
            stdin.close()
