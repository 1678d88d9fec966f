"""Install the real backend into a folder, as *Install Backend* does, and ask its doctor.

    python benchmarks/install.py FOLDER [--wheels FOLDER] [--index INDEX] [--kind cpu]

``--wheels`` installs from a folder of wheels, without network; ``--index`` names a package index. Prints how long each
step took and how many bytes it left.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOOK = 0.05  # seconds between two looks


def _bridge(*names: str) -> list:
    """Modules of the add-on's bridge, under a name for the extension's root package."""
    spec = importlib.util.spec_from_file_location(
        "clickfield", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    sys.modules["clickfield"] = importlib.util.module_from_spec(spec)
    return [importlib.import_module(f"clickfield.blender_addon.bridge.{name}") for name in names]


def run(given: argparse.Namespace) -> int:
    """Install, print a table of steps; 0 when the doctor is content."""
    install, folders, device, wheels = _bridge("install", "install_folder", "install_device", "wheels")
    lock = wheels.read_lock(ROOT / "assets" / "backend.lock")
    plan = lock.plan(wheels.this_machine(), given.kind or device.kind())
    title = f"{len(plan.wheels)} packages, torch {plan.build.torch} for the {plan.build.label}"
    print(f"{title}, {plan.size() / 1e6:.0f} MB to download, {plan.room() / 1e6:.0f} MB on the disk (expected)")
    started = time.perf_counter()
    job = install.Job(plan, given.folder, ROOT, Path(sys.executable), given.wheels, given.index)
    work = install.Install(job)
    steps: dict[str, float] = {}
    while work.poll() is None:
        step = work.progress.text.split()[0]
        steps[step] = steps.get(step, 0.0) + LOOK
        time.sleep(LOOK)
    finding = work.poll()
    print("\n".join(f"{step:12} {seconds:6.1f} s" for step, seconds in steps.items()))
    print(f"{'in all':12} {time.perf_counter() - started:6.1f} s")
    print(f"wheels {folders.size_of(job.kept) / 1e6:.0f} MB, ", end="")
    print(f"environment {folders.size_of(job.environment) / 1e6:.0f} MB")
    print(finding.sentence)
    print(folders.installed(given.folder, plan.digest).sentence)
    return 0 if finding.ok else 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--index", default="", help="default: what pip or uv are configured for")
    parser.add_argument("--kind", help="cuda, cuda12, rocm, metal or cpu; default: what the machine has")
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
