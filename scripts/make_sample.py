"""Renders the sample capture into assets/sample: ``python scripts/make_sample.py`` (about 8 minutes on two cores).

Needs bpy and Pillow. Pictures come from Cycles on the CPU with a fixed seed; depth and ground truth from rays through
the pixel centres onto the same meshes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bpy  # noqa: E402
from mathutils import Matrix  # noqa: E402
from PIL import Image  # noqa: E402
from sample_scene import cameras, labels, marking, room, scanning  # noqa: E402

FRAMES = 28
QUALITY = 88


def main() -> None:
    """Make everything; print sizes and checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "assets" / "sample")
    parser.add_argument("--samples", type=int, default=40, help="light paths per pixel")
    parser.add_argument("--keep-pictures", action="store_true", help="make only depth, labels and the JSON files")
    parser.add_argument("--beauty", type=Path, help="render one larger picture to this file instead")
    arguments = parser.parse_args()
    os.nice(10)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    room.build()
    bpy.context.view_layer.update()
    _cycles(arguments.samples)
    if arguments.beauty:
        _beauty(arguments.beauty)
        return
    for folder in ("images", "depth", "labels"):
        (arguments.out / folder).mkdir(parents=True, exist_ok=True)
    poses = cameras.poses(FRAMES)
    names = [f"{index:06d}" for index in range(FRAMES)]
    uids, depths = _scan(arguments.out, names, poses)
    _documents(arguments.out, names, poses, uids, depths)
    _check(poses, uids, depths)
    if not arguments.keep_pictures:
        _render(arguments.out, names, poses)
    size = sum(file.stat().st_size for file in arguments.out.rglob("*") if file.is_file())
    print(f"{arguments.out}: {size / 1e6:.2f} MB")


def _cycles(samples: int) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, 1
    cycles.use_adaptive_sampling, cycles.adaptive_threshold, cycles.adaptive_min_samples = True, 0.07, 12
    cycles.use_denoising = True
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 5, 3, 2
    cycles.caustics_reflective = cycles.caustics_refractive = False
    scene.render.use_persistent_data = True
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.view_settings.exposure = -0.25


def _picture(camera: bpy.types.Object, pose: np.ndarray, path: Path, quality: int) -> None:
    camera.matrix_world = Matrix(pose.tolist())
    with tempfile.TemporaryDirectory() as folder:
        bpy.context.scene.render.filepath = str(Path(folder) / "picture.png")
        bpy.ops.render.render(write_still=True)
        with Image.open(Path(folder) / "picture.png") as image:
            image.convert("RGB").save(path, quality=quality, optimize=True, progressive=True)


def _render(out: Path, names: list[str], poses: list[np.ndarray]) -> None:
    camera = cameras.blender_camera()
    for name, pose in zip(names, poses, strict=True):
        start = time.perf_counter()
        _picture(camera, pose, out / "images" / f"{name}.jpg", QUALITY)
        print(f"rendered {name} in {time.perf_counter() - start:.1f} s", flush=True)


