"""Damage to captures: valid ones of the tests' writers, mutated, and what must hold of whatever comes out.

A capture that was damaged is either read, or refused by one clean sentence; nothing appears outside of the cache, and
no more memory is taken than the damaged file can justify. ``benchmarks/fuzz_captures.py`` runs the same for long.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backend.captures.capture import Capture
from backend.captures.common import ImportOptions
from backend.captures.detect import open_capture
from backend.captures.meshes import ScannedMesh, find_mesh, open_mesh
from backend.errors import UserError
from tests import rooms, writers
from tests.backend import test_meshes as meshes

FRAMES = 3
# The largest legal picture has 100 million pixels of 3 bytes, and a damaged header may promise as much.
MOST_MEMORY = 1.5 * 100e6 * 3
WORDS = ("nan", "inf", "-inf", "1e400", "-1", "0", "1e308", "99999999999999999999", "-0.0", "text", "", "0x10", "1_0")
WORDS += ("\u0663", "\u00b2", "\ufeff1", "null", "../../outside.png", "/etc/hostname", "\\\\host\\share", "a\0b")
VALUES = (
    None,
    True,
    [],
    {},
    [[]],
    "",
    "text",
    -1,
    0,
    1e308,
    10**400,
    float("nan"),
    float("inf"),
    [None] * 16,
    {"a": []},
)
NUMBERS = (b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f", struct.pack("<d", np.nan), struct.pack("<f", np.inf) * 2)
NUMBERS += (struct.pack("<Q", 1 << 32), struct.pack("<I", 1 << 31), b"\xff\xff\xff\x7f", struct.pack(">I", 65_535))
KINDS = ("cut", "flip", "number", "drop", "double", "word", "line", "value", "remove", "empty", "folder", "exchange")


@dataclass(frozen=True)
class Mutation:
    """One kind of damage; ``file`` and ``at`` are shares 0..1, ``value`` chooses among what the kind offers."""

    kind: str
    file: float
    at: float
    value: int

    @classmethod
    def drawn(cls, source: random.Random) -> Mutation:
        """A random one."""
        return cls(source.choice(KINDS), source.random(), source.random(), source.randrange(1 << 16))


def damage(folder: Path, mutation: Mutation) -> None:
    """Apply a mutation to one file of a folder."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.suffix, str(path)))
    if not files:
        return
    # Containers, tables and headers matter as much as all pictures together.
    kinds = sorted({path.suffix for path in files})
    chosen = [path for path in files if path.suffix == kinds[mutation.value % len(kinds)]]
    path = chosen[min(int(mutation.file * len(chosen)), len(chosen) - 1)]
    if mutation.kind == "remove":
        path.unlink()
    elif mutation.kind == "folder":
        path.unlink()
        path.mkdir()
    elif mutation.kind == "exchange":
        path.write_bytes(files[mutation.value * 7 % len(files)].read_bytes())
    else:
        path.write_bytes(damaged(path.read_bytes(), mutation))


def damaged(data: bytes, mutation: Mutation) -> bytes:
    """The bytes of a file after a mutation that concerns its content."""
    at, value = int(mutation.at * len(data)), mutation.value
    if mutation.kind == "cut":
        return data[:at]
    if mutation.kind == "flip":
        return data[:at] + bytes([data[at] ^ (value % 255 + 1)]) + data[at + 1 :] if data else b""
    if mutation.kind == "number":
        # Headers are where counts and sizes are.
        at = min(at, value % 512) if value % 2 else at
        new = NUMBERS[value % len(NUMBERS)]
        return data[:at] + new + data[at + len(new) :]
    if mutation.kind == "drop":
        return data[:at] + data[at + 1 + value % 64 :]
    if mutation.kind == "double":
        return data[:at] + data[at : at + 1 + value % 4096] + data[at:]
    if mutation.kind == "empty":
        return b""
    if mutation.kind == "value":
        return _other_value(data, mutation)
    if mutation.kind == "word":
        word = re.compile(rb"[^\s,;]{1,64}").search(data, at)
        start, end = word.span() if word else (at, at)
        return data[:start] + WORDS[value % len(WORDS)].encode() + data[end:]
    start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1
    line = data[start:end] if end else data[start:]
    return data[:start] + (b"", line * 2, b"\n", b"# " + line)[value % 4] + data[start + len(line) :]


