"""Pictures of objects."""

import numpy as np

from backend.objects.preview import picture


def box(size=(1.0, 0.6, 0.4)):
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.array(size) / 2
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return corners, np.array([[q[0], q[i], q[i + 1]] for q in quads for i in (1, 2)])


def test_preview_frames_the_object_on_transparency():
    vertices, faces = box()
    colors = np.tile(np.array([[200, 40, 40]], np.uint8), (8, 1))
    for scale, shift in ((1.0, 0.0), (0.01, 50.0), (30.0, -7.0)):
        image = picture(vertices * scale + shift, faces, colors, 128)
        assert image.shape == (128, 128, 4) and image.dtype == np.uint8
        rows, columns = np.nonzero(image[..., 3])
        assert not image[[0, -1], :, 3].any() and not image[:, [0, -1], 3].any()
        assert max(np.ptp(rows), np.ptp(columns)) > 0.85 * 128
        assert abs(rows.mean() - 63.5) < 10 and abs(columns.mean() - 63.5) < 10
        solid = image[image[..., 3] == 255].astype(int)
        assert (solid[:, 0] > 1.5 * solid[:, 1]).all()
        assert len(np.unique(solid[:, 0])) > 3  # sides differ in light


def test_preview_shows_the_scanned_side_of_an_open_scan():
    # A wall seen only from +X: red where its normal points, and the camera must be on that side.
    vertices = np.array([[0.0, -1, -1], [0, 1, -1], [0, 1, 1], [0, -1, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    colors = np.array([[255, 0, 0], [0, 0, 255], [0, 0, 255], [255, 0, 0]], np.uint8)
    image = picture(vertices, faces, colors, 64)
    solid = image[..., 3] == 255
    columns = np.arange(64)[None, :].repeat(64, 0)
    red = columns[solid & (image[..., 0] > image[..., 2])].mean()
    blue = columns[solid & (image[..., 2] > image[..., 0])].mean()
    assert red < blue  # seen from +X with Z up, -Y is on the left
    mirrored = picture(vertices, faces[:, ::-1], colors, 64)
    solid = mirrored[..., 3] == 255
    assert columns[solid & (mirrored[..., 0] > mirrored[..., 2])].mean() > columns[solid].mean()


def test_preview_shows_the_side_that_cameras_saw_and_its_texture():
    vertices, faces = box()
    grey = np.full((8, 3), 128, np.uint8)
    observed = np.where(vertices[:, 0] > 0, 255, 0).astype(np.uint8)
    plain = picture(vertices, faces, grey, 64)
    # A texture of one row of texels per face: faces of +X are green and seen, all others red.
    size = 64
    texture = np.zeros((size, size, 4), np.uint8)
    uv = np.zeros((len(faces), 3, 2))
    for number, corners in enumerate(vertices[faces]):
        front = (corners[:, 0] > 0).all()
        texture[5 * number : 5 * number + 5] = (20, 220, 20, 255) if front else (220, 20, 20, 0)
        uv[number] = [0.5, 1 - (5 * number + 2.5) / size]
    for image in (
        picture(vertices, faces, grey, 64, uv.reshape(-1, 2), texture),
        picture(vertices, faces, np.where(vertices[:, :1] > 0, [20, 220, 20], [220, 20, 20]), 64, observed=observed),
    ):
        solid = image[image[..., 3] == 255].astype(int)
        assert (solid[:, 1] > 1.5 * solid[:, 0]).mean() > 0.2  # from the front, which is +X
    assert not np.array_equal(plain[..., 3], image[..., 3])  # and not from -Y, as without knowing
    assert np.ptp(plain[plain[..., 3] == 255][:, :3].max(axis=1)) > 20  # shaded, not one flat colour
