"""Writing a capture in another layout, so that other tools can read it: poses to the last bit, depth in its own unit.

Poses are those of the scene (metres, Z up), which all four layouts promise. Pictures are copied as they are unless they
had to be undistorted or turned.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from backend.captures.capture import Capture, Frame, Intrinsics
from backend.captures.common import OPENGL_TO_OPENCV
from backend.errors import UserError
from backend.images import write_image
from backend.new_folder import new_folder
from backend.progress import Progress

RATE = 30.0  # frames per second where a capture has no times
MOST = 65_535  # of a 16-bit depth image
SAME = 1e-6  # pixels by which cameras may differ and still count as one


@dataclass
class Rounding:
    """What 16-bit depth in a layout's fixed unit could not keep."""

    largest: float = 0.0  # metres
    dropped: int = 0  # pixels that are too far for 16 bits

    def sentences(self) -> list[str]:
        """For the person; empty when everything was kept."""
        said = []
        if self.largest > 1e-6:
            said.append(f"Depth was rounded by up to {1000 * self.largest:.2g} mm, because the layout fixes its unit.")
        if self.dropped:
            said.append(f"{self.dropped} depth pixels are too far for the layout and became holes.")
        return said


def convert(capture: Capture, layout: str, out: Path, progress: Progress) -> list[str]:
    """Write a capture into a new folder.

    Args:
        capture: what to write.
        layout: one of LAYOUTS.
        out: a folder that does not exist yet or is empty.
        progress: told 0..1; may raise Cancelled, then nothing is left behind.

    Returns:
        Sentences about what the layout could not keep.

    Raises:
        UserError: the layout cannot hold this capture, or the folder cannot be written.
    """
    if layout not in LAYOUTS:
        raise UserError("bad_layout", f"There is no layout called {layout[:40]}; choose one of {', '.join(LAYOUTS)}.")
    rounding = Rounding()
    with new_folder(out) as made:
        LAYOUTS[layout](capture, made, rounding, progress)
    return rounding.sentences()


def _transforms(capture: Capture, out: Path, rounding: Rounding, progress: Progress) -> None:
    frames = []
    for frame in _each(capture, progress):
        if not _alike(frame.depth_intrinsics, frame.intrinsics.resized(*_size(frame.depth_intrinsics))):
            sentence = "transforms.json has no place for a depth camera of its own; convert to scannet instead."
            raise UserError("cannot_convert", sentence)
        own = frame.intrinsics
        color = _picture(frame, out / "images" / frame.name)
        _depth(frame, out / "depth" / f"{frame.name}.png", capture.depth_unit, rounding)
        frames.append(
            {
                "file_path": f"images/{color.name}",
                "depth_file_path": f"depth/{frame.name}.png",
                "transform_matrix": (capture.camera_to_scene(frame) @ OPENGL_TO_OPENCV).tolist(),
                "fl_x": own.fx,
                "fl_y": own.fy,
                "cx": own.cx + 0.5,
                "cy": own.cy + 0.5,
                "w": own.width,
                "h": own.height,
            }
        )
    data = {"camera_model": "PINHOLE", "integer_depth_scale": capture.depth_unit, "frames": frames}
    (out / "transforms.json").write_text(json.dumps(data, indent=1), encoding="utf-8")


def _tum(capture: Capture, out: Path, rounding: Rounding, progress: Progress) -> None:
    camera = _one_camera(capture, "tum")
    lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": []}
    for index, frame in enumerate(_each(capture, progress)):
        time = frame.timestamp if frame.timestamp is not None else index / RATE
        color = _picture(frame, out / "rgb" / frame.name)
        _depth(frame, out / "depth" / f"{frame.name}.png", 1 / 5000, rounding)
        pose = capture.camera_to_scene(frame)
        numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        lists["rgb"].append(f"{time!r} rgb/{color.name}")
        lists["depth"].append(f"{time!r} depth/{frame.name}.png")
        lists["groundtruth"].append(f"{time!r} " + " ".join(map(repr, map(float, numbers))))
    for name, lines in lists.items():
        (out / f"{name}.txt").write_text("\n".join(["# time ...", *lines]) + "\n", encoding="utf-8")
    values = (camera.fx, camera.fy, camera.cx, camera.cy)
    (out / "calibration.txt").write_text(" ".join(map(repr, map(float, values))) + "\n", encoding="utf-8")


