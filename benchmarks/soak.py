"""Labels for as long as one likes, one action per second, and looks whether memory and clicks stay what they were.

    python benchmarks/soak.py [--minutes 60] [--warm-up 10] [--seed 0] [--json OUT]

The installed extension in a Blender without a window labels the analytic room with the real backend: marks, strokes,
undo and redo, edits of the tree, questions and their answers, saving. What is bounded is filled first: as many states
of labels are settled as the backend remembers, which at one action per second would happen only now and then, whenever
the machine pauses. Then prints one line a minute: memory that each process has written to, and the time from a click to
its labels. Passes when the memory of both grew by less than 2 % from the end of the warm-up to the end of the run, and
clicks take less than half as long again as the same ones right afterwards in a backend that was started anew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import build_zip  # noqa: E402

from benchmarks.fault_tools.side import NAME, OWN_MARKS, TAUGHT, Side, write_room  # noqa: E402

PLACES = (*TAUGHT, *OWN_MARKS, (-1.4, 1.0, -0.2), (1.0, 0.3, -0.6), (0.0, 0.0, -1.25), (-1.0, -1.0, -1.25))
MOST_MARKS = 40  # then the person starts over: a document that grows is no leak
MOST_LABELS = 12
REMEMBERED = 20  # states of labels that are settled first: some more than a backend keeps (`backend/budget.py`)
GROWTH, SLOWER = 0.02, 1.5
CLICKS = 40  # by which an old and a fresh backend are compared


class Person:
    """Does one thing after the other.

    Args:
        seed: of what is done; the same seed does the same.
    """

    def __init__(self, side: Side, seed: int):
        self._side, self._random = side, random.Random(seed)
        self.done: dict[str, int] = {}
        self.clicks: list[float] = []  # seconds from a click to its labels
        self.problems: list[str] = []

    def act(self) -> None:
        """One action, its undo step, and the backend's answer to it."""
        own = self._side.own
        acts = [self.mark] * 6 + [self.stroke] * 2 + [self.undo] * 2 + [self.redo, self.question, self.tree]
        if len(own.marks) > 2:
            acts += [self.mute, self.delete]
        if len(own.marks) > MOST_MARKS or len(own.labels) > MOST_LABELS:
            acts = [self.start_over]
        chosen = self._random.choice(acts)
        self.done[chosen.__name__] = self.done.get(chosen.__name__, 0) + 1
        chosen()
        if self._side.told:
            self.problems.append(self._side.told)
            sys.modules[f"{NAME}.blender_addon.window"].clear_problem()

    def mark(self) -> None:
        """A click somewhere near one of the places."""
        place = [c + self._random.uniform(-0.05, 0.05) for c in self._random.choice(PLACES)]
        began = time.perf_counter()
        self._side.ops.add_mark(label=self._label(), sign=self._random.choice((1, 1, 1, -1)), location=place)
        self._step("mark")
        self._side.until(lambda: self._side.session.up_to_date)
        self.clicks.append(time.perf_counter() - began)

    def stroke(self) -> None:
        """A mark of thirty points on the floor, as a drag of the mouse makes it."""
        marking = sys.modules[f"{NAME.rpartition('.')[0]}.clickfield.operators.mark"]
        label = self._random.choice(list(self._side.own.labels))
        x, y = self._random.uniform(-1.0, 0.0), self._random.uniform(-1.2, 0.0)
        points = [(x + 0.02 * number, y, -1.25) for number in range(30)]
        place = marking.world_from_blender(self._side.bpy.context.scene, self._side.headless.scan())
        marking.give_mark(self._side.bpy.context.scene, label, 1, points=[place @ _vector(point) for point in points])
        self._step("stroke")

    def undo(self) -> None:
        """Never beyond the labelled file."""
        if self._side.bpy.ops.ed.undo.poll() and len(self._side.own.marks) > 1:
            self._side.bpy.ops.ed.undo()

    def redo(self) -> None:
        """If there is something to redo."""
        if self._side.bpy.ops.ed.redo.poll():
            self._side.bpy.ops.ed.redo()

    def mute(self) -> None:
        """Take a mark out, or in again."""
        self._side.ops.mute_marks(uid=self._mark())
        self._step("mute")

    def delete(self) -> None:
        """Take a mark back."""
        self._side.ops.delete_marks(uid=self._mark())
        self._step("delete")

    def tree(self) -> None:
        """A new label, one more deeply nested, or two made one."""
        uids = [label.uid for label in self._side.own.labels]
        first, second = self._random.sample(uids, 2)
        kind = self._random.randrange(3)
        if kind == 0:
            self._side.ops.add_label(name=f"label {self._random.randrange(1000)}")
        elif kind == 1:
            with contextlib.suppress(RuntimeError):  # the operator refuses: not below itself
                self._side.ops.move_label(uid=first, parent=second)
        elif len(uids) > 3:
            self._side.ops.merge_labels(uid=first, into=second, keep="OTHER")
        self._step("tree")

    def question(self) -> None:
        """Ask Me, answered with the likeliest label."""
        asking = self._side.session.asking
        if not asking.active:
            self._side.ops.ask_me()
        self._side.until(lambda: asking.question is not None or not asking.active, 30)
        if asking.question is not None and asking.question.choices:
            self._side.ops.answer_question(label=asking.question.choices[0][0])
            self._step("answer")
        asking.stop()

    def settle(self) -> None:
        """A mark, and then nothing until the backend has learnt it."""
        if len(self._side.own.marks) > MOST_MARKS // 2:
            self.start_over()
        self.mark()
        self._side.until(self._side.settled)

    def start_over(self) -> None:
        """Save, and go on with the file as it was."""
        self._side.bpy.ops.wm.save_as_mainfile(filepath=str(self._side.folder / "soaked.blend"))
        self._side.until(lambda: not self._side.session.waiting, 60)
        self._side.open_base()

    def _label(self) -> int:
        return self._random.choice([label.uid for label in self._side.own.labels])

    def _mark(self) -> int:
        return self._random.choice([mark.uid for mark in self._side.own.marks])

    def _step(self, name: str) -> None:
        self._side.bpy.ops.ed.undo_push(message=name)


