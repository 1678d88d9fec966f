"""Separated objects as files of other programs: one per object, in folders like the label tree.

An object is written standing on the origin along its own axes. Copies are written, in a scene of their own that is
gone afterwards; files are made in a temporary folder and moved into place when they are whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import bpy
from mathutils import Matrix

from . import facts, objects, parts, upkeep
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


def can_write(kind: str) -> bool:
    """Whether Blender's exporter of a format is there: that of glTF is an add-on, which can be switched off."""
    return kind == "OBJ" or "io_scene_gltf2" in bpy.context.preferences.addons


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
    scene: bpy.types.Scene, items: Sequence[bpy.types.Object], directory: Path, options: Options, outcome: Outcome
) -> Iterator[str]:
    """Write objects, one a step; yields the name of the one that comes next.

    Args:
        outcome: filled on the way; a file that cannot be written is kept there and the others go on.

    Raises:
        ExportError: Blender's exporter is switched off.
    """
    if not can_write(options.format):
        raise ExportError("Blender's add-on glTF 2.0 is switched off; enable it in the preferences.")
    for item, target in zip(items, targets(scene, items, directory, options.format), strict=True):
        yield item.name
        if options.hulls and not parts.parts_of(item, "HULL"):
            outcome.without_hulls.append(item.name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(item, target, options)
        except (OSError, RuntimeError) as error:
            outcome.failed.append(f"{item.name}: {getattr(error, 'strerror', None) or str(error).strip()}")
        else:
            outcome.files.append(target)


def _write(item: bpy.types.Object, target: Path, options: Options) -> None:
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=".clickfield"))
    try:
        with _stage(item, options) as scene, bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
            if options.format == "OBJ":
                _write_obj(folder / target.name, scene)
            else:
                _write_gltf(folder / target.name, options.format, scene)
        written = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in sorted(written, key=lambda path: path.name == target.name):  # what others point at comes first
            os.replace(path, target.parent / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_gltf(path: Path, kind: str, scene: bpy.types.Scene) -> None:
    """Pictures get the name of the file, so that no two objects of a folder write the same one."""
    pictures = sorted({image for item in scene.objects for image in _pictures(item.data.materials)}, key=_name)
    names = [image.name for image in pictures]
    try:
        for number, image in enumerate(pictures):
            image.name = f"{path.stem}_color{number or ''}"
        _call_gltf(path, kind, textured=bool(pictures))
    finally:
        for image, name in zip(pictures, names, strict=True):
            image.name = name


def _name(block: bpy.types.ID) -> str:
    return block.name


def _call_gltf(path: Path, kind: str, textured: bool) -> None:
    bpy.ops.export_scene.gltf(
        filepath=str(path),
        export_format="GLB" if kind == "GLB" else "GLTF_SEPARATE",
        use_active_scene=True,
        export_apply=True,
        export_attributes=True,
        export_extras=True,
        # Viewers multiply a texture by the colours of the points.
        export_vertex_color="NONE" if textured else "ACTIVE",
        export_animations=False,
    )


def _write_obj(path: Path, scene: bpy.types.Scene) -> None:
    """An .obj has its pictures beside it; those that are packed are written there, under the name of the .obj."""
    pictures = sorted({image for item in scene.objects for image in _pictures(item.data.materials)}, key=_name)
    packed = [(image, image.filepath_raw) for image in pictures if image.packed_file is not None]
    try:
        for number, (image, _) in enumerate(packed):
            place = path.with_name(f"{path.stem}{f' {number}' if number else ''}.png")
            place.write_bytes(image.packed_file.data)
            image.filepath_raw = str(place)
        mode = "STRIP" if len(packed) == len(pictures) else "COPY"
        bpy.ops.wm.obj_export(filepath=str(path), apply_modifiers=True, export_colors=not pictures, path_mode=mode)
    finally:
        for image, former in packed:
            image.filepath_raw = former


def _pictures(materials: Sequence[bpy.types.Material | None]) -> list[bpy.types.Image]:
    trees = [material.node_tree for material in materials if material is not None and material.node_tree]
    return [node.image for tree in trees for node in tree.nodes if node.type == "TEX_IMAGE" and node.image is not None]


@contextmanager
def _stage(item: bpy.types.Object, options: Options) -> Iterator[bpy.types.Scene]:
    """A scene that holds copies of an object and what belongs to it, under their own names, and nothing else."""
    hulls = parts.parts_of(item, "HULL") if options.hulls else []
    names = {one: (one.name, one.data.name) for one in (item, *hulls)}
    scene = bpy.data.scenes.new("Export")
    upright = Matrix.Diagonal((*upkeep.in_world(item).to_scale(), 1.0))
    try:
        for one in names:
            one.name = one.data.name = f"~{one.name}"
        if options.levels:
            for number, ratio in enumerate(parts.LEVELS):
                _copy(scene, item, f"{names[item][0]}_LOD{number}", upright, ratio)
        else:
            _copy(scene, item, names[item][0], upright)
        for hull in hulls:
            _copy(scene, hull, names[hull][0], upright @ parts.in_object(hull))
        yield scene
    finally:
        meshes = [one.data for one in scene.objects]
        bpy.data.batch_remove([*scene.objects])
        bpy.data.batch_remove(meshes)
        bpy.data.scenes.remove(scene)
        for one, (name, mesh_name) in names.items():
            one.name, one.data.name = name, mesh_name


def _copy(scene: bpy.types.Scene, item: bpy.types.Object, name: str, placed: Matrix, ratio: float = 1.0) -> None:
    """Put a copy into a scene, at a place of its own."""
    copy = item.copy()
    copy.data = item.data.copy()
    copy.name = copy.data.name = name
    copy.parent = None
    copy.matrix_basis = placed
    copy.hide_viewport = copy.hide_render = False
    copy.animation_data_clear()
    copy.constraints.clear()
    if "clickfield" in copy:  # before Blender 5.0 properties of add-ons are custom properties too
        del copy["clickfield"]
    scene.collection.objects.link(copy)
    if ratio < 1:
        copy.modifiers.new("Decimate", "DECIMATE").ratio = ratio
    observed = facts.read_observed(copy.data)
    if observed is not None:
        copy.data.attributes[facts.OBSERVED].name = WRITTEN_OBSERVED
