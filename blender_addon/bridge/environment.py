"""Which Python runs the backend: where one may be, and whether a given one will do."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .child import clean_environment
from .install_folder import interpreter_in
from .remote_command import doctor_of
from .states import BridgeError

FLAGS = ["-s", "-B", "-X", "utf8"]  # no user site, no byte code beside the extension, text in UTF-8
CHECK_DEADLINE = 120.0  # seconds; a first import of torch, with a virus scanner watching, is slow
VARIABLE = "CLICKFIELD_PYTHON"
LEAST_MEMORY = 0.75  # GB: the backend refuses less


@dataclass(frozen=True)
class Budgets:
    """GB that the backend may take; 0 of memory is automatic."""

    memory: float = 0.0
    gpu_memory: float = 0.0
    cache_size: float = 4.0
    unpacked_size: float = 32.0

    @classmethod
    def of(cls, group: Any) -> Budgets:
        """From anything that has these names, as the preferences do."""
        return cls(**{one.name: getattr(group, one.name) for one in fields(cls)})

    def arguments(self) -> list[str]:
        """What ``serve`` is told; only what is not as usual, which it knows."""
        usual = Budgets()
        return [
            f"--{one.name.replace('_', '-')}={getattr(self, one.name):g}"
            for one in fields(self)
            if getattr(self, one.name) != getattr(usual, one.name)
        ]


def backend_command(interpreter: Path | str, budgets: Budgets = Budgets()) -> list[str]:
    """The command that serves, to be run in the extension's root folder."""
    return [str(interpreter), *FLAGS, "-m", "backend", "serve", *budgets.arguments()]


def candidates(root: Path, own: Path | None = None) -> list[Path]:
    """Interpreters that exist and may be the backend's, likeliest first.

    The environment variable CLICKFIELD_PYTHON, the backend's own environment (``own``, where it is whole), and
    ``.venv`` in the extension's root.
    """
    named = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
    places = [*named, *([own] if own else []), interpreter_in(root / ".venv")]
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
        remote: a command for another machine, whose doctor is asked instead.
    """

    def __init__(self, given: str, root: Path, deadline: float = CHECK_DEADLINE, remote: str = ""):
        self._deadline = deadline
        self._cancelled = False
        self._finding: Finding | None = None
        self._process: subprocess.Popen | None = None
        self.thread: threading.Thread | None = None
        try:
            path = Path("The Remote command") if remote else resolved(given)
            self._process = subprocess.Popen(
                doctor_of(remote) if remote else [str(path), *FLAGS, "-m", "backend", "doctor"],
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
            sentence = f"{given} cannot be run as a Python; choose another one."
            sentence = "The Remote command cannot be run; check it." if remote else sentence
            self._finding = Finding(False, sentence, detail=repr(error))
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
