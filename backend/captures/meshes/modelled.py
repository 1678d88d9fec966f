"""OBJ with materials, and glTF 2.0 (.glb, .gltf), read with trimesh behind a guard: files beside the mesh are opened
only inside its folder, pictures only through ``captures.images``, and sizes are checked before trimesh allocates.
"""

from __future__ import annotations

import io
import json
import re
import struct
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np
import trimesh
from PIL import Image

from backend.captures import images
from backend.errors import UserError

from .part import Found, Part, check_counts, damaged, opened

MAX_TEXT = 2 << 30  # bytes of an .obj
MAX_JSON = 64 << 20
MAX_BESIDE = 2 << 30  # bytes of a file beside the mesh
MAX_NODES = 200_000
COMPONENTS = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
# What trimesh and numpy raise on damaged files; each of them means "this file is broken".
BROKEN = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError),
    *(AssertionError, RuntimeError, struct.error, UnicodeError, ZeroDivisionError, StopIteration, OSError, NameError),
    Image.DecompressionBombError,
)


def opens_obj(path: Path) -> bool:
    """Whether a file is an OBJ: by its ending, and a vertex near its beginning."""
    if path.suffix.lower() != ".obj":
        return False
    with open(path, "rb") as stream:
        return re.search(rb"^\s*(v|o|g|mtllib|#)\s", stream.read(1 << 16), re.MULTILINE) is not None


def opens_gltf(path: Path) -> bool:
    """Whether a file is glTF 2.0, binary or as text."""
    with open(path, "rb") as stream:
        head = stream.read(4)
    return head == b"glTF" or (path.suffix.lower() == ".gltf" and head.lstrip()[:1] == b"{")


def read_obj(path: Path) -> Found:
    """A mesh with vertex colours, or those of its textures and materials. Raises UserError."""
    data = opened(path)
    if len(data) > MAX_TEXT:
        raise damaged(path, f"has {len(data) >> 20} MB of text, which is too much; write it as PLY or GLB")
    text = data.tobytes()
    check_counts(path, len(re.findall(rb"^\s*v\s", text, re.MULTILINE)), text.count(b"\nf "))
    return _loaded(path, text, "obj", Found("OBJ", []))


def read_gltf(path: Path) -> Found:
    """A mesh, its nodes placed and its textures sampled; Y is up by the format. Raises UserError."""
    data = opened(path)
    binary = data[:4].tobytes() == b"glTF"
    _check_gltf(path, data, binary)
    return _loaded(path, data.tobytes(), "glb" if binary else "gltf", Found("glTF", [], up="+y"))


def _check_gltf(path: Path, data: np.ndarray, binary: bool) -> None:
    """Sizes and references of a glTF file. Raises UserError."""
    start, size = (20, _json_size(path, data)) if binary else (0, len(data))
    if size > MAX_JSON:
        raise damaged(path, "has an absurdly long description")
    try:
        tree = json.loads(data[start : start + size].tobytes())
        accessors, nodes = tree.get("accessors", []), tree.get("nodes", [])
        if any("bufferView" not in one and "sparse" not in one for one in accessors) and tree.get("extensionsRequired"):
            raise damaged(path, f"is compressed ({', '.join(tree['extensionsRequired'])}); export it uncompressed")
        counts = [int(one["count"]) for one in accessors]
        lengths = [COMPONENTS[one["componentType"]] * WIDTHS[one["type"]] for one in accessors]
        beside = any(not str(one.get("uri", "data:")).startswith("data:") for one in tree.get("buffers", []))
    except BROKEN as error:
        raise damaged(path, "is damaged", repr(error)) from error
    room = MAX_BESIDE if beside else 8 * len(data)
    if min(counts, default=0) < 0 or sum(n * k for n, k in zip(counts, lengths, strict=True)) > room:
        raise damaged(path, "promises more numbers than it has")
    if len(nodes) > MAX_NODES:
        raise damaged(path, f"has {len(nodes):,} nodes, which is absurd")


def _json_size(path: Path, data: np.ndarray) -> int:
    if len(data) < 20:
        raise damaged(path, "is cut off")
    _, version, total, size, kind = struct.unpack("<4sIIII", data[:20].tobytes())
    if version != 2 or kind != 0x4E4F534A or total > len(data) or size > len(data) - 20:
        raise damaged(path, "is cut off or no glTF of version 2")
    return size


