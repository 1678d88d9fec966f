"""Which Python runs the backend: where one may be, and whether a given one will do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .child import clean_environment
from .states import BridgeError

FLAGS = ["-s", "-B", "-X", "utf8"]  # no user site, no byte code beside the extension, text in UTF-8
CHECK_DEADLINE = 120.0  # seconds; a first import of torch, with a virus scanner watching, is slow
VARIABLE = "CLICKFIELD_PYTHON"


def backend_command(interpreter: Path | str) -> list[str]:
    """The command that serves, to be run in the extension's root folder."""
    return [str(interpreter), *FLAGS, "-m", "backend", "serve"]


def environment_folder() -> Path:
    """The per-user folder of the backend's own environment; short, for Windows' paths, and of no Blender version."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "clickfield" / "env"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "clickfield" / "env"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "clickfield" / "env"


def interpreter_in(folder: Path) -> Path:
    """Where a virtual environment keeps its interpreter."""
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def candidates(root: Path) -> list[Path]:
    """Interpreters that exist and may be the backend's, likeliest first.

    The environment variable CLICKFIELD_PYTHON, the backend's own environment, and ``.venv`` in the extension's root.
    """
    named = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
    places = [*named, interpreter_in(environment_folder()), interpreter_in(root / ".venv")]
    return [path for path in places if path.is_file()]


def resolved(given: str) -> Path:
    """The interpreter that a person means by a path: a file, or the folder of a virtual environment.

    Raises BridgeError when there is none or it cannot be one.
    """
    if not given.strip():
        raise BridgeError("No interpreter is set; choose the Python that has torch in the preferences.")
    path = Path(given.strip().strip('"')).expanduser()
    if path.is_dir():
        path = interpreter_in(path)
    if not path.is_file():
        raise BridgeError(f"There is no Python at {path}; choose another one.")
    if path.stem.lower().startswith("blender"):
        raise BridgeError("That is Blender itself; choose a Python interpreter that has torch.")
    if not os.access(path, os.X_OK):
        raise BridgeError(f"{path} may not be run; check its permissions or choose another Python.")
    return path.absolute()  # not resolve(): a virtual environment's interpreter is a link


@dataclass(frozen=True)
class Finding:
    """Whether an interpreter will do, in one sentence, and all that its doctor said."""

    ok: bool
    sentence: str
    interpreter: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    detail: str = ""


class Check:
    """Runs the doctor of one interpreter in a thread; ``poll`` gives the finding when it is there.

    Args:
        given: the path as the person gave it.
        root: the extension's root folder.
        deadline: seconds until the interpreter counts as hung.
    """

    def __init__(self, given: str, root: Path, deadline: float = CHECK_DEADLINE):
        self._deadline = deadline
        self._cancelled = False
        self._finding: Finding | None = None
        self._process: subprocess.Popen | None = None
        self.thread: threading.Thread | None = None
        try:
            path = resolved(given)
            self._process = subprocess.Popen(
                [str(path), *FLAGS, "-m", "backend", "doctor"],
                cwd=root,
                env=clean_environment(dict(os.environ)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except BridgeError as error:
            self._finding = Finding(False, str(error))
        except (OSError, ValueError) as error:
            self._finding = Finding(
                False, f"{given} cannot be run as a Python; choose another one.", detail=repr(error)
            )
        else:
            self.thread = threading.Thread(target=self._run, args=[path], name="clickfield check", daemon=True)
            self.thread.start()

    def poll(self) -> Finding | None:
        """The finding, or None while it is not known. Never blocks."""
        return self._finding

    def cancel(self) -> None:
        """Give up; the finding says so."""
        if self._process is not None and self._finding is None:
            self._cancelled = True
            self._process.kill()

    def _run(self, path: Path) -> None:
        try:
            out, err = self._process.communicate(timeout=self._deadline)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            self._finding = Finding(False, f"{path} has not answered for {self._deadline:g} seconds.", path)
            return
        if self._cancelled:
            self._finding = Finding(False, "The test was cancelled.", path)
        else:
            self._finding = _judged(path, out, err.decode("utf-8", errors="replace"))


def _judged(path: Path, out: bytes, err: str) -> Finding:
    try:
        facts = json.loads(out[max(out.find(b"{"), 0) :])
        return Finding(bool(facts["ok"]), str(facts["sentence"]), path, facts, err)
    except (ValueError, KeyError, TypeError):
        sentence = f"{path} could not check itself; it must be Python 3.11 or newer with torch."
        return Finding(False, sentence, path, {}, err or out[:2000].decode("utf-8", errors="replace"))
