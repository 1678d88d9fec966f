"""The file of an asset library: what is on its assets, what of that a person changed, and how it is written.

Used inside Blender, and as a program of a Blender of its own, so that the person's goes on drawing meanwhile:
``blender --background --factory-startup --python shelf.py -- JOB.json``. The job (`library`) names files with the
objects, and a file to which lines of JSON are added: ``{"fraction": 0 to 1, "text": what comes next}``, in the end
``{"gone": [names]}`` or ``{"error": sentence}``. Nothing here needs the extension.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

WROTE = "clickfield_wrote"  # custom property of an asset's metadata: JSON of whose it is and what it was to say
PARTS = "scan_parts"  # custom property of assets with levels of detail or hulls: those, by name
CATALOGUES = "blender_assets.cats.txt"  # beside the library
NO_CATALOGUE = "00000000-0000-0000-0000-000000000000"
EMPTY = ("", NO_CATALOGUE)
FIELDS = ("author", "license", "description", "copyright", "catalog_id")
AT_A_TIME = 64  # assets that are read in one step; after each Blender draws all that is shown anew
Key = tuple[int, int]  # label, instance


class LibraryError(Exception):
    """One sentence that says why the library was not written."""


@dataclass(frozen=True)
class Described:
    """Fields of an asset's metadata by their names in Blender, and its tags."""

    fields: dict[str, str]
    tags: list[str]


@dataclass(frozen=True)
class Entry:
    """An asset as it is in a file."""

    name: str
    fields: dict[str, str]
    tags: list[str]
    wrote: Described = field(default_factory=lambda: Described({}, []))


def check(target: Path) -> None:
    """A file of that name must be a library; a scene that somebody works in is never replaced. Raises LibraryError."""
    try:
        with bpy.data.libraries.load(str(target)) as (content, _):
            scenes, everything = list(content.scenes), set(content.objects)
        with bpy.data.libraries.load(str(target), assets_only=True) as (content, _):
            assets = set(content.objects)
    except OSError as error:  # not a .blend
        raise LibraryError(f"{target} is there already and is not a Blender file; choose another folder.") from error
    # Blender gives a library that somebody opened and saved an empty scene.
    if scenes and not all(_is_name_of_part(name, assets) for name in everything - assets):
        raise LibraryError(f"{target.name} in this folder holds a scene, not only assets; choose another folder.")


def _is_name_of_part(name: str, owners: set[str]) -> bool:
    """Whether a name is that of a level of detail or a hull (`parts`) of an object with one of some names."""
    found = re.fullmatch(r"(?:UCX_)?(.+?)_(?:LOD)?\d+(?:-colonly|-convcolonly)?", name)
    return found is not None and found[1] in owners


def reading(target: Path, capture_id: str, entries: dict[Key, Entry]) -> Iterator[float]:
    """Read the assets of a capture in a library's file in steps; yields how far it is, 0 to 1.

    Args:
        entries: filled on the way, by label and instance.

    Raises:
        LibraryError: the file holds assets that Clickfield has not made out of this capture.
    """
    with bpy.data.libraries.load(str(target), assets_only=True) as (content, _):
        names = list(content.objects)
        kinds = [getattr(content, kind) for kind in dir(content) if kind != "objects"]
        foreign = [name for found in kinds if isinstance(found, list) for name in found]
    yield 0.0
    for start in range(0, len(names), AT_A_TIME):
        known = set(bpy.data.libraries)
        with bpy.data.libraries.load(str(target), link=True, assets_only=True) as (_, wanted):
            wanted.objects = names[start : start + AT_A_TIME]
        for item in wanted.objects:
            whose, key, entry = _entry(item)
            if whose != capture_id:
                foreign.append(item.name)
            else:
                entries[key] = entry
        for library in set(bpy.data.libraries) - known:
            bpy.data.libraries.remove(library)
        yield min((start + AT_A_TIME) / len(names), 1.0)
    if foreign:
        listed = ", ".join(foreign[:3]) + (" and more" if len(foreign) > 3 else "")
        raise LibraryError(
            f"{target.name} holds assets that are not of this scan ({listed}); move them to another file first."
        )


def _entry(item: bpy.types.Object) -> tuple[str, Key, Entry]:
    """Capture, label and instance of an asset, and what is on it; no capture for those of others."""
    asset = item.asset_data
    try:
        said = json.loads(asset.get(WROTE, "{}"))
        whose, label, instance = said.get("of", ("", 0, 0))
        wrote = Described(said.get("fields", {}), said.get("tags", []))
    except (ValueError, TypeError, AttributeError):  # somebody has written into it
        whose, label, instance, wrote = "", 0, 0, Described({}, [])
    fields = {name: getattr(asset, name) for name in FIELDS}
    return whose, (label, instance), Entry(item.name, fields, [tag.name for tag in asset.tags], wrote)


