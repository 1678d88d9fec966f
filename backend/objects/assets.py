"""From a labelled scan to things that a person can use: separate, closed, turned, small enough, coloured, pictured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy.spatial import cKDTree

from ..captures.capture import Capture
from ..labels.tree import LabelTree
from ..progress import Progress, part, silent
from ..surface.surface import Superpoints, Surface
from .closing import Closed, close_things
from .decimate import simplified
from .hole import Filled, without_things
from .hulls import hulls
from .instances import Claim, Known
from .invented import with_invented
from .pose import Pose, main_direction, standing
from .preview import picture
from .separation import SceneObject, separate
from .skirts import with_skirts
from .solid_lighter import lighter
from .solid_sketch import Sketches
from .texture import Shape, dress_all
from .validity import Report, report_on

PREVIEW = 256  # pixels
KEPT = 0.15  # of the faces of a lattice's mesh
FEWEST_FACES, MOST_FACES = 1_000, 20_000
HULLS = ("none", "convex", "decomposed")


@dataclass(frozen=True)
class Options:
    """What is wanted of the objects."""

    min_size: float = 0.04  # metres: a piece whose longest side is shorter is no object
    margin: float = 0.0  # metres that an object grows (or shrinks, below 0) where it meets another label
    close: bool = True
    mirror: bool = False  # unseen sides from the seen ones where a thing is symmetric
    fill: bool = False  # also the scan without its things, whole underneath
    texture: int = 0  # pixels along a side at most; 0: vertex colours only
    hulls: str = "none"
    known: tuple[Known, ...] = ()


@dataclass(frozen=True)
class Asset:
    """An object as it leaves the backend."""

    name: str
    label: int
    instance: int
    pose: Pose
    vertices: np.ndarray  # (n, 3) float32 metres, in the pose's axes
    faces: np.ndarray  # (m, 3) int32
    colors: np.ndarray  # (n, 3) uint8 sRGB
    confidence: np.ndarray  # (n,) float32 0..1
    observed: np.ndarray  # (n,) float32 0..1: by how much cameras saw it
    report: Report
    preview: np.ndarray | None = None  # (PREVIEW, PREVIEW, 4) uint8
    uv: np.ndarray | None = None  # (3 m, 2) float32 per face corner
    texture: np.ndarray | None = None  # (S, S, 4) uint8, row 0 on top, alpha 0 where it was filled in
    hulls: tuple[tuple[np.ndarray, np.ndarray], ...] = ()  # vertices (q, 3) float32 in the pose's axes, faces (r, 3)


@dataclass(frozen=True)
class Assets:
    """Everything that a separation gave."""

    objects: tuple[Asset, ...]
    crumb_pieces: int
    crumb_faces: int
    notes: tuple[str, ...] = ()
    filled: Filled | None = None


@dataclass(frozen=True)
class LabelledScene:
    """A scan whose vertices have labels."""

    surface: Surface
    capture: Capture  # without frames for a bare mesh
    labels: np.ndarray  # (V,) uint16 uids, 0 = unlabelled
    confidence: np.ndarray  # (V,) float32
    tree: LabelTree
    claims: tuple[Claim, ...] = ()
    superpoints: Superpoints | None = field(default=None, repr=False)


def make_assets(scene: LabelledScene, options: Options, progress: Progress = silent) -> Assets:
    """Make the objects of a labelled scene.

    Raises:
        UserError: nothing is labelled, or a package that an option needs is missing. Cancelled by progress.
    """
    result = separate(
        scene.surface,
        scene.labels,
        scene.confidence,
        scene.tree,
        options.min_size,
        scene.claims,
        options.known,
        scene.superpoints,
        part(progress, 0.0, 0.1),
    )
    direction, notes = main_direction(scene.surface), list(result.notes)
    closed: dict[int, Closed] = {}
    filled = None
    if (options.close or options.fill) and any(thing.thing for thing in result.objects):
        known = scene.surface, scene.capture
        sketches = Sketches(result, *known, options.mirror, part(progress, 0.1, 0.2))
        if options.close:
            wishes = options.margin, options.mirror
            closed = close_things(sketches, *known, *wishes, part(progress, 0.2, 0.6))
        if options.fill:
            filled, more = without_things(result, scene.surface, sketches, part(progress, 0.6, 0.65))
            notes += more
    skirted = with_skirts(result, scene.surface, scene.confidence, closed)
    made = []
    for index, thing in enumerate(result.objects):
        progress(0.65 + 0.05 * index / len(result.objects), f"Finishing {thing.name}")
        one = closed.get(index)
        if one and one.solid:
            made.append(_closed(thing, one, scene, direction))
        else:
            made.append(_open(skirted.get(index, thing), scene, direction, options.close))
    made = _dressed(made, scene, options, part(progress, 0.7, 0.9))
    for index, asset in enumerate(made):
        made[index] = _finished(asset, options, partial(progress, 0.9 + 0.1 * index / len(made)))
    return Assets(tuple(made), result.crumb_pieces, result.crumb_faces, tuple(notes), filled)


def _closed(thing: SceneObject, closed: Closed, scene: LabelledScene, direction: float) -> Asset:
    """A closed thing with as few triangles as its shape needs, in its own axes."""
    solid, cell = closed.solid, closed.sketch.lattice.voxel
    pose = standing(solid.vertices, cell, direction)
    sure = thing.confidence[cKDTree(thing.vertices + thing.origin).query(solid.vertices)[1]]
    values = np.column_stack([solid.colors, sure, solid.observed]).astype(np.float64)
    target = int(np.clip(KEPT * len(solid.faces), FEWEST_FACES, MOST_FACES))
    points, faces, values = lighter(pose.local(solid.vertices), solid.faces, values, target)
    observed = values[:, 4].clip(0, 1).astype(np.float32)
    others = scene.surface.vertices[scene.labels != thing.label]
    colors = with_invented(pose.scene(points), faces, values[:, :3], observed, others, scene.surface.voxel)
    report = report_on(
        points, faces, observed, solid.hollow, solid.free_violation, solid.mirror_error, closed.sketch.notes
    )
    return Asset(
        thing.name,
        thing.label,
        thing.instance,
        replace(pose, dimensions=np.ptp(points, axis=0)),
        points.astype(np.float32),
        faces.astype(np.int32),
        np.rint(colors).clip(0, 255).astype(np.uint8),
        values[:, 3].clip(0, 1).astype(np.float32),
        observed,
        report,
    )


def _open(thing: SceneObject, scene: LabelledScene, direction: float, asked: bool) -> Asset:
    """The scan's own surface, in the object's own axes; ``asked`` whether things were to be closed."""
    points = thing.vertices + thing.origin
    pose = standing(points, scene.surface.voxel, direction)
    seen = np.ones(len(points), np.float32)
    names = thing.name, thing.label, thing.instance
    local = pose.local(points).astype(np.float32)
    lost = asked and thing.thing
    notes = ("It could not be closed: nothing of it is left beside its neighbours.",) if lost else ()
    return Asset(*names, pose, local, thing.faces, thing.colors, thing.confidence, seen, Report(notes=notes))


def _fewer(asset: Asset) -> Asset:
    """With no more faces than can be unwrapped in seconds: the picture shows what the points' colours showed."""
    values = np.column_stack([asset.colors, asset.confidence, asset.observed]).astype(np.float64)
    points, faces, values = simplified(asset.vertices, asset.faces, values, MOST_FACES)
    return replace(
        asset,
        vertices=points.astype(np.float32),
        faces=faces.astype(np.int32),
        colors=np.rint(values[:, :3]).clip(0, 255).astype(np.uint8),
        confidence=values[:, 3].clip(0, 1).astype(np.float32),
        observed=values[:, 4].clip(0, 1).astype(np.float32),
    )


