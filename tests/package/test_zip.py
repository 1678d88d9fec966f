"""The extension's zip: what is in it, that Blender's own tool accepts it, and that it installs into a fresh Blender."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("bpy", reason="the zip is built by the extension tool that comes with bpy")

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
OPERATOR = re.compile(r'bl_idname = "(clickfield\.\w+)"')


def _build_zip():
    spec = importlib.util.spec_from_file_location("build_zip", ROOT / "scripts" / "build_zip.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory):
    """The path of a freshly built and validated zip."""
    return _build_zip().build(tmp_path_factory.mktemp("dist"))


def test_is_named_after_id_and_version(extension_zip):
    assert extension_zip.name == f"{MANIFEST['id']}-{MANIFEST['version']}.zip"


def test_is_under_three_megabytes_with_a_sample_under_one_and_a_half(extension_zip):
    assert extension_zip.stat().st_size < 3_000_000
    with zipfile.ZipFile(extension_zip) as archive:
        sample = [entry for entry in archive.infolist() if entry.filename.startswith("assets/sample/")]
    assert sum(entry.file_size for entry in sample) < 1_500_000


@pytest.mark.parametrize(
    "name",
    [
        "blender_manifest.toml",
        "__init__.py",
        "LICENSE",
        "backend/__main__.py",
        "backend/protocol.py",
        "blender_addon/__init__.py",
        "operators/__init__.py",
        "assets/README.md",
        "assets/backend.lock",
        "assets/nodes.blend",
        "assets/prior.safetensors",
        "assets/sample/transforms.json",
        "assets/sample/marks.json",
        "assets/sample/label_tree.json",
        "assets/sample/classes.json",
    ],
)
def test_holds(extension_zip, name):
    with zipfile.ZipFile(extension_zip) as archive:
        assert name in archive.namelist()


def test_holds_every_python_file_of_the_three_packages(extension_zip):
    with zipfile.ZipFile(extension_zip) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
    there = {
        path.relative_to(ROOT).as_posix()
        for package in ("backend", "blender_addon", "operators")
        for path in (ROOT / package).rglob("*.py")
    }
    assert packed == there | {"__init__.py"}


def test_holds_nothing_else_than_what_runs(extension_zip):
    with zipfile.ZipFile(extension_zip) as archive:
        names = archive.namelist()
    forbidden = re.compile(
        r"^(tests|docs|benchmarks|scripts|dist|demo|shared)/|(^|/)(\.[^/]+|__pycache__)(/|$)|\.(blend\d|log|pyc|whl|so)$"
    )
    assert [name for name in names if forbidden.search(name)] == []
    tops = {name.split("/")[0] for name in names}
    files = {"blender_manifest.toml", "__init__.py", "LICENSE", "README.md", "CHANGELOG.md"}
    assert tops <= files | {"backend", "blender_addon", "operators", "assets"}


def test_holds_every_picture_that_the_sample_names(extension_zip):
    with zipfile.ZipFile(extension_zip) as archive:
        names = set(archive.namelist())
        frames = json.loads(archive.read("assets/sample/transforms.json"))["frames"]
    assert 24 <= len(frames) <= 36
    for frame in frames:
        stem = Path(frame["file_path"]).stem
        wanted = {f"assets/sample/{frame[key]}" for key in ("file_path", "depth_file_path")}
        assert wanted | {f"assets/sample/labels/{stem}.png"} <= names


def test_permission_reasons_obey_the_rules():
    permissions = MANIFEST["permissions"]
    assert set(permissions) <= {"files", "network", "clipboard", "camera", "microphone"}
    for reason in (*permissions.values(), MANIFEST["tagline"]):
        assert 0 < len(reason) <= 64
        assert reason.isprintable()
        assert reason[-1].isalnum() or reason[-1] in ")]}"


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == MANIFEST["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[?(\d+\.\d+\.\d+)", changes, re.MULTILINE)[1] == MANIFEST["version"]


@pytest.fixture(scope="session")
def installed(extension_zip, tmp_path_factory):
    """What a fresh Blender says at: installed; enabled; disabled; enabled; disabled."""
    home = tmp_path_factory.mktemp("fresh profile ünï")
    script, answer = Path(__file__).with_name("fresh_install.py"), home / "answer.json"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BLENDER_", "PYTHON"))}
    environment["BLENDER_USER_RESOURCES"] = str(home / "resources")
    command = [sys.executable, "-s", str(script), str(extension_zip), str(answer), json.dumps(_operators())]
    done = subprocess.run(
        command, env=environment, cwd=home, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )
    assert answer.exists(), done.stdout + done.stderr
    return json.loads(answer.read_text(encoding="utf-8"))


def _operators() -> list[str]:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "operators").rglob("*.py"))
    return sorted(set(OPERATOR.findall(sources)))


def test_installs_switched_off(installed):
    assert installed[0] == {"enabled": False}


@pytest.mark.parametrize("turn", [1, 3])
def test_enables_with_all_operators_and_no_policy_warning(installed, turn):
    step = installed[turn]
    assert step["enabled"] and step["loaded"]
    assert step["operators"] == _operators()
    assert len(step["operators"]) >= 8
    assert step["properties"] == ["Scene", "Object", "WindowManager"]
    assert step["warnings"] == {}


@pytest.mark.parametrize("turn", [2, 4])
def test_disabling_leaves_nothing_behind(installed, turn):
    assert installed[turn] == {"enabled": False, "left": {}, "operators": []}
