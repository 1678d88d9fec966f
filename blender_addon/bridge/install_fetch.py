"""Gets wheels, from where they were found or from a folder, piece by piece, and checks every byte of them."""

from __future__ import annotations

import base64
import dataclasses
import errno
import http.client
import importlib.util
import os
import shutil
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from .states import BridgeError
from .wheels import Wheel, digest_of

PIECE = 1 << 18  # bytes between two looks at the cancel button
ATTEMPTS = 4  # in a row that bring nothing new
PAUSE = 1.0  # seconds before the second attempt, twice as many before each further one
PART = ".part"
NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)
FULL = {errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC, errno.EFBIG}


class Cancelled(Exception):
    """The person gave up."""


class Damaged(Exception):
    """A wheel that was kept is not what it was, and is removed; nobody said where to get it again."""


def missing_bytes(wheels: list[Wheel], folder: Path) -> int:
    """Bytes that still have to be downloaded, judged by the sizes of the files in the folder."""
    return sum(max(wheel.size - _size(folder, wheel), 0) for wheel in wheels)


def _size(folder: Path, wheel: Wheel) -> int:
    for name in (wheel.file, wheel.file + PART):
        try:
            return (folder / name).stat().st_size
        except OSError:
            continue
    return 0


def sentence_of(error: OSError, folder: Path) -> str:
    """What an error of the disk means for the person."""
    if error.errno in FULL:
        return f"There is no more room in {folder}; make room and press Install again: it goes on where it stopped."
    return f"{folder} cannot be written ({error.strerror or type(error).__name__}); choose another folder."


def opener() -> urllib.request.OpenerDirector:
    """Opens addresses by the proxies that the environment or the system names."""
    return urllib.request.build_opener(
        urllib.request.ProxyHandler(urllib.request.getproxies()),
        urllib.request.HTTPSHandler(context=_certificates()),
    )


