"""Damaged captures of every format: read, or refused by one sentence; and what longer runs of the same have found."""

import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.captures.detect import open_capture
from backend.captures.meshes import open_mesh
from backend.errors import UserError
from tests import fuzzing, rooms, writers
from tests.backend import test_meshes as meshes

SHARE = st.floats(0, 1, exclude_max=True, allow_subnormal=False)
MUTATIONS = st.builds(fuzzing.Mutation, st.sampled_from(fuzzing.KINDS), SHARE, SHARE, st.integers(0, 65_535))
SLOW = {"transforms fisheye", "scenenet"}  # to write; the long run has them


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Undamaged subjects, written once."""
    made = {}

    def original(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("original") / "capture"
            made[name].mkdir()
            fuzzing.SUBJECTS[name].write(made[name])
        return made[name]

    return original


@pytest.mark.parametrize("name", sorted(fuzzing.SUBJECTS.keys() - SLOW))
def test_damage_is_never_worse_than_a_sentence(name, originals, tmp_path):
    original = originals(name)
    assert fuzzing.attempt(name, original, [], tmp_path).code == "read"

    @settings(
        max_examples=12 if name in fuzzing.MESHES else 4,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(MUTATIONS, min_size=1, max_size=2))
    def damaged(mutations):
        fuzzing.attempt(name, original, mutations, tmp_path)

    damaged()


# Found by benchmarks/fuzz_captures.py.


def sentence(path, code, **options):
    with pytest.raises(UserError) as caught:
        open_mesh(path) if path.suffix in (".ply", ".obj") else open_capture(path, **options)
    assert caught.value.code == code, caught.value.sentence
    assert caught.value.sentence.isprintable()
    return caught.value.sentence


def test_a_sentence_quotes_binary_rubbish_as_blanks_and_says_where(tmp_path):
    rooms.write_listed(tmp_path, 3)
    lines = (tmp_path / "poses.txt").read_bytes().split(b"\n")
    (tmp_path / "poses.txt").write_bytes(b"\n".join([lines[0], b"1 2 \0\x01\x7f 3", *lines[2:]]))
    assert "'   ' in line 2" in sentence(tmp_path, "bad_numbers")


def test_a_table_with_lone_carriage_returns(tmp_path):
    shots = writers.write_stray(tmp_path, 3)
    table = tmp_path / "odometry.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r"))
    assert len(open_capture(tmp_path, unpacked=tmp_path / "cache").frames) == len(shots)
    table.write_text("timestamp, frame, x, y, z, qx, qy, qz, qw\n" + "9" * 200_000)
    sentence(tmp_path, "bad_table", unpacked=tmp_path / "cache")


def test_a_ply_that_names_a_property_twice_and_one_without_vertices(tmp_path):
    vertex = ["property float x", *meshes.XYZ[1:], "property float x"]
    rows = b"".join(struct.pack("<4f", *corner, 77.0) for corner in meshes.CORNERS)
    rows += b"".join(struct.pack("<B4i", 4, *quad) for quad in meshes.QUADS)
    path = tmp_path / "box.ply"
    path.write_bytes(meshes.ply_header("binary_little_endian", vertex) + rows)
    assert meshes.surface(open_mesh(path, finer=False)) == meshes.THE_BOX
    path.write_bytes(meshes.ply_header("binary_little_endian", meshes.XYZ, "", n=0))
    assert "no vertices" in sentence(path, "bad_mesh")


@pytest.mark.parametrize("change", ["version", "offset"])
def test_an_archive_whose_index_is_damaged(change, tmp_path):
    path = tmp_path / "room.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("transforms.json", "{}")
    data = bytearray(path.read_bytes())
    if change == "version":
        data[data.find(b"PK\1\2") + 6] = 95  # "needs version 9.5 to extract"
    else:
        data[data.find(b"PK\5\6") + 16] += 40  # where the index begins
    path.write_bytes(data)
    assert "damaged" in sentence(path, "bad_archive", unpacked=tmp_path / "cache")


def test_a_folder_where_a_packed_depth_image_belongs_is_a_missing_image(tmp_path):
    writers.write_record3d(tmp_path, 4)
    with zipfile.ZipFile(tmp_path / "walk.r3d") as packed:
        packed.extractall(tmp_path / "walk")
    (tmp_path / "walk" / "rgbd" / "2.depth").unlink()
    (tmp_path / "walk" / "rgbd" / "2.depth").mkdir()
    capture = open_capture(tmp_path / "walk", unpacked=tmp_path / "cache")
    assert [one.reason for one in capture.left_out] == ["its depth image is missing"]


def test_hdf5_that_claims_more_than_its_bytes_hold_is_left_out(tmp_path):
    import h5py

    writers.write_hypersim(tmp_path, 3)
    path = next(tmp_path.rglob("frame.0001.depth_meters.hdf5"))
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", (9000, 12_000), np.float32, chunks=(100, 100))
    capture = open_capture(tmp_path)
    assert len(capture.frames) == 2 and "claims to hold more" in capture.left_out[0].reason


def test_a_png_whose_chunk_claims_a_gigabyte_is_not_read_into_memory(tmp_path):
    rooms.write_plain(tmp_path, 3)
    path = tmp_path / "rgb" / "00001.png"
    data = bytearray(path.read_bytes())
    at = data.find(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">I", 1 << 30)
    path.write_bytes(data)
    capture = open_capture(tmp_path)
    assert [one.reason for one in capture.left_out] == ["its colour image is cut off"]


def test_an_obj_whose_rows_have_too_few_numbers(tmp_path):
    fuzzing.SUBJECTS["obj"].write(tmp_path)
    path = tmp_path / "s.obj"
    good = path.read_text().splitlines()
    short = [line.rpartition(" ")[0] if line.startswith("vt ") else line for line in good]
    path.write_text("\n".join(short) + "\n")
    assert open_mesh(path, finer=False).vertices.shape == (4, 3)
    path.write_text("\n".join(line[:3] if line.startswith("v ") else line for line in good) + "\n")
    assert "three numbers" in sentence(path, "bad_mesh")


def test_a_file_of_true_labels_that_is_no_ply(tmp_path):
    fuzzing.SUBJECTS["scannet mesh"].write(tmp_path)
    (tmp_path / "s_vh_clean_2.labels.ply").write_bytes(b"{}\nend_header\n")
    assert "labels.ply" in sentence(tmp_path / "s_vh_clean_2.ply", "bad_mesh")
