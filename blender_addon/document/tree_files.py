"""Trees of labels in files: presets that come with Clickfield, and trees that people exchange. No marks are in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import labels
from .labels import DocumentError
from .tree import MAX_DEPTH, Row, paths

FOLDER = Path(__file__).resolve().parents[1] / "presets"
PRESETS = (
    ("nyu-13", "NYU-13", "The 13 classes of indoor scenes of NYU Depth v2 and SUN RGB-D, in three groups"),
    ("nyu-40", "NYU-40", "The 40 classes of NYU Depth v2, grouped by what they are"),
    ("scannet-20", "ScanNet-20", "The 20 classes of the ScanNet benchmark, grouped by what they are"),
    ("empty", "Empty", "No labels"),
)


def load_preset(name: str) -> list[dict[str, Any]]:
    """The nodes of a preset, by its name in PRESETS. Raises DocumentError."""
    return load_tree(FOLDER / f"{name}.json")


def load_tree(path: Path) -> list[dict[str, Any]]:
    """The checked nodes of a file with a tree or a whole label document, whose marks are left out.

    Raises:
        DocumentError: one sentence that says what is wrong with the file.
    """
    nodes = labels.load(path)["tree"]
    for node in nodes:
        if not node["name"].isprintable() or not node["name"].strip():
            raise DocumentError(f"The label with the uid {node['uid']} in {path.name} has a name that cannot be shown.")
    if any(len(trail) > MAX_DEPTH for trail in paths(map(Row.of, nodes)).values()):
        raise DocumentError(f"The tree in {path.name} has more than {MAX_DEPTH} levels.")
    return nodes


def save_tree(document: dict[str, Any], path: Path) -> None:
    """Write a checked document without its marks. Raises OSError."""
    labels.save({**document, "marks": []}, path)
