"""Requests of a Blender that shares no folder with this backend: what is read or written goes over the stream.

Whether a folder is shared is not assumed but found out, for each capture: `shares` compares some of its files. What is
not shared is announced by `offer`, sent by `put`, and named by its key in ``sent`` of a later request. What this side
makes on disk is listed with its hashes, brought by `fetch`, and removed by `forget`.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .captures.capture import Capture, Frame
from .errors import UserError
from .progress import Progress
from .protocol import CACHE_FILLING, CACHE_UNPACKED, Array
from .remote_store import Arrivals, check_name, checked_list
from .store import Store

Arrays = dict[str, Array]
Answer = tuple[dict[str, Any], Arrays]
HEAD = 1 << 16  # bytes at the beginning of a file by which two are compared
MAX_SAMPLES = 64
MAX_CHUNK = 8 << 20  # bytes of a file that one answer carries


class Elsewhere:
    """What one Blender has sent, and what was made for it.

    Args:
        store: the cache that a request means.
    """

    def __init__(self, store: Callable[[dict], Store]):
        self._store = store
        self._arrivals: Arrivals | None = None
        self._spoken: dict[str, str] = {}  # folder here: how the person knows it
        self._made: dict[str, tuple[Path, list[Path]]] = {}

    @property
    def methods(self) -> dict[str, Callable[[dict, Arrays, Progress], Answer]]:
        """The requests by name."""
        return {
            "shares": self._shares,
            "offer": self._offer,
            "put": self._put,
            "fetch": self._fetch,
            "forget": self._forget,
        }

    def close(self) -> None:
        """Remove what was made and let others go on with what has arrived."""
        for folder, _ in self._made.values():
            shutil.rmtree(folder, ignore_errors=True)
        self._made.clear()
        if self._arrivals is not None:
            self._arrivals.close()

    def path(self, params: dict) -> Path:
        """The place that a request means by ``path``, which is here, or came over the stream as ``sent`` says.

        ``sent``: ``{"id": key of the folder, "entry": name in it, "folder": how the person calls the folder}``.
        Raises UserError.
        """
        sent, path = params.get("sent"), params.get("path")
        if sent is None:
            if not isinstance(path, str) or not path:
                raise UserError("bad_request", "The request needs a text called 'path'.")
            return Path(path)
        if not isinstance(sent, dict) or not all(isinstance(sent.get(key), str) for key in ("id", "entry", "folder")):
            raise UserError("bad_request", "The request does not say what was sent.")
        check_name(sent["entry"])
        folder = self._receiver(params).folder(sent["id"])
        found = folder.joinpath(*sent["entry"].split("/"))
        self._spoken = {str(folder): sent["folder"].rstrip("/\\"), **self._spoken}
        return found

    def said(self, value: Any) -> Any:
        """The same with paths of what was sent as the person knows them, in all texts of a JSON value."""
        if isinstance(value, str):
            for here, there in self._spoken.items():
                value = value.replace(here, there)
            return value
        if isinstance(value, dict):
            return {key: self.said(one) for key, one in value.items()}
        return [self.said(one) for one in value] if isinstance(value, list) else value

    def known_pictures(self, capture: Capture, frame: Frame, store: Store) -> str:
        """Where Blender has a frame's picture itself; empty where it has none."""
        path = frame.color_path
        if frame.undistorted:
            return ""
        for here, there in self._spoken.items():
            if path.is_relative_to(here):
                return f"{there}/{path.relative_to(here).as_posix()}"
        return "" if path.is_relative_to(store.root) else str(path)

    def brought(self, params: dict, write: Callable[[dict], dict[str, Any]]) -> dict[str, Any]:
        """Let a request write its folder, wherever that is.

        With ``bring`` among the parameters the folder is a new one here; the answer's ``brought`` says what `fetch`
        finds there. ``rendered``, a folder that is read, may be one that was sent, as for `path`.
        """
        if isinstance(params.get("rendered"), dict):
            params = {**params, "rendered": str(self.path({**params, "sent": params["rendered"]}))}
        if not params.get("bring"):
            return write(params)
        made = self._new_folder(params)
        self._spoken[str(made / "made")] = "The cache on the backend's machine"
        try:
            answer = write({**params, "folder": str(made / "made")})
            return {**answer, "brought": self._listed(made / "made", made)}
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise

    def _new_folder(self, params: dict) -> Path:
        """An empty folder for what is made here and brought to Blender afterwards. Raises UserError."""
        root = self._store(params).root / CACHE_UNPACKED
        try:
            root.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=CACHE_FILLING, dir=root))
        except OSError as error:
            sentence = f"The backend's machine cannot write its cache ({error.strerror}); free some space there."
            raise UserError("cache_unwritable", sentence, str(root)) from error

    def _listed(self, folder: Path, made: Path) -> dict[str, Any]:
        """What `fetch` needs to know of a folder: ``{"id", "files": [[name, bytes, SHA-256], ...]}``."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = []
        for path in paths:
            with open(path, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            files.append([path.relative_to(folder).as_posix(), path.stat().st_size, digest])
        self._made[made.name] = made, paths
        return {"id": made.name, "files": files}

    def _receiver(self, params: dict) -> Arrivals:
        if self._arrivals is None:
            self._arrivals = Arrivals(self._store(params).root / CACHE_UNPACKED)
        return self._arrivals

    # Requests.

    def _shares(self, params: dict, arrays: Arrays, progress: Progress) -> Answer:
        """Is a folder of Blender's machine also here? ``path``, and ``samples``: [[name, bytes, SHA-256 of HEAD]]."""
        samples = params.get("samples")
        plain = isinstance(params.get("path"), str) and isinstance(samples, list) and 0 < len(samples) <= MAX_SAMPLES
        if not plain or not all(isinstance(one, list) and len(one) == 3 and type(one[0]) is str for one in samples):
            raise UserError("bad_request", "The request says of no folder what it holds.")
        root = Path(params["path"])
        return {
            "shared": root.is_absolute() and all(_same(root / name, size, head) for name, size, head in samples)
        }, {}

    def _offer(self, params: dict, arrays: Arrays, progress: Progress) -> Answer:
        """Announce a folder: array ``files``, u1, JSON as in `checked_list`. The answer says what is missing."""
        _, _, data = arrays.get("files", ("", (), b"null"))
        key, missing = self._receiver(params).offer(checked_list(bytes(data)))
        return {"id": key, "missing": [list(one) for one in missing]}, {}

    def _put(self, params: dict, arrays: Arrays, progress: Progress) -> Answer:
        """The next bytes of a file: ``digest``, ``offset``, array ``data`` u1."""
        digest, offset, (kind, _, data) = params.get("digest"), params.get("offset"), arrays.get("data", ("", (), b""))
        if type(digest) is not str or type(offset) is not int or kind != "u1" or not len(data):
            raise UserError("bad_request", "A part of a file came without saying whose it is.")
        self._receiver(params).put(digest, offset, data)
        return {}, {}

    def _fetch(self, params: dict, arrays: Arrays, progress: Progress) -> Answer:
        """A part of a file that was made here: ``id``, ``file`` (its number), ``offset``, ``length``."""
        made = self._made.get(str(params.get("id")))
        numbers = [params.get(key) for key in ("file", "offset", "length")]
        if made is None or any(type(one) is not int or one < 0 for one in numbers) or numbers[0] >= len(made[1]):
            raise UserError("bad_request", "What was asked for is not on the backend's machine any more; try again.")
        try:
            with open(made[1][numbers[0]], "rb") as stream:
                stream.seek(numbers[1])
                data = stream.read(min(numbers[2], MAX_CHUNK))
        except OSError as error:
            sentence = f"A file on the backend's machine cannot be read ({error.strerror or error}); try again."
            raise UserError("unreadable", sentence, repr(error)) from error
        return {}, {"data": ("u1", (len(data),), data)}

    def _forget(self, params: dict, arrays: Arrays, progress: Progress) -> Answer:
        """Blender has all of it: ``id``."""
        folder, _ = self._made.pop(str(params.get("id")), (None, []))
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        return {}, {}


def _same(path: Path, size: Any, head: Any) -> bool:
    """Has a file this size and this beginning?"""
    try:
        with open(path, "rb") as stream:
            return path.stat().st_size == size and hashlib.sha256(stream.read(HEAD)).hexdigest() == head
    except (OSError, ValueError):  # ValueError: a null character in the name
        return False
