"""A folder of results: new, and written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError


def check_folder(out: Path) -> None:
    """Raises UserError unless nothing is there, or an empty folder."""
    try:
        free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    except OSError as error:
        raise UserError("cannot_write", f"{out} cannot be read ({error.strerror}); choose another folder.") from error
    if not free:
        raise UserError("not_empty", f"{out} is not an empty folder; choose a new one.")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that becomes ``out`` when all went well. Raises UserError."""
    try:
        check_folder(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            yield made
            if out.exists():
                out.rmdir()
            made.chmod(0o755)
            made.rename(out)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        why = error.strerror or error
        if isinstance(error.filename, str) and not Path(error.filename).is_relative_to(out.parent):  # what goes into it
            sentence = f"The file {error.filename} cannot be read ({why}); bring it back and try again."
            raise UserError("unreadable", sentence, repr(error)) from error
        sentence = f"The folder {out} could not be written ({why}); free some space or choose another folder."
        raise UserError("cannot_write", sentence, repr(error)) from error
