"""What the person feels: repainting scans of several sizes, picking under the pointer, drawing a tree of 300 labels.

    python benchmarks/interaction.py [--sizes 100000 500000 2000000] [--json OUT]
    CLICKFIELD_GUI_TOOLS=... python benchmarks/interaction.py --window

The first form drives the installed extension in a Blender without a window and measures time on the main thread. With
--window it also makes real clicks in a Blender with a window (see tests/window) and measures from the press of the
button until the scan shows the new labels. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

import build_zip  # noqa: E402
from headless import NAME, Headless, leave  # noqa: E402

LABELS = 300
CLICKS = 12
TARGETS = {"repaint 500,000 vertices, ms": 100.0, "longest slice at 500,000 vertices, ms": 30.0, "label list, ms": 10.0}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 500_000, 2_000_000])
    parser.add_argument("--window", action="store_true", help="also click in a Blender with a window")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "interaction.json")
    chosen = parser.parse_args()
    measured: dict[str, float] = {}
    if chosen.window:
        measured |= in_a_window()
    with tempfile.TemporaryDirectory(prefix="clickfield-interaction-") as folder:
        blender = Headless(Path(folder) / "profile", build_zip.build(Path(folder)))
        for size in chosen.sizes:
            measured |= repaint(blender, size)
        measured |= label_list(blender)
        for name, value in measured.items():
            target = TARGETS.get(name)
            print(f"{name:48s} {value:9.1f}" + (f"   target {target:g}" if target else ""))
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(measured, indent=1))
        leave()


def bumpy_room(size: int) -> tuple[np.ndarray, np.ndarray]:
    """About so many vertices (V, 3) float32 of a closed bumpy wall seen from inside, and its triangles (F, 3) int32."""
    side = round(size**0.5)
    polar, around = np.meshgrid(np.linspace(0.05, 3.09, side), np.linspace(0, 2 * np.pi, side), indexing="ij")
    radius = 3 + 0.2 * np.sin(15 * polar) * np.cos(17 * around)
    points = [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)]
    vertices = (radius * np.stack(points)).reshape(3, -1).T.astype(np.float32)
    grid = np.arange(side * side).reshape(side, side)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    faces = np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, d, c), (a, c, b))])
    return vertices, faces.astype(np.int32)


def parts(*names: str):
    """Modules of the installed extension."""
    import importlib

    return [importlib.import_module(f"{NAME}.blender_addon.{name}") for name in names]


def repaint(blender: Headless, size: int) -> dict[str, float]:
    """Main-thread milliseconds for a new coat of labels, its longest slice, and one pick under the pointer."""
    canvas_module, scans, shades = parts("canvas", "scene.scan", "scene.shades")
    bpy = blender.bpy
    vertices, faces = bumpy_room(size)
    mesh = bpy.data.meshes.new("Room")
    colors = np.random.default_rng(0).integers(0, 256, vertices.shape, np.uint8)
    drain(scans.fill(mesh, scans.topology(vertices, faces, colors)))
    scan = bpy.data.objects.new("Room", mesh)
    bpy.context.scene.collection.objects.link(scan)
    canvas = canvas_module.Canvas()
    rng = np.random.default_rng(1)
    palette = {uid: tuple(rng.random(3)) for uid in range(1, 21)}
    look = shades.Look(mode="LABELS", mix=1.0, colors=palette, shown={uid: uid for uid in palette}, isolated=False)
    totals, longest = [], 0.0
    for _ in range(5):
        labels = rng.integers(0, 21, len(vertices)).astype(np.uint16)
        canvas.start(scan, labels, np.full(len(vertices), 200, np.uint8), look)
        total = 0.0
        while canvas.painting:
            began = time.perf_counter()
            problem = canvas.step(0.0)
            took = time.perf_counter() - began
            assert not problem, problem
            total, longest = total + took, max(longest, took)
        totals.append(total)
    canvas.prepare(scan)
    picks = []
    for _ in range(40):
        direction = rng.normal(size=3)
        began = time.perf_counter()
        canvas.hit(scan, np.zeros(3), direction / np.linalg.norm(direction))
        picks.append(time.perf_counter() - began)
    bpy.data.objects.remove(scan)
    bpy.data.meshes.remove(mesh)
    name = f"{size:,} vertices, ms"
    return {
        f"repaint {name}": 1000 * statistics.median(totals),
        f"longest slice at {name}": 1000 * longest,
        f"pick at {name}": 1000 * statistics.median(picks[1:]),
    }


def drain(job) -> None:
    """Run a generator to its end."""
    for _ in job:
        continue


def label_list(blender: Headless) -> dict[str, float]:
    """Milliseconds that the list of 300 labels costs at a redraw: after an edit, and when nothing has changed."""
    (lists,) = parts("ui.label_list")
    bpy = blender.bpy
    own = bpy.context.scene.clickfield
    for index in range(LABELS):
        label = own.labels.add()
        label.uid, label.name, label.parent = (
            index + 1,
            f"label {index}",
            0 if index % 10 == 0 else index - index % 10 + 1,
        )
    changed = timed(lambda: (setattr(own, "revision", own.revision + 1), lists.rows_shown(bpy.context.scene, "1")))
    same = timed(lambda: lists.rows_shown(bpy.context.scene, "1"))
    return {"label list, ms": changed, "label list unchanged, ms": same}


def timed(act: Callable[[], object]) -> float:
    """Median milliseconds of twenty runs."""
    took = []
    for _ in range(20):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took)


def in_a_window() -> dict[str, float]:
    """Milliseconds from the press of the mouse button to the repainted scan, over real clicks on the sample."""
    from tests.window import driving
    from tests.window.conftest import windowed

    took = []
    with tempfile.TemporaryDirectory(prefix="clickfield-window-") as folder, windowed(Path(folder)) as blender:
        truth = driving.Truth()
        blender.run("bpy.ops.clickfield.import_sample()")
        driving.wait(blender, "vertices>20000, !importing")
        document = Path(folder) / "tree.json"
        document.write_text(json.dumps({"tree": truth.tree, "marks": []}), encoding="utf-8")
        blender.run(
            f"bpy.ops.clickfield.load_labels(filepath={str(document)!r})\n"
            "bpy.ops.wm.tool_set_by_id(name='clickfield.label_tool')"
        )
        for mark in truth.marks[:CLICKS]:
            pixel = driving.aim(blender, truth, mark, mark["label"])
            driving.wait(blender, "up_to_date")
            blender.move(*pixel)
            count = blender.run("result = len(bpy.context.scene.clickfield.marks)")
            began = time.perf_counter()
            blender.xdo("mousedown", 1)
            blender.xdo("mouseup", 1)
            while True:
                state = blender.run(driving.STATE)
                if state["marks"] > count and state["up_to_date"]:
                    break
            took.append(time.perf_counter() - began)
    return {
        "click to repainted scan in a window, median ms": 1000 * statistics.median(took),
        "worst ms": 1000 * max(took),
    }


if __name__ == "__main__":
    main()
