"""Things that are the same model: linked copies of one mesh, each at its own place.

Each object's own mesh stays in the file (kept alive by a fake user) and remembers its place in the scan and what is
known of it, so that the object can have it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from . import facts, parts, scan, textures, upkeep
from .collections import results_collection

OWN_MESH = "clickfield_own_mesh"  # custom property of a linked copy: the mesh that it had
MATCH = "scan_match_error"  # custom property of a linked copy: metres between it and the best seen one
REPORT = "clickfield_similar"  # custom property of the top collection: what the last search said, line by line


def request(items: Sequence[bpy.types.Object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and arrays (dtype, shape, bytes) of the backend's ``similar`` for separated objects."""
    said, arrays = [], {}
    for index, item in enumerate(items):
        mesh = item.data
        into_scan = upkeep.matrix(list(item[upkeep.TO_OBJECT])).inverted()
        said.append({"name": item.name, "label": item.clickfield.label, "matrix": upkeep.numbers_of(into_scan)})
        observed = facts.read_observed(mesh)
        seen = np.ones(len(mesh.vertices), np.float32) if observed is None else observed
        for name, array, kind in (
            ("positions", scan.read_positions(mesh), "f4"),
            ("faces", scan.read_faces(mesh), "i4"),
            ("observed", np.rint(255 * seen).astype(np.uint8), "u1"),
            ("colors", scan.read_photo(mesh), "u1"),
        ):
            arrays[f"o{index}.{name}"] = (kind, array.shape, np.ascontiguousarray(array))
    return {"objects": said}, arrays


def comparable(items: Sequence[bpy.types.Object]) -> list[bpy.types.Object]:
    """Those objects that have another one of their label to be compared with, and are triangles still."""
    able = [
        item
        for item in items
        if item.clickfield.label
        and upkeep.TO_OBJECT in item
        and len(item.data.polygons)
        and len(item.data.loops) == 3 * len(item.data.polygons)
    ]
    labels = [item.clickfield.label for item in able]
    return [item for item in able if labels.count(item.clickfield.label) > 1]


def build(
    scene: bpy.types.Scene,
    capture_id: str,
    items: Sequence[bpy.types.Object],
    answer: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    union: bool,
) -> Iterator[bool]:
    """Make linked copies of the objects that match; yields between slices, True when it must wait.

    Args:
        items: in the order of the request. answer, arrays: of the backend's ``similar``.
        union: link the mesh of what cameras saw of all members, in colours of the points; otherwise the mesh of the
            best seen member, with its texture.
    """
    placement = upkeep.in_world(scan.find_scan(scene, capture_id))
    colors = {node.uid: tuple(node.color) for node in scene.clickfield.labels}
    with ThreadPoolExecutor(1) as pool:
        for number, group in enumerate(answer["groups"]):
            members = [items[index] for index in group["members"]]
            mesh = members[0].data
            if union:
                names = ("positions", "faces", "colors")
                coming = pool.submit(scan.topology, *(arrays[f"g{number}.{name}"] for name in names))
                while not coming.done():
                    yield True
                mesh = bpy.data.meshes.new(f"{members[0].name} Shared")
                for _ in scan.fill(mesh, coming.result()):
                    yield False
                _paint(mesh, arrays[f"g{number}.observed"], members[0].clickfield.label, colors)
                mesh.materials.append(_plain(scene, members))
            for item, transform, error in zip(members, group["transforms"], group["rmse"], strict=True):
                _keep_own(item)
                _give(item, mesh, upkeep.matrix(transform), placement)
                if union:
                    facts.write(item, group["report"])
                else:
                    facts.copy(members[0], item)
                item[MATCH] = float(error)
            yield False
    root = results_collection(scene, capture_id)
    if root is not None:
        root[REPORT] = "\n".join(_told(items, answer))


