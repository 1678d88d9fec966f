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


pytestmark = pytest.mark.skipif(not os.environ.get("CLICKFIELD_EEVEE"), reason="CLICKFIELD_EEVEE is not set")


def seen_room():
    """A scene with objects and a camera that looks down on them."""
    scene = room()
    build(scene)
    scene.camera = camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location, camera.rotation_euler = (1.0, 0.9, 4.0), (0.1, 0.0, 0.3)
    scene.collection.objects.link(camera)
    scene.render.resolution_x, scene.render.resolution_y = 64, 48
    return scene


def test_eevee_renders_the_same_ids(tmp_path):
    scene = seen_room()
    made = {}
    for engine in ("CYCLES", "EEVEE"):
        wishes = label_render.Wishes(engine=engine, source="OBJECTS", exr=True)
        pictures = shots.of_cameras(scene, [scene.camera])
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


def test_a_render_of_the_scene_itself_has_them_beside_a_smooth_picture(tmp_path):
    scene = seen_room()
    for item in passes.labelled_objects(scene, CAPTURE, "OBJECT"):
        labels, confidence = scan.read_labels(item.data)
        large = labels * 470 + 3 * item.clickfield.instance  # where half precision has steps of 1/2 and of 1
        scan.write_labels(item.data, large.astype(np.uint16), confidence)
    scene.world = bpy.data.worlds.new("White")
    scene.world.color, scene.render.use_motion_blur = (1, 1, 1), True
    scene.eevee.taa_render_samples = scene.cycles.samples = 16
    scene.cycles.use_denoising = False
    made = {}
    for engine in ("CYCLES", "EEVEE"):
        assert not passes.setup(scene, CAPTURE, engine, "OBJECTS")
        scene.render.filepath = str(tmp_path / f"{engine}.exr")
        bpy.ops.render.render(write_still=True)
        made[engine] = pixels.read_exr(tmp_path / f"{engine}.exr")
    for name in ("Label", "Instance", "Level 1"):
        one, other = (channels[f"Labels.{name}.X"] for channels in made.values())
        assert np.array_equal(one, other), name
    assert set(np.unique(made["EEVEE"]["Labels.Label.X"])) == {0, 943, 1883, 1886}
    picture = made["EEVEE"][f"{scene.view_layers[0].name}.Combined.R"]
    assert len(np.unique(picture)) > 50  # edges are smooth there
    assert (scene.eevee.taa_render_samples, scene.render.filter_size) == (16, 1.5)
