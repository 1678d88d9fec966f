"""A capture on its way into the scene: imported for the first time, or opened again for a scene that has it.

`build` is a generator over slices. It may be dropped and begun anew at any time (undo invalidates what it holds): all
it needs is plain data in `Opening`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .asks import Ask
from .canvas import Canvas
from .scene import assembly, cameras, materials
from .scene import scan as scans
from .scene.picking import Picker
from .scene.solid import Mesh, hide_source, mesh_of_scan

WAIT = object()  # yielded when there is nothing to do until the backend or a thread has more


@dataclass
class Opening:
    """What is known so far of a capture that is being opened."""

    scene_uid: int
    path: str
    options: dict[str, Any]
    fresh: bool  # imported anew; otherwise the scene has its cameras and perhaps its scan
    mesh: Mesh | None = None  # what is opened in place of a path
    request: int = 0  # id of the request, 0 before it is sent
    tried: bool = False  # the backend has been started for it
    begun: bool = False  # something of it is in the scene
    replaced: bool = False  # another capture has made room for it
    capture: dict[str, Any] | None = None  # the backend's "capture" event
    where: dict[str, Any] | None = None  # what another machine must be told in place of a path here
    problem: str = ""
    surface: dict[str, np.ndarray] | None = None
    _made: tuple[scans.Topology, Picker] | None = field(default=None, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def folder(self) -> Path:
        """The folder or file that is opened."""
        return Path(bpy.path.abspath(self.path))

    def surface_arrived(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The result of the request: positions (V, 3), faces (F, 3), colors (V, 3) and poses (N, 4, 4) of all frames,
        and which of these were broken."""
        self.surface = arrays
        self.capture["left_out"] += data["left_out"]
        self.capture["notes"] += data["notes"]

    def ask(self, device: str, cache: str, failed: Callable[[str, str], None]) -> Ask:
        """The request that opens it."""
        params = {"device": device, **(self.where or {"cache": cache})}
        if self.mesh is None:
            params |= {"path": str(self.folder), "options": self.options}
            return Ask("open", params, self.surface_arrived, failed, "Opening")
        params |= {"name": self.mesh.name, "id": self.mesh.known_as, "as_is": bool(self.mesh.known_as)}
        return Ask("open_mesh", params, self.surface_arrived, failed, "Opening", self.mesh.arrays())

    def made(self) -> tuple[scans.Topology, Picker] | None:
        """The surface with its edges and a picker, made in a thread on the first call; None while it works."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._make, name="clickfield topology", daemon=True)
            self._thread.start()
        return self._made

    def _make(self) -> None:
        positions, faces, colors = (self.surface[name] for name in ("positions", "faces", "colors"))
        made = scans.topology(positions, faces, colors)
        self._made = made, Picker(positions, faces)


def options_of(group: bpy.types.PropertyGroup) -> dict[str, Any]:
    """The import options of a scene or an operator, as the backend's ``open`` wants them."""
    names = ("step", "max_frames", "keyframes", "depth_min", "depth_max", "up", "poses", "refine_poses")
    options = {name: getattr(group, name) for name in names}
    options["confidence"] = int(group.confidence)
    options["depth_encoding"] = group.depth_encoding.strip() or None
    return options


def again(scene: bpy.types.Scene) -> Opening | None:
    """The opening of the capture that a scene has; None when its mesh, which it was made from, is gone."""
    own = scene.clickfield
    if own.capture_path:
        return Opening(scene.session_uid, own.capture_path, options_of(own), fresh=False)
    scan = scans.find_scan(scene, own.capture_id)
    if scan is None:
        return None
    held = mesh_of_scan(scan, own.capture_name, own.capture_id)
    return Opening(scene.session_uid, "", {}, fresh=False, mesh=held)


def build(now: Opening, scene: bpy.types.Scene, canvas: Canvas) -> Iterator[object]:
    """Put the capture into the scene. Sets ``now.problem`` when the folder holds another capture than the scene."""
    if now.fresh:
        # What the scene has is replaced only by a capture that has become a surface.
        while scene.clickfield.capture_id and now.surface is None:
            yield WAIT
        now.begun, now.replaced = True, bool(scene.clickfield.capture_id)
        materials.show_attributes_in_viewports(scene)
        yield from assembly.assemble(scene, now.capture, now.path, now.options)
    elif now.capture["id"] != scene.clickfield.capture_id:
        now.problem = "This folder holds another capture than this scene was made from; import it instead."
        return
    else:
        assembly.update_pictures(scene, now.capture)
    while now.surface is None:
        yield WAIT
    scan = scans.find_scan(scene, now.capture["id"])
    if scan is None:
        scan = scans.new_scan(scene.collection, f"Scan {now.capture['name']}", now.capture["id"])
    if now.fresh or not _has_surface(scan.data, now.surface):
        while now.made() is None:
            yield WAIT
        yield from cameras.move(scene, now.capture["id"], now.surface["poses"])  # they belong to the surface
        topology, picker = now.made()
        yield from scans.replace_surface(scan, topology)
        canvas.keep(scan.data, picker, now.surface["colors"])
    if now.fresh:
        if now.mesh is not None:
            hide_source(scene, now.mesh)
        assembly.frame_in_viewports(scene, scan)


def _has_surface(mesh: bpy.types.Mesh, surface: dict[str, np.ndarray]) -> bool:
    positions, faces = surface["positions"], surface["faces"]
    if len(mesh.vertices) != len(positions) or len(mesh.loops) != faces.size:
        return False
    return np.array_equal(scans.read_positions(mesh), positions) and np.array_equal(scans.read_faces(mesh), faces)


def take_back(now: Opening, scene: bpy.types.Scene) -> None:
    """Remove what was built of a capture whose import failed or was cancelled."""
    if not now.begun:
        return
    now.begun = False
    assembly.remove_capture(scene, now.capture["id"])
    own = scene.clickfield
    own.capture_id = own.capture_name = own.capture_format = own.capture_path = ""
