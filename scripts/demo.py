"""The main job, end to end, through the real extension in a Blender without a window.

Import, train, mark, separate, asset library, label render; leaves ``demo/`` with the .blend, the asset library and
pictures, and says what it made and how long each step took.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

import build_zip  # noqa: E402
from headless import Headless, leave  # noqa: E402

from backend.console import ProgressBar  # noqa: E402

SAMPLE = ROOT / "assets" / "sample"
PICTURES = 4


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--capture", type=Path, default=SAMPLE / "transforms.json", help="default: the sample")
    parser.add_argument("--marks", type=Path, help="label document; default: the sample's")
    chosen = parser.parse_args()
    if chosen.marks is None and chosen.capture.resolve().parent != SAMPLE.resolve():
        sys.exit("Your own capture needs marks: make demo CAPTURE=folder MARKS=file.json (docs/label_command.md).")
    for path in filter(None, (chosen.capture, chosen.marks)):
        if not path.exists():
            sys.exit(f"There is no file or folder {path}.")
    run(chosen.capture.resolve(), (chosen.marks or SAMPLE / "marks.json").resolve(), ROOT / "demo")
    leave()


def run(capture: Path, marks: Path, out: Path) -> None:
    """Do it all."""
    out.mkdir(parents=True, exist_ok=True)
    for made_before in ("profile", "library", "renders"):
        shutil.rmtree(out / made_before, ignore_errors=True)
    steps: list[tuple[str, float]] = []
    started = time.perf_counter()

    def took(name: str) -> None:
        nonlocal started
        steps.append((name, time.perf_counter() - started))
        started = time.perf_counter()

    bar = ProgressBar()
    blender = Headless(out / "profile", build_zip.build(ROOT / "dist"))
    took("Build and install the extension")
    blender.import_capture(capture, bar)
    took("Import: cameras and scan mesh")
    blender.bpy.ops.clickfield.load_labels(filepath=str(marks))
    blender.until_answered(bar)
    took("First labels")
    blender.until_settled(bar)
    took("Field trained, labels settled")
    objects = blender.separate(bar)
    took("Separate")
    blender.bpy.ops.clickfield.save_asset_library(directory=str(out / "library"))
    took("Asset library")
    bar.close()
    _render(blender, out)
    took("Label renders")
    blender.bpy.ops.wm.save_as_mainfile(filepath=str(out / f"{blender.own.capture_name}.blend"), compress=True)
    took("Save the .blend")
    blender.stop()
    _tell(blender, objects, steps, out)


def _render(blender: Headless, out: Path) -> None:
    cameras = [item for item in blender.bpy.context.scene.objects if item.clickfield.role == "CAMERA"]
    cameras.sort(key=lambda item: item.clickfield.frame)
    for camera in cameras[:: max(len(cameras) // PICTURES, 1)][:PICTURES]:
        blender.bpy.ops.clickfield.render_labels(directory=str(out / "renders"), camera=camera.name)


def _tell(blender: Headless, objects: list, steps: list[tuple[str, float]], out: Path) -> None:
    scan = blender.scan()
    print(f"\n{blender.own.capture_name}: {len(scan.data.vertices):,} vertices, {len(objects)} objects")
    for item in sorted(objects, key=lambda item: item.name):
        size = " x ".join(f"{side:.2f}" for side in item.dimensions)
        print(f"  {item.name:<24} {size} m, {len(item.data.vertices):,} vertices")
    print("\nSeconds")
    for name, seconds in steps:
        print(f"  {name:<34} {seconds:7.1f}")
    print(f"  {'Longest slice of the main thread':<34} {blender.longest_tick:7.3f}")
    print(f"\nMade in {out}")
    for path in sorted(out.glob("*.blend")) + sorted((out / "library").glob("*")) + sorted(out.glob("renders/*/*.png")):
        print(f"  {path.relative_to(out)}  {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
