"""A mesh of the scene as arrays for the backend: as it is drawn, triangulated, in world coordinates, with colours."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from ...backend.protocol import Array
from . import scan as scans

GREY = 160  # sRGB of what has neither colours nor a material


@dataclass(frozen=True)
class Mesh:
    """Triangles on their way to the backend."""

    name: str
    positions: np.ndarray  # (V, 3) float32
    faces: np.ndarray  # (F, 3) int32
    colors: np.ndarray | None  # (V, 3) uint8 sRGB
    known_as: str = ""  # id of the capture that the scene made of it before
    source: int = 0  # session uid of the object that it was taken from

    def arrays(self) -> dict[str, Array]:
        """For the stream."""
        kinds = {"positions": ("f4", self.positions), "faces": ("i4", self.faces), "colors": ("u1", self.colors)}
        return {
            name: (kind, array.shape, np.ascontiguousarray(array, np.dtype(f"<{kind}")))
            for name, (kind, array) in kinds.items()
            if array is not None
        }


def mesh_of_object(item: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Mesh:
    """What an object looks like with its modifiers, in world coordinates."""
    drawn = item.evaluated_get(depsgraph)
    mesh = drawn.to_mesh()
    try:
        positions, faces = _triangles(mesh)
        colors = _colors(mesh, item)
    finally:
        drawn.to_mesh_clear()
    matrix = np.array(item.matrix_world, np.float64)
    if np.linalg.det(matrix[:3, :3]) < 0:  # mirrored: the other side would be the outer one
        faces = faces[:, ::-1]
    positions = (positions @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
    return Mesh(item.name, positions, faces, colors, source=item.session_uid)


def mesh_of_scan(scan: bpy.types.Object, name: str, known_as: str) -> Mesh:
    """The mesh of a scan that has no files behind it, in its own space."""
    positions, faces = _triangles(scan.data)
    return Mesh(name, positions, faces, scans.read_photo(scan.data), known_as)


def hide_source(scene: bpy.types.Scene, mesh: Mesh) -> None:
    """Hide the object that a mesh was taken from: the scan lies in the same place."""
    for item in scene.objects:
        if item.session_uid == mesh.source:
            item.hide_viewport = True


def _triangles(mesh: bpy.types.Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Positions (V, 3) float32 and corners (F, 3) int32."""
    positions = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", positions)
    mesh.calc_loop_triangles()
    faces = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("vertices", faces)
    return positions.reshape(-1, 3), faces.reshape(-1, 3)


def _colors(mesh: bpy.types.Mesh, item: bpy.types.Object) -> np.ndarray | None:
    """(V, 3) uint8: of the active colour attribute, else of the materials; None when there are neither."""
    active = mesh.color_attributes.active_color
    if active is not None and len(active.data):
        rgba = np.empty(len(active.data) * 4, np.float32)
        active.data.foreach_get("color_srgb", rgba)
        values = rgba.reshape(-1, 4)[:, :3]
        values = values if active.domain == "POINT" else _on_vertices(mesh, values)
        return _bytes(values)
    materials = [slot.material for slot in item.material_slots]
    if not any(materials) or not len(mesh.polygons):
        return None
    of_face, sizes = np.empty(len(mesh.polygons), np.int32), np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", of_face)
    mesh.polygons.foreach_get("loop_total", sizes)
    of_corner = np.repeat(of_face, sizes)
    values = np.full((len(mesh.loops), 3), GREY / 255)
    for index, material in enumerate(materials):
        if material is not None and (some := of_corner == index).any():
            values[some] = _material_colors(material, mesh, some)
    return _bytes(_on_vertices(mesh, values))


def _material_colors(material: bpy.types.Material, mesh: bpy.types.Mesh, some: np.ndarray) -> np.ndarray:
    """sRGB 0..1 of the chosen corners: (n, 3) of an image in the base colour, or (3,)."""
    color = np.array(material.diffuse_color[:3])
    nodes = material.node_tree.nodes if material.node_tree else ()
    shader = next((node for node in nodes if node.type == "BSDF_PRINCIPLED"), None)
    if shader is not None:
        base = shader.inputs["Base Color"]
        color = np.array(base.default_value[:3])
        node = base.links[0].from_node if base.is_linked else None
        if node is not None and node.type == "TEX_IMAGE" and node.image is not None and mesh.uv_layers.active:
            return _image_colors(node.image, mesh, some)
    return np.where(color <= 0.0031308, 12.92 * color, 1.055 * np.maximum(color, 0) ** (1 / 2.4) - 0.055)


def _image_colors(image: bpy.types.Image, mesh: bpy.types.Mesh, some: np.ndarray) -> np.ndarray:
    width, height = image.size
    if not width or not height or image.channels < 3:
        return np.full(3, GREY / 255)
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    uv = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers.active.uv.foreach_get("vector", uv)
    uv = np.nan_to_num(uv.reshape(-1, 2)[some])
    uv = np.where((uv < 0) | (uv > 1), uv % 1.0, uv)  # textures repeat
    column = np.clip(uv[:, 0] * width, 0, width - 1).astype(np.int64)
    row = np.clip(uv[:, 1] * height, 0, height - 1).astype(np.int64)
    return pixels.reshape(height, width, -1)[row, column, :3]


def _on_vertices(mesh: bpy.types.Mesh, values: np.ndarray) -> np.ndarray:
    """Values of corners (L, 3) averaged at their vertices (V, 3)."""
    vertex = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", vertex)
    count = len(mesh.vertices)
    total = np.stack([np.bincount(vertex, values[:, k], count) for k in range(3)], axis=1)
    corners = np.bincount(vertex, minlength=count)[:, None]
    return np.where(corners > 0, total / np.maximum(corners, 1), GREY / 255)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
