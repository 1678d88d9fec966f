"""Separated objects against what is really there, object by object.

    python -m benchmarks.objects [--scenes sample,room-0,tabletop-0-exact] [--texture 1024] [--docs] [--results FILE]

The scan of the training frames gets its true labels, so that this measures objects and not clicks, and things of one
label that touch get a mark each; then objects are made as *Separate* makes them. ``benchmarks.object_truth`` says what
scenes are called, and gives the whole true surface of each thing. Held-out frames were used for nothing else. With
--docs the table of medians in docs/benchmarks.md is renewed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from scipy.spatial import ConvexHull, cKDTree  # noqa: E402

from backend.errors import UserError  # noqa: E402
from backend.objects.assets import Asset, LabelledScene, Options, make_assets  # noqa: E402
from backend.objects.patches import triangle_areas  # noqa: E402
from backend.objects.validity import signed_volume  # noqa: E402
from backend.simulate_job import fused  # noqa: E402
from backend.surface.cues import gather  # noqa: E402
from backend.surface.superpoints import segment  # noqa: E402
from backend.surface.surface import Surface  # noqa: E402
from benchmarks.label_report import renew  # noqa: E402
from benchmarks.object_looks import looks  # noqa: E402
from benchmarks.object_report import table  # noqa: E402
from benchmarks.object_truth import TrueThings, load, outward, spread_over, union_volume  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "objects.json"
SCENES = ("sample", "room-0", "tabletop-0", "storage-0", "kitchen-0", "outdoor-0")
FOUND = 0.5  # share of the seen points of a thing that an object must come near to be that thing
CONTACT = 0.02  # metres around other things in which the border of a thing is measured
FORMULAS = """
S, T: 20,000 points spread evenly over the object and over the true thing; d(p, Q) the distance from p to the
nearest point of Q. accuracy = mean d(s, T); completeness = mean d(t, S), apart for points t that cameras saw
(within a voxel of what they saw) and those that none saw; chamfer = (accuracy + completeness) / 2; F = harmonic
mean of the shares of s and of t with a distance below 1 cm. volume error = V / V_true - 1, V_true that of the union
of the thing's closed parts along columns, of things whose open parts, like labels on cans, take no room; thickness =
(V - V_true) / area of those parts.
border = mean d(t, S) of seen points t within 2 cm of another thing; foreign = share of the points s that are nearer
to another thing than to T, and more than a voxel nearer. PSNR = -10 log10 of the mean squared sRGB error over the
pixels of held-out frames that show the thing and seen texels of the object: raw, after a gain and an offset per frame
and channel, and so with the colours of the vertices in place of the texture; inner: more than 2.5 pixels from the
outline, whose pixels mix with what is behind. sharpness = sum(g h) / sum(h h) of the differences g, h of neighbouring
pixels of the picture and of the photo: edges in the right place; a blur and misplaced edges lower it, noise does not
raise it. Seconds are of the whole separation with
textures, divided by the objects.
"""


@dataclass(frozen=True)
class Row:
    """One true thing. Lengths in millimetres; None where there is nothing to measure."""

    scene: str
    name: str
    instance: int
    found: bool
    closed: bool = False
    faces: int = 0
    observed: float | None = None
    accuracy: float | None = None
    completeness_seen: float | None = None
    completeness_unseen: float | None = None
    chamfer: float | None = None
    f_1cm: float | None = None
    fullness: float | None = None  # share of its convex hull that the true thing takes
    volume: float | None = None  # litres, true
    volume_error: float | None = None
    thickness: float | None = None  # by which its surface lies outside of the true one on average
    border: float | None = None
    foreign: float | None = None
    psnr_raw: float | None = None
    psnr: float | None = None
    psnr_vertices: float | None = None
    psnr_inner: float | None = None
    psnr_vertices_inner: float | None = None
    sharpness: float | None = None
    sharpness_vertices: float | None = None
    texture: int = 0
    seconds: float | None = None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--texture", type=int, default=1024)
    parser.add_argument("--docs", action="store_true", help="renew the table in docs/benchmarks.md")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows: list[Row] = []
    for name in chosen.scenes.split(","):
        rows += measured(load(name), chosen.texture)
        _write(chosen.results, rows)
    _print(rows)
    summary = table([asdict(row) for row in rows])
    print(FORMULAS + "\n" + summary)
    if chosen.docs:
        renew("objects", summary)


def measured(things: TrueThings, texture: int) -> list[Row]:
    """All things of a scene that cameras saw enough of."""
    training, tree = things.training, things.truth.tree
    surface = fused(training)
    labels = things.labels_on(surface.vertices, 3 * surface.voxel)
    marks = things.marks_between(surface, labels)
    print(f"{things.name}: {len(marks)} marks part things of one label that touch", flush=True)
    superpoints = segment(surface, gather(training, surface))
    certain = np.ones(len(labels), np.float32)
    labelled = LabelledScene(surface, training, labels, certain, tree, marks, superpoints)
    started = time.perf_counter()
    made = make_assets(labelled, Options(texture=texture)).objects
    seconds = (time.perf_counter() - started) / max(len(made), 1)
    rows = []
    for instance in things.counted():
        name = things.truth.name(things.label_of(instance))
        asset = match(things, instance, made, surface)
        if asset is None:
            rows.append(Row(things.name, name, instance, False))
            continue
        figures = shape(things, instance, asset, surface.voxel)
        figures |= looks(things, instance, asset)
        rows.append(Row(things.name, name, instance, True, seconds=round(seconds, 2), **figures))
        print(rows[-1], flush=True)
    return rows


def match(things: TrueThings, instance: int, made: tuple[Asset, ...], surface: Surface) -> Asset | None:
    """The object of a thing's label that comes nearest to most of what was seen of it."""
    seen, best, found = things.seen_of(instance), FOUND, None
    for asset in made:
        if asset.label == things.label_of(instance):
            points = spread_over(asset.pose.scene(asset.vertices)[asset.faces])
            share = float((cKDTree(points).query(seen)[0] < 2 * surface.voxel).mean())
            if share > best:
                best, found = share, asset
    return found


