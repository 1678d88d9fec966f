"""What refined poses bring: where frames put what they see, and what a perfect label of every vertex would reach.

    python -m benchmarks.poses [--scenes sample,room-0,tabletop-0] [--json OUT]

Captures are read with poses as a tracker reports them, registered as an import does, and compared with the true poses
of the generated scenes (`benchmarks.scenes`; those of the sample are exact). Misplaced: root mean square distance from
measured points to where the true pose puts them, after the one rigid motion that fits all frames best, and the same in
pixels. The ceilings are those of `benchmarks.labels`, on held-out frames: the scan drawn, and looked up by the photo.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scipy.spatial.transform import Rotation  # noqa: E402

from backend.captures.capture import Capture  # noqa: E402
from backend.captures.detect import ImportOptions, open_capture  # noqa: E402
from backend.captures.held_out import without  # noqa: E402
from backend.evaluation.simulation import PHOTO, SCAN, Scene  # noqa: E402
from backend.evaluation.truth import load_truth  # noqa: E402
from backend.progress import silent  # noqa: E402
from backend.registering import poses_of, registered_capture  # noqa: E402
from backend.simulate_job import fused  # noqa: E402
from benchmarks.label_scenes import ceiling, folders, held_out_of  # noqa: E402

POINTS = 500  # of a frame
COLUMNS = ("poses", "misplaced, mm", "pixels", "worst frame, pixels", "drawn, mIoU %", "by photo, mIoU %", "seconds")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="sample,room-0,tabletop-0")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "poses.json")
    chosen = parser.parse_args()
    rows = [row for scene in chosen.scenes.split(",") for row in measured(scene)]
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measured(name: str) -> list[dict]:
    """A row for the tracker's poses, one for the refined ones and one for the true ones of a scene."""
    path, labels, _ = folders(name)
    said = open_capture(path, ImportOptions())
    left = held_out_of(name, said)
    about = path.parent / "scene.json"
    poses = json.loads(about.read_text(encoding="utf-8"))["camera_to_scene"] if about.is_file() else {}
    true = said.with_poses({frame: np.array(pose) for frame, pose in poses.items()})
    started = time.perf_counter()
    refined = registered_capture(said, silent, model={frame.name for frame in said.frames} - left)
    seconds = time.perf_counter() - started
    rows = []
    for kind, capture in {"as said": said, "refined": refined, "true": true}.items():
        surface = fused(without(capture, left))
        reached = ceiling(Scene(name, capture, left, load_truth(labels, capture), surface))
        figures = *misplaced(capture, true), 100 * reached[SCAN], 100 * reached[PHOTO]
        figures = (*(round(float(value), 2) for value in figures), round(seconds, 1) if kind == "refined" else None)
        rows.append({"scene": name} | dict(zip(COLUMNS, (kind, *figures), strict=True)))
        print(" | ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return rows


def misplaced(capture: Capture, true: Capture) -> tuple[float, float, float]:
    """Millimetres, pixels, and pixels of the worst frame."""
    local, lenses = [], []
    for frame in capture.frames:
        depth = frame.depth()
        v, u = np.nonzero(depth)
        some = slice(None, None, max(len(v) // POINTS, 1))
        v, u = v[some], u[some]
        local.append(frame.depth_intrinsics.unproject(np.stack([u, v], 1).astype(float), depth[v, u]))
        lenses.append(frame.depth_intrinsics)
    here, there = (
        [points @ pose[:3, :3].T + pose[:3, 3] for points, pose in zip(local, poses_of(one), strict=True)]
        for one in (capture, true)
    )
    center, other = np.concatenate(here).mean(0), np.concatenate(there).mean(0)
    turn, _ = Rotation.align_vectors(np.concatenate(here) - center, np.concatenate(there) - other)
    metres, pixels = [], []
    for points, lens, pose, mine, theirs in zip(local, lenses, poses_of(capture), here, there, strict=True):
        wanted = turn.apply(theirs - other) + center
        metres.append(((mine - wanted) ** 2).sum(1).mean())
        shown = lens.project((wanted - pose[:3, 3]) @ pose[:3, :3])
        pixels.append(((shown - lens.project(points)) ** 2).sum(1).mean())
    return 1000 * np.sqrt(np.mean(metres)), np.sqrt(np.mean(pixels)), np.sqrt(np.max(pixels))


if __name__ == "__main__":
    main()
