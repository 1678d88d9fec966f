"""The request `similar`: which of the given objects are the same thing standing in several places.

Request ``params``::

    {"objects": [{"name": str, "label": int, "matrix": [16]}, ...]}

``matrix`` is row-major and takes the object's own axes (those of its mesh: origin at the foot, Z up) to scene metres;
it turns about +Z and moves, nothing else. Only objects of one label are compared. Request ``arrays``, for object i::

    o{i}.positions (n, 3) f4 metres, own axes    o{i}.faces (m, 3) i4
    o{i}.observed  (n,) u1 0..255                o{i}.colors (n, 3) u1 sRGB

The answer's data::

    {"groups": [{"members": [i, ...], "transforms": [[16], ...], "rmse": [m, ...], "inliers": [0..1, ...],
                 "violation": [0..1, ...], "report": {...}}, ...],
     "unsure": [{"members": [i, j], "rmse": m, "inliers": 0..1, "violation": 0..1, "tinted": bool}, ...],
     "notes": [sentence, ...]}

A group has at least two members; the first is the one that cameras saw most of, and its own axes are the group's.
``transforms[k]`` (row-major) takes the group's axes to the scene place of member k; that of the first is its own
matrix. ``rmse``, ``inliers`` and ``violation`` compare member k with the first (zeros and ones for itself): root mean
square distance of the points that meet, the share of the seen points that meet, and the share of either one's seen
points that would stand in space which cameras saw empty around the other, or below its foot. ``unsure`` are pairs that
only a person can decide, ``tinted`` if they have other colours. The answer's ``arrays``, for group g, are one mesh of
what cameras saw of all its members::

    g{g}.positions (n, 3) f4 metres, the group's axes    g{g}.faces (m, 3) i4
    g{g}.observed  (n,) u1                               g{g}.colors (n, 3) u1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .captures.capture import Capture
from .errors import UserError
from .objects.similar import TINTED, Candidate, Emptiness, Match, Seen, match
from .objects.union import fused
from .objects.validity import report_on
from .progress import Progress, part
from .separating import reported

MOST_OBJECTS = 500
Arrays = Mapping[str, Any]


def find_similar(
    capture: Capture, voxel: float, params: dict[str, Any], arrays: Arrays, progress: Progress
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Answer the request.

    Args:
        capture: the open one. voxel: metres of its scan.
        arrays: name to (dtype, shape, bytes), as requests carry them.

    Raises:
        UserError: something is wrong with the request, the scene has no keyframes, or a depth image cannot be read.
            Cancelled by progress.
    """
    objects = _candidates(params, arrays)
    if not capture.frames:
        raise UserError("no_frames", "Finding similar things needs the depth images of a capture; this scene has none.")
    emptiness = Emptiness(capture, voxel, part(progress, 0.0, 0.2))
    seen = [Seen(made, emptiness) for made in objects]
    names = [str(entry.get("name") or f"object {index}") for index, entry in enumerate(params["objects"])]
    groups, unsure = _groups(objects, seen, emptiness, names, part(progress, 0.2, 0.8))
    notes = [f"Nothing was seen of {name}." for name, one in zip(names, seen, strict=True) if not len(one.points)]
    made: dict[str, np.ndarray] = {}
    described = [_described(objects, first, found) for first, found in groups]
    for number, (first, found) in enumerate(groups):
        progress(0.8 + 0.2 * number / len(groups), f"Joining what was seen of {names[first]}")
        rough = [other for other, fit in found.items() if fit.rmse >= voxel]
        notes += [f"{names[other]} fits {names[first]} too roughly to add to its mesh." for other in rough]
        moves = {first: np.eye(4)} | {o: np.linalg.inv(fit.move) for o, fit in found.items() if o not in rough}
        union = fused([objects[index] for index in moves], list(moves.values()), voxel)
        made |= {
            f"g{number}.positions": union.vertices.astype(np.float32),
            f"g{number}.faces": union.faces.astype(np.int32),
            f"g{number}.observed": union.observed,
            f"g{number}.colors": union.colors,
        }
        report = report_on(union.vertices, union.faces, union.observed / 255.0, 0.0, 0.0)
        described[number]["report"] = reported(report)
    return {"groups": described, "unsure": unsure, "notes": notes}, made


