"""Looking through keyframes: which sees a place best, where its picture is on screen, what is kept in memory."""

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon import canvas as canvases
from bl_ext.dev.clickfield.blender_addon import viewing
from bl_ext.dev.clickfield.blender_addon.scene import best_view, cameras, picking, scan
from bl_ext.dev.clickfield.blender_addon.ui import film
from mathutils import Matrix

ops = bpy.ops.clickfield
WIDTH, HEIGHT, FOCAL = 320, 240, 300.0


def facing(eye, target, up=(0, 0, 1)):
    """camera_to_scene (4, 4), OpenCV axes, of a camera that looks at a target."""
    z = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    x = np.cross(z, up) / np.linalg.norm(np.cross(z, up))
    matrix = np.eye(4)
    matrix[:3] = np.stack([x, np.cross(z, x), z, np.array(eye, float)], axis=1)
    return matrix


def lenses(*poses):
    count = len(poses)
    return best_view.Lenses(
        np.tile([WIDTH, HEIGHT], (count, 1)).astype(float),
        np.full((count, 2), FOCAL),
        np.tile([(WIDTH - 1) / 2, (HEIGHT - 1) / 2], (count, 1)),
        np.array(poses),
    )


POINT, NORMAL = np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0])


def test_the_frontal_near_and_central_camera_is_the_best():
    frontal = facing((0, -2, 1), POINT)
    slanted = facing((1.7, -1.0, 1), POINT)
    far = facing((0, -5, 1), POINT)
    aside = facing((0, -2, 1), (0.7, 0, 1))
    behind = facing((0, -2, 1), (0, -4, 1))
    outside = facing((0, -2, 1), (4, 0, 1))
    order = best_view.ranked(POINT, NORMAL, lenses(far, slanted, aside, frontal, behind, outside)).tolist()
    assert order[0] == 3 and set(order) == {0, 1, 2, 3} and order[-1] == 0


def test_a_surface_counts_from_either_side_but_not_along_its_edge():
    back, along = facing((0, 2, 1), POINT), facing((2, -0.02, 1), POINT)
    assert best_view.ranked(POINT, NORMAL, lenses(along, back)).tolist() == [1]
    assert best_view.ranked(POINT, -NORMAL, lenses(along, back)).tolist() == [1]
    assert not len(best_view.ranked(POINT, NORMAL, lenses(along)))


def test_closer_than_near_is_not_better():
    touching, near = facing((0, -0.05, 1), POINT), facing((0, -0.4, 1), POINT)
    order = best_view.ranked(POINT, NORMAL, lenses(touching, near, facing((0, -0.8, 1), POINT)))
    assert order.tolist()[-1] == 2


def frame(name, pose, image="/nowhere.jpg"):
    return {
        "name": name,
        "image": image,
        "width": WIDTH,
        "height": HEIGHT,
        "fx": FOCAL,
        "fy": FOCAL,
        "cx": (WIDTH - 1) / 2,
        "cy": (HEIGHT - 1) / 2,
        "camera_to_scene": pose.ravel().tolist(),
    }


def wall(x, y, z, size):
    """Two triangles facing -Y around a point."""
    corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], float) * size / 2 + [x, y, z]
    return corners.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def test_a_camera_whose_view_is_blocked_is_passed_over(own, live):
    """A big wall, a small board before it: the camera straight before the board sees the board, not the wall."""
    (first, faces), (second, _) = wall(0, 0, 1, 3), wall(0, -1, 1, 0.4)
    positions, faces = np.concatenate([first, second]), np.concatenate([faces, faces + 4])
    own.capture_id = "x"
    made = scan.new_scan(bpy.context.scene.collection, "Scan", "x")
    for _ in scan.fill(made.data, scan.topology(positions, faces, np.zeros((8, 3), np.uint8))):
        pass
    made.matrix_world = Matrix.Translation((7, 0, 0)) @ Matrix.Rotation(0.3, 4, "Z")
    frames = [frame("blocked", facing((0, -2, 1), POINT)), frame("free", facing((1.2, -2, 1), POINT))]
    for _ in cameras.build_cameras(bpy.context.scene.collection, frames, "x", made):
        pass
    bpy.context.view_layer.update()
    canvas = canvases.Canvas()
    found = cameras.lenses(cameras.capture_cameras(bpy.context.scene, "x"))
    assert np.allclose(found.camera_to_scene[0], facing((0, -2, 1), POINT), atol=1e-5)
    assert best_view.ranked(POINT, NORMAL, found)[0] == 0
    eyes = found.camera_to_scene[:, :3, 3]
    assert [best_view.is_seen(lambda *ray: canvas.hit(made, *ray), eye, POINT) for eye in eyes] == [False, True]


