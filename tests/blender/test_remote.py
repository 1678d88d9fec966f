"""A backend that shares no folder with Blender: it runs in a mount namespace of its own, in which everything of
Blender's side is hidden behind empty folders. What it is not sent it cannot read."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon import previewing
from bl_ext.dev.clickfield.blender_addon.scene import cameras, objects, scan

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).resolve().parents[1]))
import rooms
from conftest import ROOT, USER, part
from real_room import import_room, waited

ops = bpy.ops.clickfield
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
HIDE = """for place in {places}; do mount -t tmpfs none "$place" || exit 9; done
cd {root}; exec {python} -m backend serve --device cpu"""
BIG = 40 << 20  # bytes of a file that takes a while to send
BOX = 3


def _isolates() -> bool:
    try:
        return subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", USER], check=False).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not _isolates(), reason="this system has no mount namespaces for users")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where the captures and results of Blender's side are; the other machine does not see it."""
    return tmp_path_factory.mktemp("blender side")


@pytest.fixture(scope="module")
def abroad(home, tmp_path_factory):
    """The cache folder of the other machine, whose command the preferences have as long as the test runs."""
    cache = tmp_path_factory.mktemp("abroad")
    places = " ".join(shlex.quote(str(place)) for place in (home, USER, bpy.app.tempdir) if os.path.isdir(place))
    script = HIDE.format(
        places=places, root=shlex.quote(str(ROOT)), python=shlex.quote(os.environ["CLICKFIELD_PYTHON"])
    )
    command = ["env", f"XDG_CACHE_HOME={cache}", *UNSHARE, "sh", "-c", script]
    yield cache, shlex.join(command)
    part("blender_addon.preferences").get().remote = ""


@pytest.fixture(scope="module")
def room(home):
    """A capture with a space and letters beyond ASCII in its name, and a file in it that takes long to send."""
    folder = home / "captures" / "ünï room"
    shots = rooms.write_transforms(folder, n_frames=4)
    rng = np.random.default_rng(0)
    (folder / "walk.bin").write_bytes(rng.bytes(BIG))
    return folder, shots


def stopped(live):
    ops.stop_backend()
    waited(live, lambda: live.session().client.state.value == "Stopped")


def window():
    return bpy.context.window_manager.clickfield


def labelled(live, own):
    """Marks on floor, wall and box; labels and confidence as they are at once."""
    for name, thing, place in (
        ("floor", False, (-0.4, -0.6, -1.25)),
        ("wall", False, (0.2, 1.6, -0.5)),
        ("box", True, (1.2, 0.6, -0.6)),
    ):
        ops.add_label(name=name, thing=thing)
        ops.add_mark(label=len(own.labels), location=place)
    waited(live, lambda: live.session().up_to_date)
    return scan.read_labels(scan.find_scan(bpy.context.scene, own.capture_id).data)


def results(live, own, folder):
    """What the backend makes of the labels: objects, a data set, a question."""
    ops.separate(texture="0")
    waited(live, lambda: not live.session().waiting)
    made = {
        item.name: (scan.read_positions(item.data).tobytes(), scan.read_faces(item.data).tobytes())
        for item in objects.separated_objects(bpy.context.scene, own.capture_id)
    }
    ops.export_data_set(directory=str(folder), name="set", formats={"coco", "pngs", "ply"})
    waited(live, lambda: (folder / "set").is_dir() or window().problem)
    assert not window().problem
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "set").rglob("*") if path.is_file()
    }
    ops.ask_me()
    waited(live, lambda: live.session().asking.question is not None)
    question = live.session().asking.question
    ops.stop_asking()
    assert question.frame
    return made, files


def arrived(cache):
    """Bytes that have come to the other machine and are not laid out yet."""
    return sum(path.stat().st_size for path in (cache / "clickfield" / "unpacked").glob("*/*/[0-9a-f]*"))


def puts(live):
    """Parts of files that the backend has taken, by its log."""
    return live.session().client.log_path.read_text(encoding="utf-8").count(" put: done")


