"""From what a reader found to a checked Capture: which frames can be used, which are taken, where is up."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from backend.captures import orientation, plausibility
from backend.captures.capture import Capture, Frame, LeftOut
from backend.captures.common import (
    BAD_LENS,
    NO_COLOR,
    NO_DEPTH,
    NO_IMAGES,
    READINGS,
    Entry,
    ImportOptions,
    Problem,
    Recording,
    checked_pose,
)
from backend.captures.depth import DepthEncoding, parse_encoding
from backend.captures.frames import CheckedEntry, Unusable, frame_of, load_raw, upright_turns
from backend.captures.links import stays_inside
from backend.captures.selection import choose
from backend.errors import UserError
from backend.progress import Progress

# What a capture lacks when no frame at all can be used.
SENTENCES = {
    "no_poses": "The capture {name} has no usable camera poses; Clickfield needs a pose for every frame.",
    "no_depth": "The capture {name} has no usable depth images; Clickfield needs an RGB-D capture.",
    "no_images": "The capture {name} lists frames, but their image files are missing or outside of its folder.",
    "no_intrinsics": "The capture {name} has no usable camera intrinsics.",
    "image_broken": "The images of the capture {name} cannot be read.",
}


def assemble(recording: Recording, options: ImportOptions, progress: Progress) -> Capture:
    """Check a recording and make it a Capture.

    Args:
        recording: what a reader found.
        options: checked options.
        progress: called with 0..1 and a text.

    Raises:
        UserError: fewer than two frames can be used, or the depth values make no sense.
    """
    total = len(recording.entries)
    entries = _unique(recording.entries)
    usable, problems = _usable(entries, options.poses, progress)
    taken = choose(usable, options)
    if len(taken) < 2 <= len(usable):
        sentence = f"A frame step of {options.step} leaves one of {len(usable)} frames; choose a smaller step."
        raise UserError("bad_option", sentence)
    frames_in, broken = _headers(taken, recording, progress)
    problems += broken
    if len(frames_in) < 2:
        raise _too_few(recording, total, len(frames_in), problems)
    if recording.set_upright:
        up = orientation.AXES[recording.up if options.up == "auto" else options.up]
        turns = upright_turns(frames_in, up)
        for checked in frames_in:
            checked.turn(turns)
    encoding = parse_encoding(options.depth_encoding or recording.encoding)
    frames = [frame_of(checked, recording, encoding, options) for checked in frames_in]
    loaders = [partial(load_raw, checked, recording) for checked in frames_in]
    cameras = [checked.depth_optics.camera for checked in frames_in]
    probe = plausibility.Probe(frames, loaders, cameras, recording, options, encoding, progress)
    frames, notes = plausibility.check(probe)
    scene_from_world, note = orientation.scene_from_world(frames, recording.up, options.up, probe)
    notes = [*recording.notes, *_count_notes(problems, total), *notes, note]
    progress(1.0, "Capture read")
    return Capture(
        name=recording.name or recording.root.name,
        format=recording.format,
        root=recording.root,
        frames=tuple(frames),
        scene_from_world=scene_from_world,
        left_out=tuple(LeftOut(name, problem.one) for name, problem in problems),
        notes=tuple(notes),
        depth_unit=encoding.scale,
        classes=recording.classes,
        fingerprint=_fingerprint(recording.format, frames, frames_in, scene_from_world, encoding, options),
    )


def _unique(entries: list[Entry]) -> list[Entry]:
    """Entries whose names are unique: folders are put in front, then numbers behind."""
    names = [entry.name for entry in entries]
    for depth in (1, 2, 3):
        counts = Counter(names)
        names = [
            "_".join([*entry.color.parts[-1 - depth : -1], entry.name]) if counts[name] > 1 and entry.color else name
            for name, entry in zip(names, entries, strict=True)
        ]
    taken, numbers = set(), Counter()
    for i, name in enumerate(names):
        while names[i] in taken:
            numbers[name] += 1
            names[i] = f"{name}_{numbers[name] + 1}"
        taken.add(names[i])
    return [replace(entry, name=name) for entry, name in zip(entries, names, strict=True)]


def _usable(entries: list[Entry], reading: str, progress: Progress) -> tuple[list[Entry], list[tuple[str, Problem]]]:
    """The entries that have two files and a rigid pose, and what is wrong with the others."""
    usable, problems = [], []
    for index, entry in enumerate(entries):
        if index % 32 == 0:
            progress(0.3 * index / len(entries), "Looking for images")
        pose, problem = checked_pose(entry.pose)
        problem = entry.problem or _missing(entry) or problem or (None if entry.lens else BAD_LENS)
        if problem:
            problems.append((entry.name, problem))
            continue
        usable.append(replace(entry, pose=READINGS[reading](pose) if reading in READINGS else pose))
    return usable, problems


def _missing(entry: Entry) -> Problem | None:
    color, depth = _exists(entry.color), _exists(entry.depth)
    if color and depth:
        return None
    return NO_IMAGES if not color and not depth else NO_DEPTH if color else NO_COLOR


def _exists(path: Path | None) -> bool:
    try:
        # A link to nowhere or in circles raises; an unreadable file is there and is told apart later.
        return path is not None and path.is_file() and stays_inside(path)
    except (OSError, ValueError):
        return False


def _headers(
    entries: list[Entry], recording: Recording, progress: Progress
) -> tuple[list[CheckedEntry], list[tuple[str, Problem]]]:
    good, problems = [], []
    for index, entry in enumerate(entries):
        if index % 8 == 0:
            progress(0.3 + 0.4 * index / len(entries), "Checking images")
        try:
            good.append(CheckedEntry(entry, recording))
        except Unusable as unusable:
            problems.append((entry.name, unusable.problem))
    return good, problems


def _too_few(recording: Recording, total: int, usable: int, problems: list[tuple[str, Problem]]) -> UserError:
    detail = "; ".join(f"{name}: {problem.one}" for name, problem in problems[:20])
    name = recording.name or recording.root.name
    if usable == 0 and problems:
        problem = Counter(problem for _, problem in problems).most_common(1)[0][0]
        start = SENTENCES.get(problem.code, "No frame of the capture {name} can be used.").format(name=name)
        first = next(n for n, p in problems if p is problem)
        return UserError(problem.code, f"{start[:-1]} (frame {first}: {problem.one}).", detail)
    if total == 0:
        return UserError("no_frames", f"The capture {name} has no frames.", detail)
    sentence = (
        f"Only {usable} of {total} frames of the capture {name} can be used; "
        "at least two frames with pose, colour and depth are needed."
    )
    return UserError("one_frame", sentence, detail)


def _count_notes(problems: list[tuple[str, Problem]], total: int) -> list[str]:
    groups = Counter(problem.many for _, problem in problems)
    codes = {problem.many: problem.one for _, problem in problems}
    return [
        f"{count} of {total} frames were left out: {many}."
        if count > 1
        else f"1 of {total} frames was left out: {codes[many]}."
        for many, count in groups.most_common()
    ]


def _fingerprint(
    name: str,
    frames: list[Frame],
    checked: list[CheckedEntry],
    scene_from_world: np.ndarray,
    encoding: DepthEncoding,
    options: ImportOptions,
) -> str:
    """Hash of everything that decides what the frames contain; paths are not part of it, so a folder may move."""
    digest = hashlib.sha256()
    digest.update(f"{name}|{encoding}|{options.depth_min!r}|{options.depth_max!r}|{options.confidence}".encode())
    digest.update(np.round(scene_from_world, 6).tobytes())
    for frame, source in zip(frames, checked, strict=True):
        digest.update(f"|{frame.name}|{source.color.bytes}|{source.depth.bytes}|{source.entry.lens}".encode())
        digest.update(f"|{frame.intrinsics}|{frame.depth_intrinsics}".encode())
        digest.update(np.ascontiguousarray(frame.camera_to_world, dtype="<f8").tobytes())
    return digest.hexdigest()