def _scannet(capture: Capture, out: Path, rounding: Rounding, progress: Progress) -> None:
    camera = _one_camera(capture, "scannet")
    for index, frame in enumerate(_each(capture, progress)):
        _picture(frame, out / "color" / str(index))
        _depth(frame, out / "depth" / f"{index}.png", 1e-3, rounding)
        _matrix(out / "pose" / f"{index}.txt", capture.camera_to_scene(frame))
    for kind, own in (("color", camera), ("depth", capture.frames[0].depth_intrinsics)):
        square = np.eye(4)
        square[:3, :3] = own.matrix
        _matrix(out / "intrinsic" / f"intrinsic_{kind}.txt", square)
        _matrix(out / "intrinsic" / f"extrinsic_{kind}.txt", np.eye(4))


def _replica(capture: Capture, out: Path, rounding: Rounding, progress: Progress) -> None:
    camera = _one_camera(capture, "replica")
    poses = []
    for index, frame in enumerate(_each(capture, progress)):
        _picture(frame, out / "results" / f"frame{index:06d}")
        _depth(frame, out / "results" / f"depth{index:06d}.png", capture.depth_unit, rounding)
        poses.append(capture.camera_to_scene(frame).ravel())
    _matrix(out / "traj.txt", np.stack(poses))
    size = {"w": camera.width, "h": camera.height}
    lens = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy, "scale": 1 / capture.depth_unit}
    (out / "cam_params.json").write_text(json.dumps({"camera": size | lens}, indent=1), encoding="utf-8")


LAYOUTS: dict[str, Callable[[Capture, Path, Rounding, Progress], None]] = {
    "transforms": _transforms,
    "tum": _tum,
    "scannet": _scannet,
    "replica": _replica,
}


def _each(capture: Capture, progress: Progress):
    for index, frame in enumerate(capture.frames):
        progress(index / len(capture.frames), f"Writing frame {frame.name}")
        yield frame


def _size(camera: Intrinsics) -> tuple[int, int]:
    return camera.width, camera.height


def _alike(one: Intrinsics, other: Intrinsics) -> bool:
    values = [[c.width, c.height, c.fx, c.fy, c.cx, c.cy] for c in (one, other)]
    return bool(np.abs(np.subtract(*values)).max() < SAME)


def _one_camera(capture: Capture, layout: str) -> Intrinsics:
    """The camera of all frames. Raises UserError when they differ."""
    first = capture.frames[0]
    for frame in capture.frames:
        same = _alike(frame.intrinsics, first.intrinsics) and _alike(frame.depth_intrinsics, first.depth_intrinsics)
        if not same:
            sentence = f"The layout {layout} has one camera for all frames, but these differ; convert to transforms."
            raise UserError("cannot_convert", sentence)
    return first.intrinsics


def _picture(frame: Frame, stem: Path) -> Path:
    """The frame's picture under a name without suffix: a copy of the file where it shows what the camera saw."""
    suffix = ".png" if frame.undistorted else frame.color_path.suffix.lower()
    path = stem.with_name(stem.name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    if frame.undistorted:
        write_image(path, frame.color())
    else:
        shutil.copyfile(frame.color_path, path)
    return path


def _depth(frame: Frame, path: Path, unit: float, rounding: Rounding) -> None:
    metres = frame.depth().astype(np.float64)
    values = np.rint(metres / unit)
    rounding.dropped += int((values > MOST).sum())
    values[values > MOST] = 0
    kept = values > 0
    if kept.any():
        rounding.largest = max(rounding.largest, float(np.abs(values * unit - metres)[kept].max()))
    write_image(path, values.astype(np.uint16))


def _matrix(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(" ".join(map(repr, map(float, row))) for row in rows) + "\n", encoding="utf-8")
