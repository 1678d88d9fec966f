"""Pictures of separated objects."""

import numpy as np

from backend.objects.preview import previews
from backend.objects.separation import SceneObject, SeparationResult


def ball(color, count=24):
    """A coloured sphere of 0.3 m."""
    theta, phi = np.meshgrid(np.linspace(0, np.pi, count), np.linspace(0, 2 * np.pi, count), indexing="ij")
    vertices = 0.3 * np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    size = count * count
    return SceneObject(
        label=1,
        instance=1,
        name="Ball",
        vertices=vertices.reshape(-1, 3).astype(np.float32),
        faces=faces,
        colors=np.tile(np.uint8(color), (size, 1)),
        labels=np.ones(size, np.uint16),
        confidence=np.ones(size, np.float32),
        origin=np.zeros(3),
        dimensions=np.full(3, 0.6),
    )


def test_each_object_has_a_picture_in_its_colour_on_a_clear_ground():
    told = []
    result = SeparationResult((ball((200, 40, 30)), ball((30, 60, 200))), 0, 0, 0)
    red, blue = previews(result, 64, lambda fraction, text: told.append((fraction, text)))
    for picture in (red, blue):
        assert picture.shape == (64, 64, 4) and picture.dtype == np.uint8
        assert picture[0, 0, 3] == 0 and picture[32, 32, 3] == 255
        assert 0.3 < (picture[..., 3] > 127).mean() < 0.8  # a ball that fills most of the frame
        assert np.ptp(picture[picture[..., 3] > 127][:, :3].max(axis=1)) > 30  # shaded, not one flat colour
    assert red[32, 32, 0] > 2 * red[32, 32, 2] and blue[32, 32, 2] > 2 * blue[32, 32, 0]
    assert told == [(0.0, "Drawing Ball"), (0.5, "Drawing Ball")]
