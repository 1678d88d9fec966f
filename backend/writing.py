"""Small files of results, written to a temporary name and renamed, so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from .errors import UserError


def write_json(path: Path, data: dict) -> None:
    """Write JSON. Raises UserError."""
    write_bytes(path, json.dumps(data, indent=1, ensure_ascii=False).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes, making the folder. Raises UserError."""
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(
            "cannot_write", f"{path} could not be written ({error.strerror}); free some space or choose another folder."
        ) from error