def _other_value(data: bytes, mutation: Mutation) -> bytes:
    """JSON with another value somewhere; other files as they are."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            waiting.append(node[key])
    if not places:
        return data
    node, key = places[min(int(mutation.at * len(places)), len(places) - 1)]
    node[key] = VALUES[mutation.value % len(VALUES)]
    return json.dumps(tree).encode()


@dataclass(frozen=True)
class Subject:
    """A valid capture or mesh: how it is written, and what of it is opened."""

    write: Callable[[Path], object]
    opened: str = ""  # path below the folder


def _zipped(write: Callable[[Path], object]) -> Callable[[Path], None]:
    def wrote(folder: Path) -> None:
        raw = folder.with_name(folder.name + "-raw")
        raw.mkdir()
        write(raw)
        with zipfile.ZipFile(folder / "room.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(raw.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(raw).as_posix())
        shutil.rmtree(raw)

    return wrote


def _recording(folder: Path) -> None:
    """A ``.r3d`` as it lies in its archive."""
    writers.write_record3d(folder, FRAMES)
    with zipfile.ZipFile(folder / "walk.r3d") as packed:
        packed.extractall(folder)
    (folder / "walk.r3d").unlink()


def _arrays(folder: Path) -> None:
    """Depth as ``.npy``."""
    shots = rooms.write_transforms(folder, FRAMES)
    data = json.loads((folder / "transforms.json").read_text()) | {"depth_unit_scale_factor": 1.0}
    for shot, frame in zip(shots, data["frames"], strict=True):
        np.save(folder / "depth" / f"{shot.name}.npy", shot.depth.astype(np.float32))
        frame["depth_file_path"] = f"depth/{shot.name}.npy"
        (folder / "depth" / f"{shot.name}.png").unlink()
    (folder / "transforms.json").write_text(json.dumps(data))


def _mesh(name: str, *parts: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(b"".join(parts)) and None


def _ply_rows(text: bool) -> bytes:
    pairs = list(zip(meshes.CORNERS.tolist(), meshes.COLORS.tolist(), strict=True))
    if text:
        rows = [" ".join(map(str, [*p, *c])) for p, c in pairs] + [f"4 {a} {b} {c} {d}" for a, b, c, d in meshes.QUADS]
        return "\n".join(rows).encode() + b"\n"
    body = b"".join(struct.pack("<3f3B", *p, *c) for p, c in pairs)
    return body + b"".join(struct.pack("<B4i", 4, *quad) for quad in meshes.QUADS)


def _pcd_rows(kind: str) -> bytes:
    bits = (meshes.COLORS.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(1).astype("<u4")
    if kind == "ascii":
        rows = [f"{x} {y} {z} {c}" for (x, y, z), c in zip(meshes.CORNERS, bits, strict=True)]
        return "\n".join(rows).encode()
    if kind == "binary":
        return b"".join(struct.pack("<3fI", *p, c) for p, c in zip(meshes.CORNERS, bits, strict=True))
    columns = b"".join(np.ascontiguousarray(meshes.CORNERS[:, k]).tobytes() for k in range(3)) + bits.tobytes()
    packed = meshes.literal_lzf(columns)
    return struct.pack("<II", len(packed), len(columns)) + packed


def _stl_rows(text: bool) -> bytes:
    triangles = [meshes.CORNERS[t] for t in meshes.TRIANGLES]
    if not text:
        rows = [struct.pack("<12fH", 0, 0, 0, *corners.ravel(), 0) for corners in triangles]
        return b"made by hand".ljust(80) + struct.pack("<I", len(rows)) + b"".join(rows)
    corners = ["".join(f"vertex {x} {y} {z}\n" for x, y, z in corners) for corners in triangles]
    rows = "".join(f"facet normal 0 0 1\nouter loop\n{three}endloop\nendfacet\n" for three in corners)
    return f"solid box\n{rows}endsolid\n".encode()


def _textured(folder: Path) -> None:
    meshes.textured_obj(folder, "t.png")
    Image.new("RGB", (8, 8), (200, 30, 40)).save(folder / "t.png")


def _scannet_mesh(folder: Path) -> None:
    meshes.little(folder).rename(folder / "s_vh_clean_2.ply")
    segments = {"segIndices": [5, 5, 5, 9, 9, 9, 2, 2]}
    groups = {"segGroups": [{"objectId": 0, "segments": [5], "label": "chair"}, {"objectId": 3, "segments": [2]}]}
    (folder / "s_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    (folder / "s.aggregation.json").write_text(json.dumps(groups))
    header = meshes.ply_header("binary_little_endian", [*meshes.XYZ, "property ushort label"], "")
    rows = b"".join(meshes.CORNERS[k].tobytes() + struct.pack("<H", 30 + k) for k in range(8))
    (folder / "s_vh_clean_2.labels.ply").write_bytes(header + rows)


def _few(write: Callable[..., object], **options: object) -> Callable[[Path], object]:
    return lambda folder: write(folder, FRAMES, **options)


CAPTURES = {
    "transforms": Subject(_few(rooms.write_transforms)),
    "transforms npy": Subject(_arrays),
    "transforms fisheye": Subject(_few(writers.write_fisheye)),
    "7-scenes": Subject(_few(rooms.write_seven_scenes)),
    "tum": Subject(_few(rooms.write_tum)),
    "pairs": Subject(_few(writers.write_pairs)),
    "scannet": Subject(_few(rooms.write_scannet)),
    "sens jpeg": Subject(_few(writers.write_sens), "scene.sens"),
    "sens raw": Subject(_few(writers.write_sens, codec=0), "scene.sens"),
    "plain": Subject(_few(rooms.write_plain)),
    "listed": Subject(_few(rooms.write_listed)),
    "redwood log": Subject(_few(rooms.write_redwood)),
    "redwood json": Subject(_few(rooms.write_redwood, trajectory="json")),
    "replica": Subject(_few(writers.write_replica), "room0"),
    "semantic-nerf": Subject(_few(writers.write_semantic_nerf)),
    "arkitscenes": Subject(_few(writers.write_arkitscenes)),
    "polycam zip": Subject(_zipped(_few(writers.write_polycam)), "room.zip"),
    "polycam": Subject(_few(writers.write_polycam)),
    "3d scanner app": Subject(_few(writers.write_scanner_app)),
    "bop": Subject(_few(writers.write_bop)),
    "bop object": Subject(_few(writers.write_bop, cameras=False)),
    "colmap binary": Subject(_few(writers.write_colmap)),
    "colmap text": Subject(_few(writers.write_colmap, text=True)),
    "stray": Subject(_few(writers.write_stray, per_frame=True)),
    "record3d r3d": Subject(_few(writers.write_record3d), "walk.r3d"),
    "record3d inside": Subject(_recording),
    "record3d exr": Subject(_few(writers.write_record3d, packed=False)),
    "scenenet": Subject(_few(writers.write_scenenet), "0/12"),
    "hypersim": Subject(_few(writers.write_hypersim)),
}
COLORED = meshes.XYZ + meshes.RGB
MESHES = {
    "ply": Subject(_mesh("b.ply", meshes.ply_header("binary_little_endian", COLORED), _ply_rows(False)), "b.ply"),
    "ply ascii": Subject(_mesh("b.ply", meshes.ply_header("ascii", COLORED), _ply_rows(True)), "b.ply"),
    "scannet mesh": Subject(_scannet_mesh, "s_vh_clean_2.ply"),
    **{
        f"pcd {kind}": Subject(_mesh("b.pcd", meshes.pcd_header(kind, 8), _pcd_rows(kind)), "b.pcd")
        for kind in ("ascii", "binary", "binary_compressed")
    },
    "stl": Subject(_mesh("b.stl", _stl_rows(False)), "b.stl"),
    "stl ascii": Subject(_mesh("b.stl", _stl_rows(True)), "b.stl"),
    "obj": Subject(_textured, "s.obj"),
    "glb": Subject(_mesh("b.glb", meshes.glb(*meshes.box_tree())), "b.glb"),
}
SUBJECTS = CAPTURES | MESHES


class Wrong(AssertionError):
    """What must not happen has happened."""


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged capture: the code of the refusal, or "read"; sentences of frames count as "frames"."""

    code: str
    sentence: str
    peak: int  # bytes that Python and numpy took at most


