"""The `batch` command: many captures labelled, one process and one GPU for each, on this machine or by Slurm.

It may be ended at any moment and run again: what is done is known by its inputs and skipped. Nothing but files and
commands goes between the processes: a plan in JSON, one command per scene, and a note from each that fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .batch_scene import is_done, note_of
from .errors import UserError
from .file_lock import FileLock
from .progress import Progress
from .scene_cache import LAYOUT
from .store import key_of
from .writing import write_bytes, write_json

ROOT = Path(__file__).resolve().parents[1]
CONTAINERS = (".zip", ".r3d", ".sens", ".mkv", ".bag")  # captures in one file
PATIENCE = 0.1  # seconds between two looks at the processes


@dataclass(frozen=True)
class BatchJob:
    """What the command line asks for; ``options`` are those of the label jobs."""

    captures: list[Path]
    marks: Path  # a label document for all, or a folder with <name>.json for each
    out: Path
    cluster: str = "local"
    gpus: str = "all"  # "all", "none", or numbers with commas
    jobs: int | None = None  # scenes at a time; None: one for each GPU, or one
    sbatch: str = ""  # more options for Slurm
    options: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()  # of the command of each scene: its budgets


@dataclass
class Scene:
    """One capture of a batch; ``problem`` is why it cannot be done, a sentence."""

    name: str
    capture: Path
    marks: Path
    out: Path
    inputs: str = ""
    problem: str = ""


def run(job: BatchJob, progress: Progress) -> dict[str, Any]:
    """Do the job: ``{"done", "skipped", "failed": [{"name", "sentence"}], "seconds"}``. Raises UserError, Cancelled."""
    started = time.perf_counter()
    scenes = planned(job)
    folder = job.out.absolute() / "batch"
    try:
        lock = FileLock(folder / "lock")
    except BlockingIOError as error:
        raise UserError("busy", f"Another batch is working in {job.out}; wait for it.") from error
    except OSError as error:
        raise UserError("cannot_write", f"{job.out} cannot be written ({error.strerror}); choose another.") from error
    try:
        skipped = [scene for scene in scenes if not scene.problem and is_done(scene.out, scene.inputs)]
        todo = [scene for scene in scenes if not scene.problem and scene not in skipped]
        plan = folder / "plan.json"
        entries = [{key: str(value) for key, value in vars(scene).items() if key != "problem"} for scene in scenes]
        write_json(plan, {"options": job.options, "scenes": entries})
        for scene in todo:
            _remove_leftovers(scene.out)
            note_of(plan, scene.name).unlink(missing_ok=True)
        numbers = [scenes.index(scene) for scene in todo]
        if todo:
            (_by_slurm if job.cluster == "slurm" else _here)(job, plan, scenes, numbers, progress)
        for scene in todo:
            scene.problem = "" if is_done(scene.out, scene.inputs) else scene.problem or _noted(plan, scene)
        failed = [{"name": scene.name, "sentence": scene.problem} for scene in scenes if scene.problem]
        report = {"done": len(scenes) - len(failed) - len(skipped), "skipped": len(skipped), "failed": failed}
        report["seconds"] = time.perf_counter() - started
        write_json(folder / "report.json", report)
        return report
    finally:
        lock.release()


def in_words(report: dict[str, Any]) -> str:
    """What became of a batch, one line per scene that failed."""
    failed = report["failed"]
    before = f", {report['skipped']} were done before" if report["skipped"] else ""
    head = f"{report['done']} scenes were labelled{before}" + (f", {len(failed)} failed:" if failed else ".")
    return "\n".join([head, *(f"  {one['name']}: {one['sentence']}" for one in failed)])


def planned(job: BatchJob) -> list[Scene]:
    """The scenes of a job, each with a name of its own and the hash of what it is made from. Raises UserError."""
    if not job.captures:
        raise UserError("no_captures", "No capture was given; name at least one folder or file.")
    captures = [path.absolute() for path in job.captures]
    if len(set(captures)) < len(captures):
        raise UserError("twice", "A capture was given twice; name each of them once.")
    scenes = []
    for name, capture in zip(_names(captures), captures, strict=True):
        marks = job.marks.absolute() / f"{name}.json" if job.marks.is_dir() else job.marks.absolute()
        scene = Scene(name, capture, marks, job.out.absolute() / name)
        if not capture.exists():
            scene.problem = f"There is no file or folder {capture}."
        elif not marks.is_file():
            scene.problem = f"There is no file {marks} with its marks."
        else:
            try:
                scene.inputs = inputs_of(capture, marks, job.options)
            except OSError as error:
                scene.problem = f"{error.filename or capture} cannot be read ({error.strerror or error})."
        scenes.append(scene)
    return scenes


def inputs_of(capture: Path, marks: Path, options: dict[str, Any]) -> str:
    """A hash of what a scene is made from: marks, options, and names, sizes and times of the capture's files."""
    single = capture.is_file() and capture.suffix.lower() in CONTAINERS
    root = capture if capture.is_dir() else capture.parent
    paths = [capture] if single else sorted(path for path in root.rglob("*") if path.is_file())
    listed = [[path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    return key_of(LAYOUT, hashlib.sha256(marks.read_bytes()).hexdigest(), options, listed)


def _names(captures: list[Path]) -> list[str]:
    """A name for each: that of its folder or file, with the folders above in front where two are the same."""
    places = [
        path if path.is_dir() else path.with_suffix("") if path.suffix.lower() in CONTAINERS else path.parent
        for path in captures
    ]
    names = [place.name for place in places]
    for depth in range(2, max(len(place.parts) for place in places) + 1):
        counts = Counter(names)
        names = [
            "_".join(place.parts[-depth:]).strip(os.sep) if counts[name] > 1 else name
            for name, place in zip(names, places, strict=True)
        ]
    taken = Counter({"batch": 1})  # the folder of the batch itself
    numbered = []
    for name in names:
        taken[name] += 1
        numbered.append(f"{name}_{taken[name]}" if taken[name] > 1 else name)
    return numbered


def _remove_leftovers(out: Path) -> None:
    """What a process that was killed has left beside its results."""
    half = re.compile(rf"\.{re.escape(out.name)}(\.new)?-[a-z0-9_]{{8}}")
    for path in out.parent.iterdir():
        if half.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _noted(plan: Path, scene: Scene) -> str:
    """Why a scene failed, as it said itself."""
    try:
        return str(json.loads(note_of(plan, scene.name).read_text(encoding="utf-8"))["sentence"])
    except (OSError, ValueError, KeyError):
        return "It ended without a word, perhaps out of memory or time; its log is in the folder batch."


# On this machine.


def _here(job: BatchJob, plan: Path, scenes: list[Scene], numbers: list[int], progress: Progress) -> None:
    """One process per scene, each with a GPU of its own; when this process dies, however it dies, so do they."""
    free: list[str | None] = list(_slots(job))
    waiting, running = list(numbers), {}
    try:
        while waiting or running:
            while waiting and free:
                number, gpu = waiting.pop(0), free.pop(0)
                running[number] = _started(job, plan, scenes[number].name, number, gpu), gpu
            for number, (process, gpu) in list(running.items()):
                if process.poll() is not None:
                    process.stdin.close()
                    del running[number]
                    free.append(gpu)
                    if process.returncode < 0:
                        scenes[number].problem = f"It was ended by the system (signal {-process.returncode})."
            finished = len(numbers) - len(waiting) - len(running)
            progress(finished / len(numbers), f"{finished} of {len(numbers)} scenes")
            time.sleep(PATIENCE)
    finally:
        for process, _ in running.values():
            process.kill()
            process.wait()
            process.stdin.close()


def _started(job: BatchJob, plan: Path, name: str, number: int, gpu: str | None) -> subprocess.Popen:
    environment = dict(os.environ)
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    with open(plan.parent / f"{name}.log", "ab") as log:
        return subprocess.Popen(
            [*_scene_command(plan), str(number), "--with-parent", *job.flags],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )


def _scene_command(plan: Path) -> list[str]:
    return [sys.executable, "-s", "-X", "utf8", "-m", "backend", "batch-scene", str(plan)]


def _slots(job: BatchJob) -> list[str | None]:
    """What each process at a time gets: the number of a GPU, or None. Raises UserError."""
    gpus = _gpus(job)
    if gpus and job.jobs and job.jobs > len(gpus):
        sentence = f"{job.jobs} scenes at a time need as many GPUs, and there are {len(gpus)}; lower --jobs."
        raise UserError("too_few_gpus", sentence)
    if gpus:
        return list(gpus[: job.jobs])
    return [None if job.gpus == "all" else ""] * (job.jobs or 1)


def _gpus(job: BatchJob) -> list[str]:
    if job.gpus == "none" or job.options.get("device") in ("cpu", "mps"):
        return []
    visible = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    if job.gpus != "all":
        return [one.strip() for one in job.gpus.split(",") if one.strip()]
    import torch

    return visible[: torch.cuda.device_count()] or [str(number) for number in range(torch.cuda.device_count())]


# By Slurm.


def script_of(plan: Path, flags: tuple[str, ...] = ()) -> str:
    """What each task of the array runs, plain sh: the number of its scene is that of the task."""
    command, last = shlex.join(_scene_command(plan)), shlex.join(flags)
    return f'#!/bin/sh\ncd {shlex.quote(str(ROOT))} || exit 3\nexec {command} "$SLURM_ARRAY_TASK_ID" {last}\n'


def _by_slurm(job: BatchJob, plan: Path, scenes: list[Scene], numbers: list[int], progress: Progress) -> None:
    """One array job, a task per scene with one GPU; waits for its end."""
    script = plan.with_name("scene.sh")
    write_bytes(script, script_of(plan, job.flags).encode())
    command = ["sbatch", "--wait", "--job-name=clickfield", f"--output={plan.parent / 'scene-%a.log'}"]
    command.append(f"--array={','.join(map(str, numbers))}" + (f"%{job.jobs}" if job.jobs else ""))
    if job.gpus != "none" and job.options.get("device") != "cpu":
        command.append("--gres=gpu:1")
    try:
        more = shlex.split(job.sbatch)
    except ValueError as error:
        raise UserError("bad_option", f"The options for Slurm cannot be read ({error}); check --sbatch.") from error
    progress(0.0, f"{len(numbers)} scenes are in Slurm's queue")
    try:
        done = subprocess.run([*command, *more, str(script)], capture_output=True, text=True, check=False)
    except OSError as error:
        sentence = "sbatch was not found; run this on a machine from which jobs are submitted to Slurm."
        raise UserError("no_slurm", sentence, repr(error)) from error
    begun = any(note_of(plan, scenes[number].name).exists() or scenes[number].out.exists() for number in numbers)
    if done.returncode and not begun and done.stderr.strip():
        said = done.stderr.strip().splitlines()[-1]
        raise UserError("slurm_refused", f"Slurm did not take the job: {said}", done.stderr)
