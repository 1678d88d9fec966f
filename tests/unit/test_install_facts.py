"""What decides about an installation: tags, the lock, paths, drivers; and what is told when something has ended."""

import json
import re
import signal
from pathlib import Path

import pytest
from clickfield.blender_addon.bridge import child, diagnostics, install_device, install_index, install_settings
from clickfield.blender_addon.bridge import install_folder as folders
from clickfield.blender_addon.bridge.states import EXIT_SENTENCES, BridgeError, exit_sentence
from clickfield.blender_addon.bridge.wheels import LockError, Machine, fits, read_lock

from backend import server

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "assets" / "backend.lock"
LINUX = Machine((3, 11), "linux", "x86_64", libc=(2, 31))
WINDOWS = Machine((3, 13), "windows", "x86_64")
MAC = Machine((3, 11), "macos", "arm64", macos=(14, 2))


@pytest.mark.parametrize(
    ("tags", "machines"),
    [
        ("py3-none-any", [LINUX, WINDOWS, MAC]),
        ("py2.py3-none-any", [LINUX, WINDOWS, MAC]),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", [LINUX]),
        ("cp311-cp311-manylinux_2_35_x86_64", []),  # a newer libc
        ("cp311-cp311-manylinux_2_17_aarch64", []),
        ("cp311-cp311-musllinux_1_2_x86_64", []),
        ("cp310-abi3-win_amd64", [WINDOWS]),
        ("cp314-abi3-win_amd64", []),
        ("cp313-cp313t-win_amd64", []),  # without a global lock
        ("cp311-cp311-win_amd64", []),
        ("cp311-cp311-macosx_14_0_arm64", [MAC]),
        ("cp311-cp311-macosx_10_9_universal2", [MAC]),
        ("cp311-cp311-macosx_15_0_arm64", []),
        ("cp311-cp311-macosx_11_0_x86_64", []),
    ],
)
def test_wheels_fit_by_their_tags(tags, machines):
    assert [machine for machine in (LINUX, WINDOWS, MAC) if fits(f"thing-1.0-{tags}.whl", machine)] == machines


@pytest.mark.parametrize("minor", [11, 12, 13])
@pytest.mark.parametrize(
    ("system", "kind", "key", "cuda"),
    [
        ("linux", "cpu", "linux/cpu", False),
        ("linux", "cuda", "linux/cuda", True),
        ("linux", "rocm", "linux/rocm", False),
        ("windows", "cuda", "windows/cuda", False),  # there torch's own wheel brings it
        ("windows", "rocm", "windows/cpu", False),  # no such torch
        ("macos", "metal", "macos/metal", False),
        ("macos", "cpu", "macos/metal", False),
    ],
)
def test_the_lock_has_what_each_machine_needs(minor, system, kind, key, cuda):
    machine = Machine((3, minor), system, "arm64" if system == "macos" else "x86_64", (2, 31), (14, 0))
    plan = read_lock(LOCK).plan(machine, kind)
    names = [wheel.name for wheel in plan.wheels]
    assert plan.build.key == key and len(names) == len(set(names))
    needed = set(re.findall(r'^  "([\w-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    assert needed == {"torch", "numpy", "scikit-image", "scipy", "safetensors", "trimesh"}
    assert needed <= {*names, *(["torch"] if plan.from_index else [])}
    assert any(name.startswith("nvidia-") for name in names) == cuda
    assert plan.tool.name == "uv" and all(fits(wheel.file, machine) for wheel in plan.everything())
    assert all(re.fullmatch(r"[0-9a-f]{64}", wheel.sha256) and wheel.size > 0 for wheel in plan.everything())
    assert not any(wheel.url for wheel in plan.everything()) and "://" not in LOCK.read_text()
    versions = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    for wheel in plan.wheels:
        tested = versions.get(wheel.name, wheel.version)
        assert wheel.version.split("+")[0] == tested or (wheel.name == "numpy" and minor > 12)
    assert set(plan.left_out) <= {"pyliblzfse", "pye57", "pyquaternion"}
    assert plan.from_index == ("" if key in ("linux/cuda", "windows/cpu", "macos/metal") else plan.from_index)


def test_machines_without_a_torch_are_told(tmp_path):
    lock = read_lock(LOCK)
    for machine in (Machine((3, 11), "macos", "x86_64", macos=(14, 0)), Machine((3, 15), "linux", "x86_64", (2, 40))):
        with pytest.raises(LockError, match=r"There is no \S+ for \w+ .* choose an existing interpreter instead\."):
            lock.plan(machine, "cpu")
    with pytest.raises(LockError, match="There is no backend for freebsd"):
        lock.plan(Machine((3, 11), "freebsd", "x86_64"), "cpu")
    for text in ("", "{}", '{"builds": 3, "packages": [], "longest_path": 1}'):
        (tmp_path / "lock").write_text(text)
        with pytest.raises(LockError, match="install the add-on again"):
            read_lock(tmp_path / "lock")
    (tmp_path / "lock").write_bytes(LOCK.read_bytes().replace(b"\n", b"\r\n"))
    assert read_lock(tmp_path / "lock").digest == lock.digest


def test_paths_that_windows_cannot_hold_and_disks_that_are_full(tmp_path):
    plan = read_lock(LOCK).plan(WINDOWS, "cpu")
    usual = Path("C:/Users/twenty-letters-a-name/AppData/Local/clickfield/env")
    packages = len(str(usual)) + len("/abcdef/Lib/site-packages/")
    assert packages + plan.longest_path <= folders.WINDOWS_PATH
    assert folders.problem(Path("/env"), plan, 0, "win32") == ""
    sentence = folders.problem(tmp_path / ("x" * 90), plan, 0, "win32")
    most = int(re.search(r"choose a folder of at most (\d+) characters", sentence)[1])
    assert most == folders.WINDOWS_PATH - plan.longest_path - len("/abcdef/Lib/site-packages/") >= len(str(usual))
    assert folders.problem(tmp_path / ("x" * 90), plan, 0, "linux") == ""
    assert re.match(
        r"100000\d\.\d GB are needed in .* free; make room there\.", folders.problem(tmp_path, plan, 10**15)
    )


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "abcdef").mkdir()
    (tmp_path / "abcdef" / folders.MARKER).write_text(json.dumps({"base": str(tmp_path)}))
    with pytest.raises(BridgeError, match="holds other files; choose an empty folder"):
        folders.claim(tmp_path)
    with pytest.raises(BridgeError, match="was not made by Clickfield; nothing was removed"):
        folders.remove(tmp_path)
    assert folders.installed(tmp_path, "abcdef").state == "absent" and (tmp_path / "abcdef").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(BridgeError, match="cannot be written"):
        folders.claim(tmp_path / "file" / "env")


def test_amd_cards_are_found_in_the_drivers_list(tmp_path):
    assert not install_device.has_amd(tmp_path)
    for number, version in enumerate((0, 110000)):
        assert not install_device.has_amd(tmp_path)
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "properties").write_text(f"cpu_cores_count 8\ngfx_target_version {version}\n")
    assert install_device.has_amd(tmp_path)
    assert install_device.kind("darwin") == "metal"
    assert install_device.kind("linux") in ("cuda", "cuda12", "rocm", "cpu")


