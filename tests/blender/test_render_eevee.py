"""EEVEE renders the same ids as Cycles. It takes a minute without a graphics card, so it runs only when asked to.

CLICKFIELD_EEVEE=1 python -m pytest tests/blender/test_render_eevee.py
"""

import os
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import label_files, label_render, passes, pixels, scan, shots

sys.path.insert(0, str(Path(__file__).parent))
from separated_room import CAPTURE, build, room

EDGE = 0.25  # share of the pixels that may lie on an edge, where either side is right


@pytest.mark.skipif(not os.environ.get("CLICKFIELD_EEVEE"), reason="CLICKFIELD_EEVEE is not set")
def test_eevee_renders_the_same_ids(tmp_path):
    scene = room()
    build(scene)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location, camera.rotation_euler = (1.0, 0.9, 4.0), (0.1, 0.0, 0.3)
    scene.collection.objects.link(camera)
    scene.render.resolution_x, scene.render.resolution_y = 64, 48
    made = {}
    for engine in ("CYCLES", "EEVEE"):
        wishes = label_render.Wishes(engine=engine, source="OBJECTS", exr=True)
        pictures = shots.of_cameras(scene, [camera])
        label_render.run(label_render.series(scene, CAPTURE, pictures, wishes, tmp_path / engine))
        made[engine] = label_files.unpacked(pixels.read_exr(tmp_path / engine / "exr" / "Camera.exr"))
    one, other = made["CYCLES"], made["EEVEE"]
    for name in ("labels", "instances"):
        ids = [set(np.unique(getattr(each, name))) for each in (one, other)]
        assert ids[0] == ids[1]  # nothing in between
        assert (getattr(one, name) != getattr(other, name)).mean() < EDGE
    inner = np.ones(one.labels.shape, bool)
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        inner &= np.roll(one.labels * 256 + one.instances, shift, (0, 1)) == one.labels * 256 + one.instances
    assert np.array_equal(one.labels[inner], other.labels[inner]) and inner.mean() > 1 - EDGE
    assert np.array_equal(one.instances[inner], other.instances[inner])
    np.testing.assert_allclose(one.depth[inner], other.depth[inner], atol=0.01)
    body = scan.find_scan(scene, CAPTURE)
    labels, confidence = scan.read_labels(body.data)
    scan.write_labels(body.data, np.where(labels == 4, 40321, labels).astype(np.uint16), confidence)
    with pytest.raises(passes.PassError, match="up to 2048, but there is 40321"):
        passes.check_engine(scene, "EEVEE", [body])