def describe(
    asset: bpy.types.AssetMetaData, now: Described, former: Entry | None, capture_id: str, key: Sequence[int]
) -> None:
    """Write metadata. What the person has set on the object in the scene counts most, then what was changed in the
    file, then what is wanted now; what was given an earlier time is not erased by nothing.

    Args:
        former: the same asset as it is in the file, if it is there.
        key: label and instance.
    """
    for name, value in now.fields.items():
        if getattr(asset, name) in EMPTY:
            there = former.fields[name] if former else ""
            by_hand = former is not None and there != former.wrote.fields.get(name, "")
            setattr(asset, name, there if by_hand else value or there)
    wrote, there = (set(former.wrote.tags), former.tags) if former else (set(), [])
    taken_away = wrote - set(there)
    for tag in [*(tag for tag in now.tags if tag not in taken_away), *(tag for tag in there if tag not in wrote)]:
        asset.tags.new(tag, skip_if_exists=True)
    if former:
        said = former.wrote.fields
        now = Described({name: value or said.get(name, "") for name, value in now.fields.items()}, now.tags)
    asset[WROTE] = json.dumps({"of": [capture_id, *key], "fields": now.fields, "tags": now.tags})


def write(target: Path, blocks: set[bpy.types.Object], temporary: Path, catalogues: str | None) -> None:
    """Replace a library by one of some objects, and the catalogues beside it unless they stay as they are.

    Args:
        temporary: a path beside the target that nothing has yet.

    Raises:
        LibraryError: Blender cannot write it. OSError: the same, of the system.
    """
    try:
        try:  # without compression it takes a third of the time
            bpy.data.libraries.write(str(temporary), blocks, path_remap="RELATIVE", fake_user=True)
        except RuntimeError as error:
            raise LibraryError(f"Blender cannot write {target}: {error}") from error
        if target.exists():
            os.chmod(temporary, target.stat().st_mode)
        if catalogues is not None:
            _replace(target.with_name(CATALOGUES), catalogues)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _replace(target: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        os.chmod(temporary, target.stat().st_mode if target.exists() else 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def gather(chunks: Sequence[str]) -> Iterator[float]:
    """Append all objects of several files that came out of one: what two hold under one name is the same thing.

    The files are removed on the way. Yields how far it is, 0 to 1.
    """
    whole: dict[tuple[str, str], bpy.types.ID] = {}
    for number, chunk in enumerate(chunks):
        yield number / len(chunks)
        for index, block in enumerate(whole.values()):
            block.name = f"~{index}"  # so that what comes keeps its name
        before = set(bpy.data.user_map())
        with bpy.data.libraries.load(chunk) as (content, wanted):
            wanted.objects = list(content.objects)
        os.unlink(chunk)
        twice = []
        for block in set(bpy.data.user_map()) - before:
            if block.library is not None or block.id_type in ("LIBRARY", "KEY"):
                continue
            first = whole.setdefault((block.id_type, block.name), block)
            if first != block:
                block.user_remap(first)
                twice.append(block)
        bpy.data.batch_remove(twice)
    for (_, name), block in whole.items():
        block.name = name


def _work(job: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    """Make the library of a job; fills ``job["gone"]``."""
    target, capture_id = Path(job["target"]), job["capture"]
    former: dict[Key, Entry] = {}
    if target.exists():
        yield 0.0, "what is there"
        check(target)
        for fraction in reading(target, capture_id, former):
            yield 0.4 * fraction, "what is there"
    for fraction in gather(job["chunks"]):
        yield 0.4 + 0.4 * fraction, "objects"
    blocks = set()
    for one in job["assets"]:
        item = bpy.data.objects[one["name"]]
        if item.asset_data is None:
            item.asset_mark()
        key = tuple(one["key"])
        describe(item.asset_data, Described(one["fields"], one["tags"]), former.get(key), capture_id, key)
        its = [bpy.data.objects[name] for name in one["parts"]]
        if its:
            item[PARTS] = {part.name: part for part in its}
        blocks |= {item, *its}
    yield 0.8, f"{len(job['assets'])} assets"
    write(target, blocks, Path(job["temporary"]), job["catalogues"])
    keys = {tuple(one["key"]) for one in job["assets"]}
    job["gone"].extend(entry.name for key, entry in former.items() if key not in keys)


def main(path: str) -> None:
    """Do a job in a Blender of its own."""
    job = json.loads(Path(path).read_text(encoding="utf-8")) | {"gone": []}
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with open(job["said"], "w", encoding="utf-8") as said:
        try:
            for fraction, text in _work(job):
                print(json.dumps({"fraction": fraction, "text": text}), file=said, flush=True)
        except LibraryError as error:
            print(json.dumps({"error": str(error)}), file=said, flush=True)
        except OSError as error:
            print(json.dumps({"system": error.strerror or str(error)}), file=said, flush=True)
        else:
            print(json.dumps({"gone": job["gone"]}), file=said, flush=True)


if __name__ == "__main__":
    main(sys.argv[-1])
