"""An analytic room with exact depth, and writers that store views of it in each capture format.

The room is a box seen from inside, Z up, with six differently coloured walls and a few coloured boxes on its floor.
Everything is written from the formats' own descriptions, never with the readers' code, so that a reader can be tested
against it. Pixels are centre-origin throughout; cameras have OpenCV axes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
# Label ids: 1..6 the walls -x +x -y +y floor ceiling, 7.. the boxes.
WALL_COLORS = ((200, 60, 60), (60, 200, 60), (60, 60, 200), (210, 200, 60), (150, 120, 90), (225, 225, 230))


@dataclass(frozen=True)
class Box:
    """A solid box given by two corners, in metres."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Room:
    """Half extents of the room around the origin, in metres, and what stands in it."""

    half: tuple[float, float, float] = (2.0, 1.6, 1.25)
    boxes: tuple[Box, ...] = (
        Box((0.9, 0.2, -1.25), (1.6, 1.1, -0.6), (230, 120, 30)),
        Box((-1.7, 0.6, -1.25), (-1.1, 1.3, -0.2), (120, 40, 160)),
        Box((0.3, -1.3, -1.25), (1.2, -0.8, -0.85), (40, 170, 180)),
    )


@dataclass(frozen=True)
class Camera:
    """A pinhole, centre-origin pixels; ``distortion`` is k1, k2, p1, p2, k3 of OpenCV's model."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def resized(self, width: int, height: int) -> Camera:
        """The same view with another number of pixels."""
        sx, sy = width / self.width, height / self.height
        cx, cy = (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        return Camera(width, height, self.fx * sx, self.fy * sy, cx, cy, self.distortion)

    def matrix(self) -> np.ndarray:
        """(3, 3) camera matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])


# Asymmetric on purpose: no square, fx != fy, principal point off the middle.
CAMERA = Camera(96, 72, 71.0, 68.0, 50.5, 33.0)


@dataclass(frozen=True)
class Shot:
    """One view of the room with its truth."""

    name: str
    color: np.ndarray  # (H, W, 3) uint8
    depth: np.ndarray  # (h, w) float64 z-depth in metres
    labels: np.ndarray  # (H, W) uint8
    camera: Camera
    depth_camera: Camera
    camera_to_world: np.ndarray  # (4, 4)


def render(camera: Camera, camera_to_world: np.ndarray, room: Room) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour (H, W, 3) uint8, z-depth (H, W) float64 metres and labels (H, W) uint8 of the room."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x, y = _undistorted((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, camera.distortion)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ camera_to_world[:3, :3].T
    origin, half = camera_to_world[:3, 3], np.array(room.half)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_walls = np.where(rays > 0, (half - origin) / rays, (-half - origin) / rays)
        to_walls[rays == 0] = np.inf
        axis = to_walls.argmin(-1)
        depth = to_walls.min(-1)
        side = np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0
        labels = (2 * axis + side + 1).astype(np.uint8)
        for index, box in enumerate(room.boxes):
            slabs = np.stack([(np.array(box.low) - origin) / rays, (np.array(box.high) - origin) / rays])
            near, far = slabs.min(0).max(-1), slabs.max(0).min(-1)
            hit = (near <= far) & (near > 0) & (near < depth)
            depth = np.where(hit, near, depth)
            labels[hit] = 7 + index
    colors = np.array([(0, 0, 0), *WALL_COLORS, *(box.color for box in room.boxes)], np.uint8)
    return colors[labels], depth, labels


