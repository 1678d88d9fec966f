"""Separated objects as an asset library: a .blend of marked objects, catalogues that mirror the tree, previews.

The person's own scene stays as it was: objects are marked for the time of writing only, unless they were assets
before; then what the person set on them is kept.
"""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import bpy

from . import objects

CATALOGUES = "blender_assets.cats.txt"
NAMESPACE = uuid.UUID("7a1c7c0e-3d0b-5f55-9a43-6c69636b6664")
HEADER = "# This is an Asset Catalog Definition file for Blender.\n#\n# UUID:catalog/path:simple name\n\nVERSION 1\n\n"
NO_CATALOGUE = "00000000-0000-0000-0000-000000000000"
SIZES = ((0.3, "small"), (1.0, "medium"))  # metres of the longest side; above the last: large
SHORT_NAME = 63  # bytes that Blender keeps of a catalogue's simple name


class LibraryError(Exception):
    """One sentence that says why the library was not written."""


def save_library(
    scene: bpy.types.Scene, capture_id: str, directory: Path, author: str = "", licence: str = ""
) -> tuple[Path, list[str], list[str]]:
    """Write a capture's separated objects to ``<directory>/<capture name>.blend`` with their catalogues.

    Returns:
        The file, the names of its assets, and those among them that have no picture.

    Raises:
        LibraryError: there is nothing to save, or the folder or a file in it cannot be used.
    """
    items = objects.separated_objects(scene, capture_id)
    if not items:
        raise LibraryError("There are no separated objects to save; separate the scan first.")
    target = directory / f"{file_stem(scene.clickfield.capture_name)}.blend"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _check_target(target)
        paths = {item.clickfield.label: catalogue_path(scene, item.clickfield.label) for item in items}
        write_catalogues(directory, [path for path in paths.values() if path])
        with _marked(scene, items, paths, author, licence):
            _write(target, items)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LibraryError(f"The asset library cannot be written to {directory} ({reason}); choose another.") from error
    return target, [item.name for item in items], [item.name for item in items if not has_preview(item)]


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
            scenes = list(content.scenes)
    except OSError as error:  # not a .blend
        raise LibraryError(f"{target} is there already and is not a Blender file; choose another folder.") from error
    if scenes:
        raise LibraryError(f"{target.name} in this folder holds a scene, not only assets; choose another folder.")


def _write(target: Path, items: Sequence[bpy.types.Object]) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".clickfield", suffix=".blend")
    os.close(handle)
    try:
        try:
            bpy.data.libraries.write(temporary, set(items), path_remap="RELATIVE", fake_user=True, compress=True)
        except RuntimeError as error:
            raise LibraryError(f"Blender cannot write {target}: {error}") from error
        os.chmod(temporary, target.stat().st_mode if target.exists() else 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def _marked(
    scene: bpy.types.Scene, items: Sequence[bpy.types.Object], paths: dict[int, str], author: str, licence: str
):
    """Objects are assets inside, and what they were before outside."""
    fresh = [(item, item.use_fake_user) for item in items if item.asset_data is None]
    try:
        for item in items:
            item.asset_mark()
            _describe(scene, item, paths[item.clickfield.label], author, licence)
        yield
    finally:
        for item, kept in fresh:
            item.asset_clear()
            item.use_fake_user = kept


def _describe(scene: bpy.types.Scene, item: bpy.types.Object, path: str, author: str, licence: str) -> None:
    asset, capture = item.asset_data, scene.clickfield.capture_name
    if asset.catalog_id == NO_CATALOGUE and path:
        asset.catalog_id = catalogue_id(path)
    size = " x ".join(f"{length:.2f}" for length in item.dimensions)
    name = path.rpartition("/")[2] or item.name
    asset.description = asset.description or f"{name}, {size} m, separated from the scan {capture}"
    asset.author, asset.license = asset.author or author, asset.license or licence
    for tag in (*path.split("/"), size_class(max(item.dimensions)), capture):
        if tag:
            asset.tags.new(tag, skip_if_exists=True)


def size_class(longest: float) -> str:
    """small, medium or large, from the longest side in metres."""
    return next((name for limit, name in SIZES if longest < limit), "large")


def register_library(preferences: bpy.types.Preferences, directory: Path) -> bool:
    """Add the folder to the asset libraries of the preferences unless it is one already; was it added?"""
    known = preferences.filepaths.asset_libraries
    place = os.path.normcase(os.path.realpath(directory))
    if any(os.path.normcase(os.path.realpath(bpy.path.abspath(entry.path))) == place for entry in known):
        return False
    known.new(name=directory.name or "Clickfield", directory=str(directory))
    preferences.is_dirty = True  # saved by Blender on exit when the person lets it save preferences
    return True
