"""Seeded generators of labelled RGB-D captures of five kinds, made once and cached.

    python -m benchmarks.scenes --kind room --seed 3

Seeds have roles, per kind: TRAINING seeds teach the learned prior, TUNING seeds choose settings and defaults, REPORT
seeds give the numbers that are published and are used for nothing else, not even looked at while tuning.

A scene's folder holds ``capture/`` (transforms.json, photographs, sensor depth, poses as a tracker would report them),
``truth/`` (class ids per frame, 0 = none, and classes.json with the label tree), ``instances/``, ``held_out.json``
(frames that must never give marks), ``document.json`` (the tree as a label document), ``mesh/mesh.npz`` (a clean
surface with class and instance per vertex) and ``scene.json`` (true poses, and the voxel that suits the scene).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import kitchen, outdoor, room, storage, tabletop
from .capture import Settings, record

BUILDERS = {
    "room": room.build,
    "tabletop": tabletop.build,
    "storage": storage.build,
    "kitchen": kitchen.build,
    "outdoor": outdoor.build,
}
KINDS = tuple(BUILDERS)
TRAINING = tuple(range(100, 120))
TUNING = (0, 1)
REPORT = (10, 11)
CACHE = Path(__file__).resolve().parents[1] / "cache"
VERSION = 1  # of the generators; scenes of another version are made again


@dataclass(frozen=True)
class ScenePaths:
    """Where a scene's files are."""

    root: Path
    capture: Path  # folder with transforms.json
    truth: Path  # folder of per-frame class ids and classes.json
    instances: Path  # folder of per-frame instance ids
    held_out: Path  # JSON list of frame names
    mesh: Path  # npz: vertices, faces, normals, colors, labels, instances


def make(
    kind: str,
    seed: int,
    frames: int = 60,
    size: tuple[int, int] = (320, 240),
    cache: Path | None = None,
    shift: float | None = None,
    turn: float = 0.3,
) -> ScenePaths:
    """The scene of a kind and seed; generated on the first call, from the cache later.

    Args:
        kind: one of KINDS; seed: 0 or more.
        frames: of which every third is held out; size: (width, height) of colour and depth.
        cache: folder of all scenes, ``benchmarks/cache`` when None.
        shift, turn: metres and degrees of error of the poses; None is half the scene's voxel (1 cm in rooms).

    Raises:
        KeyError: for an unknown kind.
    """
    build, settings = BUILDERS[kind], Settings(frames, tuple(size), shift, turn)
    name = f"{kind}-{seed}"
    if settings != Settings():
        name += f"-{frames}-{size[0]}x{size[1]}-{shift}-{turn:g}"
    folder = Path(cache or CACHE)
    root = folder / name
    if _version(root) != VERSION:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
        try:
            digest = hashlib.sha256(f"{kind}/{seed}".encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            record(build(rng), fresh, {"kind": kind, "seed": seed, "version": VERSION}, settings)
            fresh.chmod(0o755)
            _replace(fresh, root)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return ScenePaths(
        root, root / "capture", root / "truth", root / "instances", root / "held_out.json", root / "mesh" / "mesh.npz"
    )


def _version(root: Path) -> int | None:
    try:
        return json.loads((root / "scene.json").read_text(encoding="utf-8")).get("version")
    except FileNotFoundError:
        return None


def _replace(fresh: Path, root: Path) -> None:
    """Put a finished scene in its place; when another process was first, its equal scene stays."""
    if root.exists() and _version(root) != VERSION:
        old = Path(tempfile.mkdtemp(prefix=".old-", dir=root.parent))
        os.replace(root, old / root.name)
        shutil.rmtree(old)
    try:
        os.replace(fresh, root)
    except OSError:
        if _version(root) != VERSION:
            raise