def _loaded(path: Path, data: bytes, kind: str, found: Found) -> Found:
    beside = _Beside(path, found.notes)
    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type=kind, resolver=beside, process=False)
        _check_instances(path, scene)
        pieces = scene.dump() if scene.geometry else []
    except UserError:
        raise
    except BROKEN as error:
        raise damaged(path, f"is damaged or no {found.format}", repr(error)) from error
    for piece in pieces:
        if isinstance(piece, trimesh.Trimesh) and len(piece.faces):
            found.parts.append(_part(path, piece, found.notes))
    if not found.parts:
        raise damaged(path, "has no triangles")
    check_counts(path, sum(len(p.positions) for p in found.parts), sum(len(p.faces) for p in found.parts))
    return found


def _check_instances(path: Path, scene: trimesh.Scene) -> None:
    """A mesh that is placed thousands of times counts as often. Raises UserError."""
    shapes = [scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry]
    faces = sum(len(getattr(shape, "faces", ())) for shape in shapes)
    check_counts(path, sum(len(getattr(shape, "vertices", ())) for shape in shapes), faces)


def _part(path: Path, mesh: trimesh.Trimesh, notes: list[str]) -> Part:
    part = Part(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64))
    if part.positions.shape[1:] != (3,) or part.faces.shape[1:] != (3,):
        raise damaged(path, "has vertices or faces without three numbers")
    visual = mesh.visual
    if visual.kind == "vertex":
        part.colors = np.asarray(visual.vertex_colors)[:, :3].astype(np.uint8)
    elif visual.kind == "texture":
        _textured(part, visual, notes)
    elif visual.kind == "face":
        colors = np.asarray(visual.face_colors)[:, :3]
        part.positions, part.faces = part.positions[part.faces.ravel()], np.arange(part.faces.size).reshape(-1, 3)
        part.colors = np.repeat(colors, 3, axis=0).astype(np.uint8)
    return part


def _textured(part: Part, visual: trimesh.visual.TextureVisuals, notes: list[str]) -> None:
    material = visual.material
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    stored = visual.vertex_attributes.get("color")
    uv = None if visual.uv is None else np.asarray(visual.uv, np.float64)
    if picture is not None and uv is not None and len(uv) == len(part.positions) and uv.shape[1] >= 2:
        width, height = picture.size
        if width * height > images.MAX_PIXELS:
            raise UserError("image_broken", f"A texture of {width} x {height} pixels is beyond the limit; shrink it.")
        try:
            part.texture = np.array(picture.convert("RGB"))
        except images.BROKEN:
            note = "A texture is damaged; its colour was left out."
            notes += [note] if note not in notes else []
        part.uv = np.nan_to_num(uv[:, :2])
    elif stored is not None and len(stored) == len(part.positions):
        part.colors = np.asarray(stored)[:, :3].astype(np.uint8)
    if part.texture is None and part.colors is None:
        color = np.asarray(material.main_color, np.float64).ravel()[:3]
        part.colors = np.tile(np.clip(color, 0, 255).astype(np.uint8), (len(part.positions), 1))


class _Beside(trimesh.resolvers.Resolver):
    """Files that a mesh names: only from its own folder, pictures decoded by our own limits and written plainly."""

    def __init__(self, path: Path, notes: list[str]):
        self._folder, self._notes = path.parent.resolve(), notes

    def get(self, name: str) -> bytes:
        """The file's bytes. Raises ValueError (trimesh goes on without it) when it may not or cannot be used."""
        plain = unquote(str(name).strip()).replace("\\", "/")
        try:
            place = (self._folder / PurePosixPath(plain)).resolve()
            if not place.is_relative_to(self._folder) or ":" in plain or "\0" in plain:
                self._say(f"The mesh names a file outside of its folder ({plain[-60:]}), which was not opened.")
                raise ValueError(plain)
            if place.suffix.lower() in images.SUFFIXES:
                return self._picture(place)
            if not place.is_file() or place.stat().st_size > MAX_BESIDE:
                raise ValueError(plain)
            return place.read_bytes()
        except OSError as error:
            self._say(f"The mesh names a file {plain[-60:]!r} that is not there, so its colour may be missing.")
            raise ValueError(plain) from error

    def _picture(self, place: Path) -> bytes:
        try:
            pixels = images.read_color(place)
        except UserError as error:
            self._say(error.sentence)
            raise ValueError(place.name) from error
        plain = io.BytesIO()
        Image.fromarray(pixels).save(plain, "BMP")
        return plain.getvalue()

    def _say(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)

    def namespaced(self, namespace: str) -> _Beside:
        """The same: nothing lies in other places."""
        return self

    def write(self, name: str, data: bytes) -> None:
        """Nothing is written. Raises ValueError."""
        raise ValueError(name)

    def keys(self) -> list[str]:
        """Names are not listed."""
        return []
