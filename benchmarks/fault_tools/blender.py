"""A Blender of its own, to be killed or to run beside another: ``python blender.py FOLDER PACKAGE CAPTURE CACHE JOB``.

Opens the room with its labels and begins the job, or with ``settle`` labels until all is settled. Prints one JSON line
when it has begun, and one with the labels' digest when it is done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.fault_tools.side import OWN_MARKS, Side


def main() -> None:
    """Command line."""
    folder, package, capture, cache = (Path(text) for text in sys.argv[1:5])
    base = folder.parent / "base.blend"
    side = Side(folder, package, capture)
    shutil.copyfile(base, side.base)
    side.bpy.context.preferences.addons[sys.modules["headless"].NAME].preferences.cache = str(cache)
    side.session.start()
    assert side.until(lambda: side.session.client.state.value == "Ready"), side.session.client.reason
    name = sys.argv[5]
    if name == "settle":
        side.open_base()
        side.mark(OWN_MARKS[0])
        say(begun=side.pid)
        assert side.until(side.settled), side.told
        side.bpy.ops.wm.save_as_mainfile(filepath=str(folder / "saved.blend"))
        assert side.until(lambda: not side.session.waiting)
        say(written=side.written(), labels=[hashlib.sha256(part).hexdigest() for part in side.labels()], told=side.told)
        side.stop()
    else:
        job = side.jobs[name]
        if not job.fresh:
            side.open_base()
            assert side.ready(), side.told
        say(begun=side.pid)
        while True:
            job.begin()
            side.until(job.done)
    sys.modules["headless"].leave()


def say(**what: object) -> None:
    """One line."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
