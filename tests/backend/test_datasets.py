"""Data sets, each read again by the library or the reader that its format is made for."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from backend import dataset_job, protocol
from backend.__main__ import main
from backend.captures.detect import ImportOptions, open_capture
from backend.datasets.masks import box_of, polygons, run_lengths
from backend.errors import Cancelled, UserError
from backend.evaluation.truth import load_truth
from backend.new_folder import new_folder
from backend.service import Service, packed
from tests import rooms

coco_masks = pytest.importorskip("pycocotools.mask")
coco_api = pytest.importorskip("pycocotools.coco")

FRAMES = 5
BOX, KNOWN = 70, (5, 2, 9)  # the label of all boxes, and numbers that the boxes had before


def silent(fraction, text):
    """No progress wanted."""


def read(path):
    return np.asarray(Image.open(path))


# Masks.


def shapes():
    """Masks with holes, diagonal touches, single pixels, full and stripes."""
    rng = np.random.default_rng(3)
    ring = np.zeros((30, 41), bool)
    ring[3:27, 5:38] = True
    ring[8:12, 10:30] = ring[20:24, 20:21] = False
    ring[9:11, 15:20] = True
    corners = np.eye(9, 13, dtype=bool) | np.eye(9, 13, k=3, dtype=bool)
    block = np.zeros((40, 60), bool)
    block[10:20, 5:30] = True
    noise = rng.random((2, 37, 29)) < np.array([0.4, 0.8])[:, None, None]
    return [ring, corners, block, *noise, np.ones((5, 7), bool), np.zeros((4, 4), bool), ~np.eye(12, dtype=bool)]


@pytest.mark.parametrize("mask", shapes())
def test_run_lengths_are_those_of_coco(mask):
    mine = run_lengths(mask)
    assert np.array_equal(coco_masks.decode(mine).astype(bool), mask)
    theirs = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert mine == {"size": theirs["size"], "counts": theirs["counts"].decode("ascii")}
    assert coco_masks.area(mine) == mask.sum()
    if mask.any():
        assert box_of(mask) == coco_masks.toBbox(mine).tolist()


@pytest.mark.parametrize("mask", [mask for mask in shapes() if mask.any()])
def test_polygons_cover_the_mask_without_holes(mask):
    outlines = polygons(mask)
    area = 0.0
    for outline in outlines:
        x, y = np.array(outline, float).reshape(-1, 2).T
        area += 0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
    assert area == mask.sum()
    drawn = coco_masks.decode(
        coco_masks.merge(coco_masks.frPyObjects([[float(v) for v in o] for o in outlines], *mask.shape))
    )
    assert np.array_equal(drawn.astype(bool), mask)


# A whole data set, from an open capture.


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The room with its boxes as instances of one label, written in every format through the service."""
    folder = tmp_path_factory.mktemp("data ünï")
    shots = rooms.write_transforms(folder / "capture", n_frames=FRAMES)
    document = rooms.marks_for(shots)
    tree = [{**node, "thing": False} for node in document["tree"] if node["uid"] < BOX]
    tree.append({"uid": BOX, "name": "Kiste", "parent": 0, "kind": "class", "color": [1.0, 0.5, 0.0]})
    marks = [{**mark, "label": min(mark["label"], BOX)} for mark in document["marks"]]
    boxes = rooms.Room().boxes
    known = [
        {"label": BOX, "instance": number, "centre": np.mean([box.low, box.high], axis=0).tolist()}
        for number, box in zip(KNOWN, boxes, strict=True)
    ]
    arrays = {}
    for index, box in enumerate(boxes):
        solid = trimesh.creation.box(bounds=[box.low, box.high])
        arrays[f"o{index}.positions"] = packed(solid.vertices.astype(np.float32))
        arrays[f"o{index}.faces"] = packed(solid.faces.astype(np.int32))
    service = Service(lambda *message: None, "cpu")
    exact = {"refine_poses": False}  # the room's own, to compare with
    service.handle("open", {"path": str(folder / "capture"), "options": exact}, {}, silent)
    checked = protocol.checked_document({"revision": 1, "tree": tree, "marks": marks})
    service.handle("document", {"document": checked}, {}, silent)
    request = {
        "folder": str(folder / "out"),
        "formats": ["ply", "coco", "pngs", "scannet"],
        "known": known,
        "objects": [{"label": BOX, "instance": number} for number in KNOWN],
    }
    report, _ = service.handle("dataset", request, arrays, silent)
    yield folder, shots, report, service, request
    service.close()


def truth_of(shot):
    """Uids and instances (H, W) of a shot, from the room itself."""
    labels = np.minimum(shot.labels.astype(int) * 10, BOX)
    return labels, np.array([0] * 7 + list(KNOWN))[shot.labels]


