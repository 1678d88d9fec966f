"""Another Blender that does a job in the background, so that the person's goes on drawing meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy


def start(script: str, job: Path, log: Path) -> subprocess.Popen:
    """Let a script work on a job, which it gets as its last argument. Raises OSError."""
    own = bpy.app.binary_path  # empty where Blender is a module of Python
    command = [own, "--background", "--factory-startup", "--python", script] if own else [sys.executable, "-P", script]
    with log.open("wb") as out:
        return subprocess.Popen([*command, "--", str(job)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def lines(said: Path) -> list[dict[str, Any]]:
    """What it has said so far, a line of JSON each; one that is not yet whole is left for the next time."""
    if not said.exists():
        return []
    return [json.loads(line) for line in said.read_text(encoding="utf-8").split("\n")[:-1]]