def test_steps_go_round_and_pictures_follow_with_few_in_memory(own, tmp_path):
    own.capture_id = "x"
    frames = []
    for i in range(9):
        path = tmp_path / f"{i}.png"
        image = bpy.data.images.new("x", WIDTH, HEIGHT)
        image.filepath_raw, image.file_format = str(path), "PNG"
        image.save()
        bpy.data.images.remove(image)
        frames.append(frame(str(i), facing((i, -2, 1), (i, 0, 1)), str(path)))
    for _ in cameras.build_cameras(bpy.context.scene.collection, frames, "x", None):
        pass
    scene = bpy.context.scene
    scene.camera = cameras.capture_cameras(scene, "x")[0]
    seen = []
    for _ in range(12):
        ops.view_frame(offset=1)
        seen.append(scene.camera.clickfield.frame)
        assert scene.camera.data.background_images[0].image.filepath.endswith(f"{seen[-1]}.png")
        assert len(bpy.data.images) <= cameras.PICTURES_IN_MEMORY
    assert seen == [str((i + 1) % 9) for i in range(12)]
    ops.view_frame(offset=-1)
    assert scene.camera.clickfield.frame == "2"
    ops.view_frame(frame="7")
    assert scene.camera.clickfield.frame == "7" and len(bpy.data.images) <= cameras.PICTURES_IN_MEMORY


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.2, -0.1)])
def test_the_frame_of_the_picture_follows_zoom_and_offset(shift):
    data = bpy.data.cameras.new("x")
    data.sensor_fit, data.shift_x, data.shift_y = "HORIZONTAL", *shift
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 400, 300
    corners = data.view_frame(scene=scene)
    size = (1000, 500)

    def window(zoom, offset):
        """A clip matrix that puts the picture's middle at an offset and makes it ``zoom`` times 400 pixels wide."""
        x = [corner.x / -corner.z for corner in corners]
        y = [corner.y / -corner.z for corner in corners]
        scale = zoom * 400 / (max(x) - min(x))
        matrix = np.zeros((4, 4))
        matrix[0, 0], matrix[1, 1], matrix[3, 2] = 2 * scale / size[0], 2 * scale / size[1], -1
        middle = np.array([(max(x) + min(x)) / 2, (max(y) + min(y)) / 2])
        moved = 2 * (np.array(offset) - middle * scale) / size
        matrix[0, 2], matrix[1, 2], matrix[2, 2] = -moved[0], -moved[1], -1
        return matrix

    for zoom, offset in ((1.0, (0, 0)), (2.5, (120, -40))):
        left, bottom, right, top = film.frame_rectangle(window(zoom, offset), corners, size)
        assert right - left == pytest.approx(400 * zoom, rel=1e-4)
        assert top - bottom == pytest.approx(300 * zoom, rel=1e-4)
        assert [(left + right) / 2, (bottom + top) / 2] == pytest.approx([500 + offset[0], 250 + offset[1]], abs=0.01)


class Backend:
    """Keeps requests until they are answered by hand."""

    def __init__(self):
        self.requests = []

    def __call__(self, method, params, done, failed):
        self.requests.append((method, params, done, failed))


