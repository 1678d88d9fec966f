"""Makes the pictures of the README from the sample capture: click, spread, separate.

python scripts/make_pictures.py [--out docs/images]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from backend.captures.detect import ImportOptions  # noqa: E402
from backend.console import ProgressBar  # noqa: E402
from backend.label_job import in_scene, read_document  # noqa: E402
from backend.objects.assets import Options  # noqa: E402
from backend.workspace import Workspace  # noqa: E402

SAMPLE = ROOT / "assets" / "sample"
FRAMES = ("000000", "000010", "000014")
COLUMNS, CELL = 8, 120
BACKGROUND = (38, 40, 44)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    bar = ProgressBar()
    with Workspace("cpu") as workspace:
        workspace.open(SAMPLE, ImportOptions(), bar, lambda capture: None)
        document = in_scene(read_document(SAMPLE / "marks.json"), workspace.capture)
        workspace.label(document, bar)
        workspace.settle(bar)
        assets = workspace.separate(Options(texture=1024), bar)
        rows = [_photos(workspace, document), _labels(workspace, document)]
    bar.close()
    strip = Image.fromarray(np.concatenate(rows))
    strip.save(out / "click_and_spread.jpg", quality=88)
    things = {node["uid"] for node in document["tree"] if node["thing"]}
    shown = [made.preview for made in assets.objects if made.label in things]
    _sheet(shown).save(out / "objects.jpg", quality=88)


def _photos(workspace: Workspace, document: dict) -> np.ndarray:
    """The photos with the marks made on them."""
    colors = {node["uid"]: tuple(int(255 * c) for c in node["color"]) for node in document["tree"]}
    cells = []
    for name in FRAMES:
        image = Image.fromarray(workspace.capture.frame(name).color())
        draw = ImageDraw.Draw(image)
        for mark in document["marks"]:
            if mark["frame"] == name:
                u, v = mark["u"], mark["v"]
                draw.ellipse([u - 6, v - 6, u + 6, v + 6], fill=colors[mark["label"]], outline=(255, 255, 255), width=2)
        cells.append(np.asarray(image))
    return np.concatenate(cells, axis=1)


def _labels(workspace: Workspace, document: dict) -> np.ndarray:
    """The same frames in the colours of their labels."""
    palette = np.zeros((65536, 3))
    for node in document["tree"]:
        palette[node["uid"]] = node["color"]
    cells = []
    for name in FRAMES:
        frame = workspace.capture.frame(name)
        view, photo = workspace.keyframe_view(frame), frame.color() / 255
        grey = photo.mean(-1, keepdims=True)
        cells.append((255 * (0.7 * palette[view.labels] * (0.55 + 0.6 * grey) + 0.3 * photo)).clip(0, 255))
    return np.concatenate(cells, axis=1).astype(np.uint8)


def _sheet(pictures: list[np.ndarray]) -> Image.Image:
    """The objects' pictures on one sheet."""
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL, rows * CELL), BACKGROUND)
    for index, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((CELL, CELL), Image.Resampling.LANCZOS)
        sheet.paste(small, ((index % COLUMNS) * CELL, index // COLUMNS * CELL), small)
    return sheet


if __name__ == "__main__":
    main()
