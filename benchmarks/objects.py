"""Separated objects against what is really there, object by object.

    python -m benchmarks.objects [--scenes room-0,tabletop-0,storage-0,kitchen-0] [--texture 1024] [--results FILE]

The scan of the training frames gets its true labels, so that this measures objects and not clicks; then objects are
made as *Separate* makes them. Scenes are called kind-seed and generated once by ``benchmarks.scenes``, whose builders
also give the whole true surface of each thing. Held-out frames were used for nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from scipy.spatial import cKDTree  # noqa: E402

from backend.captures.capture import Capture  # noqa: E402
from backend.captures.detect import ImportOptions, open_capture  # noqa: E402
from backend.captures.held_out import read_names, without  # noqa: E402
from backend.errors import UserError  # noqa: E402
from backend.evaluation.truth import load_truth  # noqa: E402
from backend.objects.assets import Asset, LabelledScene, Options, make_assets  # noqa: E402
from backend.objects.graphs import is_closed  # noqa: E402
from backend.objects.similar import spread  # noqa: E402
from backend.simulate_job import fused  # noqa: E402
from backend.surface.mesh import components  # noqa: E402
from backend.surface.raster import interpolate, rasterize  # noqa: E402
from backend.surface.surface import Surface  # noqa: E402
from benchmarks.scenes import BUILDERS, ScenePaths, make  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "objects.json"
SCENES = ("room-0", "tabletop-0", "storage-0", "kitchen-0")
SAMPLES = 20_000  # points per surface
FOUND = 0.5  # share of the seen points of a thing that an object must come near to be that thing
CONTACT = 0.02  # metres around other things in which the border of a thing is measured
COLUMNS = 96  # along the longer side, in which volumes are measured
LEAST_SEEN = 300  # vertices of the clean mesh; things seen less are not counted
LEAST_PIXELS = 80  # of an object in a held-out frame
FORMULAS = """
S, T: 20,000 points spread evenly over the object and over the true thing; d(p, Q) the distance from p to the
nearest point of Q. accuracy = mean d(s, T); completeness = mean d(t, S), apart for points t that cameras saw
(within a voxel of the clean mesh) and those that none saw; chamfer = (accuracy + completeness) / 2; F = harmonic
mean of the shares of s and of t with a distance below 1 cm. volume error = V / V_true - 1, V_true that of the union
of the thing's closed parts along columns, of things made of closed parts alone. border = mean d(t, S) of seen
points t within 2 cm of another thing; foreign = share of the points s that are nearer to another thing than to T,
and more than a voxel nearer. PSNR = -10 log10 of the mean squared sRGB error over the pixels of held-out frames
that show the thing and seen texels of the object: raw, after a gain and an offset per frame and channel, and so
with the colours of the vertices in place of the texture. Seconds are of the whole separation with textures, divided
by the objects.
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
    volume_error: float | None = None
    border: float | None = None
    foreign: float | None = None
    psnr_raw: float | None = None
    psnr: float | None = None
    psnr_vertices: float | None = None
    texture: int = 0
    seconds: float | None = None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--texture", type=int, default=1024)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows: list[Row] = []
    for name in chosen.scenes.split(","):
        rows += measured(name, chosen.texture)
        _write(chosen.results, rows)
    _print(rows)
    print(FORMULAS)


def measured(scene: str, texture: int) -> list[Row]:
    """All things of a scene that cameras saw enough of."""
    kind, seed = scene.rsplit("-", 1)
    home = make(kind, int(seed))
    capture = open_capture(home.capture, ImportOptions())
    held_out = read_names(home.held_out)
    training = without(capture, held_out)
    surface = fused(training)
    with np.load(home.mesh, allow_pickle=False) as data:
        clean = {name: data[name] for name in ("vertices", "labels", "instances")}
    truth = load_truth(home.truth, capture)
    distance, nearest = cKDTree(clean["vertices"]).query(surface.vertices)
    labels = np.where(distance < 3 * surface.voxel, clean["labels"][nearest], 0).astype(np.uint16)
    started = time.perf_counter()
    labelled = LabelledScene(surface, training, labels, np.ones(len(labels), np.float32), truth.tree)
    made = make_assets(labelled, Options(texture=texture)).objects
    things = _Things(kind, int(seed), clean)
    seconds = (time.perf_counter() - started) / max(len(made), 1)
    photos = [frame for frame in capture.frames if frame.name in held_out]
    rows = []
    for instance in things.counted(truth.tree):
        name = truth.name(things.label_of(instance))
        asset = things.match(instance, made, surface)
        if asset is None:
            rows.append(Row(scene, name, instance, False))
            continue
        figures = things.figures(instance, asset, surface.voxel)
        figures |= dict(
            zip(("psnr_raw", "psnr", "psnr_vertices"), looks(asset, instance, home, capture, photos), strict=True)
        )
        rows.append(Row(scene, name, instance, True, seconds=round(seconds, 2), **figures))
        print(rows[-1], flush=True)
    return rows


