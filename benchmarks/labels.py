"""Label quality per click: engines and baselines on the same scenes, first clicks and seeds.

    python -m benchmarks.labels [--split tuning|report|report-all-classes|report-2] [--engines combined,graph,...]
                                [--scenes sample,room-0] [--seeds 0,1,2] [--budgets 1x,20,50,120]
                                [--protocol largest-error] [--objects] [--docs]

Settings are chosen on the tuning split alone; the report splits give the numbers that are published. Scenes are called
kind-seed and generated once by `benchmarks.scenes`, kind-seed/16 when only their 16 main classes are asked for;
"sample" is the sample capture. Every finished run is kept in
benchmarks/results/labels.json with a digest of the code that made it, so an interrupted benchmark goes on where it
stopped and a changed engine is measured again. With --docs the tables and the plot in docs/benchmarks.md are renewed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from backend.evaluation import objects  # noqa: E402
from backend.evaluation.simulation import PHOTO, SCAN, parse_budgets, simulate  # noqa: E402
from backend.simulate_job import ENGINES, make_engine  # noqa: E402
from benchmarks.label_report import print_tables, write_docs  # noqa: E402
from benchmarks.label_scenes import SPLITS, ceiling, load_object_mesh, load_scene, stored, superpoints_of  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "labels.json"
WORKERS = 2
FLOORS = ("captures", "surface", "field", "labels", "evaluation")  # of the backend, whose code decides the labels


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="tuning", choices=list(SPLITS))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--scenes", help="default: those of the split")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--budgets", default="1x,20,50,120")
    parser.add_argument("--protocol", default="largest-error")
    parser.add_argument("--objects", action="store_true", help="also one object at a time, on the scenes' meshes")
    parser.add_argument("--docs", action="store_true", help="renew docs/benchmarks.md from all runs of this code")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    scenes = chosen.scenes.split(",") if chosen.scenes else list(SPLITS[chosen.split])
    seeds = [int(seed) for seed in chosen.seeds.split(",")]
    budgets = parse_budgets(chosen.budgets)
    book = Book(chosen.results)
    jobs = []
    for scene in scenes:  # scene by scene, so that two workers find each scene's scan in the cache
        for engine in ["ceiling", *chosen.engines.split(",")]:
            missing = [seed for seed in seeds if not book.has(_key(scene, engine, chosen.protocol, budgets, seed))]
            if missing:
                jobs.append((scene, engine, chosen.protocol, budgets, missing[:1] if engine == "ceiling" else missing))
        if chosen.objects and scene != "sample":
            jobs += [(scene, f"object:{e}", "", [], [0]) for e in OBJECTS if not book.has(_key(scene, f"object:{e}"))]
    play(jobs, book, chosen.workers)
    print_tables(book.current, scenes, chosen.engines.split(","), budgets, seeds, chosen.protocol)
    if chosen.docs:
        write_docs(book.current, SPLITS)


OBJECTS = {"graph": objects.graph_masks, "random-walker": objects.walker_masks}


def _key(scene: str, engine: str, protocol: str = "", budgets: list[str] = (), seed: int = 0) -> str:
    if engine == "ceiling":
        return f"{scene} ceiling"
    return " ".join([scene, engine, protocol, ",".join(budgets), str(seed)]).strip()


class Book:
    """All finished runs, by key, in one JSON file that is written after every run."""

    def __init__(self, path: Path):
        self._path, self._digest = path, digest()
        self.runs: dict[str, dict] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def has(self, key: str) -> bool:
        """Whether the run is known and was made by the code as it is now."""
        return self.runs.get(key, {}).get("digest") == self._digest

    @property
    def current(self) -> dict[str, dict]:
        """The runs that the code as it is now made: nothing else belongs into one table."""
        return {key: run for key, run in self.runs.items() if self.has(key)}

    def add(self, key: str, run: dict) -> None:
        """Keep a run."""
        self.runs[key] = {**run, "digest": self._digest}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".part")
        temporary.write_text(json.dumps(self.runs, indent=0), encoding="utf-8")
        os.replace(temporary, self._path)


def digest() -> str:
    """Of all code and weights that can change a scene or a label."""
    found = hashlib.sha256()
    paths = [path for floor in FLOORS for path in sorted((ROOT / "backend" / floor).glob("*.py"))]
    paths += sorted((ROOT / "benchmarks" / "scenes").glob("*.py"))
    for path in [*paths, ROOT / "assets" / "prior.safetensors"]:
        found.update(path.read_bytes() if path.exists() else b"")
    return found.hexdigest()[:16]


def play(jobs: list[tuple], book: Book, workers: int) -> None:
    """Do the jobs, some at a time; what a job finds is kept as soon as it is there."""
    started = time.perf_counter()
    if workers < 2 or len(jobs) < 2:
        for job in jobs:
            for key, run in played(*job):
                book.add(key, run)
        return
    with ProcessPoolExecutor(workers) as pool:
        waiting = {pool.submit(_in_worker, job): job for job in jobs}
        for done, future in enumerate(as_completed(waiting)):
            for key, run in future.result():
                book.add(key, run)
            scene, engine = waiting[future][:2]
            passed = time.perf_counter() - started
            print(f"{done + 1} of {len(jobs)}: {scene} {engine}, {passed:.0f} s", flush=True)


def _rounded(value: Any) -> Any:
    """The same with floats of five digits: the file is kept with the code."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


def _in_worker(job: tuple) -> list[tuple[str, dict]]:
    return list(played(*job))


def played(scene_name: str, engine_name: str, protocol: str, budgets: list[str], seeds: list[int]) -> Iterator:
    """(key, run) for each seed."""
    torch.set_num_threads(1)
    if engine_name.startswith("object:"):
        surface, superpoints, instances = load_object_mesh(scene_name)
        runs = objects.run_objects(surface, instances, OBJECTS[engine_name.partition(":")[2]](surface, superpoints))
        yield (
            _key(scene_name, engine_name),
            {"summary": objects.summary(runs), "objects": [asdict(run) for run in runs]},
        )
        return
    scene = load_scene(scene_name)
    if engine_name == "ceiling":
        yield _key(scene_name, engine_name), ceiling(scene)
        return
    store = stored(scene) if engine_name == "combined" else None
    engine = make_engine(engine_name, scene, lambda: superpoints_of(scene), "cpu", store)
    for seed in seeds:
        started = time.perf_counter()
        curve = simulate(scene, engine, protocol, budgets, seed, (SCAN, PHOTO))
        figures = " / ".join(f"{100 * curve.miou(budget):.1f}" for budget in budgets)
        print(
            f"{scene_name:<12} {engine_name:<14} seed {seed}  {figures}  ({curve.readout})  update "
            f"{1000 * curve.seconds_median:.0f} ms, worst {1000 * curve.seconds_worst:.0f} ms; "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
        yield _key(scene_name, engine_name, protocol, budgets, seed), _rounded({**curve.to_json(), "marks": []})
    engine.close()


if __name__ == "__main__":
    main()
