"""Driving a Blender with a window: its state, where things are on the screen, and what is true of the sample."""

import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage import io

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample"
PER_CLASS = 40  # points of known label per class

STATE = """
from bl_ext.user_default.clickfield.blender_addon import live
own, shown = bpy.context.scene.clickfield, bpy.context.window_manager.clickfield
scan = next((thing for thing in bpy.context.scene.objects if thing.clickfield.role == "SCAN"), None)
result = {
    "backend": shown.state,
    "problem": shown.problem,
    "busy": shown.busy,
    "waiting": live.session().waiting,
    "importing": live.session().importing,
    "up_to_date": live.session().up_to_date,
    "settled": shown.settled,
    "vertices": len(scan.data.vertices) if scan else 0,
    "labels": len(own.labels),
    "marks": len(own.marks),
    "last": [own.marks[-1].label, own.marks[-1].sign, [list(p.co) for p in own.marks[-1].points]] if own.marks else [],
    "objects": sum(thing.clickfield.role == "OBJECT" for thing in bpy.context.scene.objects),
}
"""

LOOK = """
from mathutils import Vector
eye, point = Vector({eye}), Vector({point})
space = area.spaces.active
space.show_region_ui = False
space.overlay.show_extras = False  # no camera frames over the picture
rv3d.view_perspective = "PERSP"
rv3d.view_rotation = (point - eye).to_track_quat("-Z", "Y")
rv3d.view_distance = (point - eye).length
rv3d.view_location = point
rv3d.update()
"""

LABELS_AT = """
import hashlib
import numpy as np
scan = next(thing for thing in bpy.context.scene.objects if thing.clickfield.role == "SCAN")
values = np.empty(len(scan.data.vertices), np.int32)
scan.data.attributes["label"].data.foreach_get("value", values)
back = scan.matrix_world.inverted()
found = []
for x, y, z in {points}:
    hit, place, normal, face = scan.closest_point_on_mesh(back @ __import__("mathutils").Vector((x, y, z)))
    corners = scan.data.polygons[face].vertices
    nearest = min(corners, key=lambda i: (scan.data.vertices[i].co - place).length)
    found.append(int(values[nearest]))
result = {{"labels": found, "digest": hashlib.sha256(values.tobytes()).hexdigest()}}
"""


class Truth:
    """The sample's ground truth as points in its world, which is Z up and metric like the scene's."""

    def __init__(self):
        transforms = json.loads((SAMPLE / "transforms.json").read_text(encoding="utf-8"))
        self.focal, self.cx, self.cy = transforms["fl_x"], transforms["cx"] - 0.5, transforms["cy"] - 0.5
        self.poses, self.depth, self.labels = {}, {}, {}
        for frame in transforms["frames"]:
            name = Path(frame["file_path"]).stem
            self.poses[name] = np.array(frame["transform_matrix"])
            self.depth[name] = io.imread(SAMPLE / frame["depth_file_path"]) / 1000.0
            self.labels[name] = io.imread(SAMPLE / "labels" / f"{name}.png")
        document = json.loads((SAMPLE / "marks.json").read_text(encoding="utf-8"))
        self.tree = document["tree"]
        self.names = {node["uid"]: node["name"] for node in document["tree"]}
        self.marks = list({mark["label"]: mark for mark in reversed(document["marks"])}.values())[::-1]

    def point(self, frame: str, u: int, v: int) -> list[float]:
        """World position of a pixel."""
        z = self.depth[frame][v, u]
        local = np.array([(u - self.cx) / self.focal * z, -(v - self.cy) / self.focal * z, -z, 1.0])
        return (self.poses[frame] @ local)[:3].tolist()

    def surface_points(self) -> tuple[list[int], list[list[float]]]:
        """Uids and positions of points inside the things of every class, spread over the frames."""
        rng, uids, points = np.random.default_rng(1), [], []
        for uid in sorted({mark["label"] for mark in self.marks}):
            inside = {
                name: np.argwhere(ndimage.binary_erosion((image == uid) & (self.depth[name] > 0), iterations=2))
                for name, image in self.labels.items()
            }
            pixels = [(name, u, v) for name, rows in inside.items() for v, u in rows]
            for index in rng.choice(len(pixels), PER_CLASS, replace=len(pixels) < PER_CLASS):
                uids.append(uid)
                points.append(self.point(*pixels[index]))
        return uids, points


