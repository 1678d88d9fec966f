"""Budgets: with plenty nothing changes, with little the scan is coarser and says so, and the system holds the limit."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from backend import budget
from backend.budget import GB, PLENTY, Budget
from backend.captures.detect import open_capture
from backend.errors import UserError
from backend.protocol import read_message, write_message
from backend.surface import clouds
from backend.surface.fusion import fuse
from tests import rooms

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def use():
    """Sets the process's budget for one test."""
    before = budget.current()
    yield budget.use
    budget.use(before)
    budget.notes()


def quiet(fraction, text):
    """Progress that nobody sees."""


def test_what_is_taken_grows_with_the_budget_and_ends_at_plenty():
    sizes = [int(n * GB / 8) for n in range(6, 64)]
    for name in ("share", "superpoints"):
        values = [getattr(Budget(size), name) for size in sizes]
        assert values == sorted(values) and values[0] < values[-1] == getattr(Budget(1 << 50), name)
    assert Budget(int(PLENTY)).share == 1.0 and Budget(int(PLENTY)).superpoints == 3500
    assert Budget(int(2.3 * GB)).vertices > 2_000_000 > Budget(int(2.1 * GB)).vertices and Budget(0).vertices == 0
    assert Budget(16 * GB).states(500_000) == 16 and Budget(GB).states(10**9) == 2
    Budget(GB).check_points(4_000_000)
    with pytest.raises(UserError, match=r"a cloud of 8,000,000 points about 1\.5 GB"):
        Budget(GB).check_points(8_000_000)
    assert Budget(16 * GB).ahead(640 * 480, 640 * 480, 6) == 6 and Budget(GB).ahead(12_000_000, 300_000, 6) == 1


def test_memory_of_the_graphics_card_counts_for_what_lies_on_it():
    both = Budget(int(PLENTY), GB)
    assert both.share == 1.0
    assert both.share_on(torch.device("cpu")) == 1.0 and both.share_on(torch.device("cuda")) == Budget(GB).share
    assert Budget(GB, 80 * GB).share_on(torch.device("cuda")) == Budget(GB).share


@pytest.mark.parametrize("wrong", [(0.1,), (-1,), (float("nan"),), (float("inf"),), (2, -1), (2, float("nan"))])
def test_what_is_no_budget_is_refused(wrong):
    with pytest.raises(UserError, match="memory budget must be"):
        budget.chosen(*wrong)


def test_automatic_is_most_of_the_machine_and_never_all():
    from backend.devices import memory

    total = memory()[0]
    assert 0.5 * total < budget.chosen(0).memory < 0.9 * total
    assert budget.chosen(3, 2, 1, 9) == Budget(3 * GB, 2 * GB, GB, 9 * GB)


def test_plenty_gives_the_same_bits_and_little_a_coarser_scan_with_a_note(tmp_path, use):
    rooms.write_transforms(tmp_path / "room", n_frames=3)
    capture = open_capture(tmp_path / "room")
    made = []
    for memory in (1 << 50, int(PLENTY), int(0.75 * GB)):
        use(Budget(memory))
        made.append(fuse(capture, quiet))
        made.append(budget.notes())
    finest, nothing, same, still, *_ = made
    assert nothing == still == [] and finest.voxel == same.voxel
    for name in ("blocks", "tsdf", "weight", "color"):
        assert torch.equal(getattr(finest, name), getattr(same, name))


def test_a_scan_that_would_not_fit_is_made_coarser_until_it_does(tmp_path, use, monkeypatch):
    """The room has few blocks: with a lower limit it stands for a large building."""
    from backend.surface import fusion

    rooms.write_transforms(tmp_path / "room", n_frames=3)
    capture = open_capture(tmp_path / "room")
    use(Budget(1 << 50))
    wanted = fuse(capture, quiet)
    little = Budget(int(0.9 * GB))
    most = int(len(wanted.blocks) * 0.5)
    monkeypatch.setattr(fusion, "MAX_BLOCKS", most / little.share)
    use(little)
    made = fuse(capture, quiet)
    assert len(made.blocks) <= most < len(wanted.blocks) and made.voxel > wanted.voxel
    (note,) = budget.notes()
    assert f"{made.voxel * 1000:.0f} mm in place of {wanted.voxel * 1000:.0f} mm" in note and "0.9 GB" in note
    assert budget.notes() == []


def test_a_cloud_becomes_coarser_with_little_memory_and_says_so(use, monkeypatch):
    """A plane of 40,000 points; with a lower limit it stands for a large scan."""
    monkeypatch.setattr(clouds, "MOST", 100_000)
    across = np.stack(np.meshgrid(*[np.arange(200) * 0.01] * 2), -1).reshape(-1, 2)
    points = np.concatenate([across, np.zeros((len(across), 1))], 1).astype(np.float32)
    made = []
    for memory in (int(PLENTY), int(0.75 * GB)):
        use(Budget(memory))
        made.append(clouds.mesh_points(points, np.full(points.shape, 128, np.uint8), None)[0])
        made.append(budget.notes())
    fine, nothing, coarse, (note,) = made
    assert nothing == [] and coarse.voxel > fine.voxel and len(coarse.vertices) < 0.5 * len(fine.vertices)
    assert f"{coarse.voxel * 1000:.0f} mm in place of {fine.voxel * 1000:.0f} mm" in note


# A real backend.


