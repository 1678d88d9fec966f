"""Writers of phone and research captures of the analytic room, after the formats' own descriptions."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.rooms import (
    OPENGL,
    Camera,
    Room,
    Shot,
    encode_depth,
    quaternion,
    render,
    rotation,
    save_image,
    shoot,
    write_matrix,
)

# Y-up worlds (ARKit): scene (x, y, z) is (x, z, -y) there.
Y_FROM_Z = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG file with hardly any loss."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=98, subsampling=0)
    return stream.getvalue()


def save_jpeg(path: Path, pixels: np.ndarray) -> None:
    """Write a JPEG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(pixels))


def lying(shot: Shot) -> Shot:
    """What a sensor stores that lies on its side: the picture a quarter turn counter-clockwise, the camera with it."""

    def camera(own: Camera) -> Camera:
        return Camera(own.height, own.width, own.fy, own.fx, own.cy, own.width - 1 - own.cx)

    return replace(
        shot,
        color=np.rot90(shot.color),
        depth=np.rot90(shot.depth),
        labels=np.rot90(shot.labels),
        camera=camera(shot.camera),
        depth_camera=camera(shot.depth_camera),
        camera_to_world=shot.camera_to_world @ rotation((0, 0, 1), 90.0),
    )


def write_sens(
    folder: Path, n_frames: int = 8, version: int = 4, codec: int = 2, lost: int | None = None
) -> list[Shot]:
    """A ``.sens`` container; ``codec`` 0 raw, 1 PNG, 2 JPEG; the pose of frame ``lost`` is -inf."""
    shots = shoot(n_frames, depth_size=(64, 48), name="{:06d}".format)

    def matrix(values: np.ndarray) -> bytes:
        full = np.eye(4)
        full[: len(values), : len(values)] = values
        return full.astype("<f4").tobytes()

    first = shots[0]
    parts = [struct.pack("<IQ", version, 4), b"test", matrix(first.camera.matrix()), matrix(np.eye(4))]
    parts += [matrix(first.depth_camera.matrix()), matrix(np.eye(4))]
    sizes = (first.camera.width, first.camera.height, first.depth_camera.width, first.depth_camera.height)
    parts += [struct.pack("<iiIIIIf", codec, 1, *sizes, 1000.0), struct.pack("<Q", n_frames)]
    for index, shot in enumerate(shots):
        pose = np.full((4, 4), -np.inf) if index == lost else shot.camera_to_world
        png = BytesIO()
        Image.fromarray(shot.color).save(png, format="PNG")
        color = {0: shot.color.tobytes(), 1: png.getvalue(), 2: jpeg(shot.color)}[codec]
        depth = zlib.compress(encode_depth(shot.depth, 1000).astype("<u2").tobytes())
        parts += [
            pose.astype("<f4").tobytes(),
            struct.pack("<QQQQ", index, index, len(color), len(depth)),
            color,
            depth,
        ]
    if version == 4:
        parts.append(struct.pack("<Q", 0))
    (folder / "scene.sens").write_bytes(b"".join(parts))
    return shots