def test_all_of_it_without_a_common_folder(room, abroad, home, live, own):
    folder, shots = room
    cache, command = abroad
    import_room(folder, live)
    assert not live.session().elsewhere.remote and puts(live) == 0
    here = labelled(live, own)
    known = results(live, own, home / "local")
    assert known[0] and len(known[1]) > 10
    stopped(live)

    bpy.ops.wm.read_homefile(use_empty=True)
    part("blender_addon.preferences").get().remote = command
    (folder / "elsewhere").symlink_to(ROOT, target_is_directory=True)
    ops.import_capture(filepath=str(folder / "transforms.json"))
    waited(live, lambda: arrived(cache) > BIG // 4 or window().problem)
    os.kill(live.session().client.hello["pid"], signal.SIGKILL)
    waited(live, lambda: not live.session().importing)
    assert "Restart" in window().problem and own.capture_id == ""
    kept, taken = arrived(cache), puts(live)
    assert BIG // 4 < kept < BIG and taken
    ops.import_capture(filepath=str(folder / "transforms.json"))
    waited(live, lambda: not live.session().importing)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert own.capture_id and window().problem == ""
    assert "Links that lead out of the capture's folder were not followed: elsewhere" in window().notes
    assert puts(live) - taken <= (sum(sizes) - kept) // (1 << 20) + len(sizes) + 1  # what had come is not sent again

    there = labelled(live, own)
    assert np.array_equal(here[0], there[0]) and np.array_equal(here[1], there[1])
    assert results(live, own, home / "abroad") == known
    made = cameras.capture_cameras(bpy.context.scene, own.capture_id)
    assert len(made) == len(shots) and made[0].data.background_images[0].image is not None
    assert Path(made[0].clickfield.image_path).is_relative_to(folder)  # the person's own file
    waited(live, lambda: not list((cache / "clickfield" / "unpacked").glob(".filling*")))


def test_what_only_the_other_machine_has_is_brought(room, abroad, home, live, own):
    """Pictures out of an archive that is unpacked there; a data set of a folder that it is sent; its sentences."""
    folder, _ = room
    part("blender_addon.preferences").get().remote = abroad[1]
    archive = home / "captures" / "room.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*.??*")):
            if path.suffix in (".png", ".json"):
                packed.write(path, path.relative_to(folder))
    ops.import_capture(filepath=str(archive))
    waited(live, lambda: not live.session().importing)
    camera = cameras.capture_cameras(bpy.context.scene, own.capture_id)[0]
    waited(live, lambda: len(camera.data.background_images))
    image = camera.data.background_images[0].image
    shown = np.array(image.pixels[:]).reshape(image.size[1], image.size[0], -1)[::-1, :, :3]
    stored = bpy.data.images.load(str(folder / "images" / f"{camera.clickfield.frame}.png"))
    same = np.array(stored.pixels[:]).reshape(stored.size[1], stored.size[0], -1)[::-1, :, :3]
    assert np.array_equal(shown, same) and Path(image.filepath).is_relative_to(USER)

    ops.add_label(name="floor")
    ops.add_mark(label=1, location=(-0.4, -0.6, -1.25))
    renders = {"frames": "RENDERS", "renders": str(ROOT / "assets" / "sample")}
    ops.export_data_set(directory=str(home), name="of renders", formats={"pngs"}, **renders)
    waited(live, lambda: (home / "of renders").is_dir() or window().problem)
    maps = sorted(path.name for path in (home / "of renders" / "pngs" / "labels").iterdir())
    assert maps == sorted(path.name for path in (ROOT / "assets" / "sample" / "labels").iterdir())
    with_files = {"frames": "ALL", "formats": {"pngs"}}
    ops.export_data_set(directory=str(home), name="of renders", **with_files)
    waited(live, lambda: window().problem)
    assert window().problem == f"{home / 'of renders'} is not an empty folder; choose a new one."

    bpy.ops.wm.read_homefile(use_empty=True)
    shutil.rmtree(folder / "depth")
    ops.import_capture(filepath=str(folder / "transforms.json"))
    waited(live, lambda: not live.session().importing)
    assert window().problem.endswith(".") and str(abroad[0]) not in window().problem
    ops.import_capture(filepath=str(folder / "transforms.json"), step=2)
    known = live.session().preview.look(str(folder), {})
    waited(live, lambda: known.answered)
    assert known.lines == (previewing.ABROAD,) and not known.problem