def _dressed(made: list[Asset], scene: LabelledScene, options: Options, progress: Progress) -> list[Asset]:
    if not options.texture or not scene.capture.frames:
        return made
    made = [_fewer(asset) if len(asset.faces) > MOST_FACES else asset for asset in made]
    shapes = [Shape(asset.pose.scene(asset.vertices), asset.faces, asset.colors) for asset in made]
    looks = dress_all(shapes, scene.capture, scene.surface, options.texture, progress)
    return [replace(asset, uv=look.uv, texture=look.texture) for asset, look in zip(made, looks, strict=True)]


def _finished(asset: Asset, options: Options, tell: Callable[[str], None]) -> Asset:
    """With its picture and its collision shapes; ``tell`` may raise Cancelled."""
    tell(f"Drawing {asset.name}")
    shown = picture(asset.vertices, asset.faces, asset.colors, PREVIEW, asset.uv, asset.texture)
    if options.hulls == "none":
        return replace(asset, preview=shown)
    shaping = partial(tell, f"Collision shape of {asset.name}")
    pieces, note = hulls(asset.vertices, asset.faces, options.hulls, shaping)
    report = replace(asset.report, notes=(*asset.report.notes, note)) if note else asset.report
    return replace(asset, hulls=tuple(pieces), preview=shown, report=report)
