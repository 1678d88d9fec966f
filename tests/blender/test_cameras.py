"""Blender's cameras project like the capture's own intrinsics."""

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import cameras

from backend.captures.capture import Intrinsics

CASES = {
    "square pixels, centred": Intrinsics(640, 480, 525.0, 525.0, 319.5, 239.5),
    "wide pixels, off centre": Intrinsics(540, 360, 400.0, 460.0, 250.0, 210.0),
    "tall pixels, off centre": Intrinsics(540, 360, 460.0, 400.0, 310.0, 141.0),
    "portrait": Intrinsics(360, 640, 500.0, 507.0, 170.0, 333.0),
    "very wide lens": Intrinsics(1000, 100, 20.0, 21.0, 480.0, 60.0),
    "tele": Intrinsics(320, 240, 9000.0, 9000.0, 150.0, 121.0),
    "principal point outside": Intrinsics(320, 240, 300.0, 310.0, 400.0, -30.0),
}


def pose(seed):
    """A random rigid camera_to_scene (4, 4)."""
    random = np.random.default_rng(seed)
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    matrix = np.eye(4)
    matrix[:3, :3] = q * np.sign(np.linalg.det(q))
    matrix[:3, 3] = random.normal(size=3) * 2
    return matrix


def frame(name, intrinsics, camera_to_scene):
    return {
        "name": name,
        "image": f"/nowhere/{name}.jpg",
        **{key: getattr(intrinsics, key) for key in ("width", "height", "fx", "fy", "cx", "cy")},
        "camera_to_scene": camera_to_scene.ravel().tolist(),
    }


def built(*frames):
    for _ in cameras.build_cameras(bpy.context.scene.collection, list(frames), "id", None):
        pass
    bpy.context.view_layer.update()
    return cameras.capture_cameras(bpy.context.scene, "id")


def blender_pixels(camera, points):
    """Scene points (N, 3) to centre-origin pixels (N, 2) by Blender's own projection."""
    scene = bpy.context.scene
    cameras.set_resolution(scene, camera)
    render = scene.render
    projection = np.array(
        camera.calc_matrix_camera(
            bpy.context.evaluated_depsgraph_get(),
            x=render.resolution_x,
            y=render.resolution_y,
            scale_x=render.pixel_aspect_x,
            scale_y=render.pixel_aspect_y,
        )
    )
    homogeneous = np.c_[points, np.ones(len(points))]
    clip = homogeneous @ np.linalg.inv(np.array(camera.matrix_world)).T @ projection.T
    ndc = clip[:, :2] / clip[:, 3:]
    corner = (ndc * [1, -1] + 1) / 2 * [render.resolution_x, render.resolution_y]
    return corner - 0.5


@pytest.mark.parametrize("name", CASES)
def test_projection_is_the_captures_own(name):
    intrinsics, matrix = CASES[name], pose(3)
    (camera,) = built(frame("a", intrinsics, matrix))
    random = np.random.default_rng(0)
    uv = random.uniform([0, 0], [intrinsics.width - 1, intrinsics.height - 1], size=(50, 2))
    points = intrinsics.unproject(uv, random.uniform(0.5, 6.0, 50)) @ matrix[:3, :3].T + matrix[:3, 3]
    assert np.abs(blender_pixels(camera, points) - uv).max() < 0.1


def test_description_gives_the_frame_back():
    intrinsics, matrix = CASES["wide pixels, off centre"], pose(5)
    (camera,) = built(frame("a", intrinsics, matrix))
    back = cameras.description(camera)
    assert np.allclose(np.reshape(back["camera_to_scene"], (4, 4)), matrix, atol=1e-5)
    assert [back[k] for k in ("width", "height", "fx", "fy", "cx", "cy")] == pytest.approx(
        [540, 360, 400.0, 460.0, 250.0, 210.0]
    )


def test_frames_of_other_sizes_keep_their_own_resolution():
    first, second = built(frame("a", CASES["portrait"], pose(1)), frame("b", CASES["tele"], pose(2)))
    render = bpy.context.scene.render
    cameras.set_resolution(bpy.context.scene, first)
    assert (render.resolution_x, render.resolution_y) == (360, 640)
    cameras.set_resolution(bpy.context.scene, second)
    assert (render.resolution_x, render.resolution_y, render.resolution_percentage) == (320, 240, 100)


def test_at_most_a_handful_of_pictures_is_in_memory(tmp_path):
    frames = [frame(f"{i:03}", CASES["tele"], pose(i)) for i in range(12)]
    for entry in frames:
        entry["image"] = str(tmp_path / f"{entry['name']}.png")
        image = bpy.data.images.new("x", 320, 240)
        image.filepath_raw, image.file_format = entry["image"], "PNG"
        image.save()
        bpy.data.images.remove(image)
    made = built(*frames)
    for camera in made:
        assert cameras.show_picture(bpy.context.scene, camera) is None
        assert camera.data.background_images[0].image.size[:] == (320, 240)
        assert len(bpy.data.images) <= cameras.PICTURES_IN_MEMORY
    assert len(bpy.data.images) == cameras.PICTURES_IN_MEMORY


def test_missing_picture_is_a_sentence():
    (camera,) = built(frame("a", CASES["tele"], pose(1)))
    assert "a.jpg of this keyframe is not where it was" in cameras.show_picture(bpy.context.scene, camera)


def test_path_runs_through_the_camera_centres():
    frames = [frame(str(i), CASES["tele"], pose(i)) for i in range(5)]
    path = cameras.build_path(bpy.context.scene.collection, frames, "id", None)
    points = [tuple(point.co[:3]) for point in path.data.splines[0].points]
    assert np.allclose(points, [pose(i)[:3, 3] for i in range(5)], atol=1e-6)
