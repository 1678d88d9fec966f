"""Separated objects as files of other programs: one per object, in folders like the label tree.

An object is written standing on the origin along its own axes. In a window the files are made by a Blender of its own
in the background, since an exporter holds the one that it runs in for seconds; without one, here and at once.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix

from . import another_blender, export_files, facts, objects, parts, upkeep
from .library import file_stem

FORMATS = {"GLB": ".glb", "GLTF": ".gltf", "OBJ": ".obj"}
WRITTEN_OBSERVED = "_observed"  # glTF exporters write attributes whose names begin like this, and no others


class ExportError(Exception):
    """One sentence that says why nothing can be exported."""


@dataclass(frozen=True)
class Options:
    """What is written of each object."""

    format: str = "GLB"
    levels: bool = False  # _LOD0 to _LOD3 in place of the object
    hulls: bool = False


@dataclass
class Outcome:
    """What has been written so far."""

    files: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # "name: reason"
    without_hulls: list[str] = field(default_factory=list)


def targets(scene: bpy.types.Scene, items: Sequence[bpy.types.Object], directory: Path, kind: str) -> list[Path]:
    """The file of each object: ``<directory>/<label>/<label>/<name>.glb``, no two alike even where case is ignored."""
    taken, found = set(), []
    for item in items:
        path = objects.label_path(scene, item.clickfield.label)
        folder = directory.joinpath(*(file_stem(name) for name in path))
        stem, number = file_stem(item.name.replace(".", "_")), 1  # programs take what follows a dot for an ending
        target = folder / f"{stem}{FORMATS[kind]}"
        while str(target).casefold() in taken:
            number += 1
            target = folder / f"{stem} {number}{FORMATS[kind]}"
        taken.add(str(target).casefold())
        found.append(target)
    return found


def export(
    scene: bpy.types.Scene,
    items: Sequence[bpy.types.Object],
    directory: Path,
    options: Options,
    outcome: Outcome,
    aside: bool = False,
) -> Iterator[tuple[float, str]]:
    """Write objects; yields how far it is and the name of the one that is being written.

    Args:
        outcome: filled on the way; a file that cannot be written is kept there and the others go on.
        aside: in a process of its own, which ends when the generator is closed; otherwise one object a step.

    Raises:
        ExportError: Blender's exporter is switched off, or no other Blender can be started.
    """
    listed = list(zip(items, targets(scene, items, directory, options.format), strict=True))
    scratch = f".clickfield{uuid.uuid4().hex[:8]}"
    entries = [_entry(item, target, options) | {"scratch": scratch} for item, target in listed]
    if options.hulls:
        outcome.without_hulls += [entry["name"] for entry in entries if not entry["hulls"]]
    if aside:
        yield from _aside(items, entries, outcome)
        return
    if options.format != "OBJ" and export_files.GLTF not in bpy.context.preferences.addons:
        raise ExportError("Blender's add-on glTF 2.0 is switched off; enable it in the preferences.")
    for number, entry in enumerate(entries):
        yield number / len(entries), entry["name"]
        try:
            export_files.write(entry)
        except (OSError, RuntimeError) as error:
            outcome.failed.append(f"{entry['name']}: {export_files.reason(error)}")
        else:
            outcome.files.append(Path(entry["target"]))


def _entry(item: bpy.types.Object, target: Path, options: Options) -> dict[str, Any]:
    """What `export_files.write` must know of a file."""
    upright = Matrix.Diagonal((*upkeep.in_world(item).to_scale(), 1.0))
    hulls = parts.parts_of(item, "HULL") if options.hulls else []
    return {
        "target": str(target),
        "format": options.format,
        "name": item.name,
        "placed": upkeep.numbers_of(upright),
        "levels": list(parts.LEVELS) if options.levels else [],
        "hulls": [{"name": one.name, "placed": upkeep.numbers_of(upright @ parts.in_object(one))} for one in hulls],
        "renamed": [facts.OBSERVED, WRITTEN_OBSERVED],
    }


def _aside(
    items: Sequence[bpy.types.Object], entries: Sequence[dict[str, Any]], outcome: Outcome
) -> Iterator[tuple[float, str]]:
    """Let another Blender write the files."""
    yield 0.0, "objects"
    with tempfile.TemporaryDirectory(prefix="clickfield-export-") as folder:
        source, job, said = (Path(folder, name) for name in ("objects.blend", "job.json", "said.jsonl"))
        blocks = {*items, *(hull for item in items for hull in parts.parts_of(item, "HULL"))}
        bpy.data.libraries.write(str(source), blocks, path_remap="ABSOLUTE")
        told = {"source": str(source), "said": str(said), "files": entries}
        job.write_text(json.dumps(told), encoding="utf-8")
        child = _started(job, Path(folder, "log.txt"))
        try:
            seen = 0
            while seen <= len(entries):
                ended = child.poll() is not None
                lines = another_blender.lines(said)
                begun = [line["file"] for line in lines if "failed" not in line]
                seen = begun[-1] + 1 if begun else 0
                if ended and seen <= len(entries):
                    raise ExportError("The Blender that writes the files ended before it was done; try it again.")
                yield max(seen - 1, 0) / len(entries), entries[min(max(seen - 1, 0), len(entries) - 1)]["name"]
        finally:
            child.kill()
            child.wait()
            for parent in {Path(entry["target"]).parent for entry in entries}:
                for left in parent.glob(f"{entries[0]['scratch']}*"):
                    shutil.rmtree(left, ignore_errors=True)
            _count(another_blender.lines(said), entries, outcome)


def _started(job: Path, log: Path) -> subprocess.Popen:
    """Another Blender at work on a job. Raises ExportError."""
    try:
        return another_blender.start(str(export_files.__file__), job, log)
    except OSError as error:
        raise ExportError(f"No Blender can be started to write the files ({error.strerror}).") from error


def _count(lines: Sequence[dict[str, Any]], entries: Sequence[dict[str, Any]], outcome: Outcome) -> None:
    """Sort out which files were written; the one that was begun last was not, unless the end was said after it."""
    failed = {line["file"]: line["failed"] for line in lines if "failed" in line}
    begun = [line["file"] for line in lines if "failed" not in line]
    for number in begun[:-1]:
        if number in failed:
            outcome.failed.append(f"{entries[number]['name']}: {failed[number]}")
        else:
            outcome.files.append(Path(entries[number]["target"]))
