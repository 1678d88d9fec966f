"""What of a scene outlives the process: its surface, its superpoints and its settled field, by content."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np

from . import budget
from .captures.capture import Capture
from .store import Store, key_of
from .surface.prior import shipped
from .surface.surface import Superpoints, Surface

log = logging.getLogger("clickfield.cache")
LAYOUT = 3  # raised whenever fusion, superpoints or the field change what they make


class SceneCache:
    """The cache entries of one capture with one choice of keyframes; without a store it keeps nothing."""

    def __init__(self, store: Store | None, capture: Capture):
        cameras = b"".join(np.ascontiguousarray(capture.camera_to_scene(f), np.float64) for f in capture.frames)
        names = [frame.name for frame in capture.frames]
        self._store = store
        prior = shipped()
        self._key = [LAYOUT, capture.fingerprint, names, hashlib.sha256(cameras).hexdigest()]
        self._key.append(prior.digest if prior else "no prior")
        if budget.current().share < 1:  # what a small budget has made coarser is not for a larger one
            self._key.append(["budget", budget.current().share])
        self._arrays: dict[str, np.ndarray] | None = None
        if store is not None:
            self._arrays = store.get_arrays(key_of(*self._key, "scene"))
            if self._arrays is not None and not _possible(self._arrays):
                log.warning("The cached scene was not made by Clickfield; it is made again")
                self._arrays = None

    def surface(self) -> Surface | None:
        """The fused surface, or None."""
        if self._arrays is None:
            return None
        part = {name: self._arrays[name] for name in ("vertices", "faces", "normals", "colors")}
        return Surface(**part, voxel=float(self._arrays["voxel"][0]))

    def superpoints(self) -> Superpoints | None:
        """The surface's superpoints, or None."""
        if self._arrays is None:
            return None
        names = Superpoints.__dataclass_fields__
        return Superpoints(**{name: self._arrays["superpoints." + name] for name in names})

    def keep(self, surface: Surface, superpoints: Superpoints) -> None:
        """Store both. Raises UserError when the cache cannot be written."""
        if self._store is None:
            return
        arrays = {name: getattr(surface, name) for name in ("vertices", "faces", "normals", "colors")}
        arrays["voxel"] = np.array([surface.voxel])
        arrays |= {"superpoints." + name: getattr(superpoints, name) for name in Superpoints.__dataclass_fields__}
        self._store.put_arrays(key_of(*self._key, "scene"), arrays)

    @property
    def field_stem(self) -> Path | None:
        """Where the settled field of this scene lies, path without suffix."""
        if self._store is None:
            return None
        key = key_of(*self._key, "field")
        return self._store.root / key[:2] / f"{key}-field"


def _possible(arrays: dict[str, np.ndarray]) -> bool:
    """Whether arrays can be a surface and its superpoints: their digest says only that nobody changed them since.

    Every index must be inside of what it points into, and every number finite, before any of it is used.
    """
    try:
        vertices, faces, ids = arrays["vertices"], arrays["faces"], arrays["superpoints.ids"]
        of = {name: arrays["superpoints." + name] for name in Superpoints.__dataclass_fields__}
        count, pieces = len(vertices), len(of["sizes"])
        fits = (
            all(arrays[name].shape == (count, 3) for name in ("vertices", "normals", "colors"))
            and (vertices.dtype, faces.dtype, arrays["colors"].dtype) == (np.float32, np.int32, np.uint8)
            and faces.shape == (len(faces), 3)
            and ids.shape == (count,)
            and arrays["voxel"].shape == (1,)
            and 0 < float(arrays["voxel"][0]) < np.inf
            and all(len(of[name]) == pieces for name in ("centers", "features", "embedding", "objects"))
            and of["edges"].shape == (len(of["weights"]), 2)
        )
        inside = fits and all(
            values.dtype.kind in "iu" and (not values.size or (values.min() >= 0 and values.max() < most))
            for values, most in ((faces, count), (ids, pieces), (of["edges"], pieces), (of["objects"], pieces))
        )
        return inside and all(np.isfinite(values).all() for values in arrays.values())
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
