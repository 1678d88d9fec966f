"""Mesh parts as plain arrays and a builder that joins them into one Blender object. Metres, Z up."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import bmesh
import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

Part = tuple[np.ndarray, list[tuple[int, ...]]]  # vertices (n, 3), faces


def beveled_box(size: tuple[float, float, float], radius: float = 0.008, segments: int = 3) -> Part:
    """A box centred on the origin with rounded edges."""
    mesh = bmesh.new()
    bmesh.ops.create_cube(mesh, size=1.0, matrix=Matrix.Diagonal((*size, 1.0)))
    if radius > 0:
        bmesh.ops.bevel(mesh, geom=list(mesh.edges), offset=radius, segments=segments, profile=0.5, affect="EDGES")
    return _taken(mesh)


def pillow(size: tuple[float, float, float], roundness: float = 5.0, cuts: int = 9) -> Part:
    """A superellipsoid-like block: ``roundness`` 2 is an ellipsoid, 5 a cushion, 12 nearly a box."""
    mesh = bmesh.new()
    bmesh.ops.create_cube(mesh, size=2.0)
    bmesh.ops.subdivide_edges(mesh, edges=list(mesh.edges), cuts=cuts, use_grid_fill=True)
    vertices, faces = _taken(mesh)
    norm = (np.abs(vertices) ** roundness).sum(axis=1, keepdims=True) ** (1.0 / roundness)
    return vertices / norm * np.array(size) / 2.0, faces


def scatter_cushion(width: float, height: float, thickness: float, cuts: int = 14) -> Part:
    """A throw cushion in the XZ plane with pinched corners, thickest in the middle."""
    line = np.linspace(-1.0, 1.0, cuts)
    u, w = np.meshgrid(line, line, indexing="ij")
    profile = ((1 - np.abs(u) ** 2.6) * (1 - np.abs(w) ** 2.6)) ** 0.42
    pinch = 1.0 - 0.09 * (1 - np.abs(u) ** 2) * np.abs(w) ** 3
    pinch_w = 1.0 - 0.09 * (1 - np.abs(w) ** 2) * np.abs(u) ** 3
    sheets = [
        np.stack([u * width / 2 * pinch_w, sign * profile * thickness / 2, w * height / 2 * pinch], -1).reshape(-1, 3)
        for sign in (-1.0, 1.0)
    ]
    faces = []
    for sheet in (0, 1):
        base = sheet * cuts * cuts
        for i in range(cuts - 1):
            for j in range(cuts - 1):
                a = base + i * cuts + j
                quad = (a, a + cuts, a + cuts + 1, a + 1)
                faces.append(quad if sheet == 0 else quad[::-1])
    return np.concatenate(sheets), faces


def lathe(profile: list[tuple[float, float]], segments: int = 40) -> Part:
    """A profile of (radius, z) turned around Z; radius 0 at an end closes it in a point."""
    angles = np.arange(segments) * (2 * math.pi / segments)
    rings = [np.stack([r * np.cos(angles), r * np.sin(angles), np.full(segments, z)], -1) for r, z in profile]
    faces = []
    for ring in range(len(profile) - 1):
        for i in range(segments):
            j = (i + 1) % segments
            a, b = ring * segments, (ring + 1) * segments
            faces.append((a + i, a + j, b + j, b + i))
    return np.concatenate(rings), faces


def rod(start: tuple, end: tuple, radius: float, end_radius: float | None = None, segments: int = 16) -> Part:
    """A straight round bar with closed ends, tapering from ``radius`` to ``end_radius``."""
    end_radius = radius if end_radius is None else end_radius
    a, b = Vector(start), Vector(end)
    length = (b - a).length
    vertices, faces = lathe([(0.0, 0.0), (radius, 0.0), (end_radius, length), (0.0, length)], segments)
    turn = Vector((0, 0, 1)).rotation_difference(b - a).to_matrix()
    return vertices @ np.array(turn).T + np.array(start), faces


def bent_tube(points: np.ndarray, radius: float, segments: int = 10) -> Part:
    """A round tube along a polyline (n, 3)."""
    parts = [rod(tuple(points[i]), tuple(points[i + 1]), radius, segments=segments) for i in range(len(points) - 1)]
    return joined(parts)


def sphere(radius: float, rings: int = 20) -> Part:
    """A ball around the origin."""
    angles = np.linspace(-math.pi / 2, math.pi / 2, rings)
    return lathe([(radius * math.cos(a), radius * math.sin(a)) for a in angles], rings * 2)


def sheet(corner_grid: np.ndarray) -> Part:
    """A surface from a grid of points (rows, columns, 3)."""
    rows, columns = corner_grid.shape[:2]
    faces = [
        (i * columns + j, (i + 1) * columns + j, (i + 1) * columns + j + 1, i * columns + j + 1)
        for i in range(rows - 1)
        for j in range(columns - 1)
    ]
    return corner_grid.reshape(-1, 3), faces


def joined(parts: list[Part]) -> Part:
    """Several parts as one."""
    offset, vertices, faces = 0, [], []
    for points, polygons in parts:
        vertices.append(points)
        faces.extend(tuple(offset + i for i in polygon) for polygon in polygons)
        offset += len(points)
    return np.concatenate(vertices), faces


def _taken(mesh: bmesh.types.BMesh) -> Part:
    mesh.verts.index_update()
    result = (np.array([v.co for v in mesh.verts]), [tuple(v.index for v in f.verts) for f in mesh.faces])
    mesh.free()
    return result


@dataclass
class Builder:
    """Collects parts of one thing and makes one object of them, with one material slot per material used."""

    name: str
    uid: int  # label of the thing; 0 is not part of the scan
    _parts: list[tuple[Part, bpy.types.Material]] = field(default_factory=list)

    def add(
        self,
        part: Part,
        material: bpy.types.Material,
        at: tuple[float, float, float] = (0, 0, 0),
        turn: tuple[float, float, float] = (0, 0, 0),
    ) -> None:
        """Add a part, turned by XYZ Euler angles in degrees and moved to ``at``."""
        matrix = np.array(Euler([math.radians(a) for a in turn]).to_matrix())
        self._parts.append(((part[0] @ matrix.T + np.array(at), part[1]), material))

    def build(self, at: tuple[float, float, float] = (0, 0, 0), heading: float = 0.0) -> bpy.types.Object:
        """Link the object to the scene at a place on the floor, turned about Z by ``heading`` degrees."""
        vertices, faces = joined([part for part, _ in self._parts])
        mesh = bpy.data.meshes.new(self.name)
        mesh.from_pydata(vertices.tolist(), [], faces)
        slots = list(dict.fromkeys(material for _, material in self._parts))
        for material in slots:
            mesh.materials.append(material)
        index = np.concatenate([np.full(len(part[1]), slots.index(m)) for part, m in self._parts])
        mesh.polygons.foreach_set("material_index", index.astype(np.int32))
        mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
        mesh.validate()
        mesh.set_sharp_from_angle(angle=math.radians(38))
        thing = bpy.data.objects.new(self.name, mesh)
        thing.location, thing.rotation_euler = at, (0, 0, math.radians(heading))
        thing["uid"] = self.uid
        bpy.context.scene.collection.objects.link(thing)
        return thing
