"""The bridge's client against the real server in a real process, and against backends that misbehave."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from clickfield.backend import protocol
from clickfield.blender_addon.bridge import client as client_module
from clickfield.blender_addon.bridge.client import BackendClient
from clickfield.blender_addon.bridge.states import MOVES, BridgeError, State, exit_sentence

FAKES = Path(__file__).resolve().parents[1] / "fakes"
TOY = [sys.executable, "-B", str(FAKES / "toy_backend.py")]
PATIENCE = 30.0  # seconds; the machine may be busy with other things
BLINK = 0.1  # seconds that a call may take; nine in ten, as other processes may want the processor too

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def broken(name):
    return [sys.executable, "-B", str(FAKES / "broken_backend.py"), name]


class Bench:
    """A client with everything that came out of it."""

    def __init__(self, folder):
        self.client = BackendClient()
        self.folder = folder
        self.log = folder / "logs" / "backend.log"
        self.messages = []

    def start(self, command=TOY, ready=True, **options):
        self.client.start(command, self.folder, self.log, **options)
        if ready:
            self.until(lambda: self.client.state is State.READY)
        return self.client

    def until(self, condition, patience=PATIENCE):
        """Poll until the condition holds; fail when it does not in time."""
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, (self.client.state, self.client.reason, self.messages[-3:])
            self.messages += self.client.poll()
            time.sleep(0.002)  # the interval of the polling: leaves the processor to the backend

    def answer(self, number):
        """The result or error of a request."""

        def found():
            return [m for m in self.messages if m.id == number and m.type in ("result", "error")]

        self.until(found)
        (message,) = found()
        return message

    def ask(self, method, params=None, **options):
        return self.answer(self.client.request(method, params, **options))

    def fails(self):
        self.until(lambda: self.client.state is State.FAILED)
        return self.client.reason


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.client.stop()
    bench.until(lambda: bench.client.state is State.STOPPED)
    assert bench.client.join(PATIENCE)


def test_starts_answers_and_stops(bench):
    client = bench.start()
    assert client.hello["protocol"] == protocol.VERSION
    assert [m.name for m in bench.messages] == ["hello"]
    number = client.request("echo", {"text": "ünï"}, {"a": ("i4", (2, 1), b"12345678")})
    assert client.state is State.BUSY and client.pending == {number: "echo"}
    answer = bench.answer(number)
    assert answer.data == {"text": "ünï"} and answer.name == "echo"
    assert answer.arrays == {"a": ("i4", (2, 1), b"12345678")}
    assert client.state is State.READY and not client.pending
    client.stop()
    assert client.state is State.STOPPING
    bench.until(lambda: client.state is State.STOPPED)
    assert "workspace closed" in bench.log.read_text()


def test_unknown_request_is_an_error_and_the_server_lives_on(bench):
    bench.start()
    assert bench.ask("no_such_thing").data["code"] == "unknown_method"
    assert bench.ask("echo", {"a": 1}).data == {"a": 1}


def test_large_arrays_survive_both_ways(bench):
    bench.start()
    data = os.urandom(20_000_000)
    assert bench.ask("echo", arrays={"big": ("u1", (20_000_000,), data)}).arrays["big"][2] == data


def test_request_that_does_not_fit_its_shape_is_refused_at_once(bench):
    client = bench.start()
    with pytest.raises(ValueError, match="array a has 4 bytes"):
        client.request("echo", arrays={"a": ("f4", (2,), b"1234")})
    assert client.state is State.READY
    assert bench.ask("echo", {"still": "fine"}).data == {"still": "fine"}


def test_no_call_blocks_even_when_the_backend_reads_nothing(bench):
    client = bench.start(broken("hangs"))
    times = []
    for _ in range(20):
        before = time.perf_counter()
        client.request("echo", arrays={"a": ("u1", (1 << 20,), bytes(1 << 20))}, deadline=None)
        client.poll()
        times.append(time.perf_counter() - before)
    client.stop()  # returns, although the pipe is full
    assert client.state is State.STOPPING
    assert sorted(times)[len(times) * 9 // 10] < BLINK


def test_cancel_answers_within_a_second_and_the_server_lives_on(bench):
    client = bench.start()
    number = client.request("count", {"seconds": 3600})
    bench.until(lambda: any(m.type == "progress" for m in bench.messages))
    asked = time.monotonic()
    assert client.cancel(number)
    assert bench.answer(number).data["code"] == "cancelled"
    assert time.monotonic() - asked < 1.0
    assert not client.cancel(number)
    assert bench.ask("echo", {"a": 1}).data == {"a": 1}


@posix
def test_killed_while_idle(bench):
    client = bench.start()
    os.kill(client.hello["pid"], signal.SIGKILL)
    assert "ended by the system, perhaps out of memory" in bench.fails()


@posix
def test_killed_during_a_request_answers_it_and_restarts(bench):
    client = bench.start()
    number = client.request("count", {"seconds": 3600})
    waiting = client.request("echo", {})
    bench.until(lambda: any(m.type == "progress" for m in bench.messages))
    os.kill(client.hello["pid"], signal.SIGKILL)
    for one in (number, waiting):
        error = bench.answer(one).data
        assert error["code"] == "backend_gone" and "out of memory" in error["sentence"]
    assert client.state is State.FAILED
    bench.start()
    assert bench.ask("echo", {"again": True}).data == {"again": True}


@posix
def test_crash_is_told_with_the_last_log_lines(bench):
    client = bench.start()
    client.request("abort")
    assert "crashed" in bench.fails()
    client.stop()
    bench.until(lambda: client.state is State.STOPPED)
    bench.start(broken("complains"), ready=False)
    assert "ended with an error" in bench.fails()
    assert client.log_lines[-1] == "Traceback: a module is missing"


def test_hang_is_found_by_the_deadline_and_killed(bench):
    client = bench.start(broken("hangs"))
    number = client.request("echo", deadline=0.3)
    assert bench.answer(number).data["code"] == "backend_gone"
    assert client.reason == "The backend has not answered for 0.3 seconds; press Restart."
    assert client.join(PATIENCE)


def test_deadline_counts_silence_not_work_nor_waiting_in_line(bench):
    client = bench.start()
    first = client.request("count", {"seconds": 1.5}, deadline=0.75)
    second = client.request("echo", {}, deadline=0.75)
    assert bench.answer(first).type == "result" and bench.answer(second).type == "result"
    assert client.state is State.READY


def test_long_message_on_a_slow_line_is_no_silence(bench):
    client = bench.start(broken("trickles"))
    began = time.monotonic()
    assert bench.answer(client.request("echo", deadline=0.5)).type == "result"
    assert time.monotonic() - began > 1.0


@pytest.mark.parametrize("command", [TOY, broken("silent")])
def test_stopping_while_it_starts(bench, command):
    client = bench.start(command, ready=False)
    client.stop()
    assert client.state is State.STOPPING
    bench.until(lambda: client.state is State.STOPPED)
    assert client.poll() == []


def test_stubborn_backend_is_killed_in_the_end(bench):
    client = bench.start(broken("stubborn"))
    client.stop()
    bench.until(lambda: client.state is State.STOPPED, patience=client_module.STOP_DEADLINE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exits", "could not start"),
        ("rubbish_first", "something that is not a message"),
        ("not_json", "something that is not a message"),
        ("other_protocol", "does not speak this add-on's protocol"),
        ("no_hello", "something that is not a message"),
    ],
)
def test_bad_beginnings(bench, name, words):
    bench.start(broken(name), ready=False)
    assert words in bench.fails()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rubbish_later", "something that is not a message"),
        ("wrong_types", "something that is not a message"),
        ("half_frame", "exit code 9"),
        ("half_payload", "exit code 9"),
        ("leaves_a_child", "exit code 5"),
    ],
)
def test_bad_answers(bench, name, words):
    client = bench.start(broken(name))
    error = bench.answer(client.request("echo")).data
    assert error["code"] == "backend_gone" and words in error["sentence"]
    assert client.state is State.FAILED and words in client.reason


def test_backend_that_never_says_hello(bench, monkeypatch):
    monkeypatch.setattr(client_module, "START_DEADLINE", 0.3)
    bench.start(broken("silent"), ready=False)
    assert "has not started within" in bench.fails()


def test_backend_that_cannot_start_says_why(bench):
    bench.start([*TOY, "--refuse"], ready=False)
    assert bench.fails() == "torch cannot be used in this Python."


def test_flood_neither_blocks_nor_starves(bench):
    client = bench.start(broken("floods"))
    number = client.request("echo")
    times = []
    while not any(m.type == "result" for m in bench.messages):
        before = time.perf_counter()
        bench.messages += client.poll(0.01)
        times.append(time.perf_counter() - before)
    assert bench.answer(number).type == "result"
    assert sorted(times)[len(times) * 9 // 10] < BLINK
    assert sum(m.name == "flood" for m in bench.messages) >= 3000


@pytest.mark.parametrize("path", ["/no/such/python", "\0"])
def test_command_that_does_not_exist(bench, path):
    bench.start([path, "-m", "backend"], ready=False)
    assert bench.client.state is State.FAILED and "check the interpreter path" in bench.client.reason


def test_path_with_spaces_and_letters_beyond_ascii(tmp_path):
    folder = tmp_path / "my ünï folder"
    folder.mkdir()
    bench = Bench(folder)
    bench.start(broken("echoes_environment"))
    assert Path(bench.client.hello["folder"]) == folder
    bench.client.stop()
    bench.until(lambda: bench.client.state is State.STOPPED)
    assert (folder / "logs" / "backend.log").exists()


def test_environment_leaves_out_what_steers_blenders_python(bench):
    given = {**os.environ, "PYTHONHOME": "x", "PYTHONPATH": "x", "BLENDER_USER_CONFIG": "x", "PYTORCH_X": "1"}
    bench.start(broken("echoes_environment"), env=given)
    inside = bench.client.hello["environment"]
    assert not [name for name in inside if name.startswith(("PYTHON", "BLENDER_"))]
    assert inside["PYTORCH_X"] == "1"


def test_log_is_moved_aside_when_it_has_grown(bench):
    bench.log.parent.mkdir()
    bench.log.write_bytes(b"x" * (1 << 20) + b"y")
    bench.start()
    assert bench.log.with_name("backend.log.1").read_bytes().endswith(b"y")
    assert bench.log.stat().st_size < 1 << 20


def test_log_goes_elsewhere_when_its_place_cannot_be_written(tmp_path):
    bench = Bench(tmp_path)
    (tmp_path / "logs").write_text("a file, not a folder")
    bench.start(broken("complains"), ready=False)
    bench.fails()
    assert bench.client.log_path != bench.log
    assert bench.client.log_lines == ["Traceback: a module is missing"]
    bench.client.log_path.unlink()


def test_automatic_restart_waits(bench):
    client = bench.start(broken("exits"), ready=False)
    bench.fails()
    assert 0 < client.restart_wait() <= client_module.RESTART_PAUSE
    with pytest.raises(BridgeError, match="press Restart"):
        client.start(TOY, bench.folder, bench.log, automatic=True)
    bench.start()
    assert client.state is State.READY


def test_time_without_polls_is_not_the_backends_silence(tmp_path):
    now = [0.0]
    bench = Bench(tmp_path)
    bench.client = client = BackendClient(clock=lambda: now[0])
    bench.start(broken("hangs"))
    number = client.request("echo", deadline=10)
    now[0] += 500  # a modal dialog: no poll in between
    client.poll()
    assert client.state is State.BUSY
    for _ in range(12):
        now[0] += 1
        bench.messages += client.poll()
    assert client.state is State.FAILED and bench.answer(number).type == "error"
    assert client.join(PATIENCE)


def test_only_legal_calls(bench):
    client = bench.client
    with pytest.raises(BridgeError, match="not running"):
        client.request("echo")
    client.stop()
    assert client.state is State.STOPPED and client.poll() == []
    bench.start()
    with pytest.raises(BridgeError, match="ready already"):
        client.start(TOY, bench.folder, bench.log)


def test_every_state_can_be_left_and_reached():
    assert set(MOVES) == set(State)
    assert set().union(*MOVES.values()) == set(State)
    assert all(MOVES.values())


@pytest.mark.parametrize("code", [-9, -15, -11, -64, -999, 0, 1, 2, 3, 4, 127, 255, 0xC0000135, 77])
def test_every_exit_code_is_one_sentence(code):
    sentence = exit_sentence(code)
    assert sentence[0].isupper() and sentence.endswith(".") and "\n" not in sentence


def test_nothing_is_left_behind(tmp_path):
    gc.collect()
    before = threading.active_count()
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for command in (TOY, broken("rubbish_first")):
        bench = Bench(tmp_path)
        bench.start(command, ready=False)
        bench.until(lambda bench=bench: bench.client.state in (State.READY, State.FAILED))
        bench.client.stop()
        bench.until(lambda bench=bench: bench.client.state is State.STOPPED)
        assert bench.client.join(PATIENCE)
    del bench
    gc.collect()
    assert threading.active_count() == before
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")
@pytest.mark.parametrize("work", ["idle", "busy"])
def test_child_is_gone_two_seconds_after_its_parent_was_killed(tmp_path, work):
    parent = subprocess.Popen(
        [sys.executable, "-B", str(FAKES / "parent.py"), str(tmp_path), work], stdout=subprocess.PIPE, text=True
    )
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert _running(pid)
    parent.kill()
    killed = time.monotonic()
    while _running(pid):
        assert time.monotonic() - killed < 2.0
    parent.wait()


def _running(pid):
    try:
        os.kill(pid, 0)
        # A dead process that nobody has collected yet still has a pid.
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