class Backend:
    """``serve`` in a process of its own, asked over its stream."""

    def __init__(self, *arguments):
        command = [sys.executable, "-B", "-m", "backend", "serve", "--device", "cpu", *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._watchdog = threading.Timer(300, self.process.kill)
        self._watchdog.start()
        self.hello = read_message(self.process.stdout)
        self._last = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._watchdog.cancel()
        self.process.kill()
        self.process.communicate()

    def ask(self, method, arrays=None, **params):
        """The answer's header: a result or an error."""
        self._last += 1
        request = {"type": "request", "id": self._last, "method": method, "params": params}
        write_message(self.process.stdin, request, arrays)
        while (message := read_message(self.process.stdout)) is not None:
            if message[0]["id"] == self._last and message[0]["type"] in ("result", "error"):
                return message[0]
        raise AssertionError(f"the backend has ended with {self.process.wait()}")

    def peak(self):
        """Most memory so far in GB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def ply(path, count):
    """A cloud-like mesh of so many vertices in few bytes of work."""
    vertices = np.zeros((count, 3), "<f4")
    vertices[:, 0] = np.arange(count) % 1000
    vertices[:, 1] = np.arange(count) // 1000
    faces = np.empty(count - 1001, [("n", "u1"), ("v", "<i4", 3)])
    faces["n"], faces["v"][:] = 3, np.arange(len(faces))[:, None] + np.array([0, 1, 1000])
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz")
    header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    path.write_bytes(header.encode() + vertices.tobytes() + faces.tobytes())


def thousand(folder):
    """A capture of 1,000 small frames, as links to eight."""
    rooms.write_transforms(folder, n_frames=8)
    listed = json.loads((folder / "transforms.json").read_text())
    frames = []
    for number in range(1000):
        frames.append(dict(listed["frames"][number % 8]))
        for key in ("file_path", "depth_file_path"):
            old = folder / frames[-1][key]
            os.link(old, old.with_name(f"more{number:04d}.png"))
            frames[-1][key] = f"{old.parent.name}/more{number:04d}.png"
    (folder / "transforms.json").write_text(json.dumps({**listed, "frames": frames}))


@pytest.mark.skipif(sys.platform != "linux", reason="the system holds the limit on Linux")
def test_a_thousand_frames_and_two_million_vertices_within_a_gigabyte(tmp_path):
    """The mesh is refused before its vertices are read; the frames are fused and labelled by the same process."""
    ply(tmp_path / "large.ply", 2_000_000)
    thousand(tmp_path / "room")
    with Backend("--memory=1") as backend:
        before = backend.peak()
        refused = backend.ask("open", path=str(tmp_path / "large.ply"))
        assert refused["code"] == "too_large" and "2,000,000 vertices about 2.2 GB" in refused["sentence"], refused
        assert backend.peak() < before + 0.05
        options = {"depth_max": 2.0, "refine_poses": False}  # a small scan, since it is the frames that are many
        paths = {"path": str(tmp_path / "room" / "transforms.json"), "cache": str(tmp_path / "cache")}
        opened = backend.ask("open", **paths, options=options)
        assert opened["type"] == "result" and opened["result"]["left_out"] == [], opened
        tree, marks = [{"uid": 1, "name": "a"}], [{"label": 1, "points": [[0.0, 0.0, 0.0]]}]
        answered = backend.ask("document", document={"revision": 1, "tree": tree, "marks": marks})
        assert answered["type"] == "result", answered
        assert backend.peak() < before + 0.2  # all frames as they are decoded would be more alone


@pytest.mark.skipif(sys.platform != "linux", reason="the system holds the limit on Linux")
def test_the_limit_is_kept_whatever_is_asked_and_the_backend_goes_on(tmp_path):
    """A large mesh is refused in a sentence, memory beyond the limit is an error of one request, and a small scene is
    opened and labelled afterwards by the same process, within the limit."""
    ply(tmp_path / "large.ply", 3_000_000)
    rooms.write_transforms(tmp_path / "room", n_frames=3)
    with Backend("--memory=0.75", "--cache-size=0.5") as backend:
        refused = backend.ask("open", path=str(tmp_path / "large.ply"), cache=str(tmp_path / "cache"))
        assert refused["type"] == "error" and refused["code"] in ("too_large", "out_of_memory"), refused
        assert refused["sentence"].endswith(".")
        opened = backend.ask("open", path=str(tmp_path / "room" / "transforms.json"), cache=str(tmp_path / "cache"))
        assert opened["type"] == "result", opened
        camera = {"width": 8000, "height": 7900, "fx": 4000, "fy": 4000, "cx": 4000, "cy": 4000}
        camera["camera_to_scene"] = np.eye(4).ravel().tolist()
        beyond = backend.ask("views", cameras=[camera], want=["labels", "depth", "color"])
        assert beyond["code"] == "out_of_memory", beyond
        tree = [{"uid": 1, "name": "a"}]
        marks = [{"label": 1, "points": [[0.0, 0.0, 0.0]]}]
        answered = backend.ask("document", document={"revision": 1, "tree": tree, "marks": marks})
        assert answered["type"] == "result", answered
        assert backend.peak() < 0.75 + 0.02


def test_a_backend_refuses_a_budget_in_which_it_cannot_run():
    command = [sys.executable, "-B", "-m", "backend", "serve", "--memory=0.2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 2 and done.stderr.startswith("The memory budget must be")
