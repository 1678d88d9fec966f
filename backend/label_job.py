"""The `label` command: a capture and marks in, label maps, views and a labelled mesh out, without Blender.

Label ids in every output are the uids of the tree (0 = unlabelled). Coordinates in the files are the capture's own
world; inside, everything is in scene coordinates.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import protocol
from .captures.capture import Capture, Frame, Intrinsics
from .captures.detect import ImportOptions, open_capture
from .captures.held_out import held_out_frames, only, without
from .datasets.cloud import ply, vertex_columns
from .errors import UserError
from .images import write_image
from .progress import Progress, part
from .registering import registered_capture
from .workspace import Labelling, Workspace
from .writing import write_bytes, write_json

MAX_JSON = 64 << 20
MAX_WRITERS = 8


@dataclass(frozen=True)
class LabelJob:
    """What the command line asks for."""

    capture: Path
    marks: Path
    out: Path
    views: Path | None = None
    step: int = 1
    max_frames: int = 0
    device: str = "auto"
    seconds: float | None = None  # budget for training the field; None trains it to the end of its schedule
    up: str = "auto"
    depth_encoding: str | None = None
    held_out: str | None = None  # frames that are labelled but not fused: a file of names, or N for every N-th
    keep_poses: bool = False  # as the capture says them, not refined


def run(job: LabelJob, progress: Progress) -> dict:
    """Do the job and return what `report.json` says. Raises UserError, Cancelled."""
    started = time.perf_counter()
    document = read_document(job.marks)
    views = read_views(job.views) if job.views else []
    everything = open_capture(job.capture, ImportOptions(up=job.up, depth_encoding=job.depth_encoding))
    keyframes = chosen_frames(everything, job.step, job.max_frames)
    left = held_out_frames(job.held_out, keyframes) if job.held_out else frozenset()
    document = in_scene(document, everything)
    with Workspace(device=job.device) as workspace:
        everything = with_needed(everything, keyframes, document)
        fused = _names(without(keyframes, left))
        if not job.keep_poses:
            everything = registered_capture(everything, part(progress, 0.0, 0.2), workspace.device, fused)
        keyframes, capture = only(everything, _names(keyframes)), only(everything, fused)
        workspace.build(capture, part(progress, 0.2, 0.5), every_frame=everything)
        first = workspace.label(document, part(progress, 0.5, 0.55))
        settled = workspace.settle(part(progress, 0.55, 0.7), seconds=job.seconds)
        broken = {one.name for one in workspace.unreadable}
        _write_frames(workspace, without(keyframes, broken).frames, job.out, part(progress, 0.7, 0.95))
        _write_views(workspace, views, capture, job.out, part(progress, 0.95, 0.98))
        write_mesh(job.out / "mesh.ply", workspace, settled, np.linalg.inv(capture.scene_from_world))
        report = {
            "capture": capture.name,
            "format": capture.format,
            "frames": len(capture.frames),
            "frames_left_out": [
                {"name": one.name, "reason": one.reason} for one in (*capture.left_out, *workspace.unreadable)
            ],
            "notes": list(capture.notes),
            "marks": len(document["marks"]),
            "marks_without_effect": [{"id": m.id, "problem": m.problem} for m in settled.marks if m.problem],
            "stage": settled.stage,
            "vertices": len(settled.labels),
            "superpoints": workspace.superpoint_count,
            "device": str(workspace.device),
            "field_steps": workspace.steps,
            "share": {str(uid): share for uid, share in settled.shares.items()},
            "unsettled": settled.unsettled,
            "changed_by_field": float((first.labels != settled.labels).mean()),
            "seconds": {**workspace.seconds, "total": time.perf_counter() - started},
            "peak_memory_bytes": peak_memory(),
        }
    write_json(job.out / "report.json", report)
    progress(1.0, "Done")
    return report


def read_document(path: Path) -> dict:
    """A label document from a JSON file, checked. Raises UserError."""
    try:
        return protocol.read_document(path)
    except protocol.DocumentError as error:
        sentence = str(error)
        raise UserError("bad_marks", sentence if path.name in sentence else f"{path.name}: {sentence}") from error


def in_scene(document: dict, capture: Capture) -> dict:
    """The same document with its points moved from the capture's own world to the scene."""
    matrix = capture.scene_from_world
    marks = []
    for mark in document["marks"]:
        points = np.array(mark["points"], dtype=np.float64).reshape(-1, 3)
        marks.append({**mark, "points": (points @ matrix[:3, :3].T + matrix[:3, 3]).tolist()})
    return {**document, "marks": marks}


def with_needed(everything: Capture, keyframes: Capture, document: dict) -> Capture:
    """The frames of a capture that are keyframes or that marks of a document name."""
    return only(everything, _names(keyframes) | {mark["frame"] for mark in document["marks"]})


def _names(capture: Capture) -> set[str]:
    return {frame.name for frame in capture.frames}


