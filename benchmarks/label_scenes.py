"""The scenes of the label benchmark, ready to be clicked on; slow parts are cached by their code."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backend.captures.capture import Capture
from backend.captures.detect import ImportOptions, open_capture
from backend.captures.held_out import every_nth, read_names, without
from backend.evaluation.engines import Answer
from backend.evaluation.meshes import load_mesh
from backend.evaluation.readout import Readout
from backend.evaluation.simulation import PHOTO, SCAN, Scene, score
from backend.evaluation.truth import load_truth
from backend.progress import silent
from backend.registering import registered_capture
from backend.scene_cache import SceneCache
from backend.simulate_job import fused, segmented
from backend.store import Store, key_of
from backend.surface.superpoints import segment
from backend.surface.surface import Superpoints, Surface
from benchmarks.fewer_classes import with_fewer_classes
from benchmarks.scenes import KINDS, REPORT, TUNING, make

ROOT = Path(__file__).resolve().parents[1]
CACHE = Store(ROOT / "benchmarks" / "cache" / "labels", limit=20 << 30)
SAMPLE = ROOT / "assets" / "sample"
SAMPLE_EVERY = 4  # of the sample capture's frames, one is held out
FUSING, SEGMENTING = ("registration", "fusion", "mesh"), ("superpoints", "cues")  # modules that they begin with
SPLITS = {  # settings are chosen on the first alone; the last is for a second opinion
    "tuning": ("sample", *(f"{kind}-{TUNING[0]}" for kind in KINDS)),
    # As many classes as the study had that set the bar, so that 20 clicks are more than one per class.
    "report": tuple(f"{kind}-{REPORT[0]}/16" for kind in KINDS),
    "report-all-classes": tuple(f"{kind}-{REPORT[0]}" for kind in KINDS),
    "report-2": tuple(f"{kind}-{seed}/16" for seed in REPORT[1:] for kind in KINDS),
}


def folders(name: str) -> tuple[Path, Path, Path | None]:
    """Capture, truth and the file that names the held-out frames (None: every SAMPLE_EVERY-th) of a scene."""
    name = name.partition("/")[0]
    if name == "sample":
        return SAMPLE, SAMPLE / "labels", None
    kind, seed = name.rsplit("-", 1)
    home = make(kind, int(seed))
    return home.capture, home.truth, home.held_out


def held_out_of(name: str, capture: Capture) -> frozenset[str]:
    """Names of the frames of a scene that are neither fused nor clicked."""
    held_out = folders(name)[2]
    return every_nth(capture, SAMPLE_EVERY) if held_out is None else read_names(held_out)


def load_scene(name: str) -> Scene:
    """One scene with its fused surface; "room-0/16" is room-0 with its 16 main classes alone."""
    path, labels, _ = folders(name)
    capture = open_capture(path, ImportOptions())
    left = held_out_of(name, capture)
    capture = _registered(capture, left)
    training = without(capture, left)
    surface = _cached(Surface, [_code(*FUSING), training.fingerprint, sorted(left), "surface"], lambda: fused(training))
    parts = [_code(*FUSING, "raster"), capture.fingerprint, sorted(left), "readout"]
    truth, most = load_truth(labels, capture), name.partition("/")[2]
    if most:
        truth = with_fewer_classes(truth, [frame.name for frame in capture.frames], int(most))
    return Scene(name, capture, left, truth, surface, _readout(capture, surface, parts))


def _registered(capture: Capture, left: frozenset[str]) -> Capture:
    """The capture as an import makes it, with the held-out frames registered to what the others show."""
    key = key_of(_code("registration"), capture.fingerprint, sorted(left), "poses")
    known = CACHE.get_arrays(key)
    if known is not None:
        return capture.with_poses(known)
    capture = registered_capture(capture, silent, model={frame.name for frame in capture.frames} - left)
    CACHE.put_arrays(key, {frame.name: capture.camera_to_scene(frame) for frame in capture.frames})
    return capture


def _readout(capture: Capture, surface: Surface, parts: list) -> Readout:
    """Drawing a scan into all frames costs half a minute, so what the pixels show is kept."""
    key = key_of(*parts)
    known = CACHE.get_arrays(key)
    readout = Readout(capture, surface, known)
    if known is None:
        seen = {frame.name: readout.vertex(frame) for frame in capture.frames}
        CACHE.put_arrays(key, {name: vertex for name, vertex in seen.items() if vertex is not None})
    return readout


def superpoints_of(scene: Scene) -> Superpoints:
    """The superpoints of a scene's surface."""
    training = without(scene.capture, scene.held_out)
    parts = [_code(*FUSING), _code(*SEGMENTING), training.fingerprint, sorted(scene.held_out), "superpoints"]
    return _cached(Superpoints, parts, lambda: segmented(training, scene.surface))


def stored(scene: Scene) -> Store:
    """A cache in which a workspace finds the scene's scan and superpoints; it keeps its trained field there."""
    training = without(scene.capture, scene.held_out)
    store = Store(CACHE.root / f"workspace-{_code(*FUSING, *SEGMENTING)[:12]}", limit=CACHE.limit)
    entry = SceneCache(store, training)
    if entry.surface() is None:
        entry.keep(scene.surface, superpoints_of(scene))
    return store


def ceiling(scene: Scene) -> dict[str, float]:
    """Mean IoU (0..1) of the best single label per vertex, as the test frames themselves vote, on both readouts."""
    perfect = Answer(scene.readout.truth(scene.testing, scene.truth))
    return {readout: score(scene, perfect, readout)["leaves"].miou for readout in (SCAN, PHOTO)}


def load_object_mesh(name: str) -> tuple[Surface, Superpoints, np.ndarray]:
    """The clean mesh of a generated scene, its superpoints and its instances (V,)."""
    name = name.partition("/")[0]
    kind, seed = name.rsplit("-", 1)
    surface, instances = load_mesh(make(kind, int(seed)).mesh)
    return surface, _cached(Superpoints, [_code(*SEGMENTING), name, "object"], lambda: segment(surface)), instances


def _cached(kind: type, parts: list, make: Callable):
    key = key_of(*parts)
    arrays = CACHE.get_arrays(key)
    fields = kind.__dataclass_fields__
    if arrays is not None and set(arrays) == set(fields):
        return kind(**{name: float(arrays[name][0]) if name == "voxel" else arrays[name] for name in fields})
    made = make()
    CACHE.put_arrays(key, {name: np.atleast_1d(np.asarray(getattr(made, name))) for name in fields})
    return made


def _code(*roots: str) -> str:
    """A digest of modules of backend/surface and of all that they import from there; the shipped prior is one of them.

    ``surface`` holds data classes alone, so it does not count.
    """
    home, seen, queue = ROOT / "backend" / "surface", {"surface"}, list(roots)
    found = hashlib.sha256()
    while queue:
        module = queue.pop()
        path = home / f"{module}.py"
        if module in seen or not path.exists():
            continue
        seen.add(module)
        text = path.read_text(encoding="utf-8")
        queue += sorted(re.findall(r"^\s*from \.(\w+) import", text, re.MULTILINE))
    for module in sorted(seen - {"surface"}):
        found.update((home / f"{module}.py").read_bytes())
    prior = ROOT / "assets" / "prior.safetensors"
    if roots == SEGMENTING and prior.exists():
        found.update(prior.read_bytes())
    return found.hexdigest()
