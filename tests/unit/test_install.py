"""Installing the backend's environment: from an index, from a folder, cut off, damaged, without room or network."""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from clickfield.blender_addon.bridge import install_fetch
from clickfield.blender_addon.bridge import install_folder as folders
from clickfield.blender_addon.bridge.install import Install, Job
from clickfield.blender_addon.bridge.install_fetch import Cancelled, Fetcher
from clickfield.blender_addon.bridge.install_work import Removal
from clickfield.blender_addon.bridge.states import BridgeError
from clickfield.blender_addon.bridge.wheels import read_lock, this_machine
from clickfield.tests.fakes.package_index import Server, wheel

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
SYSTEM = this_machine().system
DOCTOR = """
import json, torch
print(json.dumps({"ok": True, "sentence": f"Everything is there, torch {torch.VERSION}.", "python": "3"}))
"""
USELESS_UV = "#!/bin/sh\necho this uv is not for this machine >&2\nexit 1\n"


class Bench:
    """A folder of wheels, a lock of them, a server, and an extension whose doctor needs the installed torch."""

    def __init__(self, folder):
        self.folder = folder
        self.source, self.root, self.env = folder / "wheels", folder / "root", folder / "Jörg ünï" / "env"
        (self.root / "backend").mkdir(parents=True)
        self.source.mkdir()
        (self.root / "backend" / "__init__.py").touch()
        (self.root / "backend" / "__main__.py").write_text(DOCTOR)
        self.server = Server(self.source)
        self.packages, self.torch, self.alone = [], "1.0", True
        self.add(wheel(self.source, "torch", data=os.urandom(400_000)))
        self.add(wheel(self.source, "numpy"))

    def add(self, package):
        self.packages.append(package)

    def plan(self):
        build = {"label": "processor", "torch": self.torch, "about": 0, "alone": self.alone}
        build["backend"] = "cpu" if "+" in self.torch else ""
        facts = {"longest_path": 60, "builds": {f"{SYSTEM}/cpu": build}, "packages": self.packages}
        (self.folder / "backend.lock").write_text(json.dumps(facts))
        return read_lock(self.folder / "backend.lock").plan(this_machine(), "cpu")

    def job(self, source=None, **options):
        options = {"index": "" if source else self.server.index} | options
        return Job(self.plan(), self.env, self.root, Path(sys.executable), source, **options)

    def install(self, source=None, **options):
        return finding(Install(self.job(source, **options)))

    def in_a_process(self, source=None):
        """The same in a process of its own, which stands for a Blender that is killed."""
        self.plan()
        script = self.folder / "installs.py"
        script.write_text(
            "import sys\nfrom pathlib import Path\n"
            f"sys.path.insert(0, {str(ROOT / 'tests')!r})\nimport conftest\n"
            "from clickfield.blender_addon.bridge.install import Install, Job\n"
            "from clickfield.blender_addon.bridge.wheels import read_lock, this_machine\n"
            f"plan = read_lock(Path({str(self.folder / 'backend.lock')!r})).plan(this_machine(), 'cpu')\n"
            f"source, index = {str(source) if source else None!r}, {'' if source else self.server.index!r}\n"
            f"job = Job(plan, Path({str(self.env)!r}), Path({str(self.root)!r}), Path(sys.executable),"
            " source and Path(source), index)\n"
            "Install(job).thread.join()\n"
        )
        return subprocess.Popen([sys.executable, str(script)])

    def state(self):
        return folders.installed(self.env, self.plan().digest)

    def fetcher(self, source=None, timeout=5.0, cancelled=None, progress=lambda done: None):
        folders.claim(self.env)
        return Fetcher(self.env / "wheels", source, cancelled or threading.Event(), timeout, progress, {})

    def placed(self):
        """The plan's torch, with its address."""
        torch = self.plan().wheels[0]
        return dataclasses.replace(torch, url=self.server.url + torch.file)


def finding(work):
    until = time.monotonic() + PATIENCE
    while work.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)  # the interval of the polling
    return work.poll()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Without uv on the path, and with nobody's settings of pip and uv."""
    monkeypatch.setattr(install_fetch, "PAUSE", 0.01)
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    bench = Bench(tmp_path)
    yield bench
    bench.server.hold.set()
    bench.server.shutdown()
    bench.server.server_close()


@pytest.fixture
def uv(monkeypatch):
    """uv on the path."""
    here = Path(sys.executable).parent
    assert list(here.glob("uv*")), "the tests need uv beside their Python: make setup"
    monkeypatch.setenv("PATH", f"{here}{os.pathsep}{os.environ['PATH']}")


