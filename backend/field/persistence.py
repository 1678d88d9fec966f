"""A settled field on disk: ``<stem>.safetensors`` with the numbers and ``<stem>.json`` with what they mean."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ..errors import UserError
from .encoding import grid_nodes
from .field import Field, FieldConfig

FORMAT = 2
_MAX_META = 1 << 20
_MAX_NUMBERS = 256 << 20  # bytes; a usual field has 5 MB
_MAX_OUTPUTS = 1 << 16


def save(field: Field, stem: Path, meta: dict[str, Any]) -> int:
    """Write a settled field; bytes of both files.

    Grids are kept in half precision, which is exact because settling, and the last label step, have rounded them.
    Labels in the middle of their training are kept in full.

    Args:
        stem: path without suffix; its folder is made.
        meta: anything that JSON can hold (scene hash, steps, ...); comes back from ``load``.

    Raises:
        ValueError: the field is not settled.
        UserError: the files cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in field.state_dict().items()}
    for name in [name for name in tensors if "grids." in name]:
        half = tensors[name].half()
        if torch.equal(half.float(), tensors[name]):
            tensors[name] = half
        elif name.startswith("grids."):
            raise ValueError("only a settled field can be saved")
    data = save_tensors(tensors)
    description = {
        "format": FORMAT,
        "config": field.config.to_json(),
        "box": field.box.tolist(),
        "outputs": field.outputs,
        "meta": meta,
    }
    description["sha256"] = _digest(description, data)
    text = json.dumps(description, indent=1).encode()
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        _replace(stem.with_name(stem.name + ".safetensors"), data)
        _replace(stem.with_name(stem.name + ".json"), text)
    except OSError as error:
        raise UserError(
            "field_not_saved",
            f"The trained field cannot be kept in {stem.parent} ({error.strerror}); "
            "free some space or choose another cache folder.",
        ) from error
    return len(data) + len(text)


def _digest(description: dict[str, Any], data: bytes) -> str:
    """Of the numbers and of what they mean: a changed digit of the box is another field."""
    said = {key: value for key, value in description.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode() + data).hexdigest()


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + f".{os.getpid()}.tmp")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(stem: Path) -> tuple[Field, dict[str, Any]]:
    """Read a settled field back: the same bits as were saved, and the ``meta`` that it was saved with.

    Raises:
        UserError: a file is missing, damaged or of another format; training anew replaces it.
    """
    try:
        with open(stem.with_name(stem.name + ".json"), "rb") as stream:
            text = stream.read(_MAX_META)
        with open(stem.with_name(stem.name + ".safetensors"), "rb") as stream:
            data = stream.read(_MAX_NUMBERS)
        os.utime(stream.name)
    except OSError as error:
        raise UserError(
            "field_missing", f"The saved field {stem.name} cannot be read; it will be trained again.", str(error)
        ) from error
    try:
        return _parse(text, data)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError, SafetensorError) as error:
        raise UserError(
            "field_damaged", f"The saved field {stem.name} is damaged; it will be trained again.", repr(error)
        ) from error


def _parse(text: bytes, data: bytes) -> tuple[Field, dict[str, Any]]:
    description = json.loads(text)
    if description["format"] != FORMAT:
        raise ValueError(f"format {description['format']!r}")
    if _digest(description, data) != description["sha256"]:
        raise ValueError("the hash of the numbers does not fit")
    outputs, config, box = description["outputs"], FieldConfig.from_json(description["config"]), description["box"]
    if type(outputs) is not int or not 0 <= outputs <= _MAX_OUTPUTS:
        raise ValueError(f"{outputs!r} outputs")
    state = {name: tensor.float() for name, tensor in load_tensors(data).items()}
    if _least_values(config, box, outputs) > sum(tensor.numel() for tensor in state.values()):
        raise ValueError("the file is too small for the field that it describes")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise ValueError("numbers that are not finite")
    field = Field(config, torch.tensor(box))
    if outputs:
        field.reset_semantics(outputs, 0)
    field.load_state_dict(state)
    for group in field.geometry_parameters():
        for parameter in group:
            parameter.requires_grad_(False)
    return field, description["meta"]


def _least_values(config: FieldConfig, box: list[list[float]], outputs: int) -> int:
    """Numbers that such a field has at least, so that a small file cannot ask for a large one."""
    sides = [high - low for low, high in zip(*box, strict=True)]
    if not (len(sides) == 3 and min(sides) > 0 and math.isfinite(sum(sides))):
        raise ValueError(f"not a box: {box}")
    extent = tuple(2 * side / max(sides) for side in sides)
    levels = (*config.resolutions, *(config.semantic_resolutions if outputs else ()))
    grids = sum(math.prod(grid_nodes(extent, resolution)) for resolution in levels) * config.grid_features
    return grids + config.hidden * ((config.layers - 1) * config.hidden + config.feature_dim + outputs)
