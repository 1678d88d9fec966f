"""A backend on another machine: a capture's files are sent to it, and what it makes on its disk is brought here.

What takes more than one request is an `Errand`, a generator that a tick of the session drives. Whether a folder is
shared is found out for each capture; a backend that this Blender starts itself is asked nothing of all this.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import formats, opening, preferences, window
from .asks import Arrays, Ask, Requests
from .bridge.remote_files import CHUNK, FilesError, Parcel, Reading, Task, hashed, parcel_of, samples
from .bridge.remote_results import Writing, check_target
from .bridge.states import BridgeError

WINDOW = 16 << 20  # bytes on their way at a time: enough for a fast line that is far
PER_TICK = 4  # chunks that are sent in one tick
Done = Callable[[dict[str, Any]], None]
Failed = Callable[[str, str], None]
Steps = Iterator[None]


class _Refused(Exception):
    """The backend answered with an error: code and sentence."""


class Errand:
    """One thing that needs several requests.

    Args:
        steps: gets this errand; a generator that yields while it waits and returns what `done` is given.
        done, failed: called once, by `step`, unless it was stopped.
    """

    def __init__(
        self, requests: Requests, steps: Callable[[Errand], Iterator[None]], done: Callable[[Any], None], failed: Failed
    ) -> None:
        self.requests = requests
        self.over = False
        self._done, self._failed = done, failed
        self._task: Task | None = None
        self._steps = steps(self)

    def step(self) -> None:
        """Go on as far as that is possible without waiting."""
        if self.over:
            return
        try:
            next(self._steps)
        except StopIteration as end:
            self.stop()
            self._done(end.value)
        except _Refused as error:
            self.stop()
            self._failed(*error.args)
        except (FilesError, BridgeError) as error:
            self.stop()
            self._failed("files", str(error))
        except Exception:  # leave nothing behind that would wait for ever; whoever pumps says what happened
            self.stop()
            self._failed("internal", "Something went wrong in Clickfield; Blender's console has the details.")
            raise

    def stop(self) -> None:
        """Give it up."""
        self.over = True
        if self._task is not None:
            self._task.stop()

    def begin(self, task: Task) -> Task:
        """Take a task that ends with this errand."""
        self._task = task
        return task

    def result_of(self, task: Task, text: str) -> Iterator[None]:
        """Wait for a task and give its result. Raises FilesError."""
        self.begin(task)
        while not task.done:
            window.progress(task.fraction, text)
            yield
        if task.problem:
            raise FilesError(task.problem)
        return task.result

    def answer(self, ask: Callable[[Done, Failed], None]) -> Iterator[None]:
        """Send a request by ``ask(done, failed)`` and wait for its result. Raises _Refused."""
        answers: list[dict[str, Any]] = []
        refused: list[tuple[str, str]] = []
        ask(lambda data, arrays: answers.append(data), lambda *error: refused.append(error))
        while not answers:
            if refused:
                raise _Refused(*refused[0])
            yield
        return answers[0]

    def send(self, method: str, params: dict[str, Any], done: Any, failed: Failed, arrays: Any = None) -> None:
        """Send a request at once. Raises BridgeError."""
        self.requests.send(Ask(method, params, done, failed, "", arrays))


def send_files(errand: Errand, path: Path, root: Callable[[Path], Path], what: str) -> Iterator[None]:
    """Let the backend have the files of a path: as a generator, what a request must say to mean them.

    Args:
        root: the folder that a path belongs to; asked in a thread.
        what: how the person calls it.
    """

    def look(task: Task) -> tuple[Parcel, list[list]]:
        found = parcel_of(path, root(path), task)
        return found, samples(found)

    def check(task: Task) -> tuple[list[list], bytes]:
        files = hashed(parcel, task)
        return files, json.dumps(files).encode("ascii")

    parcel, compared = yield from errand.result_of(Task(look, "looking"), f"Looking at {what}")
    where = {"path": str(path), "remote": True}
    params = {"path": str(parcel.top), "samples": compared}
    known = yield from errand.answer(lambda done, failed: errand.send("shares", params, done, failed))
    if known["shared"]:
        return where
    files, text = yield from errand.result_of(Task(check, "hashing"), f"Checking {what} ({_mb(parcel.total)})")
    packed = {"files": ("u1", (len(text),), text)}
    offered = yield from errand.answer(lambda done, failed: errand.send("offer", {}, done, failed, packed))
    places = {digest: parcel.top / name for name, _, digest in files}
    pieces = [(places[digest], digest, size, have) for digest, size, have in offered["missing"]]
    yield from _send_pieces(errand, pieces, what)
    sent = {"id": offered["id"], "entry": parcel.entry, "folder": str(parcel.top)}
    return {**where, "sent": sent, "unreadable": list(parcel.unreadable), "outside": list(parcel.outside)}


def _send_pieces(errand: Errand, pieces: list[tuple[Path, str, int, int]], what: str) -> Steps:
    """Send pieces, at most WINDOW bytes ahead of what the backend has confirmed."""
    reading = errand.begin(Reading(pieces))
    total = sum(size - have for _, _, size, have in pieces)
    flying, arrived = 0, 0
    refused: list[tuple[str, str]] = []

    def put(digest: str, offset: int, data: bytes) -> None:
        def landed(answer: dict[str, Any], arrays: Arrays) -> None:
            nonlocal flying, arrived
            flying, arrived = flying - len(data), arrived + len(data)

        params = {"digest": digest, "offset": offset}
        arrays = {"data": ("u1", (len(data),), data)}
        errand.send("put", params, landed, lambda *error: refused.append(error), arrays)

    while not (reading.over and not flying):
        for _ in range(PER_TICK):
            chunk = reading.next() if flying < WINDOW else None
            if chunk is not None:
                flying += len(chunk[2])
                put(*chunk)
        if refused:
            raise _Refused(*refused[0])
        if reading.done and reading.problem:
            raise FilesError(reading.problem)
        window.progress(arrived / max(total, 1), f"Sending {what}, {_mb(arrived)} of {_mb(total)}")
        yield


def bring_folder(errand: Errand, made: dict[str, Any], folder: Path, what: str) -> Steps:
    """Write a folder that the backend has made, from its answer's ``brought``."""
    writing = errand.begin(Writing(made["files"], folder, preferences.cache_folder() / "unpacked"))
    refused: list[tuple[str, str]] = []
    total, arrived, flying = sum(size for _, size, _ in made["files"]), 0, 0
    parts: Iterator[tuple[int, int, int]] | None = None

    def fetch(number: int, offset: int, length: int) -> None:
        def come(answer: dict[str, Any], arrays: Arrays) -> None:
            nonlocal flying, arrived
            flying, arrived = flying - length, arrived + length
            writing.take(number, arrays["data"].tobytes())

        params = {"id": made["id"], "file": number, "offset": offset, "length": length}
        errand.send("fetch", params, come, lambda *error: refused.append(error))

    while not writing.done:
        if parts is None and writing.wanted is not None:
            parts = _parts(writing.wanted)
        for _ in range(PER_TICK if parts is not None and writing.room and flying < WINDOW else 0):
            part = next(parts, None)
            if part is not None:
                flying += part[2]
                fetch(*part)
        if refused:
            raise _Refused(*refused[0])
        window.progress(arrived / max(total, 1), f"Bringing {what}, {_mb(arrived)} of {_mb(total)}")
        yield
    if writing.problem:
        raise FilesError(writing.problem)
    errand.send("forget", {"id": made["id"]}, lambda data, arrays: None, lambda code, sentence: None)