def write_replica(folder: Path, n_frames: int = 8) -> list[Shot]:
    """iMAP's layout: ``traj.txt``, ``results/``, ``cam_params.json`` one level up."""
    shots = shoot(n_frames, name="frame{:06d}".format)
    room = folder / "room0"
    for index, shot in enumerate(shots):
        save_jpeg(room / "results" / f"{shot.name}.jpg", shot.color)
        save_image(room / "results" / f"depth{index:06d}.png", encode_depth(shot.depth, 6553.5))
    write_matrix(room / "traj.txt", np.stack([shot.camera_to_world.ravel() for shot in shots]))
    camera = shots[0].camera
    values = {"w": camera.width, "h": camera.height, "fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    (folder / "cam_params.json").write_text(json.dumps({"camera": values | {"scale": 6553.5}}))
    return shots


def write_semantic_nerf(folder: Path, n_frames: int = 11) -> list[Shot]:
    """Semantic-NeRF's layout: unpadded numbers, 90 degrees wide, true classes and instances."""
    camera = Camera(96, 72, 48.0, 48.0, 47.5, 35.5)
    shots = shoot(n_frames, camera, name="rgb_{}".format)
    for index, shot in enumerate(shots):
        save_image(folder / "rgb" / f"rgb_{index}.png", shot.color)
        save_image(folder / "depth" / f"depth_{index}.png", encode_depth(shot.depth, 1000))
        save_image(folder / "semantic_class" / f"semantic_class_{index}.png", shot.labels)
        save_image(folder / "semantic_class" / f"vis_sem_class_{index}.png", shot.color)
        save_image(folder / "semantic_instance" / f"semantic_instance_{index}.png", shot.labels.astype(np.uint16) * 100)
    write_matrix(folder / "traj_w_c.txt", np.stack([shot.camera_to_world.ravel() for shot in shots]))
    (folder / "info_semantic.json").write_text(json.dumps({"classes": [{"id": 5, "name": "floor"}]}))
    return shots


def write_arkitscenes(folder: Path, n_frames: int = 8) -> list[Shot]:
    """Axis-angle world-to-camera, Z-up, one file of intrinsics per frame, times off by a millisecond."""
    upright = shoot(n_frames, name=lambda i: f"41069021_{300.1 + 0.1 * i:.3f}")
    lines = []
    for index, shot in enumerate(map(lying, upright)):
        time = 300.1 + 0.1 * index
        save_image(folder / "lowres_wide" / f"{shot.name}.png", shot.color)
        save_image(folder / "lowres_depth" / f"41069021_{time + 0.001:.3f}.png", encode_depth(shot.depth, 1000))
        save_image(folder / "confidence" / f"{shot.name}.png", np.full(shot.depth.shape, 2, np.uint8))
        own = shot.camera
        pincam = f"{own.width} {own.height} {own.fx} {own.fy} {own.cx + 0.5} {own.cy + 0.5}\n"
        (folder / "lowres_wide_intrinsics").mkdir(exist_ok=True)
        (folder / "lowres_wide_intrinsics" / f"{shot.name}.pincam").write_text(pincam)
        world_to_camera = np.linalg.inv(shot.camera_to_world)
        values = [*_axis_angle(world_to_camera[:3, :3]), *world_to_camera[:3, 3]]
        lines.append(f"{time:.6f} " + " ".join(f"{v:.10f}" for v in values))
    (folder / "lowres_wide.traj").write_text("\n".join(lines) + "\n")
    return upright


def _axis_angle(matrix: np.ndarray) -> np.ndarray:
    """Axis times angle: the axis is the eigenvector of eigenvalue 1, its sign that of the antisymmetric part."""
    values, vectors = np.linalg.eig(matrix)
    axis = np.real(vectors[:, np.abs(values - 1).argmin()])
    sine = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]) @ axis
    return axis * np.arctan2(sine, np.trace(matrix) - 1)


def write_polycam(folder: Path, n_frames: int = 8, corrected: bool = True) -> list[Shot]:
    """Raw data: one JSON per keyframe, OpenGL axes, Y up, confidence in three grey levels."""
    upright = shoot(n_frames, name=lambda i: str(1_650_000_000_000 + 100_000 * i))
    for shot in map(lying, upright):
        for prefix in ("", "corrected_") if corrected else ("",):
            save_jpeg(folder / "keyframes" / f"{prefix}images" / f"{shot.name}.jpg", shot.color)
            pose, own = Y_FROM_Z @ shot.camera_to_world @ OPENGL, shot.camera
            data = {f"t_{row}{column}": pose[row, column] for row in range(3) for column in range(4)}
            data |= {"fx": own.fx, "fy": own.fy, "cx": own.cx + 0.5, "cy": own.cy + 0.5}
            data |= {"width": own.width, "height": own.height, "blur_score": 80.0, "neighbors": []}
            place = folder / "keyframes" / f"{prefix}cameras" / f"{shot.name}.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(data))
        save_image(folder / "keyframes" / "depth" / f"{shot.name}.png", encode_depth(shot.depth, 1000))
        save_image(folder / "keyframes" / "confidence" / f"{shot.name}.png", np.full(shot.depth.shape, 255, np.uint8))
    return upright


