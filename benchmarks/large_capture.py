"""Memory and time of importing a long recording: 1,000 frames of 640 x 480 through the real workspace.

    python benchmarks/large_capture.py [--frames 1000] [--size 640 480] [--keep FOLDER] [--json OUT]

A room with furniture is written into a temporary folder in the TUM layout, one colour and one depth file per frame; the
camera stands still for ten frames after each step, so that only every tenth has to be rendered. A process of its own
then opens it as the backend does, until labels can be made and the field can be taught, and says what it took: peak
memory, how many frames were in memory at once, seconds per stage.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests import rooms  # noqa: E402

TARGETS = {"peak memory, GB": 6.0}
PER_METRE = 5000
STILL = 10  # frames from one place
TIMEOUT = 6 * 3600.0  # seconds for the import


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, nargs=2, default=[640, 480], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument(
        "--keep", type=Path, help="write the capture here and leave it; it is used again if it is whole"
    )
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "large_capture.json")
    parser.add_argument("--import-only", nargs=2, type=Path, help=argparse.SUPPRESS)  # what the child process does
    chosen = parser.parse_args()
    if chosen.import_only:
        print(json.dumps(imported(*chosen.import_only)))
        return
    with tempfile.TemporaryDirectory(prefix="clickfield-large-") as folder:
        capture = chosen.keep or Path(folder) / "room"
        written = time.perf_counter()
        write(capture, chosen.frames, *chosen.size)
        print(f"{chosen.frames} frames written in {time.perf_counter() - written:.0f} s", flush=True)
        command = [sys.executable, __file__, "--import-only", str(capture), str(Path(folder) / "cache")]
        child = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT)
    measured = {"frames": chosen.frames, "size": chosen.size} | json.loads(child.stdout)
    for name, value in measured.items():
        target = TARGETS.get(name)
        print(f"{name:36s} {value!s:>12}" + (f"   target below {target:g}" if target else ""))
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(measured, indent=1))
    if any(measured[name] >= target for name, target in TARGETS.items()):
        raise SystemExit("A target was missed.")


def write(folder: Path, frames: int, width: int, height: int) -> None:
    """The room as a TUM sequence of the Kinect-like camera ``freiburg3``."""
    if (folder / "groundtruth.txt").exists():
        return
    camera = rooms.Camera(640, 480, 535.4, 539.2, 320.1, 247.6).resized(width, height)
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {name: ["# freiburg3"] for name in ("rgb.txt", "depth.txt", "groundtruth.txt")}
    poses = rooms.poses(-(-frames // STILL))
    for index in range(frames):
        pose = poses[index // STILL]
        if index % STILL == 0:
            color, depth, _ = rooms.render(camera, pose, rooms.Room())
            images = {"rgb": _png(color), "depth": _png(rooms.encode_depth(depth, PER_METRE))}
        seconds = f"{1305031100 + index / 30:.6f}"
        for name, data in images.items():
            (folder / name / f"{seconds}.png").write_bytes(data)
            lines[f"{name}.txt"].append(f"{seconds} {name}/{seconds}.png")
        values = [*pose[:3, 3], *rooms.quaternion(pose[:3, :3])]
        lines["groundtruth.txt"].append(f"{seconds} " + " ".join(f"{v:.9f}" for v in values))
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n")


def _png(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


class Open:
    """How many frames have an image in memory, now and at most."""

    def __init__(self):
        self._lock, self._arrays, self.most, self.reads = threading.Lock(), {}, 0, 0

    def watch(self, cls: type, name: str) -> None:
        """Count what a method of a frame returns, as long as it lives."""
        load = getattr(cls, name)

        def counted(frame):
            image = load(frame)
            self._taken(frame.name, image)
            return image

        setattr(cls, name, counted)

    def _taken(self, name: str, image: np.ndarray) -> None:
        with self._lock:
            self.reads += 1
            self._arrays[id(image)] = name
            self.most = max(self.most, len(set(self._arrays.values())))
        weakref.finalize(image, self._gone, id(image))

    def _gone(self, key: int) -> None:
        self._arrays.pop(key, None)


def imported(capture: Path, cache: Path) -> dict[str, float]:
    """Open a capture until labels can be made and the field can be taught; what it took."""
    from backend.captures.capture import Frame
    from backend.captures.detect import ImportOptions
    from backend.store import Store
    from backend.workspace import Workspace

    opened, started = Open(), time.perf_counter()
    before = _peak()
    for name in ("color", "depth"):
        opened.watch(Frame, name)
    with Workspace("cpu", Store(cache)) as workspace:
        surface = workspace.open(capture, ImportOptions(), lambda fraction, text: None, lambda found: None)
        shown = time.perf_counter() - started
        workspace.prepare_questions()
        while workspace.idle() and workspace.status.state != "training":
            pass
        return {
            "peak memory, GB": round(_peak(), 3),
            "of it before the import, GB": round(before, 3),
            "frames in memory at once": opened.most,
            "images read": opened.reads,
            "vertices": len(surface.vertices),
            "until the scan is there, s": round(shown, 1),
            "until the field is taught, s": round(time.perf_counter() - started, 1),
            **{f"  {stage}, s": round(seconds, 1) for stage, seconds in workspace.seconds.items()},
            "cores": len(os.sched_getaffinity(0)),
        }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in kB


if __name__ == "__main__":
    main()
