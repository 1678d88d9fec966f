"""The cache: files under content keys, checked when read, bounded in size. Anything here can be made again.

A file is called ``<key>-<digest><suffix>``: the key says what it was made from, the digest what it holds. A file whose
content does not fit its digest is removed and counts as absent. The folder may vanish at any time. Whatever else lies
in the folder that a person has chosen is never counted, read or removed: see `protocol.is_cached`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import budget
from .errors import UserError
from .protocol import CACHE_TEMPORARY as TEMPORARY
from .protocol import CACHE_UNPACKED as UNPACKED
from .protocol import is_cached

log = logging.getLogger("clickfield.store")

DIGITS = 32  # hexadecimal digits of a SHA-256 in file names; Windows paths are short
LARGEST = 2 << 30  # bytes of a file that is read back; none that is written here comes near
STALE = 3600.0  # seconds after which a temporary file belongs to a process that died


def default_root() -> Path:
    """The per-user cache folder of this system."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return base / "clickfield" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "clickfield"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clickfield"


def key_of(*parts: Any) -> str:
    """A key from what a result was made from: any JSON values; the same values give the same key."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


class Store:
    """A cache folder.

    Args:
        root: the folder; None is the per-user cache folder. It is made when first written to.
        limit: bytes that the folder may hold; what was not used for longest goes first. None: by the budget.
    """

    def __init__(self, root: Path | None = None, limit: int | None = None):
        self.root = Path(root) if root is not None else default_root()
        self.limit = budget.current().cache if limit is None else limit
        self._room = 0  # bytes that may be written before the folder is looked through again

    def put_bytes(self, key: str, data: bytes, suffix: str = ".bin") -> Path:
        """Store under the key, in place of what was there; the path. Raises UserError when it cannot be written."""
        digest = hashlib.sha256(data).hexdigest()[:DIGITS]
        path = self.root / key[:2] / f"{key}-{digest}{suffix}"
        try:
            try:
                self._write(path, data)
            except FileNotFoundError:  # somebody removed the folder between making it and writing
                self._write(path, data)
        except OSError as error:
            raise self._sentence(error) from error
        for old in self._entries(key, suffix):
            if old != path:
                _remove(old)
        self._room -= len(data)
        if self._room < 0:
            self.evict(keep=path)
        return path

    def get_bytes(self, key: str, suffix: str = ".bin") -> bytes | None:
        """What is stored under the key; None when there is nothing or it is damaged (then it is removed)."""
        for path in self._entries(key, suffix):
            try:
                data = path.read_bytes() if path.is_file() and path.stat().st_size <= LARGEST else b""
            except OSError:
                continue
            if path.name == f"{key}-{hashlib.sha256(data).hexdigest()[:DIGITS]}{suffix}":
                _touch(path)
                return data
            log.warning("Damaged cache file removed: %s", path.name)
            _remove(path)
        return None

    def put_json(self, key: str, value: Any) -> Path:
        """Store a JSON value. Raises UserError."""
        return self.put_bytes(key, json.dumps(value, sort_keys=True).encode(), ".json")

    def get_json(self, key: str) -> Any | None:
        """The stored JSON value, or None."""
        data = self.get_bytes(key, ".json")
        try:
            return None if data is None else json.loads(data)
        except (ValueError, RecursionError):
            return self._not_ours(key)

    def put_arrays(self, key: str, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
        """Store named arrays as safetensors. Raises UserError."""
        from safetensors.numpy import save

        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        return self.put_bytes(key, save(contiguous, metadata), ".safetensors")

    def get_arrays(self, key: str) -> dict[str, np.ndarray] | None:
        """The stored arrays, or None."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        data = self.get_bytes(key, ".safetensors")
        try:
            return None if data is None else load(data)
        except (SafetensorError, ValueError, KeyError, TypeError):
            return self._not_ours(key)

    def _not_ours(self, key: str) -> None:
        """The digest fits and yet it is no such file: it was not written here."""
        log.warning("A file of the cache under %s was made by something else; it is removed", key)
        self.remove(key)

    def remove(self, key: str) -> None:
        """Forget everything under the key."""
        for path in self._entries(key, ""):
            _remove(path)

    def size(self) -> int:
        """Bytes of the cache in the folder, without unpacked captures."""
        return sum(size for _, size, _ in self._files())

    def evict(self, keep: Path | None = None) -> int:
        """Remove the least recently used files until the limit is kept; how many. ``keep`` stays in any case."""
        files = sorted(self._files())
        total, removed = sum(size for _, size, _ in files), 0
        for used, size, path in files:
            stale = path.name.startswith(TEMPORARY) and time.time() - used > STALE
            if stale or (total > self.limit and path != keep):
                _remove(path)
                total -= size
                removed += 1
        # Others may write too: look again after a sixteenth, so that n processes keep the limit up to n sixteenths.
        self._room = min(max(self.limit - total, 0), self.limit // 16)
        return removed

    def _entries(self, key: str, suffix: str) -> list[Path]:
        try:
            return sorted((self.root / key[:2]).glob(f"{key}-*{suffix}"))
        except OSError:
            return []

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last use in seconds, bytes, path) of every file of the cache but unpacked captures."""
        for folder, inside, names in os.walk(self.root):
            parts = Path(folder).relative_to(self.root).parts
            inside[:] = [] if len(parts) == 2 else [name for name in inside if (*parts, name) != (UNPACKED,)]
            for name in names:
                if not is_cached((*parts, name)):
                    continue
                path = Path(folder, name)
                try:
                    status = path.lstat()
                except OSError:  # removed meanwhile
                    continue
                yield status.st_mtime, status.st_size, path

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            os.replace(temporary, path)
        except BaseException:
            _remove(Path(temporary))
            raise

    def _sentence(self, error: OSError) -> UserError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            sentence = f"No space is left for the cache in {self.root}; free some or choose another cache folder."
            return UserError("disk_full", sentence, repr(error))
        sentence = f"The cache folder {self.root} cannot be written ({error.strerror}); choose another one."
        return UserError("cache_unwritable", sentence, repr(error))


def _touch(path: Path) -> None:
    """Mark as used now; a cache that may only be read still serves."""
    try:
        os.utime(path)
    except OSError as error:
        log.debug("%s: %s", path, error)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # open in another process on Windows: it stays until the next eviction
        log.warning("%s cannot be removed: %s", path, error)