def _undistorted(xd: np.ndarray, yd: np.ndarray, distortion: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    if not distortion:
        return xd, yd
    k1, k2, p1, p2, k3 = distortion
    x, y = xd, yd
    for _ in range(40):
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        dx, dy = 2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        x, y = 0.5 * x + 0.5 * (xd - dx) / radial, 0.5 * y + 0.5 * (yd - dy) / radial
    return x, y


def poses(n_frames: int) -> list[np.ndarray]:
    """(4, 4) camera-to-world poses on an arc through the room, looking at its middle, slightly rolled."""
    return [_pose(i, i / max(n_frames - 1, 1)) for i in range(n_frames)]


def _pose(index: int, share: float) -> np.ndarray:
    angle = np.radians(200 + 100 * share)
    eye = np.array([1.5 * np.cos(angle), 1.2 * np.sin(angle), 0.2 + 0.25 * np.sin(3 * share)])
    target = np.array([0.15 + 0.1 * np.sin(index), 0.35, -0.75])
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    roll = np.radians(4.0 + 3.0 * np.sin(2 * share))
    down = np.cross(forward, right)
    pose = np.eye(4)
    pose[:3, 0] = np.cos(roll) * right + np.sin(roll) * down
    pose[:3, 1] = np.cos(roll) * down - np.sin(roll) * right
    pose[:3, 2], pose[:3, 3] = forward, eye
    return pose


def shoot(
    n_frames: int = 8,
    camera: Camera = CAMERA,
    depth_size: tuple[int, int] | None = None,
    room: Room = Room(),
    name: Callable[[int], str] = "{:06d}".format,
) -> list[Shot]:
    """Views of the room; ``depth_size`` (width, height) when depth has another number of pixels than colour."""
    depth_camera = camera.resized(*depth_size) if depth_size else camera
    shots = []
    for index, pose in enumerate(poses(n_frames)):
        color, depth, labels = render(camera, pose, room)
        if depth_size:
            depth = render(depth_camera, pose, room)[1]
        shots.append(Shot(name(index), color, depth, labels, camera, depth_camera, pose))
    return shots


def marks_for(shots: list[Shot]) -> dict:
    """A label document with uids 10, 20, ... and one mark per label, deepest inside its largest piece in any frame."""
    best = {}
    for shot in shots:
        for label in np.unique(shot.labels):
            inside = ndimage.distance_transform_edt(np.pad(shot.labels == label, 1))[1:-1, 1:-1]
            v, u = np.unravel_index(inside.argmax(), inside.shape)
            if inside[v, u] > best.get(label, (0,))[0]:
                best[label] = (inside[v, u], shot.name, int(u), int(v))
    tree = [{"uid": int(label) * 10, "name": f"label {label}", "parent": 0, "kind": "class"} for label in best]
    marks = [{"label": int(k) * 10, "sign": 1, "frame": f, "u": u, "v": v} for k, (_, f, u, v) in best.items()]
    return {"tree": tree, "marks": marks}


def rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """(4, 4) rotation about an axis (Rodrigues)."""
    x, y, z = np.array(axis, float) / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    result = np.eye(4)
    result[:3, :3] += np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    return result


def encode_depth(metres: np.ndarray, per_metre: float) -> np.ndarray:
    """uint16 values; 0 where the value does not fit."""
    values = np.rint(metres * per_metre)
    return np.where((values > 0) & (values < 65536), values, 0).astype(np.uint16)


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG (uint8 colour or uint16 depth), making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_matrix(path: Path, matrix: np.ndarray, separator: str = " ") -> None:
    """Write a matrix as rows of text, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(separator.join(f"{v:.9e}" for v in row) for row in matrix) + "\n")


def write_transforms(folder: Path, n_frames: int = 8, per_metre: float = 1000.0, **options: object) -> list[Shot]:
    """nerfstudio: OpenGL camera-to-world, corner-origin pixels, Z up."""
    shots = shoot(n_frames, **options)
    frames = []
    for shot in shots:
        save_image(folder / "images" / f"{shot.name}.png", shot.color)
        save_image(folder / "depth" / f"{shot.name}.png", encode_depth(shot.depth, per_metre))
        matrix = shot.camera_to_world @ OPENGL
        frames.append(
            {
                "file_path": f"images/{shot.name}.png",
                "depth_file_path": f"depth/{shot.name}.png",
                "transform_matrix": matrix.tolist(),
            }
        )
    camera = shots[0].camera
    data = {"camera_model": "OPENCV", "fl_x": camera.fx, "fl_y": camera.fy, "cx": camera.cx + 0.5}
    data |= {"cy": camera.cy + 0.5, "w": camera.width, "h": camera.height, "frames": frames}
    if camera.distortion:
        data |= dict(zip(("k1", "k2", "p1", "p2", "k3"), camera.distortion, strict=True))
    (folder / "transforms.json").write_text(json.dumps(data))
    return shots


def write_seven_scenes(
    folder: Path, n_frames: int = 8, world: np.ndarray | None = None, **options: object
) -> list[Shot]:
    """3DMatch: ``seq-01`` below ``camera-intrinsics.txt``; ``world`` turns the room into the files' own world."""
    shots = shoot(n_frames, name="frame-{:06d}".format, **options)
    world = np.eye(4) if world is None else world
    for shot in shots:
        start = folder / "seq-01" / shot.name
        save_image(start.with_name(start.name + ".color.png"), shot.color)
        save_image(start.with_name(start.name + ".depth.png"), encode_depth(shot.depth, 1000))
        write_matrix(start.with_name(start.name + ".pose.txt"), world @ shot.camera_to_world, "\t ")
    write_matrix(folder / "camera-intrinsics.txt", shots[0].camera.matrix(), "\t ")
    return shots


FREIBURG3 = Camera(640, 480, 535.4, 539.2, 320.1, 247.6).resized(160, 120)
FREIBURG1 = Camera(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)).resized(160, 120)