def test_install_from_an_index_update_and_remove(bench, uv, monkeypatch):
    assert bench.state().state == "absent"
    bench.server.cut = 150_000  # every answer is cut: it takes three to get torch
    bench.server.login = "me:my-secret"
    monkeypatch.setenv("UV_DEFAULT_INDEX", bench.server.index)  # nothing is named in the preferences
    found = bench.install(index="")
    assert found.ok and found.sentence == "Everything is there, torch 1.0.", found
    torch = bench.packages[0]["wheels"][0]
    assert [start for file, start in bench.server.asked if file == torch["file"]] == [0, 150_000, 300_000]
    there = bench.state()
    assert there.state == "ready" and there.sentence == "Installed: torch 1.0 for the processor"
    assert "Jörg ünï" in str(there.interpreter)
    first = there.interpreter.parents[1]
    del bench.packages[1]
    bench.add(wheel(bench.source, "numpy", "1.1"))
    assert bench.state().state == "old" and bench.state().interpreter == there.interpreter  # still usable
    bench.server.asked.clear()
    assert bench.install().ok
    assert [file for file, _start in bench.server.asked] == ["numpy-1.1-py3-none-any.whl"]
    assert bench.state().state == "ready" and not first.exists()
    assert sorted(path.name for path in (bench.env / "wheels").iterdir()) == sorted(
        package["wheels"][0]["file"] for package in bench.packages
    )
    marker = bench.env / bench.plan().digest / folders.MARKER
    facts = json.loads(marker.read_text())
    marker.write_text(json.dumps({**facts, "base": str(bench.folder / "gone")}))  # as with a Blender that is removed
    assert bench.state().state == "broken" and "press Repair" in bench.state().sentence
    marker.write_text('{"cut off')
    assert bench.state().state == "broken" and bench.state().interpreter is None
    (bench.env / "mine.txt").write_text("of the person")
    assert finding(Removal(bench.env, lambda _seconds: True)).ok
    assert sorted(path.name for path in bench.env.iterdir()) == ["CLICKFIELD.txt", "mine.txt"]


def test_where_uv_does_not_run_pip_and_venv_do_it_all(bench):
    bench.packages[1] = wheel(bench.source, "uv", tool=USELESS_UV)
    found = bench.install()
    assert found.ok and found.sentence == "Everything is there, torch 1.0.", found
    log = (bench.env / "install.log").read_text("utf-8")
    assert "Successfully downloaded uv" in log and "Successfully installed torch-1.0" in log
    if os.name == "posix":
        assert "this uv is not for this machine" in log
    assert bench.state().state == "ready" and not (bench.env / "pip").exists()
    bench.packages[0] = wheel(bench.source, "torch", "1.0+x1")
    bench.torch, bench.packages[0]["wheels"] = "1.0+x1", []  # which only uv can choose
    assert "needs uv to be found, which does not run here" in bench.install().sentence
    assert bench.state().state == "old"  # what was there still serves


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_killed_in_the_middle_nothing_is_used_and_it_goes_on(bench, uv):
    """The torch is one that the lock does not hold: its index, which asks for a login, tells address and digest."""
    del bench.packages[0]
    bench.torch, bench.alone, bench.server.login = "1.0+x1", False, "me:my-secret"
    file = wheel(bench.source, "torch", bench.torch, data=os.urandom(400_000), needs="triton")["wheels"][0]["file"]
    only_its = wheel(bench.source, "triton", "3.0")["wheels"][0]["file"]
    plan = bench.plan()
    assert plan.from_index == "torch==1.0+x1" and [one.name for one in plan.wheels] == ["numpy"]
    bench.server.cut, bench.server.stall = 200_000, True
    process = bench.in_a_process()
    part = bench.env / "wheels" / (file + ".part")
    until = time.monotonic() + PATIENCE
    while not part.exists() or part.stat().st_size < 200_000:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)  # the interval of the polling
    with pytest.raises(BridgeError, match="Another Blender is installing"), folders.alone(bench.env):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert bench.state().interpreter is None
    bench.server.stall, bench.server.cut = False, None
    (bench.env / bench.plan().digest).mkdir()  # as if the environment had been half made
    assert bench.state().state == "broken" and "press Repair" in bench.state().sentence
    bench.server.asked.clear()
    found = bench.install()
    assert found.ok, found
    assert bench.state().sentence == "Installed: torch 1.0+x1 for the processor"
    assert bench.server.asked == [(file, 200_000), (only_its, 0)]
    bench.server.asked.clear()
    bench.server.login = "somebody:else"  # what was found is remembered: a repair asks nobody
    assert bench.install().ok and not bench.server.asked
    kept = bench.env / "wheels"
    other = Install(dataclasses.replace(bench.job(kept), folder=bench.folder / "second machine"))
    assert finding(other).ok  # and neither does a machine that the folder was copied to
    (kept / file).write_bytes(bytes((kept / file).stat().st_size))
    assert bench.install().ok and bench.server.asked == [(file, 0)]
    assert "secret" not in (bench.env / "install.log").read_text("utf-8")


