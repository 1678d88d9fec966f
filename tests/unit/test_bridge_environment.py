"""Finding and judging the Python that runs the backend."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from clickfield.blender_addon.bridge import environment
from clickfield.blender_addon.bridge.child import clean_environment
from clickfield.blender_addon.bridge.environment import Check, backend_command, candidates, resolved
from clickfield.blender_addon.bridge.install_folder import interpreter_in
from clickfield.blender_addon.bridge.states import BridgeError

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0

posix = pytest.mark.skipif(os.name != "posix", reason="makes interpreters from shell scripts")


def finding(check, patience=PATIENCE):
    end = time.monotonic() + patience
    while check.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)  # the interval of the polling
    return check.poll()


def script(path, *lines):
    """An executable that stands in for a Python."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)
    return path


def test_this_python_will_do():
    before = time.perf_counter()
    check = Check(sys.executable, ROOT)
    assert time.perf_counter() - before < 1.0  # the answer takes longer; the call does not
    found = finding(check)
    assert found.ok, found
    assert found.sentence.startswith("Everything needed is there")
    assert found.interpreter == Path(sys.executable).absolute()
    assert found.facts["devices"][-1]["name"] == "cpu"


@posix
def test_python_without_torch_will_not(tmp_path):
    bare = script(tmp_path / "my ünï env" / "bin" / "python", f'exec "{sys.executable}" -S "$@"')
    found = finding(Check(str(bare.parents[1]), ROOT))
    assert not found.ok and found.interpreter == bare
    assert found.sentence.startswith("Missing in this Python: torch")


@posix
@pytest.mark.parametrize(
    "line", ["echo Python 2.7", "exit 1", "echo '{\"ok\": true}'", "echo '{'", "echo '[]'", "printf '\\377\\376{}'"]
)
def test_programs_that_are_no_python_will_not(tmp_path, line):
    found = finding(Check(str(script(tmp_path / "python", line)), ROOT))
    assert not found.ok and "must be Python 3.11 or newer with torch" in found.sentence


@posix
def test_python_that_hangs_is_given_up(tmp_path):
    found = finding(Check(str(script(tmp_path / "python", "exec sleep 3600")), ROOT, deadline=0.2))
    assert not found.ok and "has not answered for 0.2 seconds" in found.sentence


@posix
def test_check_can_be_cancelled(tmp_path):
    check = Check(str(script(tmp_path / "python", "exec sleep 3600")), ROOT)
    assert check.poll() is None
    check.cancel()
    assert finding(check).sentence == "The test was cancelled."
    check.thread.join(PATIENCE)
    assert not check.thread.is_alive()


@posix
def test_file_of_a_form_that_cannot_run(tmp_path):
    path = tmp_path / "python"
    path.write_bytes(b"\x00\x01\x02")
    path.chmod(0o755)
    found = Check(str(path), ROOT).poll()
    assert not found.ok and "cannot be run as a Python" in found.sentence


@pytest.mark.parametrize(
    ("given_path", "words"),
    [
        ("", "No interpreter is set"),
        ("  ", "No interpreter is set"),
        ("no/such/python", "There is no Python at"),
        ("{folder}", "There is no Python at"),
        ("{folder}/blender", "That is Blender itself"),
        ("{folder}/notes.txt", "may not be run"),
    ],
)
def test_paths_that_cannot_be_meant(tmp_path, given_path, words):
    (tmp_path / "notes.txt").write_text("no program")
    if os.name == "posix":
        script(tmp_path / "blender")
    else:
        pytest.skip("file permissions of POSIX")
    path = given_path.format(folder=tmp_path)
    with pytest.raises(BridgeError, match=words):
        resolved(path)
    threads = threading.active_count()
    found = Check(path, ROOT).poll()
    assert not found.ok and words in found.sentence and threading.active_count() == threads


@posix
def test_what_a_person_may_type(tmp_path, monkeypatch):
    python = script(tmp_path / "env" / "bin" / "python")
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in (str(python), f" {python} ", f'"{python}"', str(tmp_path / "env"), "~/env", "~/env/bin/python"):
        assert resolved(text) == python


@posix
def test_link_of_a_virtual_environment_is_kept(tmp_path):
    link = tmp_path / "bin" / "python"
    link.parent.mkdir()
    link.symlink_to(sys.executable)
    assert resolved(str(tmp_path)) == link


@posix
def test_candidates_exist_and_the_named_one_is_first(tmp_path, monkeypatch):
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    assert candidates(tmp_path) == []
    own = script(interpreter_in(tmp_path / "own"))
    beside = script(interpreter_in(tmp_path / ".venv"))
    assert candidates(tmp_path) == [beside]
    assert candidates(tmp_path, own) == [own, beside]
    named = script(tmp_path / "named")
    monkeypatch.setenv(environment.VARIABLE, str(named))
    assert candidates(tmp_path, own) == [named, own, beside]
    own.unlink()
    assert candidates(tmp_path, own) == [named, beside]


def test_command_serves_with_a_clean_python():
    assert backend_command("/a b/ünï") == ["/a b/ünï", "-s", "-B", "-X", "utf8", "-m", "backend", "serve"]
    cleaned = clean_environment({"PYTHONPATH": "1", "pythonhome": "1", "BLENDER_X": "1", "PATH": "p", "PYTORCH": "t"})
    assert cleaned == {"PATH": "p", "PYTORCH": "t"}
