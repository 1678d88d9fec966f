"""Data sets from a labelled capture, for the request and the command `dataset`; and from folders with label maps.

Folders with label maps are what Blender renders of a labelled scene (``labels/``, ``instances/`` and ``classes.json``
beside the pictures), or a capture with true labels in the same layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import separating
from .captures.capture import Capture, Frame
from .captures.detect import ImportOptions, open_capture
from .captures.held_out import only
from .datasets.export import FORMATS, checked_formats, write_data_set
from .datasets.labelled import Cloud, LabelledFrames, Maps, Solid, number_instances
from .errors import UserError
from .evaluation.truth import Truth, load_truth, read_labels
from .label_job import chosen_frames, in_scene, read_document, with_needed
from .new_folder import check_folder
from .objects.instances import Known
from .progress import Progress, part
from .protocol import Array
from .registering import registered_capture
from .workspace import Workspace

DEFAULT_SIZE = 0.04  # metres: things smaller than this are no objects of their own

FARTHEST = 1000.0  # metres: depth that Blender rendered is true at any distance


@dataclass(frozen=True)
class DatasetJob:
    """What the command line asks for."""

    capture: Path
    out: Path
    marks: Path | None = None  # None: the capture brings label maps of its own
    formats: str | None = None  # with commas; None: all that there can be
    min_size: float = DEFAULT_SIZE
    step: int = 1
    max_frames: int = 0
    device: str = "auto"
    up: str = "auto"
    depth_encoding: str | None = None
    keep_poses: bool = False  # as the capture says them, not refined


def run(job: DatasetJob, progress: Progress) -> dict:
    """Do the job; the report of `write_data_set`. Raises UserError, Cancelled."""
    fitting = [name for name in FORMATS if job.marks is not None or name != "ply"]
    asked = fitting if job.formats is None else [name.strip() for name in job.formats.split(",") if name.strip()]
    formats = checked_formats(asked)
    check_folder(job.out)
    farthest = {} if job.marks else {"depth_max": FARTHEST}
    options = ImportOptions(up=job.up, depth_encoding=job.depth_encoding, **farthest)
    everything = open_capture(job.capture, options, part(progress, 0.0, 0.05))
    capture = chosen_frames(everything, job.step, job.max_frames)
    if job.marks is None:
        return write_data_set(from_folder(capture), formats, job.out, part(progress, 0.05, 1.0))
    document = in_scene(read_document(job.marks), everything)
    with Workspace(device=job.device) as workspace:
        everything, fused = with_needed(everything, capture, document), {frame.name for frame in capture.frames}
        if not job.keep_poses:
            everything = registered_capture(everything, part(progress, 0.05, 0.2), workspace.device, fused)
        workspace.build(only(everything, fused), part(progress, 0.2, 0.4), every_frame=everything)
        workspace.label(document, part(progress, 0.4, 0.5))
        workspace.settle(part(progress, 0.5, 0.6))
        data = from_workspace(workspace, part(progress, 0.6, 0.7), job.min_size)
        return write_data_set(data, formats, job.out, part(progress, 0.7, 1.0))


def from_workspace(
    workspace: Workspace,
    progress: Progress,
    min_size: float = DEFAULT_SIZE,
    frames: Sequence[str] | None = None,
    known: Sequence[Known] = (),
    solids: tuple[Solid, ...] = (),
) -> LabelledFrames:
    """The keyframes of an open capture, with the labels that it has now.

    A frame's map is read from the scan like its label map (`labels.keyframes`), with the objects in place of the
    labels, so that boundaries between two objects of one label follow the photo too.

    Args:
        min_size: metres; known: objects that exist and keep their numbers. See `number_instances`.
        frames: names of the keyframes; None for all.

    Raises:
        UserError: nothing is labelled, or there is no such keyframe.
    """
    capture = workspace.capture
    if frames is not None:
        capture = replace(capture, frames=tuple(workspace.frame(name) for name in frames))
    scene = workspace.labelled()
    cloud = number_instances(scene, min_size * workspace.scale, known, progress)
    pairs, index = np.unique(np.stack([cloud.labels, cloud.instances], axis=1), axis=0, return_inverse=True)
    index = index.ravel().astype(np.uint16)

    def maps(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        found = pairs[workspace.read_keyframe(frame, index, cloud.confidence)]
        return found[..., 0], found[..., 1]

    return LabelledFrames(capture, scene.tree, maps, cloud, solids)


def from_folder(capture: Capture) -> LabelledFrames:
    """The frames of a capture that brings label maps: `labels/`, `classes.json` and, if there are, `instances/`.

    Frames without a label map are left out. Raises UserError when there is no label map, or no classes.json.
    """
    truth = load_truth(capture.root / "labels", capture)
    have = tuple(frame for frame in capture.frames if frame.name in truth)
    return LabelledFrames(replace(capture, frames=have), truth.tree, _maps_of(truth, capture.root / "instances"))


def _maps_of(truth: Truth, instances: Path) -> Maps:
    def maps(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        labels, path = truth.of(frame.name), instances / f"{frame.name}.png"
        frame.color(), frame.depth()  # a frame whose images are broken is left out
        numbers = read_labels(path) if path.is_file() else np.zeros_like(labels)
        if numbers.shape != labels.shape:
            sentence = f"The instance map {path.name} has another size than the label map; render them together."
            raise UserError("bad_instances", sentence)
        return labels, numbers.astype(np.uint16)

    return maps


def answer(workspace: Workspace, params: dict, arrays: Mapping[str, Array], progress: Progress) -> dict:
    """The request `dataset`: writes a data set and says what `write_data_set` reports.

    ``params``: ``folder``; ``formats``, a list; ``frames``, "all" or a list of keyframes' names; ``min_size`` and
    ``known`` as for `separate`; ``objects`` [{label, instance}] for amodal masks, with arrays ``o<i>.positions`` f4
    (n, 3) scene metres and ``o<i>.faces`` i4 (m, 3); ``rendered``, a folder that Blender has rendered, which is written
    instead of the keyframes.

    Raises:
        UserError, Cancelled.
    """
    folder, formats, frames = params.get("folder"), params.get("formats"), params.get("frames", "all")
    if not isinstance(folder, str) or not folder or not isinstance(formats, list):
        raise UserError("bad_request", "The request needs a folder and a list of formats.")
    formats = checked_formats([str(name) for name in formats])
    if frames != "all" and not (isinstance(frames, list) and all(isinstance(name, str) for name in frames)):
        raise UserError("bad_request", "'frames' in the request is neither \"all\" nor a list of names.")
    if not frames:
        raise UserError("no_frames", "No keyframe was chosen for the data set.")
    check_folder(Path(folder))
    rendered = params.get("rendered")
    if rendered:
        capture = open_capture(Path(str(rendered)), ImportOptions(depth_max=FARTHEST), part(progress, 0.0, 0.1))
        data = from_folder(capture)
    else:
        options = separating.options_of({key: params[key] for key in ("min_size", "known") if key in params})
        data = from_workspace(
            workspace,
            part(progress, 0.0, 0.1),
            options.min_size,
            None if frames == "all" else frames,
            options.known,
            solids_in(params.get("objects"), arrays),
        )
    return write_data_set(data, formats, Path(folder), part(progress, 0.1, 1.0))


def instances(workspace: Workspace, params: dict, progress: Progress) -> Cloud:
    """The request `instances`: the scan's labels and the numbers of its things. Raises UserError, Cancelled.

    ``params``: ``min_size`` and ``known`` as for `separate`.
    """
    options = separating.options_of({key: params[key] for key in ("min_size", "known") if key in params})
    return number_instances(workspace.labelled(), options.min_size * workspace.scale, options.known, progress)


def solids_in(objects: object, arrays: Mapping[str, Array]) -> tuple[Solid, ...]:
    """The whole objects of a request. Raises UserError when one of them is no mesh."""
    found = []
    for index, entry in enumerate(objects if isinstance(objects, list) else []):
        meshes = []
        for name, kind in (("positions", "f4"), ("faces", "i4")):
            dtype, shape, data = arrays.get(f"o{index}.{name}", ("", (), b""))
            fits = dtype == kind and len(shape) == 2 and shape[1] == 3
            meshes.append(np.frombuffer(data, f"<{kind}").reshape(shape) if fits else np.zeros((0, 3), f"<{kind}"))
        positions, faces = meshes
        fits = len(faces) and faces.min() >= 0 and faces.max() < len(positions) and np.isfinite(positions).all()
        ids = [entry.get(key) for key in ("label", "instance")] if isinstance(entry, dict) else []
        if not fits or any(type(number) is not int for number in ids) or len(ids) != 2:
            raise UserError("bad_request", f"Object number {index + 1} of the request has no mesh or no ids.")
        found.append(Solid(*ids, positions, faces))
    return tuple(found)
