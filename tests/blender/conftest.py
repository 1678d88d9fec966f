"""The extension, enabled in a real Blender (pip ``bpy``) under its real name, ``bl_ext.dev.clickfield``.

The project root is linked into a temporary extension repository. Every test starts from an empty file; the backend is
stopped after each file of tests. ``CLICKFIELD_PYTHON`` may name another interpreter for the backend than the one that
runs the tests.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]
import rooms

USER = tempfile.mkdtemp(prefix="clickfield-blender-")
os.environ["BLENDER_USER_RESOURCES"] = USER
os.environ.setdefault("CLICKFIELD_PYTHON", sys.executable)
os.environ["XDG_CACHE_HOME"] = str(Path(USER) / "cache")
bpy = pytest.importorskip("bpy")

ROOT = Path(__file__).resolve().parents[2]
NAME = "bl_ext.dev.clickfield"
_exit_status = 0


import addon_utils  # noqa: E402  (comes with bpy)


def _enable() -> None:
    """Enable the extension once, before the test modules import parts of it."""
    repository = Path(USER) / "repository"
    repository.mkdir()
    (repository / "clickfield").symlink_to(ROOT, target_is_directory=True)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    repos = bpy.context.preferences.extensions.repos
    repos.new(name="dev", module="dev", custom_directory=str(repository), remote_url="")
    assert addon_utils.enable(NAME, default_set=True) is not None


_enable()


@pytest.fixture(scope="session", autouse=True)
def enabled():
    """The extension, enabled for all tests; no policy may be broken by it."""
    yield
    addon_utils.disable(NAME, default_set=True)
    assert addon_utils._extensions_warnings_get() == {}


@pytest.fixture(autouse=True)
def fresh_file():
    """An empty file; a backend that runs goes on running, as when a person opens another file."""
    bpy.ops.wm.read_homefile(use_empty=True)
    yield
    part("blender_addon.live").session().cancel()


@pytest.fixture(scope="module", autouse=True)
def no_backend_is_left():
    """Each file of tests begins and ends without a backend."""
    yield
    live = part("blender_addon.live")
    session = live.session()
    session.stop()
    assert live.wait_until(lambda: session.client.state.value in ("Stopped", "Failed"), 10)
    assert session.client.join(5)


def part(name):
    """A module of the enabled extension."""
    return sys.modules[f"{NAME}.{name}"]


@pytest.fixture
def live():
    """The enabled extension's live module."""
    return part("blender_addon.live")


@pytest.fixture(scope="module")
def small_room(tmp_path_factory):
    """A capture of the analytic room on disk, 8 frames; its folder."""
    folder = tmp_path_factory.mktemp("captures") / "room"
    rooms.write_transforms(folder, n_frames=8)
    return folder


@pytest.fixture
def own():
    """The scene's properties, looked up anew at each use: undo exchanges the scene."""

    class Own:
        def __getattr__(self, name):
            return getattr(bpy.context.scene.clickfield, name)

        def __setattr__(self, name, value):
            setattr(bpy.context.scene.clickfield, name, value)

    return Own()


def pytest_sessionfinish(session, exitstatus):
    """Remember the status for the end."""
    global _exit_status
    _exit_status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Blender before 5.0 hangs at exit once something was undone: leave without its ending."""
    shutil.rmtree(USER, ignore_errors=True)
    if bpy.app.version < (5, 0):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_status)
