"""The scan: the fused mesh of a capture with its photo colours, labels and confidence as point attributes.

Attributes: ``label`` INT (uid, 0 = none), ``confidence`` FLOAT 0..1, ``Color`` BYTE_COLOR (the photos), ``Label Color``
FLOAT_COLOR (what the person wants to see of the labels). Floats are copied as a block of memory; bytes, like the loop
properties, go element by element and take 30 times longer, which a colour that changes at every click cannot afford.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np

from . import shades
from .materials import scan_material

PHOTO, LABELS = "Color", "Label Color"


@dataclass(frozen=True)
class Topology:
    """A triangle mesh with its edges, ready to be written block by block."""

    positions: np.ndarray  # (V, 3) float32 metres
    faces: np.ndarray  # (F, 3) int32
    edges: np.ndarray  # (E, 2) int32 vertices
    face_edges: np.ndarray  # (F, 3) int32, edge from each corner to the next
    colors: np.ndarray  # (V, 3) uint8 sRGB


def topology(positions: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> Topology:
    """Find the edges of a triangle mesh; slow for a big one (0.5 s per million triangles), safe in a thread.

    Args:
        positions: (V, 3) float32. faces: (F, 3) int32, each index under V. colors: (V, 3) uint8.
    """
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    count = max(len(positions), 1)
    keys = ends.min(axis=1).astype(np.int64) * count + ends.max(axis=1)
    unique, inverse = np.unique(keys, return_inverse=True)
    edges = np.stack([unique // count, unique % count], axis=1).astype(np.int32)
    return Topology(positions, faces, edges, inverse.reshape(-1, 3).astype(np.int32), colors)


def new_scan(collection: bpy.types.Collection, name: str, capture_id: str) -> bpy.types.Object:
    """An empty scan object; `fill` gives it its surface."""
    mesh = bpy.data.meshes.new(name)
    scan = bpy.data.objects.new(name, mesh)
    scan.clickfield.role, scan.clickfield.capture_id = "SCAN", capture_id
    mesh.materials.append(scan_material())
    collection.objects.link(scan)
    return scan


def replace_surface(scan: bpy.types.Object, made: Topology) -> Iterator[None]:
    """Give a scan another surface, in slices.

    Between slices Blender draws, and drawing a mesh that is half written ends in a crash: the new mesh is filled where
    no object uses it, then exchanged for the old one.
    """
    former = scan.data
    name = former.name
    mesh = bpy.data.meshes.new(name)
    for material in former.materials:
        mesh.materials.append(material)
    yield from fill(mesh, made)
    scan.data = mesh
    if not former.users:
        bpy.data.meshes.remove(former)
    mesh.name = name


def fill(mesh: bpy.types.Mesh, made: Topology) -> Iterator[None]:
    """Write a surface into a mesh that no object shows; yields between blocks of at most about 0.1 s."""
    mesh.clear_geometry()
    mesh.vertices.add(len(made.positions))
    mesh.edges.add(len(made.edges))
    mesh.loops.add(made.faces.size)
    mesh.polygons.add(len(made.faces))
    yield
    blocks = (
        ("position", "vector", made.positions),
        (".edge_verts", "value", made.edges),
        (".corner_vert", "value", made.faces),
        (".corner_edge", "value", made.face_edges),
    )
    for name, field, array in blocks:
        mesh.attributes[name].data.foreach_set(field, np.ascontiguousarray(array).ravel())
    yield
    mesh.polygons.foreach_set("loop_start", np.arange(0, made.faces.size, 3, dtype=np.int32))
    yield
    for name, kind in (("label", "INT"), ("confidence", "FLOAT"), (PHOTO, "BYTE_COLOR"), (LABELS, "FLOAT_COLOR")):
        mesh.attributes.new(name, kind, "POINT")
    photo = with_alpha(made.colors.astype(np.float32) / 255)
    mesh.attributes[PHOTO].data.foreach_set("color_srgb", photo.ravel())
    yield
    grey = shades.linear(shades.unlabelled_grey(made.colors))
    mesh.attributes[LABELS].data.foreach_set("color", with_alpha(np.repeat(grey[:, None], 3, axis=1)).ravel())
    show_colors(mesh, PHOTO)
    yield
    mesh.update()


def with_alpha(rgb: np.ndarray) -> np.ndarray:
    """(V, 3) float32 to (V, 4) with alpha 1."""
    rgba = np.ones((len(rgb), 4), dtype=np.float32)
    rgba[:, :3] = rgb
    return rgba


def paint(
    mesh: bpy.types.Mesh, labels: np.ndarray, confidence: np.ndarray, photo: np.ndarray, colors: shades.Colors
) -> None:
    """Label a mesh and show it, at once. Raises ValueError when the numbers of vertices differ.

    Args:
        labels: (V,) uint16. confidence: (V,) uint8. photo: (V, 3) uint8. colors: of `shades.label_colors`.
    """
    write_labels(mesh, labels, confidence)
    painted = shades.linear(shades.label_colors(labels, confidence, photo, colors))
    write_label_colors(mesh, with_alpha(painted))


def write_labels(mesh: bpy.types.Mesh, labels: np.ndarray, confidence: np.ndarray) -> None:
    """Write labels (V,) uint16 and confidence (V,) uint8 onto the scan. Raises ValueError for another V."""
    if len(labels) != len(mesh.vertices):
        raise ValueError(f"{len(labels)} labels for {len(mesh.vertices)} vertices")
    attribute(mesh, "label", "INT").foreach_set("value", labels.astype(np.int32))
    attribute(mesh, "confidence", "FLOAT").foreach_set("value", confidence.astype(np.float32) / 255)
    mesh.update_tag()


def write_label_colors(mesh: bpy.types.Mesh, rgba: np.ndarray) -> None:
    """Write (V, 4) float32 linear light as what the scan shows of its labels. Raises ValueError for another V."""
    if len(rgba) != len(mesh.vertices):
        raise ValueError(f"{len(rgba)} colours for {len(mesh.vertices)} vertices")
    attribute(mesh, LABELS, "FLOAT_COLOR").foreach_set("color", rgba.ravel())
    mesh.update_tag()


def attribute(mesh: bpy.types.Mesh, name: str, kind: str) -> bpy.types.bpy_prop_collection:
    """Data of a point attribute, made anew when it is missing or was changed to another type."""
    found = mesh.attributes.get(name)
    if found is not None and (found.domain, found.data_type) != ("POINT", kind):
        mesh.attributes.remove(found)
        found = None
    return (found or mesh.attributes.new(name, kind, "POINT")).data


def read_photo(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V, 3) uint8 photo colours of a scan; grey when somebody removed them."""
    found = mesh.attributes.get(PHOTO)
    if found is None or found.domain != "POINT" or found.data_type != "BYTE_COLOR":
        return np.full((len(mesh.vertices), 3), 128, dtype=np.uint8)
    rgba = np.empty(len(mesh.vertices) * 4, dtype=np.float32)
    found.data.foreach_get("color_srgb", rgba)
    return np.rint(rgba.reshape(-1, 4)[:, :3] * 255).astype(np.uint8)