@pytest.fixture
def viewer(own):
    """A viewer whose viewport looks through the first of many keyframes of a small scan with a mark."""
    own.capture_id = "x"
    ops.add_label(name="sofa")
    (positions, faces) = wall(0, 0, 1, 3)
    made = scan.new_scan(bpy.context.scene.collection, "Scan", "x")
    for _ in scan.fill(made.data, scan.topology(positions, faces, np.zeros((4, 3), np.uint8))):
        pass
    ops.add_mark(label=1, location=(0, 0, 1))
    frames = [frame(str(i), facing((0, -2, 1), POINT)) for i in range(8)]
    for _ in cameras.build_cameras(bpy.context.scene.collection, frames, "x", made):
        pass
    made = cameras.capture_cameras(bpy.context.scene, "x")
    backend = Backend()
    viewer = viewing.Viewer(canvases.Canvas(), backend)
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    area = next(area for area in areas if area.type == "VIEW_3D")
    area.spaces.active.region_3d.view_perspective = "CAMERA"
    return viewer, backend, made


def pixels(value):
    return {"labels": np.full((HEIGHT, WIDTH), value, np.uint16), "confidence": np.full((HEIGHT, WIDTH), 9, np.uint8)}


def test_a_keyframes_labels_are_asked_for_once_and_again_after_new_labels(viewer):
    viewer, backend, made = viewer
    scene = bpy.context.scene
    scene.camera = made[3]
    viewer.watch(scene, False)
    assert not backend.requests  # the backend does not have the newest document yet
    for _ in range(3):
        viewer.watch(scene, True)
    ((method, params, done, _),) = backend.requests
    assert (method, params["frame"]) == ("keyframe", "3")
    done({}, pixels(1))
    assert (viewer.keyframe("3").labels == 1).all() and viewer.keyframe("4") is None
    viewer.watch(scene, True)
    assert len(backend.requests) == 1
    viewer._canvas.start(
        scan.find_scan(scene, "x"), np.ones(4, np.uint16), np.ones(4, np.uint8), canvases.look_of(scene)
    )
    viewer.watch(scene, True)
    assert len(backend.requests) == 2 and (viewer.keyframe("3").labels == 1).all()


def test_few_keyframes_labels_are_in_memory(viewer):
    viewer, backend, made = viewer
    for camera in made:
        bpy.context.scene.camera = camera
        viewer.watch(bpy.context.scene, True)
        backend.requests[-1][2]({}, pixels(1))
    kept = [camera.clickfield.frame for camera in made if viewer.keyframe(camera.clickfield.frame)]
    assert kept == ["4", "5", "6", "7"] and len(kept) == viewing.KEYFRAMES_KEPT


def test_a_refused_keyframe_is_not_asked_for_again_and_another_one_is(viewer):
    viewer, backend, made = viewer
    scene = bpy.context.scene
    scene.camera = made[0]
    viewer.watch(scene, True)
    backend.requests[0][3]("unknown_method", "The backend does not know this.")
    viewer.watch(scene, True)
    assert len(backend.requests) == 1
    scene.camera = made[1]
    viewer.watch(scene, True)
    assert len(backend.requests) == 2


def test_uncertainty_is_asked_for_when_it_is_shown_and_for_what_is_shown(viewer, own):
    viewer, backend, _ = viewer
    scene = bpy.context.scene
    scene.camera = None
    viewer.watch(scene, True)
    assert not backend.requests
    own.show = "UNCERTAINTY"
    viewer.watch(scene, True)
    assert backend.requests[-1][:2] == ("uncertainty", {"measure": own.query_measure, "level": 0})
    backend.requests[-1][2]({}, {"uncertainty": np.array([0, 255, 0, 255], np.uint8)})
    while viewer._canvas.painting:
        assert viewer._canvas.step(0.0) == ""
    rgba = np.empty(16, np.float32)
    scan.find_scan(scene, "x").data.attributes["Label Color"].data.foreach_get("color_srgb", rgba)
    light = rgba.reshape(4, 4)[:, :3].sum(axis=1)
    assert light[1] == light[3] > 2 * light[0] and light[0] == light[2]
    own.tree_level = 1
    viewer.watch(scene, True)
    assert backend.requests[-1][1]["level"] == 1 and len(backend.requests) == 2


def test_what_the_picker_says_of_a_ray_from_a_camera():
    positions, faces = wall(0, 0, 1, 3)
    picker = picking.Picker(positions, faces)
    hit = picker.hit(np.array([0.3, -2, 1.2]), np.array([0, 1.0, 0]))
    assert np.allclose(hit.point, [0.3, 0, 1.2]) and np.allclose(np.abs(hit.normal), [0, 1, 0])
