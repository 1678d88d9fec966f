"""Separated objects as an asset library: a .blend of marked objects, catalogues that mirror the tree, previews.

The person's own scene stays as it was: objects are marked for the time of writing only, unless they were assets
before; then what the person set on them is kept.
"""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import bpy

from . import objects, parts, shelf, upkeep
from .shelf import LibraryError

CATALOGUES = "blender_assets.cats.txt"
NAMESPACE = uuid.UUID("7a1c7c0e-3d0b-5f55-9a43-6c69636b6664")
HEADER = "# This is an Asset Catalog Definition file for Blender.\n#\n# UUID:catalog/path:simple name\n\nVERSION 1\n\n"
SIZES = ((0.3, "S"), (1.0, "M"), (2.0, "L"))  # metres of the longest side; above the last: XL
PARTS = "scan_parts"  # custom property of assets with levels of detail or hulls: those, by name
SHORT_NAME = 63  # bytes that Blender keeps of a catalogue's simple name


@dataclass(frozen=True)
class Credits:
    """What is stored with every asset where the person has not written something else."""

    author: str = ""
    licence: str = ""
    description: str = ""  # empty: what the thing is, its size, and the capture
    copyright: str = ""


@dataclass
class Saved:
    """What became of a library."""

    target: Path = Path()
    names: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)  # names of assets without a picture
    gone: list[str] = field(default_factory=list)  # of assets that were in the file and are no longer in the scene


def saving(
    scene: bpy.types.Scene, capture_id: str, directory: Path, credits: Credits, saved: Saved
) -> Iterator[tuple[float, str]]:
    """Write a capture's separated objects to ``<directory>/<capture name>.blend`` with their catalogues, in steps.

    What a person has changed on assets of that file stays: author, license, description, copyright, catalogue, tags
    added and tags taken away. Levels of detail and collision hulls are in the file too, and come along with an asset.
    Yields how far it is, 0 to 1, and what is done next. All writing is one step: Blender has no smaller one.

    Args:
        saved: filled in the last step.

    Raises:
        LibraryError: there is nothing to save, or the folder or a file in it cannot be used.
    """
    items = objects.separated_objects(scene, capture_id)
    if not items:
        raise LibraryError("There are no separated objects to save; separate the scan first.")
    target = directory / f"{file_stem(scene.clickfield.capture_name)}.blend"
    former: dict[upkeep.Key, shelf.Entry] = {}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if target.exists():
            yield 0.0, "what is there"
            _check_target(target)
            for fraction in shelf.reading(target, capture_id, former):
                yield 0.1 + 0.6 * fraction, "what is there"
        yield 0.8, f"{len(items)} assets"
        paths = {item.clickfield.label: catalogue_path(scene, item.clickfield.label) for item in items}
        write_catalogues(directory, [path for path in paths.values() if path])
        with _marked(items), _with_parts(items) as blocks:
            for item in items:
                described = _described(scene, item, paths[item.clickfield.label], credits)
                shelf.describe(item.asset_data, described, former.get(upkeep.key_of(item)))
            _write(target, blocks)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LibraryError(f"The asset library cannot be written to {directory} ({reason}); choose another.") from error
    here = {upkeep.key_of(item) for item in items}
    saved.target, saved.names = target, [item.name for item in items]
    saved.plain = [item.name for item in items if not has_preview(item)]
    saved.gone = [entry.name for key, entry in former.items() if key not in here]