def read_views(path: Path) -> list[tuple[str, Intrinsics, np.ndarray]]:
    """Cameras in the layout of `transforms.json`: (name, intrinsics, camera-to-world with OpenCV axes).

    Raises UserError naming the camera at fault.
    """
    data = _read_json(path)
    entries = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise UserError(
            "bad_views", f"{path.name} has no list called 'frames'; it must be laid out like transforms.json."
        )
    views, names = [], set()
    for index, entry in enumerate(entries):
        where = f"Camera number {index + 1} in {path.name}"
        if not isinstance(entry, dict):
            raise UserError("bad_views", f"{where} is not a JSON object.")
        name = entry.get("name") or Path(str(entry.get("file_path") or f"{index:06d}")).stem
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".", "..") or name in names:
            raise UserError("bad_views", f"{where} has no file name of its own in 'name'.")
        names.add(name)
        views.append((name, _lens({**data, **entry}, where), _pose(entry, where)))
    return views


def _lens(entry: dict, where: str) -> Intrinsics:
    try:
        width, height = int(entry["w"]), int(entry["h"])
        fx = float(entry["fl_x"]) if "fl_x" in entry else 0.5 * width / math.tan(0.5 * float(entry["camera_angle_x"]))
        fy = float(entry.get("fl_y", fx))
        # The file counts from the corner of the top left pixel, we from its centre.
        cx, cy = float(entry.get("cx", width / 2)) - 0.5, float(entry.get("cy", height / 2)) - 0.5
    except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise UserError(
            "bad_views", f"{where} needs w, h, fl_x (or camera_angle_x) as numbers.", repr(error)
        ) from error
    if not (
        0 < width <= 16384 and 0 < height <= 16384 and all(map(math.isfinite, (fx, fy, cx, cy))) and min(fx, fy) > 0
    ):
        raise UserError("bad_views", f"{where} has a size or a focal length that makes no sense.")
    return Intrinsics(width, height, fx, fy, cx, cy)


def _pose(entry: dict, where: str) -> np.ndarray:
    try:
        matrix = np.array(entry["transform_matrix"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("bad_views", f"{where} has no 4 x 4 transform_matrix.", repr(error)) from error
    if matrix.shape not in ((4, 4), (3, 4)) or not np.isfinite(matrix).all():
        raise UserError("bad_views", f"{where} has no 4 x 4 transform_matrix of finite numbers.")
    return np.vstack([matrix[:3], [0.0, 0.0, 0.0, 1.0]]) @ np.diag([1.0, -1.0, -1.0, 1.0])


def _read_json(path: Path):
    try:
        if path.stat().st_size > MAX_JSON:
            raise UserError(
                "json_too_large", f"{path.name} is larger than {MAX_JSON >> 20} MB; it cannot be what was meant."
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError("cannot_read", f"{path} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, RecursionError) as error:
        raise UserError("not_json", f"{path.name} is not JSON in UTF-8; check the file.", repr(error)) from error


def chosen_frames(capture: Capture, step: int, max_frames: int) -> Capture:
    """Every ``step``-th frame, at most ``max_frames`` (0: no limit) spread evenly."""
    frames = capture.frames[:: max(step, 1)]
    if max_frames and len(frames) > max_frames:
        frames = tuple(frames[i] for i in np.linspace(0, len(frames) - 1, max_frames).round().astype(int))
    return replace(capture, frames=frames)


def _write_frames(workspace: Workspace, frames: tuple[Frame, ...], out: Path, progress: Progress) -> None:
    def write(frame: Frame) -> None:
        view = workspace.keyframe_view(frame)
        write_image(out / "labels" / f"{frame.name}.png", fitting(view.labels, workspace.largest_uid))
        write_image(out / "confidence" / f"{frame.name}.png", np.rint(view.confidence * 255).astype(np.uint8))

    with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_WRITERS)) as pool:
        try:
            for index, _ in enumerate(pool.map(write, frames)):
                progress((index + 1) / len(frames), f"Label map {index + 1} of {len(frames)}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_views(workspace: Workspace, views: list, capture: Capture, out: Path, progress: Progress) -> None:
    for index, (name, intrinsics, camera_to_world) in enumerate(views):
        progress(index / len(views), f"View {index + 1} of {len(views)}")
        view = workspace.view(intrinsics, capture.to_scene(camera_to_world))
        scale = np.cbrt(np.linalg.det(capture.scene_from_world[:3, :3]))
        write_image(out / "views" / f"{name}.png", fitting(view.labels, workspace.largest_uid))
        write_image(out / "views" / f"{name}.color.png", view.color)
        millimetres = np.clip(np.rint(view.depth * 1000 / scale), 0, 65535).astype(np.uint16)
        write_image(out / "views" / f"{name}.depth.png", millimetres)


def fitting(labels: np.ndarray, largest: int) -> np.ndarray:
    """Label ids as uint8 when all of the tree's fit, else uint16, so that every map of a job has one depth."""
    return labels.astype(np.uint8 if largest < 256 else np.uint16)


def write_mesh(path: Path, workspace: Workspace, labelling: Labelling, world_from_scene: np.ndarray) -> None:
    """The labelled scan as binary PLY: vertices with colour, `label` (ushort) and `confidence` (float)."""
    surface = workspace.surface
    points = surface.vertices @ world_from_scene[:3, :3].T + world_from_scene[:3, 3]
    columns = vertex_columns(points, surface.colors)
    columns |= {"label": labelling.labels.astype("<u2"), "confidence": labelling.confidence.astype("<f4")}
    write_bytes(path, ply(columns, surface.faces))


def peak_memory() -> int | None:
    """Bytes of the largest resident size of this process so far; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
