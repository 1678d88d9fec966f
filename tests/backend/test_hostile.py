"""Files made by somebody else: they run nothing, reach nothing outside, keep nobody waiting, take bounded memory."""

import hashlib
import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from backend import protocol
from backend.budget import GB, Budget
from backend.captures.capture import Capture
from backend.captures.common import MAX_VALUES
from backend.captures.detect import open_capture
from backend.errors import UserError
from backend.field import persistence
from backend.field.field import Field, FieldConfig
from backend.scene_cache import SceneCache
from backend.store import Store, key_of
from backend.surface.surface import Superpoints, Surface

ROOT = Path(__file__).resolve().parents[2]
WAIT = 60.0  # seconds in which a program that does not hang ends here


def program(text, *arguments):
    """A script in a process of its own: what it printed. Fails when it hangs."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", text, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    return done.stdout


PEAK = "import re; print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) >> 10)\n"  # MB


# Captures.


PIPES = """
import os, signal, sys
from pathlib import Path
from backend.captures.detect import open_capture
from backend.captures.meshes import find_mesh, open_mesh
from backend.errors import UserError
from tests import fuzzing

place = Path(sys.argv[1])
for name in fuzzing.SUBJECTS.keys() - {"scenenet", "transforms fisheye", "hypersim"}:
    root, cache = place / name, place / "cache"
    root.mkdir()
    fuzzing.SUBJECTS[name].write(root)
    seen = set()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        if (path.parent, path.suffix) in seen:
            continue
        seen.add((path.parent, path.suffix))
        aside = path.with_name("aside")
        os.rename(path, aside)
        os.mkfifo(path)
        signal.alarm(10)
        print(name, path.name, flush=True)
        try:
            opened = root / fuzzing.SUBJECTS[name].opened
            if name in fuzzing.MESHES:
                open_mesh(find_mesh(opened) or opened)
            else:
                capture = open_capture(opened, unpacked=cache)
                [load() for frame in capture.frames for load in (frame.color, frame.depth)]
        except UserError as error:
            pass
        signal.alarm(0)
        os.remove(path)
        os.rename(aside, path)
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_pipe_in_place_of_any_file_keeps_nobody_waiting(tmp_path):
    assert len(program(PIPES, tmp_path).splitlines()) > 60


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/tty", "/dev/stdin"])
def test_a_device_is_no_capture(place):
    if not Path(place).exists():
        pytest.skip("no such device here")
    with pytest.raises(UserError) as caught:
        open_capture(Path(place))
    assert caught.value.code == "unreadable" and "neither a file nor a folder" in caught.value.sentence


