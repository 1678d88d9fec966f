"""Write ``assets/backend.lock``: every wheel that *Install Backend* may take, with size and SHA-256.

``python scripts/lock_backend.py``, with uv beside that Python or on PATH. Versions come from ``pyproject.toml`` held
to ``constraints.txt`` (which the tests run on); wheels and digests from the package index that pip is configured for,
or uv's own. Torch's other builds are locked where that index, or its folder of wheels, holds them; elsewhere they are
found, by version, when they are installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from blender_addon.bridge.install_settings import configured  # noqa: E402
from blender_addon.bridge.wheels import Machine, fits  # noqa: E402

UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
NEW = (99, 0)  # of libc or macOS: what is only in a newer system is locked too
PYTHONS = (11, 12, 13, 14)
MACHINES = [
    Machine((3, minor), system, architecture, NEW, NEW)
    for minor in PYTHONS
    for system, architecture in (("linux", "x86_64"), ("windows", "x86_64"), ("macos", "arm64"))
]
CUDA_ON_LINUX = ("nvidia-", "cuda-", "triton")
# numpy before 2 is what Blender up to 5.0 and the tests use; Python 3.13 needs a newer one.
NUMPY = ("1.26.4", "2.4.6")
# Lengths of paths and sizes that no index tells, measured on the wheels themselves.
LONGEST_PATH = 171  # a licence file in torch's wheel
# Words; torch's own name for the build, and how uv is told to choose it, where package indexes do not hold it by
# default; bytes (about) where its wheel is not locked; does the wheel bring all it needs?
BUILDS = {
    "linux/cuda": ("NVIDIA graphics card (CUDA 13)", "", "", 0, True),
    "linux/cuda12": ("NVIDIA graphics card (CUDA 12)", "cu126", "auto", 3_000_000_000, False),
    "linux/rocm": ("AMD graphics card (ROCm)", "rocm7.2", "auto", 4_500_000_000, False),
    "linux/cpu": ("processor", "cpu", "cpu", 191_815_667, True),
    "windows/cuda": ("NVIDIA graphics card (CUDA 13)", "cu130", "auto", 1_900_000_000, True),
    "windows/cuda12": ("NVIDIA graphics card (CUDA 12)", "cu126", "auto", 2_594_548_547, True),
    "windows/cpu": ("processor", "", "", 0, True),
    "macos/metal": ("Apple graphics processor", "", "", 0, True),
}
PLAIN = [key for key, (_label, local, *_rest) in BUILDS.items() if not local]


def compiled(lines: list[str], *options: str, all_places: bool = False) -> list[dict]:
    """The packages that uv finds for requirements, for all systems, as a pylock.toml tells them.

    ``all_places`` asks further indexes and folders of wheels too; they may hold other builds under the same version.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "asked.txt", Path(folder) / "pylock.toml"
        asked.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [str(UV), "pip", "compile", "--quiet", "--universal", "--format", "pylock.toml", "-o", str(answer)]
        subprocess.run([*command, *_places(all_places), *options, str(asked)], check=True)
        return tomllib.loads(answer.read_text(encoding="utf-8"))["packages"]


