"""Label passes: what a camera sees of the labelled scan, as exact label ids.

Materials get an AOV ``Label`` fed by a face attribute, because a point attribute would be blended between the labels
of a triangle's corners. Cycles renders it, with one sample through the pixel's centre, so that no pixel mixes two
labels. A plain multilayer EXR holds all passes; there is no compositor, whose API differs between Blender versions.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import cameras, scan, shades
from .pixels import read_exr, write_png

LABEL_AOV, PHOTO_AOV = "Label", "Photo"
FACE_LABEL = "label_face"  # INT on faces: the label of most corners
LAYER = "Labels"


class PassError(Exception):
    """One sentence that says why there is no label render."""


@dataclass(frozen=True)
class LabelRender:
    """What one camera sees; every map has its top row first."""

    labels: np.ndarray  # (H, W) uint16 uid of the face at the pixel's centre, 0 = unlabelled or nothing
    photo: np.ndarray  # (H, W, 3) uint8 sRGB
    depth: np.ndarray  # (H, W) float32 distance along the view in metres, 0 = nothing


def face_labels(labels: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) label that most corners of each face have; that of its first corner when all three differ."""
    a, b, c = labels[faces].T
    return np.where(b == c, b, a)


def write_face_labels(mesh: bpy.types.Mesh) -> None:
    """Bring the face attribute up to date with the points' labels. 30 ms for a million faces."""
    labels, _ = scan.read_labels(mesh)
    found = mesh.attributes.get(FACE_LABEL)
    if found is not None and (found.domain, found.data_type) != ("FACE", "INT"):
        mesh.attributes.remove(found)
        found = None
    found = found or mesh.attributes.new(FACE_LABEL, "INT", "FACE")
    found.data.foreach_set("value", face_labels(labels, scan.read_faces(mesh)).astype(np.int32))
    mesh.update_tag()


def labelled_objects(scene: bpy.types.Scene, capture_id: str) -> list[bpy.types.Object]:
    """The scan and the separated objects of a capture that are triangle meshes."""
    return [
        item
        for item in scene.objects
        if item.type == "MESH"
        and item.clickfield.role in ("SCAN", "OBJECT")
        and item.clickfield.capture_id == capture_id
        and "label" in item.data.attributes
        and len(item.data.loops) == 3 * len(item.data.polygons)
    ]


def setup(scene: bpy.types.Scene, capture_id: str) -> bpy.types.ViewLayer:
    """Give the scene a view layer ``Labels`` with the label passes; the picture's own layers stay as they are.

    The layer renders with one sample, which is what keeps ids unmixed whatever the filter; it has the AOVs ``Label``
    and ``Photo``, depth and Cryptomatte of objects. Called again, it brings the labels up to date.

    Raises:
        PassError: there is nothing labelled, or Cycles is switched off.
    """
    items = labelled_objects(scene, capture_id)
    if not items:
        raise PassError("There is no scan to render; import a capture first.")
    _need_cycles(scene)
    for item in items:
        prepare(item)
    layer = scene.view_layers.get(LAYER) or scene.view_layers.new(LAYER)
    layer.samples = 1
    _add_passes(layer)
    layer.use_pass_cryptomatte_object = True
    scene.render.engine = "CYCLES"
    _use_multilayer(scene.render.image_settings)
    return layer


def prepare(item: bpy.types.Object) -> None:
    """Face labels on the mesh and AOVs in its materials."""
    write_face_labels(item.data)
    for material in item.data.materials:
        if material is not None and material.node_tree is not None:
            _add_aov_nodes(material.node_tree)


def _need_cycles(scene: bpy.types.Scene) -> None:
    if not hasattr(scene, "cycles"):
        raise PassError("Label renders need Cycles; enable the Cycles add-on in the preferences.")


def _add_passes(layer: bpy.types.ViewLayer) -> None:
    layer.use_pass_z = True
    for name, kind in ((LABEL_AOV, "VALUE"), (PHOTO_AOV, "COLOR")):
        aov = next((aov for aov in layer.aovs if aov.name == name), None) or layer.aovs.add()
        aov.name, aov.type = name, kind


def _use_multilayer(settings: bpy.types.ImageFormatSettings) -> None:
    if hasattr(settings, "media_type"):  # from 5.0
        settings.media_type = "MULTI_LAYER_IMAGE"
        settings.use_exr_interleave = True  # one part, which every reader understands
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth, settings.exr_codec = "32", "ZIP"


