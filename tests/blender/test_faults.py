"""Things break under a person who labels: a short selection of ``benchmarks/faults.py``, always at the same moments."""

import os
import signal

import bpy
from bl_ext.dev.clickfield.blender_addon import preferences
from real_room import import_room, on_scan, settled, waited

ops = bpy.ops.clickfield
PLACES = ((-0.4, -0.6, -1.25), (0.2, 1.6, -0.5), (1.2, 0.6, -0.6))


def test_a_killed_backend_a_damaged_cache_and_a_lost_folder_cost_nothing(small_room, own, live, tmp_path):
    preferences.get().cache = str(tmp_path / "cache")
    state = bpy.context.window_manager.clickfield
    import_room(small_room, live)
    for number, name in enumerate(("floor", "wall", "box")):
        ops.add_label(name=name)
        ops.add_mark(label=1 + number, location=PLACES[number])
    before = settled(live)

    os.kill(live.session().client.hello["pid"], signal.SIGKILL)
    ops.add_mark(label=3, location=(-1.4, 1.0, -0.2))  # while it is dead
    waited(live, lambda: live.session().client.state.value == "Failed")
    assert state.problem == "The backend was ended by the system, perhaps out of memory; press Restart."
    damaged = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    for path in damaged:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert len(damaged) > 2

    small_room.rename(tmp_path / "elsewhere")
    ops.restart_backend()
    waited(live, lambda: state.problem and live.session().client.state.value == "Ready")
    assert state.locate and state.problem.endswith(".") and "Traceback" not in state.problem
    (tmp_path / "elsewhere").rename(small_room)

    ops.restart_backend()
    waited(live, lambda: live.session().client.state.value == "Starting")
    waited(live, lambda: live.session().up_to_date)
    assert on_scan() != before and len(own.marks) == 4
    ops.delete_marks(uid=own.marks[-1].uid)
    assert settled(live) == before
    preferences.get().cache = ""
