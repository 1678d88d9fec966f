"""What of a scene outlives the process: its surface, its superpoints and its settled field, by content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from .captures.capture import Capture
from .store import Store, key_of
from .surface.prior import shipped
from .surface.surface import Superpoints, Surface

LAYOUT = 2  # raised whenever fusion, superpoints or the field change what they make


class SceneCache:
    """The cache entries of one capture with one choice of keyframes; without a store it keeps nothing."""

    def __init__(self, store: Store | None, capture: Capture):
        cameras = b"".join(np.ascontiguousarray(capture.camera_to_scene(f), np.float64) for f in capture.frames)
        names = [frame.name for frame in capture.frames]
        self._store = store
        prior = shipped()
        self._key = [LAYOUT, capture.fingerprint, names, hashlib.sha256(cameras).hexdigest()]
        self._key.append(prior.digest if prior else "no prior")
        self._arrays: dict[str, np.ndarray] | None = None
        if store is not None:
            self._arrays = store.get_arrays(key_of(*self._key, "scene"))

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
