"""Breaks the backend, Blender, the disk and the stream at random moments of every kind of work, and looks what is lost.

    python benchmarks/faults.py [--rounds 3] [--seed 0] [--every-job] [--only "kill;hang"] [--json OUT]

Everything is real: the installed extension in a Blender without a window, its backend, the capture of an analytic room.
In every round a person marks something while the fault is there, then presses *Restart* or just goes on. A fault is
survived when Blender was never blocked, the person read one sentence where something failed, the label document is
what it was, and the labels are bit for bit those of an undisturbed run. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import build_zip  # noqa: E402

from benchmarks.fault_tools.kinds import FAULTS, Fault  # noqa: E402
from benchmarks.fault_tools.side import OWN_MARKS, Job, Side, one_sentence, processes_with, write_room  # noqa: E402

PROXY = ROOT / "benchmarks" / "fault_tools" / "proxy.py"
BLENDER = ROOT / "benchmarks" / "fault_tools" / "blender.py"
DEADLINE = 10.0  # seconds of silence after which a backend counts as hung while a fault is there; a person's is 60
PATIENCE = 300.0  # the same for what only prepares a round, or follows it, on a machine with much else to do
WORD = 180.0  # seconds in which the work is done or the person is told; a start alone may take 120
BLOCKED = 2.0  # seconds in our code at a time that no fault may cost; the machine may be busy with other things
GONE_WITHIN = 2.0  # seconds after Blender's death in which nothing of it may be left
# What each job takes on two cores that have something else to do as well: moments are drawn from a tenth more.
SECONDS = {"import": 1.6, "open": 5.9, "document": 0.1, "training": 17.0, "ask": 0.1, "separate": 9.0}
SECONDS |= {"dataset": 1.0, "save": 0.1}
BLENDER_JOBS = ("import", "open", "training", "ask", "separate", "dataset", "hang")


@dataclass
class Tally:
    """What became of one kind of fault."""

    injected: int = 0
    survived: int = 0
    lost: int = 0  # marks, labels and trees that were not as the person left them
    sentences: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Bench:
    """Rounds of faults in one Blender.

    Args:
        seed: of all moments and places.
    """

    def __init__(self, folder: Path, seed: int):
        self.folder, self.random = folder, random.Random(seed)
        self.control = folder / "control.json"
        self.wants()
        self.capture = write_room(folder / "capture")
        self.package = build_zip.build(folder)
        self.side = Side(folder, self.package, self.capture, str(self._interpreter()))
        self.patience(PATIENCE)
        self.tallies: dict[str, Tally] = {}
        self.known: dict[str, list[bytes]] = {}
        self.side.prepare()

    def _interpreter(self) -> Path:
        path = self.folder / "python"
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROXY}" "{self.control}" "{sys.executable}" "$@"\n')
        path.chmod(0o755)
        return path

    def wants(self, **what: object) -> None:
        """Tell the proxy what to do from now on."""
        fresh = self.control.with_suffix(".new")
        fresh.write_text(json.dumps(what))
        os.replace(fresh, self.control)
        self.control.with_suffix(".struck").unlink(missing_ok=True)

    def patience(self, seconds: float) -> None:
        """How long the backend may be silent in requests that are sent from now on."""
        request = type(self.side.session.client).request
        request.__defaults__ = (*request.__defaults__[:-1], seconds)

    def undisturbed(self, text: str) -> list[bytes]:
        """The labels of a document, by a run in which nothing went wrong, with a cache of its own."""
        if text not in self.known:
            self.wants()
            side = self.side
            side.stop()
            side.use_cache("reference")
            side.open_base()
            path = self.folder / "document.json"
            path.write_text(text)
            side.ops.load_labels(filepath=str(path))
            side.bpy.ops.ed.undo_push(message="labels")
            assert side.until(side.settled), side.told
            self.known[text] = side.labels()
        return self.known[text]

    def round(self, fault: Fault, name: str) -> None:
        """One fault in one job."""
        tally, side, job = self.tallies.setdefault(fault.name, Tally()), self.side, self.side.jobs[name]
        wanted = fault.start(self.random)
        self.wants(**wanted)
        ready = side.begin(job)
        assert ready or "memory" in wanted, side.told  # that may strike while the round is prepared
        side.longest = 0.0
        own = self.random.choice(OWN_MARKS)
        moment = self.random.uniform(0, 1.1 * SECONDS[name])
        strike = fault.strike(self, self.random)
        marks = len(side.own.marks)
        self.patience(DEADLINE)
        if ready:
            job.begin()
        began = time.monotonic()
        side.until(lambda: time.monotonic() - began > moment, moment + 5)
        mend = strike()
        problems = []
        if not job.fresh:
            side.mark(own)
            marks += 1 + (ready and name in ("document", "training"))
        expected = side.written()
        if fault.impatient:
            side.ops.restart_backend()
        else:
            over = side.until(lambda: side.failed or side.told or (job.done() and (job.fresh or side.settled())), WORD)
            problems += [] if over else ["nothing came of it, and no word"]
        said = side.told or (side.session.client.reason if side.failed else "")
        happened = fault.happened(self)
        mend()
        self.patience(PATIENCE)
        if not happened:
            return
        tally.injected += 1
        if (said or side.failed) and not one_sentence(said):
            problems.append(f"not a sentence: {said!r}")
        tally.sentences += [said] if said and said not in tally.sentences else []
        problems += self.recovered(fault, job, own)
        if not job.fresh:
            lost = [] if side.written() == expected and len(side.own.marks) == marks else ["the document changed"]
            tally.lost += len(lost)
            problems += lost
        problems += self.compared(tally)
        if side.longest > BLOCKED:
            problems.append(f"Blender was blocked for {side.longest:.1f} s")
        tally.survived += not problems
        tally.failures += [f"{name} at {moment:.2f} s: {one} (said {said!r})" for one in problems]
        side.forget_cache()

    def recovered(self, fault: Fault, job: Job, own: tuple[float, float, float]) -> list[str]:
        """The person goes on: what keeps labels from being final again."""
        side = self.side
        if job.fresh:
            clean = not side.own.capture_id and not len(side.bpy.data.objects)
            problems = [] if clean or side.own.capture_id else ["a failed import left something behind"]
            side.open_base()
            side.mark(own)
        else:
            problems = []
        if side.failed or not fault.goes_on:
            side.ops.restart_backend()
        elif job.name in ("ask", "separate", "dataset", "save"):
            job.begin()
        side.until(lambda: side.session.client.state.value not in ("Stopping", "Failed"), 60)
        done = side.until(lambda: side.failed or (not side.session.importing and side.settled()))
        if not done or side.failed:
            problems.append(f"labels are not final again: {side.told or side.session.client.reason!r}")
        return problems

    def compared(self, tally: Tally) -> list[str]:
        """Are the labels those of an undisturbed run?"""
        labels, text = self.side.labels(), self.side.written()
        if labels == self.undisturbed(text):
            return []
        tally.lost += 1
        return ["other labels than undisturbed"]

    # Faults of whole Blenders.

    def kill_blender(self, name: str) -> None:
        """kill -9 of a Blender of its own: what it started must be gone."""
        tally, marker = self.tallies.setdefault("kill -9 of Blender", Tally()), f"fault-{self.random.random()}"
        blender, begun = self._blender("killed", "training" if name == "hang" else name, marker, self.folder / "own")
        time.sleep(self.random.uniform(0, 1.1 * SECONDS["training" if name == "hang" else name]))
        if name == "hang":
            os.kill(begun["begun"], signal.SIGSTOP)
        blender.kill()
        killed = time.monotonic()
        blender.wait()
        while (left := processes_with(marker)) and time.monotonic() - killed < 30:
            time.sleep(0.02)
        took = time.monotonic() - killed
        tally.injected += 1
        tally.survived += took <= GONE_WITHIN
        if took > GONE_WITHIN:
            tally.failures.append(f"{name}: {left or 'a child'} was left for {took:.1f} s")
        for pid in left:
            os.kill(pid, signal.SIGKILL)

    def two_blenders(self) -> None:
        """Two Blenders label one capture with one cache, empty at the beginning, at the same time."""
        tally = self.tallies.setdefault("two Blenders on one capture", Tally())
        cache = self.folder / "shared-cache"
        shutil.rmtree(cache, ignore_errors=True)
        both = [self._blender(f"pair-{number}", "settle", "", cache, wait=False)[0] for number in (1, 2)]
        tally.injected += 1
        problems = []
        for blender in both:
            lines = [json.loads(line) for line in blender.stdout if line.startswith("{")]
            blender.wait()
            if not lines or "written" not in lines[-1]:
                problems.append(f"one ended with {blender.returncode}")
                continue
            if lines[-1]["told"]:
                problems.append(lines[-1]["told"])
            problems += self._same(lines[-1], tally)
        tally.survived += not problems
        tally.failures += problems

    def _same(self, said: dict, tally: Tally) -> list[str]:
        import hashlib

        wanted = [hashlib.sha256(part).hexdigest() for part in self.undisturbed(said["written"])]
        tally.lost += wanted != said["labels"]
        return [] if wanted == said["labels"] else ["other labels than undisturbed"]

    def _blender(self, folder: str, job: str, marker: str, cache: Path, wait: bool = True):
        """A Blender of its own, and what it said when it had begun."""
        command = [sys.executable, str(BLENDER), str(self.folder / folder), str(self.package), str(self.capture)]
        environment = {**os.environ, "CLICKFIELD_FAULT": marker}
        process = subprocess.Popen(
            [*command, str(cache), job],
            stdout=subprocess.PIPE,
            stderr=open(self.folder / f"{folder}.log", "w"),  # noqa: SIM115  (the child's)
            text=True,
            env=environment,
        )
        while wait and (line := process.stdout.readline()):
            if line.startswith("{"):
                return process, json.loads(line)
        return process, {}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times that every fault meets some job (3)")
    parser.add_argument("--every-job", action="store_true", help="in each round every fault meets every job")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="names of faults, or beginnings of them, with semicolons")
    parser.add_argument("--jobs", default="", help="names of jobs, with commas; all without")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "faults.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clickfield-faults-") as folder:
        bench = Bench(Path(folder), chosen.seed)
        for number in range(chosen.rounds):
            for label, act in plan(bench, chosen):
                show(f"round {number + 1}: {label}")
                act()
                keep(bench, chosen)
        lost = report(bench)
        bench.side.stop()
        shutil.rmtree(folder, ignore_errors=True)
    from headless import leave

    leave(lost)


def plan(bench: Bench, chosen: argparse.Namespace) -> list[tuple[str, Callable[[], None]]]:
    """What one round consists of: names and acts."""
    acts: list[tuple[str, Callable[[], None]]] = []
    for fault in FAULTS:
        acts += [(f"{fault.name} / {job}", lambda f=fault, j=job: bench.round(f, j)) for job in fault.jobs]
    acts += [(f"kill -9 of Blender / {job}", lambda j=job: bench.kill_blender(j)) for job in BLENDER_JOBS]
    acts.append(("two Blenders on one capture / training", bench.two_blenders))
    names, kinds = chosen.only.split(";"), chosen.jobs.split(",")
    acts = [act for act in acts if any(act[0].startswith(name) for name in names)]
    acts = [act for act in acts if not chosen.jobs or act[0].rpartition(" / ")[2] in kinds]
    bench.random.shuffle(acts)  # so that a run that is cut short has met some of everything
    if chosen.every_job:
        return acts
    return list({act[0].rpartition(" / ")[0]: act for act in acts}.values())


def show(text: str) -> None:
    """Progress, to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def keep(bench: Bench, chosen: argparse.Namespace) -> None:
    """Write what is known so far."""
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    facts = {"seed": chosen.seed, "rounds": chosen.rounds}
    facts |= {"faults": {name: asdict(tally) for name, tally in bench.tallies.items()}}
    chosen.json.write_text(json.dumps(facts, indent=1))


def report(bench: Bench) -> int:
    """Print the table; 1 when something was lost or not survived."""
    print(f"\n{'fault':44} {'injected':>8} {'survived':>8} {'work lost':>9}")
    for name, tally in bench.tallies.items():
        print(f"{name:44} {tally.injected:8} {tally.survived:8} {tally.lost:9}")
    all_of = list(bench.tallies.values())
    injected, survived, lost = (sum(getattr(one, key) for one in all_of) for key in ("injected", "survived", "lost"))
    print(f"{'all':44} {injected:8} {survived:8} {lost:9}")
    for name, tally in bench.tallies.items():
        for failure in tally.failures:
            print(f"{name}: {failure}")
    return int(survived < injected or lost > 0)


if __name__ == "__main__":
    main()
