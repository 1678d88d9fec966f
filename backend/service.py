"""The requests that the add-on may send, turned into calls on the workspace and back into arrays.

Every array leaves little-endian and C-contiguous; points and cameras are in scene coordinates.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from . import budget, dataset_job, devices, protocol, separating
from .asking import Query
from .bare_surface import BareWorkspace, mesh_in_request
from .captures.capture import Capture, Intrinsics
from .captures.describe import in_words, inspect
from .captures.detect import ImportOptions, is_bare
from .errors import UserError
from .finding_similar import find_similar
from .labelling import Labelling, Status
from .labels.queries import MEASURES
from .pictures import picture_file, picture_to_send
from .progress import Progress
from .remote_requests import Elsewhere
from .store import UNPACKED, Store
from .surface.surface import Surface
from .workspace import Workspace

Arrays = dict[str, protocol.Array]
MAX_VIEW_PIXELS = 64_000_000


def packed(array: np.ndarray) -> protocol.Array:
    """An array as the protocol sends it. Raises KeyError for a dtype that the protocol does not have."""
    array = np.ascontiguousarray(array)
    dtype = f"{array.dtype.kind}{array.dtype.itemsize}"
    if dtype not in protocol.ITEM_SIZE:
        raise KeyError(dtype)
    return dtype, array.shape, array.astype(array.dtype.newbyteorder("<"), copy=False).data


class Service:
    """Handles requests one at a time; between them `idle` trains the field in small slices."""

    def __init__(self, emit: Callable[[str, dict, Arrays], None], device: str = "auto"):
        self._emit = emit
        self._device = device
        self._workspace: Workspace | None = None
        self._elsewhere = Elsewhere(_store)
        self._methods: dict[str, Callable[[dict, Progress], tuple[dict, Arrays]]] = {
            "inspect": self._inspect,
            "open": self._open,
            "document": self._document,
            "pick": self._pick,
            "uncertainty": self._uncertainty,
            "ask": self._ask,
            "effects": self._effects,
            "keyframe": self._keyframe,
            "picture": self._picture,
            "separate": self._separate,
            "views": self._views,
            "instances": self._instances,
            "status": self._status,
            "save": self._save,
            "close": self._close,
            "doctor": lambda params, progress: (devices.report(), {}),
        }
        self._with_arrays: dict[str, Callable[[dict, Arrays, Progress], tuple[dict, Arrays]]] = {
            "open_mesh": self._open_mesh,
            "similar": self._similar,
            "dataset": self._dataset,
            **self._elsewhere.methods,
        }

    def handle(self, method: str, params: dict, arrays: Arrays, progress: Progress) -> tuple[dict, Arrays]:
        """Answer one request. Raises UserError, Cancelled."""
        if method not in (*self._methods, *self._with_arrays):
            raise UserError("unknown_method", f"The backend does not know the request {method!r}; update the backend.")
        try:
            if method in self._with_arrays:
                return self._with_arrays[method](params, arrays, progress)
            return self._methods[method](params, progress)
        except protocol.DocumentError as error:
            raise UserError("bad_document", str(error)) from error
        except UserError as error:
            raise UserError(error.code, self._elsewhere.said(error.sentence), error.detail) from error

    def idle(self) -> bool:
        """One slice of background work; False when there is nothing left to do."""
        return self._workspace is not None and self._workspace.idle()

    def close(self) -> None:
        """Forget everything."""
        self._leave()
        self._elsewhere.close()

    def _leave(self) -> None:
        """Forget the open scene and its memory."""
        if self._workspace is not None:
            self._workspace.close()
            self._workspace = None

    def _opened(self) -> Workspace:
        if self._workspace is None:
            raise UserError("no_capture", "No capture is open in the backend; import one first.")
        return self._workspace

    def _inspect(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        """What a capture or a mesh holds, without opening it: the open scene stays."""
        path = self._elsewhere.path(params)
        facts = inspect(path, _import_options(params), progress, _store(params).root / UNPACKED)
        return self._elsewhere.said({"facts": facts, "lines": in_words(facts)}), {}

    def _open(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        self._leave()
        path, options = self._elsewhere.path(params), _import_options(params)
        started = time.perf_counter()
        workspace = self._new(BareWorkspace if is_bare(path) else Workspace, params)
        surface = workspace.open(path, options, progress, lambda capture: self._on_capture(capture, params, workspace))
        return self._opened_surface(workspace, surface, started)

    def _open_mesh(self, params: dict, arrays: Arrays, progress: Progress) -> tuple[dict, Arrays]:
        self._leave()
        started = time.perf_counter()
        scanned = mesh_in_request(params, arrays)
        workspace = self._new(BareWorkspace, params)
        known_as = str(params.get("id") or "")
        surface = workspace.take(
            scanned, progress, lambda capture: self._on_capture(capture, params, workspace), known_as
        )
        return self._opened_surface(workspace, surface, started)

    def _new(self, kind: type[Workspace], params: dict) -> Workspace:
        self._cache = _store(params)
        return kind(
            device=params.get("device") or self._device,
            store=self._cache,
            on_status=self._on_status,
            on_labels=self._on_labels,
            on_problem=self._on_problem,
        )

    def _opened_surface(self, workspace: Workspace, surface: Surface, started: float) -> tuple[dict, Arrays]:
        workspace.prepare_questions()
        self._workspace = workspace
        result = {
            "id": workspace.capture.fingerprint,
            "vertices": len(surface.vertices),
            "faces": len(surface.faces),
            "voxel": surface.voxel,
            "seconds": {**workspace.seconds, "open": time.perf_counter() - started},
            "left_out": [{"name": one.name, "reason": one.reason} for one in workspace.unreadable],
            "notes": budget.notes(),
        }
        return result, {
            "positions": packed(surface.vertices.astype(np.float32)),
            "normals": packed(surface.normals.astype(np.float32)),
            "faces": packed(surface.faces.astype(np.int32)),
            "colors": packed(surface.colors.astype(np.uint8)),
            "poses": packed(workspace.poses.astype(np.float32)),
        }

    def _on_capture(self, capture: Capture, params: dict, workspace: Workspace) -> None:
        """Tell what was read. ``image`` is where Blender finds a picture; empty where it must ask for `picture`."""
        pictures = self._elsewhere.known_pictures if params.get("remote") else picture_file
        frames = [
            {
                "name": frame.name,
                "image": str(pictures(capture, frame, self._cache)),
                "width": frame.intrinsics.width,
                "height": frame.intrinsics.height,
                "fx": frame.intrinsics.fx,
                "fy": frame.intrinsics.fy,
                "cx": frame.intrinsics.cx,
                "cy": frame.intrinsics.cy,
                "camera_to_scene": capture.camera_to_scene(frame).ravel().tolist(),
            }
            for frame in capture.frames
        ]
        data = {
            "id": capture.fingerprint,
            "name": capture.name,
            "format": capture.format,
            "path": str(capture.root),
            "frames": frames,
            "left_out": [{"name": one.name, "reason": one.reason} for one in capture.left_out],
            "notes": list(capture.notes),
            "scene_from_world": capture.scene_from_world.ravel().tolist(),
            "scale": workspace.scale,
        }
        self._emit("capture", self._elsewhere.said(data), {})

    def _on_status(self, status: Status) -> None:
        self._emit("status", status.as_dict(), {})

    def _on_labels(self, labelling: Labelling) -> None:
        self._emit("labels", *_answer(labelling))

    def _on_problem(self, problem: UserError) -> None:
        self._emit("problem", {"code": problem.code, "sentence": problem.sentence, "detail": problem.detail}, {})

    def _document(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        document = protocol.checked_document(params.get("document"))
        return _answer(self._opened().label(document, progress))

    def _pick(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        frame, u, v = _text(params, "frame"), _number(params, "u"), _number(params, "v")
        return {"point": [float(c) for c in self._opened().pick(frame, u, v)]}, {}

    def _uncertainty(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        unsure = self._opened().uncertainty(_measure(params), _level(params), progress)
        return {}, {"uncertainty": packed(_bytes(unsure))}

    def _ask(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        query = Query(
            measure=_measure(params),
            top=min(max(_number(params, "top") / 100, 0.0), 1.0),
            seed=abs(int(_number(params, "seed"))),
            level=_level(params),
            skipped=_points(params, "skipped"),
        )
        question = self._opened().ask(query, progress)
        return {
            "frame": question.spot.frame,
            "u": question.spot.u,
            "v": question.spot.v,
            "point": [float(c) for c in question.point],
            "choices": [{"uid": uid, "probability": probability} for uid, probability in question.choices],
        }, {}

    def _effects(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        return {"effects": {str(mark): share for mark, share in self._opened().effects(progress).items()}}, {}

    def _keyframe(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        wanted = set(params.get("want") or ["labels"])
        view = self._opened().keyframe_view(self._opened().frame(_text(params, "frame")))
        made = {"labels": view.labels, "confidence": _bytes(view.confidence)}
        return {}, {name: packed(array) for name, array in made.items() if name in wanted}

    def _picture(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        workspace = self._opened()
        path = picture_to_send(workspace.capture, workspace.frame(_text(params, "frame")), self._cache)
        data = path.read_bytes()
        return {"suffix": path.suffix.lower()}, {"file": ("u1", (len(data),), data)}

    def _separate(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        data, arrays = separating.described(self._opened().separate(separating.options_of(params), progress))
        return data, {name: packed(array) for name, array in arrays.items()}

    def _instances(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        cloud = dataset_job.instances(self._opened(), params, progress)
        return {}, {"labels": packed(cloud.labels), "instances": packed(cloud.instances)}

    def _similar(self, params: dict, arrays: Arrays, progress: Progress) -> tuple[dict, Arrays]:
        workspace = self._opened()
        data, made = find_similar(workspace.capture, workspace.surface.voxel, params, arrays, progress)
        return data, {name: packed(array) for name, array in made.items()}

    def _dataset(self, params: dict, arrays: Arrays, progress: Progress) -> tuple[dict, Arrays]:
        """Write a data set: into ``folder``, or, for a Blender that cannot reach it, into one that is brought there."""
        return self._elsewhere.brought(
            params, lambda known: dataset_job.answer(self._opened(), known, arrays, progress)
        ), {}

    def _views(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        workspace, wanted = self._opened(), set(params.get("want") or ["labels"])
        cameras = [_camera(entry) for entry in params.get("cameras") or []]
        if sum(k.width * k.height for k, _ in cameras) > MAX_VIEW_PIXELS:
            raise UserError("views_too_large", "These views have too many pixels for one request; ask for fewer.")
        arrays: Arrays = {}
        for index, (intrinsics, matrix) in enumerate(cameras):
            progress(index / len(cameras), "Rendering views")
            view = workspace.view(intrinsics, matrix)
            made = {"labels": view.labels, "confidence": _bytes(view.confidence), "color": view.color}
            made["depth"] = view.depth.astype(np.float32)
            arrays |= {f"{index}.{name}": packed(array) for name, array in made.items() if name in wanted}
        return {"views": len(cameras)}, arrays

    def _status(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        workspace = self._workspace
        return (workspace.status if workspace else Status()).as_dict(), {}

    def _save(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        return {"bytes": self._opened().save()}, {}

    def _close(self, params: dict, progress: Progress) -> tuple[dict, Arrays]:
        self._leave()
        return {}, {}


def _answer(labelling: Labelling) -> tuple[dict, Arrays]:
    data: dict[str, Any] = {
        "revision": labelling.revision,
        "stage": labelling.stage,
        "classes": labelling.classes,
        "marks": [
            {
                "id": mark.id,
                "point": [float(c) for c in mark.points[0]] if len(mark.points) else None,
                "problem": mark.problem,
            }
            for mark in labelling.marks
        ],
        "share": {str(uid): share for uid, share in labelling.shares.items()},
        "unsettled": labelling.unsettled,
        "contradictions": [list(pair) for pair in labelling.contradictions],
        "warning": asdict(labelling.warning) if labelling.warning else None,
    }
    return data, {"labels": packed(labelling.labels), "confidence": packed(_bytes(labelling.confidence))}


def _bytes(unit: np.ndarray) -> np.ndarray:
    """Fractions 0..1 as uint8 0..255."""
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def _camera(entry: dict) -> tuple[Intrinsics, np.ndarray]:
    size = {key: int(_number(entry, key)) for key in ("width", "height")}
    lens = {key: _number(entry, key) for key in ("fx", "fy", "cx", "cy")}
    matrix = np.array(entry.get("camera_to_scene"), dtype=np.float64)
    if matrix.size != 16 or not np.isfinite(matrix).all() or min(size.values()) < 1 or min(lens["fx"], lens["fy"]) <= 0:
        raise UserError("bad_camera", "A camera needs a size, focal lengths and a 4 x 4 camera_to_scene matrix.")
    return Intrinsics(**size, **lens), matrix.reshape(4, 4)


def _import_options(params: dict) -> ImportOptions:
    return ImportOptions(**{k: v for k, v in (params.get("options") or {}).items() if v is not None})


def _store(params: dict) -> Store:
    return Store(Path(params["cache"])) if params.get("cache") else Store()


def _measure(params: dict) -> str:
    measure = params.get("measure", "entropy")
    if measure not in MEASURES:
        raise UserError("bad_request", f"There is no measure of uncertainty called {measure!r}.")
    return measure


def _level(params: dict) -> int:
    return max(int(_number({"level": 0, **params}, "level")), 0)


def _points(params: dict, key: str) -> np.ndarray:
    points = np.array(params.get(key) or np.zeros((0, 3)), np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise UserError("bad_request", f"{key!r} in the request is not a list of points.")
    return points


def _number(params: dict, key: str) -> float:
    value = params.get(key)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise UserError("bad_request", f"The request needs a number called {key!r}.")
    return value


def _text(params: dict, key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise UserError("bad_request", f"The request needs a text called {key!r}.")
    return value
