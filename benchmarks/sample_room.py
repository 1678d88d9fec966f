"""The room that the sample capture shows, as triangles: ``python -m benchmarks.sample_room FILE``. Needs bpy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def sample_room() -> dict[str, np.ndarray]:
    """The sample's true surface, made by a Blender of its own.

    Returns:
        corners (F, 3, 3) float64 world metres; instance (F,) int64 from 1, one per thing; uid (F,) int64 of its class.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "room.npz"
        subprocess.run([sys.executable, "-m", "benchmarks.sample_room", str(target)], cwd=ROOT, check=True)
        with np.load(target, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}


def main(target: str) -> None:
    """Write FILE, an npz with what ``sample_room`` returns."""
    import bpy

    sys.path.insert(0, str(ROOT / "scripts"))
    from sample_scene import room

    bpy.ops.wm.read_factory_settings(use_empty=True)
    room.build()
    bpy.context.view_layer.update()
    corners, numbers, uids = [], [], []
    things = [thing for thing in bpy.context.scene.objects if thing.type == "MESH" and thing["uid"]]
    for number, thing in enumerate(things, 1):
        thing.data.calc_loop_triangles()
        points = np.array([thing.matrix_world @ vertex.co for vertex in thing.data.vertices])
        corners.append(points[[list(triangle.vertices) for triangle in thing.data.loop_triangles]])
        numbers.append(np.full(len(corners[-1]), number))
        uids.append(np.full(len(corners[-1]), thing["uid"]))
    np.savez(target, corners=np.concatenate(corners), instance=np.concatenate(numbers), uid=np.concatenate(uids))


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # bpy 4.5 as a module may hang while it unloads