def test_maps_agree_with_the_room(made):
    folder, shots, report, *_ = made
    assert report["frames"] == FRAMES and report["left_out"] == []
    capture = open_capture(folder / "capture", ImportOptions(), silent)
    truth = load_truth(folder / "out" / "pngs" / "labels", capture)
    assert truth.name(BOX) == "Kiste" and not truth.tree.labels[10].thing and truth.tree.labels[BOX].thing
    for shot in shots:
        labels, instances = truth_of(shot)
        mine = read(folder / "out" / "pngs" / "instances" / f"{shot.name}.png")
        assert (truth.of(shot.name) == labels).mean() > 0.95
        assert (mine == instances).mean() > 0.95 and set(np.unique(mine)) <= {0, *KNOWN}
        assert (folder / "out" / "pngs" / "images" / f"{shot.name}.png").read_bytes() == (
            folder / "capture" / "images" / f"{shot.name}.png"
        ).read_bytes()


def test_panoptic_picture_and_json_name_the_same_segments(made):
    folder, shots, *_ = made
    place = folder / "out" / "coco"
    data = json.loads((place / "annotations" / "panoptic.json").read_text(encoding="utf-8"))
    kinds = {entry["id"]: entry["isthing"] for entry in data["categories"]}
    assert kinds[BOX] == 1 and kinds[10] == 0
    assert len(data["annotations"]) == len(data["images"]) == FRAMES
    for entry, shot in zip(data["annotations"], shots, strict=True):
        pixels = read(place / "panoptic" / entry["file_name"]).astype(int)
        ids = pixels[..., 0] + 256 * pixels[..., 1] + 256**2 * pixels[..., 2]
        said = {segment["id"]: segment for segment in entry["segments_info"]}
        assert set(np.unique(ids)) - {0} == set(said)
        labels = read(folder / "out" / "pngs" / "labels" / f"{shot.name}.png").astype(int)
        instances = read(folder / "out" / "pngs" / "instances" / f"{shot.name}.png")
        assert np.array_equal(ids, labels * 256 + instances)
        for number, segment in said.items():
            assert segment["area"] == (ids == number).sum() and segment["bbox"] == box_of(ids == number)
            assert segment["category_id"] == number >> 8 and segment["iscrowd"] == (number == BOX * 256)


def test_instances_load_in_cocos_own_library(made):
    folder, shots, report, *_ = made
    place = folder / "out" / "coco" / "annotations"
    exact, outlined, whole = (
        coco_api.COCO(str(place / f"{name}.json")) for name in ("instances", "instances_polygons", "instances_amodal")
    )
    counts = report["formats"]["coco"]
    assert len(exact.anns) == counts["instances"] > 2 * FRAMES and len(outlined.anns) == counts["instances_polygons"]
    assert len(whole.anns) == counts["instances_amodal"]
    names = {image["id"]: image["file_name"].removesuffix(".png") for image in exact.imgs.values()}
    by_name = {shot.name: shot for shot in shots}
    for entry in exact.anns.values():
        mask = exact.annToMask(entry).astype(bool)
        shown = read(folder / "out" / "coco" / "panoptic" / f"{names[entry['image_id']]}.png").astype(int)
        assert np.array_equal(mask, shown @ [1, 256, 65536] == entry["category_id"] * 256 + entry["instance"])
        assert entry["area"] == mask.sum()
        if not entry["iscrowd"]:
            assert np.array_equal(outlined.annToMask(outlined.anns[entry["id"]]).astype(bool), mask)
    for entry in whole.anns.values():
        shot = by_name[names[entry["image_id"]]]
        mask = whole.annToMask(entry).astype(bool)
        visible = coco_masks.decode(entry["visible_mask"]).astype(bool)
        alone = rooms.Room(boxes=(rooms.Room().boxes[KNOWN.index(entry["instance"])],))
        truth = rooms.render(shot.camera, shot.camera_to_world, alone)[2] == 7
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9 and (visible <= mask).all()
        assert entry["occlude_rate"] == pytest.approx(1 - visible.sum() / mask.sum(), abs=1e-6)


def test_scannet_folder_is_a_capture_with_true_labels(made):
    folder, shots, *_ = made
    place = folder / "out" / "scannet"
    capture = open_capture(place, ImportOptions(), silent)
    original = open_capture(folder / "capture", ImportOptions(), silent)
    assert capture.format == "ScanNet folder" and len(capture.frames) == FRAMES
    assert capture.classes == {
        node["uid"]: node["name"] for node in json.loads((folder / "out/pngs/classes.json").read_text("utf-8"))["tree"]
    }
    groups = json.loads((place / "scannet.aggregation.json").read_text(encoding="utf-8"))["segGroups"]
    numbers = {group["objectId"] + 1: (group["labelId"], group["instance"]) for group in groups}
    assert {(BOX, number) for number in KNOWN} < set(numbers.values())
    for index, shot in enumerate(shots):
        frame = capture.frame(str(index))
        np.testing.assert_allclose(
            capture.camera_to_scene(frame), original.camera_to_scene(original.frame(shot.name)), atol=1e-9
        )
        np.testing.assert_allclose(frame.depth(), original.frame(shot.name).depth(), atol=6e-4)
        labels = read(folder / "out" / "pngs" / "labels" / f"{shot.name}.png")
        instances = read(folder / "out" / "pngs" / "instances" / f"{shot.name}.png")
        assert np.array_equal(frame.labels(), labels)
        back = np.array([numbers.get(n, (0, 0)) for n in range(max(numbers) + 1)])[frame.instances()]
        known = frame.instances() > 0
        assert np.array_equal(back[known], np.stack([labels, instances], axis=-1)[known])
        assert (known == (labels > 0) & ((labels != BOX) | (instances > 0))).all()


