"""The commands of the backend: ``python -m backend serve | doctor | inspect | convert | label | batch |
dataset | simulate``.

Exit codes: 0 done, 1 unexpected error or a doctor that found something missing, 2 an error that the person can mend
(one sentence on stderr), 3 the server could not start, 4 rubbish on the server's stream, 5 some scenes of a
batch failed, 6 whoever started a scene of a batch has died, 130 cancelled.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from . import budget, devices
from .console import ProgressBar
from .errors import Cancelled, UserError

BUDGETS = ("memory", "gpu_memory", "cache_size", "unpacked_size")
NOT_OF_JOBS = ("command", "run", *BUDGETS)  # arguments that a job does not see
EXIT_UNEXPECTED, EXIT_USER_ERROR, EXIT_SOME_FAILED, EXIT_CANCELLED = 1, 2, 5, 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="backend", description="The computing side of Clickfield.")
    commands = top.add_subparsers(dest="command", required=True)

    serve = commands.add_parser("serve", help="answer a Blender on stdin and stdout")
    _add_device(serve)
    _add_budget(serve)
    serve.set_defaults(run=_serve)

    doctor = commands.add_parser("doctor", help="say as JSON what is installed and which devices work")
    _add_device(doctor)  # what may stand behind serve may stand here too, so that a remote command can be tested
    _add_budget(doctor)
    doctor.set_defaults(run=_doctor)

    inspect = commands.add_parser("inspect", help="say what a capture holds")
    inspect.add_argument("capture", type=Path)
    inspect.add_argument("--json", action="store_true", help="print JSON")
    _add_reading(inspect)
    _add_meaning(inspect)
    inspect.set_defaults(run=_inspect)

    convert = commands.add_parser("convert", help="write a capture in another layout")
    convert.add_argument("capture", type=Path)
    convert.add_argument("--to", required=True, choices=["transforms", "tum", "scannet", "replica"])
    convert.add_argument("out", type=Path, help="a new folder")
    _add_reading(convert)
    _add_meaning(convert)
    convert.set_defaults(run=_convert)

    label = commands.add_parser("label", help="label a capture from marks, without Blender")
    label.add_argument("capture", type=Path)
    label.add_argument("--marks", type=Path, required=True, help="label document: tree and marks, JSON")
    label.add_argument("--out", type=Path, required=True, help="folder for label maps, views, mesh and report")
    label.add_argument("--views", type=Path, help="more cameras to label, laid out like transforms.json")
    label.add_argument("--seconds", type=_positive, help="longest training of the field; default: to its end")
    _add_held_out(label, "frames that are labelled but not fused")
    _add_device(label)
    _add_budget(label)
    _add_reading_for_job(label)
    label.set_defaults(run=_label)

    _add_batch(commands)
    _add_dataset(commands)
    simulate = commands.add_parser("simulate", help="measure labels per click with a simulated user")
    simulate.add_argument("capture", type=Path, help="a capture; with --object a labelled mesh (.npz or .ply)")
    simulate.add_argument("--truth", type=Path, help="label maps and classes.json; with --object instance ids")
    simulate.add_argument("--object", action="store_true", help="one object at a time, clicks on it and beside it")
    simulate.add_argument("--clicks", default="1x,20,50,120", help="budgets; 1x is one per class (1x,20,50,120)")
    simulate.add_argument("--protocol", default="largest-error", help="how the user chooses (largest-error)")
    simulate.add_argument("--engine", default="combined", help="what is measured (combined)")
    simulate.add_argument("--seed", type=int, default=0, help="of the user's choices")
    simulate.add_argument("--json", type=Path, help="file for the scores; the marks are written beside it")
    simulate.add_argument("--plot", type=Path, help="learning curve, .svg or .png")
    _add_held_out(simulate, "frames that test and are neither fused nor clicked; default: every 4th")
    _add_device(simulate)
    _add_reading_for_job(simulate)
    simulate.set_defaults(run=_simulate)
    return top


def _add_batch(commands: argparse._SubParsersAction) -> None:
    batch = commands.add_parser("batch", help="label many captures, one process and one GPU for each; restartable")
    batch.add_argument("captures", type=Path, nargs="+")
    batch.add_argument("--marks", type=Path, required=True, help="label document for all, or a folder of NAME.json")
    batch.add_argument("--out", type=Path, required=True, help="folder; every capture gets a folder in it")
    batch.add_argument("--cluster", default="local", choices=["local", "slurm"])
    batch.add_argument("--gpus", default="all", help="all, none, or numbers with commas (all)")
    batch.add_argument("--jobs", type=_count, help="scenes at a time; default: one for each GPU, or one")
    batch.add_argument("--sbatch", default="", help="more options for Slurm, for example '--partition=gpu --time=60'")
    batch.add_argument("--seconds", type=_positive, help="longest training of the field; default: to its end")
    _add_device(batch)
    _add_budget(batch)
    _add_reading_for_job(batch)
    batch.set_defaults(run=_batch)
    scene = commands.add_parser("batch-scene", help="one scene of a batch, as batch itself runs it")
    scene.add_argument("plan", type=Path)
    scene.add_argument("number", type=int)
    scene.add_argument("--with-parent", action="store_true", help="end when the standard input does")
    _add_budget(scene)
    scene.set_defaults(run=_batch_scene)


def _add_dataset(commands: argparse._SubParsersAction) -> None:
    dataset = commands.add_parser("dataset", help="write COCO, ScanNet, PNGs or PLY from marks or label maps")
    dataset.add_argument("capture", type=Path, help="a capture, or a folder with label maps, for example renders")
    dataset.add_argument("--marks", type=Path, help="label document; without it the folder's own label maps are taken")
    dataset.add_argument("--formats", help="some of coco,scannet,pngs,ply (all; ply only with marks)")
    dataset.add_argument("--out", type=Path, required=True, help="a new folder")
    dataset.add_argument("--min-size", type=_positive, default=0.04, help="metres of the smallest object (0.04)")
    _add_device(dataset)
    _add_reading_for_job(dataset)
    dataset.set_defaults(run=_dataset)


def _add_held_out(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--held-out", metavar="FILE|N", help=f"{text}: a JSON list of names, or every N-th frame")


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def _add_budget(command: argparse.ArgumentParser) -> None:
    command.add_argument("--memory", type=float, default=0.0, help="GB that may be taken; 0: by the machine (0)")
    command.add_argument("--gpu-memory", type=float, default=0.0, help="GB of a CUDA device; 0: all that is free (0)")
    command.add_argument("--cache-size", type=_positive, default=4.0, help="GB of results that are kept on disk (4)")
    command.add_argument("--unpacked-size", type=_positive, default=32.0, help="GB of unpacked captures (32)")


def _add_reading(command: argparse.ArgumentParser) -> None:
    command.add_argument("--step", type=_count, default=1, help="take every N-th frame")
    command.add_argument("--max-frames", type=_count, default=0, help="take at most N frames")
    command.add_argument("--up", default="auto", choices=["auto", "+x", "-x", "+y", "-y", "+z", "-z"])
    command.add_argument("--depth-encoding", help="mm, m, values per metre (5000), scale:METRES, sun3d or sun3d-0.1mm")


def _add_reading_for_job(command: argparse.ArgumentParser) -> None:
    _add_reading(command)
    command.add_argument("--keep-poses", action="store_true", help="do not register the frames to each other")


def _add_meaning(command: argparse.ArgumentParser) -> None:
    command.add_argument("--poses", default="as said", help="'inverse', 'other axes' or 'inverse, other axes'")
    command.add_argument("--confidence", type=int, default=2, help="least confidence of depth: 0, 1 or 2 (2)")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _serve(arguments: argparse.Namespace) -> int:
    from . import server

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    faulthandler.enable(sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in Blender's terminal is Blender's matter
    stdin, stdout = server.claim_streams()

    def workspace(emit: server.Emit) -> server.Workspace:
        from .service import Service

        budget.hold()
        return Service(emit, arguments.device)

    code = server.serve(workspace, stdin, stdout)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)  # the end of an interpreter with torch in it can take seconds, or never come


def _doctor(arguments: argparse.Namespace) -> int:
    report = devices.report()
    print(json.dumps(report, indent=1))
    return 0 if report["ok"] else EXIT_UNEXPECTED


def _inspect(arguments: argparse.Namespace) -> int:
    from .captures.describe import in_words, inspect

    with _progress() as progress:
        facts = inspect(arguments.capture, _options(arguments), progress)
    print(json.dumps(facts, indent=1) if arguments.json else "\n".join(in_words(facts)))
    return 0


def _options(arguments: argparse.Namespace):
    from .captures.detect import ImportOptions

    return ImportOptions(
        step=arguments.step,
        max_frames=arguments.max_frames,
        up=arguments.up,
        depth_encoding=arguments.depth_encoding,
        poses=arguments.poses,
        confidence=arguments.confidence,
    )


def _convert(arguments: argparse.Namespace) -> int:
    from .captures.convert import convert
    from .captures.detect import open_capture

    with _progress() as progress:
        capture = open_capture(arguments.capture, _options(arguments), progress)
    with _progress() as progress:
        said = convert(capture, arguments.to, arguments.out, progress)
    print("\n".join([f"{len(capture.frames)} frames were written to {arguments.out}.", *said]))
    return 0


def _label(arguments: argparse.Namespace) -> int:
    from . import label_job

    options = {name: value for name, value in vars(arguments).items() if name not in NOT_OF_JOBS}
    devices.choose(arguments.device)  # what its driver maps is not counted
    budget.hold()
    with _progress() as progress:
        report = label_job.run(label_job.LabelJob(**options), progress)
    print(json.dumps(report, indent=1))
    return 0


def _batch(arguments: argparse.Namespace) -> int:
    from . import batch_job

    own = ("captures", "marks", "out", "cluster", "gpus", "jobs", "sbatch")
    options = {name: value for name, value in vars(arguments).items() if name not in (*own, *NOT_OF_JOBS)}
    flags = tuple(word for name in BUDGETS for word in (f"--{name.replace('_', '-')}", str(getattr(arguments, name))))
    job = batch_job.BatchJob(**{name: getattr(arguments, name) for name in own}, options=options, flags=flags)
    with _progress() as progress:
        report = batch_job.run(job, progress)
    print(batch_job.in_words(report))
    return EXIT_SOME_FAILED if report["failed"] else 0


def _batch_scene(arguments: argparse.Namespace) -> int:
    from . import batch_scene

    if arguments.with_parent:
        batch_scene.end_with_parent()
    budget.hold()
    with _progress() as progress:
        batch_scene.run(arguments.plan, arguments.number, progress)
    return 0


def _dataset(arguments: argparse.Namespace) -> int:
    from . import dataset_job

    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "run")}
    with _progress() as progress:
        report = dataset_job.run(dataset_job.DatasetJob(**options), progress)
    print(json.dumps(report, indent=1))
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    from . import simulate_job

    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "run")}
    with _progress() as progress:
        report = simulate_job.run(simulate_job.SimulateJob(**options), progress)
    print(simulate_job.in_words(report))
    return 0


@contextlib.contextmanager
def _progress():
    bar = ProgressBar()
    try:
        yield bar
    finally:
        bar.close()


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = parser().parse_args(argv)
    try:
        if "memory" in arguments:
            budget.use(budget.chosen(*(getattr(arguments, name) for name in BUDGETS)))
        return arguments.run(arguments)
    except UserError as error:
        print(error.sentence, file=sys.stderr)
        return EXIT_USER_ERROR
    except (Cancelled, KeyboardInterrupt):
        print("Cancelled.", file=sys.stderr)
        return EXIT_CANCELLED
    except Exception:
        descriptor, path = tempfile.mkstemp(prefix="clickfield-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        print(f"Something went wrong in the backend; the details are in {path}.", file=sys.stderr)
        return EXIT_UNEXPECTED


if __name__ == "__main__":
    sys.exit(main())
