"""One scene as files: a capture, its truth, and a clean labelled mesh."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from backend.captures.capture import Intrinsics

from . import cameras, sensor
from .render import Renderer, Shot
from .scan import clean_mesh
from .stage import Stage

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
MESH_VOXEL = 1.25  # of the clean mesh, in the scene's own voxels
LEAST = 0.0005  # share of the training pixels below which a class is not part of the truth


@dataclass(frozen=True)
class Settings:
    """How a scene is recorded."""

    frames: int = 60
    size: tuple[int, int] = (320, 240)
    shift: float | None = None  # metres of error of the poses, None = half a voxel
    turn: float = 0.3  # degrees


def record(stage: Stage, folder: Path, about: dict, settings: Settings) -> None:
    """Render a stage and write everything below ``folder``; ``about`` says what it is in scene.json."""
    rng = np.random.default_rng(stage.rng.integers(1 << 62))
    renderer = Renderer(stage)
    camera = cameras.camera(settings.size)
    poses = cameras.poses(stage.walk, renderer.space, settings.frames, rng)
    shots = [_in_range(renderer.shoot(camera, pose), stage.far) for pose in poses]
    names = [f"{index:06d}" for index in range(len(shots))]
    teaching = [shot.label for index, shot in enumerate(shots) if not cameras.held_out(index)]
    seen = _seen(teaching)
    for place in ("capture/images", "capture/depth", "truth", "instances", "mesh"):
        (folder / place).mkdir(parents=True)
    _write_truth(folder, stage, shots, names, seen)
    shift = 0.5 * stage.voxel if settings.shift is None else settings.shift
    reported = cameras.drifted(poses, shift, settings.turn, rng)
    _write_capture(folder / "capture", shots, names, camera, reported, stage.far, rng)
    voxel = MESH_VOXEL * stage.voxel * max(Settings.size[0] / settings.size[0], 1.0)  # no finer than the pixels
    mesh = clean_mesh(renderer.geometry, shots[::2], poses[::2], camera, voxel)
    mesh["labels"] = np.where(np.isin(mesh["labels"], list(seen)), mesh["labels"], 0)
    np.savez_compressed(folder / "mesh" / "mesh.npz", **mesh)
    about = {
        **about,
        "voxel": stage.voxel,
        "far": stage.far,
        "shift": shift,
        "turn": settings.turn,
        "mesh_voxel": voxel,
    }
    about["camera_to_scene"] = {n: pose.round(9).tolist() for n, pose in zip(names, poses, strict=True)}
    write_json(folder / "scene.json", about)


def _in_range(shot: Shot, far: float) -> Shot:
    """The view without labels beyond the sensor's reach: nobody can be asked to label what was never measured."""
    near = shot.depth < far
    return replace(shot, label=np.where(near, shot.label, 0), instance=np.where(near, shot.instance, 0))


def _seen(labels: list[np.ndarray]) -> set[int]:
    counts = np.bincount(np.concatenate([image.ravel() for image in labels]))
    least = max(LEAST * sum(image.size for image in labels), 1)
    return {int(uid) for uid in np.flatnonzero(counts >= least) if uid}


def write_json(path: Path, value: object) -> None:
    """Write JSON with an end of line."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_truth(folder: Path, stage: Stage, shots: list[Shot], names: list[str], seen: set[int]) -> None:
    tree = stage.tree(seen)
    classes = {str(node["uid"]): node["name"] for node in tree if node["kind"] == "class"}
    write_json(folder / "truth" / "classes.json", {"classes": classes, "tree": tree})
    write_json(folder / "document.json", {"tree": tree, "marks": []})
    write_json(folder / "held_out.json", [name for i, name in enumerate(names) if cameras.held_out(i)])
    known = np.array(sorted(seen))
    for name, shot in zip(names, shots, strict=True):
        label = np.where(np.isin(shot.label, known), shot.label, 0).astype(np.uint8)
        Image.fromarray(label).save(folder / "truth" / f"{name}.png", compress_level=3)
        Image.fromarray(shot.instance.astype(np.uint16)).save(folder / "instances" / f"{name}.png", compress_level=3)


def _write_capture(
    folder: Path, shots: list[Shot], names: list[str], camera: Intrinsics, poses: list[np.ndarray], far: float, rng
) -> None:
    gains = np.array([sensor.auto_exposure(shot) for shot in shots])
    gains = np.median(gains) ** 0.5 * gains**0.5 * np.exp(rng.normal(0, 0.06, len(shots)))
    tint = np.exp(np.cumsum(rng.normal(0, 0.008, (len(shots), 3)), axis=0))
    frames = []
    for i, (name, shot) in enumerate(zip(names, shots, strict=True)):
        photo = sensor.photographed(shot, float(gains[i]), tint[i], rng)
        Image.fromarray(photo).save(folder / "images" / f"{name}.jpg", quality=92, subsampling=0)
        Image.fromarray(sensor.measured(shot, rng, far)).save(folder / "depth" / f"{name}.png", compress_level=3)
        frames.append(
            {
                "file_path": f"images/{name}.jpg",
                "depth_file_path": f"depth/{name}.png",
                "transform_matrix": (poses[i] @ OPENGL).round(9).tolist(),
            }
        )
    data = {"camera_model": "PINHOLE", "w": camera.width, "h": camera.height, "fl_x": camera.fx, "fl_y": camera.fy}
    data |= {"cx": camera.cx + 0.5, "cy": camera.cy + 0.5, "depth_unit_scale_factor": 0.001, "frames": frames}
    write_json(folder / "transforms.json", data)
