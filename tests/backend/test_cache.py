"""The cache under hard use: killed while writing, shared by processes, beside other things, deleted in use."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clickfield.blender_addon.bridge import cache_folder

from backend.captures.detect import ImportOptions, open_capture
from backend.captures.scratch import Scratch
from backend.errors import UserError
from backend.pictures import picture_file
from backend.protocol import checked_document, is_cached
from backend.scene_cache import SceneCache
from backend.store import TEMPORARY, Store, key_of
from backend.workspace import Workspace
from tests import rooms

ROOT = Path(__file__).resolve().parents[2]
WRITER = (
    "import os, sys; from pathlib import Path; from backend.store import Store, key_of\n"
    "store = Store(Path(sys.argv[1]), limit=int(sys.argv[3]))\n"
    "for number in range(int(sys.argv[4])):\n"
    "    data = bytes([number % 256]) * int(sys.argv[2])\n"
    "    store.put_bytes(key_of(sys.argv[5], number % 40), data)\n"
    "    print(number, flush=True)\n"
)


def writer(root, size, limit, count, name="a"):
    command = [sys.executable, "-B", "-c", WRITER, *map(str, (root, size, limit, count, name))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def quiet(fraction, text):
    """Progress that nobody sees."""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_a_writer_that_is_killed_leaves_nothing_that_is_read(tmp_path):
    """Killed while the temporary file grows; what was complete is whole, what was not is absent."""
    size, cut_off = 40_000_000, 0
    for attempt in range(8):
        process = writer(tmp_path, size, 1 << 40, 1000)
        for _ in range(attempt % 3 + 1):
            process.stdout.readline()
        while process.poll() is None:
            growing = [path for path in tmp_path.rglob(f"{TEMPORARY}*") if path.stat().st_size > 0]
            if growing:
                process.kill()
        process.communicate()
        left = list(tmp_path.rglob(f"{TEMPORARY}*"))
        cut_off += any(path.stat().st_size < size for path in left)
        store = Store(tmp_path, limit=1 << 40)
        for number in range(40):
            data = store.get_bytes(key_of("a", number))
            assert data is None or (len(data) == size and set(data[:: size // 9]) == {number})
        shutil.rmtree(tmp_path, ignore_errors=True)
        if cut_off >= 2:
            return
    raise AssertionError("no writer was ever killed in the middle of a file")


def test_processes_that_share_a_cache_keep_its_limit_together(tmp_path):
    limit, size = 2_000_000, 20_000
    writers = [writer(tmp_path, size, limit, 80, name) for name in "abc"]
    for process in writers:
        assert process.communicate(timeout=60) and process.returncode == 0
    assert Store(tmp_path, limit).size() <= limit * (1 + len(writers) / 16) + len(writers) * size
    found = [Store(tmp_path).get_bytes(key_of("c", number)) for number in range(40)]
    assert any(found), "what was written last is there"


def foreign(root):
    """What a person keeps in the folder that was chosen for the cache."""
    places = ("thesis.odt", "ab/cd.json", "ab/ab-notes.txt", "pictures/cat.png", "unpacked/holiday/1.png", "env/x/y.py")
    for place in places:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (1, 1))
    return sorted(root / place for place in places)


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_what_lies_beside_the_cache_is_never_counted_or_removed(tmp_path):
    mine = foreign(tmp_path)
    store = Store(tmp_path, limit=10)
    assert store.size() == 0
    path = store.put_bytes(key_of("x"), bytes(100))
    Scratch(tmp_path / "unpacked", limit=1).filled("a" * 32, lambda made: (made / "0.png").write_bytes(bytes(99)))
    Scratch(tmp_path / "unpacked", limit=1).filled("b" * 32, lambda made: (made / "0.png").write_bytes(bytes(99)))
    store.put_bytes(key_of("y"), bytes(100))
    assert not path.exists() and not (tmp_path / "unpacked" / ("a" * 32)).exists(), "its own goes"
    assert set(mine) <= set(files(tmp_path))
    assert cache_folder.measure(tmp_path).files == len(files(tmp_path)) - len(mine)
    gone, left = cache_folder.clear(tmp_path)
    assert gone.files and not left.files and files(tmp_path) == mine


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captures") / "room"
    rooms.write_transforms(folder, n_frames=3)
    return Path(shutil.make_archive(str(folder), "zip", folder))


DOCUMENT = checked_document(
    {
        "tree": [{"uid": 1, "name": "a"}, {"uid": 2, "name": "b"}],
        "marks": [{"label": 1, "points": [[0, 0, 0]]}, {"label": 2, "points": [[2, 2, 2]]}],
    }
)


def test_everything_that_is_kept_is_known_as_the_caches_and_may_go_while_it_is_being_saved(room, tmp_path):
    """The folder is deleted again and again under an open scene that saves; labels stay the same, nothing fails."""
    cache = tmp_path / "cache"
    with Workspace("cpu", Store(cache)) as workspace:
        surface = workspace.open(room, ImportOptions(), quiet, lambda capture: None)
        wanted = workspace.label(DOCUMENT, quiet).labels
        kept = SceneCache(Store(cache), workspace.capture)
        superpoints = kept.superpoints()
        picture_file(workspace.capture, replaced(workspace.capture.frames[0]), Store(cache))
        kept.field_stem.parent.mkdir(exist_ok=True)
        for suffix in (".json", ".safetensors", ".json.123.tmp"):
            kept.field_stem.with_name(kept.field_stem.name + suffix).touch()
        assert len(files(cache)) > 8
        assert all(is_cached(path.relative_to(cache).parts) for path in files(cache))
        stop = threading.Event()

        def delete():
            while not stop.is_set():
                shutil.rmtree(cache, ignore_errors=True)

        thread = threading.Thread(target=delete)
        thread.start()
        try:
            for _ in range(12):
                attempt(lambda: kept.keep(surface, superpoints))
                attempt(lambda: picture_file(workspace.capture, replaced(workspace.capture.frames[0]), Store(cache)))
                found = SceneCache(Store(cache), workspace.capture).surface()
                assert found is None or np.array_equal(found.faces, surface.faces)
        finally:
            stop.set()
            thread.join()
        assert np.array_equal(workspace.label(DOCUMENT, quiet).labels, wanted)
        kept.keep(surface, superpoints)
        assert SceneCache(Store(cache), workspace.capture).surface() is not None
    shutil.rmtree(cache)
    with Workspace("cpu", Store(cache)) as again:
        again.open(room, ImportOptions(), quiet, lambda capture: None)
        assert np.array_equal(again.label(DOCUMENT, quiet).labels, wanted)


def replaced(frame):
    """The frame as if its picture had to be undistorted."""
    return replace(frame, undistorted=True)


def attempt(save):
    """A folder that goes away under the writer may be a sentence, never anything else."""
    try:
        save()
    except UserError as error:
        assert error.code in ("cache_unwritable", "cannot_write", "image_broken", "unreadable"), error.detail


def test_a_damaged_picture_is_made_again(room, tmp_path):
    store = Store(tmp_path)
    capture = open_capture(room, unpacked=tmp_path / "unpacked")
    frame = replaced(capture.frames[0])
    path = picture_file(capture, frame, store)
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", whole[:60] + bytes(4) + whole[64:]):
        path.write_bytes(damage)
        assert picture_file(capture, frame, store).read_bytes() == whole