def shape(things: TrueThings, instance: int, asset: Asset, voxel: float) -> dict:
    """Everything about an object's shape, as Row has it."""
    own = spread_over(asset.pose.scene(asset.vertices)[asset.faces])
    true, known = things.surface_of(instance), things.seen_of(instance)
    others = things.seen[~np.isin(things.seen_instance, [0, instance])]
    accuracy, completeness = cKDTree(true).query(own)[0], cKDTree(own).query(true)[0]
    seen = cKDTree(known).query(true)[0] < voxel
    other = cKDTree(others)
    border = seen & (other.query(true)[0] < CONTACT)
    share = [(accuracy < 0.01).mean(), (completeness < 0.01).mean()]
    parts = outward(things.corners[things.instance == instance])
    wanted = None if parts is None else union_volume(parts)
    more = area = None
    if wanted is not None and asset.report.closed:
        more = signed_volume(asset.vertices.astype(np.float64), asset.faces) - wanted
        area = float(triangle_areas(parts.reshape(-1, 3), np.arange(3 * len(parts)).reshape(-1, 3)).sum())
    return {
        "closed": bool(asset.report.closed),
        "faces": len(asset.faces),
        "observed": round(float(asset.report.observed), 3),
        "accuracy": _mm(accuracy),
        "completeness_seen": _mm(completeness[seen]),
        "completeness_unseen": _mm(completeness[~seen]),
        "chamfer": _mm(np.array([0.5 * (accuracy.mean() + completeness.mean())])),
        "f_1cm": round(float(2 * share[0] * share[1] / max(sum(share), 1e-9)), 3),
        "fullness": None if wanted is None else round(wanted / ConvexHull(parts.reshape(-1, 3)).volume, 3),
        "volume": None if wanted is None else round(1000 * wanted, 3),
        "volume_error": None if more is None else round(more / wanted, 3),
        "thickness": None if more is None else round(1000 * more / area, 2),
        "border": _mm(completeness[border]),
        "foreign": round(float((other.query(own)[0] < accuracy - voxel).mean()), 3),
        "texture": 0 if asset.texture is None else len(asset.texture),
    }


def _mm(distances: np.ndarray) -> float | None:
    return round(1000 * float(distances.mean()), 2) if len(distances) else None


def _write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _print(rows: list[Row]) -> None:
    """All things, one by one."""
    names = [name for name in Row.__dataclass_fields__ if name not in ("instance", "found")]
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for row in rows:
        values = [getattr(row, name) if row.found or name in ("scene", "name") else "missed" for name in names]
        print("| " + " | ".join("-" if value is None else str(value) for value in values) + " |")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(error.sentence)