def write_scanner_app(folder: Path, n_frames: int = 8) -> list[Shot]:
    """A JSON for every frame, pictures and depth for some; row-major, OpenGL axes, Y up."""
    upright = shoot(n_frames, name=lambda i: f"frame_{2 * i:05d}")
    for index, shot in enumerate(map(lying, upright)):
        for number in (2 * index, 2 * index + 1):
            pose = Y_FROM_Z @ shot.camera_to_world @ OPENGL
            own = shot.camera
            matrix = [own.fx, 0, own.cx + 0.5, 0, own.fy, own.cy + 0.5, 0, 0, 1]
            data = {"cameraPoseARFrame": pose.ravel().tolist(), "intrinsics": matrix, "time": 10.0 + 0.1 * number}
            (folder / f"frame_{number:05d}.json").write_text(json.dumps(data))
        save_jpeg(folder / f"frame_{2 * index:05d}.jpg", shot.color)
        save_image(folder / f"depth_{2 * index:05d}.png", encode_depth(shot.depth, 1000))
        save_image(folder / f"conf_{2 * index:05d}.png", np.full(shot.depth.shape, 2, np.uint8))
    return upright


def write_bop(folder: Path, n_frames: int = 8, cameras: bool = True) -> list[Shot]:
    """World-to-camera in millimetres, tenths of a millimetre of depth; without ``cameras`` only an object's poses."""
    shots = shoot(n_frames, name="{:06d}".format)
    listed, objects = {}, {}
    for index, shot in enumerate(shots):
        save_image(folder / "rgb" / f"{shot.name}.png", shot.color)
        save_image(folder / "depth" / f"{shot.name}.png", encode_depth(shot.depth, 10_000))
        inverse = np.linalg.inv(shot.camera_to_world)
        turn, move = inverse[:3, :3].ravel().tolist(), (1000 * inverse[:3, 3]).tolist()
        listed[str(index)] = {"cam_K": shot.camera.matrix().ravel().tolist(), "depth_scale": 0.1}
        if cameras:
            listed[str(index)] |= {"cam_R_w2c": turn, "cam_t_w2c": move}
        # The object's own frame is the room's, so that the truth is the same.
        objects[str(index)] = [{"obj_id": 5, "cam_R_m2c": turn, "cam_t_m2c": move}]
    (folder / "scene_camera.json").write_text(json.dumps(listed))
    (folder / "scene_gt.json").write_text(json.dumps(objects))
    return shots


