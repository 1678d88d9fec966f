"""One backend and the scene that it serves: opens the capture, sends the label document whole whenever it has
changed, and applies answers, in slices of `Session.tick`."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import bpy

from . import canvas, opening, preferences, viewing, window
from .asks import Arrays, Ask, as_arrays
from .bridge import environment
from .bridge.client import BackendClient, Message
from .bridge.states import BridgeError, State
from .document import labels as documents
from .lookup import current_scene, edit_state, scene_by_uid
from .scene import scan as scans

logger = logging.getLogger(__name__)
PAINT_SLICE = 0.03  # seconds after which a tick begins no further slice of painting
BUILD_SLICE = 0.02  # seconds after which a tick begins no further slice of building
RUNNING = (State.STARTING, State.READY, State.BUSY)


class Session:
    """One backend and the capture that it holds."""

    def __init__(self) -> None:
        self.client = BackendClient()
        self.canvas = canvas.Canvas()
        self.opened = ""  # id of the capture that the backend holds
        self.opening: opening.Opening | None = None
        self.mark_points: dict[int, tuple[float, float, float]] = {}  # scene coordinates, by mark
        self.mark_problems: dict[int, str] = {}
        self._asks: deque[Ask] = deque()  # waiting for the capture and the document to be there
        self._sent: dict[int, Ask] = {}
        self._inbox: deque[Message] = deque()
        self._jobs: deque[Iterator[object]] = deque()
        self._revision = 0  # of the last document sent; grows, also over undo
        self._answered = 0
        self._in_document: tuple[int, int] | None = None  # scene and its revision as last seen
        self._changed = False  # the document must be sent
        self._restart = False
        self._viewer = viewing.Viewer()

    # What operators ask for.

    def start(self) -> None:
        """Start the backend, and open the scene's capture in it. Raises BridgeError when it cannot be tried."""
        python = preferences.interpreter()
        window.clear_problem()
        self.client.start(environment.backend_command(python), preferences.ROOT, preferences.log_path())
        self.opened = ""
        if self.opening is None and current_scene().clickfield.capture_id:
            self.reopen()
        if self.opening is not None:
            self.opening.tried = True

    def stop(self) -> None:
        """End the backend; the next edit of the labels starts it again."""
        self._restart = False
        self.cancel()
        self._fail_asks("stopped", "The backend was stopped.")
        self._in_document, self._changed, self.opened = edit_state(current_scene()), False, ""
        self.client.stop()

    def restart(self) -> None:
        """End the backend if it runs, start it, and rebuild everything from the document."""
        self._restart = True
        self.client.stop()

    def import_capture(self, scene: bpy.types.Scene, path: str, options: dict[str, Any]) -> None:
        """Open a capture and build it in a scene, replacing the capture that the scene has."""
        self.cancel()
        window.clear_problem()
        self.opened = ""
        self.opening = opening.Opening(scene.session_uid, path, options, fresh=True)
        window.progress(0.0, "Starting the backend" if self.client.state not in RUNNING else "Opening the capture")

    def cancel(self) -> None:
        """Give up what the person waits for; the rest of the session stays."""
        number = window.state().request
        if number:
            self.client.cancel(number)
        self._fail_asks("cancelled", "Cancelled.")
        if self.opening is not None:
            self._opening_failed("cancelled", "Cancelled.")

    def ask(
        self,
        method: str,
        params: dict[str, Any],
        done: Callable[[dict[str, Any], Arrays], None],
        failed: Callable[[str, str], None] | None = None,
        text: str = "",
    ) -> None:
        """Send a request about the scene's capture, once the backend holds it and the newest document.

        Args:
            done: gets the result and its arrays; called by `pump`, on the main thread.
            failed: gets an error's code and sentence; by default the panel shows the sentence.
            text: what the panel says while it runs.
        """
        self._asks.append(Ask(method, params, done, failed or window.tell_failure, text))
        window.progress(0.0, text)

    def build(self, job: Iterator[object]) -> None:
        """Run a generator in slices, one step after the other, within the time that a tick may take.

        It is dropped by undo and by loading a file, because what it holds becomes invalid; the person is told.
        """
        self._jobs.append(job)

    @property
    def importing(self) -> bool:
        """Is a capture being imported or opened again?"""
        return self.opening is not None

    @property
    def up_to_date(self) -> bool:
        """Does the scan show the backend's answer to the newest document?"""
        held = self._holds(current_scene()) and self.opening is None
        return held and not self._pending_change() and self._answered == self._revision and not self.canvas.painting

    @property
    def waiting(self) -> bool:
        """Is an answer on its way, or something being built from one?"""
        return bool(self._asks or self._sent or self._jobs)

    @property
    def active(self) -> bool:
        """Is there anything to wait for?"""
        return bool(self._jobs or self._asks or self.opening) or self.client.state in (*RUNNING, State.STOPPING)

    # The pump.

    def tick(self, budget_s: float) -> None:
        """Take in what the backend said, send what it must know, build a slice of what is being built."""
        began = time.perf_counter()
        self._inbox.extend(self.client.poll(budget_s))
        while self._inbox:
            self._handle(self._inbox.popleft())
        scene = current_scene()
        if self.client.state is State.FAILED:
            self._backend_failed()
        self._drive(scene)
        problem = self.canvas.step(began + PAINT_SLICE)
        if problem:
            window.tell(problem)
        self._run_jobs(began + budget_s)
        self._viewer.watch(scene)
        window.mirror(self.client)

    def _drive(self, scene: bpy.types.Scene) -> None:
        """The next step towards a backend that holds the capture and the newest document."""
        state = self.client.state
        if state in (State.STOPPED, State.FAILED):
            self._start_if_wanted()
        elif state not in (State.READY, State.BUSY):
            return
        elif self.opening is not None:
            # The capture event does not say whose it is: a cancelled opening has to end before the next begins.
            if not self.opening.request and "open" not in self.client.pending.values():
                self.opening.request = self._send(self._open_ask())
        elif scene.clickfield.capture_id != self.opened:
            if self._asks or self._pending_change():
                self.reopen()
        elif self.opened:
            self._send_document(scene)
            while self._asks and not self._pending_change():
                window.running(self._send(self._asks.popleft()))

    def _start_if_wanted(self) -> None:
        """A backend that has failed is started again only when the person asks for something."""
        wanted = self._restart or self.opening is not None
        if self.client.state is State.STOPPED:
            wanted = wanted or bool(self._asks) or self._pending_change()
        if not wanted or not self.client.join(0.0):
            return
        self._restart = False
        try:
            self.start()
        except BridgeError as error:
            window.tell(str(error))
            self._opening_failed("backend_gone", str(error))
            self._fail_asks("backend_gone", str(error))
            self._in_document, self._changed = edit_state(current_scene()), False

    def reopen(self) -> None:
        """Open the scene's own capture again, as it was imported."""
        scene = current_scene()
        own = scene.clickfield
        if not own.capture_id:
            self._fail_asks("no_capture", "This scene has no capture; import one first.")
            return
        options = opening.options_of(own)
        self.opening = opening.Opening(scene.session_uid, own.capture_path, options, fresh=False)

    def _send(self, one: Ask) -> int:
        number = self.client.request(one.method, one.params)
        self._sent[number] = one
        return number

    def _open_ask(self) -> Ask:
        now = self.opening
        wanted = preferences.get()
        params = {
            "path": bpy.path.abspath(now.path),
            "options": now.options,
            "device": wanted.device,
            "cache": str(preferences.cache_folder()),
        }
        return Ask("open", params, now.surface_arrived, self._opening_failed, "Opening")

    def _handle(self, message: Message) -> None:
        if message.type == "progress":
            one = self._sent.get(message.id)
            if one is not None:
                window.running(message.id)
                window.progress(message.data["fraction"], message.data["text"])
        elif message.type == "event":
            self._event(message)
        else:
            one = self._sent.pop(message.id, None)
            window.finished(message.id)
            if one is None:
                return
            if message.type == "error":
                if message.data["detail"]:
                    logger.warning("%s: %s", message.data["sentence"], message.data["detail"])
                one.failed(message.data["code"], message.data["sentence"])
            else:
                one.done(message.data, as_arrays(message))

    def _event(self, message: Message) -> None:
        if message.name == "capture" and self.opening is not None and self.opening.request:
            self.opening.capture = message.data
            self._jobs.append(self._build())
        elif message.name == "labels":
            self._labelled(message.data, as_arrays(message))
        elif message.name == "status":
            window.status(message.data)
        elif message.name == "problem":
            window.tell(message.data["sentence"])

    # Opening.

    def _build(self) -> Iterator[object]:
        now = self.opening
        scene = scene_by_uid(now.scene_uid)
        yield from opening.build(now, scene, self.canvas)
        if not now.fresh and now.problem:
            self.client.cancel(now.request)
            self._opening_failed("other_capture", now.problem)
            return
        self.opened, self.opening = now.capture["id"], None
        self._changed, self._revision, self._answered = True, self._revision + 1, 0
        window.progress(1.0, "")
        window.notes(now.capture)
        if now.fresh:
            bpy.ops.ed.undo_push(message="Import RGB-D Capture")
        self._in_document = edit_state(scene)

    def _opening_failed(self, code: str, sentence: str) -> None:
        now, self.opening = self.opening, None
        if now is None:
            return
        self._jobs.clear()
        if now.request:
            self._sent.pop(now.request, None)
            self.client.cancel(now.request)
        window.progress(1.0, "")
        scene = scene_by_uid(now.scene_uid)
        if now.fresh and now.capture and scene is not None:
            opening.take_back(now, scene)
        if code != "cancelled":
            window.tell(sentence, locate=not now.fresh and code != "backend_gone")
        self._fail_asks(code, sentence)
        self._in_document, self._changed = edit_state(current_scene()), False

    # The document.

    def _holds(self, scene: bpy.types.Scene) -> bool:
        """Does the backend hold the capture of this scene?"""
        return self.opened != "" and self.opened == scene.clickfield.capture_id

    def _pending_change(self) -> bool:
        scene = current_scene()
        if not scene.clickfield.capture_id:
            return False
        if self._in_document is None or self._in_document[0] != scene.session_uid:
            self._in_document, self._changed = edit_state(scene), self._holds(scene)
        return self._changed or edit_state(scene) != self._in_document

    def _send_document(self, scene: bpy.types.Scene) -> None:
        if not self._pending_change() or any(one.method == "document" for one in self._sent.values()):
            return
        self._in_document, self._changed = edit_state(scene), False
        self._revision += 1
        try:
            document = documents.build(scene.clickfield, self._revision)
            document = documents.in_scene(document, list(scene.clickfield.scene_from_world))
        except documents.DocumentError as error:
            window.tell(str(error))
            return
        scan = scans.find_scan(scene, self.opened)
        if scan is not None:
            self.canvas.recolor(scan, canvas.label_colors(scene))
        self._send(Ask("document", {"document": document}, self._labelled, window.tell_failure, ""))

    def _labelled(self, data: dict[str, Any], arrays: Arrays) -> None:
        scene = current_scene()
        if data["revision"] != self._revision or scene.clickfield.capture_id != self.opened:
            return
        self._answered = self._revision
        self.mark_points = {mark["id"]: tuple(mark["point"]) for mark in data.get("marks", []) if mark["point"]}
        self.mark_problems = {mark["id"]: mark["problem"] for mark in data.get("marks", []) if mark["problem"]}
        window.shares(data)
        scan = scans.find_scan(scene, self.opened)
        if scan is None:
            window.tell("The scan of this capture was deleted; import the capture again to see labels.")
            return
        self.canvas.start(scan, arrays["labels"], arrays["confidence"], canvas.label_colors(scene))

    # The scene was exchanged under us.

    def before_exchange(self) -> None:
        """Undo, redo or a file load is about to invalidate every datablock."""
        if len(self._jobs) > (self.opening is not None):
            window.tell("What was being built was interrupted; start it again.")
        self._jobs.clear()
        self.canvas.forget()

    def after_undo(self) -> None:
        """Another state of the document: send it, whatever its revision says; go on building what was being built."""
        self._changed = self._changed or self._holds(current_scene())
        if self.opening is not None and self.opening.capture is not None:
            self._jobs.append(self._build())

    def after_load(self) -> None:
        """Another file: its labels are on its mesh already, the backend is asked when it is needed."""
        self.cancel()
        self._asks.clear()
        self.mark_points, self.mark_problems = {}, {}
        self._in_document, self._changed = edit_state(current_scene()), self._holds(current_scene())
        self._viewer = viewing.Viewer()
        window.clear_problem()

    def after_save(self) -> None:
        """The person saved: keep the trained field beside it, so that the next opening need not train again."""
        if self._holds(current_scene()) and self.opening is None:
            self.ask("save", {}, lambda data, arrays: None)

    def close(self) -> None:
        """The extension is disabled or Blender ends."""
        self._restart = False
        self._jobs.clear()
        self.client.stop()
        if not self.client.join(4.0):
            logger.warning("the backend has not ended in time")
        self.client.poll()

    # Odds and ends.

    def _fail_asks(self, code: str, sentence: str) -> None:
        asks, self._asks = list(self._asks), deque()
        if asks:
            window.progress(1.0, "")
        for one in asks:
            one.failed(code, sentence)

    def _backend_failed(self) -> None:
        """Let nobody wait for a dead backend, except what was asked for since."""
        self.opened = ""
        self._sent.clear()
        if self.opening is not None and self.opening.tried:
            self._opening_failed("backend_gone", self.client.reason)
        if self.opening is None and not self._restart:
            self._fail_asks("backend_gone", self.client.reason)

    def _run_jobs(self, until: float) -> None:
        slice_end = max(until, time.perf_counter() + BUILD_SLICE)
        while self._jobs and time.perf_counter() < slice_end:
            try:
                if next(self._jobs[0]) is opening.WAIT:
                    return
            except StopIteration:
                if self._jobs:
                    self._jobs.popleft()
            except ReferenceError:
                self._opening_failed("changed", "The capture was changed while it was being built; import it again.")
            except Exception:  # leave no half-open capture behind; whoever pumps says what happened
                self._opening_failed("internal", "The capture could not be built; Blender's console has the details.")
                raise
