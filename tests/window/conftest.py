"""A real Blender with a window, driven by real mouse and key events.

The tools that start such a Blender are not part of this project. Environment variables name what there is:

    CLICKFIELD_GUI_TOOLS   folder with guitest.py (class GuiBlender) and gui-blender; without it these tests are skipped
    CLICKFIELD_GUI_SUITE   which installed Blender to take (default "sid")
    CLICKFIELD_PYTHON      interpreter of the backend (default: the one that runs the tests)
    CLICKFIELD_SHOTS       folder for screenshots (default: a temporary one)
"""

import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISPLAY = ":78"


def _module(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the tools; skips when there is none."""
    folder = Path(os.environ.get("CLICKFIELD_GUI_TOOLS", ""))
    if not os.environ.get("CLICKFIELD_GUI_TOOLS") or not (folder / "guitest.py").is_file():
        pytest.skip("There is no Blender with a window here: CLICKFIELD_GUI_TOOLS names no folder with guitest.py.")
    return folder


@pytest.fixture(scope="session")
def shots(tmp_path_factory) -> Path:
    """The folder for screenshots."""
    folder = Path(os.environ.get("CLICKFIELD_SHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def blender(tools, tmp_path_factory):
    """Blender with a fresh profile in which the freshly built zip was installed and enabled from the command line."""
    with windowed(tmp_path_factory.mktemp("blender")) as window:
        yield window


@contextmanager
def windowed(folder: Path):
    """The same for other users: everything that is made lies in ``folder``."""
    tools = Path(os.environ["CLICKFIELD_GUI_TOOLS"])
    suite = os.environ.get("CLICKFIELD_GUI_SUITE", "sid")
    home = folder / "home"
    home.mkdir()
    package = _module("build_zip", ROOT / "scripts" / "build_zip.py").build(folder / "dist")
    install = ["--command", "extension", "install-file", "-r", "user_default", "--enable", str(package)]
    command = [str(tools / "gui-blender"), "-s", suite, "-n", "-H", str(home), "--", *install]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    python = Path(os.environ.get("CLICKFIELD_PYTHON") or sys.executable)
    base = subprocess.run(
        [str(python), "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    window = _module("guitest", tools / "guitest.py").GuiBlender(
        suite,
        display=DISPLAY,
        size=(1280, 800),  # software OpenGL: every pixel counts
        home=home,
        binds=[python.parent.parent, base],
        env={"CLICKFIELD_PYTHON": str(python)},
        timeout=240,
    )
    with window:
        window.home = home
        yield window