def _groups(
    objects: list[Candidate], seen: list[Seen], emptiness: Emptiness, names: list[str], progress: Progress
) -> tuple[list[tuple[int, dict[int, Match]]], list[dict[str, Any]]]:
    """The first of each group and how the others fit it; and the pairs that only a person can decide."""
    groups: list[tuple[int, dict[int, Match]]] = []
    unsure: list[dict[str, Any]] = []
    waiting = sorted(range(len(objects)), key=lambda index: (-seen[index].area, index))
    while waiting:
        first, *rest = waiting
        found: dict[int, Match] = {}
        for other in rest:
            if objects[other].label != objects[first].label:
                continue
            progress(1 - len(waiting) / len(objects), f"Comparing {names[first]} with {names[other]}")
            fit = match(seen[first], seen[other], emptiness)
            if fit is not None and fit.same:
                found[other] = fit
            elif fit is not None and fit.unsure:
                unsure.append({"members": [first, other], "tinted": fit.tint >= TINTED, **_figures(fit)})
        waiting = [index for index in rest if index not in found]
        if found:
            groups.append((first, found))
    return groups, unsure


def _figures(fit: Match) -> dict[str, float]:
    return {"rmse": fit.rmse, "inliers": fit.inliers, "violation": fit.violation}


def _described(objects: list[Candidate], first: int, found: dict[int, Match]) -> dict[str, Any]:
    fits = list(found.values())
    places = [objects[first].matrix, *(objects[other].matrix @ fit.move for other, fit in found.items())]
    return {
        "members": [first, *found],
        "transforms": [place.ravel().tolist() for place in places],
        "rmse": [0.0, *(fit.rmse for fit in fits)],
        "inliers": [1.0, *(fit.inliers for fit in fits)],
        "violation": [0.0, *(fit.violation for fit in fits)],
    }


def _candidates(params: dict[str, Any], arrays: Arrays) -> list[Candidate]:
    """The objects in a request. Raises UserError when one is not as it should be."""
    entries = params.get("objects")
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_OBJECTS:
        raise UserError("bad_request", f"'objects' in the request is not a list of 1 to {MOST_OBJECTS} objects.")
    return [_candidate(index, entry, arrays) for index, entry in enumerate(entries)]


def _candidate(index: int, entry: Any, arrays: Arrays) -> Candidate:
    wrong = UserError("bad_request", f"Object {index} of the request has no mesh, label and matrix that fit together.")
    try:
        vertices = _array(arrays, f"o{index}.positions", np.float32, 3)
        faces = _array(arrays, f"o{index}.faces", np.int32, 3)
        colors = _array(arrays, f"o{index}.colors", np.uint8, 3)
        observed = _array(arrays, f"o{index}.observed", np.uint8, None)
        matrix = np.array(entry["matrix"], np.float64).reshape(4, 4)
        label = int(entry["label"])
    except (KeyError, TypeError, ValueError) as error:
        raise wrong from error
    fits = len(colors) == len(observed) == len(vertices) and len(faces) and np.isfinite(vertices).all()
    upright = np.isfinite(matrix).all() and np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-3)
    if not fits or not upright or faces.min() < 0 or faces.max() >= len(vertices):
        raise wrong
    return Candidate(vertices.astype(np.float64), faces.astype(np.int64), observed, colors, label, matrix)


def _array(arrays: Arrays, name: str, kind: type, columns: int | None) -> np.ndarray:
    dtype, shape, data = arrays[name]
    if dtype != f"{np.dtype(kind).kind}{np.dtype(kind).itemsize}" or (columns and tuple(shape[1:]) != (columns,)):
        raise ValueError(name)
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(shape).astype(kind)