def test_few_letters_do_not_become_much_memory(tmp_path):
    hostile = {
        "empty objects": ("transforms.json", '{"frames": [' + "{}," * MAX_VALUES + "{}]}"),
        "deep lists": ("transforms.json", '{"frames": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        "short lines": ("groundtruth.txt", "0\n" * (MAX_VALUES + 1)),
    }
    for place, (name, text) in hostile.items():
        folder = tmp_path / place
        folder.mkdir()
        (folder / name).write_text(text)
        for listed in ("rgb.txt", "depth.txt"):
            (folder / listed).write_text("1.0 a.png\n")
    script = (
        "import sys; from pathlib import Path\n"
        "from backend.captures.detect import open_capture; from backend.errors import UserError\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        open_capture(Path(path)); sys.exit('was opened')\n"
        "    except UserError as error:\n        print(error.sentence)\n" + PEAK
    )
    *sentences, peak = program(script, *(tmp_path / place for place in hostile)).strip().splitlines()
    assert len(sentences) == 3 and all(one.endswith(".") and len(one) < 300 for one in sentences)
    assert int(peak) < 400, f"{peak} MB"


# The cache: a digest that fits says that nobody has changed a file, not that Clickfield has written it.


def capture():
    return Capture("room", "test", Path("."), (), np.eye(4), fingerprint="feed")


def scene(count=12):
    rng = np.random.default_rng(0)
    vertices = rng.random((count, 3)).astype(np.float32)
    faces = np.arange(count, dtype=np.int32).reshape(-1, 3)
    surface = Surface(vertices, faces, vertices, np.zeros((count, 3), np.uint8), 0.02)
    parts = {
        "ids": np.arange(count, dtype=np.int32) // 4,
        "edges": np.array([[0, 1], [1, 2]], np.int32),
        "weights": np.ones(2, np.float32),
        "features": np.zeros((3, 5), np.float32),
        "sizes": np.full(3, 4, np.int32),
        "centers": np.zeros((3, 3), np.float32),
        "objects": np.zeros((3, 2), np.int32),
        "embedding": np.zeros((3, 2), np.float32),
    }
    return surface, Superpoints(**parts)


def stored(tmp_path, change):
    """A cache that holds a scene, rewritten by somebody who knows how to compute a digest."""
    store = Store(tmp_path)
    SceneCache(store, capture()).keep(*scene())
    assert SceneCache(store, capture()).surface() is not None
    (path,) = tmp_path.rglob("*.safetensors")
    key = path.name.partition("-")[0]
    store.put_bytes(key, change(store.get_arrays(key)), ".safetensors")
    return SceneCache(Store(tmp_path), capture())


def changed(name, make):
    return lambda arrays: save({**arrays, name: np.ascontiguousarray(make(arrays[name].copy()))})


def header(shape):
    text = json.dumps({"vertices": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * shape[0] * shape[1]]}})
    return struct.pack("<Q", len(text)) + text.encode()


def put(array, at, value):
    array[at] = value
    return array


HOSTILE_SCENES = {
    "no safetensors": lambda arrays: b"import os",
    "huge shape": lambda arrays: header([10**12, 3]),
    "huge header": lambda arrays: struct.pack("<Q", 1 << 62),
    "other arrays": lambda arrays: save({"a": np.zeros(3)}),
    "face outside": changed("faces", lambda a: put(a, (0, 0), 10**6)),
    "face before": changed("faces", lambda a: put(a, (0, 0), -1)),
    "superpoint outside": changed("superpoints.ids", lambda a: put(a, 0, 3)),
    "edge outside": changed("superpoints.edges", lambda a: put(a, (0, 0), 99)),
    "not finite": changed("vertices", lambda a: put(a, (0, 0), np.nan)),
    "no voxel": changed("voxel", lambda a: put(a, 0, 0.0)),
    "fewer normals": changed("normals", lambda a: a[1:]),
    "flat vertices": changed("vertices", lambda a: a.reshape(-1)),
    "text": changed("vertices", lambda a: a.astype(np.int64)),
}


@pytest.mark.parametrize("name", HOSTILE_SCENES)
def test_a_scene_that_was_not_made_here_is_made_again(name, tmp_path):
    cache = stored(tmp_path, HOSTILE_SCENES[name])
    assert cache.surface() is None and cache.superpoints() is None


