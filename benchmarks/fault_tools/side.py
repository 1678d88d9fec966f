"""Blender's side of the benchmark of faults: the installed extension, a labelled room, jobs for the backend.

Bit-for-bit comparisons are against an undisturbed run with a cache of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "scripts", ROOT / "tests"):
    sys.path.insert(0, str(folder))

import rooms  # noqa: E402
from headless import NAME, Headless  # noqa: E402

LABELS = ("floor", "wall", "box", "chest")
TAUGHT = ((-0.4, -0.6, -1.25), (0.2, 1.6, -0.5), (1.2, 0.6, -0.6))  # marks that every file has
JOB_MARK = (-1.4, 1.0, -0.2)
OWN_MARKS = ((0.8, -1.0, -0.85), (-2.0, 0.1, 0.3))  # what the person marks while something is wrong
SECONDS = 240.0
FRAMES = 8


@dataclass(frozen=True)
class Job:
    """Work for the backend: how it begins, when it is done, and whether it needs an empty cache to be work."""

    name: str
    begin: Callable[[], object]
    done: Callable[[], bool]
    cold: bool = False
    fresh: bool = False  # begins in an empty file


def write_room(folder: Path) -> Path:
    """The analytic room as a capture; the path to import."""
    rooms.write_transforms(folder, n_frames=FRAMES)
    return folder / "transforms.json"


class Side:
    """One Blender with the extension.

    Args:
        folder: for the profile, the caches, the capture and files.
        package: the extension's zip.
        python: what is set as the backend's interpreter.
    """

    def __init__(self, folder: Path, package: Path, capture: Path, python: str = sys.executable):
        self.folder, self.capture = folder, capture
        self.headless = Headless(folder / "profile", package, python)
        self.bpy, self.live = self.headless.bpy, self.headless.live
        self.ops = self.bpy.ops.clickfield
        self.base = folder / "base.blend"
        self.longest = 0.0  # seconds that the main thread was in our code at a time
        self.caches = 0
        self._count = 0
        self.jobs = {job.name: job for job in self._jobs()}

    # What there is.

    @property
    def session(self):
        """The add-on's session."""
        return self.live.session()

    @property
    def own(self):
        """The scene's properties."""
        return self.headless.own

    @property
    def told(self) -> str:
        """What the person is told."""
        return self.headless.window.problem

    @property
    def pid(self) -> int:
        """The backend's process."""
        return self.session.client.hello["pid"]

    @property
    def failed(self) -> bool:
        """Has the backend failed?"""
        return self.session.client.state.value == "Failed"

    def written(self) -> str:
        """The label document as text, without its number."""
        documents = sys.modules[f"{NAME}.blender_addon.document.labels"]
        return json.dumps({**documents.build(self.own, 0), "revision": 0}, sort_keys=True)

    def labels(self) -> list[bytes]:
        """Labels and confidence on the scan."""
        scans = sys.modules[f"{NAME}.blender_addon.scene.scan"]
        found = scans.find_scan(self.bpy.context.scene, self.own.capture_id)
        return [values.tobytes() for values in scans.read_labels(found.data)]

    # Waiting.

    def pump(self) -> None:
        """One slice of the add-on, timed."""
        began = time.perf_counter()
        self.live.pump()
        self.longest = max(self.longest, time.perf_counter() - began)
        time.sleep(0.001)

    def until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
        """Run the add-on until it holds; did it, in that time?"""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.pump()
        return True

    def settled(self) -> bool:
        """Are the labels final?"""
        return self.session.up_to_date and self.headless.window.settled

    # What a person does.

    def mark(self, place: tuple[float, float, float], label: int = 4) -> None:
        """A click, with its undo step."""
        self.ops.add_mark(label=label, location=place)
        self.bpy.ops.ed.undo_push(message="mark")

    def use_cache(self, name: str = "") -> Path:
        """Keep results in this folder; a new one without a name."""
        self.caches += not name
        path = self.folder / (name or f"cache-{self.caches}")
        self.bpy.context.preferences.addons[NAME].preferences.cache = str(path)
        return path

    def stop(self) -> None:
        """End the backend."""
        self.session.stop()
        assert self.until(lambda: self.session.client.state.value in ("Stopped", "Failed") and self.joined(), 60)

    def joined(self) -> bool:
        """Are the last backend's process and threads gone?"""
        return self.session.client.join(0.0)

    def prepare(self) -> None:
        """Import the room, label it and keep the file from which every round begins."""
        self.use_cache("reference")
        self.import_room()
        for name in LABELS:
            self.ops.add_label(name=name)
        for number, place in enumerate(TAUGHT):
            self.mark(place, 1 + number)
        assert self.until(self.settled), self.told
        self.bpy.ops.wm.save_as_mainfile(filepath=str(self.base))
        assert self.until(lambda: not self.session.waiting)

    def import_room(self) -> None:
        """An empty file with the capture."""
        self.bpy.ops.wm.read_homefile(use_empty=True)
        self.ops.import_capture(filepath=str(self.capture))
        assert self.until(lambda: not self.session.importing) and self.own.capture_id, self.told

    def open_base(self) -> None:
        """The labelled file, as if Blender had just been started with it."""
        self.bpy.ops.wm.open_mainfile(filepath=str(self.base))

    def ready(self) -> bool:
        """Does the backend hold the file's capture, with the labels on the scan? If not, the person is told why."""
        self.ops.restart_backend()
        self.until(lambda: self.session.client.state.value != "Stopping" and not self.session.importing)
        self.until(lambda: self.failed or self.told or self.session.up_to_date)
        return not self.failed and self.session.up_to_date

    # Jobs.

    def _jobs(self) -> list[Job]:
        def waited() -> bool:
            return not self.session.waiting

        return [
            Job("import", self._begin_import, lambda: not self.session.importing, cold=True, fresh=True),
            Job("open", self.ops.restart_backend, self._reopened, cold=True),
            Job("document", lambda: self.mark(JOB_MARK), lambda: self.session.up_to_date),
            Job("training", lambda: self.mark(JOB_MARK), self.settled, cold=True),
            Job("ask", self._begin_asking, lambda: self.session.asking.question is not None),
            Job("separate", lambda: self.ops.separate(), waited),
            Job("dataset", self._begin_data_set, waited),
            Job("save", self._begin_save, waited),
        ]

    def _begin_import(self) -> None:
        self.ops.import_capture(filepath=str(self.capture))

    def _reopened(self) -> bool:
        return self.session.client.state.value in ("Ready", "Busy") and not self.session.importing

    def _begin_asking(self) -> None:
        self.session.asking.stop()
        self.ops.ask_me()

    def _begin_data_set(self) -> None:
        self._count += 1
        self.ops.export_data_set(directory=str(self.folder), name=f"data-{self._count}", formats={"coco", "pngs"})

    def _begin_save(self) -> None:
        self.bpy.ops.wm.save_as_mainfile(filepath=str(self.folder / "saved.blend"), copy=True)

    def begin(self, job: Job) -> bool:
        """Bring everything to where the job can begin; whether it can."""
        self.stop()
        if job.cold:
            self.use_cache()
        else:
            shutil.copytree(self.folder / "reference", self.use_cache(), dirs_exist_ok=True)
        if job.fresh:
            self.bpy.ops.wm.read_homefile(use_empty=True)
            self.session.start()
            return self.until(lambda: self.session.client.state.value == "Ready")
        self.open_base()
        if not self.ready():
            return False
        if job.name == "open":  # the backend holds it: begin with an empty cache again
            shutil.rmtree(self.folder / f"cache-{self.caches}", ignore_errors=True)
        return True

    def forget_cache(self) -> None:
        """Remove the last cache; every round has its own."""
        shutil.rmtree(self.folder / f"cache-{self.caches}", ignore_errors=True)


def one_sentence(text: str) -> bool:
    """Is it what a person should read: one line, whole sentences, nothing of Python?"""
    wrong = ("Traceback", "Error(", "Exception", "\n")
    return 0 < len(text) <= 300 and text[0].isupper() and text.endswith(".") and not any(word in text for word in wrong)


def processes_with(marker: str) -> list[int]:
    """Processes whose environment holds a text, the dead ones that nobody has collected left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if (
                marker.encode() in (entry / "environ").read_bytes()
                and "\nState:\tZ" not in (entry / "status").read_text()
            ):
                found.append(int(entry.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found
