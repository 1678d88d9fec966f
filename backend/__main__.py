"""The commands of the backend: ``python -m backend serve | doctor | inspect | convert | label | simulate``.

Exit codes: 0 done, 1 unexpected error or a doctor that found something missing, 2 an error that the person can mend
(one sentence on stderr), 3 the server could not start, 4 rubbish on the server's stream, 130 cancelled.
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

from . import devices
from .console import ProgressBar
from .errors import Cancelled, UserError

EXIT_UNEXPECTED, EXIT_USER_ERROR, EXIT_CANCELLED = 1, 2, 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="backend", description="The computing side of Clickfield.")
    commands = top.add_subparsers(dest="command", required=True)

    serve = commands.add_parser("serve", help="answer a Blender on stdin and stdout")
    _add_device(serve)
    serve.set_defaults(run=_serve)

    doctor = commands.add_parser("doctor", help="say as JSON what is installed and which devices work")
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
    _add_reading(label)
    label.set_defaults(run=_label)

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
    _add_reading(simulate)
    simulate.set_defaults(run=_simulate)
    return top


def _add_held_out(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--held-out", metavar="FILE|N", help=f"{text}: a JSON list of names, or every N-th frame")


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def _add_reading(command: argparse.ArgumentParser) -> None:
    command.add_argument("--step", type=_count, default=1, help="take every N-th frame")
    command.add_argument("--max-frames", type=_count, default=0, help="take at most N frames")
    command.add_argument("--up", default="auto", choices=["auto", "+x", "-x", "+y", "-y", "+z", "-z"])
    command.add_argument("--depth-encoding", help="mm, m, values per metre (5000), scale:METRES, sun3d or sun3d-0.1mm")


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
    from .captures.describe import describe
    from .captures.meshes import find_mesh

    if arguments.capture.is_file() and find_mesh(arguments.capture) is not None:
        return _inspect_mesh(arguments.capture, arguments.up, arguments.json)
    facts = describe(_opened(arguments))
    print(json.dumps(facts, indent=1) if arguments.json else _in_words(facts))
    return 0


def _opened(arguments: argparse.Namespace):
    from .captures.detect import ImportOptions, open_capture

    options = ImportOptions(
        step=arguments.step,
        max_frames=arguments.max_frames,
        up=arguments.up,
        depth_encoding=arguments.depth_encoding,
        poses=arguments.poses,
        confidence=arguments.confidence,
    )
    with _progress() as progress:
        return open_capture(arguments.capture, options, progress)


def _convert(arguments: argparse.Namespace) -> int:
    from .captures.convert import convert

    capture = _opened(arguments)
    with _progress() as progress:
        said = convert(capture, arguments.to, arguments.out, progress)
    print("\n".join([f"{len(capture.frames)} frames were written to {arguments.out}.", *said]))
    return 0


def _inspect_mesh(path: Path, up: str, as_json: bool) -> int:
    from .captures.detect import ImportOptions
    from .captures.meshes import open_mesh

    with _progress() as progress:
        mesh = open_mesh(path, ImportOptions(up=up), progress, finer=False)
    across = mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)
    facts = {
        "name": mesh.name,
        "format": mesh.format,
        "path": str(mesh.root),
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "size": [round(float(side) / mesh.scale, 4) for side in across],
        "true_labels": 0 if mesh.labels is None else len(set(mesh.labels.tolist()) - {0}),
        "true_instances": 0 if mesh.instances is None else len(set(mesh.instances.tolist()) - {0}),
        "notes": list(mesh.notes),
        "fingerprint": mesh.fingerprint,
    }
    if as_json:
        print(json.dumps(facts, indent=1))
        return 0
    kind = f"{facts['faces']:,} triangles" if facts["faces"] else "a cloud"
    print(f"{mesh.name}: {mesh.format} without photos, {facts['vertices']:,} vertices, {kind}")
    print(" x ".join(f"{side:.4g}" for side in facts["size"]) + " m")
    print("\n".join(mesh.notes))
    return 0


def _in_words(facts: dict) -> str:
    lines = [f"{facts['name']}: {facts['format']}, {facts['frames']} frames"]
    for title, sizes in (("colour", facts["resolutions"]["color"]), ("depth", facts["resolutions"]["depth"])):
        lines.append(f"{title}: " + ", ".join(f"{size} ({count})" for size, count in sizes.items()))
    if facts["depth_metres"]:
        near, middle, far = facts["depth_metres"]
        lines.append(f"depth from {near:.2f} to {far:.2f} m, half of it within {middle:.2f} m")
        lines.append(f"{facts['depth_missing']:.0%} of the depth pixels are holes")
    lines.append(f"the camera's path is {facts['path_metres']:.1f} m long")
    lines += facts["notes"]
    lines += [f"left out {one['name']}: {one['reason']}" for one in facts["left_out"]]
    return "\n".join(lines)


def _label(arguments: argparse.Namespace) -> int:
    from . import label_job

    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "run")}
    with _progress() as progress:
        report = label_job.run(label_job.LabelJob(**options), progress)
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