def test_what_pip_is_configured_for_is_told_to_uv(tmp_path):
    told = """global.cert='/etc/ca.crt'
global.extra-index-url='file:///a/simple\\nhttps://b.example/simple'
global.find-links='/opt/wheels'
global.index-url='https://one.example/simple'
install.index-url='https://two.example/simple'
:env:.index-url='https://me:pw@three.example/simple'
"""
    arguments = ["--default-index", "https://me:pw@three.example/simple", "--index", "file:///a/simple"]
    arguments += ["--index", "https://b.example/simple", "--find-links", "/opt/wheels"]
    assert install_settings.configured(told) == arguments
    assert install_settings.configured("global.no-index='true'\n") == ["--no-index"]
    assert install_settings.configured("") == install_index.named("") == []
    assert install_index.named("https://four.example/simple") == ["--default-index", "https://four.example/simple"]
    assert install_index.named(str(tmp_path)) == ["--default-index", tmp_path.as_uri()]
    (tmp_path / "a-1-py3-none-any.whl").touch()
    assert install_index.named(str(tmp_path)) == ["--no-index", "--find-links", str(tmp_path)]
    assert install_index.without_login("https://me:p%40w@three.example/simple") == "https://three.example/simple"
    with pytest.raises(BridgeError, match="There is no folder /gone; choose another Package Index"):
        install_index.named("/gone")


SIGNALS = [-number for number in signal.valid_signals()]
CODES = [*EXIT_SENTENCES, *SIGNALS, 5, 77, 128 + 9, 128 + 40, -(1 << 31), 1 << 33]


@pytest.mark.parametrize("code", CODES)
def test_every_way_to_end_is_one_sentence(code):
    sentence = exit_sentence(code)
    assert re.fullmatch(r"(The|A) [^.\n]+(\.\d[^.\n]*)?\.( Press Restart\.)?", sentence), sentence


def test_no_way_in_which_the_backend_ends_itself_is_forgotten():
    own = {value for name, value in vars(server).items() if name.startswith("EXIT_")}
    assert own and own <= set(EXIT_SENTENCES)


def test_ways_to_end_that_are_the_same_are_told_the_same():
    assert exit_sentence(-9) == exit_sentence(137) and "out of memory" in exit_sentence(-9)
    assert exit_sentence(0xC0000005) == exit_sentence(0xC0000005 - (1 << 32)) == exit_sentence(-11)


def test_log_stays_small_however_much_is_written(tmp_path):
    log = child.Log(tmp_path / "backend.log")
    for number in range(3000):
        log.write(b"%06d " % number + b"x" * 1000 + b"\n")
    log.close()
    log.write(b"too late")  # as when a stranger held the pipe
    new, old = tmp_path / "backend.log", tmp_path / "backend.log.1"
    assert sorted(tmp_path.iterdir()) == [new, old]
    assert new.stat().st_size <= child.MAX_LOG and old.stat().st_size <= child.MAX_LOG
    lines = old.read_bytes().splitlines() + new.read_bytes().splitlines()
    numbers = [int(line[:6]) for line in lines]
    assert numbers == list(range(numbers[0], 3000))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/jörg/My Scans/living room.ply is gone", "<path>.ply is gone"),
        ("opened '/mnt/Client AG/house 3' and /srv/x", "opened '<path>' and <path>"),
        ('  File "/home/jörg/ext/backend/field/train.py", line 3', '  File "…/backend/field/train.py", line 3'),
        ('File "C:\\Users\\Jörg M\\env\\Lib\\site-packages\\torch\\a.py"', 'File "…/site-packages/torch/a.py"'),
        ("C:\\Users\\Jörg M\\scan.glb: broken", "<path>.glb: broken"),
        ("https://example.org/simple/numpy failed", "https://example.org/simple/numpy failed"),
        ("5 of 7 frames, 1/2 done, torch 2.13.0+cpu", "5 of 7 frames, 1/2 done, torch 2.13.0+cpu"),
        ("running as jörg on studio-7", "running as <name> on <name>"),
        ("~/Desktop/secret plan.zip", "<path>.zip"),
    ],
)
def test_diagnostics_name_nobody_and_no_place(text, kept):
    assert diagnostics.scrubbed(text, Path("/home/jörg"), ["jörg", "studio-7"]) == kept
