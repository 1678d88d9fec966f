"""Label passes: what a camera sees of labelled surfaces, as exact ids.

Materials get AOVs: ``Label`` (uid), ``Level 1``, ``Level 2``, ... (the uid that stands for it at a level of the tree
above the labels themselves), ``Instance`` (number within the label) and ``Photo``. They are fed by face attributes,
because a point attribute would be blended between the labels of a triangle's corners, and by the object's own
instance. AOVs are the one kind of pass that Cycles and EEVEE share in every version. With one sample per pixel
(`one_sample`) no pixel mixes two ids. EEVEE keeps AOVs in half precision, so its ids end at 2048. A plain multilayer
EXR holds all passes; there is no compositor, whose API differs between Blender versions.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from ..document import tree
from . import one_sample, scan
from .materials import scan_material

LABEL_AOV, INSTANCE_AOV, PHOTO_AOV = "Label", "Instance", "Photo"
FACE_LABEL, FACE_INSTANCE = "label_face", "instance_face"  # INT on faces: those of most corners
SEGMENT = "segment"  # INT on points: label * 256 + instance, of the time when the instances were numbered
OWN_INSTANCE = "clickfield_instance"  # custom property of separated objects: their number, 0 for stuff
LAYER = "Labels"
HALF_EXACT = 2048  # the largest id that a half-precision pass holds


class PassError(Exception):
    """One sentence that says why there is no label render."""


def level_aov(level: int) -> str:
    """Name of the AOV of a level of the tree, 1 being the topmost."""
    return f"Level {level}"


def face_level(level: int) -> str:
    """Name of the face attribute of a level of the tree."""
    return f"level_{level}_face"


def levels(scene: bpy.types.Scene) -> list[int]:
    """Levels of the label tree above the labels themselves, 1 being the topmost; none for a flat tree."""
    depth = max((len(path) for path in tree.paths(scene.clickfield.labels).values()), default=0)
    return list(range(1, depth))


def face_labels(labels: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) label that most corners of each face have; that of its first corner when all three differ."""
    a, b, c = labels[faces].T
    return np.where(b == c, b, a)


def read_instances(mesh: bpy.types.Mesh, labels: np.ndarray) -> np.ndarray:
    """(V,) int64 instance numbers of points, 0 where there is none or the label is another one since."""
    found = mesh.attributes.get(SEGMENT)
    if found is None or (found.domain, found.data_type) != ("POINT", "INT"):
        return np.zeros(len(labels), np.int64)
    segments = np.empty(len(labels), np.int32)
    found.data.foreach_get("value", segments)
    return np.where(segments >> 8 == labels, segments & 255, 0).astype(np.int64)


def write_instances(mesh: bpy.types.Mesh, labels: np.ndarray, instances: np.ndarray) -> int:
    """Number the points: labels and instances (V,) uint16. Numbers above 255 become 0; how many points have one."""
    over = instances > 255
    segments = labels.astype(np.int32) * 256 + np.where(over, 0, instances)
    scan.attribute(mesh, SEGMENT, "INT").foreach_set("value", segments.astype(np.int32))
    mesh.update_tag()
    return int(over.sum())


def write_face_labels(mesh: bpy.types.Mesh) -> None:
    """Bring face attributes up to date with the points' labels and the open scene's tree.

    80 ms for a million faces and two levels.
    """
    labels, _ = scan.read_labels(mesh)
    segments = labels.astype(np.int64) * 256 + read_instances(mesh, labels)
    of_face = face_labels(segments, scan.read_faces(mesh))
    _write(mesh, FACE_LABEL, of_face >> 8)
    _write(mesh, FACE_INSTANCE, of_face & 255)
    paths = tree.paths(bpy.context.scene.clickfield.labels)
    for level in levels(bpy.context.scene):
        table = np.arange(65536, dtype=np.int32)
        for uid, path in paths.items():
            table[uid] = path[:level][-1]
        _write(mesh, face_level(level), table[of_face >> 8])
    mesh.update_tag()


def _write(mesh: bpy.types.Mesh, name: str, values: np.ndarray) -> None:
    found = mesh.attributes.get(name)
    if found is not None and (found.domain, found.data_type) != ("FACE", "INT"):
        mesh.attributes.remove(found)
        found = None
    found = found or mesh.attributes.new(name, "INT", "FACE")
    found.data.foreach_set("value", np.ascontiguousarray(values, np.int32))


