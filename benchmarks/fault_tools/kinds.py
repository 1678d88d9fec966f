"""The kinds of faults: what each does to the backend, its stream, its files or its memory, at which jobs."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

ALL = ("import", "open", "document", "training", "ask", "separate", "dataset", "save")
ASKED = ("document", "training", "ask", "separate")
Mend = Callable[[], None]
Strike = Callable[[], Mend]


@dataclass(frozen=True)
class Fault:
    """One kind.

    Attributes:
        strike: called with the bench before the job begins; the result strikes at the moment, and gives what takes
            the cause away again.
        start: what the proxy is told when the backend starts.
        goes_on: the backend should live on, so the person need not restart it.
        impatient: the person presses Restart at once.
        happened: did it, or was the job over before?
    """

    name: str
    jobs: tuple[str, ...]
    strike: Callable[[Any, Random], Strike]
    start: Callable[[Random], dict[str, Any]] = lambda random: {}
    goes_on: bool = False
    impatient: bool = False
    happened: Callable[[Any], bool] = lambda bench: True


def nothing() -> None:
    """There is nothing to take away."""


def pid_of(bench) -> int:
    """The process that Blender has started, also while it starts."""
    return bench.side.session.client._child.pid


def signalled(number: signal.Signals) -> Callable[[Any, Random], Strike]:
    """Send the backend a signal."""

    def strike(bench, random: Random) -> Strike:
        def act() -> Mend:
            if not bench.side.failed:
                os.kill(pid_of(bench), number)
            return nothing

        return act

    return strike


def stream(fault: str, most: int, direction: str = "down") -> Callable[[Any, Random], Strike]:
    """Damage the stream so many bytes after the moment, at most."""

    def strike(bench, random: Random) -> Strike:
        after = int(most ** random.random())

        def act() -> Mend:
            bench.wants(proxy="bytes", fault=fault, after=after, direction=direction)
            return lambda: bench.wants(proxy="bytes")

        return act

    return strike


def messages(fault: str) -> Callable[[Any, Random], Strike]:
    """From the moment on, whole messages in disorder or without end."""

    def strike(bench, random: Random) -> Strike:
        def act() -> Mend:
            bench.wants(proxy="messages", fault=fault)
            return lambda: bench.wants(proxy="messages")

        return act

    return strike


def struck(bench) -> bool:
    """Did the proxy do it?"""
    return bench.control.with_suffix(".struck").exists()


def limited(kind: int, allowed: Callable[[int, Random], int]) -> Callable[[Any, Random], Strike]:
    """Take memory or disk from the running backend; given back afterwards, as when the person has closed something."""

    def strike(bench, random: Random) -> Strike:
        def act() -> Mend:
            pid = pid_of(bench)
            hard = resource.prlimit(pid, kind)[1]
            resource.prlimit(pid, kind, (allowed(pid, random), hard))

            def mend() -> None:
                if not bench.side.failed:
                    resource.prlimit(pid, kind, (hard, hard))

            return mend

        return act

    return strike


def address_space(pid: int, random: Random) -> int:
    """What the process has, and up to 48 MB more."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize() + random.randrange(48 << 20)


def stolen(times: Callable[[Random], int]) -> Callable[[Random], dict[str, Any]]:
    """torch in the backend runs out of memory at some call from its start, so many times."""
    return lambda random: {"memory": {"after": int(3000 ** random.random()), "times": times(random), "above": 2000}}


def no_strike(bench, random: Random) -> Strike:
    """It has been in the backend from its start."""
    return lambda: bench.wants


def moved(before: bool) -> Callable[[Any, Random], Strike]:
    """The capture's folder is gone for a while: from before the job, or from the moment on."""

    def strike(bench, random: Random) -> Strike:
        folder = bench.capture.parent
        away = folder.with_name("capture-elsewhere")

        def act() -> Mend:
            if not before:
                folder.rename(away)
            return lambda: away.rename(folder)

        if before:
            folder.rename(away)
        return act

    return strike


def cache_of(bench) -> Path:
    """The cache of this round."""
    return bench.side.folder / f"cache-{bench.side.caches}"


def cache_deleted(bench, random: Random) -> Strike:
    """All of it."""

    def act() -> Mend:
        shutil.rmtree(cache_of(bench), ignore_errors=True)
        return nothing

    return act


def cache_damaged(bench, random: Random) -> Strike:
    """A byte of every file."""

    def act() -> Mend:
        for path in sorted(cache_of(bench).rglob("*")):
            damage(path, random)
        return nothing

    return act


def damage(path: Path, random: Random) -> None:
    """Change one byte of a file, if there is one; the file may vanish meanwhile."""
    try:
        data = bytearray(path.read_bytes()) if path.is_file() else b""
        if data:
            data[random.randrange(len(data))] ^= random.randrange(1, 256)
            path.write_bytes(data)
    except FileNotFoundError:
        return


BYTES = {"proxy": "bytes"}
MESSAGES = {"proxy": "messages"}
FAULTS = (
    Fault("kill -9 of the backend", ALL, signalled(signal.SIGKILL)),
    Fault("crash of the backend", ("document", "training"), signalled(signal.SIGSEGV)),
    Fault("hang", ALL, signalled(signal.SIGSTOP)),
    Fault("hang, Restart at once", ("open", *ASKED), signalled(signal.SIGSTOP), impatient=True),
    Fault("damaged byte to Blender", ALL, stream("flip", 100_000), lambda r: BYTES, happened=struck),
    Fault("damaged byte to the backend", ALL, stream("flip", 300, "up"), lambda r: BYTES, happened=struck),
    Fault("rubbish in the stream", ALL, stream("rubbish", 100_000), lambda r: BYTES, happened=struck),
    Fault("half a frame, then silence", ALL, stream("half", 100_000), lambda r: BYTES, happened=struck),
    Fault("half a frame, then the end", ALL, stream("cut", 100_000), lambda r: BYTES, happened=struck),
    Fault("answers in disorder, to nobody", ALL, messages("shuffle"), lambda r: MESSAGES, happened=struck),
    Fault("flood", ALL, messages("flood"), lambda r: MESSAGES, happened=struck),
    Fault("device out of memory for a moment", ALL, no_strike, stolen(lambda r: r.randint(1, 3)), goes_on=True),
    Fault("device out of memory for good", ALL, no_strike, stolen(lambda r: 1 << 40)),
    Fault("memory is used up", ALL, limited(resource.RLIMIT_AS, address_space), goes_on=True),
    Fault("disk full", ALL, limited(resource.RLIMIT_FSIZE, lambda pid, r: int(1_000_000 ** r.random())), goes_on=True),
    Fault("capture folder disappears", ALL, moved(before=False), goes_on=True),
    Fault("capture folder gone at opening", ("open",), moved(before=True)),
    Fault("cache deleted", ALL, cache_deleted),
    Fault("cache damaged", ALL, cache_damaged),
)
