"""Memory and disk that are given back: nothing that the person did is lost, and the backend comes back by itself."""

import time

import bpy
import pytest
from bl_ext.dev.clickfield.blender_addon import caching, preferences, releasing, window
from bl_ext.dev.clickfield.blender_addon.bridge.states import State
from real_room import import_room, settled, waited

ops = bpy.ops.clickfield
RUNNING = (State.READY, State.BUSY)


@pytest.fixture
def session(live):
    """The session, with its backend stopped afterwards by whoever began it."""
    return live.session()


def edit_and_back():
    """A mark that is taken back: the document is what it was, and the backend is needed."""
    ops.add_mark(label=1, location=(1.2, 0.6, -0.6))
    ops.delete_marks(uid=bpy.context.scene.clickfield.marks[-1].uid)


def pid(session):
    return session.client.hello["pid"]


def running(number):
    """Is a process still there?"""
    try:
        with open(f"/proc/{number}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def render(scene):
    """A picture of a few pixels."""
    scene.render.engine, scene.cycles.samples = "CYCLES", 1
    scene.render.resolution_x = scene.render.resolution_y = 16
    bpy.ops.render.render()


@pytest.fixture
def own_cache(tmp_path):
    """A cache of this test's own."""
    own = preferences.get()
    own.cache = str(tmp_path / "cache")
    yield tmp_path / "cache"
    own.cache, own.release_before_render = "", False


def test_memory_and_cache_are_given_back_and_the_labels_stay(small_room, live, session, own_cache):
    """One scene is labelled; then its memory is released, it is rendered, and its cache is cleared."""
    import_room(small_room, live)
    for number, place in enumerate(((-0.4, -0.6, -1.25), (0.2, 1.6, -0.5)), 1):
        ops.add_label(name=str(number))
        ops.add_mark(label=number, location=place)
    labels = settled(live)
    releases(live, session)
    assert settled(live) == labels
    renders(live, session)
    assert settled(live) == labels
    clears(session, live, own_cache)
    assert settled(live) == labels


def releases(live, session):
    """Released memory is gone, and comes back with the next edit, not before."""
    first, revision = pid(session), bpy.context.scene.clickfield.revision
    began = time.perf_counter()
    assert ops.release_memory() == {"FINISHED"}
    assert time.perf_counter() - began < 0.1
    waited(live, lambda: session.client.state is State.STOPPED and not running(first))
    assert window.sentence(session.client) == releasing.RELEASED
    assert not ops.release_memory.poll()
    assert bpy.context.scene.clickfield.revision == revision
    for _ in range(20):
        live.pump()
    assert session.client.state is State.STOPPED
    edit_and_back()
    waited(live, lambda: session.client.state in RUNNING and session.up_to_date)
    assert pid(session) != first


def renders(live, session):
    """A render has the memory only when it is asked to, does not wait for it, and the backend is back afterwards."""
    first, scene = pid(session), bpy.context.scene
    render(scene)
    live.pump()
    assert session.client.state in RUNNING and pid(session) == first
    preferences.get().release_before_render = True
    seen = []
    bpy.app.handlers.render_pre.append(lambda *arguments: seen.append(session.client.state))
    try:
        render(scene)
    finally:
        bpy.app.handlers.render_pre.pop()
    assert seen == [State.STOPPING] and live.releases().away
    waited(live, lambda: not live.releases().away and session.client.state in RUNNING and session.up_to_date)
    assert pid(session) != first and not running(first)


def clears(session, live, cache):
    """What the backend made is removed under the open scene; what a person keeps in the same folder is not."""
    mine = [cache / "novel.txt", cache / "ab" / "letter.txt", cache / "unpacked" / "holiday" / "1.png"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    caching.in_words()
    assert caching.join(30) and " files" in caching.in_words() and "MB" in caching.in_words()
    assert ops.clear_cache("EXEC_DEFAULT") == {"FINISHED"}
    assert caching.join(30)
    live.pump()
    assert "removed" in caching.in_words()
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == sorted(mine)
    edit_and_back()


def test_a_render_during_an_import_leaves_the_import_alone(small_room, live, session):
    preferences.get().release_before_render = True
    try:
        ops.import_capture(filepath=str(small_room / "transforms.json"))
        live.pump()
        assert session.importing
        live.releases().render_begins()
        assert session.importing and not live.releases().away and not ops.release_memory.poll()
        live.releases().render_ends()
        waited(live, lambda: not session.importing)
    finally:
        preferences.get().release_before_render = False


def test_limits_reach_the_backend():
    own = preferences.get()
    usual = preferences.backend_command()
    try:
        own.memory, own.gpu_memory, own.cache_size, own.unpacked_size = 3.5, 2, 1, 8
        assert preferences.backend_command() == [
            *usual,
            "--memory=3.5",
            "--gpu-memory=2",
            "--cache-size=1",
            "--unpacked-size=8",
        ]
        own.remote = 'ssh host "python -m backend serve --memory 32"'
        assert preferences.backend_command()[2] == (
            "python -m backend serve --gpu-memory=2 --cache-size=1 --unpacked-size=8 --memory 32"
        )
        own.memory = 0.2
        assert own.memory == 0.75
    finally:
        own.memory, own.gpu_memory, own.cache_size, own.unpacked_size, own.remote = 0, 0, 4, 32, ""
    assert preferences.backend_command() == usual and usual[-1] == "serve"
