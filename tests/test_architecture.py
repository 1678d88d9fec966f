"""The rules of the house, held by reading the source: who imports whom, how long a page is, what is forbidden."""

import ast
import re
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSES = ("backend", "blender_addon", "operators", "benchmarks", "scripts")
MAX_FILE, MAX_FUNCTION = 400, 60

BLENDER = {
    "bpy",
    "bmesh",
    "mathutils",
    "gpu",
    "blf",
    "bl_math",
    "bpy_extras",
    "gpu_extras",
    "bl_ui",
    "rna_keymap_ui",
    "addon_utils",
    "idprop",
}
BACKEND_LIBRARIES = {"torch", "skimage", "scipy", "safetensors", "trimesh", "triton"}
STANDARD = set(sys.stdlib_module_names) | {"__future__"}
# Data flows from left to right; a package may import those before it.
FLOW = ("captures", "surface", "field", "labels", "objects", "evaluation")
# Modules of the backend that anyone there may import; they import one another at most.
GROUND = {
    *("errors", "protocol", "devices", "budget", "store", "images", "new_folder", "console", "out_of_memory"),
    "progress",
}


def sources(*houses):
    return sorted(path for house in houses for path in (ROOT / house).rglob("*.py") if "__pycache__" not in path.parts)


PRODUCT = [ROOT / "__init__.py", *sources(*HOUSES)]


def name_of(path):
    """The dotted name of a project file, seen from the root: ``backend.captures.detect``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path, tree=None):
    """(dotted name, line, relative?) of everything that a file imports, at its top or inside functions."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree or tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from ((".".join([*base, alias.name]), node.lineno, node.level > 0) for alias in node.names)


def module_of(name):
    """The project module that a dotted name lies in, or "" when it is none of ours."""
    parts = name.split(".")
    while parts:
        place = ROOT.joinpath(*parts)
        if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
            return ".".join(parts)
        parts.pop()
    return ""


def edges(paths):
    """(file, line, imported dotted name, project module or "", relative?) of every import."""
    return [(path, line, name, module_of(name), relative) for path in paths for name, line, relative in imports(path)]


def told(offences):
    return "\n".join(f"{path.relative_to(ROOT)}:{line}: {text}" for path, line, text in offences)


def assert_none(offences):
    assert not offences, "\n" + told(offences)


def top(name):
    return name.split(".")[0]


def within(module, *packages):
    return any(module == package or module.startswith(package + ".") for package in packages)


# Who may import whom.


def test_backend_knows_neither_blender_nor_the_addon():
    offences = []
    for path, line, name, _, _ in edges(sources("backend")):
        if top(name) in BLENDER | {"blender_addon", "operators", "tests", "clickfield", "scripts", "benchmarks"}:
            offences.append((path, line, f"the backend imports {name}"))
    assert_none(offences)


@pytest.mark.parametrize("module", ["protocol", "errors"])
def test_modules_for_both_processes_need_only_the_standard_library(module):
    found = edges([ROOT / "backend" / f"{module}.py"])
    assert_none(
        [(path, line, f"{module} imports {name}") for path, line, name, _, _ in found if top(name) not in STANDARD]
    )


def test_blenders_side_takes_from_the_backend_only_the_protocol():
    offences = []
    for path, line, name, module, relative in edges([ROOT / "__init__.py", *sources("blender_addon", "operators")]):
        if within(module, "backend") and (module != "backend.protocol" or not relative):
            offences.append((path, line, f"imports {name}; only `from ...backend import protocol` is allowed"))
        if top(name) in BACKEND_LIBRARIES:
            offences.append((path, line, f"imports {name} into Blender's process"))
    assert_none(offences)


def test_blenders_side_imports_itself_relatively():
    offences = []
    for path, line, name, module, relative in edges([ROOT / "__init__.py", *sources("blender_addon", "operators")]):
        if within(module, "blender_addon", "operators", "backend") and not relative:
            offences.append((path, line, f"imports {name} absolutely; under bl_ext that name does not exist"))
        if not module and not relative and top(name) not in STANDARD | BLENDER | {"numpy"}:
            offences.append((path, line, f"imports {name}, which Blender does not bring"))
    assert_none(offences)


def test_addon_does_not_know_the_operators():
    found = edges(sources("blender_addon"))
    assert_none(
        [(path, line, f"imports {name}") for path, line, name, module, _ in found if within(module, "operators")]
    )