def _add_aov_nodes(tree: bpy.types.NodeTree) -> None:
    present = {node.aov_name for node in tree.nodes if node.type == "OUTPUT_AOV"}
    sources = (
        (LABEL_AOV, FACE_LABEL, "Fac", "Value", -300),
        (PHOTO_AOV, scan.PHOTO, "Color", "Color", -500),
    )
    for name, attribute, output, socket, height in sources:
        if name in present:
            continue
        source, sink = tree.nodes.new("ShaderNodeAttribute"), tree.nodes.new("ShaderNodeOutputAOV")
        source.attribute_type, source.attribute_name = "GEOMETRY", attribute
        sink.aov_name = name
        source.location, sink.location = (0, height), (300, height)
        tree.links.new(source.outputs[output], sink.inputs[socket])


def render_labels(scene: bpy.types.Scene, camera: bpy.types.Object, capture_id: str) -> LabelRender:
    """Render what a camera sees of the scan, in a scene of its own, so that nothing of the person's changes.

    A capture's camera renders at its frame's resolution, others at the scene's. Occluded only by the scan itself.

    Raises:
        PassError: no scan, no Cycles, or Blender could not render.
    """
    body = scan.find_scan(scene, capture_id)
    if body is None or not len(body.data.polygons):
        raise PassError("There is no scan to render; import a capture first.")
    _need_cycles(scene)
    prepare(body)
    with tempfile.TemporaryDirectory(prefix="clickfield") as folder, _stage(scene, body, camera) as stage:
        target = Path(folder) / "labels.exr"
        stage.render.filepath = str(target)
        try:
            bpy.ops.render.render(write_still=True, scene=stage.name)
            layers = read_exr(target)
        except (RuntimeError, OSError, ValueError) as error:
            raise PassError(f"Blender could not render the labels: {error}") from error
    return _unpacked(layers)


@contextmanager
def _stage(scene: bpy.types.Scene, body: bpy.types.Object, camera: bpy.types.Object):
    """A scene with the scan and the camera alone that renders ids exactly."""
    stage = bpy.data.scenes.new("Clickfield Label Render")
    shown = body.copy()  # the scan itself may be hidden from renders
    try:
        shown.hide_render, shown.parent, shown.matrix_world = False, None, body.matrix_world
        stage.collection.objects.link(shown)
        stage.collection.objects.link(camera)
        stage.camera = camera
        render, source = stage.render, scene.render
        for name in ("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y"):
            setattr(render, name, getattr(source, name))
        if camera.clickfield.role == "CAMERA":
            cameras.set_resolution(stage, camera)
        render.engine, render.film_transparent = "CYCLES", True
        cycles = stage.cycles
        cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = 1, False, False
        cycles.max_bounces = 0
        cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 0.01
        _add_passes(stage.view_layers[0])
        _use_multilayer(render.image_settings)
        yield stage
    finally:
        bpy.data.objects.remove(shown)
        bpy.data.scenes.remove(stage)


def _unpacked(layers: dict[str, np.ndarray]) -> LabelRender:
    by_pass = {name.partition(".")[2]: array for name, array in layers.items()}
    depth = by_pass["Depth.Z"].astype(np.float32)
    linear = np.stack([by_pass[f"{PHOTO_AOV}.{channel}"] for channel in "RGB"], axis=-1)
    label = np.rint(by_pass.get(f"{LABEL_AOV}.X", by_pass.get(f"{LABEL_AOV}.V")))
    return LabelRender(label.astype(np.uint16), _srgb(linear), np.where(depth < 1e9, depth, 0.0))


def _srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def write_render(made: LabelRender, folder: Path, name: str, colors: dict[int, Sequence[float]]) -> list[Path]:
    """``<name>.labels.png`` (16-bit uids), ``<name>.label_colors.png`` and ``<name>.color.png``.

    Raises:
        PassError: the folder cannot be written.
    """
    labels = made.labels.ravel()
    sure = np.full(len(labels), 255, np.uint8)
    painted = shades.label_colors(labels, sure, made.photo.reshape(-1, 3), colors)
    painted = np.where(made.depth.ravel()[:, None] > 0, painted, 0.0).reshape(made.photo.shape)
    pictures = {
        f"{name}.labels.png": made.labels,
        f"{name}.label_colors.png": np.rint(painted * 255).astype(np.uint8),
        f"{name}.color.png": made.photo,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, pixels in pictures.items():
            write_png(folder / file, pixels)
    except OSError as error:
        reason = error.strerror or os.fspath(folder)
        raise PassError(f"The label pictures cannot be written to {folder} ({reason}); choose another.") from error
    return [folder / file for file in pictures]
