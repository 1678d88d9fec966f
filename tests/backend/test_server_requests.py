"""The server in a real process, spoken to over its pipes with the protocol alone."""

import contextlib
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend import protocol
from backend.server import EXIT_CANNOT_START, EXIT_RUBBISH, error_fields

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "fakes" / "toy_backend.py"


class Backend:
    """A toy backend; ``tell`` writes, ``until`` reads."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(TOY), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.seen = []

    def tell(self, number, method, params=None, arrays=None):
        header = {"type": "request", "id": number, "method": method, "params": params or {}}
        protocol.write_message(self.process.stdin, header, arrays)

    def cancel(self, number):
        protocol.write_message(self.process.stdin, {"type": "cancel", "id": number})

    def until(self, **wanted):
        """Read until a message has these values; it and its arrays."""
        while (message := protocol.read_message(self.process.stdout)) is not None:
            self.seen.append(message[0])
            if all(message[0].get(key) == value for key, value in wanted.items()):
                return message
        raise AssertionError(f"the stream ended without {wanted}; seen: {self.seen}")

    def result(self, number):
        return self.until(type="result", id=number)[0]["result"]

    def error(self, number):
        return self.until(type="error", id=number)[0]

    def end(self):
        """Close its input; (exit code, what it wrote to stderr)."""
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, log.decode()

    def dispose(self):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def backend():
    backend = Backend()
    backend.until(event="hello")
    yield backend
    backend.dispose()


def test_hello_comes_first_and_unasked(backend):
    (hello,) = backend.seen
    assert hello["type"] == "event" and hello["data"]["protocol"] == protocol.VERSION
    assert hello["data"]["pid"] == backend.process.pid


def test_answers_come_in_the_order_of_the_requests(backend):
    for number in range(1, 30):
        backend.tell(number, "echo", {"number": number}, {"a": ("u1", (1,), bytes([number]))})
    for number in range(1, 30):
        header, arrays = backend.until(type="result")
        assert header["id"] == number and header["result"] == {"number": number}
        assert arrays["a"][2] == bytes([number])


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("user", "no_depth", "There is no depth."),
        ("value", "internal", "Something went wrong in the backend"),
        ("memory", "out_of_memory", "ran out of memory"),
        ("torch_memory", "out_of_memory", "ran out of memory"),
        ("disk", "disk_full", "The disk is full"),
        ("module", "missing_package", "The package no_such_package is missing in the backend's Python"),
    ],
)
def test_exceptions_become_sentences_and_the_server_lives_on(backend, kind, code, words):
    backend.tell(1, "raise", {"kind": kind})
    error = backend.error(1)
    assert error["code"] == code and words in error["sentence"] and "Traceback" not in error["sentence"]
    assert error["detail"]
    backend.tell(2, "echo", {"fine": True})
    assert backend.result(2) == {"fine": True}
    assert error["detail"].splitlines()[-1] in backend.end()[1]


@pytest.mark.parametrize("kind", ["memory", "library"])
def test_a_process_that_ran_out_of_memory_while_it_loaded_something_ends_with_a_sentence(backend, tmp_path, kind):
    if kind == "memory":
        (tmp_path / "large.py").write_text("raise MemoryError")
        backend.tell(1, "import", {"folder": str(tmp_path), "name": "large"})
    else:
        backend.tell(1, "raise", {"kind": kind})
    assert backend.error(1)["code"] == "out_of_memory"
    last = backend.error(0)
    assert "while it loaded a part of itself" in last["sentence"] and "Restart" in last["sentence"]
    assert backend.end()[0] == EXIT_CANNOT_START


def test_bad_document_is_told_in_its_own_words(backend):
    backend.tell(1, "checked", {"document": {"tree": [], "marks": [{"label": 3}]}})
    error = backend.error(1)
    assert error["code"] == "bad_document" and error["sentence"].startswith("Mark number 1 names a label")


@pytest.mark.parametrize(("method", "code"), [("nothing", "unknown_method"), ("unsendable", "internal")])
def test_requests_that_cannot_be_answered(backend, method, code):
    backend.tell(1, method)
    assert backend.error(1)["code"] == code
    backend.tell(2, "echo", {"fine": True})
    assert backend.result(2) == {"fine": True}


@pytest.mark.parametrize("fields", [{}, {"method": 3, "params": {}}, {"method": "echo", "params": [1]}])
def test_requests_of_the_wrong_form(backend, fields):
    protocol.write_message(backend.process.stdin, {"type": "request", "id": 1, **fields})
    assert backend.error(1)["code"] == "bad_request"


def test_messages_without_meaning_are_passed_over(backend):
    for header in ({"type": "request"}, {"type": "cancel"}, {"type": "cancel", "id": [1]}, {"type": "sing"}):
        protocol.write_message(backend.process.stdin, header)
    backend.tell(1, "echo", {"fine": True})
    assert backend.result(1) == {"fine": True}


def test_stray_prints_and_reads_do_not_touch_the_stream(backend):
    backend.tell(1, "print")
    backend.tell(2, "echo", {"next": True})
    assert backend.result(1) == {"stdin": ""}
    assert backend.result(2) == {"next": True}
    log = backend.end()[1]
    assert all(f"rubbish from {what}" in log for what in ("print", "descriptor 1", "a program"))


def test_progress_is_told_at_most_twenty_times_a_second(backend):
    backend.tell(1, "count", {"seconds": 1.0})
    backend.result(1)
    told = [m for m in backend.seen if m["type"] == "progress"]
    assert 5 <= len(told) <= 21
    fractions = [m["fraction"] for m in told]
    assert fractions == sorted(fractions) and all(0 <= f <= 1 for f in fractions)


def test_running_request_is_cancelled_within_a_second(backend):
    backend.tell(1, "count", {"seconds": 3600})
    backend.until(type="progress", id=1)
    asked = time.monotonic()
    backend.cancel(1)
    assert backend.error(1)["code"] == "cancelled"
    assert time.monotonic() - asked < 1.0
    backend.tell(2, "echo", {"fine": True})
    assert backend.result(2) == {"fine": True}


def test_queued_request_is_cancelled_without_being_begun(backend, tmp_path):
    gate = tmp_path / "gate"
    backend.tell(1, "wait_for_file", {"path": str(gate)})
    backend.until(type="progress", id=1)
    backend.tell(2, "document", {"revision": 2})
    backend.tell(3, "echo", {})
    backend.cancel(2)
    backend.tell(4, "document", {"revision": 4})
    gate.touch()
    assert backend.error(2)["code"] == "cancelled"
    assert backend.result(4)["computed"] == [4]


def test_cancelling_what_is_done_or_unknown_does_nothing(backend):
    backend.tell(1, "echo")
    backend.result(1)
    backend.cancel(1)
    backend.cancel(99)
    backend.tell(1, "echo", {"same id": "again"})
    assert backend.result(1) == {"same id": "again"}


def documents_after(backend, gate, *requests):
    """Hold the server, queue the requests (ids from 2), let it go, and read until the last is answered."""
    backend.tell(1, "wait_for_file", {"path": str(gate)})
    backend.until(type="progress", id=1)
    for number, (method, params) in enumerate(requests, 2):
        backend.tell(number, method, params)
    gate.touch()
    backend.until(type="result", id=len(requests) + 1)
    return [m.get("code", "result") for m in backend.seen if m["type"] in ("result", "error")][1:]


def test_only_the_newest_of_several_documents_is_computed(backend, tmp_path):
    documents = [("document", {"revision": revision}) for revision in range(5)]
    told = documents_after(backend, tmp_path / "gate", *documents)
    assert told == ["superseded"] * 4 + ["result"]
    assert backend.seen[-1]["result"] == {"revision": 4, "computed": [4]}


def test_document_that_a_later_request_needs_is_computed(backend, tmp_path):
    requests = [("document", {"revision": 1}), ("echo", {}), ("document", {"revision": 2})]
    assert documents_after(backend, tmp_path / "gate", *requests) == ["result"] * 3


def test_document_is_superseded_across_requests_that_do_not_need_it(backend, tmp_path):
    requests = [("document", {"revision": 1}), ("pick", {}), ("document", {"revision": 2})]
    assert documents_after(backend, tmp_path / "gate", *requests) == ["superseded", "unknown_method", "result"]


def test_idle_work_goes_on_between_requests_and_may_emit(backend):
    backend.tell(1, "idle", {"slices": 1000})
    header, arrays = backend.until(event="idled")
    assert header["data"] == {} and arrays["bytes"] == ("u1", (3,), b"\x01\x02\x03")


def test_events_say_during_which_request_they_happened(backend):
    backend.tell(1, "idle", {"slices": 3})
    assert backend.until(event="idled")[0]["id"] == 0
    backend.tell(2, "torch")
    assert backend.until(event="busy")[0]["id"] == 2


def test_idle_work_that_breaks_is_told_once_and_the_server_lives_on(backend):
    backend.tell(1, "idle", {"slices": -1})
    assert backend.until(event="problem")[0]["data"]["code"] == "internal"
    backend.tell(2, "idle", {"slices": 0})
    backend.result(2)
    backend.tell(3, "echo")
    backend.result(3)
    assert sum(m.get("event") == "problem" for m in backend.seen) == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processor times from /proc")
def test_server_without_work_is_silent_and_uses_no_processor_time(backend):
    backend.tell(1, "echo")
    backend.result(1)
    before = processor_ticks(backend.process.pid)
    assert select.select([backend.process.stdout], [], [], 0.5)[0] == []
    assert processor_ticks(backend.process.pid) - before <= 2


def processor_ticks(pid):
    """Hundredths of seconds that the process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_shutdown_is_answered_and_ends_the_process(backend):
    backend.tell(1, "count", {"seconds": 3600})
    backend.until(type="progress", id=1)
    backend.tell(2, "echo")
    backend.tell(3, "shutdown")
    assert backend.error(1)["code"] == "cancelled"
    assert backend.error(2)["code"] == "cancelled"
    assert backend.result(3) == {}
    code, log = backend.end()
    assert code == 0 and "workspace closed" in log


