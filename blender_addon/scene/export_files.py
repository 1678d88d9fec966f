"""Writes files of other programs, one per object, out of a list of what goes into each.

Used inside Blender, and as a program of a Blender of its own, so that the person's goes on drawing meanwhile:
``blender --background --factory-startup --python export_files.py -- JOB.json``. The job names a .blend with the
objects, what `write` wants to know of each file, and a file to which a line of JSON is added for each that was begun
(``{"file": n}``), and for each that failed (``{"file": n, "failed": reason}``).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix

GLTF = "io_scene_gltf2"  # Blender's add-on


def write(entry: dict[str, Any]) -> None:
    """Write one file; it is moved into place when it is whole.

    Args:
        entry: ``target`` path; ``format`` GLB, GLTF or OBJ; ``name`` of the object; ``placed`` 16 numbers, where it
            stands in the file; ``levels`` parts of the faces of _LOD0, _LOD1, ..., or none for the object itself;
            ``hulls`` [{name, placed}]; ``renamed`` [attribute, name in the file]; ``scratch`` how the names of
            temporary folders beside it begin.

    Raises:
        OSError, RuntimeError: the file cannot be written.
    """
    target = Path(entry["target"])
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=entry["scratch"]))
    try:
        with _stage(entry) as scene, bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
            if entry["format"] == "OBJ":
                _write_obj(folder / target.name, scene)
            else:
                _write_gltf(folder / target.name, entry["format"], scene)
        written = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in sorted(written, key=lambda path: path.name == target.name):  # what others point at comes first
            os.replace(path, target.parent / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reason(error: Exception) -> str:
    """Why a file could not be written."""
    return getattr(error, "strerror", None) or str(error).strip()


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
def _stage(entry: dict[str, Any]) -> Iterator[bpy.types.Scene]:
    """A scene that holds copies of an object and what belongs to it, under their own names, and nothing else."""
    item = _local(entry["name"])
    hulls = [(_local(hull["name"]), _matrix(hull["placed"])) for hull in entry["hulls"]]
    names = {one: (one.name, one.data.name) for one in (item, *(hull for hull, _ in hulls))}
    scene = bpy.data.scenes.new("Export")
    before = set(bpy.data.meshes)
    try:
        for one in names:
            one.name = one.data.name = f"~{one.name}"
        if entry["levels"]:
            _add_levels(scene, item, names[item][0], entry)
        else:
            _copy(scene, item, names[item][0], _matrix(entry["placed"]), entry["renamed"])
        for hull, placed in hulls:
            _copy(scene, hull, names[hull][0], placed, entry["renamed"])
        yield scene
    finally:
        bpy.data.batch_remove([*scene.objects])
        bpy.data.batch_remove([mesh for mesh in bpy.data.meshes if mesh not in before])
        bpy.data.scenes.remove(scene)
        for one, (name, mesh_name) in names.items():
            one.name, one.data.name = name, mesh_name


def _local(name: str) -> bpy.types.Object:
    """An object of this file, not of one that is linked. Raises RuntimeError when it is gone."""
    found = bpy.data.objects.get((name, None))
    if found is None:
        raise RuntimeError("it is not there any more")
    return found


def _matrix(numbers: Sequence[float]) -> Matrix:
    return Matrix([numbers[row * 4 : row * 4 + 4] for row in range(4)])


def _add_levels(scene: bpy.types.Scene, item: bpy.types.Object, name: str, entry: dict[str, Any]) -> None:
    """Each level is made out of the one before: that takes a third of the time."""
    source, former = item, 1.0
    for number, ratio in enumerate(entry["levels"]):
        level = _copy(scene, source, f"{name}_LOD{number}", _matrix(entry["placed"]), entry["renamed"])
        if ratio < former:
            level.modifiers.new("Decimate", "DECIMATE").ratio = ratio / former
            _apply(scene, level)
        source, former = level, ratio


def _apply(scene: bpy.types.Scene, item: bpy.types.Object) -> None:
    """Give an object the mesh that its modifiers make: an exporter would let them work twice."""
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        graph = bpy.context.evaluated_depsgraph_get()
        made = bpy.data.meshes.new_from_object(
            item.evaluated_get(graph), preserve_all_data_layers=True, depsgraph=graph
        )
    former, name = item.data, item.data.name
    item.modifiers.clear()
    item.data = made
    bpy.data.meshes.remove(former)
    made.name = name


def _copy(
    scene: bpy.types.Scene, item: bpy.types.Object, name: str, placed: Matrix, renamed: Sequence[str]
) -> bpy.types.Object:
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
    attribute = copy.data.attributes.get(renamed[0])
    if attribute is not None:
        attribute.name = renamed[1]
    return copy


def main(path: str) -> None:
    """Do a job in a Blender of its own."""
    import addon_utils

    job = json.loads(Path(path).read_text(encoding="utf-8"))
    addon_utils.enable(GLTF)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(job["source"]) as (content, wanted):
        wanted.objects = list(content.objects)
    with open(job["said"], "w", encoding="utf-8") as said:
        for number, entry in enumerate(job["files"]):
            print(json.dumps({"file": number}), file=said, flush=True)
            try:
                write(entry)
            except (OSError, RuntimeError) as error:
                print(json.dumps({"file": number, "failed": reason(error)}), file=said, flush=True)
        print(json.dumps({"file": len(job["files"])}), file=said, flush=True)


if __name__ == "__main__":
    main(sys.argv[-1])
