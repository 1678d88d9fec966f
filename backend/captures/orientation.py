"""Which way is up: the transform from a capture's own world to the scene (metres, Z up)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from backend.captures.capture import Frame
from backend.captures.plausibility import Probe

AXES = {
    "+x": np.array([1.0, 0.0, 0.0]),
    "-x": np.array([-1.0, 0.0, 0.0]),
    "+y": np.array([0.0, 1.0, 0.0]),
    "-y": np.array([0.0, -1.0, 0.0]),
    "+z": np.array([0.0, 0.0, 1.0]),
    "-z": np.array([0.0, 0.0, -1.0]),
}
# Proper rotations that take each axis to +Z; "+y" is (x, y, z) -> (x, -z, y).
ROTATIONS = {
    "+x": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    "-x": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]),
    "+y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "-y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "+z": np.eye(3),
    "-z": np.diag([1.0, -1.0, -1.0]),
}
CONVENTION_HOLDS = np.cos(np.radians(60))  # mean camera up within this of the format's axis: nothing to doubt
DECISIVE = np.cos(np.radians(35))
CONE = np.cos(np.radians(40))  # plane normals considered around the mean camera up
HELD_LEVEL = np.cos(np.radians(15))
SNAP = np.cos(np.radians(1.5))
WINDOW = 11  # pixels of a reduced depth image that a small plane is fitted to
FLAT = 0.2  # thickness over width (variances) of what counts as a plane
MIN_PATCHES, HYPOTHESES = 50, 200
FAR_AWAY = 1000.0  # metres from the origin beyond which float32 loses millimetres


def scene_from_world(frames: list[Frame], convention: str | None, wanted: str, probe: Probe) -> tuple[np.ndarray, str]:
    """The (4, 4) transform and a sentence that says how up was decided.

    Args:
        frames: keyframes.
        convention: the signed axis that the format promises to be up, None when it promises nothing.
        wanted: the person's choice, "auto" or a signed axis.
        probe: depth images for finding floors.
    """
    rotation, note = _rotation(frames, convention, wanted, probe)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    center = np.median([frame.camera_to_world[:3, 3] for frame in frames], axis=0)
    if np.linalg.norm(center) > FAR_AWAY:
        matrix[:3, 3] = -rotation @ center
        note += " The capture lies far from its origin and was moved to the middle of its cameras."
    return matrix, note


def _rotation(frames: list[Frame], convention: str | None, wanted: str, probe: Probe) -> tuple[np.ndarray, str]:
    if wanted != "auto":
        return ROTATIONS[wanted], f"Up is {_name(wanted)}, as chosen."
    mean = -np.mean([frame.camera_to_world[:3, 1] for frame in frames], axis=0)
    length = np.linalg.norm(mean)
    mean = mean / length if length > 1e-6 else np.zeros(3)
    if convention and (length < 0.2 or mean @ AXES[convention] > CONVENTION_HOLDS):
        return ROTATIONS[convention], f"Up is {_name(convention)}, as this format has it."
    nearest = max(AXES, key=lambda axis: float(AXES[axis] @ mean))
    if convention and AXES[nearest] @ mean > DECISIVE:
        usual = f"this format usually has {_name(convention)} up"
        return ROTATIONS[nearest], f"Up is {_name(nearest)}, because the cameras stand that way ({usual})."
    if length < 0.2:
        return ROTATIONS["-y"], "Up could not be told from the cameras; -Y was taken, choose the up axis by hand."
    up, support = refine(mean, probe)
    nearest = max(AXES, key=lambda axis: float(AXES[axis] @ up))
    how = "from level surfaces in the depth images" if support else "from how the cameras were held"
    # A world that is the first camera's own is tilted as that was held; any other one is likely to have an axis up.
    own = np.trace(frames[0].camera_to_world[:3, :3]) > 3 - 1e-6
    if AXES[nearest] @ up > (SNAP if support or own else HELD_LEVEL):
        return ROTATIONS[nearest], f"Up is {_name(nearest)}, found {how}."
    return _tilt(ROTATIONS[nearest] @ up) @ ROTATIONS[nearest], f"The capture was levelled: up was found {how}."


def _name(axis: str) -> str:
    return axis[0] + axis[1].upper()


def _tilt(up: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes the unit vector ``up`` (not pointing down) to +Z (Rodrigues)."""
    x, y, z = up
    k = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    return np.eye(3) + k + k @ k / (1.0 + z)


