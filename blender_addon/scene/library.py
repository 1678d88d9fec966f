"""Separated objects as an asset library: a .blend of marked objects, catalogues that mirror the tree, previews.

In a window the library is written by a Blender of its own in the background (`shelf`), since writing many textures
would hold up the one that it runs in; without a window, here and at once. The person's own scene stays as it was:
objects are marked for the time of writing only, unless they were assets before; then what the person set on them is
kept.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from . import another_blender, objects, parts, shelf, upkeep
from .shelf import LibraryError

NAMESPACE = uuid.UUID("7a1c7c0e-3d0b-5f55-9a43-6c69636b6664")
HEADER = "# This is an Asset Catalog Definition file for Blender.\n#\n# UUID:catalog/path:simple name\n\nVERSION 1\n\n"
SIZES = ((0.3, "S"), (1.0, "M"), (2.0, "L"))  # metres of the longest side; above the last: XL
SHORT_NAME = 63  # bytes that Blender keeps of a catalogue's simple name
PORTION = 8 << 20  # bytes that are handed to another Blender in one step
POINT, BARE = 170, 500_000  # bytes: about what a point of a mesh takes in a file, and what anything does


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
    scene: bpy.types.Scene, capture_id: str, directory: Path, credits: Credits, saved: Saved, aside: bool = False
) -> Iterator[tuple[float, str]]:
    """Write a capture's separated objects to ``<directory>/<capture name>.blend`` with their catalogues, in steps.

    What a person has changed on assets of that file stays: author, license, description, copyright, catalogue, tags
    added and tags taken away. Levels of detail and collision hulls are in the file too, and come along with an asset.
    Yields how far it is, 0 to 1, and what is done next.

    Args:
        saved: filled in the last step.
        aside: let another Blender write the library, which ends when the generator is closed; it is handed the objects
            a few at a time. Otherwise all writing is one step.

    Raises:
        LibraryError: there is nothing to save, the folder or a file in it cannot be used, or no other Blender starts.
    """
    items = objects.separated_objects(scene, capture_id)
    if not items:
        raise LibraryError("There are no separated objects to save; separate the scan first.")
    target = directory / f"{file_stem(scene.clickfield.capture_name)}.blend"
    if bpy.data.filepath and os.path.realpath(bpy.data.filepath) == os.path.realpath(target):
        raise LibraryError(f"{target.name} in this folder is the file that is open; choose another folder.")
    order = _Order(scene, capture_id, target, credits, items)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if aside:
            gone = yield from _aside(order)
        else:
            gone = yield from _here(order)
    except OSError as error:
        raise _unwritable(target, error.strerror or str(error)) from error
    saved.target, saved.names = target, [item.name for item in items]
    saved.plain = [item.name for item in items if not has_preview(item)]
    saved.gone = gone


@dataclass(frozen=True)
class _Order:
    """What is to be written where."""

    scene: bpy.types.Scene
    capture_id: str
    target: Path
    credits: Credits
    items: list[bpy.types.Object]

    def catalogues(self) -> str | None:
        """The new text of the catalogue file; None when it stays as it is."""
        paths = [catalogue_path(self.scene, item.clickfield.label) for item in self.items]
        return catalogue_text(self.target.parent, [path for path in paths if path])

    def temporary(self) -> Path:
        """A path beside the target that nothing has yet."""
        return self.target.with_name(f".clickfield{uuid.uuid4().hex[:8]}.blend")

    def described(self, item: bpy.types.Object) -> shelf.Described:
        """What is to be said of an asset."""
        capture, path = self.scene.clickfield.capture_name, catalogue_path(self.scene, item.clickfield.label)
        lengths = upkeep.size(item)
        size = " x ".join(f"{length:.2f}" for length in lengths)
        name = path.rpartition("/")[2] or item.name
        fields = {
            "author": self.credits.author,
            "license": self.credits.licence,
            "description": self.credits.description or f"{name}, {size} m, separated from the scan {capture}",
            "copyright": self.credits.copyright,
            "catalog_id": catalogue_id(path) if path else shelf.NO_CATALOGUE,
        }
        tags = [tag for tag in (*path.split("/"), size_class(max(lengths)), capture) if tag]
        return shelf.Described(fields, tags)


def _here(order: _Order) -> Iterator[tuple[float, str]]:
    """Write it in this Blender; returns the names of assets that are no longer there."""
    former: dict[shelf.Key, shelf.Entry] = {}
    if order.target.exists():
        yield 0.0, "what is there"
        shelf.check(order.target)
        for fraction in shelf.reading(order.target, order.capture_id, former):
            yield 0.1 + 0.6 * fraction, "what is there"
    yield 0.8, f"{len(order.items)} assets"
    with _marked(order.items), _with_parts(order.items) as blocks:
        for item in order.items:
            key = upkeep.key_of(item)
            shelf.describe(item.asset_data, order.described(item), former.get(key), order.capture_id, key)
        shelf.write(order.target, blocks, order.temporary(), order.catalogues())
    here = {upkeep.key_of(item) for item in order.items}
    return [entry.name for key, entry in former.items() if key not in here]


def _aside(order: _Order) -> Iterator[tuple[float, str]]:
    """Hand the objects to another Blender and let it write them; returns what `_here` does."""
    catalogues, temporary = order.catalogues(), order.temporary()
    with tempfile.TemporaryDirectory(prefix="clickfield-library-") as folder:
        chunks, assets = [], []
        for some in _portions(order.items):
            yield 0.3 * len(assets) / len(order.items), some[0].name
            chunks.append(str(Path(folder, f"{len(chunks)}.blend")))
            blocks = {*some, *(part for item in some for part in _parts(item))}
            bpy.data.libraries.write(chunks[-1], blocks, path_remap="ABSOLUTE")
            assets += [_told(order, item) for item in some]
        job, said = Path(folder, "job.json"), Path(folder, "said.jsonl")
        told = {"target": str(order.target), "temporary": str(temporary), "capture": order.capture_id}
        told |= {"said": str(said), "catalogues": catalogues, "chunks": chunks, "assets": assets}
        job.write_text(json.dumps(told), encoding="utf-8")
        child = another_blender.start(str(shelf.__file__), job, Path(folder, "log.txt"))
        try:
            while True:
                ended, last = child.poll() is not None, (another_blender.lines(said) or [{}])[-1]
                if "error" in last:
                    raise LibraryError(last["error"])
                if "system" in last:
                    raise _unwritable(order.target, last["system"])
                if ended and "gone" in last:  # to end takes it a while too
                    return last["gone"]
                if ended:
                    raise LibraryError("The Blender that writes the library ended before it was done; try it again.")
                yield 0.3 + 0.7 * last.get("fraction", float("gone" in last)), last.get("text", "assets")
        finally:
            child.kill()
            child.wait()
            temporary.unlink(missing_ok=True)


def _told(order: _Order, item: bpy.types.Object) -> dict[str, Any]:
    """What the other Blender must know of an asset."""
    said = order.described(item)
    its = {"name": item.name, "key": upkeep.key_of(item), "parts": [part.name for part in _parts(item)]}
    return its | {"fields": said.fields, "tags": said.tags}


def _portions(items: Sequence[bpy.types.Object]) -> Iterator[list[bpy.types.Object]]:
    """Objects in groups that are written in a few hundredths of a second each."""
    some, size = [], 0
    for item in items:
        its = POINT * len(item.data.vertices) + sum(
            image.packed_file.size for image in _pictures(item.data.materials) if image.packed_file is not None
        )
        if some and size + its > PORTION:
            yield some
            some, size = [], 0
        some, size = [*some, item], size + its + BARE
    yield some


def _pictures(materials: Sequence[bpy.types.Material | None]) -> set[bpy.types.Image]:
    trees = [material.node_tree for material in materials if material is not None and material.node_tree]
    return {node.image for tree in trees for node in tree.nodes if node.type == "TEX_IMAGE" and node.image is not None}


def _unwritable(target: Path, reason: str) -> LibraryError:
    return LibraryError(f"The asset library cannot be written to {target.parent} ({reason}); choose another.")


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


def catalogue_text(directory: Path, paths: Sequence[str]) -> str | None:
    """The folder's definition file with catalogues and those above them added; every line that is there stays.

    None when nothing is to be added.

    Raises:
        LibraryError: the file is not one that this version of the format describes. OSError: it cannot be read.
    """
    target = directory / shelf.CATALOGUES
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
    if not lines and target.exists():
        return None
    return text + ("" if text.endswith("\n") else "\n") + "".join(lines)


def _short(name: str) -> str:
    return name.encode()[:SHORT_NAME].decode(errors="ignore")


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
            its = _parts(item)
            if its:
                item[shelf.PARTS] = {part.name: part for part in its}
                pointing.append(item)
                blocks.update(its)
        yield blocks
    finally:
        for item in pointing:
            del item[shelf.PARTS]


def _parts(item: bpy.types.Object) -> list[bpy.types.Object]:
    return [part for role in parts.FOLDERS for part in parts.parts_of(item, role)]


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