def test_cancel_ends_a_silent_download(bench, uv):
    bench.server.cut, bench.server.stall = 1000, True
    work = Install(bench.job(timeout=0.3))
    until = time.monotonic() + PATIENCE
    while "Downloading torch" not in work.progress.text:
        assert time.monotonic() < until and work.poll() is None
    work.cancel()
    assert "cancelled" in finding(work).sentence and bench.state().interpreter is None
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        bench.fetcher(bench.source, cancelled=cancelled).fetch(bench.plan().wheels[0])


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_what_a_killed_blender_left_running_is_waited_for(bench):
    bench.add(wheel(bench.source, "uv", tool="#!/bin/sh\necho $$ > started\nsleep 600\n"))
    process = bench.in_a_process(bench.source)
    started = bench.env / "started"
    until = time.monotonic() + PATIENCE
    while not started.is_file() or not started.read_text().strip():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)  # the interval of the polling
    process.kill()
    process.wait()
    work = Install(bench.job(bench.source))
    while not work.progress.text.startswith("Waiting for another installation"):
        assert time.monotonic() < until and work.poll() is None
    os.killpg(int(started.read_text()), signal.SIGKILL)
    while work.progress.text.startswith("Waiting for another installation"):
        assert time.monotonic() < until and work.poll() is None
    work.cancel()
    assert "cancelled" in finding(work).sentence


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the system's list of processes")
def test_cancel_ends_the_installer_with_all_that_it_started(bench):
    bench.add(wheel(bench.source, "uv", tool="#!/bin/sh\nsleep 600 &\necho $! > started\nwait\n"))
    work = Install(bench.job(bench.source))
    started = bench.env / "started"
    until = time.monotonic() + PATIENCE
    while not started.is_file() or not started.read_text().strip():
        assert time.monotonic() < until and work.poll() is None
        time.sleep(0.01)  # the interval of the polling
    work.cancel()
    assert "cancelled" in finding(work).sentence
    status = Path("/proc") / started.read_text().strip() / "stat"
    while status.is_file() and ") Z " not in status.read_text():  # gone, or dead and not buried by its new parent
        assert time.monotonic() < until
        time.sleep(0.01)  # the interval of the polling
    work.thread.join(PATIENCE)
    assert not work.thread.is_alive() and bench.state().interpreter is None


def test_damaged_wheels_are_one_sentence(bench):
    torch = bench.placed()
    path = bench.source / torch.file
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BridgeError, match="torch arrived damaged twice"):
        bench.fetcher().fetch(torch)
    with pytest.raises(BridgeError, match="is damaged or another file; copy it again"):
        bench.fetcher(bench.source).fetch(torch)
    path.write_bytes(whole)
    (bench.env / "wheels" / torch.file).write_bytes(whole[:-1])  # kept, and damaged since
    assert bench.fetcher().fetch(torch).read_bytes() == whole
    (bench.env / "wheels" / torch.file).unlink()
    (bench.env / "wheels" / (torch.file + ".part")).write_bytes(b"?" * 100)  # of something else
    assert bench.fetcher().fetch(torch).read_bytes() == whole
    path.unlink()
    (bench.env / "wheels" / torch.file).unlink()
    assert f"{bench.source} lacks {torch.file}; copy them there" in bench.install(bench.source).sentence
    assert bench.state().interpreter is None


def test_no_network_and_refusals_are_one_sentence(bench, uv):
    (bench.source / bench.packages[1]["wheels"][0]["file"]).unlink()
    assert "no version of numpy==1.0" in bench.install().sentence
    torch = bench.placed()
    (bench.source / torch.file).write_bytes(b"another file of that name")
    assert bench.install().sentence.startswith("The download of the packages was not found (")
    bench.server.shutdown()
    bench.server.server_close()
    sentence = bench.install().sentence
    assert "onnect" in sentence and "check the network, the proxy and the package index" in sentence
    with pytest.raises(BridgeError, match=r"127\.0\.0\.1:\d+ cannot be reached \(.* check the network and the proxy"):
        bench.fetcher().fetch(torch)
    with pytest.raises(BridgeError, match=r"nowhere\.invalid cannot be reached"):
        bench.fetcher().measured(dataclasses.replace(torch, url=f"http://nowhere.invalid/{torch.file}"))
    assert bench.state().state == "absent"


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_full_disk_is_one_sentence_and_goes_on(bench, uv):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))  # the download is larger than that
        full = bench.install()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.sentence.startswith(f"There is no more room in {bench.env}"), full
    assert bench.state().interpreter is None
    part = bench.env / "wheels" / (bench.packages[0]["wheels"][0]["file"] + ".part")
    assert 0 < part.stat().st_size <= 300_000
    bench.packages[0] = wheel(bench.source, "torch", data=bytes(3_000_000))  # small as a wheel, large when unpacked
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
        full = bench.install(bench.source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.sentence.startswith(f"There is no more room in {bench.env}"), full
    assert bench.state().state == "broken" and bench.state().interpreter is None


def test_what_nobody_thought_of_is_a_sentence_too(bench):
    package = wheel(bench.source, "uv")
    file = bench.source / package["wheels"][0]["file"]
    file.write_bytes(b"listed, and no wheel")
    package["wheels"][0] |= {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": file.stat().st_size}
    bench.add(package)
    assert bench.install(bench.source).sentence.startswith("Something went wrong that Clickfield does not know;")
    assert "BadZipFile" in (bench.env / "install.log").read_text("utf-8")