def refine(up: np.ndarray, probe: Probe) -> tuple[np.ndarray, bool]:
    """Gravity from the largest surface that is roughly level: a floor, a table or a ceiling.

    Args:
        up: (3,) unit vector in the world, a first guess.

    Returns:
        The normal of the plane that most points within 40 degrees of level lie on, turned upwards, and True; or the
        guess and False where no such plane is seen.
    """
    found = [level_patches(probe, index, up) for index in probe.raw]
    points = np.concatenate([patch[0] for patch in found] or [np.zeros((0, 3))])
    normals = np.concatenate([patch[1] for patch in found] or [np.zeros((0, 3))])
    total = sum(patch[2] for patch in found)
    if len(points) < max(MIN_PATCHES, 0.02 * total):
        return up, False
    few = points[:: max(1, len(points) // 3000)]
    tries = np.arange(0, len(points), max(1, len(points) // HYPOTHESES))
    offsets = np.abs(np.einsum("tc,ptc->pt", normals[tries], few[:, None] - points[tries]))
    best = tries[int(np.argmax((offsets < 0.04).sum(axis=0)))]
    center, normal = points[best], normals[best]
    # Each fit straightens the plane and so reaches points further away.
    for reach in (0.06, 0.06, 0.05, 0.04, 0.03, 0.03):
        near = points[np.abs((points - center) @ normal) < reach]
        if len(near) < MIN_PATCHES:
            return up, False
        center = near.mean(axis=0)
        normal = np.linalg.eigh((near - center).T @ (near - center))[1][:, 0]
        normal = normal if normal @ up > 0 else -normal
    return (normal, True) if normal @ up > CONE else (up, False)


def level_patches(probe: Probe, index: int, up: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Small planes in one reduced depth image that are within 40 degrees of level.

    Returns:
        World points (N, 3), unit normals (N, 3) on the side of ``up``, and how many planes there are of any slope.
    """
    points = probe.points(index, probe.encoding)
    measured = points[..., 2] > 0
    offset = points[measured].mean(axis=0) if measured.any() else np.zeros(3)
    local = np.where(measured[..., None], points - offset, 0.0)
    share = uniform_filter(measured.astype(np.float64), WINDOW, mode="constant")
    full = measured & (share > 0.7)
    # Windows overlap by far; every second row and column say the same.
    full[::2] = False
    full[:, ::2] = False
    if not full.any():
        return np.zeros((0, 3)), np.zeros((0, 3)), 0
    weight = share[full][:, None]
    means = uniform_filter(local, (WINDOW, WINDOW, 0), mode="constant")[full] / weight
    products = uniform_filter(local[..., :, None] * local[..., None, :], (WINDOW, WINDOW, 0, 0), mode="constant")[full]
    spread = products / weight[..., None] - means[:, :, None] * means[:, None, :]
    sizes, axes = np.linalg.eigh(spread)
    flat = sizes[:, 0] < FLAT * sizes[:, 1]
    pose = probe.frames[index].camera_to_world
    normals = axes[flat, :, 0] @ pose[:3, :3].T
    normals = normals * np.where(normals @ up < 0, -1.0, 1.0)[:, None]
    level = normals @ up > CONE
    world = (means[flat] + offset) @ pose[:3, :3].T + pose[:3, 3]
    return world[level], normals[level], int(flat.sum())