def _places(all_places: bool) -> list[str]:
    """uv's arguments for what pip is configured for."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    found = configured(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    pairs = list(zip(found[::2], found[1::2], strict=False))
    kept = chain(*(pair for pair in pairs if all_places or pair[0] == "--default-index"))
    return [*kept, "--index-strategy", "unsafe-best-match"]


def everything() -> tuple[list[dict], set[str]]:
    """All packages that the backend needs on any of the systems, uv too; and the names of those that it must have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    held = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    held = [line for line in held if not re.match(r"(bpy|numpy)\b", line)]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "held.txt"
        constraints.write_text("\n".join(held), encoding="utf-8")
        options = ["--python-version", f"3.{PYTHONS[0]}", "-c", str(constraints)]
        extras = list(chain(*project["optional-dependencies"].values()))
        found = compiled([*project["dependencies"], *extras], *options)
        required = {package["name"] for package in compiled(project["dependencies"], *options)}
    found = [package for package in found if package["name"] != "numpy"]
    for version in NUMPY:
        found += compiled([f"numpy=={version}"], "--no-deps", "--python-version", f"3.{PYTHONS[0]}")
    uv = subprocess.run([str(UV), "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    found += compiled([f"uv=={uv}"], "--no-deps")
    return sorted(found, key=lambda package: (package["name"], package["version"])), required | {"uv"}


def wheels_of(package: dict) -> list[dict]:
    """The lock's entries of one package's wheels that fit any of the machines, the best fitting first."""
    places = {_file(wheel["url"]): wheel for wheel in package.get("wheels", [])}
    files = sorted(places, key=_preference)
    needed = {next((file for file in files if fits(file, machine)), None) for machine in MACHINES} - {None}
    return [
        {"file": file, "sha256": places[file]["hashes"]["sha256"], "size": size_of(places[file]["url"])}
        for file in sorted(needed, key=_preference)
    ]


def _file(url: str) -> str:
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])


def size_of(url: str) -> int:
    """Bytes of a file on a server."""
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
        return int(answer.headers["Content-Length"])


def _preference(file: str) -> tuple:
    """Wheels for one Python before those for all; the oldest libc or macOS first, since it fits most machines."""
    tag = file.removesuffix(".whl").rsplit("-", 1)[1]
    least = [int(number) for number in re.findall(r"_(\d+)", tag)][:2]
    return ("abi3" in file, "universal2" in file, tag == "any", least, file)


def of_torch_builds(version: str) -> list[dict]:
    """Entries of those other builds of torch that the configured indexes hold and that bring all they need."""
    entries = []
    for key, (_label, local, _backend, _about, alone) in BUILDS.items():
        if not local or not alone:
            continue
        wheels: dict[str, dict] = {}
        for minor in PYTHONS:
            try:
                options = ["--no-deps", "--python-version", f"3.{minor}"]
                found = compiled([f"torch=={version}+{local}"], *options, all_places=True)
            except subprocess.CalledProcessError:
                continue  # uv has said why; it is found, by version, when it is installed
            wheels |= {entry["file"]: entry for package in found for entry in wheels_of(package)}
        machines = [machine for machine in MACHINES if machine.system == key.partition("/")[0]]
        files = [entry for entry in wheels.values() if any(fits(entry["file"], machine) for machine in machines)]
        print(f"torch {version}+{local} for {key}: {len(files)} wheels")
        if files:
            entries.append({"name": "torch", "version": f"{version}+{local}", "builds": [key], "wheels": files})
    return entries


def lock() -> dict:
    """The whole lock."""
    found, required = everything()
    with ThreadPoolExecutor(8) as pool:
        wheels = list(pool.map(wheels_of, found))
    packages = []
    for one, files in zip(found, wheels, strict=True):
        package = {"name": one["name"], "version": one["version"], "wheels": files}
        if one["name"].startswith(CUDA_ON_LINUX):
            package["builds"] = ["linux/cuda"]
            package["wheels"] = [file for file in files if "linux" in file["file"] or "-any." in file["file"]]
        elif one["name"] == "torch":
            package["builds"] = PLAIN
        elif one["name"] not in required:
            package["optional"] = True
        packages.append(package)
        print(f"{one['name']} {one['version']}: {len(files)} wheels")
    torch = next(one["version"] for one in found if one["name"] == "torch")
    builds = {
        key: {
            "label": label,
            "torch": f"{torch}+{local}" if local else torch,
            "backend": backend,
            "about": about,
            "alone": alone,
        }
        for key, (label, local, backend, about, alone) in BUILDS.items()
    }
    return {"longest_path": LONGEST_PATH, "builds": builds, "packages": packages + of_torch_builds(torch)}


def main() -> None:
    """Write the lock."""
    text = json.dumps(lock(), indent=1)
    # One wheel a line, so that a change of the lock can be read.
    text = re.sub(r"\{\s+\"file\": ([^}]+?)\s+\}", lambda found: '{"file": ' + " ".join(found[1].split()) + "}", text)
    (ROOT / "assets" / "backend.lock").write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
