"""A small labelled room as the backend would send it, for tests of what becomes of it in Blender."""

import bpy
import numpy as np
from bl_ext.dev.clickfield.blender_addon.scene import objects, scan

CAPTURE = "room-id"
TREE = [  # uid, name, parent, kind
    (1, "Struktur", 0, "group"),
    (2, "Boden", 1, "class"),
    (3, "Möbel: alt/neu", 0, "group"),
    (4, "Chair", 3, "class"),
]
BOX = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.2, 0.2) for z in (0.0, 0.5)], np.float32)
BOX_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [1, 5, 7], [1, 7, 3]],
    np.int32,
)
FLOOR = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
FLOOR_FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
PLACES = [("Boden", 2, 1, (1.0, 1.0, 0.0)), ("Chair", 4, 1, (0.4, 0.4, 0.0)), ("Chair", 4, 2, (1.5, 1.2, 0.0))]
TURNED = 0.6  # radians between the second chair's own axes and those of the scan
REPORT = {
    "closed": True,
    "volume": 0.08,
    "hull_ratio": 1.0,
    "free_violation": 0.0,
    "observed": 0.75,
    "mirror_error": None,
    "notes": ["The back was never seen."],
}


def picture_of(size, red):
    """A texture whose every pixel is another colour in the corners: (size, size, 4) uint8, top row first."""
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    made = np.zeros((size, size, 4), np.uint8)
    made[..., 0], made[..., 1], made[..., 2] = red, ramp[:, None], ramp[None]
    made[..., 3] = np.where(ramp[:, None] > 127, 255, 0)
    return made


def answer(texture=0, hulls=0, filled=False, chairs=2):
    """The ``separate`` result and its arrays: a floor and two chairs, one of them turned."""
    things, arrays = [], {}
    for index, (name, label, instance, origin) in enumerate(PLACES[: 1 + chairs]):
        positions, faces = (FLOOR, FLOOR_FACES) if label == 2 else (BOX, BOX_FACES)
        observed = np.full(len(positions), 255, np.uint8)
        observed[: len(positions) // 4] = 0
        picture = np.zeros((64, 64, 4), np.uint8)
        picture[8:40, 16:48] = (200, 40 + 60 * index, 30, 255)  # off the middle, to tell the top from the bottom
        picture[30:40, 16:48, 2] = 220
        arrays |= {
            f"o{index}.positions": positions,
            f"o{index}.faces": faces,
            f"o{index}.colors": np.tile(np.uint8([90, 120, 30 * index]), (len(positions), 1)),
            f"o{index}.confidence": np.full(len(positions), 204, np.uint8),
            f"o{index}.observed": observed,
            f"o{index}.preview": picture,
        }
        if texture:
            corners = positions[faces.ravel()][:, :2]
            arrays[f"o{index}.uv"] = ((corners + 1) / 2).astype(np.float32)
            arrays[f"o{index}.texture"] = picture_of(texture, 40 * index)
        for number in range(hulls):
            arrays[f"o{index}.hull{number}.positions"], arrays[f"o{index}.hull{number}.faces"] = positions, faces
        thing = {"name": name, "label": label, "instance": instance, "origin": list(origin)}
        thing |= {"yaw": TURNED if instance == 2 else 0.0, "dimensions": np.ptp(positions, axis=0).tolist()}
        thing |= {"vertices": len(positions), "faces": len(faces), "texture": texture, "hulls": hulls}
        things.append(thing | {"report": REPORT | {"closed": label != 2, "volume": 0.08 * (label != 2)}})
    data = {"objects": things, "crumbs": {"pieces": 3, "faces": 41}, "notes": ["A note."], "filled": None}
    if filled:
        data["filled"] = {"name": "Scene without 2 things", "vertices": 4, "faces": 2}
        arrays |= {"filled.positions": FLOOR + np.float32((1, 1, 0)), "filled.faces": FLOOR_FACES}
        arrays |= {"filled.colors": np.full((4, 3), 99, np.uint8), "filled.observed": np.uint8([255, 255, 0, 0])}
    return data, arrays


def in_scan(index):
    """Where the points of an object of the answer lie in the scan: (n, 3) float32."""
    _, label, instance, origin = PLACES[index]
    cos, sin = (np.cos(TURNED), np.sin(TURNED)) if instance == 2 else (1.0, 0.0)
    turned = (FLOOR if label == 2 else BOX) @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    return (turned + origin).astype(np.float32)


def room():
    """A scene with the tree and the scan: floor and chairs as one labelled mesh. Returns the scene."""
    scene = bpy.context.scene
    own = scene.clickfield
    own.capture_id, own.capture_name = CAPTURE, "Büro 1"
    for uid, name, parent, kind in TREE:
        label = own.labels.add()
        label.uid, label.name, label.parent, label.kind = uid, name, parent, kind
        label.color = (uid / 5, 0.3, 0.6)
    _, arrays = answer()
    parts, faces, labels, start = [], [], [], 0
    for index, (_, label, _, _) in enumerate(PLACES):
        parts.append(in_scan(index))
        faces.append(arrays[f"o{index}.faces"] + start)
        labels.append(np.full(len(parts[-1]), label, np.uint16))
        start += len(parts[-1])
    body = scan.new_scan(scene.collection, "Scan", CAPTURE)
    positions, labels = np.concatenate(parts), np.concatenate(labels)
    colors = np.tile(np.uint8([100, 150, 200]), (len(positions), 1))
    for _ in scan.fill(body.data, scan.topology(positions, np.concatenate(faces), colors)):
        pass
    colored = {label.uid: tuple(label.color) for label in own.labels}
    scan.paint(body.data, labels, np.full(len(labels), 255, np.uint8), colors, colored)
    bpy.context.view_layer.update()
    return scene


def build(scene, wanted=None, **options):
    """Apply an answer to a scene."""
    data, arrays = answer(**options)
    for _ in objects.build_objects(scene, CAPTURE, data["objects"], arrays, wanted or objects.Wanted()):
        pass
    if data["filled"] is not None:
        for _ in objects.build_filled(scene, CAPTURE, data["filled"], arrays):
            pass
    objects.keep_report(scene, CAPTURE, data)
    bpy.context.view_layer.update()
