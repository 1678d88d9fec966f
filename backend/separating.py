"""The request ``separate``: what it may ask for, and its answer as it travels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import UserError
from .labels.placement import PlacedMark
from .objects.assets import HULLS, Asset, Assets, Options
from .objects.instances import Claim, Known
from .objects.validity import Report

SMALLEST_TEXTURE, LARGEST_TEXTURE = 512, 4096
LARGEST_MARGIN = 0.5  # metres
MOST_KNOWN = 10_000


def claims_of(document: dict[str, Any], marks: Iterable[PlacedMark]) -> tuple[Claim, ...]:
    """What the positive marks of a document say about instances, where they lie on the scan."""
    said = {mark["id"]: mark["instance"] for mark in document["marks"]}
    return tuple(
        Claim(mark.label, said[mark.id], mark.vertices)
        for mark in marks
        if mark.problem is None and mark.sign > 0 and said.get(mark.id)
    )


def options_of(params: dict[str, Any]) -> Options:
    """The options in a request. Raises UserError with a sentence that names the one at fault."""
    texture, hulls = params.get("texture", 0), params.get("hulls", "none")
    if type(texture) is not int or not (texture == 0 or SMALLEST_TEXTURE <= texture <= LARGEST_TEXTURE):
        sides = f"{SMALLEST_TEXTURE} to {LARGEST_TEXTURE}"
        raise UserError("bad_request", f"A texture has 0 (none) or {sides} pixels along a side, not {texture!r}.")
    if hulls not in HULLS:
        raise UserError("bad_request", f"Collision hulls are one of {', '.join(HULLS)}, not {hulls!r}.")
    known = params.get("known", [])
    if not isinstance(known, list) or len(known) > MOST_KNOWN:
        raise UserError("bad_request", f"'known' in the request is not a list of at most {MOST_KNOWN} objects.")
    return Options(
        min_size=_metres(params, "min_size", 0.04, 0.0, 1000.0),
        margin=_metres(params, "margin", 0.0, -LARGEST_MARGIN, LARGEST_MARGIN),
        close=_whether(params, "close", True),
        mirror=_whether(params, "mirror", False),
        fill=_whether(params, "fill", False),
        texture=texture,
        hulls=hulls,
        known=tuple(_known(entry) for entry in known),
    )


def _metres(params: dict[str, Any], key: str, usual: float, low: float, high: float) -> float:
    value = params.get(key, usual)
    if type(value) not in (int, float) or not low <= value <= high:
        raise UserError("bad_request", f"{key!r} must be a length from {low:g} to {high:g} m, not {value!r}.")
    return float(value)


def _whether(params: dict[str, Any], key: str, usual: bool) -> bool:
    value = params.get(key, usual)
    if not isinstance(value, bool):
        raise UserError("bad_request", f"{key!r} must be true or false, not {value!r}.")
    return value


def _known(entry: Any) -> Known:
    entry = entry if isinstance(entry, dict) else {}
    numbers, center = [entry.get("label"), entry.get("instance")], entry.get("centre")
    placed = isinstance(center, list) and len(center) == 3
    placed = placed and all(type(c) in (int, float) and math.isfinite(c) for c in center)
    if not placed or any(type(number) is not int or number < 1 for number in numbers):
        raise UserError("bad_request", "An object in 'known' needs a label, an instance and a centre of three numbers.")
    return Known(*numbers, np.array(center, np.float64))


def described(assets: Assets) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The answer's data and its arrays by name."""
    objects, arrays = [], {}
    for index, asset in enumerate(assets.objects):
        objects.append(_entry(asset))
        arrays |= {f"o{index}.{name}": array for name, array in _arrays(asset).items()}
    filled = assets.filled
    if filled is not None:
        arrays |= {
            "filled.positions": filled.vertices.astype(np.float32),
            "filled.faces": filled.faces.astype(np.int32),
            "filled.colors": filled.colors,
            "filled.observed": _byte(filled.observed),
        }
    data = {
        "objects": objects,
        "crumbs": {"pieces": int(assets.crumb_pieces), "faces": int(assets.crumb_faces)},
        "notes": list(assets.notes),
        "filled": filled and {"name": filled.name, "vertices": len(filled.vertices), "faces": len(filled.faces)},
    }
    return data, arrays


def _entry(asset: Asset) -> dict[str, Any]:
    report = asset.report
    return {
        "name": asset.name,
        "label": int(asset.label),
        "instance": int(asset.instance),
        "origin": [float(c) for c in asset.pose.origin],
        "yaw": float(asset.pose.yaw),
        "dimensions": [float(c) for c in asset.pose.dimensions],
        "vertices": len(asset.vertices),
        "faces": len(asset.faces),
        "report": reported(report),
        "texture": 0 if asset.texture is None else int(asset.texture.shape[0]),
        "hulls": len(asset.hulls),
    }


def _arrays(asset: Asset) -> dict[str, np.ndarray]:
    arrays = {
        "positions": asset.vertices.astype(np.float32),
        "faces": asset.faces.astype(np.int32),
        "colors": asset.colors.astype(np.uint8),
        "confidence": _byte(asset.confidence),
        "observed": _byte(asset.observed),
        "preview": asset.preview,
    }
    if asset.texture is not None:
        arrays |= {"uv": asset.uv.astype(np.float32), "texture": asset.texture.astype(np.uint8)}
    for number, (vertices, faces) in enumerate(asset.hulls):
        arrays[f"hull{number}.positions"] = vertices.astype(np.float32)
        arrays[f"hull{number}.faces"] = faces.astype(np.int32)
    return arrays


def _byte(unit: np.ndarray) -> np.ndarray:
    """Fractions 0..1 as uint8 0..255."""
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def reported(report: Report) -> dict[str, Any]:
    """A report as it travels."""
    return {
        "closed": bool(report.closed),
        "volume": float(report.volume),
        "hull_ratio": float(report.hull_ratio),
        "free_violation": float(report.free_violation),
        "observed": float(report.observed),
        "mirror_error": None if report.mirror_error is None else float(report.mirror_error),
        "notes": list(report.notes),
    }
