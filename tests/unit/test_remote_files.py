"""Which files belong to a capture, and results that come from another machine."""

import hashlib
import os
import time

import pytest
from clickfield.blender_addon.bridge.remote_command import doctor_of, remote_command, with_options
from clickfield.blender_addon.bridge.remote_files import Reading, Task, hashed, parcel_of, samples
from clickfield.blender_addon.bridge.remote_results import KEPT, Writing
from clickfield.blender_addon.bridge.states import BridgeError


def done(work):
    """What a task makes of a function; its problem if it has one."""
    task = Task(work, "test") if callable(work) else work
    end = time.monotonic() + 20
    while not task.done:
        assert time.monotonic() < end
        time.sleep(0.001)
    return task.problem or task.result


def names(path, root=None):
    parcel = done(lambda task: parcel_of(path, root or path, task))
    assert not isinstance(parcel, str), parcel
    return parcel


def write(folder, **files):
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_a_folder_with_all_that_is_in_it(tmp_path):
    root = tmp_path / "house" / "ünï room"
    write(root, rgb__1_dot_png=b"1", transforms_dot_json=b"{}", _dot_hidden=b"x", __MACOSX=b"")
    write(tmp_path, rgb__2_dot_png=b"22")
    write(root.parent, cam_params_dot_json=b"above", secret_dot_txt=b"never")
    (root / "linked").symlink_to("rgb")
    (root / "out").symlink_to(tmp_path / "rgb")
    (root / "rgb" / "3.png").symlink_to(tmp_path / "rgb" / "2.png")
    (root.parent / "intrinsics.txt").symlink_to(tmp_path / "rgb" / "2.png")
    (root / "rgb" / "circle").symlink_to(root)
    os.mkfifo(root / "pipe")
    found = names(root / "transforms.json", root)
    top = os.path.commonpath([found.top / name for name, _ in found.files])
    assert {str((found.top / name).relative_to(root.parent)): size for name, size in found.files} == {
        "cam_params.json": 5,
        "ünï room/linked/1.png": 1,
        "ünï room/rgb/1.png": 1,
        "ünï room/transforms.json": 2,
    }
    assert sorted(found.outside) == ["linked/3.png", "out", "rgb/3.png"]
    assert found.top / found.entry == root / "transforms.json" and top == str(root.parent)
    assert all(found.entry.split("/")) and [size for _, size, _ in samples(found)] == [1, 1, 2, 5]
    assert done(lambda task: parcel_of(tmp_path / "gone", tmp_path, task)).startswith("There is no file or folder")
    (tmp_path / "empty").mkdir()
    assert "is empty" in done(lambda task: parcel_of(tmp_path / "empty", tmp_path / "empty", task))


def test_a_mesh_with_what_belongs_to_it_alone(tmp_path):
    write(tmp_path, a_dot_obj=b"mtllib a.mtl\nv 0 0 0", a_dot_mtl=b"map_Kd -s 1 1 1 tex/wood.png\nmap_Bump ../out.png")
    write(tmp_path, tex__wood_dot_png=b"w", holiday_dot_png=b"h", b_dot_gltf=b'{"buffers":[{"uri":"b%20c.bin"}]}')
    write(tmp_path, scene_vh_clean_2_dot_ply=b"p", scene_dot_aggregation_dot_json=b"j", other_dot_json=b"o")
    (tmp_path / "b c.bin").write_bytes(b"b")
    (tmp_path.parent / "out.png").write_bytes(b"outside")

    def of(name):
        return {file.rpartition(f"{tmp_path.name}/")[2] for file, _ in names(tmp_path / name, tmp_path).files}

    assert of("a.obj") == {"a.obj", "a.mtl", "tex/wood.png"}
    assert of("b.gltf") == {"b.gltf", "b c.bin"}
    assert of("scene_vh_clean_2.ply") == {"scene_vh_clean_2.ply", "scene.aggregation.json"}