def labelled_objects(scene: bpy.types.Scene, capture_id: str, role: str) -> list[bpy.types.Object]:
    """The scan (role SCAN) or the separated objects (role OBJECT) of a capture that are labelled triangle meshes."""
    return [
        item
        for item in scene.objects
        if item.type == "MESH"
        and item.clickfield.role == role
        and item.clickfield.capture_id == capture_id
        and "label" in item.data.attributes
        and len(item.data.polygons)
        and len(item.data.loops) == 3 * len(item.data.polygons)
    ]


def chosen_objects(scene: bpy.types.Scene, capture_id: str, source: str) -> list[bpy.types.Object]:
    """What is rendered: of the source SCAN or OBJECTS, or with AUTO the objects if there are any.

    Raises:
        PassError: there is nothing of that kind.
    """
    items = labelled_objects(scene, capture_id, "OBJECT") if source in ("AUTO", "OBJECTS") else []
    if not items and source == "OBJECTS":
        raise PassError("There are no separated objects to render; press Separate Objects first.")
    items = items or labelled_objects(scene, capture_id, "SCAN")
    if not items:
        raise PassError("There is no scan to render; import a capture first.")
    return items


def show_only(
    scene: bpy.types.Scene, capture_id: str, items: Sequence[bpy.types.Object]
) -> dict[bpy.types.Object, bool]:
    """Hide what lies on these objects from renders: the scan, the filled scan or the separated objects of a capture.

    Returns:
        What was hidden from renders before, and what was not.
    """
    before = {}
    for item in scene.objects:
        own = item.clickfield
        if own.capture_id == capture_id and own.role in ("SCAN", "FILLED", "OBJECT"):
            before[item], item.hide_render = item.hide_render, item not in items
    return before


def check_engine(scene: bpy.types.Scene, engine: str, items: Sequence[bpy.types.Object]) -> None:
    """Raises PassError when an engine cannot render the ids of these objects exactly."""
    if engine == "CYCLES" and not hasattr(scene, "cycles"):
        raise PassError("Label renders need Cycles; enable the Cycles add-on in the preferences.")
    if engine == "EEVEE":
        highest = max([0, *(int(scan.read_labels(item.data)[0].max(initial=0)) for item in items)])
        highest = max([highest, *(item.clickfield.instance for item in items)])
        if highest > HALF_EXACT:
            raise PassError(f"EEVEE's passes hold ids up to {HALF_EXACT}, but there is {highest}; choose Cycles.")


def engine_id(engine: str) -> str:
    """Blender's name of CYCLES or EEVEE in this version."""
    if engine == "CYCLES":
        return "CYCLES"
    return "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"


def prepare(items: Sequence[bpy.types.Object], scene: bpy.types.Scene) -> None:
    """Face attributes on the meshes, numbers on the objects, and AOVs in their materials."""
    stuff = {label.uid for label in scene.clickfield.labels if not label.thing}
    for item in items:
        own = item.clickfield
        if own.role == "OBJECT":
            item[OWN_INSTANCE] = 0 if own.label in stuff else own.instance
    for mesh in {item.data for item in items}:
        write_face_labels(mesh)
        if not any(mesh.materials):
            mesh.materials.append(scan_material())
    for material in {one for item in items for one in item.data.materials if one is not None}:
        if not material.node_tree:
            material.use_nodes = True
        _add_aov_nodes(material.node_tree, levels(scene))


def _add_aov_nodes(nodes: bpy.types.NodeTree, of_levels: Sequence[int]) -> None:
    present = {node.aov_name for node in nodes.nodes if node.type == "OUTPUT_AOV"}
    wanted = [
        (LABEL_AOV, (("GEOMETRY", FACE_LABEL),)),
        (INSTANCE_AOV, (("GEOMETRY", FACE_INSTANCE), ("OBJECT", OWN_INSTANCE))),
        (PHOTO_AOV, (("GEOMETRY", scan.PHOTO),)),
        *((level_aov(level), (("GEOMETRY", face_level(level)),)) for level in of_levels),
    ]
    for row, (name, attributes) in enumerate(wanted):
        if name in present:
            continue
        place = -300 - 180 * row
        sink = nodes.nodes.new("ShaderNodeOutputAOV")
        sink.aov_name, sink.location = name, (500, place)
        found = []
        for column, (kind, attribute) in enumerate(attributes):
            source = _attribute(nodes, kind, attribute, (-200 * column, place))
            found.append(source.outputs["Color" if name == PHOTO_AOV else "Fac"])
        if len(found) > 1:
            total = _math(nodes, "ADD", (250, place))
            for socket, output in zip(total.inputs, found, strict=False):
                nodes.links.new(output, socket)
            found = [total.outputs[0]]
        if name == PHOTO_AOV:
            nodes.links.new(found[0], sink.inputs["Color"])
            continue
        stretched = _math(nodes, "MULTIPLY_ADD", (380, place))
        half = _attribute(nodes, "VIEW_LAYER", one_sample.HALF, (200, place - 60))
        for socket, output in zip(stretched.inputs, (found[0], half.outputs["Fac"], found[0]), strict=True):
            nodes.links.new(output, socket)
        nodes.links.new(stretched.outputs[0], sink.inputs["Value"])