def _paint(mesh: bpy.types.Mesh, observed: np.ndarray, label: int, colors: Mapping[int, Any]) -> None:
    count = len(mesh.vertices)
    labels, sure = np.full(count, label, np.uint16), np.full(count, 255, np.uint8)
    scan.paint(mesh, labels, sure, scan.read_photo(mesh), colors)
    scan.attribute(mesh, facts.OBSERVED, "FLOAT").foreach_set("value", observed.astype(np.float32) / 255)
    scan.show_colors(mesh, scan.PHOTO)


def _plain(scene: bpy.types.Scene, members: Sequence[bpy.types.Object]) -> bpy.types.Material:
    """A material of the points' colours: that of a member, if it has one."""
    for item in members:
        for material in item.data.materials:
            if material is not None and material.get(textures.MADE) == textures.COLORS:
                return material
    return textures.colors_material(f"{scene.clickfield.capture_name or 'Scan'} Objects")


def _keep_own(item: bpy.types.Object) -> None:
    """Remember an object's mesh and where it belongs, unless it is remembered from an earlier time."""
    if OWN_MESH not in item:
        item.data.use_fake_user = True
        item.data[upkeep.TO_OBJECT] = list(item[upkeep.TO_OBJECT])
        facts.copy(item, item.data)
        item[OWN_MESH] = item.data


def _give(item: bpy.types.Object, mesh: bpy.types.Mesh, into_scan: Matrix, placement: Matrix) -> None:
    """Let an object show a mesh that lies in the scan by a matrix; its hulls and levels of detail follow."""
    former, before = item.data, upkeep.matrix(list(item[upkeep.TO_OBJECT]))
    item.data = mesh
    upkeep.place(item, into_scan, placement)
    turned = into_scan.inverted() @ before.inverted()
    for hull in parts.parts_of(item, "HULL"):
        hull.matrix_basis = turned @ hull.matrix_basis
    for level in parts.parts_of(item, "LOD"):
        level.data = mesh
    if not former.users:
        bpy.data.meshes.remove(former)


def restore(scene: bpy.types.Scene, capture_id: str, items: Sequence[bpy.types.Object]) -> int:
    """Give linked copies their own meshes back; how many had one."""
    placement = upkeep.in_world(scan.find_scan(scene, capture_id))
    count = 0
    for item in items:
        own = item.get(OWN_MESH)
        if own is not None:
            _give(item, own, upkeep.matrix(list(own[upkeep.TO_OBJECT])).inverted(), placement)
            facts.copy(own, item)
            forget_own(item)
            count += 1
    return count


def forget_own(item: bpy.types.Object) -> None:
    """An object is no linked copy any more: its mesh of before goes, unless it shows it."""
    own = item.get(OWN_MESH)
    for name in (OWN_MESH, MATCH):
        if name in item:
            del item[name]
    if own is not None:
        own.use_fake_user = False
        if not own.users:
            bpy.data.meshes.remove(own)


def _told(items: Sequence[bpy.types.Object], answer: Mapping[str, Any]) -> list[str]:
    lines = []
    for group in answer["groups"]:
        names = ", ".join(items[index].name for index in group["members"])
        lines.append(f"{names}: linked, at most {1000 * max(group['rmse']):.1f} mm apart")
    for pair in answer["unsure"]:
        first, second = (items[index].name for index in pair["members"])
        apart = f"{1000 * pair['rmse']:.1f} mm apart"
        apart += f", {pair['violation']:.0%} where there is no room" if pair["violation"] > 0 else ""
        apart += ", other colors" if pair["tinted"] else ""
        lines.append(f"{first} and {second} may be the same ({apart}); link them yourself with Ctrl L if they are")
    return [*lines, *answer["notes"]] or ["No two objects of one label are the same"]


def report_lines(scene: bpy.types.Scene, capture_id: str) -> list[str]:
    """What the last search said, for the panel."""
    root = results_collection(scene, capture_id)
    return str(root.get(REPORT, "")).splitlines() if root else []
