"""From a checked entry of a recording to a frame: which camera it has, and how its images are loaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from backend.captures import lens as lenses
from backend.captures.capture import Frame, Intrinsics
from backend.captures.common import Entry, ImportOptions, Problem, Recording
from backend.captures.depth import DepthEncoding, along_axis, trusted, within
from backend.captures.images import (
    BrokenImage,
    Header,
    depth_problem,
    read_color,
    read_header,
    read_ids,
    read_raw_depth,
)
from backend.captures.kinect import color_at_depth_camera
from backend.captures.lens import Optics
from backend.captures.registration import depth_at_color_camera
from backend.errors import UserError

MAX_ASPECT_DRIFT = 0.05


class Unusable(Exception):
    """An entry whose images cannot be used."""

    def __init__(self, problem: Problem):
        super().__init__(problem.one)
        self.problem = problem


class CheckedEntry:
    """An entry with the headers of its two images and the optics that follow. Raises Unusable.

    Args:
        entry: with two existing files, a rigid pose and a lens.
        recording: what its reader found.
    """

    def __init__(self, entry: Entry, recording: Recording):
        self.entry = entry
        self.color, self.depth = _header(entry.color, "colour"), _header(entry.depth, "depth")
        _check_sizes(entry, self.color, self.depth)
        lens, own = entry.lens, entry.depth_lens
        stored = lenses.fit(lens, self.color.width, self.color.height)
        self.optics = Optics(stored, lens.model, lens.distortion)
        if own:
            stored = lenses.fit(own, self.depth.width, self.depth.height)
            self.depth_optics = Optics(stored, own.model, own.distortion)
        else:
            stored = stored.resized(self.depth.width, self.depth.height)
            shared = lens.distortion if recording.distorted_depth else ()
            self.depth_optics = Optics(stored, lens.model, shared)
        for camera in (self.optics.stored, self.depth_optics.stored):
            if not (lenses.centered(camera.cx, camera.width) and lenses.centered(camera.cy, camera.height)):
                one = f"its camera intrinsics do not belong to an image of {camera.width} x {camera.height} pixels"
                raise Unusable(Problem("no_intrinsics", one, "their camera intrinsics belong to another image size"))

    def turn(self, turns: int) -> None:
        """Set the pictures upright by so many quarter turns clockwise."""
        self.optics = Optics(self.optics.stored, self.optics.model, self.optics.distortion, turns)
        own = self.depth_optics
        self.depth_optics = Optics(own.stored, own.model, own.distortion, turns)


def upright_turns(entries: list[CheckedEntry], up: np.ndarray) -> int:
    """Quarter turns clockwise that set most pictures upright, given the world's up direction (3,)."""
    votes = np.zeros(4)
    for checked in entries:
        right, down = checked.entry.pose[:3, 0] @ up, checked.entry.pose[:3, 1] @ up
        # A camera that looks at the floor or the ceiling says little.
        votes[int(np.rint(np.arctan2(-right, -down) / (np.pi / 2))) % 4] += np.hypot(right, down)
    return int(votes.argmax())


def frame_of(checked: CheckedEntry, recording: Recording, encoding: DepthEncoding, options: ImportOptions) -> Frame:
    """The frame of a checked entry."""
    entry, optics = checked.entry, checked.optics
    limits = (options.depth_min, options.depth_max)
    load_depth = partial(load_depth_image, checked, recording, encoding, limits, options.confidence)
    load_color = partial(load_color_image, entry.color, optics)
    camera, depth_camera = optics.camera, checked.depth_optics.camera
    if recording.kinect_baseline:
        load_color = partial(color_at_depth_camera, load_color, load_depth, camera, depth_camera)
        camera = depth_camera
    elif entry.color_from_depth is not None:
        target = camera.resized(depth_camera.width, depth_camera.height)
        load_depth = partial(depth_at_color_camera, load_depth, depth_camera, entry.color_from_depth, target)
        depth_camera = target
    return Frame(
        name=entry.name,
        color_path=entry.color,
        intrinsics=camera,
        depth_intrinsics=depth_camera,
        camera_to_world=lenses.turn_pose(entry.pose, optics.turns),
        load_color=load_color,
        load_depth=load_depth,
        undistorted=optics.changes or recording.kinect_baseline,
        timestamp=entry.timestamp,
        load_labels=partial(load_ids, entry.labels, optics) if entry.labels else None,
        load_instances=partial(load_ids, entry.instances, optics) if entry.instances else None,
    )