def _parts(wanted: list[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """(file, offset, length) of every chunk that is missing; an empty file is one empty chunk."""
    for number, have, size in wanted:
        for offset in range(have, max(size, have + 1), CHUNK):
            yield number, offset, min(CHUNK, size - offset)


class Elsewhere:
    """The errands of one session, and what they are for.

    Args:
        ask: the session's: sends a request when the backend holds the capture and the newest document.
    """

    def __init__(self, requests: Requests, ask: Callable[..., None]) -> None:
        self.remote = False  # does the backend that was started last run elsewhere?
        self._requests, self._ask = requests, ask
        self._errands: list[Errand] = []
        self._for: opening.Opening | None = None

    def command(self) -> list[str]:
        """The command that starts the backend, here or elsewhere. Raises BridgeError."""
        self.remote = preferences.is_remote()
        return preferences.backend_command()

    def step(self) -> None:
        """Drive what is under way."""
        for errand in list(self._errands):
            errand.step()
        self._errands = [errand for errand in self._errands if not errand.over]

    def stop(self) -> None:
        """Give up everything; nobody is told."""
        for errand in self._errands:
            errand.stop()
        self._errands, self._for = [], None

    # Captures.

    def ready(self, now: opening.Opening, failed: Failed) -> bool:
        """Can a capture be opened by the backend? While its files are on their way it cannot."""
        if not self.remote or now.where is not None:
            return True
        if now.mesh is not None:
            now.where = {"remote": True}
        elif self._for is not now:
            self.stop()
            self._for = now

            def arrived(where: dict[str, Any]) -> None:
                now.where = where

            def steps(errand: Errand) -> Steps:
                return send_files(errand, now.folder, _root_of, "the capture")

            self._errands.append(Errand(self._requests, steps, arrived, failed))
        return now.where is not None

    def open_ask(self, now: opening.Opening, failed: Failed) -> Ask:
        """The request that opens a capture."""
        return now.ask(preferences.get().device, str(preferences.cache_folder()), failed)

    def at_home(self, capture: dict[str, Any], now: opening.Opening) -> dict[str, Any]:
        """The backend's description of a capture, with places of pictures that mean something here."""
        if self.remote:
            for frame in capture["frames"]:
                frame["image"] = frame["image"] or str(picture_place(capture["id"], frame["name"]))
            unread = (now.where or {}).get("unreadable", [])
            if unread:
                note = f"{len(unread)} files of the capture may not be read and were not sent: {', '.join(unread[:5])}"
                capture["notes"].append(note)
            outside = (now.where or {}).get("outside", [])
            if outside:
                note = f"Links that lead out of the capture's folder were not followed: {', '.join(outside[:5])}"
                capture["notes"].append(note + (f" and {len(outside) - 5} more" if len(outside) > 5 else ""))
        return capture

    # Data sets.

    def data_set(self, params: dict[str, Any], arrays: Any, folder: Path, done: Done) -> None:
        """Let the backend write a data set; ``done`` gets its report when the folder is there.

        Args:
            params: of the request ``dataset``, without the folder.
        """
        text = "Writing the data set"
        if not (self.remote or preferences.is_remote()):  # the one that runs, or the one that will be started
            params = {**params, "folder": str(folder)}
            self._ask("dataset", params, lambda data, _: done(data), text=text, arrays=arrays)
            return

        def steps(errand: Errand) -> Steps:
            yield from errand.result_of(Task(lambda task: check_target(folder), "target"), text)
            asked = {**params, "bring": True}
            if "rendered" in params:  # the backend must run before anything is sent
                yield from errand.answer(lambda done, failed: self._ask("status", {}, done, failed))
                rendered = Path(params["rendered"])
                where = yield from send_files(errand, rendered, lambda path: path, "the renders")
                asked["rendered"] = where.get("sent", params["rendered"])
            made = yield from errand.answer(
                lambda done, failed: self._ask("dataset", asked, done, failed, text=text, arrays=arrays)
            )
            yield from bring_folder(errand, made["brought"], folder, "the data set")
            return made

        def failed(code: str, sentence: str) -> None:
            window.progress(1.0, "")
            window.tell_failure(code, sentence)

        def brought(data: dict[str, Any]) -> None:
            window.progress(1.0, "")
            done(data)

        self._errands.append(Errand(self._requests, steps, brought, failed))


def picture_place(capture_id: str, frame: str) -> Path:
    """Where a keyframe's picture is kept that only the backend can make."""
    name = re.sub(r"[^\w.\- ]", "_", frame) or "_"
    return preferences.cache_folder() / "pictures" / re.sub(r"\W", "_", capture_id) / f"{name}.png"


def wants_picture(path: str) -> bool:
    """Must the picture at a place be asked for? Only those in the cache are the backend's."""
    place = Path(path)
    inside = ".." not in place.parts and place.parent.parent == preferences.cache_folder() / "pictures"
    return bool(path) and inside and not place.is_file()


def keep_picture(path: str, data: bytes) -> str:
    """Write a picture that has come; one sentence when that is not possible."""
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(place.name + ".part")
        part.write_bytes(data)
        os.replace(part, place)
    except OSError as error:
        return f"{place} cannot be written ({error.strerror}); choose another cache folder in the preferences."
    return ""


def _root_of(path: Path) -> Path:
    """The capture's folder, told by one of its files."""
    if path.is_dir():
        return path
    return next((place for place in (path.parent, path.parent.parent) if formats.seems_capture(place)), path.parent)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
