"""The cache folder: what goes in comes out or is gone, whatever happens to the files."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.errors import UserError
from backend.store import STALE, TEMPORARY, Store, default_root, key_of

ROOT = Path(__file__).resolve().parents[2]


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_bytes_json_and_arrays_come_back(tmp_path):
    store = Store(tmp_path / "cache ünï")
    store.put_bytes("aa1", b"\x00\xff")
    store.put_json("aa2", {"name": "ünï", "list": [1, 2.5, None]})
    arrays = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "t": np.eye(3, dtype=np.float32)[:, ::2]}
    path = store.put_arrays("aa3", arrays, {"made by": "test"})
    assert path.suffix == ".safetensors"
    again = Store(tmp_path / "cache ünï")
    assert again.get_bytes("aa1") == b"\x00\xff"
    assert again.get_json("aa2") == {"name": "ünï", "list": [1, 2.5, None]}
    loaded = again.get_arrays("aa3")
    assert all(
        np.array_equal(loaded[name], arrays[name]) and loaded[name].dtype == arrays[name].dtype for name in arrays
    )


def test_absent_is_none(tmp_path):
    store = Store(tmp_path / "never made")
    assert store.get_bytes("aa") is None and store.get_json("aa") is None and store.get_arrays("aa") is None
    assert store.size() == 0 and store.evict() == 0
    assert not (tmp_path / "never made").exists()


def test_keys_of_one_prefix_do_not_meet(tmp_path):
    store = Store(tmp_path)
    store.put_bytes("ab", b"short")
    store.put_bytes("abc", b"long")
    assert store.get_bytes("ab") == b"short" and store.get_bytes("abc") == b"long"
    store.remove("ab")
    assert store.get_bytes("ab") is None and store.get_bytes("abc") == b"long"


def test_newer_content_takes_the_place_of_older(tmp_path):
    store = Store(tmp_path)
    store.put_bytes("key", b"old")
    store.put_bytes("key", b"new")
    assert store.get_bytes("key") == b"new"
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("damage", [b"", b"something else entirely", None])
def test_damaged_file_is_removed_and_counts_as_absent(tmp_path, damage):
    store = Store(tmp_path)
    path = store.put_arrays("key", {"a": np.arange(100.0)})
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert store.get_arrays("key") is None
    assert not path.exists()


def test_folder_may_vanish_at_any_time(tmp_path):
    store = Store(tmp_path / "cache")
    store.put_bytes("key", b"1")
    shutil.rmtree(tmp_path / "cache")
    assert store.get_bytes("key") is None
    store.put_bytes("key", b"2")
    assert store.get_bytes("key") == b"2"


def test_size_is_bounded_and_the_least_recently_used_goes_first(tmp_path):
    store = Store(tmp_path, limit=3000)
    for age, key in enumerate(["a", "b", "c"]):
        path = store.put_bytes(key, bytes(1000))
        os.utime(path, (1000 + age, 1000 + age))
    assert store.get_bytes("a") is not None  # used just now
    store.put_bytes("d", bytes(1000))
    assert [key for key in "abcd" if store.get_bytes(key) is not None] == ["a", "c", "d"]
    assert store.size() <= 3000


def test_file_larger_than_the_bound_is_kept_alone(tmp_path):
    store = Store(tmp_path, limit=10)
    store.put_bytes("a", b"12345")
    store.put_bytes("b", bytes(100))
    assert store.get_bytes("a") is None and store.get_bytes("b") == bytes(100)


def test_temporary_files_of_dead_processes_are_swept(tmp_path):
    store = Store(tmp_path)
    old, young = tmp_path / f"{TEMPORARY}old", tmp_path / f"{TEMPORARY}young"
    old.touch()
    young.touch()
    past = young.stat().st_mtime - STALE - 10
    os.utime(old, (past, past))
    store.put_bytes("key", b"1")
    assert not old.exists() and young.exists()


def test_keys_depend_on_every_part_and_on_nothing_else():
    assert key_of("a", 1, {"x": 1, "y": 2}) == key_of("a", 1, {"y": 2, "x": 1})
    keys = {key_of(*parts) for parts in [("a", 1), ("a", "1"), ("a1",), ("a", 1, None), ("a", 1.5), (["a", 1],)]}
    assert len(keys) == 6
    assert all(len(key) == 32 and key.isalnum() for key in keys)


def test_default_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert "clickfield" in default_root().parts
    assert Store().root == default_root()


def test_full_disk_is_a_sentence_and_leaves_no_half_file(tmp_path):
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from backend.errors import UserError\n"
        "from backend.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "store.put_bytes('before', bytes(100))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    store.put_bytes('large', bytes(1_000_000))\n"
        "except UserError as error:\n"
        "    print(error.code, error.sentence)\n"
        "assert store.get_bytes('before') == bytes(100)\n"
        "store.put_bytes('small', b'1')\n"
    )
    pytest.importorskip("resource", reason="file size limits of POSIX")
    command = [sys.executable, "-B", "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("disk_full No space is left for the cache in ")
    assert len(files(tmp_path)) == 2 and not [f for f in files(tmp_path) if f.name.startswith(TEMPORARY)]


def test_really_full_file_system(tmp_path):
    full = Path("/dev/full")
    if not full.exists() or shutil.which("unshare") is None:
        pytest.skip("no private mount can be made here")
    script = (
        'mount -t tmpfs -o size=200k none "$1" && exec "$2" -B -c \''
        "import sys; from pathlib import Path; from backend.store import Store; from backend.errors import UserError\n"
        "store = Store(Path(sys.argv[1]))\n"
        'try:\n    store.put_bytes("k", bytes(1_000_000))\n'
        'except UserError as error:\n    print(error.code, [p for p in store.root.rglob("*") if p.is_file()])\n'
        '\' "$1"'
    )
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no private mount can be made here")
    assert done.stdout.strip() == "disk_full []", done.stderr


def test_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="choose another one") as caught:
        Store(tmp_path / "file" / "cache").put_bytes("key", b"1")
    assert caught.value.code == "cache_unwritable"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_cache_that_may_only_be_read_still_serves(tmp_path):
    store = Store(tmp_path)
    store.put_bytes("key", b"1")
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert store.get_bytes("key") == b"1"
        with pytest.raises(UserError):
            store.put_bytes("key", b"2")
    finally:
        folder.chmod(stat.S_IRWXU)


def test_unpacked_captures_are_not_evicted_file_by_file(tmp_path):
    store = Store(tmp_path, limit=100)
    frame = tmp_path / "unpacked" / "capture" / "0.png"
    frame.parent.mkdir(parents=True)
    frame.write_bytes(b"x" * 1000)
    store.put_bytes("ab", b"y" * 90)
    assert frame.exists() and store.get_bytes("ab") is not None
