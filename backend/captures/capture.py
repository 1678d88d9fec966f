"""What every reader produces: frames with cameras, colour and depth.

Frames of reference
    world   the capture's own coordinates, as its files say them.
    scene   metres, right-handed, Z up: ``Capture.scene_from_world`` maps world to scene. Everything after the
            readers (surface, field, labels, objects, Blender) works in scene coordinates.
    camera  OpenCV axes: X right, Y down, looking along +Z.
    pixel   (u, v) = (column, row); the centre of the top left pixel is (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion; focal lengths and principal point in pixels, centre-origin."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def matrix(self) -> np.ndarray:
        """The (3, 3) float64 camera matrix K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> Intrinsics:
        """The same field of view sampled with another number of pixels."""
        sx, sy = width / self.width, height / self.height
        return Intrinsics(
            width, height, self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        )

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera points (..., 3) in metres to pixels (..., 2)."""
        xy = points[..., :2] / points[..., 2:3]
        return xy * np.array([self.fx, self.fy]) + np.array([self.cx, self.cy])

    def unproject(self, uv: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) with z-depth (...) in metres to camera points (..., 3)."""
        xy = (uv - np.array([self.cx, self.cy])) / np.array([self.fx, self.fy])
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1) * np.asarray(z)[..., None]


@dataclass(frozen=True)
class Frame:
    """One keyframe: where its images are and where its camera stood.

    ``color_path`` is the file itself when it can be shown as it is; where the picture was undistorted or turned, it is
    the original and ``undistorted`` is set, so that whoever shows the picture writes ``color()`` to a file first.
    """

    name: str  # file stem, unique within the capture
    color_path: Path
    intrinsics: Intrinsics  # of color()
    depth_intrinsics: Intrinsics  # of depth(); same camera centre and axes
    camera_to_world: np.ndarray  # (4, 4) float64, camera (OpenCV axes) to the capture's own world
    load_color: Callable[[], np.ndarray] = field(repr=False, compare=False)
    load_depth: Callable[[], np.ndarray] = field(repr=False, compare=False)
    undistorted: bool = False
    timestamp: float | None = None  # seconds
    load_labels: Callable[[], np.ndarray] | None = field(default=None, repr=False, compare=False)
    load_instances: Callable[[], np.ndarray] | None = field(default=None, repr=False, compare=False)

    def color(self) -> np.ndarray:
        """(height, width, 3) uint8 sRGB. Raises UserError when the file cannot be read."""
        return self.load_color()

    def depth(self) -> np.ndarray:
        """(height, width) float32 z-depth in scene metres, 0 where nothing was measured. Raises UserError."""
        return self.load_depth()

    def labels(self) -> np.ndarray | None:
        """(height, width) int32 true label ids of color()'s pixels; None without ground truth. Raises UserError."""
        return self.load_labels() if self.load_labels else None

    def instances(self) -> np.ndarray | None:
        """(height, width) int32 true instance ids of color()'s pixels; None without them. Raises UserError."""
        return self.load_instances() if self.load_instances else None


@dataclass(frozen=True)
class LeftOut:
    """A frame that the capture names but that cannot be used."""

    name: str
    reason: str  # one clause, for example "its depth image is missing"


@dataclass(frozen=True)
class Capture:
    """A posed RGB-D recording."""

    name: str
    format: str  # as a person would call it, for example "nerfstudio transforms.json"
    root: Path
    frames: tuple[Frame, ...]
    scene_from_world: np.ndarray  # (4, 4) float64 similarity
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()  # sentences that the person should read
    depth_unit: float = 1e-3  # metres of one step of the stored depth values
    classes: dict[int, str] = field(default_factory=dict)  # names of the ids in the frames' true labels
    fingerprint: str = ""  # stable id of the content: hash of names, sizes and cameras

    def to_scene(self, camera_to_world: np.ndarray) -> np.ndarray:
        """A (4, 4) camera-to-world matrix as a rigid transform from the camera to scene metres."""
        matrix = self.scene_from_world @ camera_to_world
        matrix[:3, :3] /= np.cbrt(np.linalg.det(self.scene_from_world[:3, :3]))
        return matrix

    def camera_to_scene(self, frame: Frame) -> np.ndarray:
        """(4, 4) float64 rigid transform, camera (OpenCV axes) to scene metres."""
        return self.to_scene(frame.camera_to_world)

    def with_poses(self, camera_to_scene: Mapping[str, np.ndarray]) -> Capture:
        """The capture with other poses (4, 4), rigid, camera (OpenCV axes) to scene metres, for the frames named."""
        back = np.linalg.inv(self.scene_from_world)
        scale = np.cbrt(np.linalg.det(self.scene_from_world[:3, :3]))
        posed = {name: back @ pose @ np.diag([scale, scale, scale, 1.0]) for name, pose in camera_to_scene.items()}
        frames = (replace(f, camera_to_world=posed[f.name]) if f.name in posed else f for f in self.frames)
        return replace(self, frames=tuple(frames))

    def frame(self, name: str) -> Frame:
        """The frame of that name. Raises KeyError."""
        for candidate in self.frames:
            if candidate.name == name:
                return candidate
        raise KeyError(name)
