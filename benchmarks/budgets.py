"""Memory budgets, kept: 1,000 frames and a mesh of 2 million vertices, each within several budgets.

    python benchmarks/budgets.py [--frames 1000] [--size 320 240] [--vertices 2000000] [--budgets 1 2 4]
        [--only frames|mesh] [--json OUT]

Every scene is opened by a process of its own with that budget, labelled by some marks, and the field is trained until
its labels are settled. The process's peak must stay within the budget, whether the scene fits, is made coarser, or is
refused with a sentence.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import large_capture  # noqa: E402

from benchmarks.hills import document, write_mesh  # noqa: E402

TIMEOUT = 3 * 3600.0  # seconds for one scene within one budget
SLACK = 0.02  # GB: code of libraries that is mapped after the limit was set
LABELS, MARKS = 5, 15
COLUMNS = ("scene", "budget, GB", "peak, GB", "vertices", "voxel, mm", "superpoints", "seconds", "outcome")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, nargs=2, default=[320, 240], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--vertices", type=int, default=2_000_000)
    parser.add_argument("--budgets", type=float, nargs="+", default=[1.0, 2.0, 4.0], metavar="GB")
    parser.add_argument("--only", choices=["frames", "mesh"], help="one of the two scenes")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "budgets.json")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)  # path of the scene, GB
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(measured(Path(chosen.child[0]), float(chosen.child[1]))))
        return
    rows = []
    print(" | ".join(COLUMNS), flush=True)
    with tempfile.TemporaryDirectory(prefix="clickfield-budgets-") as folder:
        if chosen.only != "mesh":
            large_capture.write(Path(folder) / "room", chosen.frames, *chosen.size)
        write_mesh(Path(folder) / "hills.ply", chosen.vertices)
        scenes = {"frames": (f"{chosen.frames} frames", "room")}
        scenes["mesh"] = (f"mesh of {chosen.vertices:,} vertices", "hills.ply")
        for name, place in [scenes[chosen.only]] if chosen.only else scenes.values():
            for budget in chosen.budgets:
                command = [sys.executable, __file__, "--child", str(Path(folder) / place), str(budget)]
                child = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT)
                rows.append({"scene": name, "budget, GB": budget} | json.loads(child.stdout))
                print(" | ".join(str(rows[-1].get(column, "")) for column in COLUMNS), flush=True)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(rows, indent=1))
    if any(row["peak, GB"] > row["budget, GB"] + SLACK for row in rows):
        raise SystemExit("A budget was not kept.")


def measured(path: Path, gigabytes: float) -> dict[str, object]:
    """Open, label and train a scene within a budget; what it took and what became of it."""
    from backend import budget
    from backend.bare_surface import BareWorkspace
    from backend.captures.detect import ImportOptions
    from backend.errors import UserError
    from backend.progress import silent
    from backend.protocol import checked_document
    from backend.server import error_fields
    from backend.workspace import Workspace

    budget.use(budget.chosen(gigabytes))
    budget.hold()
    started, found, outcome = time.perf_counter(), {}, "settled"
    try:
        with (BareWorkspace if path.is_file() else Workspace)("cpu") as workspace:
            surface = workspace.open(path, ImportOptions(), silent, lambda capture: None)
            found |= {"vertices": len(surface.vertices), "voxel, mm": round(surface.voxel * 1000, 1)}
            workspace.label(checked_document(document(surface.vertices, LABELS, MARKS)), silent)
            found["superpoints"] = workspace.superpoint_count
            workspace.settle(silent)
            outcome = " ".join([outcome, *budget.notes()])
    except (UserError, MemoryError, RuntimeError) as error:
        outcome = error_fields(error)["sentence"]
    return found | {"peak, GB": round(_peak(), 3), "seconds": round(time.perf_counter() - started), "outcome": outcome}


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


if __name__ == "__main__":
    main()