class _Things:
    """The true things of a generated scene."""

    def __init__(self, kind: str, seed: int, clean: dict[str, np.ndarray]):
        digest = hashlib.sha256(f"{kind}/{seed}".encode()).digest()
        stage = BUILDERS[kind](np.random.default_rng(int.from_bytes(digest[:8], "little")))
        geometry = stage.geometry()
        self._corners, self._instance = geometry.mesh.points[geometry.mesh.faces], geometry.instance
        self._clean = clean

    def label_of(self, instance: int) -> int:
        """The class of a thing."""
        return int(np.bincount(self._clean["labels"][self._clean["instances"] == instance]).argmax())

    def counted(self, tree) -> list[int]:
        """Things of which enough was seen."""
        ids, counts = np.unique(self._clean["instances"], return_counts=True)
        enough = [int(number) for number, count in zip(ids, counts, strict=True) if number and count >= LEAST_SEEN]
        return [number for number in enough if (uid := self.label_of(number)) and tree.labels[uid].thing]

    def seen(self, instance: int) -> np.ndarray:
        """(n, 3) places of a thing that cameras saw."""
        return self._clean["vertices"][self._clean["instances"] == instance]

    def match(self, instance: int, made: tuple[Asset, ...], surface: Surface) -> Asset | None:
        """The object of the thing's label that comes nearest to most of what was seen of it."""
        seen, best, found = self.seen(instance), FOUND, None
        for asset in made:
            if asset.label == self.label_of(instance):
                points, _ = _spread(asset.pose.scene(asset.vertices)[asset.faces])
                share = float((cKDTree(points).query(seen)[0] < 2 * surface.voxel).mean())
                if share > best:
                    best, found = share, asset
        return found

    def figures(self, instance: int, asset: Asset, voxel: float) -> dict:
        """Everything about an object's shape, as Row has it."""
        corners = asset.pose.scene(asset.vertices)[asset.faces]
        own, _ = _spread(corners)
        true, _ = _spread(self._corners[self._instance == instance])
        others = self._clean["vertices"][~np.isin(self._clean["instances"], [0, instance])]
        accuracy, completeness = cKDTree(true).query(own)[0], cKDTree(own).query(true)[0]
        seen = cKDTree(self.seen(instance)).query(true)[0] < voxel
        other = cKDTree(others)
        border = seen & (other.query(true)[0] < CONTACT)
        share = [(accuracy < 0.01).mean(), (completeness < 0.01).mean()]
        volume = float((corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6)
        parts = outward(self._corners[self._instance == instance])
        wanted = union_volume(parts) if parts is not None else 0.0
        return {
            "closed": bool(asset.report.closed),
            "faces": len(asset.faces),
            "observed": round(float(asset.report.observed), 3),
            "accuracy": _mm(accuracy),
            "completeness_seen": _mm(completeness[seen]),
            "completeness_unseen": _mm(completeness[~seen]),
            "chamfer": _mm(np.array([0.5 * (accuracy.mean() + completeness.mean())])),
            "f_1cm": round(float(2 * share[0] * share[1] / max(sum(share), 1e-9)), 3),
            "volume_error": round(volume / wanted - 1, 3) if asset.report.closed and wanted > 0 else None,
            "border": _mm(completeness[border]),
            "foreign": round(float((other.query(own)[0] < accuracy - voxel).mean()), 3),
            "texture": 0 if asset.texture is None else len(asset.texture),
        }


def _mm(distances: np.ndarray) -> float | None:
    return round(1000 * float(distances.mean()), 2) if len(distances) else None


def _spread(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return spread(corners.astype(np.float64), area, SAMPLES)


def outward(corners: np.ndarray) -> np.ndarray | None:
    """Triangles (F, 3, 3) with each connected part turned outward; None when a part is open."""
    points, number = np.unique(np.round(corners.reshape(-1, 3), 6), axis=0, return_inverse=True)
    faces = number.reshape(-1, 3)
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    corners, faces = corners[whole], faces[whole]
    part = components(faces, len(points))[faces[:, 0]]
    if not all(is_closed(faces[part == one], len(points)) for one in np.unique(part)):
        return None
    inside = np.bincount(part, (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum(axis=1))
    return np.where((inside[part] < 0)[:, None, None], corners[:, ::-1], corners)


def union_volume(corners: np.ndarray) -> float:
    """m^3 inside any of the closed outward parts that triangles (F, 3, 3) make up: lengths of vertical lines inside."""
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    cell = float((high - low)[:2].max()) / COLUMNS
    counts = np.maximum(np.ceil((high - low)[:2] / cell).astype(int), 1)
    columns, heights, signs = [], [], []
    for triangle in corners:
        first = np.maximum(np.floor((triangle[:, :2].min(0) - low[:2]) / cell - 0.5), 0).astype(int)
        last = np.minimum(np.ceil((triangle[:, :2].max(0) - low[:2]) / cell), counts - 1).astype(int)
        (ax, ay), (bx, by), (cx, cy) = triangle[:, :2]
        double = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(double) < 1e-14:
            continue
        i, j = np.meshgrid(np.arange(first[0], last[0] + 1), np.arange(first[1], last[1] + 1), indexing="ij")
        # Off the middle by an odd amount, so that no line runs along an edge.
        x, y = low[0] + (i + 0.5003) * cell, low[1] + (j + 0.4991) * cell
        u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / double
        v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / double
        inside = (u >= 0) & (v >= 0) & (u + v <= 1)
        columns.append((i * counts[1] + j)[inside])
        heights.append((u * triangle[0, 2] + v * triangle[1, 2] + (1 - u - v) * triangle[2, 2])[inside])
        signs.append(np.full(int(inside.sum()), -np.sign(double)))
    column, height, sign = (np.concatenate(part) for part in (columns, heights, signs))
    order = np.lexsort((height, column))
    column, height, depth = column[order], height[order], np.cumsum(sign[order])
    within = (depth[:-1] > 0.5) & (column[1:] == column[:-1])
    return float((np.diff(height) * within).sum() * cell**2)


def looks(
    asset: Asset, instance: int, home: ScenePaths, capture: Capture, photos: list
) -> tuple[float | None, float | None, float | None]:
    """PSNR of the texture against held-out photos, raw and fitted; and fitted of the vertices' colours."""
    if asset.texture is None:
        return None, None, None
    points = asset.pose.scene(asset.vertices)
    corners = np.arange(3 * len(asset.faces)).reshape(-1, 3)
    errors, total = np.zeros(3), 0
    for frame in photos:
        mask = np.asarray(Image.open(home.instances / f"{frame.name}.png")) == instance
        if mask.sum() < LEAST_PIXELS:
            continue
        hit = rasterize(points[asset.faces].reshape(-1, 3), corners, frame.intrinsics, capture.camera_to_scene(frame))
        uv = interpolate(hit, corners, asset.uv)
        column = (uv[..., 0] * len(asset.texture)).astype(int).clip(0, len(asset.texture) - 1)
        row = ((1 - uv[..., 1]) * len(asset.texture)).astype(int).clip(0, len(asset.texture) - 1)
        texel = asset.texture[row, column].astype(float)
        shown = mask & (hit.face >= 0) & (texel[..., 3] > 127)
        if shown.sum() < LEAST_PIXELS:
            continue
        photo = frame.color()[shown] / 255.0
        found = texel[shown][:, :3] / 255
        plain = interpolate(hit, corners, asset.colors[asset.faces].reshape(-1, 3))[shown] / 255
        errors += [((found - photo) ** 2).mean(axis=1).sum(), _fitted(found, photo), _fitted(plain, photo)]
        total += len(found)
    if not total:
        return None, None, None
    return tuple(round(float(-10 * np.log10(max(error / total, 1e-12))), 2) for error in errors)


def _fitted(found: np.ndarray, photo: np.ndarray) -> float:
    """Summed squared error (mean of the channels) of colours (P, 3) after a gain and an offset per channel."""
    total = 0.0
    for channel in range(3):
        rows = np.stack([found[:, channel], np.ones(len(found))], axis=1)
        fit = rows @ np.linalg.lstsq(rows, photo[:, channel], rcond=None)[0]
        total += float(((fit - photo[:, channel]) ** 2).sum() / 3)
    return total


def _write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _print(rows: list[Row]) -> None:
    """A table of all things and their medians."""
    names = [name for name in Row.__dataclass_fields__ if name not in ("scene", "instance", "found")]
    print("| scene | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for row in rows:
        values = [getattr(row, name) if row.found or name == "name" else "missed" for name in names]
        print(f"| {row.scene} | " + " | ".join("-" if value is None else str(value) for value in values) + " |")
    found = [row for row in rows if row.found]
    print(f"found {len(found)} of {len(rows)}, closed {sum(row.closed for row in found)}; medians:")
    for name in names[2:]:
        values = [abs(value) for row in found if (value := getattr(row, name)) is not None]
        if values:
            print(f"  {name}: {np.median(values):.3f}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(error.sentence)
