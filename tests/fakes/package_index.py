"""A package index on this machine, made of a folder of real wheels, that can cut its answers, fall silent, ask who."""

import base64
import hashlib
import http.server
import threading
import zipfile
from pathlib import Path
from urllib.parse import quote, unquote

PATIENCE = 120.0


def wheel(folder: Path, name: str, version: str = "1.0", data: bytes = b"", tool: str = "", needs: str = "") -> dict:
    """A real wheel, and its entry for a lock. ``tool`` is the text of a program that it brings, ``needs`` a package."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    files = {f"{name}/__init__.py": f"VERSION = {version!r}\n".encode(), f"{name}/data.bin": data}
    if tool:
        files[f"{name}-{version}.data/scripts/{name}"] = tool.encode()
    info = f"{name}-{version}.dist-info"
    facts = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/METADATA"] = (facts + (f"Requires-Dist: {needs}\n" if needs else "")).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = ""
    for inner, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{inner},sha256={digest},{len(content)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, content in files.items():
            archive.writestr(inner, content)
    packed = path.read_bytes()
    file = {"file": path.name, "sha256": hashlib.sha256(packed).hexdigest(), "size": len(packed)}
    return {"name": name, "version": version, "wheels": [file]}


class Server(http.server.ThreadingHTTPServer):
    """``cut`` ends each answer after so many bytes, ``stall`` falls silent instead, ``login`` is asked for.

    Attributes:
        asked: (file, offset) of every download.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.cut, self.stall, self.login, self.asked = folder, None, False, "", []
        self.hold = threading.Event()
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()

    @property
    def url(self) -> str:
        """Where the files are."""
        return f"http://127.0.0.1:{self.server_port}/"

    @property
    def index(self) -> str:
        """The index, with the login."""
        return f"http://{self.login + '@' if self.login else ''}127.0.0.1:{self.server_port}/simple"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(self.file().read_bytes(), body=False)

    def do_GET(self):
        login = base64.b64encode(self.server.login.encode()).decode()
        if self.server.login and self.headers.get("Authorization") != f"Basic {login}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
        elif self.path.startswith("/simple/"):
            self.answer(self.page(self.path.split("/")[2]))
        elif self.path.endswith(".metadata"):
            with zipfile.ZipFile(self.file(".metadata")) as archive:
                inner = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
                self.answer(archive.read(inner))
        else:
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.server.asked.append((self.file().name, start))
            self.answer(self.file().read_bytes(), start, self.server.cut)

    def file(self, ending=""):
        return self.server.folder / unquote(self.path)[1:].removesuffix(ending)

    def page(self, name):
        links = ""
        for path in sorted(self.server.folder.glob(f"{name}-*.whl")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            address = f"/{quote(path.name)}#sha256={digest}"
            links += f'<a href="{address}" data-core-metadata="true">{path.name}</a><br/>\n'
        return f"<!DOCTYPE html><html><body>{links}</body></html>".encode()

    def answer(self, data, start=0, cut=None, body=True):
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if self.path.startswith("/simple/"):
            self.send_header("Content-Type", "text/html")
        self.end_headers()
        if body:
            self.wfile.write(data[start : start + cut if cut else None])
            self.wfile.flush()
            if cut and self.server.stall:
                self.server.hold.wait(PATIENCE)

    def log_message(self, *_arguments):
        """Say nothing."""
