"""Runs the programs of an installation (uv, venv, pip): their words go to its log, and Cancel ends all they started."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.request import getproxies

from .child import clean_environment
from .install_fetch import Cancelled

TICK, LOOK = 0.1, 1.0  # seconds between two looks at the cancel button, and at how much is written
TAIL = 1 << 15  # bytes of what they said in which reasons are looked for
LEAST = 1 << 20  # bytes; a disk with less is full
NO_ROOM = re.compile(r"no space left|not enough space|disk full|os error (28|112)|file too large|quota exceeded", re.I)
SETTINGS = ("UV_", "PIP_")  # environment variables by which a person tells uv and pip where packages come from
UNWANTED = ("VIRTUAL_ENV", "CONDA")
HEADS = ("ERROR:", "error:", "cause:", "Caused by:", "╰─▶")  # of what uv and pip say when they fail
LOGIN = re.compile(r"//[^/@\s\"]+@")  # in an address
# The Python's pip, or the one out of the wheel that every Python carries for venv, of which nothing is left.
PIP = """
import glob, importlib.util, os, runpy, sys, sysconfig
if importlib.util.find_spec("pip") is None:
    import ensurepip
    folders = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), sysconfig.get_config_var("WHEEL_PKG_DIR")]
    found = [wheel for folder in folders if folder for wheel in glob.glob(os.path.join(folder, "pip-*.whl"))]
    sys.path.insert(0, found[0])
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def pip(python: Path) -> list[str]:
    """The command of pip, for the Python that it shall run in."""
    return [str(python), "-I", "-c", PIP]


class Programs:
    """Runs one program after the other.

    Args:
        folder: where they run, and where uv keeps its cache while they do.
        log: takes what they say.
        held: descriptor of the file that holds the folder; they inherit it (POSIX).
        cancelled: set when the person gives up.
    """

    def __init__(self, folder: Path, log: BinaryIO, held: int, cancelled: threading.Event):
        self.folder = folder
        self.cache = folder / "uv-cache"
        self._log = log
        self._start = log.tell()
        self._held = held
        self._cancelled = cancelled

    def run(self, command: list[str], look: Callable[[], None] | None = None, **options) -> bool:
        """Run it to its end; was that a good one? Raises Cancelled.

        Args:
            look: called about once a second meanwhile.
            options: ``settings`` (the person's own settings of uv and pip count; elsewhere nothing may disturb),
                ``output`` (a file for what it prints), ``variables`` (more environment variables).
        """
        said = " ".join("<pip>" if part is PIP else f'"{part}"' for part in command)
        self._log.write(f"{LOGIN.sub('//***@', said)}\n".encode("utf-8", "replace"))
        self._log.flush()
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(open(options["output"], "wb")) if "output" in options else self._log
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=self._environment(options.get("settings", False)) | options.get("variables", {}),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=self._log,
                    start_new_session=os.name == "posix",
                    pass_fds=[self._held] if os.name == "posix" else [],
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
            except OSError as error:
                self._log.write(f"{command[0]} cannot be run: {error!r}\n".encode())
                return False
            self._await(process, look)
        self._log.write(f"ended with {process.returncode}\n".encode())
        self._log.flush()
        return process.returncode == 0

    def reason(self) -> str:
        """What the last program gave as the reason of its failure: its last cause, wrapped or not, or its last line."""
        lines = [line.strip() for line in self._said().splitlines()]
        lines = [line for line in lines if line and not line.startswith(("ended with", "hint:", "["))]
        last = max((number for number, line in enumerate(lines) if line.startswith(HEADS)), default=len(lines) - 1)
        text = " ".join(lines[max(last, 0) :])
        for head in HEADS:
            text = text.removeprefix(head).strip()
        return text if len(text) <= 160 else text[:159] + "…"

    def out_of_room(self) -> bool:
        """Did one of them fail because the disk is full?"""
        said = self._said()
        killed = hasattr(signal, "SIGXFSZ") and f"ended with {-signal.SIGXFSZ}" in said
        return killed or bool(NO_ROOM.search(said)) or shutil.disk_usage(self.folder).free < LEAST

    def _said(self) -> str:
        """The end of what they said so far."""
        with open(self._log.name, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(self._start, size - TAIL))
            return stream.read().decode("utf-8", errors="replace")

    def _await(self, process: subprocess.Popen, look: Callable[[], None] | None) -> None:
        looked = time.monotonic()
        try:
            while process.poll() is None:
                if self._cancelled.wait(TICK):
                    raise Cancelled
                if look is not None and time.monotonic() - looked > LOOK:
                    look()
                    looked = time.monotonic()
        finally:
            if process.poll() is None:
                _kill_tree(process)

    def _environment(self, settings: bool) -> dict[str, str]:
        unwanted = UNWANTED if settings else (*UNWANTED, *SETTINGS)
        here = clean_environment(dict(os.environ))
        here = {name: value for name, value in here.items() if not name.upper().startswith(unwanted)}
        here |= {f"{scheme}_proxy": address for scheme, address in getproxies().items()}
        here |= {"PYTHONUTF8": "1", "NO_COLOR": "1", "UV_CACHE_DIR": str(self.cache), "PIP_NO_CACHE_DIR": "1"}
        if not settings:
            return here | {"UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull}
        # uv trusts a list of its own otherwise, and no certificate of a company's proxy.
        trust = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
        return trust | here | {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}


def _kill_tree(process: subprocess.Popen) -> None:
    """End a program and all that it started."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], check=False, capture_output=True)
    process.wait()