def read_labels(mesh: bpy.types.Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Labels (V,) uint16 and confidence (V,) uint8 as they are on the scan."""
    labels = np.zeros(len(mesh.vertices), dtype=np.int32)
    confidence = np.zeros(len(mesh.vertices), dtype=np.float32)
    attribute(mesh, "label", "INT").foreach_get("value", labels)
    attribute(mesh, "confidence", "FLOAT").foreach_get("value", confidence)
    return labels.astype(np.uint16), np.rint(confidence * 255).astype(np.uint8)


def read_positions(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V, 3) float32 positions in the scan's own space, which is the scene frame of the capture."""
    positions = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
    mesh.attributes["position"].data.foreach_get("vector", positions)
    return positions.reshape(-1, 3)


def read_faces(mesh: bpy.types.Mesh) -> np.ndarray:
    """(F, 3) int32 corners of the triangles."""
    corners = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.attributes[".corner_vert"].data.foreach_get("value", corners)
    return corners.reshape(-1, 3)


def select_points(mesh: bpy.types.Mesh, chosen: np.ndarray) -> None:
    """Select vertices, and the edges and faces whose vertices are all among them; everything else is deselected.

    Args:
        chosen: (V,) bool. The mesh is not in Edit Mode.
    """
    ends = np.empty(2 * len(mesh.edges), dtype=np.int32)
    mesh.attributes[".edge_verts"].data.foreach_get("value", ends)
    corners, starts = np.empty(len(mesh.loops), dtype=np.int32), np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.attributes[".corner_vert"].data.foreach_get("value", corners)
    mesh.polygons.foreach_get("loop_start", starts)
    mesh.vertices.foreach_set("select", chosen)
    mesh.edges.foreach_set("select", chosen[ends.reshape(-1, 2)].all(axis=1))
    if len(starts):
        mesh.polygons.foreach_set("select", np.logical_and.reduceat(chosen[corners], starts))
    mesh.update_tag()


def show_colors(mesh: bpy.types.Mesh, name: str) -> None:
    """Make a colour attribute the one that viewports and materials show."""
    index = mesh.color_attributes.find(name)
    if index >= 0:
        mesh.color_attributes.active_color_index = index
        mesh.color_attributes.render_color_index = index


def find_scan(scene: bpy.types.Scene, capture_id: str) -> bpy.types.Object | None:
    """The scan object of a capture in a scene, or None."""
    for candidate in scene.objects:
        own = candidate.clickfield
        if own.role == "SCAN" and own.capture_id == capture_id and candidate.type == "MESH":
            return candidate
    return None