def load_color_image(path: Path, optics: Optics) -> np.ndarray:
    """(height, width, 3) uint8, undistorted and upright. Raises UserError when the file is damaged or changed."""
    image = read_color(path)
    _check_unchanged(image, optics.stored, path)
    return optics.apply(image, order=1)


def load_depth_image(
    checked: CheckedEntry,
    recording: Recording,
    encoding: DepthEncoding,
    limits: tuple[float, float],
    confidence: int,
) -> np.ndarray:
    """(height, width) float32 z-depth in metres, undistorted and upright, 0 = none. Raises UserError."""
    metres = encoding.metres(load_raw(checked, recording), recording.invalid)
    if checked.entry.confidence is not None and confidence > 0:
        levels = read_ids(checked.entry.confidence)
        metres = np.where(checked.depth_optics.apply(trusted(levels, checked.depth, confidence), 0) > 0, metres, 0)
    if recording.ray_distance:
        metres = along_axis(metres, checked.depth_optics.camera)
    return within(metres, *limits).astype(np.float32, copy=False)


def load_raw(checked: CheckedEntry, recording: Recording) -> np.ndarray:
    """(height, width) depth values as stored, moved to where the upright pinhole camera sees them."""
    raw = read_raw_depth(checked.entry.depth)
    _check_unchanged(raw, checked.depth_optics.stored, checked.entry.depth)
    return checked.depth_optics.apply(raw, order=0)


def load_ids(path: Path, optics: Optics) -> np.ndarray:
    """(height, width) int32 ids at the pixels of the finished colour picture. Raises UserError."""
    ids = read_ids(path)
    stored = optics.stored
    if ids.shape != (stored.height, stored.width):
        rows = ((np.arange(stored.height) + 0.5) * ids.shape[0] / stored.height).astype(int)
        columns = ((np.arange(stored.width) + 0.5) * ids.shape[1] / stored.width).astype(int)
        ids = ids[rows[:, None], columns]
    return optics.apply(ids, order=0)


def _header(path: Path, kind: str) -> Header:
    try:
        header = read_header(path)
    except BrokenImage as error:
        many = f"their {kind} images cannot be read"
        raise Unusable(Problem("image_broken", f"its {kind} image {error}", many)) from error
    problem = depth_problem(header) if kind == "depth" else None
    if problem:
        raise Unusable(
            Problem("no_depth", f"its depth image {problem}", f"their depth images have {header.mode} pixels")
        )
    return header


def _check_sizes(entry: Entry, color: Header, depth: Header) -> None:
    pairs = [(color, entry.lens, "colour")]
    pairs += [(depth, entry.depth_lens, "depth")] if entry.depth_lens else []
    for header, lens, kind in pairs:
        if lens.width and _drift(header.width, header.height, lens.width, lens.height) > MAX_ASPECT_DRIFT:
            size = f"{header.width} x {header.height}, its camera {lens.width} x {lens.height} pixels"
            raise Unusable(
                Problem("bad_sizes", f"its {kind} image has {size}", f"their {kind} images do not fit their cameras")
            )
    if entry.depth_lens is None and _drift(color.width, color.height, depth.width, depth.height) > MAX_ASPECT_DRIFT:
        size = f"{depth.width} x {depth.height}, its colour image {color.width} x {color.height} pixels"
        raise Unusable(
            Problem("bad_sizes", f"its depth image has {size}", "their depth and colour images differ in shape")
        )


def _drift(width: int, height: int, other_width: int, other_height: int) -> float:
    return abs(width / height * other_height / other_width - 1)


def _check_unchanged(image: np.ndarray, camera: Intrinsics, path: Path) -> None:
    if image.shape[:2] != (camera.height, camera.width):
        sentence = f"The image {path.name} has changed its size since the capture was opened; open the capture again."
        raise UserError("image_changed", sentence, str(path))
