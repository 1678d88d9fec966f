"""A mesh or a cloud as one clean piece in scene coordinates, whatever file or program it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backend.captures.common import UPS, ImportOptions, list_folder
from backend.captures.orientation import ROTATIONS
from backend.errors import UserError
from backend.progress import Progress, silent

from . import e57, modelled, pcd, ply, scannet, stl
from .part import Found, Part, check_counts, check_indices, damaged
from .refine import longest_edge, refine

GREY = 160  # where there is no colour
FAR = 1000.0  # metres from the origin beyond which float32 loses millimetres
SMALLEST, LARGEST = 0.3, 150.0  # metres across; what is outside is worked on at another scale
DEFAULTS = ImportOptions()
MARKED = (".labels.ply", "label.ply")  # ends of the names of files that only hold true labels


@dataclass(frozen=True)
class ScannedMesh:
    """V vertices in scene coordinates: metres (times ``scale``), Z up."""

    name: str
    format: str
    root: Path  # the file; an empty path for a mesh that came as arrays
    vertices: np.ndarray  # (V, 3) float32
    faces: np.ndarray  # (F, 3) int32; no rows in a cloud
    colors: np.ndarray  # (V, 3) uint8 sRGB; grey without any
    scene_from_world: np.ndarray  # (4, 4) float64 similarity, world = the file's own coordinates
    normals: np.ndarray | None = None  # (V, 3) float32, as the file has them, towards free space
    labels: np.ndarray | None = None  # (V,) int32 true label ids, 0 = none
    instances: np.ndarray | None = None  # (V,) int32 true instance ids, 0 = none
    classes: dict[int, str] = field(default_factory=dict)  # names of the true label ids
    notes: tuple[str, ...] = ()
    scale: float = 1.0  # scene length of one metre; not 1 for what is tiny or huge
    fingerprint: str = ""


@dataclass(frozen=True)
class _Reader:
    opens: Callable[[Path], bool]
    read: Callable[[Path], Found]
    endings: tuple[str, ...]


READERS = (
    _Reader(ply.opens, ply.read, (".ply",)),
    _Reader(modelled.opens_gltf, modelled.read_gltf, (".glb", ".gltf")),
    _Reader(e57.opens, e57.read, (".e57",)),
    _Reader(pcd.opens, pcd.read, (".pcd",)),
    _Reader(modelled.opens_obj, modelled.read_obj, (".obj",)),
    _Reader(stl.opens, stl.read, (".stl",)),
)
ENDINGS = tuple(ending for reader in READERS for ending in reader.endings)


def find_mesh(path: Path) -> Path | None:
    """The mesh or cloud that a path stands for: the file itself, or the only one in a folder; None when it is none."""
    try:
        if path.is_dir():
            found = [p for p in list_folder(path) if p.suffix.lower() in ENDINGS and not p.name.endswith(MARKED)]
            clean = [p for p in found if p.name.endswith("_vh_clean_2.ply")]
            found = clean or found
            return find_mesh(found[0]) if len(found) == 1 else None
        return path if path.suffix.lower() in ENDINGS and _reader(path) is not None else None
    except OSError:
        return None


def open_mesh(
    path: Path,
    options: ImportOptions = DEFAULTS,
    progress: Progress = silent,
    finer: bool = True,
) -> ScannedMesh:
    """Read a mesh or a point cloud: PLY, OBJ, glTF, STL, PCD, E57; true labels of ScanNet and AGILE3D beside it.

    Args:
        path: the file.
        options: ``up``; "auto" takes the format's convention (glTF: Y, all others: Z).
        progress: called with 0..1 and a text; may raise Cancelled.
        finer: cut long edges, so that coarse meshes can be labelled; original vertices keep their numbers as long as
            none of them is doubled or broken.

    Raises:
        UserError: the file cannot be used; the sentence says why.
    """
    path = Path(path)
    progress(0.0, f"Reading {path.name}")
    try:
        reader = _reader(path)
    except OSError as error:
        sentence = f"The file {path.name} cannot be read: {error.strerror or error}."
        raise UserError("unreadable", sentence, str(path)) from error
    if reader is None:
        raise UserError("unknown_format", f"The file {path.name} is no mesh or cloud that Clickfield knows.")
    found = reader.read(path)
    if reader.read is ply.read:
        scannet.add_truth(path, found)
    progress(0.5, "Checking the mesh")
    for part in found.parts:
        check_indices(path, part.faces, len(part.positions))
    up = options.checked().up
    return _assembled(path, path.stem, found, found.up if up == "auto" else up, finer, progress)


def scanned_arrays(
    positions: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray | None,
    name: str,
    finer: bool = True,
    progress: Progress = silent,
) -> ScannedMesh:
    """A mesh that another program holds.

    Args:
        positions: (V, 3) metres, Z up. faces: (F, 3). colors: (V, 3) uint8 sRGB, or None.
        finer: cut long edges; False for a mesh that has been through here before.

    Raises:
        UserError: the arrays are no mesh.
    """
    path = Path(name or "Mesh")
    shaped = positions.ndim == 2 and positions.shape[1] == 3 and faces.ndim == 2 and faces.shape[1] == 3
    if not shaped or (colors is not None and colors.shape != positions.shape):
        raise UserError("bad_mesh", f"The mesh {path.name} has arrays whose shapes do not fit each other.")
    if not len(faces):
        raise UserError("bad_mesh", f"The mesh {path.name} has no faces; give it some, or import it as a point cloud.")
    check_counts(path, len(positions), len(faces))
    faces = faces.astype(np.int64)
    check_indices(path, faces, len(positions))
    found = Found("Blender mesh", [Part(positions.astype(np.float64), faces, colors)])
    return _assembled(Path(), path.name, found, "+z", finer, progress)


def _reader(path: Path) -> _Reader | None:
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        return None
    ending = path.suffix.lower()
    # The one that the ending promises first, then by content alone.
    ordered = sorted(READERS, key=lambda reader: ending not in reader.endings)
    return next((reader for reader in ordered if reader.opens(path)), None)


def _assembled(root: Path, name: str, found: Found, up: str, finer: bool, progress: Progress) -> ScannedMesh:
    notes = list(found.notes)
    named = Path(name)
    parts = [_finite(part, notes) for part in found.parts]
    meshes = [part for part in parts if len(part.faces)]
    if meshes and len(meshes) < len(parts):
        notes.append("Points without faces beside the mesh were left out.")
    parts = meshes or [part for part in parts if len(part.positions)]
    if not parts:
        raise damaged(root if root.name else named, "has no usable vertices")
    scene_from_world, scale = _placement(parts, up, found, notes)
    progress(0.6, "Preparing the mesh")
    if meshes and finer:
        parts = [part if part.texture is not None else _welded(part) for part in parts]
        _make_finer([part for part in parts if len(part.faces)], notes)
    joined = _welded(_joined(parts, notes))
    if meshes and not len(joined.faces):
        raise damaged(root if root.name else named, "has no triangle with an area")
    vertices = joined.positions.astype(np.float32)
    digest = hashlib.sha256(f"{found.format}|{up}|{np.round(scene_from_world, 6).tolist()}".encode())
    faces = joined.faces.astype(np.int32)
    for array in (vertices, faces, joined.colors):
        digest.update(np.ascontiguousarray(array).data)
    progress(1.0, "Mesh read")
    return ScannedMesh(
        name=name,
        format=found.format,
        root=root,
        vertices=vertices,
        faces=faces,
        colors=joined.colors,
        scene_from_world=scene_from_world,
        normals=None if joined.normals is None else joined.normals.astype(np.float32),
        labels=None if joined.labels is None else np.maximum(joined.labels, 0).astype(np.int32),
        instances=None if joined.instances is None else np.maximum(joined.instances, 0).astype(np.int32),
        classes=found.classes,
        notes=tuple(notes),
        scale=scale,
        fingerprint=digest.hexdigest(),
    )


def _finite(part: Part, notes: list[str]) -> Part:
    """The part without vertices that are no finite numbers, and without their faces."""
    good = np.isfinite(part.positions).all(axis=1) & (np.abs(part.positions) < 1e12).all(axis=1)
    if good.all():
        return part
    left = int((~good).sum())
    notes.append(f"{left:,} vertices without finite coordinates were left out, with their faces.")
    return _chosen(part, np.flatnonzero(good), part.faces[good[part.faces].all(axis=1)])


def _chosen(part: Part, kept: np.ndarray, faces: np.ndarray) -> Part:
    """The part with some of its vertices (K,), and faces between them that still have the old numbers."""
    renumber = np.zeros(len(part.positions), np.int64)
    renumber[kept] = np.arange(len(kept))
    columns = ("colors", "normals", "labels", "instances", "uv")
    some = {name: None if getattr(part, name) is None else getattr(part, name)[kept] for name in columns}
    return Part(part.positions[kept], renumber[faces], **some, texture=part.texture)


def _placement(parts: list[Part], up: str, found: Found, notes: list[str]) -> tuple[np.ndarray, float]:
    """Bring the parts into the scene; the (4, 4) transform that did, and its scale."""
    if up not in UPS[1:]:
        raise UserError("bad_option", f"The up axis must be one of {', '.join(UPS)}.")
    rotation = ROTATIONS[up]
    low = np.min([part.positions.min(axis=0) for part in parts], axis=0)
    high = np.max([part.positions.max(axis=0) for part in parts], axis=0)
    across, middle = float(np.linalg.norm(high - low)), (low + high) / 2
    if across == 0:
        raise UserError("bad_mesh", "All vertices of the mesh lie in one point; export it again.")
    scale = 1.0
    while across * scale > LARGEST:
        scale /= 1000
    while across * scale < SMALLEST:
        scale *= 10
    if scale != 1:
        notes.append(
            f"The mesh is {across:,.4g} m across if its unit is the metre; it keeps that size, but is worked on at "
            f"{scale:g} times of it. If its unit is another one, scale the scan."
        )
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    if scale * np.linalg.norm(middle) > FAR:
        matrix[:3, 3] = -scale * (rotation @ middle)
        notes.append("The mesh lies far from its origin and was moved to the middle of itself.")
    for part in parts:
        part.positions = part.positions @ matrix[:3, :3].T + matrix[:3, 3]
        part.normals = None if part.normals is None else np.nan_to_num(part.normals) @ rotation.T
    if found.up != up:
        notes.append(f"Up is {up.upper()}, as chosen.")
    return matrix, scale


def _make_finer(parts: list[Part], notes: list[str]) -> None:
    longest = longest_edge(parts) if parts else 0.0
    added = sum(refine(part, longest) for part in parts)
    if added:
        notes.append(f"Long edges were cut, which added {added:,} vertices, so that labels can end inside of faces.")


def _joined(parts: list[Part], notes: list[str]) -> Part:
    """All parts as one, textures sampled at the vertices."""
    if all(part.colors is None and part.texture is None for part in parts):
        notes.append("It has no colours, so labels spread by shape alone.")
    colors = np.concatenate([_sampled(part) for part in parts])
    offsets = np.cumsum([0, *(len(part.positions) for part in parts)])
    faces = [part.faces + offset for part, offset in zip(parts, offsets, strict=False)]

    def whole(name: str) -> np.ndarray | None:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else np.concatenate(values)

    positions = np.concatenate([part.positions for part in parts])
    more = {name: whole(name) for name in ("normals", "labels", "instances")}
    return Part(positions, np.concatenate(faces), colors, **more)


def _sampled(part: Part) -> np.ndarray:
    """(V, 3) uint8 colours: of the texture, of the vertices, or grey."""
    if part.texture is not None and part.uv is not None:
        height, width = part.texture.shape[:2]
        uv = np.where((part.uv < 0) | (part.uv > 1), part.uv % 1.0, part.uv)  # textures repeat
        column = np.clip(uv[:, 0] * width, 0, width - 1).astype(np.int64)
        row = np.clip((1.0 - uv[:, 1]) * height, 0, height - 1).astype(np.int64)
        return part.texture[row, column]
    return np.full(part.positions.shape, GREY, np.uint8) if part.colors is None else part.colors


def _welded(part: Part) -> Part:
    """Vertices in the same place as one, and no vertex or face that is of no use; a clean mesh stays as it is."""
    exact = np.ascontiguousarray(part.positions.astype(np.float32) + np.float32(0))
    first = _first_there(exact)
    if len(part.faces):
        faces = first[part.faces]
        faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
        a, b, c = (exact[faces[:, k]].astype(np.float64) for k in range(3))
        faces = faces[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0]
        kept = np.unique(faces)
    else:
        faces, kept = part.faces, np.unique(first)
    return _chosen(part, kept, faces)


def _first_there(positions: np.ndarray) -> np.ndarray:
    """(V,) the first vertex in the place of each, of positions (V, 3) float32."""
    bits = positions.view(np.uint32).astype(np.uint64)
    key = bits[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ bits[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F)
    key = (key ^ key >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9) ^ bits[:, 2] * np.uint64(0x94D049BB133111EB)
    _, first, same = np.unique(key, return_index=True, return_inverse=True)
    found = first[same.ravel()]
    # Two places with one key are as good as impossible; they are kept apart all the same.
    return np.where((positions[found] == positions).all(axis=1), found, np.arange(len(positions)))
