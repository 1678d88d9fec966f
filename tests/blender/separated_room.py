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


def answer():
    """The ``separate`` result and its arrays: a floor and two chairs."""
    things, arrays = [], {}
    for index, (name, label, instance, origin) in enumerate(PLACES):
        positions, faces = (FLOOR, FLOOR_FACES) if label == 2 else (BOX, BOX_FACES)
        picture = np.zeros((64, 64, 4), np.uint8)
        picture[8:40, 16:48] = (200, 40 + 60 * index, 30, 255)  # off the middle, to tell the top from the bottom
        picture[30:40, 16:48, 2] = 220
        arrays |= {
            f"o{index}.positions": positions,
            f"o{index}.faces": faces,
            f"o{index}.colors": np.tile(np.uint8([90, 120, 30 * index]), (len(positions), 1)),
            f"o{index}.confidence": np.full(len(positions), 204, np.uint8),
            f"o{index}.preview": picture,
        }
        things.append({"name": name, "label": label, "instance": instance, "origin": list(origin)})
    return {"objects": things, "crumbs": {"pieces": 3, "faces": 41}, "notes": ["A note."]}, arrays


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
    for index, (_, label, _, origin) in enumerate(PLACES):
        parts.append(arrays[f"o{index}.positions"] + np.float32(origin))
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


def build(scene):
    """Apply the answer to a scene."""
    data, arrays = answer()
    for _ in objects.build_objects(scene, CAPTURE, data["objects"], arrays):
        pass
    objects.keep_report(scene, CAPTURE, data)
    bpy.context.view_layer.update()