def test_pieces_are_read_from_where_they_ended(tmp_path):
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    parcel = names(tmp_path)
    ((_, size, digest),) = done(lambda task: hashed(parcel, task))
    assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest())
    reading, got = Reading([(tmp_path / "a", digest, size, 1000)]), b""
    while not reading.over:
        chunk = reading.next()
        if chunk is not None:
            assert chunk[:2] == (digest, 1000 + len(got))
            got += chunk[2]
    assert got == data[1000:]
    assert "was changed while it was sent" in done(Reading([(tmp_path / "a", digest, size + 1, size)]))
    reading = Reading([(tmp_path / "a", digest, size, 0)] * 9)  # more than is read ahead
    reading.stop()
    assert done(reading) is None
    (tmp_path / "a").write_bytes(data + b"more")
    assert "is being changed" in done(lambda task: hashed(parcel, task))


def entry(name, data):
    return [name, len(data), hashlib.sha256(data).hexdigest()]


def feed(writing, files, most=None):
    """Give what is wanted, at most so many bytes; how many."""
    end = time.monotonic() + 20
    while writing.wanted is None and not writing.done:
        assert time.monotonic() < end
        time.sleep(0.001)
    given = 0
    for number, offset, size in writing.wanted or ():
        data = files[number][1][offset:size][: most if most is not None else size]
        writing.take(number, data)
        given += len(data)
    return given


def test_results_are_written_whole_and_go_on_where_they_ended(tmp_path):
    files = [("a/b.png", os.urandom(5000)), ("empty", b""), ("copy", b"same"), ("copy 2", b"same")]
    listed = [entry(*file) for file in files]
    first = Writing(listed[:1], tmp_path / "out", tmp_path / "cache")
    assert feed(first, files, 2000) == 2000
    while not sum(path.stat().st_size for path in (tmp_path / "cache" / KEPT).rglob("*.part")):
        first.stop() if not first._chunks.qsize() else None
    assert done(first) is None and not (tmp_path / "out").exists()
    second = Writing(listed, tmp_path / "out", tmp_path / "cache")
    assert feed(second, files) == 5000 - 2000 + 4
    assert done(second) is None
    assert {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == {
        "a/b.png": files[0][1]
    }
    assert (tmp_path / "out" / "copy 2").read_bytes() == b"same" and (tmp_path / "out" / "empty").read_bytes() == b""
    assert not list((tmp_path / "cache" / KEPT).iterdir()) and not list(tmp_path.glob(".*"))
    third = Writing(listed, tmp_path / "out", tmp_path / "cache")
    assert "is not an empty folder" in done(third)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", "", "a\\b", "a\0", 3])
def test_results_stay_in_their_folder(tmp_path, name):
    problem = done(Writing([[name, 1, "0" * 64]], tmp_path / "in" / "out", tmp_path / "cache"))
    assert problem.endswith(".") and not (tmp_path / "in").exists()


def test_damaged_results_are_not_kept(tmp_path):
    writing = Writing([entry("a", b"right")], tmp_path / "out", tmp_path / "cache")
    feed(writing, [("a", b"wrong")])
    assert "was damaged on its way" in done(writing) and not (tmp_path / "out").exists()
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_remote_commands():
    assert remote_command('ssh -p 22 "my host" "cd a b && python -m backend serve"') == [
        *("ssh", "-p", "22", "my host", "cd a b && python -m backend serve"),
    ]
    assert doctor_of("ssh serve python -m backend serve") == ["ssh", "serve", "python", "-m", "backend", "doctor"]
    for text in ("ssh 'host", "  "):
        with pytest.raises(BridgeError, match="Remote command"):
            remote_command(text)
    with pytest.raises(BridgeError, match="cannot be tested"):
        doctor_of("my script")


def test_options_go_behind_serve_unless_it_has_them():
    text = 'ssh serve "cd serve && python -m backend serve --memory 32" # again'
    told = with_options(text, ["--memory=4", "--gpu-memory=2.5"])
    assert told == 'ssh serve "cd serve && python -m backend serve --gpu-memory=2.5 --memory 32" # again'
    assert with_options(text, []) == text and with_options("my script", ["--memory=4"]) == "my script"
