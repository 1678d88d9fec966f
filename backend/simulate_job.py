"""The `simulate` command: simulated users measure how well an engine labels a capture whose labels are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import devices
from .captures.capture import Capture
from .captures.detect import ImportOptions, open_capture
from .captures.held_out import held_out_frames, without
from .errors import UserError
from .evaluation import objects, plots
from .evaluation.baselines import Nearest, RandomForest, RandomWalker
from .evaluation.distilled import DistilledFeatures
from .evaluation.engines import Answer, Engine, GraphEngine
from .evaluation.field_engine import MarksOnly, TaughtField
from .evaluation.meshes import load_mesh
from .evaluation.own_truth import truth_of
from .evaluation.simulation import Curve, Scene, parse_budgets, simulate
from .evaluation.truth import load_truth
from .evaluation.users import PROTOCOLS
from .label_job import chosen_frames
from .labels.placement import PlacedMark
from .progress import Progress, part, silent
from .protocol import checked_document
from .registering import registered_capture
from .scanning import scan
from .store import Store
from .surface.cues import gather
from .surface.superpoints import segment
from .surface.surface import Superpoints, Surface
from .workspace import Labelling, Workspace
from .writing import write_json

ENGINES = (
    *("combined", "graph", "field", "marks-only"),
    *("forest-walker", "random-walker", "random-forest", "nearest", "features"),
)
OBJECT_ENGINES = ("graph", "random-walker")
HELD_OUT = "4"  # of the frames, one is held out unless the person says otherwise


@dataclass(frozen=True)
class SimulateJob:
    """What the command line asks for."""

    capture: Path  # a mesh when ``object``
    truth: Path | None  # label maps, None: the capture's own; instance ids when ``object``
    object: bool = False
    clicks: str = "1x,20,50,120"
    protocol: str = "largest-error"
    engine: str = "combined"
    seed: int = 0
    json: Path | None = None
    plot: Path | None = None
    held_out: str | None = None  # a file of names, or N for every N-th frame
    device: str = "auto"
    step: int = 1
    max_frames: int = 0
    up: str = "auto"
    depth_encoding: str | None = None
    keep_poses: bool = False  # as the capture says them, not refined


def run(job: SimulateJob, progress: Progress) -> dict[str, Any]:
    """Do the job and return what the JSON file says. Raises UserError, Cancelled."""
    if job.object:
        return _run_objects(job, progress)
    _check_choice("protocol", job.protocol, PROTOCOLS)
    _check_choice("engine", job.engine, ENGINES)
    budgets = parse_budgets(job.clicks)
    if job.plot is not None and job.plot.suffix.lower() not in (".svg", ".png"):
        raise UserError("bad_plot", f"{job.plot.name} is no plot; give it the ending .svg or .png.")
    everything = open_capture(job.capture, ImportOptions(up=job.up, depth_encoding=job.depth_encoding))
    capture = chosen_frames(everything, job.step, job.max_frames)
    truth = truth_of(capture) if job.truth is None else load_truth(job.truth, capture)
    held_out = held_out_frames(job.held_out or HELD_OUT, capture)
    if not job.keep_poses:
        fused_ones = {frame.name for frame in capture.frames} - held_out
        capture = registered_capture(capture, part(progress, 0.0, 0.2), devices.choose(job.device), fused_ones)
    training = without(capture, held_out)
    engine, scene = _opened(job, capture, training, held_out, truth, part(progress, 0.2, 0.4))
    try:
        later = part(progress, 0.4, 0.99)
        curve = simulate(scene, engine, job.protocol, budgets, job.seed, progress=later)
    finally:
        engine.close()
    report = {
        "capture": capture.name,
        "held_out": sorted(held_out),
        "frames_without_truth": [frame.name for frame in capture.frames if frame.name not in truth],
        "classes": len([uid for uid in truth.tree.labels if not truth.tree.children(uid)]),
        "vertices": len(scene.surface.vertices),
        **curve.to_json(),
    }
    _write(job, capture, truth.nodes, curve, report)
    progress(1.0, "Done")
    return report


def _check_choice(option: str, said: str, known: Sequence[str]) -> None:
    if said not in known:
        raise UserError(f"bad_{option}", f"--{option} {said} is not known; take one of {', '.join(known)}.")


def _run_objects(job: SimulateJob, progress: Progress) -> dict[str, Any]:
    surface, instances = load_mesh(job.capture, job.truth)
    makers = {"graph": objects.graph_masks, "random-walker": objects.walker_masks}
    engine = OBJECT_ENGINES[0] if job.engine == SimulateJob.engine else job.engine
    _check_choice("engine", engine, OBJECT_ENGINES)
    progress(0.0, "Superpoints")
    masks = makers[engine](surface, segment(surface))
    runs = objects.run_objects(surface, instances, masks, part(progress, 0.1, 1.0))
    if not runs:
        raise UserError("no_objects", f"{job.capture.name} has no object of {objects.SMALLEST} or more vertices.")
    report = {
        "mesh": job.capture.name,
        "engine": engine,
        "objects": len(runs),
        "vertices": len(surface.vertices),
        **objects.summary(runs),
        "runs": [asdict(run) for run in runs],
    }
    if job.json is not None:
        write_json(job.json, report)
    if job.plot is not None:
        clicks, values = np.arange(1, objects.MOST + 1), 100 * np.array([run.iou for run in runs]).mean(axis=0)
        title = f"{job.capture.name}: {len(runs)} objects, one at a time"
        plots.draw(job.plot, [plots.Series(engine, clicks, values[None])], title, "mean IoU (%)")
    progress(1.0, "Done")
    return report


def in_words(report: dict[str, Any]) -> str:
    """The figures of a report for a terminal."""
    if "runs" in report:
        names = [name for name in report if name.startswith(("IoU@", "NOC@"))]
        figures = "   ".join(f"{name} {report[name]:.1f}" for name in names)
        return f"{report['mesh']}: {report['objects']} objects, engine {report['engine']}\n{figures}"
    lines = [
        f"{report['capture']}: {report['classes']} classes, {len(report['held_out'])} held-out frames, "
        f"engine {report['engine']}, {report['protocol']}, seed {report['seed']}"
    ]
    row = "{:>8} {:<10} {:>7} {:>9} {:>8} {:>18}"
    lines.append(row.format("clicks", "level", "mIoU", "accuracy", "borders", "calibration error"))
    for point in report["points"]:
        for level, score in point["scores"][report["readout"]].items():
            shares = [score["miou"], score["accuracy"], score["boundary"], score["calibration_error"]]
            numbers = ["-" if share is None else f"{100 * share:.1f}" for share in shares]
            lines.append(row.format(point["clicks"], level, *numbers))
    if report["without_effect"]:
        lines.append(f"{report['without_effect']} marks could not be placed on the scan")
    if report["frames_without_truth"]:
        lines.append(f"{len(report['frames_without_truth'])} frames have no label map; they were not clicked or scored")
    lines.append(f"click to labels: median {report['seconds_median']:.3f} s, worst {report['seconds_worst']:.3f} s")
    if report["settle_median"] is not None:
        lines.append(f"to settled labels: median {report['settle_median']:.2f} s")
    return "\n".join(lines)


def _write(job: SimulateJob, capture: Capture, nodes: list, curve: Curve, report: dict[str, Any]) -> None:
    if job.json is not None:
        write_json(job.json, report)
        write_json(marks_path(job.json), {"tree": nodes, "marks": curve.marks})
    if job.plot is not None:
        clicks = np.array([point.clicks for point in curve.points])
        values = np.array([[100 * curve.miou(point.budget) for point in curve.points]])
        title = f"{capture.name}: {curve.protocol}, seed {curve.seed}"
        plots.draw(job.plot, [plots.Series(curve.engine, clicks, values)], title)


def marks_path(report: Path) -> Path:
    """Where the marks of a simulation stand, a label document for the `label` command."""
    return report.with_name(report.stem + ".marks.json")


def _opened(job: SimulateJob, capture: Capture, training: Capture, held_out, truth, progress: Progress) -> tuple:
    """The engine and the scene that it works on."""
    if job.engine == "combined":
        engine: Engine = Combined(training, capture, job.device, progress=progress)
        return engine, Scene(capture.name, capture, held_out, truth, engine.workspace.surface)
    scene = Scene(capture.name, capture, held_out, truth, fused(training, part(progress, 0, 0.6)))
    return make_engine(job.engine, scene, lambda: segmented(training, scene.surface), job.device), scene


def make_engine(
    name: str, scene: Scene, superpoints: Callable[[], Superpoints], device: str = "cpu", store: Store | None = None
) -> Engine:
    """The engine of that name on a scene whose scan is fused; superpoints are made when it needs them.

    Args:
        name: one of ENGINES.
        store: a cache that already holds the scene's scan and superpoints, for the engine that opens a workspace.
    """
    surface, training = scene.surface, without(scene.capture, scene.held_out)
    makers: dict[str, Callable[[], Engine]] = {
        "combined": lambda: Combined(training, scene.capture, device, store),
        "graph": lambda: GraphEngine(surface, superpoints()),
        "field": lambda: TaughtField(training, surface, superpoints(), str(devices.choose(device))),
        "marks-only": lambda: MarksOnly(training, surface, str(devices.choose(device))),
        "forest-walker": lambda: RandomForest(surface, superpoints(), smooth=True),
        "random-walker": lambda: RandomWalker(surface, superpoints()),
        "random-forest": lambda: RandomForest(surface, superpoints(), smooth=False),
        "nearest": lambda: Nearest(surface),
        "features": lambda: DistilledFeatures(surface),
    }
    return makers[name]()


class Combined(Engine):
    """The product itself: a workspace whose posterior answers at the click and whose field settles it.

    Args:
        training: the capture that is fused; every_frame: the same with all frames.
    """

    name, photo = "combined", True

    def __init__(
        self,
        training: Capture,
        every_frame: Capture,
        device: str,
        store: Store | None = None,
        progress: Progress = silent,
    ):
        self.workspace = Workspace(device=device, store=store)
        self.workspace.build(training, part(progress, 0.0, 0.6), every_frame=every_frame)
        # What is prepared once per scene must not count as the time of the first click.
        self.workspace.label(checked_document({"tree": [], "marks": []}))
        self.workspace.settle(part(progress, 0.6, 1.0))

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """See ``Engine``; where the marks lie is found anew, as in the product."""
        return self._answer(self.workspace.label(document))

    def settled(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """Labels when the field has learnt them."""
        self.workspace.label(document)
        return self._answer(self.workspace.settle(silent))

    def _answer(self, found: Labelling) -> Answer:
        return Answer(found.labels, found.confidence, lambda measure: self.workspace.uncertainty(measure, 0, silent))

    def close(self) -> None:
        """Stop the workspace's worker."""
        self.workspace.close()


def fused(capture: Capture, progress: Progress = silent, device: str = "cpu") -> Surface:
    """The scan of a capture, as the workspace makes it. Raises UserError, Cancelled."""
    return scan(capture, progress, device)[0]


def segmented(capture: Capture, surface: Surface, progress: Progress = silent) -> Superpoints:
    """The superpoints of a scan, as the workspace makes them. Raises Cancelled."""
    return segment(surface, gather(capture, surface, progress))
