"""A data set in one new folder: one sub-folder per format and ``report.json``, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..captures.capture import Frame
from ..errors import UserError
from ..new_folder import new_folder
from ..progress import Progress
from .cloud import write_cloud
from .coco import CocoWriter
from .labelled import LabelledFrames, check_ids, segments
from .pngs import PngWriter
from .scannet import ScanNetWriter

OF_FRAMES = {"coco": CocoWriter, "scannet": ScanNetWriter, "pngs": PngWriter}
FORMATS = (*OF_FRAMES, "ply")


def checked_formats(formats: Sequence[str]) -> list[str]:
    """The formats, each once, in the order of FORMATS. Raises UserError."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        said = f"There is no data set format called {str(unknown[0])[:40]}" if unknown else "No format was chosen"
        raise UserError("bad_format", f"{said}; choose from {', '.join(FORMATS)}.")
    return [name for name in FORMATS if name in formats]


def write_data_set(data: LabelledFrames, formats: Sequence[str], out: Path, progress: Progress) -> dict:
    """Write a data set.

    Args:
        data: frames, labels and, for amodal masks, whole objects.
        formats: of FORMATS.
        out: a folder that does not exist yet or is empty.
        progress: told 0..1; may raise Cancelled, then nothing is left behind.

    Returns:
        What ``report.json`` says: ``frames``, ``left_out`` (name and reason each), ``formats`` with their counts and
        ``notes``, sentences for the person.

    Raises:
        UserError: unknown format, nothing to write, or the folder cannot be written.
    """
    formats = checked_formats(formats)
    if "ply" in formats and data.cloud is None:
        raise UserError("no_scan", "These pictures come without a scan; leave the format ply out.")
    of_frames = [name for name in formats if name in OF_FRAMES]
    if of_frames and not data.capture.frames:
        raise UserError("no_frames", "There are no keyframes to write; choose only the format ply.")
    with new_folder(out) as made:
        writers = {name: OF_FRAMES[name](made / name, data) for name in of_frames}
        left_out = [{"name": one.name, "reason": one.reason} for one in data.capture.left_out]
        lost: set[tuple[int, int]] = set()
        written = 0
        for index, frame in enumerate(data.capture.frames if writers else ()):
            progress(0.95 * index / len(data.capture.frames), f"Data set: {frame.name}")
            reason = _add(frame, data, list(writers.values()), lost)
            written += not reason
            left_out += [{"name": frame.name, "reason": reason}] if reason else []
        if writers and not written:
            raise UserError("no_frames", f"No frame could be written: {left_out[0]['name']}: {left_out[0]['reason']}")
        progress(0.95, "Data set: tables")
        counts = {name: writer.finish() for name, writer in writers.items()}
        if "ply" in formats:
            write_cloud(made / "scan.ply", data.cloud)
            counts["ply"] = {"vertices": len(data.cloud.labels)}
        notes = [*_notes(left_out, lost), *(note for writer in writers.values() for note in writer.notes)]
        report = {"frames": written, "left_out": left_out, "formats": counts, "notes": notes}
        (made / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    progress(1.0, "Done")
    return report


def _add(frame: Frame, data: LabelledFrames, writers: list, lost: set[tuple[int, int]]) -> str:
    """Give a frame to every writer; why it was left out, or empty."""
    try:
        labels, instances = data.maps(frame)
    except UserError as error:  # a picture that cannot be read costs its frame, nothing else
        if error.code in ("unknown_label", "cannot_write"):
            raise
        return error.sentence
    check_ids(data.tree, labels, frame.name)
    ids, over = segments(labels, instances, data.tree)
    lost |= over
    for writer in writers:
        writer.add(frame, ids)
    return ""


def _notes(left_out: list[dict], lost: set[tuple[int, int]]) -> list[str]:
    notes = [f"{len(left_out)} frames were left out; report.json says why."] if left_out else []
    if lost:
        notes.append(f"{len(lost)} objects have numbers above 255 and are written as part of a crowd.")
    return notes