def wait(blender, what: str, timeout: float = 240.0) -> dict:
    """Poll Blender until a condition on its state holds; that state. A problem that the panel shows ends the wait."""
    until = time.monotonic() + timeout
    while True:
        state = blender.run(STATE)
        if holds(what, state):
            return state
        assert not state["problem"], f"{state}\n{log_tail(blender)}"
        assert time.monotonic() < until, f"{what} did not come true within {timeout:g} s: {state}"


def holds(what: str, state: dict) -> bool:
    """All of the comma separated ``key``, ``!key`` or ``key>number`` hold."""
    for part in what.split(","):
        key, _, least = part.strip().partition(">")
        value = state[key.lstrip("!")]
        if not (value > int(least) if least else bool(value) != key.startswith("!")):
            return False
    return True


def log_tail(blender) -> str:
    """The end of the backend's log."""
    return "\n".join(log.read_text(encoding="utf-8")[-2000:] for log in Path(blender.home).rglob("*.log"))


def aim(blender, truth, mark: dict, uid: int) -> list[int]:
    """Choose a label and look at a ground-truth pixel from where its frame was taken; where it is on the screen."""
    point, eye = truth.point(mark["frame"], mark["u"], mark["v"]), truth.poses[mark["frame"]][:3, 3].tolist()
    return blender.run(
        f"bpy.ops.clickfield.choose_label(uid={uid})\n{LOOK.format(eye=eye, point=point)}result = at_3d({point})\n"
    )


def click_on(blender, truth, mark: dict, uid: int) -> None:
    """Choose a label and click on the surface of a ground-truth pixel, seen from where its frame was taken."""
    point = truth.point(mark["frame"], mark["u"], mark["v"])
    before = blender.run("result = len(bpy.context.scene.clickfield.marks)")
    blender.click(*aim(blender, truth, mark, uid))
    label, sign, points = wait(blender, f"marks>{before}", 60.0)["last"]
    assert (label, sign, len(points)) == (uid, 1, 1)
    assert np.linalg.norm(np.subtract(points[0], point)) < 0.06, (mark, points, point)


def labels_at(blender, points) -> tuple[np.ndarray, str]:
    """Labels of the scan nearest to points, and a digest of the labels of all vertices."""
    answer = blender.run(LABELS_AT.format(points=json.dumps(points)), timeout=60.0)
    return np.array(answer["labels"]), answer["digest"]


def show_everything(blender) -> None:
    """The whole room, with the sidebar's Clickfield tab open."""
    blender.run(LOOK.format(eye=[4.6, -5.4, 2.6], point=[2.1, -1.4, 0.7]))
    blender.run("area.spaces.active.show_region_ui = True")
    blender.settle()
    blender.run(
        "next(r for r in area.regions if r.type == 'UI').active_panel_category = 'Clickfield'; area.tag_redraw()"
    )


def until(blender, code, good, timeout: float = 90.0):
    """What a piece of code answers as soon as that is good."""
    end = time.monotonic() + timeout
    while True:
        answer = blender.run(code)
        if good(answer):
            return answer
        assert time.monotonic() < end, answer


@contextmanager
def holding(blender, key):
    """A modifier key, held down."""
    blender.xdo("keydown", key)
    blender.settle(1)
    try:
        yield
    finally:
        blender.xdo("keyup", key)
        blender.settle(1)


def button_at(blender, x: float, y: float) -> str:
    """What the button under the mouse does, as *Copy Python Command* gives it; "" where none is."""
    blender.run("bpy.context.window_manager.clipboard = ''")
    blender.move(x, y)
    blender.key("ctrl+c")
    return blender.run("result = bpy.context.window_manager.clipboard")


def property_at(blender, x: float, y: float) -> str:
    """The data path of what the button under the mouse shows, as *Copy Full Data Path* gives it; "" where none does."""
    blender.run("bpy.context.window_manager.clipboard = ''")
    blender.move(x, y)
    blender.key("ctrl+shift+alt+c")
    return blender.run("result = bpy.context.window_manager.clipboard")
