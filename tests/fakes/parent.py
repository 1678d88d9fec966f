"""A stand-in for Blender: starts a backend through the bridge, gives it work, prints its pid, waits to be killed."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import conftest  # noqa: F401  (loads the project root as the package clickfield)
from clickfield.blender_addon.bridge.client import BackendClient
from clickfield.blender_addon.bridge.states import State

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    client = BackendClient()
    toy = Path(__file__).with_name("toy_backend.py")
    client.start([sys.executable, "-B", str(toy)], folder, folder / "backend.log")
    while client.state is not State.READY:
        client.poll()
        time.sleep(0.002)
    if sys.argv[2] == "busy":
        client.request("torch", deadline=None)
        while not any(message.name == "busy" for message in client.poll()):
            time.sleep(0.002)
    print(client.hello["pid"], flush=True)
    time.sleep(3600)