@settings(max_examples=60, database=None)
@given(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
def test_whatever_has_the_right_digest_is_json_or_nothing(tmp_path_factory, data):
    store = Store(tmp_path_factory.mktemp("store"))
    key = key_of("k")
    store.put_bytes(key, data, ".json")
    try:
        wanted = json.loads(data)
    except ValueError:
        wanted = None
    assert store.get_json(key) == wanted or wanted != wanted


def field_files(folder, **claims):
    """A small settled field whose description claims something else, with a digest that fits."""
    config = FieldConfig(truncation=0.1, resolutions=(4, 8), semantic_resolutions=(4,), hidden=8)
    made = Field(config, torch.tensor([[0.0, 0, 0], [1, 1, 1]]))
    for group in made.geometry_parameters():
        for parameter in group:
            parameter.data = parameter.data.half().float()
    stem = folder / "field"
    persistence.save(made, stem, {})
    assert persistence.load(stem)[0].config == config
    path = stem.with_name("field.json")
    said = json.loads(path.read_text())
    said["config"] |= claims.pop("config", {})
    path.write_text(json.dumps({**said, **claims}))
    return stem


@pytest.mark.parametrize(
    "claims",
    [
        {"config": {"resolutions": [256] * 8, "grid_features": 512}},
        {"config": {"hidden": 512, "layers": 512}},
        {"config": {"feature_dim": 4096, "hidden": 512}},
        {"config": {"truncation": float("nan")}},
        {"outputs": 65_536},
        {"box": [[0, 0, 0], [1e-30, 1e30, 1]]},
        {"box": [[0, 0], [1, 1]]},
        {"box": "box"},
        {"outputs": [3]},
    ],
)
def test_a_small_file_cannot_ask_for_a_large_field(claims, tmp_path):
    stem = field_files(tmp_path, **claims)
    before = torch.tensor(0).element_size()  # torch is loaded: what follows is the field's alone
    with pytest.raises(UserError) as caught:
        persistence.load(stem)
    assert caught.value.code == "field_damaged" and before


def test_a_field_of_numbers_that_are_none_is_trained_again(tmp_path):
    from safetensors.torch import load_file
    from safetensors.torch import save as packed

    stem = field_files(tmp_path)
    numbers = stem.with_name("field.safetensors")
    tensors = load_file(numbers)
    tensors["color_head.0.bias"][0] = float("nan")
    numbers.write_bytes(packed(tensors))
    path = stem.with_name("field.json")
    said = json.loads(path.read_text()) | {"sha256": hashlib.sha256(numbers.read_bytes()).hexdigest()}
    path.write_text(json.dumps(said))
    with pytest.raises(UserError) as caught:
        persistence.load(stem)
    assert caught.value.code == "field_damaged"


def test_a_link_in_the_cache_leads_nowhere(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    cache = tmp_path / "cache"
    (cache / "unpacked").mkdir(parents=True)
    (cache / "unpacked" / ("a" * 32)).symlink_to(precious, target_is_directory=True)
    (cache / "ab").symlink_to(precious, target_is_directory=True)
    store = Store(cache, limit=1)
    store.put_bytes(key_of("x"), b"12")
    store.evict()
    assert (precious / "thesis.txt").read_text() == "years" and len(list(precious.iterdir())) == 1


# Label documents.


def bomb(name):
    if name == "marks":
        return '{"tree":[{"uid":1,"name":"a"}],"marks":[' + '{"label":1,"points":[[0,0,0]]},' * 5_000_000 + "1]}"
    if name == "empties":
        return '{"tree":[' + "{}," * 9_000_000 + "{}]}"
    if name == "deep":
        return '{"tree":' + "[" * 10**6
    return '{"tree":[],"marks":[' + "9" * 10**6 + "]}"


@pytest.mark.parametrize("name", ["marks", "empties", "deep", "digits"])
def test_documents_of_any_size_are_refused_in_little_memory(name, tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(bomb(name))
    script = (
        "import sys; from pathlib import Path; from backend import protocol\n"
        "try:\n    protocol.read_document(Path(sys.argv[1])); sys.exit('was read')\n"
        "except protocol.DocumentError as error:\n    print(error)\n" + PEAK
    )
    sentence, peak = program(script, path).strip().splitlines()
    assert sentence.startswith("labels.json") and sentence.endswith(".")
    assert int(peak) < 350


def test_the_largest_document_can_be_read(tmp_path):
    """The limits of a file leave room for what the schema allows."""
    points = [[-123456.123456789, 2.5e-17, 0.1 + 0.2]] * 2_000
    marks = [{"id": n, "label": 1, "sign": -1, "points": points} for n in range(1, 21)]
    text = json.dumps({"tree": [{"uid": 1, "name": "a"}], "marks": marks})
    each = 20 * len(points)
    assert len(text) / each * protocol.MAX_POINTS < protocol.MAX_DOCUMENT
    assert sum(text.count(mark) for mark in ",[{") / each * protocol.MAX_POINTS < protocol.MAX_ENTRIES
    path = tmp_path / "labels.json"
    path.write_text(text)
    assert len(protocol.read_document(path)["marks"]) == 20


GOOD = {"tree": [{"uid": 1, "name": "a"}], "marks": [{"label": 1, "frame": "f", "u": 1, "v": 2}]}


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("tree", "name"), "a\nend_header", "on one line"),
        (("tree", "name"), "\ud800", "on one line"),
        (("marks", "id"), 2**31, "an id that is not"),
        (("marks", "u"), 1e300, "no pixel"),
        (("marks", "points"), [[1e38, 0, 0]], "finite numbers"),
        (("marks", "points"), [[float("inf"), 0, 0]], "finite numbers"),
        (("marks", "frame"), "a\0b", "not a name"),
        (("marks", "instance"), 10**9, "'instance'"),
    ],
)
def test_what_blender_could_not_hold_is_refused(place, value, sentence):
    document = json.loads(json.dumps(GOOD))
    document[place[0]][0][place[1]] = value
    with pytest.raises(protocol.DocumentError, match=sentence):
        protocol.checked_document(document)


