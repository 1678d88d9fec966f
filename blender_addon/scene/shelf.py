"""What is on an asset in a library's file, and what of it a person changed since Clickfield wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bpy

from .upkeep import Key, key_of

WROTE = "clickfield_wrote"  # custom property of an asset's metadata: JSON of what Clickfield wanted it to say
NO_CATALOGUE = "00000000-0000-0000-0000-000000000000"
EMPTY = ("", NO_CATALOGUE)


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


FIELDS = ("author", "license", "description", "copyright", "catalog_id")


AT_A_TIME = 64  # assets that are read in one step; after each Blender draws all that is shown anew


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
            own = item.clickfield
            if own.role != "OBJECT" or own.capture_id != capture_id:
                foreign.append(item.name)
            else:
                entries[key_of(item)] = _entry(item)
        for library in set(bpy.data.libraries) - known:
            bpy.data.libraries.remove(library)
        yield min((start + AT_A_TIME) / len(names), 1.0)
    if foreign:
        listed = ", ".join(foreign[:3]) + (" and more" if len(foreign) > 3 else "")
        raise LibraryError(
            f"{target.name} holds assets that are not of this scan ({listed}); move them to another file first."
        )


def _entry(item: bpy.types.Object) -> Entry:
    asset = item.asset_data
    try:
        said = json.loads(asset.get(WROTE, "{}"))
    except ValueError:  # somebody has written into it: then all of it counts as theirs
        said = {}
    return Entry(
        item.name,
        {name: getattr(asset, name) for name in FIELDS},
        [tag.name for tag in asset.tags],
        Described(said.get("fields", {}), said.get("tags", [])),
    )


def describe(asset: bpy.types.AssetMetaData, now: Described, former: Entry | None) -> None:
    """Write metadata. What the person has set on the object in the scene counts most, then what was changed in the
    file, then what is wanted now; what was given an earlier time is not erased by nothing.

    Args:
        former: the same asset as it is in the file, if it is there.
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
    asset[WROTE] = json.dumps({"fields": now.fields, "tags": now.tags})
