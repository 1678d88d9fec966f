"""Backends that misbehave, one per name: ``python broken_backend.py NAME``."""

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from backend import protocol

OUT, IN = sys.stdout.buffer, sys.stdin.buffer
FOREVER = 3600


def hello(**changes):
    data = {"protocol": protocol.VERSION, "version": "0.0.1", "devices": [], "pid": os.getpid(), **changes}
    protocol.write_message(OUT, {"type": "event", "event": "hello", "data": data})


def silent():
    """Never says hello."""
    time.sleep(FOREVER)


def hangs():
    """Says hello, then neither reads nor answers."""
    hello()
    time.sleep(FOREVER)


def stubborn():
    """Says hello, then ignores everything but SIGKILL."""
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hangs()


def exits():
    sys.exit(3)


def complains():
    print("Traceback: a module is missing", file=sys.stderr)
    sys.exit(1)


def rubbish_first():
    print("Welcome to this machine!", flush=True)
    time.sleep(FOREVER)


def rubbish_later():
    hello()
    protocol.read_message(IN)
    OUT.write(b"Warning: something unimportant\n")
    OUT.flush()
    time.sleep(FOREVER)


def not_json():
    hello()
    OUT.write(protocol.prefix(b"hello") + b"hello")
    OUT.flush()
    time.sleep(FOREVER)


def half_frame():
    hello()
    protocol.read_message(IN)
    OUT.write(protocol.prefix(bytes(1000)) + b'{"type":"result",')
    OUT.flush()
    sys.exit(9)


def half_payload():
    hello()
    protocol.read_message(IN)
    head, _ = protocol.encode_message({"type": "result", "id": 1, "result": {}}, {"a": ("u1", (9,), bytes(9))})
    OUT.write(head + b"1234")
    OUT.flush()
    sys.exit(9)


def other_protocol():
    hello(protocol=99)
    time.sleep(FOREVER)


def no_hello():
    protocol.write_message(OUT, {"type": "event", "event": "status", "data": {}})
    time.sleep(FOREVER)


def wrong_types():
    hello()
    protocol.read_message(IN)
    protocol.write_message(OUT, {"type": "result", "id": 1, "result": "not an object"})
    time.sleep(FOREVER)


def floods():
    """Sends events as fast as the pipe takes them, and answers in between."""
    hello()
    protocol.read_message(IN)
    event = protocol.encode_message({"type": "event", "event": "flood", "data": {"text": "x" * 1000}})[0]
    for _ in range(3000):
        OUT.write(event)
    protocol.write_message(OUT, {"type": "result", "id": 1, "result": {}})
    while True:
        OUT.write(event)


def disorder():
    """Answers the second request first."""
    hello()
    protocol.read_message(IN)
    protocol.read_message(IN)
    protocol.write_message(OUT, {"type": "result", "id": 2, "result": {}})
    time.sleep(FOREVER)


def forgets():
    """Has lost a request, and goes on with what it does by the way."""
    hello()
    while True:
        protocol.write_message(OUT, {"type": "event", "id": 0, "event": "status", "data": {}})
        time.sleep(0.02)


def damages():
    """One bit of a long answer is another on the way."""
    hello()
    protocol.read_message(IN)
    answer = {"type": "result", "id": 1, "result": {}}
    whole = b"".join(protocol.encode_message(answer, {"a": ("u1", (999,), bytes(999))}))
    OUT.write(whole[:-500] + b"\x01" + whole[-499:])
    OUT.flush()
    time.sleep(FOREVER)


def trickles():
    """Answers with one long message on a slow line: always something, never silent for long."""
    hello()
    protocol.read_message(IN)
    whole = b"".join(protocol.encode_message({"type": "result", "id": 1, "result": {"text": "x" * 100}}))
    for byte in whole:
        OUT.write(bytes([byte]))
        OUT.flush()
        time.sleep(0.01)
    IN.read()


def leaves_a_child():
    """Ends, but something that it has started holds its stdout."""
    hello()
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER})"])
    protocol.read_message(IN)
    os._exit(5)


def echoes_environment():
    hello(environment=dict(os.environ), arguments=sys.argv, folder=os.getcwd())
    IN.read()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
