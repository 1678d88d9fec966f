"""The path of the handheld camera and its pinhole model."""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Matrix, Vector
from scipy.interpolate import CubicSpline

WIDTH, HEIGHT = 320, 240
FOCAL = 286.0  # pixels, both directions
CENTER = (161.4, 118.7)  # principal point in corner-origin pixels, a little off the middle

# (eye, looked-at point) that the walk passes: in from the window side, around the seats, back along the far side
WALK = (
    ((0.75, -4.30, 1.55), (1.75, -0.70, 0.75)),
    ((1.75, -4.45, 1.30), (1.75, -0.70, 0.65)),
    ((2.90, -4.35, 1.62), (1.85, -0.80, 0.60)),
    ((3.95, -3.95, 1.45), (1.60, -0.90, 0.65)),
    ((4.25, -2.95, 1.70), (1.20, -1.40, 0.60)),
    ((4.20, -1.55, 1.60), (0.90, -1.90, 0.45)),
    ((3.55, -1.25, 1.75), (1.30, -2.20, 0.15)),
    ((2.55, -2.95, 1.25), (3.80, -0.30, 0.85)),
    ((1.95, -2.70, 1.60), (3.55, -0.55, 0.55)),
    ((1.55, -2.95, 1.45), (0.55, -0.70, 0.85)),
    ((0.55, -3.10, 1.60), (2.40, -1.10, 0.45)),
    ((0.45, -1.30, 1.68), (3.20, -1.75, 0.30)),
    ((1.25, -1.20, 1.55), (3.60, -2.00, 0.20)),
    ((2.45, -3.45, 0.95), (2.30, -0.60, 0.60)),
)


def poses(count: int, seed: int = 2) -> list[np.ndarray]:
    """``count`` camera-to-world matrices (4, 4), OpenGL axes, along the walk with the sway of a hand."""
    rng = np.random.default_rng(seed)
    knots = np.arange(len(WALK))
    eyes = CubicSpline(knots, np.array([eye for eye, _ in WALK]))
    targets = CubicSpline(knots, np.array([target for _, target in WALK]))
    result = []
    for t in np.linspace(0, len(WALK) - 1, count):
        eye, target = eyes(t) + rng.normal(0, 0.02, 3), targets(t) + rng.normal(0, 0.05, 3)
        result.append(looking(eye, target, rng.normal(0, 1.5)))
    return result


def looking(eye, target, roll: float = 0.0) -> np.ndarray:
    """(4, 4) camera-to-world, OpenGL axes, at ``eye`` towards ``target``, turned by ``roll`` degrees about its axis."""
    turn = Vector(np.subtract(target, eye)).to_track_quat("-Z", "Y").to_matrix()
    u, _, vt = np.linalg.svd(np.array(turn @ Matrix.Rotation(math.radians(roll), 3, "Z"), np.float64))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = u @ vt, eye
    return matrix.round(7)


def blender_camera(width: int = WIDTH, height: int = HEIGHT, scale: float = 1.0) -> bpy.types.Object:
    """A camera object with exactly the pinhole model above, made the scene's camera."""
    data = bpy.data.cameras.new("Camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
    data.lens = 36.0 * FOCAL * scale / width
    data.shift_x = (width / 2 - CENTER[0] * scale) / width
    data.shift_y = (CENTER[1] * scale - height / 2) / width
    camera = bpy.data.objects.new("Camera", data)
    scene = bpy.context.scene
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    return camera