@pytest.mark.parametrize(("package", "more"), [("document", set()), ("bridge", {"numpy"})])
def test_document_and_bridge_know_no_blender(package, more):
    offences = []
    home = f"blender_addon.{package}"
    for path, line, name, module, relative in edges(sources(f"blender_addon/{package}")):
        if module and not within(module, "blender_addon.document", home, "backend.protocol"):
            offences.append((path, line, f"{home} imports {name}"))
        if not module and not relative and top(name) not in STANDARD | more:
            offences.append((path, line, f"{home} imports {name}"))
    assert_none(offences)


def test_root_imports_nothing_at_module_level():
    tree = tree_of(ROOT / "__init__.py")
    assert not [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_backend_data_flows_one_way():
    offences = []
    for path, line, name, module, _ in edges(sources("backend")):
        here, there = name_of(path).split(".")[1:2], module.split(".")[1:2]
        if not within(module, "backend") or not here or not there:
            continue
        if here[0] in GROUND and there[0] not in GROUND:
            offences.append((path, line, f"{name_of(path)} is ground for all and may not import {name}"))
        elif here[0] in FLOW and there[0] not in GROUND | set(FLOW[: FLOW.index(here[0]) + 1]):
            offences.append((path, line, f"{name_of(path)} imports {name}, which comes after it"))
    assert_none(offences)


def test_nothing_imports_in_circles():
    known = {name_of(path): path for path in PRODUCT if path.parent != ROOT}
    graph = {name: set() for name in known}
    for path, _, _, module, _ in edges(known.values()):
        if module in known and module != name_of(path):
            graph[name_of(path)].add(module)
    finished, circles = set(), []

    def visit(name, trail):
        if name in trail:
            circles.append(" -> ".join([*trail[trail.index(name) :], name]))
        elif name not in finished:
            for following in sorted(graph[name]):
                visit(following, [*trail, name])
            finished.add(name)

    for name in sorted(graph):
        visit(name, [])
    assert not circles, circles


def test_every_package_of_the_house_is_a_package():
    folders = {path.parent for path in sources("backend", "blender_addon", "operators")}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").exists()]


# How long, and what is forbidden.


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    offences = []
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MAX_FILE:
        offences.append((path, lines, f"{lines} lines; {MAX_FILE} is the most"))
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION:
                offences.append((path, node.lineno, f"{node.name} has {length} lines; {MAX_FUNCTION} is the most"))
    assert_none(offences)


def dotted(node):
    """``a.b.c`` of an expression, or ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "multiprocessing", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "torch.load", "os.system", "os.popen", "breakpoint", "__import__"}


def forbidden_things(path):
    tree = tree_of(path)
    for name, line, _ in imports(path, tree):
        if top(name) in FORBIDDEN_MODULES:
            yield path, line, f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            if called in FORBIDDEN_CALLS or (isinstance(node.func, ast.Attribute) and node.func.attr == "extractall"):
                yield path, node.lineno, f"calls {called or 'extractall'}"
            if "shell" in options and not _is(options["shell"], False):
                yield path, node.lineno, "runs a shell"
            if "allow_pickle" in options and not _is(options["allow_pickle"], False):
                yield path, node.lineno, "reads pickles with numpy"
            if called in ("np.load", "numpy.load") and "allow_pickle" not in options:
                yield path, node.lineno, "np.load without allow_pickle=False"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield path, node.lineno, "has a bare except"
        elif isinstance(node, ast.Name) and node.id == "NotImplementedError":
            yield path, node.lineno, "is not finished"


def _is(node, value):
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_forbidden_things(path):
    assert_none(list(forbidden_things(path)))


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "eval('1')",
        "archive.extractall('x')",
        "tarfile.open('x').extractall()",
        "subprocess.run('x', shell=True)",
        "np.load('x')",
        "np.load('x', allow_pickle=True)",
        "try:\n    pass\nexcept:\n    pass",
        "raise NotImplementedError",
    ],
)
def test_forbidden_things_are_found(tmp_path, monkeypatch, text):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "module.py").write_text(text)
    assert len(list(forbidden_things(tmp_path / "module.py"))) == 1


def test_import_reader_sees_relative_and_nested_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "a" / "b" / "module.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import x.y\ndef f():\n    from ...backend import protocol\n    from . import z\n    from .c import d\n"
    )
    found = {(name, relative) for name, _, relative in imports(path)}
    assert found == {("x.y", False), ("backend.protocol", True), ("a.b.z", True), ("a.b.c.d", True)}


# Versions.


def test_one_version_everywhere():
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert manifest == project
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]?", changelog, re.MULTILINE)
    assert versions and versions[0] == manifest
    numbers = [tuple(map(int, version.split("."))) for version in versions]
    assert all(newer > older for newer, older in pairwise(numbers))