class Fetcher:
    """Brings wheels into a folder.

    Args:
        folder: where they are kept; what is there already is used when its SHA-256 is right.
        source: a folder of wheels to copy from; None downloads them.
        cancelled: set when the person gives up.
        timeout: seconds of silence after which a server is asked anew.
        progress: called with the bytes that are there of the wheel in work.
        logins: host -> ``name:password``.
    """

    def __init__(
        self,
        folder: Path,
        source: Path | None,
        cancelled: threading.Event,
        timeout: float,
        progress: Callable[[int], None],
        logins: dict[str, str],
    ):
        self._folder = folder
        self._source = source
        self._cancelled = cancelled
        self._timeout = timeout
        self.progress = progress
        self._logins = logins
        self.opener = opener()

    def fetch(self, wheel: Wheel) -> Path:
        """The checked file of a wheel. Raises Cancelled, Damaged, or BridgeError with a sentence."""
        path = self._folder / wheel.file
        try:
            if path.is_file():
                if self._digest(path) == wheel.sha256:
                    return path
                path.unlink()
            if self._source is not None:
                return self._copy(wheel, path)
            if not wheel.url:
                raise Damaged
            return self._download(wheel, path)
        except OSError as error:
            raise BridgeError(sentence_of(error, self._folder)) from error

    def _copy(self, wheel: Wheel, path: Path) -> Path:
        given = self._source / wheel.file
        if not given.is_file():
            raise BridgeError(f"{wheel.file} is missing in {self._source}; copy it there.")
        try:
            digest = self._digest(given)
        except OSError as error:
            raise BridgeError(f"{given} cannot be read ({error.strerror}); copy it again.") from error
        if digest != wheel.sha256:
            raise BridgeError(f"{wheel.file} in {self._source} is damaged or another file; copy it again.")
        part = path.with_name(path.name + PART)
        shutil.copyfile(given, part)
        os.replace(part, path)
        return path

    def _download(self, wheel: Wheel, path: Path) -> Path:
        part = path.with_name(path.name + PART)
        for _again in range(2):  # a part of an earlier attempt may be what is damaged
            self._complete(wheel, part)
            if self._digest(part) == wheel.sha256:
                os.replace(part, path)
                return path
            part.unlink()
        sentence = f"{wheel.name} arrived damaged twice (wrong checksum); try again, or on another network."
        raise BridgeError(sentence)

    def _complete(self, wheel: Wheel, part: Path) -> None:
        """Download until the part has all bytes, going on where it stopped."""
        failures = 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            if before >= wheel.size:
                return
            try:
                self._request(wheel, part, before)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code < 500 and error.code not in (408, 416, 429):
                        raise BridgeError(_refused(wheel, error.code)) from error
                if error.code == 416:  # the server has another file than the part was from
                    part.unlink(missing_ok=True)
                reason = f"error {error.code}"
            except NETWORK as error:
                reason = _reason(error)
            else:
                reason = "the connection was cut"
            failures = 0 if part.exists() and part.stat().st_size > before else failures + 1
            if failures == ATTEMPTS:
                raise BridgeError(_unreachable(wheel, reason))
            if failures and self._cancelled.wait(PAUSE * 2 ** (failures - 1)):
                raise Cancelled

    def _request(self, wheel: Wheel, part: Path, offset: int) -> None:
        request = self._asking(wheel)
        if offset:
            request.add_header("Range", f"bytes={offset}-")
        with self.opener.open(request, timeout=self._timeout) as answer:
            goes_on = offset and getattr(answer, "status", 200) == 206
            with open(part, "ab" if goes_on else "wb", buffering=0) as stream:  # what is lost is what did not come
                done = offset if goes_on else 0
                while data := answer.read1(PIECE):  # what is there: a pause loses nothing
                    rest = memoryview(data)
                    while rest:  # an almost full disk takes a part
                        rest = rest[stream.write(rest) :]
                    done += len(data)
                    self.progress(done)
                    if done > wheel.size:
                        return  # another file than the lock's: its checksum will tell
                    self._check()

    def measured(self, wheel: Wheel) -> Wheel:
        """The wheel with its size as the server tells it. Raises BridgeError."""
        try:
            with self.opener.open(self._asking(wheel, "HEAD"), timeout=self._timeout) as answer:
                return dataclasses.replace(wheel, size=int(answer.headers["Content-Length"]))
        except urllib.error.HTTPError as error:
            with error:
                raise BridgeError(_refused(wheel, error.code)) from error
        except NETWORK as error:
            raise BridgeError(_unreachable(wheel, _reason(error))) from error
        except TypeError as error:
            raise BridgeError(f"The server does not tell the size of {wheel.file}; use a folder of wheels.") from error

    def _asking(self, wheel: Wheel, method: str = "GET") -> urllib.request.Request:
        headers = {"User-Agent": "Clickfield", "Accept-Encoding": "identity"}
        login = self._logins.get(urllib.parse.urlsplit(wheel.url).netloc)
        if login:
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        return urllib.request.Request(wheel.url, headers=headers, method=method)

    def _digest(self, path: Path) -> str:
        return digest_of(path, self._check)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)


def _unreachable(wheel: Wheel, reason: str) -> str:
    host = urllib.parse.urlsplit(wheel.url).netloc
    return f"{host} cannot be reached ({reason}); check the network and the proxy, or install from a folder."


def _refused(wheel: Wheel, code: int) -> str:
    if code == 407:
        return "The proxy wants a name and a password; set them in the system's proxy settings or in HTTPS_PROXY."
    return f"The server has no {wheel.file} for us (error {code}); update Clickfield or install from a folder."


def _certificates() -> ssl.SSLContext:
    """The system's certificates; those that come with Blender where its Python finds none."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not context.cert_store_stats()["x509_ca"] and not (paths.cafile or paths.capath):
        found = importlib.util.find_spec("certifi")
        if found is not None and found.origin:
            context.load_verify_locations(Path(found.origin).with_name("cacert.pem"))
    return context