def _attribute(nodes: bpy.types.NodeTree, kind: str, name: str, place: tuple[float, float]) -> bpy.types.Node:
    made = nodes.nodes.new("ShaderNodeAttribute")
    made.attribute_type, made.attribute_name, made.location = kind, name, place
    return made


def _math(nodes: bpy.types.NodeTree, operation: str, place: tuple[float, float]) -> bpy.types.Node:
    made = nodes.nodes.new("ShaderNodeMath")
    made.operation, made.location = operation, place
    return made


def add_passes(layer: bpy.types.ViewLayer, of_levels: Sequence[int], engine: str) -> None:
    """Depth, Cryptomatte of objects, and the AOVs on a view layer that CYCLES or EEVEE renders.

    AOVs of levels that are gone are removed.
    """
    one_sample.mark(layer, engine)
    layer.use_pass_z = layer.use_pass_cryptomatte_object = True
    ours = [(PHOTO_AOV, "COLOR"), (LABEL_AOV, "VALUE"), (INSTANCE_AOV, "VALUE")]
    ours += [(level_aov(level), "VALUE") for level in of_levels]
    there = [(aov.name, aov.type) for aov in layer.aovs]
    taken = {name for name, _ in ours}
    others = [(name, kind) for name, kind in there if name not in taken and not name.startswith("Level ")]
    # Colours first: EEVEE of Blender 5.2 leaves the first value empty when a colour comes after it.
    wanted = sorted([*ours, *others], key=lambda one: one[1] != "COLOR")
    if there == wanted:
        return
    for aov in list(layer.aovs):
        layer.aovs.remove(aov)
    for name, kind in wanted:
        aov = layer.aovs.add()
        aov.name, aov.type = name, kind


def use_multilayer(settings: bpy.types.ImageFormatSettings) -> None:
    """Let pictures be stored as multilayer EXR of 32 bits."""
    if hasattr(settings, "media_type"):  # from 5.0
        settings.media_type = "MULTI_LAYER_IMAGE"
        settings.use_exr_interleave = True  # one part, which every reader understands
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth, settings.exr_codec = "32", "ZIP"


def setup(scene: bpy.types.Scene, capture_id: str, engine: str = "CYCLES", source: str = "AUTO") -> list[str]:
    """Set a scene up so that Blender's own Render (Animation) stores beauty and labels in one multilayer EXR.

    The scene's own view layers keep the picture and get depth and Cryptomatte; a view layer ``Labels`` with one sample
    through each pixel's centre has the ids. Called again, it brings the labels up to date.

    Args:
        engine: CYCLES or EEVEE. source: of `chosen_objects`; the other kind is hidden from renders.

    Returns:
        Sentences that the person should read.

    Raises:
        PassError: there is nothing labelled, or the engine cannot do it.
    """
    items = chosen_objects(scene, capture_id, source)
    check_engine(scene, engine, items)
    prepare(items, scene)
    show_only(scene, capture_id, items)
    for layer in scene.view_layers:
        layer.use_pass_z = layer.use_pass_cryptomatte_object = True
    layer = scene.view_layers.get(LAYER) or scene.view_layers.new(LAYER)
    layer.samples, layer.use_motion_blur = 1, False
    if hasattr(layer, "cycles"):
        layer.cycles.use_denoising = False
    add_passes(layer, levels(scene), engine)
    scene.render.engine = engine_id(engine)
    use_multilayer(scene.render.image_settings)
    return one_sample.drive(scene, engine)