def write_colmap(folder: Path, n_frames: int = 8, text: bool = False, camera: Camera | None = None) -> list[Shot]:
    """A dense workspace: world-to-camera quaternions w x y z, corner-origin, float32 depth; names with blanks."""
    shots = shoot(n_frames, camera or Camera(96, 72, 71.0, 68.0, 50.5, 33.0), name="view {:03d}".format)
    own = shots[0].camera
    params = [own.fx, own.fy, own.cx + 0.5, own.cy + 0.5, *(own.distortion[:4] or ())]
    model, uid = ("OPENCV", 4) if own.distortion else ("PINHOLE", 1)
    sparse = folder / "sparse"
    sparse.mkdir(parents=True)
    lines, blocks = ["# images"], [struct.pack("<Q", n_frames)]
    for index, shot in enumerate(shots):
        save_jpeg(folder / "images" / f"{shot.name}.jpg", shot.color)
        inverse = np.linalg.inv(shot.camera_to_world)
        x, y, z, w = quaternion(inverse[:3, :3])
        values = [w, x, y, z, *inverse[:3, 3]]
        lines += [f"{index + 1} " + " ".join(f"{v:.12f}" for v in values) + f" 7 {shot.name}.jpg", ""]
        blocks += [struct.pack("<i7di", index + 1, *values, 7), f"{shot.name}.jpg".encode() + b"\0"]
        blocks.append(struct.pack("<Q", 1) + struct.pack("<ddq", 3.0, 4.0, -1))
        depth = folder / "stereo" / "depth_maps" / f"{shot.name}.jpg.geometric.bin"
        depth.parent.mkdir(parents=True, exist_ok=True)
        height, width = shot.depth.shape
        depth.write_bytes(f"{width}&{height}&1&".encode() + shot.depth.astype("<f4").tobytes())
    if text:
        numbers = " ".join(map(repr, map(float, params)))
        (sparse / "cameras.txt").write_text(f"# cameras\n7 {model} {own.width} {own.height} {numbers}\n")
        (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    else:
        head = struct.pack("<QiiQQ", 1, 7, uid, own.width, own.height)
        (sparse / "cameras.bin").write_bytes(head + struct.pack(f"<{len(params)}d", *params))
        (sparse / "images.bin").write_bytes(b"".join(blocks))
    return shots


def write_stray(folder: Path, n_frames: int = 8, per_frame: bool = False, hidden: bool = False) -> list[Shot]:
    """A recording with a video; ``hidden`` starts it before time 0, so that an edit list hides its first frame."""
    import av

    upright = shoot(n_frames, Camera(192, 144, 142.0, 136.0, 100.5, 66.0), (64, 48), name="{:06d}".format)
    lines = ["timestamp, frame, x, y, z, qx, qy, qz, qw" + (", fx, fy, cx, cy" if per_frame else "")]
    container = av.open(str(folder / "rgb.mp4"), "w")
    stream = container.add_stream("libx264", rate=60, options={"crf": "0", "preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = 144, 192, "yuv444p"
    for index, shot in enumerate(map(lying, upright)):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shot.color), format="rgb24")
        frame.pts, frame.time_base = index - int(hidden), Fraction(1, 60)
        container.mux(stream.encode(frame))
        save_image(folder / "depth" / f"{index:06d}.png", encode_depth(shot.depth, 1000))
        save_image(folder / "confidence" / f"{index:06d}.png", np.full(shot.depth.shape, 2, np.uint8))
        pose, own = Y_FROM_Z @ shot.camera_to_world, shot.camera
        values = [*pose[:3, 3], *quaternion(pose[:3, :3])]
        values += [own.fx, own.fy, own.cx + 0.5, own.cy + 0.5] if per_frame else []
        lines.append(f"{100 + index / 60:.6f}, {index:06d}, " + ", ".join(f"{v:.9f}" for v in values))
    container.mux(stream.encode())
    container.close()
    (folder / "odometry.csv").write_text("\n".join(lines) + "\n")
    matrix = own.matrix()
    matrix[:2, 2] += 0.5
    (folder / "camera_matrix.csv").write_text("\n".join(", ".join(str(v) for v in row) for row in matrix) + "\n")
    return upright


def write_record3d(folder: Path, n_frames: int = 11, packed: bool = True) -> list[Shot]:
    """``.r3d`` with stored LZFSE blocks, or the EXR + JPG export; column-major K, a start pose, OpenGL axes, Y up."""
    shots = shoot(n_frames, Camera(72, 96, 71.0, 68.0, 33.0, 50.5), (36, 48), name="{:06d}".format)
    start = Y_FROM_Z @ rotation((0.3, 1, 0.2), 40.0)
    start[:3, 3] = [0.2, 0.5, -0.3]
    own, files, poses = shots[0].camera, {}, []
    for index, shot in enumerate(shots):
        files[f"{index}.jpg"] = jpeg(shot.color)
        raw = shot.depth.astype("<f4").tobytes()
        files[f"{index}.depth"] = b"bvx-" + struct.pack("<I", len(raw)) + raw + b"bvx$"
        trust = np.full(shot.depth.shape, 2, np.uint8).tobytes()
        files[f"{index}.conf"] = b"bvx-" + struct.pack("<I", len(trust)) + trust + b"bvx$"
        pose = np.linalg.inv(start) @ Y_FROM_Z @ shot.camera_to_world @ OPENGL
        poses.append([*quaternion(pose[:3, :3]), *pose[:3, 3]])
    data = {"w": own.width, "h": own.height, "dw": 36, "dh": 48, "fps": 60, "poses": poses}
    data |= {"K": [own.fx, 0, 0, 0, own.fy, 0, own.cx + 0.5, own.cy + 0.5, 1]}
    data |= {
        "initPose": [*quaternion(start[:3, :3]), *start[:3, 3]],
        "frameTimestamps": [i / 60 for i in range(n_frames)],
    }
    if packed:
        with zipfile.ZipFile(folder / "walk.r3d", "w") as archive:
            archive.writestr("metadata", json.dumps(data))
            for name, content in files.items():
                archive.writestr(f"rgbd/{name}", content)
        return shots
    import OpenEXR

    for index, shot in enumerate(shots):
        save_jpeg(folder / "rgb" / f"{index}.jpg", shot.color)
        (folder / "depth").mkdir(exist_ok=True)
        with OpenEXR.File({}, {"R": shot.depth.astype(np.float32)}) as file:
            file.write(str(folder / "depth" / f"{index}.exr"))
    (folder / "metadata.json").write_text(json.dumps(data))
    return shots


def _field(number: int, kind: int, content: bytes) -> bytes:
    """One protobuf field: varints and lengths by hand."""

    def varint(value: int) -> bytes:
        low, high = value & 127, value >> 7
        return bytes([low | 128]) + varint(high) if high else bytes([low])

    return varint(number << 3 | kind) + (varint(len(content)) if kind == 2 else b"") + content


def write_scenenet(folder: Path, n_frames: int = 8) -> list[Shot]:
    """Level cameras, ray distances, poses as eye and target at shutter opening and closing."""
    camera = Camera(320, 240, 277.1281292, 289.7056275, 159.5, 119.5)
    place, views, shots = folder / "0" / "12", b"", []
    for index, shot in enumerate(shoot(n_frames, camera, name=lambda i: f"{25 * i:06d}")):
        eye, forward = shot.camera_to_world[:3, 3], shot.camera_to_world[:3, 2]
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(forward, right), forward, eye
        color, depth, labels = render(camera, pose, Room())
        shots.append(replace(shot, color=color, depth=depth, labels=labels, camera_to_world=pose))
        u, v = np.meshgrid(np.arange(320), np.arange(240))
        ray = depth * np.sqrt(1 + ((u - camera.cx) / camera.fx) ** 2 + ((v - camera.cy) / camera.fy) ** 2)
        save_jpeg(place / "photo" / f"{25 * index}.jpg", color)
        save_image(place / "depth" / f"{25 * index}.png", encode_depth(ray, 1000))
        save_image(place / "instance" / f"{25 * index}.png", labels.astype(np.uint16))
        message = _field(1, 0, bytes([25 * index & 127 | 128, 25 * index >> 7]))
        for field, step in ((2, -0.02), (3, 0.02)):
            points = [Y_FROM_Z[:3, :3] @ (point + step * right) for point in (eye, eye + 2 * forward)]
            both = [b"".join(_field(k + 1, 5, struct.pack("<f", p)) for k, p in enumerate(point)) for point in points]
            message += _field(field, 2, _field(1, 2, both[0]) + _field(2, 2, both[1]))
        views += _field(4, 2, message)
    (folder / "scenenet.pb").write_bytes(_field(1, 2, _field(2, 2, b"0/12") + views))
    return shots


def write_hypersim(folder: Path, n_frames: int = 5) -> list[Shot]:
    """One camera of a scene in units of 2 cm, OpenGL axes, distances in float32."""
    import h5py

    focal = 512 / np.tan(np.radians(30))
    full = Camera(1024, 768, focal, focal, 511.5, 383.5)
    shots = shoot(n_frames, full.resized(256, 192), name=lambda i: f"cam_00_{i:04d}")
    detail, images = folder / "_detail" / "cam_00", folder / "images"
    geometry = images / "scene_cam_00_geometry_hdf5"
    detail.mkdir(parents=True)
    geometry.mkdir(parents=True)

    def save(path: Path, values: np.ndarray) -> None:
        with h5py.File(path, "w") as file:
            file["dataset"] = values

    for index, shot in enumerate(shots):
        u, v = np.meshgrid(np.arange(256), np.arange(192))
        own = shot.camera
        ray = shot.depth * np.sqrt(1 + ((u - own.cx) / own.fx) ** 2 + ((v - own.cy) / own.fy) ** 2)
        save_jpeg(images / "scene_cam_00_final_preview" / f"frame.{index:04d}.tonemap.jpg", shot.color)
        save(geometry / f"frame.{index:04d}.depth_meters.hdf5", ray.astype(np.float32))
        save(geometry / f"frame.{index:04d}.semantic.hdf5", shot.labels.astype(np.int16))
    poses = np.stack([shot.camera_to_world @ OPENGL for shot in shots])
    save(detail / "camera_keyframe_positions.hdf5", poses[:, :3, 3] / 0.02)
    save(detail / "camera_keyframe_orientations.hdf5", poses[:, :3, :3])
    save(detail / "camera_keyframe_frame_indices.hdf5", np.arange(n_frames))
    metadata = "parameter_name,parameter_value\nmeters_per_asset_unit,0.02\n"
    (folder / "_detail" / "metadata_scene.csv").write_text(metadata)
    return shots


def write_pairs(folder: Path, n_frames: int = 8) -> list[Shot]:
    """slambook's index of pairs: depth first, numbers as times, a ``.freiburg`` trajectory, 1/5000 m."""
    shots = shoot(n_frames, name=str)
    own, index, truth = shots[0].camera, [], []
    for number, shot in enumerate(shots):
        save_image(folder / "rgb" / f"{number}.png", shot.color)
        save_image(folder / "depth" / f"{number}.png", encode_depth(shot.depth, 5000))
        index.append(f"{number} depth/{number}.png {number} rgb/{number}.png")
        values = [*shot.camera_to_world[:3, 3], *quaternion(shot.camera_to_world[:3, :3])]
        truth.append(f"{number} " + " ".join(f"{v:.9f}" for v in values))
    (folder / "associations.txt").write_text("\n".join(index) + "\n")
    (folder / "room.gt.freiburg").write_text("\n".join(truth) + "\n")
    (folder / "calibration.txt").write_text(f"{own.fx} {own.fy} {own.cx} {own.cy}\n")
    return shots


def write_fisheye(folder: Path, n_frames: int = 6) -> list[Shot]:
    """transforms.json of an equidistant lens with two coefficients; the truth is what a pinhole sees."""
    own = Camera(160, 120, 95.0, 96.0, 81.0, 58.0)
    coefficients = (-0.03, 0.006, 0.0, 0.0)
    u, v = np.meshgrid(np.arange(own.width), np.arange(own.height))
    x, y = (u - own.cx) / own.fx, (v - own.cy) / own.fy
    bent = np.hypot(x, y)
    angle = bent.copy()
    for _ in range(50):
        angle = bent / (1 + coefficients[0] * angle**2 + coefficients[1] * angle**4)
    scale = np.where(bent > 1e-9, np.tan(angle) / np.maximum(bent, 1e-9), 1.0)
    shots, frames = shoot(n_frames, own), []
    for shot in shots:
        # Rendered through a table of rays: nearest pixels of a much finer pinhole picture.
        fine = Camera(1600, 1200, 600.0, 600.0, 799.5, 599.5)
        color, depth, _ = render(fine, shot.camera_to_world, Room())
        columns = np.rint(x * scale * 600 + 799.5).clip(0, 1599).astype(int)
        rows = np.rint(y * scale * 600 + 599.5).clip(0, 1199).astype(int)
        save_image(folder / "images" / f"{shot.name}.png", color[rows, columns])
        save_image(folder / "depth" / f"{shot.name}.png", encode_depth(depth[rows, columns], 1000))
        frames.append(
            {
                "file_path": f"images/{shot.name}.png",
                "depth_file_path": f"depth/{shot.name}.png",
                "transform_matrix": (shot.camera_to_world @ OPENGL).tolist(),
            }
        )
    data = {"camera_model": "OPENCV_FISHEYE", "fl_x": own.fx, "fl_y": own.fy, "cx": own.cx + 0.5, "cy": own.cy + 0.5}
    data |= {"w": own.width, "h": own.height, "k1": coefficients[0], "k2": coefficients[1], "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(data))
    return shots