def write_tum(folder: Path, n_frames: int = 8, camera: Camera = FREIBURG3, sequence: str = "freiburg3") -> list[Shot]:
    """TUM RGB-D: index files with unequal clocks, quaternions x y z w, 1/5000 m; depth without distortion."""
    shots = shoot(n_frames, camera, name=lambda i: f"{1305031100 + 0.1 * i:.6f}")
    header = f"# file: 'rgbd_dataset_{sequence}_room.bag'\n# timestamp filename\n"
    rgb, depth, truth = [header], [header], ["# timestamp tx ty tz qx qy qz qw\n"]
    pinhole = Camera(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    for shot in shots:
        time = float(shot.name)
        save_image(folder / "rgb" / f"{shot.name}.png", shot.color)
        rgb.append(f"{time:.6f} rgb/{shot.name}.png\n")
        exact = render(pinhole, shot.camera_to_world, Room())[1]
        save_image(folder / "depth" / f"{time + 0.0113:.6f}.png", encode_depth(exact, 5000))
        depth.append(f"{time + 0.0113:.6f} depth/{time + 0.0113:.6f}.png\n")
        numbers = [*shot.camera_to_world[:3, 3], *quaternion(shot.camera_to_world[:3, :3])]
        truth.append(f"{time + 0.004:.4f} " + " ".join(f"{v:.9f}" for v in numbers) + "\n")
    for name, lines in (("rgb.txt", rgb), ("depth.txt", depth), ("groundtruth.txt", truth)):
        (folder / name).write_text("".join(lines))
    return shots


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """x y z w of a rotation matrix: the eigenvector of Bar-Itzhack's symmetric matrix."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    table = np.array(
        [
            [a - e - i, d + b, g + c, h - f],
            [d + b, e - a - i, h + f, c - g],
            [g + c, h + f, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    return np.linalg.eigh(table)[1][:, -1]


def write_scannet(folder: Path, n_frames: int = 12, depth_size: tuple[int, int] | None = (64, 48)) -> list[Shot]:
    """ScanNet export: unpadded numbers, 4x4 intrinsics for colour and depth, -inf where tracking was lost."""
    shots = shoot(n_frames, depth_size=depth_size, name=str)
    for shot in shots:
        (folder / "color").mkdir(parents=True, exist_ok=True)
        Image.fromarray(shot.color).save(folder / "color" / f"{shot.name}.jpg", quality=95, subsampling=0)
        save_image(folder / "depth" / f"{shot.name}.png", encode_depth(shot.depth, 1000))
        write_matrix(folder / "pose" / f"{shot.name}.txt", shot.camera_to_world)
    for kind, camera in (("color", shots[0].camera), ("depth", shots[0].depth_camera)):
        matrix = np.eye(4)
        matrix[:3, :3] = camera.matrix()
        write_matrix(folder / "intrinsic" / f"intrinsic_{kind}.txt", matrix)
        write_matrix(folder / "intrinsic" / f"extrinsic_{kind}.txt", np.eye(4))
    return shots


def write_plain(folder: Path, n_frames: int = 8, inverse: bool = False, **options: object) -> list[Shot]:
    """``rgb/ depth/ pose/ intrinsics.txt``; ``inverse`` writes world-to-camera matrices as autolabel does."""
    shots = shoot(n_frames, name="{:05d}".format, **options)
    for shot in shots:
        save_image(folder / "rgb" / f"{shot.name}.png", shot.color)
        save_image(folder / "depth" / f"{shot.name}.png", encode_depth(shot.depth, 1000))
        pose = np.linalg.inv(shot.camera_to_world) if inverse else shot.camera_to_world
        write_matrix(folder / "pose" / f"{shot.name}.txt", pose)
    write_matrix(folder / "intrinsics.txt", shots[0].camera.matrix())
    return shots


def write_listed(folder: Path, n_frames: int = 8) -> list[Shot]:
    """``images/ depth/ K.txt poses.txt``: one row of 16 numbers per image."""
    shots = shoot(n_frames, name="{:05d}".format)
    for shot in shots:
        save_image(folder / "images" / f"{shot.name}.png", shot.color)
        save_image(folder / "depth" / f"{shot.name}.png", encode_depth(shot.depth, 1000))
    write_matrix(folder / "poses.txt", np.stack([shot.camera_to_world.ravel() for shot in shots]))
    write_matrix(folder / "K.txt", shots[0].camera.matrix())
    return shots


def write_redwood(
    folder: Path, n_frames: int = 8, trajectory: str = "log", world: np.ndarray | None = None
) -> list[Shot]:
    """Redwood / Open3D: numbers from 1, column-major intrinsics; a ``.log`` or a JSON trajectory."""
    shots = shoot(n_frames, name="{:06d}".format)
    camera = shots[0].camera
    world = np.eye(4) if world is None else world
    intrinsic = {"width": camera.width, "height": camera.height, "intrinsic_matrix": camera.matrix().T.ravel().tolist()}
    log, parameters = [], []
    for index, shot in enumerate(shots):
        save_image(folder / "color" / f"{index + 1:06d}.png", shot.color)
        save_image(folder / "depth" / f"{index + 1:06d}.png", encode_depth(shot.depth, 1000))
        pose = world @ shot.camera_to_world
        log.append(f"{index} {index} {index + 1}\n" + "\n".join(" ".join(f"{v:.9f}" for v in row) for row in pose))
        extrinsic = np.linalg.inv(pose).T.ravel().tolist()
        parameters.append({"class_name": "PinholeCameraParameters", "extrinsic": extrinsic, "intrinsic": intrinsic})
    if trajectory == "log":
        (folder / "trajectory.log").write_text("\n".join(log) + "\n")
        (folder / "camera_intrinsic.json").write_text(json.dumps(intrinsic))
    else:
        data = {"class_name": "PinholeCameraTrajectory", "version_major": 1, "parameters": parameters}
        (folder / "trajectory.json").write_text(json.dumps(data))
    return shots