def _vector(point: tuple[float, float, float]):
    from mathutils import Vector

    return Vector(point)


def own_memory(pid: int | str) -> float:
    """Megabytes that a process has written to, in memory or swapped out.

    Unwritten pages of libraries are left out: how many of them count as private depends on which other processes have
    the same libraries open, a hundred megabytes more or less.
    """
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return (
        sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Dirty:", "Swap:"))) / 1024
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=10.0, help="minutes of them after which growth counts (10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "soak.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clickfield-soak-") as name:
        folder = Path(name)
        side = Side(folder, build_zip.build(folder), write_room(folder / "capture"))
        side.prepare()
        person = Person(side, chosen.seed)
        for _ in range(REMEMBERED):
            person.settle()
        person.clicks.clear()
        lines = soak(side, person, chosen.minutes)
        facts = judged(lines, chosen.warm_up, slower(side)) | {
            "actions": person.done,
            "problems": person.problems,
            "minutes": lines,
        }
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(facts, indent=1))
        print(facts["sentence"])
        side.stop()
    from headless import leave

    leave(0 if facts["passed"] else 1)


def soak(side: Side, person: Person, minutes: float) -> list[dict[str, float]]:
    """One action per second; what was measured in each minute."""
    print(
        f"{'minute':>6} {'actions':>8} {'Blender MB':>11} {'backend MB':>11} {'click ms':>9} {'worst':>7}", flush=True
    )
    lines: list[dict[str, float]] = []
    began, actions = time.monotonic(), 0
    while len(lines) < minutes:
        person.act()
        actions += 1
        side.until(lambda due=began + actions: time.monotonic() >= due)
        if time.monotonic() - began < 60 * (len(lines) + 1):
            continue
        clicks, person.clicks = person.clicks or [0.0], []
        line = {"minute": len(lines) + 1, "actions": actions, "Blender MB": own_memory("self")}
        line |= {"backend MB": own_memory(side.pid), "click ms": 1000 * statistics.median(clicks)}
        line["worst ms"] = 1000 * max(clicks)
        lines.append(line)
        row = f"{line['minute']:6} {actions:8} {line['Blender MB']:11.1f} {line['backend MB']:11.1f}"
        print(f"{row} {line['click ms']:9.0f} {line['worst ms']:7.0f}", flush=True)
    return lines


def slower(side: Side) -> float:
    """How many times as long as in a fresh backend a click takes; the quicker ones, as others use the machine too."""

    def taken() -> float:
        side.open_base()
        assert side.until(side.settled), side.told
        person = Person(side, 0)
        for _ in range(CLICKS):
            person.mark()
        return float(np.quantile(person.clicks, 0.25))

    old = taken()
    assert side.ready(), side.told
    return old / taken()


def judged(lines: list[dict[str, float]], warm_up: float, times: float) -> dict[str, object]:
    """Growth from the end of the warm-up to the end: medians of the first and the last fifth of what lies between."""
    rest = [line for line in lines if line["minute"] > warm_up] or lines
    fifth = max(len(rest) // 5, 1)

    def change(key: str) -> float:
        first, last = (statistics.median(line[key] for line in part) for part in (rest[:fifth], rest[-fifth:]))
        return last / max(first, 1e-9) - 1

    growth = {key: change(key) for key in ("Blender MB", "backend MB")}
    passed = max(growth.values()) < GROWTH and times < SLOWER
    sentence = (
        f"{'Passed' if passed else 'Failed'}: after {warm_up:g} minutes Blender grew by {growth['Blender MB']:.1%}, "
        f"the backend by {growth['backend MB']:.1%}; a click takes {times:.2f} times as long as in a fresh backend."
    )
    return {"passed": passed, "growth": growth, "slower": times, "sentence": sentence}


if __name__ == "__main__":
    main()