def file_stem(name: str) -> str:
    """A capture's name as a file name that every system accepts."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(". ")[:100] or "Clickfield"


def has_preview(item: bpy.types.Object) -> bool:
    """Whether an object carries a picture."""
    return item.preview is not None and min(item.preview.image_size) > 0


def catalogue_path(scene: bpy.types.Scene, uid: int) -> str:
    """``Furniture/Chair`` of a label, without what catalogue paths must not contain; empty for an unknown label."""
    parts = (re.sub(r"[/\\:\x00-\x1f]+", "-", name).strip() for name in objects.label_path(scene, uid))
    return "/".join(part for part in parts if part)


def catalogue_id(path: str) -> str:
    """The same id for the same path, so that saving again adds to the same catalogue."""
    return str(uuid.uuid5(NAMESPACE, path))


def write_catalogues(directory: Path, paths: Sequence[str]) -> None:
    """Add catalogues and those above them to the folder's definition file; every line that is there stays.

    Raises:
        LibraryError: the file is not one that this version of the format describes. OSError: it cannot be written.
    """
    target = directory / CATALOGUES
    text = HEADER
    if target.exists():
        try:
            text = target.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise LibraryError(f"{target} is not a catalogue file (not UTF-8); move it away first.") from error
        versions = re.findall(r"^VERSION\s+(\S+)", text, re.MULTILINE)
        if versions != ["1"]:
            raise LibraryError(f"{target} is not a catalogue file of version 1; move it away first.")
    known = {line.partition(":")[0].strip().lower() for line in text.splitlines()}
    wanted = {"/".join(parts[: n + 1]) for parts in (path.split("/") for path in paths) for n in range(len(parts))}
    lines = [
        f"{catalogue_id(path)}:{path}:{_short(path.replace('/', '-'))}\n"
        for path in sorted(wanted)
        if catalogue_id(path) not in known
    ]
    if lines or not target.exists():
        _replace(target, text + ("" if text.endswith("\n") else "\n") + "".join(lines))


def _short(name: str) -> str:
    return name.encode()[:SHORT_NAME].decode(errors="ignore")


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


def _check_target(target: Path) -> None:
    """A file of that name must be a library; a scene that somebody works in is never replaced."""
    if not target.exists():
        return
    if bpy.data.filepath and os.path.realpath(bpy.data.filepath) == os.path.realpath(target):
        raise LibraryError(f"{target.name} in this folder is the file that is open; choose another folder.")
    try:
        with bpy.data.libraries.load(str(target)) as (content, _):
            scenes, everything = list(content.scenes), set(content.objects)
        with bpy.data.libraries.load(str(target), assets_only=True) as (content, _):
            assets = set(content.objects)
    except OSError as error:  # not a .blend
        raise LibraryError(f"{target} is there already and is not a Blender file; choose another folder.") from error
    # Blender gives a library that somebody opened and saved an empty scene.
    if scenes and not all(parts.is_name_of_part(name, assets) for name in everything - assets):
        raise LibraryError(f"{target.name} in this folder holds a scene, not only assets; choose another folder.")


def _write(target: Path, blocks: set[bpy.types.Object]) -> None:
    """One call of Blender's, which takes a third of the time without compression."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".clickfield", suffix=".blend")
    os.close(handle)
    try:
        try:
            bpy.data.libraries.write(temporary, blocks, path_remap="RELATIVE", fake_user=True)
        except RuntimeError as error:
            raise LibraryError(f"Blender cannot write {target}: {error}") from error
        os.chmod(temporary, target.stat().st_mode if target.exists() else 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def _marked(items: Sequence[bpy.types.Object]):
    """Objects are assets inside, and what they were before outside."""
    fresh = [(item, item.use_fake_user) for item in items if item.asset_data is None]
    try:
        for item, _ in fresh:
            item.asset_mark()
        yield
    finally:
        for item, kept in fresh:
            item.asset_clear()
            item.use_fake_user = kept


@contextmanager
def _with_parts(items: Sequence[bpy.types.Object]) -> Iterator[set[bpy.types.Object]]:
    """What is to be written: inside, objects point at their levels of detail and hulls, so that who links or appends
    an object gets them too. Nothing else does that for children."""
    blocks, pointing = set(items), []
    try:
        for item in items:
            its = [part for role in parts.FOLDERS for part in parts.parts_of(item, role)]
            if its:
                item[PARTS] = {part.name: part for part in its}
                pointing.append(item)
                blocks.update(its)
        yield blocks
    finally:
        for item in pointing:
            del item[PARTS]


def _described(scene: bpy.types.Scene, item: bpy.types.Object, path: str, credits: Credits) -> shelf.Described:
    capture = scene.clickfield.capture_name
    lengths = upkeep.size(item)
    size = " x ".join(f"{length:.2f}" for length in lengths)
    name = path.rpartition("/")[2] or item.name
    fields = {
        "author": credits.author,
        "license": credits.licence,
        "description": credits.description or f"{name}, {size} m, separated from the scan {capture}",
        "copyright": credits.copyright,
        "catalog_id": catalogue_id(path) if path else shelf.NO_CATALOGUE,
    }
    tags = [tag for tag in (*path.split("/"), size_class(max(lengths)), capture) if tag]
    return shelf.Described(fields, tags)


def size_class(longest: float) -> str:
    """S, M, L or XL, from the longest side in metres."""
    return next((name for limit, name in SIZES if longest < limit), "XL")


def register_library(preferences: bpy.types.Preferences, directory: Path) -> bool:
    """Add the folder to the asset libraries of the preferences unless it is one already; was it added?"""
    known = preferences.filepaths.asset_libraries
    place = os.path.normcase(os.path.realpath(directory))
    if any(os.path.normcase(os.path.realpath(bpy.path.abspath(entry.path))) == place for entry in known):
        return False
    known.new(name=directory.name or "Clickfield", directory=str(directory))
    preferences.is_dirty = True  # saved by Blender on exit when the person lets it save preferences
    return True
