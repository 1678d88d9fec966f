"""One backend and the scene that it serves: opens the capture, sends the label document whole whenever it has
changed, and applies answers, in slices of `Session.tick`."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import bpy

from ..backend.protocol import Array
from . import asking, canvas, opening, preferences, previewing, remote, viewing, window
from .asks import Arrays, Ask, Requests, as_arrays
from .bridge.client import BackendClient, Message
from .bridge.states import BridgeError, State
from .document.labels import DocumentError
from .findings import Findings
from .lookup import current_scene, scene_by_uid
from .scene import cameras
from .scene import scan as scans
from .sending import Sender

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
        self.findings = Findings()
        self.asking = asking.Asking(self._ask_question)
        self._requests = Requests(self.client)
        self.preview = previewing.Preview(self._requests)
        self.elsewhere = remote.Elsewhere(self._requests, self.ask)
        self._sender = Sender()
        self._inbox: deque[Message] = deque()
        self._jobs: deque[Iterator[object]] = deque()
        self._restart = False
        self.viewer = viewing.Viewer(self.canvas, self.ask)

    # What operators ask for.

    def start(self) -> None:
        """Start the backend, and open the scene's capture in it. Raises BridgeError when it cannot be tried."""
        command = self.elsewhere.command()
        window.clear_problem()
        window.stopped("")
        self.client.start(command, preferences.ROOT, preferences.log_path())
        self.opened = ""
        if self.opening is None and current_scene().clickfield.capture_id:
            self.reopen()
        if self.opening is not None:
            self.opening.tried = True

    def stop(self, why: str = "You stopped the backend; the next edit of the labels starts it again") -> None:
        """End the backend; the next edit of the labels starts it again. The status line says ``why``."""
        self._restart = False
        self._give_up()
        self.preview.forget()
        self.asking.stop()
        self._requests.fail_waiting("stopped", "The backend was stopped.")
        self._sender.look(current_scene(), False)
        self.opened = ""
        self.client.stop()
        window.stopped(why)

    def restart(self) -> None:
        """End the backend if it runs, start it, and rebuild everything from the document."""
        self._restart = True
        self.client.stop()

    def import_capture(
        self, scene: bpy.types.Scene, path: str, options: dict[str, Any], mesh: opening.Mesh | None = None
    ) -> None:
        """Open a capture, or a mesh, and build it in a scene, replacing the capture that the scene has."""
        self._give_up()
        self.preview.forget()
        window.clear_problem()
        self.opened = ""
        self.opening = opening.Opening(scene.session_uid, path, options, fresh=True, mesh=mesh)
        window.progress(0.0, "Starting the backend" if self.client.state not in RUNNING else "Opening the capture")

    def cancel(self) -> None:
        """Give up what the person waits for; the rest of the session stays.

        A capture that has just taken the place of another one is finished: that takes a moment, and what it has
        replaced is gone.
        """
        if self.opening is None or not self.opening.replaced:
            self._give_up()

    def _give_up(self) -> None:
        number = window.state().request
        if number:
            self.client.cancel(number)
        self.elsewhere.stop()
        self._requests.fail_waiting("cancelled", "Cancelled.")
        if self.opening is not None:
            self._opening_failed("cancelled", "Cancelled.")

    def ask(
        self,
        method: str,
        params: dict[str, Any],
        done: Callable[[dict[str, Any], Arrays], None],
        failed: Callable[[str, str], None] | None = None,
        text: str = "",
        arrays: dict[str, Array] | None = None,
    ) -> None:
        """Send a request about the scene's capture, once the backend holds it and the newest document.

        Args:
            done: gets the result and its arrays; called by `pump`, on the main thread.
            failed: gets an error's code and sentence; by default the panel shows the sentence.
            text: what the panel says while it runs; without it nothing is shown, and Cancel does not mean it.
            arrays: what the request brings.
        """
        self._requests.add(Ask(method, params, done, failed or window.tell_failure, text, arrays))

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
        return held and not self._pending_change() and self._sender.up_to_date and not self.canvas.painting

    @property
    def waiting(self) -> bool:
        """Is an answer on its way, or something being built from one?"""
        return bool(self._requests or self._jobs)

    @property
    def active(self) -> bool:
        """Is there anything to wait for?"""
        running = self.client.state in (*RUNNING, State.STOPPING)
        return running or bool(self._jobs or self._requests.waiting or self.opening)

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
        self.preview.step(self.client, self.opening is None)
        self.elsewhere.step()
        problem = self.canvas.step(began + PAINT_SLICE)
        if problem:
            window.tell(problem)
        self._run_jobs(began + budget_s)
        self.viewer.watch(scene, self.up_to_date)
        window.mirror(self.client)

    def _drive(self, scene: bpy.types.Scene) -> None:
        """The next step towards a backend that holds the capture and the newest document."""
        state = self.client.state
        if state in (State.STOPPED, State.FAILED):
            self._start_if_wanted()
        elif state not in (State.READY, State.BUSY):
            return
        elif self.opening is not None:
            if not self.opening.request and self.elsewhere.ready(self.opening, self._opening_failed):
                self.opening.request = self._requests.send(self._open_ask())
        elif scene.clickfield.capture_id != self.opened:
            if self._requests.waiting or self._pending_change():
                self.reopen()
        elif self.opened:
            self._send_document(scene)
            while self._requests.waiting and not self._pending_change():
                self._requests.send_next()
            if not self._requests and self.up_to_date:
                self.findings.want_effects(self._sender.revision, self.ask)

    def _start_if_wanted(self) -> None:
        """A backend that has failed is started again only when the person asks for something."""
        wanted = self._restart or self.opening is not None
        if self.client.state is State.STOPPED:
            wanted = wanted or bool(self._requests.waiting) or self._pending_change() or self.preview.waiting
        if not wanted or not self.client.join(0.0):
            return
        self._restart = False
        try:
            self.start()
        except BridgeError as error:
            window.tell(str(error))
            self._opening_failed("backend_gone", str(error))
            self.preview.failed(str(error))
            self._requests.fail_waiting("backend_gone", str(error))
            self._sender.look(current_scene(), False)

    def reopen(self) -> None:
        """Open the scene's own capture again, as it was imported."""
        scene = current_scene()
        own = scene.clickfield
        if not own.capture_id:
            self._requests.fail_waiting("no_capture", "This scene has no capture; import one first.")
            return
        self.opening = opening.again(scene)
        if self.opening is None:
            self._requests.fail_waiting("no_capture", "The labelled mesh was deleted; undo that, or label another.")

    def _open_ask(self) -> Ask:
        return self.elsewhere.open_ask(self.opening, self._opening_failed)

    def _handle(self, message: Message) -> None:
        if message.type == "event":
            self._event(message)
        else:
            self._requests.take(message)

    def _event(self, message: Message) -> None:
        if message.name == "capture" and self.opening is not None and self.opening.request == message.id:
            self.opening.capture = self.elsewhere.at_home(message.data, self.opening)
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
        self._sender.restart(scene)
        window.progress(1.0, "")
        window.notes(now.capture)
        if now.fresh:
            bpy.ops.ed.undo_push(message="Import RGB-D Capture")

    def _opening_failed(self, code: str, sentence: str) -> None:
        now, self.opening = self.opening, None
        if now is None:
            return
        self._jobs.clear()
        if now.request:
            self._requests.drop(now.request)
        window.progress(1.0, "")
        scene = scene_by_uid(now.scene_uid)
        if now.fresh and now.capture and scene is not None:
            opening.take_back(now, scene)
        if code != "cancelled":
            window.tell(sentence, locate=bool(now.path) and not now.fresh and code != "backend_gone")
        self._requests.fail_waiting(code, sentence)
        self._sender.look(current_scene(), False)

    # The document.

    def _holds(self, scene: bpy.types.Scene) -> bool:
        """Does the backend hold the capture of this scene?"""
        return self.opened != "" and self.opened == scene.clickfield.capture_id

    def _pending_change(self) -> bool:
        scene = current_scene()
        return self._sender.pending(scene, self._holds(scene))

    def _send_document(self, scene: bpy.types.Scene) -> None:
        if not self._pending_change() or self._requests.under_way("document"):
            return
        self._requests.drop_quiet()
        try:
            document = self._sender.next(scene)
        except DocumentError as error:
            window.tell(str(error))
            return
        scan = scans.find_scan(scene, self.opened)
        if scan is not None:
            self.canvas.recolor(scan, canvas.look_of(scene))
        self._requests.send(Ask("document", {"document": document}, self._labelled, window.tell_failure, "Labelling"))

    def _labelled(self, data: dict[str, Any], arrays: Arrays) -> None:
        scene = current_scene()
        if data["revision"] != self._sender.revision or scene.clickfield.capture_id != self.opened:
            return
        self._sender.answered = data["revision"]
        self.findings.take(data)
        scan = scans.find_scan(scene, self.opened)
        if scan is None:
            window.tell("The scan of this capture was deleted; import the capture again to see labels.")
            return
        self.canvas.start(scan, arrays["labels"], arrays["confidence"], canvas.look_of(scene))

    def _ask_question(self, params: dict[str, Any], done: Callable, failed: Callable) -> None:
        self.ask("ask", params, done, failed, "" if self.asking.answers else "Looking for a question")

    # The scene was exchanged under us.

    def before_exchange(self) -> None:
        """Undo, redo or a file load is about to invalidate every datablock."""
        if len(self._jobs) > (self.opening is not None):
            window.tell("What was being built was interrupted; start it again.")
        self._jobs.clear()
        self.canvas.forget()
        if self.opening is not None and (scene := scene_by_uid(self.opening.scene_uid)) is not None:
            opening.take_back(self.opening, scene)  # it is no undo step yet; it is built anew afterwards
        for scene in bpy.data.scenes:
            cameras.let_go_of_pictures(scene)
        self.viewer.look_again()

    def after_undo(self) -> None:
        """Another state of the document: send it, whatever its revision says; go on building what was being built."""
        if self._holds(current_scene()):
            self._sender.must_send()
        self.asking.after_undo()
        if self.opening is not None and self.opening.capture is not None:
            self._jobs.append(self._build())

    def after_load(self) -> None:
        """Another file: its labels are on its mesh already, the backend is asked when it is needed."""
        self.asking.stop()
        self._give_up()
        self.findings = Findings()
        self._sender.look(current_scene(), self._holds(current_scene()))
        self.viewer.forget()
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

    @property
    def mark_points(self) -> dict[int, tuple[float, float, float]]:
        """Scene coordinates of marks, as far as the backend has placed them."""
        return self.findings.mark_points

    @property
    def mark_problems(self) -> dict[int, str]:
        """A sentence for each mark that could not be placed."""
        return self.findings.mark_problems

    # Odds and ends.

    def _backend_failed(self) -> None:
        """Let nobody wait for a dead backend, except what was asked for since."""
        self.opened = ""
        self._requests.forget_sent()
        if self.opening is not None and self.opening.tried:
            self._opening_failed("backend_gone", self.client.reason)
        if self.opening is None and not self._restart:
            self._requests.fail_waiting("backend_gone", self.client.reason)

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