def test_end_of_the_stream_ends_an_idle_server_properly(backend):
    code, log = backend.end()
    assert code == 0 and "workspace closed" in log


@pytest.mark.parametrize("work", ["count", "torch", "idle"])
def test_end_of_the_stream_ends_a_busy_server_in_two_seconds(backend, work):
    backend.tell(1, work, {"seconds": 3600, "slices": 1 << 60})
    backend.until(**{"count": {"type": "progress"}, "torch": {"event": "busy"}, "idle": {"type": "result"}}[work])
    closed = time.monotonic()
    backend.process.stdin.close()
    assert backend.process.wait(20) == 0
    assert time.monotonic() - closed < 2.0


@pytest.mark.parametrize("rubbish", [b"hello there, this is no frame", b"\x05\x00\x00\x00hello", b"\x05\x00"])
def test_rubbish_from_the_other_side_ends_it_with_its_own_code(backend, rubbish):
    backend.process.stdin.write(rubbish)
    backend.process.stdin.flush()
    code, log = backend.end()
    assert code == EXIT_RUBBISH and "stream from Blender is broken" in log


def test_closed_stdout_ends_it():
    backend = Backend()
    backend.until(event="hello")
    backend.process.stdout.close()
    backend.tell(1, "echo")
    assert backend.process.wait(20) == 0
    backend.dispose()


def test_reason_for_not_starting_is_a_message_and_an_exit_code():
    backend = Backend("--refuse")
    error = backend.error(0)
    assert error["code"] == "no_torch" and error["sentence"] == "torch cannot be used in this Python."
    assert backend.end()[0] == EXIT_CANNOT_START


def test_workspace_that_cannot_be_made_is_told_before_any_hello():
    backend = Backend("--break")
    assert backend.error(0)["code"] == "internal"
    assert [message["type"] for message in backend.seen] == ["error"]
    code, log = backend.end()
    assert code == EXIT_CANNOT_START and "ZeroDivisionError: an internal matter" in log


def test_large_arrays_leave_whole(backend):
    backend.tell(1, "allocate", {"bytes": 50_000_000})
    _, arrays = backend.until(type="result", id=1)
    assert arrays["zeros"][1] == (50_000_000,) and not any(arrays["zeros"][2][::4096])


def test_internal_errors_carry_their_traceback():
    try:
        raise KeyError("a key")
    except KeyError as error:
        fields = error_fields(error)
    assert fields["code"] == "internal" and "KeyError: 'a key'" in fields["detail"]
    assert "a key" not in fields["sentence"]
