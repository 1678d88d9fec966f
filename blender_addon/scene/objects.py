"""Separated things as Blender objects, in collections that mirror the label tree.

Each object stands on its own origin (the centre of its foot) along its own axes, has its real size, the photos as a
texture or as colours of its points, and knows its capture, label and instance by ids. Made again it is updated in
place: `upkeep` says what stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from . import facts, linked, parts, pixels, scan, textures, upkeep
from .collections import Folders, new_root, results_collection

REPORT = "clickfield_report"  # custom property of the top collection: what was left out, one sentence per line
REVISION = "clickfield_revision"  # custom property of the same: of the labels and marks that they were made of


@dataclass(frozen=True)
class Wanted:
    """What is made of each thing beside its mesh."""

    levels: bool = False
    naming: str = "UNREAL"  # of collision hulls, a key of `parts.HULL_NAMES`


@dataclass(frozen=True)
class _Prepared:
    """One thing, as far as a thread can make it."""

    surface: scan.Topology
    confidence: np.ndarray
    observed: np.ndarray  # (n,) float32
    uv: np.ndarray | None
    png: bytes | None
    preview: np.ndarray
    hulls: list[parts.Hull]


def build_objects(
    scene: bpy.types.Scene,
    capture_id: str,
    things: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray],
    wanted: Wanted,
) -> Iterator[bool]:
    """Make or update one object per thing, and remove former ones that are no more; yields between slices, True when
    it must wait.

    Args:
        things, arrays: as the backend's ``separate`` answers.
    """
    root = results_collection(scene, capture_id) or new_root(scene, capture_id)
    former = upkeep.originals(_ours(scene, capture_id))
    placement = upkeep.in_world(scan.find_scan(scene, capture_id))
    colors = {node.uid: tuple(node.color) for node in scene.clickfield.labels}
    folders = Folders(root, scene)
    plain = _plain_material(scene, capture_id)
    yield False
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(_prepare, things[0], arrays, 0) if things else None
        for index, thing in enumerate(things):
            while not coming.done():
                yield True
            made = coming.result()
            coming = _next(pool, things, arrays, index + 1)
            item = former.pop((thing["label"], thing["instance"]), None)
            mesh = bpy.data.meshes.new(thing["name"])
            yield from _fill(mesh, made, thing["label"], colors)
            materials = list(item.data.materials) if item else []
            folder = folders.of(thing["label"])
            item = item or _new_object(thing, capture_id, folder)
            upkeep.name(item, thing["name"])
            textures.dress(mesh, item.name, made.png, materials, plain)
            upkeep.exchange_mesh(item, mesh)
            linked.forget_own(item)
            textures.drop_unused([one for one in materials if one != plain])
            upkeep.place(item, upkeep.from_object(thing), placement)
            facts.write(item, thing["report"])
            yield False
            parts.drop_parts([item])
            parts.build_hulls(root, item, made.hulls, wanted.naming)
            if wanted.levels:
                parts.build_levels(root, item)
            set_preview(item, made.preview)
            yield False
    _remove(former.values(), plain)
    textures.drop_unused([plain])
    folders.drop_empty()
    parts.drop_empty(root)


def _next(pool: ThreadPoolExecutor, things: Sequence[Mapping], arrays: Mapping, index: int) -> Future | None:
    return pool.submit(_prepare, things[index], arrays, index) if index < len(things) else None


def _prepare(thing: Mapping[str, Any], arrays: Mapping[str, np.ndarray], index: int) -> _Prepared:
    own = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"o{index}.")}
    return _Prepared(
        scan.topology(own["positions"], own["faces"], own["colors"]),
        own["confidence"],
        own["observed"].astype(np.float32) / 255,
        own.get("uv"),
        pixels.png(own["texture"]) if "texture" in own else None,
        own["preview"],
        [(own[f"hull{k}.positions"], own[f"hull{k}.faces"]) for k in range(thing["hulls"])],
    )


def _fill(mesh: bpy.types.Mesh, made: _Prepared, label: int, colors: Mapping[int, Any]) -> Iterator[bool]:
    """Write surface, colours, attributes and UV map into a mesh that no object shows."""
    for _ in scan.fill(mesh, made.surface):
        yield False
    labels = np.full(len(made.surface.positions), label, dtype=np.uint16)
    scan.paint(mesh, labels, made.confidence, made.surface.colors, colors)
    scan.attribute(mesh, facts.OBSERVED, "FLOAT").foreach_set("value", made.observed)
    scan.show_colors(mesh, scan.PHOTO)
    if made.uv is not None:
        textures.write_uv(mesh, made.uv)
    yield False


def _new_object(thing: Mapping[str, Any], capture_id: str, folder: bpy.types.Collection) -> bpy.types.Object:
    item = bpy.data.objects.new(thing["name"], bpy.data.meshes.new(thing["name"]))
    own = item.clickfield
    own.role, own.capture_id = "OBJECT", capture_id
    own.label, own.instance, own.given_name = thing["label"], thing["instance"], item.name
    folder.objects.link(item)
    return item


def _plain_material(scene: bpy.types.Scene, capture_id: str) -> bpy.types.Material:
    """The one material of points' colours that the capture's objects share."""
    for item in [*separated_objects(scene, capture_id), *_of_role(scene, capture_id, "FILLED")]:
        for material in item.data.materials:
            if material is not None and material.get(textures.MADE) == textures.COLORS:
                return material
    return textures.colors_material(f"{scene.clickfield.capture_name or 'Scan'} Objects")


def build_filled(
    scene: bpy.types.Scene, capture_id: str, filled: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Iterator[bool]:
    """Make or update the scan without its things; yields between slices, True when it must wait.

    Args:
        filled, arrays: as the backend's ``separate`` answers: ``name``, and ``filled.positions`` in scene metres.
    """
    root = results_collection(scene, capture_id) or new_root(scene, capture_id)
    names = ("positions", "faces", "colors")
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(scan.topology, *(arrays[f"filled.{name}"] for name in names))
        while not coming.done():
            yield True
        mesh = bpy.data.meshes.new(filled["name"])
        for _ in scan.fill(mesh, coming.result()):
            yield False
    observed = arrays["filled.observed"].astype(np.float32) / 255
    scan.attribute(mesh, facts.OBSERVED, "FLOAT").foreach_set("value", observed)
    item = find_filled(scene, capture_id)
    former = list(item.data.materials) if item else []
    if item is None:
        item = bpy.data.objects.new(filled["name"], bpy.data.meshes.new(filled["name"]))
        item.clickfield.role, item.clickfield.capture_id = "FILLED", capture_id
        item.clickfield.given_name = item.name
        item.hide_viewport = True  # floor and walls are objects too; both at once would flicker
        root.objects.link(item)
    upkeep.name(item, filled["name"])
    plain = _plain_material(scene, capture_id)
    textures.dress(mesh, item.name, None, former, plain)
    upkeep.exchange_mesh(item, mesh)
    textures.drop_unused([plain])
    upkeep.place(item, Matrix.Identity(4), upkeep.in_world(scan.find_scan(scene, capture_id)))
    yield False


def find_filled(scene: bpy.types.Scene, capture_id: str) -> bpy.types.Object | None:
    """The scan without its things, when it was made."""
    return next(iter(_of_role(scene, capture_id, "FILLED")), None)


def _of_role(scene: bpy.types.Scene, capture_id: str, role: str) -> list[bpy.types.Object]:
    return [
        item
        for item in scene.objects
        if item.type == "MESH" and item.clickfield.role == role and item.clickfield.capture_id == capture_id
    ]


def separated_objects(scene: bpy.types.Scene, capture_id: str) -> list[bpy.types.Object]:
    """The separated objects of a capture, in the order of the tree, then by instance."""
    order = {node.uid: index for index, node in enumerate(scene.clickfield.labels)}
    found = _of_role(scene, capture_id, "OBJECT")
    return sorted(found, key=lambda item: (order.get(item.clickfield.label, len(order)), item.clickfield.instance))


def _ours(scene: bpy.types.Scene, capture_id: str) -> list[bpy.types.Object]:
    return upkeep.ours(scene, capture_id, separated_objects(scene, capture_id))


def known_objects(scene: bpy.types.Scene, capture_id: str) -> list[dict[str, Any]]:
    """Label, instance and centre of the objects that are there: what keeps numbers as they are."""
    mine = _ours(scene, capture_id)
    return upkeep.known([*mine, *(item for item in separated_objects(scene, capture_id) if item not in mine)])


def keep_report(scene: bpy.types.Scene, capture_id: str, result: Mapping[str, Any]) -> None:
    """Keep what the backend said beside the objects: ``objects``, ``crumbs`` {pieces, faces} and ``notes``."""
    root = results_collection(scene, capture_id)
    closed = sum(thing["report"]["closed"] for thing in result["objects"])
    lines = [f"{len(result['objects'])} objects, {closed} of them closed"]
    if result["crumbs"]["pieces"]:
        lines.append(f"{result['crumbs']['pieces']} crumbs left out ({result['crumbs']['faces']} faces).")
    root[REPORT] = "\n".join([*lines, *result["notes"]])


def keep_revision(scene: bpy.types.Scene, capture_id: str, revision: int) -> None:
    """Keep which state of labels and marks the objects were made of."""
    results_collection(scene, capture_id)[REVISION] = revision


def is_outdated(scene: bpy.types.Scene, capture_id: str) -> bool:
    """Whether labels or marks were changed since the objects were made."""
    root = results_collection(scene, capture_id)
    return root is not None and root.get(REVISION, scene.clickfield.revision) != scene.clickfield.revision


def report_lines(scene: bpy.types.Scene, capture_id: str) -> list[str]:
    """What the last separation said, for the panel."""
    root = results_collection(scene, capture_id)
    return str(root.get(REPORT, "")).splitlines() if root else []


def _remove(items: Iterable[bpy.types.Object], plain: bpy.types.Material) -> None:
    """Remove separated objects with all that belongs to them and to nobody else, but for one material."""
    items = list(items)
    parts.drop_parts(items)
    for item in items:
        mesh = item.data
        materials = list(mesh.materials)
        bpy.data.objects.remove(item)
        if not mesh.users:
            bpy.data.meshes.remove(mesh)
        textures.drop_unused([one for one in materials if one != plain])


def set_preview(item: bpy.types.Object, picture: np.ndarray) -> None:
    """Give an object its picture: (h, w, 4) uint8 RGBA, top row first."""
    height, width = picture.shape[:2]
    preview = item.preview_ensure()
    preview.image_size = (width, height)
    rows = np.ascontiguousarray(picture[::-1], dtype=np.float32) / 255
    preview.image_pixels_float.foreach_set(rows.ravel())


def label_path(scene: bpy.types.Scene, uid: int) -> list[str]:
    """Names from the root of the tree down to a label; empty for a label that is not there."""
    nodes = {node.uid: (node.name, node.parent) for node in scene.clickfield.labels}
    names: list[str] = []
    while uid in nodes and len(names) <= len(nodes):
        name, uid = nodes[uid]
        names.insert(0, name)
    return names
