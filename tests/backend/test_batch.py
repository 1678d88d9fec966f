"""The `batch` command: many captures, one of them broken; ended in the middle and run again; through Slurm's script."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend import batch_job
from backend.batch_scene import is_done
from backend.errors import UserError
from tests import rooms

ROOT = Path(__file__).resolve().parents[2]
SOME_FAILED = 5
# What Slurm does with an array job, task after task: the last argument is the script.
SBATCH = """#!/bin/sh
for last; do case "$last" in --array=*) tasks=$(echo "${last#--array=}" | sed 's/%.*//; s/,/ /g');; esac; done
echo "$@" > "$ARGUMENTS"
for task in $tasks; do SLURM_ARRAY_TASK_ID=$task sh "$last" </dev/null || code=1; done
exit ${code:-0}
"""


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    """A folder with a good capture, one whose depth is gone, and marks for all."""
    folder = tmp_path_factory.mktemp("batch ünï")
    shots = rooms.write_transforms(folder / "a room", n_frames=3)
    rooms.write_transforms(folder / "broken", n_frames=3)
    for path in (folder / "broken" / "depth").iterdir():
        path.unlink()
    (folder / "marks.json").write_text(json.dumps(rooms.marks_for(shots)))
    return folder


def command(folder, *more):
    scenes = [str(folder / "a room"), str(folder / "broken" / "transforms.json")]
    options = ["--marks", str(folder / "marks.json"), "--device", "cpu", "--seconds", "0.1", "--max-frames", "2"]
    return [sys.executable, "-m", "backend", "batch", *scenes, *options, *map(str, more)]


def run(*arguments, **environment):
    done = subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout


def until(condition):
    """Wait for something that another process does."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_killed_and_run_again_does_each_scene_once(captures, tmp_path):
    """Begun on this machine, killed, run again, and a third time by Slurm's array."""
    out = tmp_path / "out"
    batch = subprocess.Popen(command(captures, "--out", out), cwd=ROOT, stderr=subprocess.DEVNULL)
    until(lambda: list(out.glob(".a room-????????")))  # it is being labelled
    with pytest.raises(UserError, match="Another batch is working"):
        batch_job.run(batch_job.BatchJob([captures / "a room"], captures / "marks.json", out), lambda *_: None)
    (scene,) = children(batch.pid)
    batch.send_signal(signal.SIGKILL)
    batch.wait()
    until(lambda: state(scene) == "Z")  # its scenes die with it
    assert not (out / "a room").exists()

    code, said = run(captures, "--out", out, "--jobs", 2)
    assert code == SOME_FAILED and said.startswith("1 scenes were labelled, 1 failed:\n  broken: ")
    assert "depth" in said and not list(out.glob(".*"))
    assert len(list((out / "a room" / "labels").iterdir())) == 2
    made = (out / "a room" / "report.json").stat().st_mtime_ns

    tools, asked = tmp_path / "tools", tmp_path / "asked"
    tools.mkdir()
    (tools / "sbatch").write_text(SBATCH)
    (tools / "sbatch").chmod(0o755)
    path = {"PATH": f"{tools}:{os.environ['PATH']}", "ARGUMENTS": str(asked)}
    more = ("--cluster", "slurm", "--jobs", 7, "--sbatch=--partition='my queue'")
    code, said = run(captures, "--out", out, *more, **path)
    assert code == SOME_FAILED and said.startswith("0 scenes were labelled, 1 were done before, 1 failed:\n  broken: ")
    assert (out / "a room" / "report.json").stat().st_mtime_ns == made
    words = asked.read_text()
    assert "--wait" in words and "--array=1%7" in words and "--partition=my queue" in words
    assert "--gres" not in words  # on the CPU no GPU is asked for
    assert json.loads((out / "batch" / "report.json").read_text())["failed"][0]["name"] == "broken"


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_without_slurm_there_is_a_sentence(captures, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    job = batch_job.BatchJob([captures / "a room"], captures / "marks.json", tmp_path / "out", "slurm")
    with pytest.raises(UserError, match="sbatch was not found"):
        batch_job.run(job, lambda fraction, text: None)


def test_other_inputs_are_other_results(captures, tmp_path):
    def inputs(**options):
        job = batch_job.BatchJob([captures / "a room"], captures / "marks.json", tmp_path, options=options)
        (scene,) = batch_job.planned(job)
        return scene.inputs

    first = inputs(step=1)
    assert inputs(step=1) == first and inputs(step=2) != first
    picture = next((captures / "a room" / "images").iterdir())
    os.utime(picture, (1, 1))
    assert inputs(step=1) != first
    out = tmp_path / "done"
    out.mkdir()
    (out / "x").write_text("12")
    (out / "batch.json").write_text(json.dumps({"inputs": first, "files": {"x": 2}}))
    assert is_done(out, first) and not is_done(out, "other")
    (out / "x").write_text("1")
    assert not is_done(out, first)


def test_every_scene_has_a_name_and_a_gpu_of_its_own(tmp_path):
    places = [tmp_path / one / "scan" for one in ("a", "b")] + [tmp_path / "c" / "batch"]
    for place in places:
        place.mkdir(parents=True)
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "a_scan.json").write_text("{}")
    job = batch_job.BatchJob(places, tmp_path / "marks", tmp_path / "out", gpus="0,3", jobs=2)
    scenes = batch_job.planned(job)
    assert [scene.name for scene in scenes] == ["a_scan", "b_scan", "batch_2"]
    assert not scenes[0].problem and "There is no file" in scenes[1].problem
    assert batch_job._slots(job) == ["0", "3"]
    with pytest.raises(UserError, match="as many GPUs"):
        batch_job._slots(batch_job.BatchJob(places, tmp_path, tmp_path, gpus="0,3", jobs=3))