def attempt(name: str, original: Path, mutations: list[Mutation], place: Path) -> Outcome:
    """Damage a copy of a subject and open it. Raises Wrong, and whatever a parser lets escape.

    Args:
        original: folder with the undamaged subject.
        place: a folder that is emptied for it.
    """
    shutil.rmtree(place, ignore_errors=True)
    folder, cache = place / "capture", place / "cache"
    shutil.copytree(original, folder)
    for mutation in mutations:
        damage(folder, mutation)
    before = _listing(place)
    tracemalloc.start()
    try:
        code, sentence = _opened(name, folder / SUBJECTS[name].opened, cache)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if _listing(place) != before:
        raise Wrong(f"files appeared or changed: {sorted(set(_listing(place)) ^ set(before))}")
    if peak > MOST_MEMORY:
        raise Wrong(f"{peak >> 20} MB of memory were taken")
    return Outcome(code, sentence, peak)


def _opened(name: str, path: Path, cache: Path) -> tuple[str, str]:
    try:
        if name in MESHES:
            _check_mesh(open_mesh(find_mesh(path) or path, finer=False))
            return "read", ""
        capture = open_capture(path, ImportOptions(), unpacked=cache)
    except UserError as error:
        return error.code, _clean(error)
    return _check_frames(capture)


