"""Devices are found by computing on them; the commands end in sentences and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from backend import __main__ as commands
from backend import devices, protocol
from backend.console import ProgressBar
from backend.errors import Cancelled, UserError

ROOT = Path(__file__).resolve().parents[2]
OUT_OF_REACH = [name for name in ("cuda", "mps") if devices.problem_with(name)]


def backend(*arguments, python=(sys.executable,), **options):
    command = [*python, "-B", "-m", "backend", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


def test_cpu_computes():
    assert devices.problem_with("cpu") == ""
    assert devices.choose("cpu") == torch.device("cpu")


def test_auto_is_the_first_device_that_works():
    working = [name for name in devices.AUTO_ORDER if not devices.problem_with(name)]
    assert devices.choose("auto").type == working[0]
    assert devices.choose().type == working[0]


@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_device_that_is_not_there_is_a_sentence(name):
    with pytest.raises(UserError, match=r"cannot be used here: .*; choose Auto or CPU") as caught:
        devices.choose(name)
    assert caught.value.code == "no_device"


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cpu0", "banana"])
def test_unknown_device_is_a_sentence(name):
    with pytest.raises(UserError, match="There is no device called"):
        devices.choose(name)


@pytest.mark.parametrize("name", ["cuda:99", "cuda:x", "cpu:banana"])
def test_device_number_that_makes_no_sense(name):
    with pytest.raises(UserError, match="cannot be used here"):
        devices.choose(name)


def test_probe_tells_name_label_and_memory():
    found = devices.probe()
    assert found[-1]["name"] == "cpu"
    for device in found:
        assert device["label"] and 0 < device["free"] <= device["memory"]


def test_hello_fits_a_message():
    hello = devices.hello()
    protocol.encode_message({"type": "event", "event": "hello", "data": hello})
    assert hello["protocol"] == protocol.VERSION and hello["torch"] == torch.__version__


def test_doctor_prints_json_and_succeeds():
    done = backend("doctor")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["ok"] and report["missing"] == []
    assert report["packages"]["torch"] == torch.__version__
    assert [device["name"] for device in report["devices"]][-1] == "cpu"
    assert report["sentence"].startswith("Everything needed is there")


def test_doctor_works_without_torch_and_names_what_is_missing():
    done = backend("doctor", python=(sys.executable, "-S"))
    report = json.loads(done.stdout)
    assert done.returncode == 1 and not report["ok"] and done.stderr == ""
    assert "torch" in report["missing"] and report["devices"] == []
    assert report["sentence"].startswith("Missing in this Python: torch, numpy")


def test_server_without_torch_says_so_and_ends():
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-m", "backend", "serve"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    assert b'"code":"no_torch"' in done.stdout


def test_user_error_is_one_sentence_and_exit_code_2(tmp_path):
    done = backend("inspect", str(tmp_path / "nothing here"))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith(".") and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["fly"], ["label", "x"], ["label", "x", "--marks", "m"], ["inspect"]])
def test_wrong_command_lines_are_refused(arguments):
    with pytest.raises(SystemExit) as caught:
        commands.main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("option", [["--step", "0"], ["--max-frames", "-1"], ["--seconds", "nan"], ["--up", "left"]])
def test_options_that_make_no_sense_are_refused(option):
    with pytest.raises(SystemExit):
        commands.main(["label", "x", "--marks", "m", "--out", "o", *option])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("a", "A sentence."), 2, "A sentence."),
        (Cancelled(), 130, "Cancelled."),
        (KeyboardInterrupt(), 130, "Cancelled."),
    ],
)
def test_how_commands_end(capsys, monkeypatch, error, code, words):
    monkeypatch.setattr(devices, "report", _raising(error))
    assert commands.main(["doctor"]) == code
    assert capsys.readouterr().err.strip() == words


def test_unexpected_error_is_a_sentence_with_the_place_of_its_log(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "report", _raising(ZeroDivisionError("inner")))
    monkeypatch.setattr(commands.tempfile, "tempdir", str(tmp_path))
    assert commands.main(["doctor"]) == 1
    (log,) = tmp_path.iterdir()
    assert "ZeroDivisionError: inner" in log.read_text()
    said = capsys.readouterr().err
    assert str(log) in said and "Traceback" not in said


def _raising(error):
    def raise_it():
        raise error

    return raise_it


class Screen:
    """A stream that may be a terminal."""

    def __init__(self, terminal):
        self.terminal, self.text = terminal, ""

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere():
    bar, lines = Screen(True), Screen(False)
    for screen in (bar, lines):
        progress = ProgressBar(screen)
        for step in range(1001):
            progress(step / 1000, "Fusing")
        progress.close()
    assert bar.text.count("\r") <= 3 and bar.text.endswith("Fusing\n") and "100 %" in bar.text
    assert lines.text.splitlines()[0].startswith("  0 %") and lines.text.splitlines()[-1].startswith("100 %")
    assert "\r" not in lines.text and len(lines.text.splitlines()) <= 3
