"""The real server with a small workspace, run as a process by the tests: ``python toy_backend.py``."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from backend import protocol, server
from backend.errors import UserError


class ToyWorkspace:
    """One method per kind of behaviour that a test needs."""

    def __init__(self, emit):
        self._emit = emit
        self._idle_left = 0
        self._documents = []

    def handle(self, method, params, arrays, progress):
        if not hasattr(self, f"do_{method}"):
            raise UserError("unknown_method", f"The backend does not know the request {method!r}; update the backend.")
        return getattr(self, f"do_{method}")(params, arrays, progress)

    def idle(self):
        if self._idle_left < 0:
            raise ValueError("idle work broke")
        if self._idle_left == 0:
            return False
        self._idle_left -= 1
        if self._idle_left == 0:
            self._emit("idled", {}, {"bytes": ("u1", (3,), b"\x01\x02\x03")})
        return self._idle_left > 0

    def close(self):
        print("workspace closed", file=sys.stderr)

    def do_echo(self, params, arrays, progress):
        return params, arrays

    def do_document(self, params, arrays, progress):
        self._documents.append(params["revision"])
        return {"revision": params["revision"], "computed": self._documents}, {}

    def do_checked(self, params, arrays, progress):
        return protocol.checked_document(params["document"]), {}

    def do_count(self, params, arrays, progress):
        """Count for so many seconds, telling progress all the time."""
        started = time.monotonic()
        while (passed := time.monotonic() - started) < params["seconds"]:
            progress(passed / params["seconds"], "Counting")
        return {}, {}

    def do_wait_for_file(self, params, arrays, progress):
        """Go on once the file exists: the test's way to hold the main thread until it has sent more."""
        while not Path(params["path"]).exists():
            progress(0.5, "Waiting")
        return {}, {}

    def do_torch(self, params, arrays, progress):
        """Be busy in torch without ever telling progress."""
        import torch

        big = torch.ones(512, 512)
        self._emit("busy", {}, {})
        while True:
            big = big @ big / 512

    def do_print(self, params, arrays, progress):
        """Everything that a careless library may do to stdout and stdin."""
        print("rubbish from print")
        sys.stdout.flush()
        os.write(1, b"rubbish from descriptor 1\n")
        os.system("echo rubbish from a program")
        return {"stdin": sys.stdin.read(10)}, {}

    def do_raise(self, params, arrays, progress):
        kinds = {
            "user": UserError("no_depth", "There is no depth.", "detail for the log"),
            "value": ValueError("an internal matter"),
            "memory": MemoryError(),
            "torch_memory": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
            "disk": OSError(28, "No space left on device"),
            "library": ImportError("some.so: failed to map segment from shared object"),
            "module": ModuleNotFoundError("No module named 'no_such_package'", name="no_such_package"),
        }
        raise kinds[params["kind"]]

    def do_import(self, params, arrays, progress):
        sys.path.insert(0, params["folder"])
        __import__(params["name"])
        return {}, {}

    def do_unsendable(self, params, arrays, progress):
        return {"a set": {1, 2}}, {}

    def do_idle(self, params, arrays, progress):
        self._idle_left = params["slices"]
        return {}, {}

    def do_allocate(self, params, arrays, progress):
        return {}, {"zeros": ("u1", (params["bytes"],), bytes(params["bytes"]))}

    def do_abort(self, params, arrays, progress):
        os.abort()


def describe():
    return {"protocol": protocol.VERSION, "version": "0", "python": "", "torch": "", "devices": [], "pid": os.getpid()}


if __name__ == "__main__":
    streams = server.claim_streams()
    if "--refuse" in sys.argv:

        def describe():
            raise UserError("no_torch", "torch cannot be used in this Python.")

    if "--break" in sys.argv:

        def ToyWorkspace(emit):
            raise ZeroDivisionError("an internal matter")

    os._exit(server.serve(ToyWorkspace, *streams, describe=describe))