def test_cloud_carries_labels_and_instances(made):
    folder, _, report, *_ = made
    mesh = trimesh.load(folder / "out" / "scan.ply", process=False)
    data = mesh.metadata["_ply_raw"]["vertex"]["data"]
    assert report["formats"]["ply"]["vertices"] == len(mesh.vertices) == len(data["label"]) and len(mesh.faces) > 1000
    for number, box in zip(KNOWN, rooms.Room().boxes, strict=True):
        points = mesh.vertices[(np.ravel(data["label"]) == BOX) & (np.ravel(data["instance"]) == number)]
        assert len(points) > 50
        inside = (points > np.array(box.low) - 0.15) & (points < np.array(box.high) + 0.15)
        assert inside.all(axis=1).mean() > 0.9  # behind the boxes nothing was seen
    assert not np.ravel(data["instance"])[np.ravel(data["label"]) != BOX].any()


# What can go wrong.


def test_what_cannot_be_written_is_told_in_one_sentence(made, tmp_path):
    folder, _, _, service, request = made
    wanted = {**request, "folder": str(tmp_path / "out"), "objects": []}
    for change, said in (
        ({"folder": str(folder / "out")}, "not an empty folder"),
        ({"formats": ["coco", "yolo"]}, "no data set format called yolo"),
        ({"formats": []}, "No format"),
        ({"frames": ["nowhere"]}, "no keyframe called nowhere"),
        ({"frames": []}, "No keyframe was chosen"),
        ({"objects": [{"label": BOX, "instance": 1}]}, "Object number 1"),
        ({"min_size": "big"}, "min_size"),
    ):
        with pytest.raises(UserError, match=said):
            service.handle("dataset", {**wanted, **change}, {}, silent)
    assert list(tmp_path.iterdir()) == []


def test_label_maps_of_a_folder_become_a_data_set(tmp_path, capsys):
    """What Blender renders has this layout; a broken picture costs its frame, a high number its object."""
    shots = rooms.write_transforms(tmp_path / "renders", n_frames=4)
    for shot in shots:
        labels, instances = truth_of(shot)
        instances = np.where(instances == KNOWN[0], 300, instances)
        rooms.save_image(tmp_path / "renders" / "labels" / f"{shot.name}.png", labels.astype(np.uint16))
        rooms.save_image(tmp_path / "renders" / "instances" / f"{shot.name}.png", instances.astype(np.uint16))
    tree = [{"uid": uid, "name": str(uid), "parent": 0, "thing": uid == BOX} for uid in range(10, BOX + 1, 10)]
    (tmp_path / "renders" / "classes.json").write_text(json.dumps({"tree": tree}))
    depth = tmp_path / "renders" / "depth" / f"{shots[1].name}.png"
    depth.write_bytes(depth.read_bytes()[:200])
    command = ["dataset", str(tmp_path / "renders"), "--out", str(tmp_path / "out"), "--formats"]
    assert main([*command, "pngs,coco"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 3 and [one["name"] for one in report["left_out"]] == [shots[1].name]
    assert any("numbers above 255" in note for note in report["notes"])
    labels, instances = truth_of(shots[2])
    assert np.array_equal(read(tmp_path / "out" / "pngs" / "labels" / f"{shots[2].name}.png"), labels)
    kept = read(tmp_path / "out" / "pngs" / "instances" / f"{shots[2].name}.png")
    assert np.array_equal(kept, np.where(instances == KNOWN[0], 0, instances))
    data = json.loads((tmp_path / "out" / "coco" / "annotations" / "instances.json").read_text())
    assert {entry["iscrowd"] for entry in data["annotations"] if entry["instance"] == 0} == {1}
    done = sorted(path.name for path in tmp_path.iterdir())

    def impatient(fraction, text):
        if text.endswith(shots[3].name):
            raise Cancelled

    with pytest.raises(Cancelled):
        dataset_job.run(dataset_job.DatasetJob(tmp_path / "renders", tmp_path / "half", formats="coco"), impatient)
    assert sorted(path.name for path in tmp_path.iterdir()) == done
    assert main([*command[:-3], "--out", str(tmp_path / "other"), "--formats", "ply"]) == 2
    assert "ply" in capsys.readouterr().err


def test_a_missing_source_is_not_blamed_on_the_new_folder(tmp_path):
    out, missing = tmp_path / "results" / "set", tmp_path / "capture" / "000000.png"
    with pytest.raises(UserError, match=r"^The file .*000000\.png cannot be read") as told, new_folder(out) as made:
        (made / "half.txt").write_text("half")
        missing.read_bytes()
    assert told.value.code == "unreadable" and not list(out.parent.iterdir())
    with pytest.raises(UserError, match=r"^The folder .*set could not be written"), new_folder(out) as made:
        (made / "absent" / "file.txt").write_text("nowhere")