def _check_frames(capture: Capture) -> tuple[str, str]:
    """Every image of a capture that was opened is what it claims to be, or refused."""
    found = "read", ""
    for sentence in capture.notes:
        _clean(sentence)
    for frame in capture.frames:
        if not np.isfinite(capture.camera_to_scene(frame)).all():
            raise Wrong("a pose is not finite")
        for load in (frame.color, frame.depth, frame.labels, frame.instances):
            try:
                image = load()
            except UserError as error:
                found = "frames", _clean(error)
                continue
            if image is not None and not np.isfinite(image).all():
                raise Wrong("an image is not finite")
    return found


def _check_mesh(mesh: ScannedMesh) -> None:
    for sentence in mesh.notes:
        _clean(sentence)
    if not np.isfinite(mesh.vertices).all() or not len(mesh.vertices):
        raise Wrong("vertices are not finite")
    if len(mesh.faces) and (mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices)):
        raise Wrong("a face names a vertex that does not exist")


def _clean(error: UserError | str) -> str:
    """One sentence, fit to be shown."""
    sentence = error if isinstance(error, str) else error.sentence
    bad = not sentence or not sentence.endswith(".") or len(sentence) > 500 or not sentence.isprintable()
    if bad or "Traceback" in sentence or "Error(" in sentence:
        raise Wrong(f"this is no clean sentence: {sentence!r}")
    return sentence


def _listing(place: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files outside of the cache."""
    found = {}
    for folder, folders, files in os.walk(place):
        if Path(folder) == place:
            folders[:] = [name for name in folders if name != "cache"]
        for name in files:
            status = os.stat(os.path.join(folder, name))
            found[os.path.relpath(os.path.join(folder, name), place)] = status.st_size, status.st_mtime_ns
    return found
