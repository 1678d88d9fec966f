"""One scene of a batch: labelled into a folder that is written whole or not at all, and known to be done by its inputs.

What is to be done stands in a plan, a JSON file that `batch_job` writes: ``{"options": {...of a LabelJob...}, "scenes":
[{"name", "capture", "marks", "out", "inputs"}]}``. A process on this machine or a task of a cluster does one of them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from .errors import Cancelled, UserError
from .new_folder import check_folder, new_folder
from .progress import Progress
from .writing import write_json

MARKER = "batch.json"  # in a folder of results: what they were made from, and the size of every file
EXIT_ABANDONED = 6


def run(plan: Path, number: int, progress: Progress) -> dict[str, Any]:
    """Do one scene of a plan; the report of the label job. Leaves a note where the batch finds it when it fails.

    Raises:
        UserError, Cancelled.
    """
    planned = json.loads(plan.read_text(encoding="utf-8"))
    scene = planned["scenes"][number]
    note = note_of(plan, scene["name"])
    note.unlink(missing_ok=True)
    try:
        return _label(scene, planned["options"], progress)
    except Cancelled:
        raise
    except Exception as error:
        sentence = error.sentence if isinstance(error, UserError) else f"Something went wrong ({error!r})."
        write_json(note, {"sentence": sentence})
        raise


def note_of(plan: Path, name: str) -> Path:
    """Where a scene says why it failed."""
    return plan.parent / f"{name}.failed.json"


def is_done(out: Path, inputs: str) -> bool:
    """Is a folder the complete result of these inputs?"""
    marker = _marker(out)
    try:
        return marker.get("inputs") == inputs and all(
            (out / name).stat().st_size == size for name, size in marker["files"].items()
        )
    except (OSError, KeyError, AttributeError, TypeError):
        return False


def end_with_parent() -> None:
    """From now on this process ends when its standard input does: whoever started it has died."""

    def watch() -> None:
        while os.read(0, 1 << 12):
            continue
        os._exit(EXIT_ABANDONED)

    threading.Thread(target=watch, name="parent", daemon=True).start()
    sys.stdin = None


def _label(scene: dict[str, Any], options: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from . import label_job  # with torch, which whoever only looks for what is done can do without

    out = Path(scene["out"])
    older = bool(_marker(out))
    if not older:
        check_folder(out)
    target = out.with_name(f"{out.name}.new") if older else out
    if older:
        shutil.rmtree(target, ignore_errors=True)  # of a batch that was ended right here
    with new_folder(target) as made:
        job = label_job.LabelJob(capture=Path(scene["capture"]), marks=Path(scene["marks"]), out=made, **options)
        report = label_job.run(job, progress)
        paths = sorted(path for path in made.rglob("*") if path.is_file())
        files = {path.relative_to(made).as_posix(): path.stat().st_size for path in paths}
        write_json(made / MARKER, {"inputs": scene["inputs"], "files": files})
    if older:  # results of other inputs, which were made by a batch too
        shutil.rmtree(out)
        target.rename(out)
    return report


def _marker(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / MARKER).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