def _beauty(path: Path) -> None:
    camera = cameras.blender_camera(960, 640, 2.75)
    camera.data.shift_x = camera.data.shift_y = 0.0
    path.parent.mkdir(parents=True, exist_ok=True)
    _picture(camera, cameras.looking((4.05, -4.35, 1.62), (1.98, -0.85, 0.70)), path, 86)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def _scan(out: Path, names: list[str], poses: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    scanner, uids, depths = scanning.Scanner(), [], []
    for index, (name, pose) in enumerate(zip(names, poses, strict=True)):
        exact, uid, cosine = scanner.scan(pose)
        depth = scanning.measured(exact, cosine, np.random.default_rng([7, index]))
        scanning.write_png(out / "depth" / f"{name}.png", depth)
        scanning.write_png(out / "labels" / f"{name}.png", uid)
        uids.append(uid)
        depths.append(depth)
    missing = np.mean([(d == 0) & (u > 0) for d, u in zip(depths, uids, strict=True)])
    print(f"scanned {len(names)} frames; the sensor misses {100 * missing:.1f} % of the pixels on surfaces")
    return uids, depths


def _documents(out: Path, names: list[str], poses: list[np.ndarray], uids: list, depths: list) -> None:
    transforms = {
        "camera_model": "PINHOLE",
        "w": cameras.WIDTH,
        "h": cameras.HEIGHT,
        "fl_x": cameras.FOCAL,
        "fl_y": cameras.FOCAL,
        "cx": cameras.CENTER[0],
        "cy": cameras.CENTER[1],
        "depth_unit_scale_factor": 0.001,
        "frames": [
            {
                "file_path": f"images/{name}.jpg",
                "depth_file_path": f"depth/{name}.png",
                "transform_matrix": pose.tolist(),
            }
            for name, pose in zip(names, poses, strict=True)
        ],
    }
    tree, marks = labels.tree(), marking.marks(names, poses, uids, depths)
    for mark in marks:
        if uids[names.index(mark["frame"])][mark["v"], mark["u"]] != mark["label"]:
            raise RuntimeError(f"mark {mark} is not on its thing")
    classes = {str(uid): name for uid, (name, *_) in labels.CLASSES.items()}
    _write(out / "transforms.json", transforms)
    _write(out / "label_tree.json", {"tree": tree})
    _write(out / "marks.json", {"tree": tree, "marks": marks})
    _write(out / "classes.json", classes)
    print(f"{len(classes)} classes, {len(marks)} marks")


def _write(path: Path, data: dict) -> None:
    """JSON with one line per entry of each list, so that differences stay readable."""
    lines = []
    for key, value in data.items():
        if isinstance(value, list):
            inner = ",\n".join(f"  {json.dumps(entry)}" for entry in value)
            lines.append(f" {json.dumps(key)}: [\n{inner}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _check(poses: list[np.ndarray], uids: list[np.ndarray], depths: list[np.ndarray]) -> None:
    """Compare the depth of every pair of neighbouring frames in world space; raise when they disagree."""
    v, u = np.mgrid[: cameras.HEIGHT, : cameras.WIDTH]
    right, up = (u + 0.5 - cameras.CENTER[0]) / cameras.FOCAL, -(v + 0.5 - cameras.CENTER[1]) / cameras.FOCAL
    rays = np.stack([right, up, -np.ones(u.shape)], axis=-1)
    differences, agreeing = [], []
    for a in range(len(poses)):
        for b in (a - 1, (a + 4) % len(poses)):
            seen = depths[a] > 0
            world = (rays[seen] * depths[a][seen][:, None] / 1000.0) @ poses[a][:3, :3].T + poses[a][:3, 3]
            local = (world - poses[b][:3, 3]) @ poses[b][:3, :3]
            z = -local[:, 2]
            column = np.floor(local[:, 0] / np.maximum(z, 1e-6) * cameras.FOCAL + cameras.CENTER[0]).astype(int)
            row = np.floor(-local[:, 1] / np.maximum(z, 1e-6) * cameras.FOCAL + cameras.CENTER[1]).astype(int)
            inside = (z > 0.2) & (column >= 0) & (column < cameras.WIDTH) & (row >= 0) & (row < cameras.HEIGHT)
            there = depths[b][row[inside], column[inside]] / 1000.0
            difference = np.abs(there - z[inside])
            same = (there > 0) & (difference < 0.1)
            differences.append(difference[same])
            agreeing.append(uids[a][seen][inside][same] == uids[b][row[inside], column[inside]][same])
    median = float(np.median(np.concatenate(differences)))
    same_label = float(np.concatenate(agreeing).mean())
    print(f"the same point in two frames: {1000 * median:.1f} mm apart (median), {100 * same_label:.1f} % of one label")
    if median > 0.01:
        raise RuntimeError("the frames do not fit each other")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # bpy 4.5 as a module may hang while it unloads
