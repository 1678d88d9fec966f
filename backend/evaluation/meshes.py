"""Labelled meshes: a triangle mesh whose vertices say which object they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from ..captures.meshes import open_mesh
from ..errors import UserError
from ..surface.mesh import vertex_normals
from ..surface.surface import Surface

MAX_FILE = 2 << 30  # bytes
INSTANCE_NAMES = ("instances", "instance", "instance_id", "objectId", "object", "label")
GREY = 160


def load_mesh(path: Path, truth: Path | None = None) -> tuple[Surface, np.ndarray]:
    """A mesh and the instance of each vertex, (V,) int64 with 0 = none.

    Args:
        path: `.npz` with `vertices` (V, 3) in metres with Z up, `faces` (F, 3), optionally `colors` (V, 3) and
            `instances` (V,); or a mesh file that `captures.meshes` reads, with ids as a property of its vertices or
            in ScanNet's files beside it.
        truth: instances of their own: `.npy`, `.txt` (one id per line), or ScanNet's `.aggregation.json` with its
            `.segs.json` beside it. None takes those of the mesh file.

    Raises:
        UserError: a file is missing, broken, or does not fit the other.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise UserError("mesh_too_large", f"{path.name} is larger than {MAX_FILE >> 30} GB.")
        arrays = _npz(path) if path.suffix.lower() == ".npz" else _scanned(path) if truth is None else _ply(path)
        instances = arrays.get("instances") if truth is None else _instances(truth)
    except OSError as error:
        sentence = f"{error.filename or path} cannot be read ({error.strerror or error}); check the path."
        raise UserError("cannot_read", sentence) from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        sentence = f"{path.name} is no mesh that can be used; give an .npz or a .ply with vertices and faces."
        raise UserError("bad_mesh", sentence, repr(error)) from error
    surface = _surface(arrays, path)
    if instances is None:
        raise UserError("no_instances", f"{path.name} does not say which object its vertices belong to; give --truth.")
    if np.shape(instances) != (len(surface.vertices),):
        sentence = f"There are {np.size(instances)} instance ids for {len(surface.vertices)} vertices of {path.name}."
        raise UserError("bad_instances", sentence + " They must belong to the same mesh.")
    return surface, np.maximum(np.asarray(instances, np.int64), 0)


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as data:
        found = {name: data[name] for name in ("vertices", "faces")}
        found |= {name: data[name] for name in ("colors",) if name in data}
        names = [name for name in INSTANCE_NAMES if name in data]
        return found | ({"instances": data[names[0]]} if names else {})


def _scanned(path: Path) -> dict[str, Any]:
    """Any mesh file, with the truth in it or beside it. Raises UserError."""
    mesh = open_mesh(path, finer=False)
    found: dict[str, Any] = {"vertices": mesh.vertices, "faces": mesh.faces, "colors": mesh.colors}
    ids = mesh.instances if mesh.instances is not None else mesh.labels
    return found | ({} if ids is None else {"instances": ids})


def _ply(path: Path) -> dict[str, Any]:
    mesh = trimesh.load(path, file_type="ply", process=False)
    if not isinstance(mesh, trimesh.Trimesh):
        raise ValueError("no triangles")
    found: dict[str, Any] = {"vertices": mesh.vertices, "faces": mesh.faces}
    raw = mesh.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    fields = (raw.dtype.names or ()) if isinstance(raw, np.ndarray) else tuple(raw or ())
    if "red" in fields:
        found["colors"] = np.stack([np.ravel(raw[channel]) for channel in ("red", "green", "blue")], axis=1)
    names = [name for name in INSTANCE_NAMES if name in fields]
    return found | ({"instances": np.ravel(raw[names[0]])} if names else {})


def _instances(path: Path) -> np.ndarray:
    if path.name.endswith(".aggregation.json"):
        return _scannet(path)
    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False)
    return np.loadtxt(path, dtype=np.int64, ndmin=1)


def _scannet(path: Path) -> np.ndarray:
    """ScanNet: segments grouped to objects, numbered from 0 there and from 1 here."""
    scene = path.name.removesuffix(".aggregation.json")
    segments = sorted(path.parent.glob(f"{scene}*.segs.json"))
    if not segments:
        raise UserError("no_segments", f"The file {scene}_vh_clean_2.0.010000.segs.json is missing beside {path.name}.")
    of_vertex = np.array(json.loads(segments[0].read_text(encoding="utf-8"))["segIndices"], np.int64)
    table = np.zeros(int(of_vertex.max(initial=0)) + 1, np.int64)
    for group in json.loads(path.read_text(encoding="utf-8"))["segGroups"]:
        inside = [segment for segment in group["segments"] if segment < len(table)]
        table[inside] = int(group["objectId"]) + 1
    return table[of_vertex]


def _surface(arrays: dict[str, Any], path: Path) -> Surface:
    vertices = np.ascontiguousarray(arrays["vertices"], np.float32)
    faces = np.ascontiguousarray(arrays["faces"], np.int32)
    good = vertices.ndim == 2 and vertices.shape[1] == 3 and faces.ndim == 2 and faces.shape[1] == 3 and len(faces)
    if not good or not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= len(vertices):
        raise UserError("bad_mesh", f"{path.name} has no usable vertices and triangles.")
    colors = np.asarray(arrays.get("colors", np.full(vertices.shape, GREY, np.uint8)))[:, :3]
    if colors.dtype.kind == "f":
        colors = np.clip(np.rint(colors * 255), 0, 255)
    edge = np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 1]], axis=1)
    return Surface(vertices, faces, vertex_normals(vertices, faces), colors.astype(np.uint8), float(np.median(edge)))