# Versions of the schema.


def test_version_1_gets_a_method_and_marks_that_count():
    old = {**GOOD, "version": 1}
    made = protocol.MIGRATIONS[1](old)
    assert made["version"] == 2 and made["method"] == "combined"
    assert (made["marks"][0]["muted"], made["marks"][0]["local"]) == (False, False)
    assert old == {**GOOD, "version": 1}, "the old document stays as it is"


def test_version_2_gets_instances():
    old = {**GOOD, "version": 2, "method": "marks-only"}
    made = protocol.MIGRATIONS[2](old)
    assert made["version"] == 3 and made["marks"][0]["instance"] == 0 and made["method"] == "marks-only"


def test_files_that_were_called_version_1_keep_what_they_say():
    """Clickfield wrote later fields under version 1 for a while."""
    mark = {**GOOD["marks"][0], "muted": True, "local": True, "instance": 4}
    made = protocol.checked_document({**GOOD, "version": 1, "method": "marks-only-tree", "marks": [mark]})
    assert made["method"] == "marks-only-tree"
    assert (made["marks"][0]["muted"], made["marks"][0]["local"], made["marks"][0]["instance"]) == (True, True, 4)


def test_every_version_leads_to_todays_and_a_newer_one_is_refused():
    todays = protocol.checked_document({**GOOD, "version": protocol.DOCUMENT_VERSION})
    assert sorted(protocol.MIGRATIONS) == list(range(1, protocol.DOCUMENT_VERSION))
    for version in protocol.MIGRATIONS:
        assert protocol.checked_document({**GOOD, "version": version}) == todays
    with pytest.raises(protocol.DocumentError, match="newer than this Clickfield; update"):
        protocol.checked_document({**GOOD, "version": protocol.DOCUMENT_VERSION + 1})
    for version in (None, "3", 1.0, 0, -1, True, 10**5000):
        with pytest.raises(protocol.DocumentError) as caught:
            protocol.checked_document({**GOOD, "version": version})
        assert len(str(caught.value)) < 250


# Numbers that decide how much is taken.


def test_pieces_and_vertices_beyond_the_budget_are_refused_in_a_sentence():
    small = Budget(GB)
    for check, count in ((small.check_vertices, 10**7), (small.check_superpoints, 500_000)):
        with pytest.raises(UserError) as caught:
            check(count)
        assert caught.value.code == "too_large" and "raise Memory" in caught.value.sentence
    with pytest.raises(UserError, match="100 megapixels"):
        small.ahead(100_000_000, 100_000_000, 6)
    assert replace(small, memory=64 * GB).ahead(100_000_000, 100_000_000, 6) >= 1
