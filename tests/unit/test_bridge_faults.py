"""Backends that are alive and wrong: what the person is told, and that Blender's thread is never kept busy by them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clickfield.blender_addon.bridge.client import BackendClient
from clickfield.blender_addon.bridge.states import State

FAKES = Path(__file__).resolve().parents[1] / "fakes"
PATIENCE = 30.0  # seconds; the machine may be busy with other things


def polled(client, condition):
    """Everything that came until the condition holds."""
    messages, end = [], time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, (client.state, client.reason)
        messages += client.poll()
        time.sleep(0.002)  # the interval of the polling: leaves the processor to the backend
    return messages + client.poll()


@pytest.mark.parametrize(
    ("name", "words", "deadline"),
    [
        ("floods", "without end", PATIENCE),
        ("disorder", "an answer before its turn", PATIENCE),
        ("forgets", "no answer to echo, but other things", 0.5),
        ("damages", "damaged payload", PATIENCE),
    ],
)
def test_each_is_told_in_one_sentence_and_every_request_is_answered(tmp_path, name, words, deadline):
    client = BackendClient()
    client.start([sys.executable, "-B", str(FAKES / "broken_backend.py"), name], tmp_path, tmp_path / "log")
    polled(client, lambda: client.state is State.READY)
    sent = [client.request("echo", deadline=deadline), client.request("echo", deadline=deadline)]
    messages = polled(client, lambda: client.state is State.FAILED)
    assert words in client.reason and client.reason.endswith("press Restart.") and "\n" not in client.reason
    answered = {message.id for message in messages if message.type in ("result", "error")}
    assert answered == set(sent)
    assert client.join(PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="only there the system itself ends a stopped process")
def test_a_stopped_child_does_not_outlive_its_parent(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-B", str(FAKES / "parent.py"), str(tmp_path), "idle"], stdout=subprocess.PIPE, text=True
    )
    with parent.stdout:
        pid = int(parent.stdout.readline())
    os.kill(pid, signal.SIGSTOP)
    parent.kill()
    killed = time.monotonic()
    status = Path(f"/proc/{pid}/status")
    while status.exists() and "\nState:\tZ" not in status.read_text():
        assert time.monotonic() - killed < 2.0
    parent.wait()
