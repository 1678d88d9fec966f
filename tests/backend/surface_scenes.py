"""Captures of analytic scenes held in memory: exact depth of a ball and of a room, coloured by side."""

from pathlib import Path

import numpy as np

from backend.captures.capture import Capture, Frame, Intrinsics

BALL_CENTER, BALL_RADIUS = np.array([0.05, -0.03, 0.11]), 0.4
ROOM = np.array([1.5, 1.2, 0.9])  # half sizes
WALL_COLORS = {(0, 1): (200, 60, 60), (0, -1): (60, 200, 60), (1, 1): (60, 60, 200), (1, -1): (200, 200, 60)}
FLOOR, CEILING = (120, 120, 120), (240, 240, 240)


def looking_at(position, target) -> np.ndarray:
    """(4, 4) camera-to-scene pose, OpenCV axes."""
    forward = np.asarray(target, float) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0] if abs(forward[2]) < 0.95 else [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = position
    return pose


def capture_of(images, name="analytic") -> Capture:
    """A capture of (camera, pose, colour (H, W, 3), depth (H, W)) tuples; a value may be a callable that loads it."""

    def loader(value):
        return value if callable(value) else lambda: value

    frames = [
        Frame(f"{i:03d}", Path("none"), camera, camera, pose, loader(color), loader(depth))
        for i, (camera, pose, color, depth) in enumerate(images)
    ]
    return Capture(name, "memory", Path("."), tuple(frames), np.eye(4))


def directions(camera: Intrinsics, pose: np.ndarray) -> np.ndarray:
    """(H, W, 3) scene directions with unit z in the camera."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return camera.unproject(np.stack([u, v], -1).astype(float), np.ones(u.shape)) @ pose[:3, :3].T


def see_ball(camera: Intrinsics, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour (red where x is above the centre, else blue) and depth of the ball; nothing around it."""
    ray, offset = directions(camera, pose), pose[:3, 3] - BALL_CENTER
    a, b, c = (ray * ray).sum(-1), ray @ offset, offset @ offset - BALL_RADIUS**2
    inside = b * b - a * c
    depth = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, 0.0)
    x = (pose[:3, 3] + ray * depth[..., None])[..., 0]
    color = np.where((x > BALL_CENTER[0])[..., None], [220, 40, 40], [40, 40, 220])
    return np.where(depth[..., None] > 0, color, 128).astype(np.uint8), depth.astype(np.float32)


def ball_capture(views: int = 24, size: int = 160, distance: float = 1.2) -> Capture:
    """The ball from all round (Fibonacci directions)."""
    camera = Intrinsics(size, size * 3 // 4, size * 1.0, size * 1.0, size / 2 - 0.3, size * 3 / 8 - 0.6)
    number = np.arange(views) + 0.5
    z, angle = 1 - 2 * number / views, np.pi * (1 + 5**0.5) * number
    around = np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], 1)
    poses = [looking_at(BALL_CENTER + distance * d, BALL_CENTER) for d in around]
    return capture_of([(camera, pose, *see_ball(camera, pose)) for pose in poses], "ball")


def see_room(camera: Intrinsics, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour (by wall) and depth of the box room from inside."""
    ray = directions(camera, pose)
    with np.errstate(divide="ignore", invalid="ignore"):
        depths = np.where(ray == 0, np.inf, (np.sign(ray) * ROOM - pose[:3, 3]) / ray)
    axis = depths.argmin(-1)
    depth = depths.min(-1)
    side = np.sign(np.take_along_axis(ray, axis[..., None], -1)[..., 0])
    color = np.zeros((*depth.shape, 3), np.uint8)
    for (which, sign), value in {**WALL_COLORS, (2, -1): FLOOR, (2, 1): CEILING}.items():
        color[(axis == which) & (side == sign)] = value
    return color, depth.astype(np.float32)


def room_capture(turns: int = 10, size: int = 120) -> Capture:
    """The room from near its middle: level, up and down all round."""
    camera = Intrinsics(size, size * 3 // 4, size * 0.55, size * 0.55, size / 2 - 0.5, size * 3 / 8 - 0.5)
    images = []
    for turn in range(turns):
        angle = 2 * np.pi * turn / turns
        for rise in (-0.9, 0.0, 0.9):
            position = 0.2 * np.array([np.cos(2 * angle), np.sin(3 * angle), 0.5 * rise])
            pose = looking_at(position, position + np.array([np.cos(angle), np.sin(angle), rise]))
            images.append((camera, pose, *see_room(camera, pose)))
    return capture_of(images, "room")
