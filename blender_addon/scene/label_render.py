"""Renders of labelled surfaces to files: what each camera sees, as exact ids, colours, depth and a beauty picture.

Ids are rendered in a scene of their own with one sample through each pixel's centre; the person's scene stays as it is.
The beauty picture is rendered in a copy of the person's scene, which shares all objects. `series` says step by step
what has to be rendered and leaves it to the caller how: at once in a script, as a job of Blender in a window. What a
thread does meanwhile is waited for in the same way.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import bpy
import numpy as np
from mathutils import Matrix

from . import cameras, passes, scan, shots
from .label_files import LabelRender, draw_legend, label_colors, unpacked, unwritable, write_render, write_tables
from .passes import PassError
from .pixels import read_exr
from .shots import Shot

T = TypeVar("T")
Colors = Mapping[int, tuple[float, float, float]]  # sRGB 0..1 by label


@dataclass(frozen=True)
class Wishes:
    """What is made for each picture.

    ``engine`` is CYCLES or EEVEE (for the ids; the beauty picture has the scene's own), ``source`` one of
    `passes.chosen_objects`.
    """

    engine: str = "CYCLES"
    source: str = "AUTO"
    beauty: bool = False
    exr: bool = False
    legend: bool = False


@dataclass(frozen=True)
class Step:
    """A scene that must be rendered to its own file path before `series` is asked to go on."""

    scene: bpy.types.Scene
    fraction: float
    text: str


def series(
    scene: bpy.types.Scene, capture_id: str, pictures: Sequence[Shot], wishes: Wishes, folder: Path
) -> Iterator[Step | Future]:
    """Render pictures to a folder: ``labels/ instances/ level_1/ ... label_colors/ images/ depth/ exr/``.

    ``images`` has the beauty pictures, or without them the scan's own colours. With ``classes.json`` and
    ``transforms.json`` the folder can be opened as a capture and written as a data set.

    Raises:
        PassError: there is nothing to render, or the folder cannot be written.
    """
    items = passes.chosen_objects(scene, capture_id, wishes.source)
    passes.check_engine(scene, wishes.engine, items)
    passes.prepare(items, scene)
    body = scan.find_scan(scene, capture_id)
    base = body.matrix_world.inverted() if body is not None else Matrix.Identity(4)
    colors = {node.uid: tuple(node.color) for node in scene.clickfield.labels}
    entries: list[dict[str, Any]] = []
    finished = 0
    with tempfile.TemporaryDirectory(prefix="clickfield") as scratch:
        stage = _Stage(scene, items, wishes.engine)
        beauty = None
        shown: dict[bpy.types.Mesh, int] = {}
        hidden = passes.show_only(scene, capture_id, items) if wishes.beauty else {}
        try:
            for index, shot in enumerate(pictures):
                fraction, text = index / len(pictures), f"Rendering {shot.name} ({index + 1} of {len(pictures)})"
                path = stage.aim(shot, Path(scratch) / f"{index}.exr")
                described = shots.described(stage.scene, shot, base)
                yield Step(stage.scene, fraction, text)
                kept = folder / "exr" / f"{shot.name}.exr" if wishes.exr else None
                made, colored = yield from aside(_looked_at, path, kept, colors)
                if wishes.beauty:
                    beauty = beauty or _Beauty(scene)
                    _show_photos(items, shown)
                    yield from beauty.steps(shot, folder, wishes.exr, fraction, text)
                if wishes.legend:
                    draw_legend(colored, made, scene)
                yield from aside(write_render, made, colored, folder, shot.name, photo=not wishes.beauty)
                finished += 1
                if described is not None:
                    names = {
                        "file_path": f"images/{shot.name}.png",
                        "depth_file_path": f"depth/{shot.name}.png",
                    }
                    entries.append(names | described)
        finally:
            for item, was in hidden.items():
                item.hide_render = was
            for mesh, index in shown.items():
                mesh.color_attributes.render_color_index = index
            stage.remove()
            if beauty is not None:
                beauty.remove()
            if finished:  # of a series that was stopped too
                write_tables(scene, folder, entries)


def aside(function: Callable[..., T], *arguments: Any, **options: Any) -> Iterator[Future]:
    """Let a thread do what needs no Blender: seconds for a large picture. Yields its work once; returns its value."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(function, *arguments, **options)
        yield work
        return work.result()


def _show_photos(items: Sequence[bpy.types.Object], before: dict[bpy.types.Mesh, int]) -> None:
    """Let meshes be rendered in the photos' colours; ``before`` remembers what they were rendered in at first."""
    for mesh in {item.data for item in items}:
        index = mesh.color_attributes.find(scan.PHOTO)
        if index >= 0:
            before.setdefault(mesh, mesh.color_attributes.render_color_index)
            mesh.color_attributes.render_color_index = index


def run(steps: Iterator[Step | Future]) -> None:
    """Render a series at once. Raises PassError."""
    for step in steps:
        try:
            if isinstance(step, Future):
                wait([step])
            else:
                render(step)
        except RuntimeError as error:
            steps.close()
            raise PassError(f"Blender could not render the labels: {error}") from error


def render(step: Step, *how: str) -> None:
    """Let Blender render a step; ``how`` as for operators. Raises RuntimeError.

    The operator's own choice of a scene would set that scene to the frame of the one in the window.
    """
    with bpy.context.temp_override(scene=step.scene):
        bpy.ops.render.render(*how, write_still=True)


class _Stage:
    """A scene with the labelled objects alone that renders ids exactly."""

    def __init__(self, scene: bpy.types.Scene, items: Sequence[bpy.types.Object], engine: str):
        self.scene = stage = bpy.data.scenes.new("Clickfield Label Render")
        self._own: list[bpy.types.Object] = []
        self._source, self._camera = scene, None
        self._sharp: bpy.types.Camera | None = None
        for item in items:
            shown = item.copy()  # the thing itself may be hidden from renders
            self._own.append(shown)
            shown.hide_render = False
            stage.collection.objects.link(shown)
        stage.render.engine, stage.render.film_transparent = passes.engine_id(engine), True
        stage.render.use_lock_interface = True  # nobody may edit what is being rendered
        if engine == "CYCLES":
            cycles = stage.cycles
            cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = 1, False, False
            cycles.max_bounces = 0
            cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 0.01
        else:
            eevee = stage.eevee
            eevee.taa_render_samples, stage.render.filter_size = 1, 0.0
            eevee.use_shadows = eevee.use_raytracing = eevee.use_fast_gi = False  # nothing is lit
        passes.add_passes(stage.view_layers[0], passes.levels(scene), engine)
        passes.use_multilayer(stage.render.image_settings)

    def aim(self, shot: Shot, path: Path) -> Path:
        """Look through a shot's camera and store to a path, which is returned."""
        self._drop_camera()
        self._camera = camera = shot.camera
        if camera.data.dof.use_dof:  # out of focus a pixel would show anything around it
            self._camera = camera.copy()
            self._camera.data = self._sharp = camera.data.copy()
            self._sharp.dof.use_dof = False
        self.scene.collection.objects.link(self._camera)
        _look(self.scene, self._source, shot)
        self.scene.camera = self._camera
        self.scene.render.filepath = str(path)
        return path

    def _drop_camera(self) -> None:
        if self._sharp is not None:
            bpy.data.objects.remove(self._camera)
            bpy.data.cameras.remove(self._sharp)
        elif self._camera is not None:
            self.scene.collection.objects.unlink(self._camera)
        self._camera = self._sharp = None

    def remove(self) -> None:
        self._drop_camera()
        bpy.data.batch_remove(self._own)
        bpy.data.scenes.remove(self.scene)


class _Beauty:
    """A copy of the person's scene that renders the picture itself."""

    def __init__(self, scene: bpy.types.Scene):
        self.scene = scene.copy()
        self.scene.name = "Clickfield Beauty Render"
        self.scene.render.use_lock_interface = True
        self.scene.timeline_markers.clear()
        self._source = scene
        self._light = None
        if passes.LAYER in self.scene.view_layers and len(self.scene.view_layers) > 1:
            self.scene.view_layers.remove(self.scene.view_layers[passes.LAYER])
        if not is_lit(scene):
            self._light = self.scene.world = _even_light()
            self.scene.render.film_transparent = True  # it lights, and is not seen where the scan has holes

    def steps(self, shot: Shot, folder: Path, exr: bool, fraction: float, text: str) -> Iterator[Step]:
        """Render a shot to ``images/`` and, if wanted, with depth and Cryptomatte to ``exr/<name>.beauty.exr``."""
        _look(self.scene, self._source, shot)
        render, target = self.scene.render, folder / "images" / f"{shot.name}.png"
        if exr:
            passes.use_multilayer(render.image_settings)
            for layer in self.scene.view_layers:
                layer.use_pass_z = layer.use_pass_cryptomatte_object = True
            render.filepath = str(folder / "exr" / f"{shot.name}.beauty.exr")
        else:
            _use_png(render.image_settings)
            render.filepath = str(target)
        Path(render.filepath).unlink(missing_ok=True)  # so that it tells whether this render came to its end
        yield Step(self.scene, fraction, f"{text}, beauty")
        if not exr:
            return
        _use_png(render.image_settings)
        target.parent.mkdir(parents=True, exist_ok=True)
        bpy.data.images["Render Result"].save_render(str(target), scene=self.scene)

    def remove(self) -> None:
        bpy.data.scenes.remove(self.scene)
        if self._light is not None:
            bpy.data.worlds.remove(self._light)


def _even_light() -> bpy.types.World:
    world = bpy.data.worlds.new("Clickfield Light")
    if not world.node_tree:
        world.use_nodes = True
    for node in world.node_tree.nodes:
        if node.type == "BACKGROUND":
            node.inputs["Color"].default_value, node.inputs["Strength"].default_value = (1.0, 1.0, 1.0, 1.0), 1.0
    return world


def is_lit(scene: bpy.types.Scene) -> bool:
    """Whether a scene has a lamp or a world that shines."""
    if any(item.type == "LIGHT" and not item.hide_render for item in scene.objects):
        return True
    world = scene.world
    return world is not None and (world.node_tree is not None or max(world.color) > 0)


def _look(scene: bpy.types.Scene, source: bpy.types.Scene, shot: Shot) -> None:
    """Set camera, frame and resolution: a keyframe's own, otherwise those of the person's scene."""
    scene.camera = shot.camera
    for name in ("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y"):
        setattr(scene.render, name, getattr(source.render, name))
    if shot.camera.clickfield.role == "CAMERA":
        cameras.set_resolution(scene, shot.camera)
    scene.frame_set(shot.frame)


def _use_png(settings: bpy.types.ImageFormatSettings) -> None:
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"


def _looked_at(path: Path, kept: Path | None, colors: Colors) -> tuple[LabelRender, np.ndarray]:
    """A stored label layer as maps, and (H, W, 3) uint8 in the labels' colours; moves the file to where it is kept."""
    try:
        made = unpacked(read_exr(path))
    except (OSError, ValueError) as error:
        raise PassError(f"Blender did not store the label render: {error}") from error
    if kept is not None:
        _moved(path, kept)
    return made, label_colors(made, colors)


def _moved(path: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    except OSError as error:
        raise unwritable(target, error) from error
