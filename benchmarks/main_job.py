"""Speed, memory and file sizes of the main job on one capture, through the real extension in headless Blender.

    python benchmarks/main_job.py [--capture FOLDER --marks FILE | --vertices 500000] [--clicks 50] [--json OUT]

With --vertices the capture is a generated mesh of about so many vertices, with 28 marks of 14 labels. Prints a table
against the targets for a 2-core CPU and writes JSON. Times are wall-clock seconds of one run; on a shared machine
compare runs with each other rather than with the targets.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

import build_zip  # noqa: E402
from headless import Headless, leave  # noqa: E402

from benchmarks import hills  # noqa: E402

SAMPLE = ROOT / "assets" / "sample"
TARGETS = {  # 2-core CPU without a GPU
    "import to scan mesh, s": 20.0,
    "click to labels, median s": 0.15,
    "click to labels, worst s": 0.5,
    "longest main-thread block, s": 0.1,
    "backend peak memory, GB": 2.0,
    "trained field, MB": 5.0,
    "extension zip, MB": 3.0,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, default=SAMPLE / "transforms.json")
    parser.add_argument("--marks", type=Path, default=SAMPLE / "marks.json")
    parser.add_argument("--vertices", type=int, help="a generated mesh in place of a capture")
    parser.add_argument("--clicks", type=int, default=50)
    parser.add_argument("--json", type=Path, default=ROOT / "dist" / "main_job.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clickfield-bench-") as folder:
        if chosen.vertices:
            chosen.capture, chosen.marks = hills.write(Path(folder), chosen.vertices, labels=14, marks=28)
        measured = measure(chosen.capture.resolve(), chosen.marks.resolve(), chosen.clicks, Path(folder))
        print_table(measured)
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(measured, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        leave()


def measure(capture: Path, marks: Path, clicks: int, folder: Path) -> dict[str, float]:
    """Run the main job once."""
    package = build_zip.build(folder)
    blender = Headless(folder / "profile", package)
    blender.bpy.ops.clickfield.start_backend()
    blender.wait(lambda: blender.window.state.lower() == "ready", "Starting", 120)
    measured: dict[str, float] = {}
    started = time.perf_counter()
    measured["import to scan mesh, s"] = blender.import_capture(capture)
    blender.bpy.ops.clickfield.load_labels(filepath=str(marks))
    blender.until_answered()
    measured["import to first labels, s"] = time.perf_counter() - started
    blender.until_settled()
    measured["import to settled labels, s"] = time.perf_counter() - started
    times = click(blender, clicks)
    measured["click to labels, median s"] = statistics.median(times)
    measured["click to labels, worst s"] = max(times)
    started = time.perf_counter()
    blender.until_settled()
    measured["last click to settled labels, s"] = time.perf_counter() - started
    started = time.perf_counter()
    measured["objects"] = len(blender.separate())
    measured["separate, s"] = time.perf_counter() - started
    started = time.perf_counter()
    blender.bpy.ops.clickfield.save_asset_library(directory=str(folder / "library"))
    measured["asset library, s"] = time.perf_counter() - started
    blender.bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"), compress=True)
    measured["longest main-thread block, s"] = blender.longest_tick
    measured["scan vertices"] = len(blender.scan().data.vertices)
    blender.stop()
    measured["Blender peak memory, GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    measured["backend peak memory, GB"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    measured["extension zip, MB"] = package.stat().st_size / 1e6
    measured["trained field, MB"] = size_of(folder / "profile" / "cache", "*-field.*")
    measured["scene .blend, MB"] = size_of(folder, "scene.blend")
    measured["asset library, MB"] = size_of(folder / "library", "*.blend")
    return measured


def click(blender: Headless, count: int) -> list[float]:
    """Seconds from each of `count` clicks on random places of the scan to new labels on all of it."""
    mesh = blender.scan().data
    positions = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.attributes["position"].data.foreach_get("vector", positions)
    chosen = np.random.default_rng(0).choice(len(mesh.vertices), count, replace=False)
    classes = [label.uid for label in blender.own.labels if label.kind == "class"]
    times = []
    for turn, vertex in enumerate(chosen.tolist()):
        started = time.perf_counter()
        place = positions.reshape(-1, 3)[vertex].tolist()
        blender.bpy.ops.clickfield.add_mark(location=place, label=classes[turn % len(classes)])
        blender.until_answered()
        times.append(time.perf_counter() - started)
    return times


def size_of(folder: Path, pattern: str) -> float:
    """Megabytes of all files below a folder that fit a pattern."""
    return sum(path.stat().st_size for path in folder.rglob(pattern)) / 1e6


def print_table(measured: dict[str, float]) -> None:
    """The measurements beside their targets."""
    print(f"\n{'':<34} {'measured':>10} {'target':>8}   ({os.cpu_count()} cores)")
    for name, value in measured.items():
        target = TARGETS.get(name)
        number = f"{value:,.0f}" if value >= 1000 or float(value).is_integer() else f"{value:.3f}"
        print(f"{name:<34} {number:>10} {'' if target is None else target:>8}")


if __name__ == "__main__":
    main()
