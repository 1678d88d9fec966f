"""Meshes and clouds without images: each format written byte by byte from its description, and broken in many ways."""

import json
import struct
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from backend.captures import arrays
from backend.captures.detect import ImportOptions
from backend.captures.meshes import find_mesh, open_mesh, part, scanned_arrays
from backend.captures.meshes.part import Part
from backend.captures.meshes.refine import longest_edge, refine
from backend.errors import UserError

# A box of 2 x 1 x 0.5 m, one colour per corner.
CORNERS = np.array([[x, y, z] for x in (0, 2) for y in (0, 1) for z in (0, 0.5)], np.float32)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
TRIANGLES = np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))])
COLORS = np.array([[20 * k, 255 - 20 * k, 7 * k] for k in range(8)], np.uint8)


def surface(mesh):
    """Area, box and number of the triangles: what any way of writing must keep."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    return round(area, 4), mesh.vertices.min(0).tolist(), mesh.vertices.max(0).tolist(), len(mesh.faces)


THE_BOX = (7.0, [0, 0, 0], [2, 1, 0.5], 12)


def assert_box(mesh, colored=True):
    assert surface(mesh) == THE_BOX and len(mesh.vertices) == 8
    if colored:
        order = [int(np.linalg.norm(mesh.vertices - corner, axis=1).argmin()) for corner in CORNERS]
        assert np.array_equal(mesh.colors[order], COLORS)


def plain(path, **options):
    return open_mesh(path, ImportOptions(**options), finer=False)


def refused(path, code="bad_mesh"):
    with pytest.raises(UserError) as caught:
        plain(path)
    assert caught.value.code == code, caught.value.sentence
    assert caught.value.sentence.endswith(".") and len(caught.value.sentence) < 300
    return caught.value.sentence


# PLY.


def ply_header(order, vertex, face="property list uchar int vertex_indices", n=8, f=6, newline="\n"):
    lines = ["ply", f"format {order} 1.0", "comment made by hand", f"element vertex {n}", *vertex]
    lines += [f"element face {f}", face] if face else []
    return (newline.join([*lines, "end_header"]) + newline).encode()


XYZ = ["property float x", "property float y", "property float z"]
RGB = ["property uchar red", "property uchar green", "property uchar blue"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("order", "mark"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_ply_binary(tmp_path, order, mark, newline):
    body = b"".join(struct.pack(mark + "3f3B", *p, *c) for p, c in zip(CORNERS, COLORS, strict=True))
    body += b"".join(struct.pack(mark + "B4i", 4, *quad) for quad in QUADS)
    (tmp_path / "box.ply").write_bytes(ply_header(order, XYZ + RGB, newline=newline) + body)
    assert_box(plain(tmp_path / "box.ply"))


def test_ply_ascii(tmp_path):
    rows = [" ".join(map(str, [*p, *c])) for p, c in zip(CORNERS.tolist(), COLORS.tolist(), strict=True)]
    rows += [f"4 {a} {b} {c} {d}" for a, b, c, d in QUADS]
    (tmp_path / "box.ply").write_bytes(ply_header("ascii", XYZ + RGB) + "\n".join(rows).encode() + b"\n")
    assert_box(plain(tmp_path / "box.ply"))


def test_ply_with_properties_in_any_order_and_of_any_type(tmp_path):
    """Doubles, float colours, a list on vertices, triangles and quads mixed, values before and after the corners."""
    vertex = ["property double z", "property float red", "property list ushort short more", "property double x"]
    vertex += ["property float blue", "property float green", "property double y", "property int instance"]
    face = "property ushort flags\nproperty list uint ushort vertex_index\nproperty list uchar float texcoord"
    body = b""
    for k, (p, c) in enumerate(zip(CORNERS, COLORS / 255, strict=True)):
        body += struct.pack(">dfH", p[2], c[0], k) + struct.pack(f">{k}h", *range(k))
        body += struct.pack(">dffdi", p[0], c[2], c[1], p[1], k - 1)
    polygons = [*TRIANGLES[:2].tolist(), *QUADS[1:]]
    for polygon in polygons:
        body += struct.pack(f">HI{len(polygon)}HB2f", 9, len(polygon), *polygon, 2, 0.5, 0.5)
    (tmp_path / "box.ply").write_bytes(ply_header("binary_big_endian", vertex, face, f=len(polygons)) + body)
    mesh = plain(tmp_path / "box.ply")
    assert_box(mesh)
    assert mesh.instances.tolist() == [0, 0, 1, 2, 3, 4, 5, 6]  # -1 is none


def test_ply_colours_of_16_bits(tmp_path):
    vertex = [*XYZ, *(line.replace("uchar", "ushort") for line in RGB)]
    body = b"".join(struct.pack("<3f3H", *p, *(257 * int(x) for x in c)) for p, c in zip(CORNERS, COLORS, strict=True))
    body += b"".join(struct.pack("<B4i", 4, *quad) for quad in QUADS)
    (tmp_path / "box.ply").write_bytes(ply_header("binary_little_endian", vertex) + body)
    assert_box(plain(tmp_path / "box.ply"))


def little(tmp_path, body=None, **header):
    """A binary PLY of the box without colours, its body or header exchanged."""
    good = CORNERS.tobytes() + b"".join(struct.pack("<B4i", 4, *quad) for quad in QUADS)
    path = tmp_path / "box.ply"
    path.write_bytes(ply_header("binary_little_endian", XYZ, **header) + (good if body is None else body(good)))
    return path


def test_hostile_ply(tmp_path):
    assert "promises" in refused(little(tmp_path, n=10**7))
    assert "promises" in refused(little(tmp_path, f=10**7))
    refused(little(tmp_path, lambda good: good[:-3]))
    assert "names vertex 9999" in refused(little(tmp_path, lambda good: good[:-4] + struct.pack("<i", 9999)))
    assert "names vertex -5" in refused(little(tmp_path, lambda good: good[:-4] + struct.pack("<i", -5)))
    assert "list of" in refused(little(tmp_path, lambda good: good[:96] + b"\xff" + good[97:]))
    assert "header" in refused(little(tmp_path, face="property list uchar int vertex_indices\nnonsense here"))
    path = tmp_path / "words.ply"
    path.write_bytes(ply_header("ascii", XYZ, "", n=2) + b"0 0 zero\n1 1 1\n")
    refused(path)
    path.write_bytes(b"")
    refused(path, "unknown_format")
    path.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 3\n")
    refused(path)


def test_a_count_beyond_the_limit_is_refused_before_anything_is_read(tmp_path):
    sentence = refused(little(tmp_path, n=10**8), "mesh_too_large")
    assert "Decimate" in sentence


def test_broken_vertices_are_left_out_and_counted(tmp_path):
    broken = CORNERS.copy()
    broken[7, 1] = np.nan
    path = little(tmp_path, lambda good: broken.tobytes() + good[96:])
    mesh = plain(path)
    assert len(mesh.vertices) == 7 and np.isfinite(mesh.vertices).all()
    assert any(note.startswith("1 vertices without finite") for note in mesh.notes)
    broken[:] = np.inf
    refused(little(tmp_path, lambda good: broken.tobytes() + good[96:]))


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 420), st.binary(min_size=1, max_size=6))
def test_no_damage_of_a_ply_is_worse_than_a_sentence(tmp_path, at, rubbish):
    path = little(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:at] + rubbish + data[at + len(rubbish) :])
    try:
        plain(path)
    except UserError as error:
        assert error.sentence.endswith(".")


# STL, OBJ, glTF.


def test_stl(tmp_path):
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *CORNERS[t].ravel(), 0) for t in TRIANGLES)
    (tmp_path / "box.stl").write_bytes(b"solid it says".ljust(80) + struct.pack("<I", 12) + body)
    assert_box(plain(tmp_path / "box.stl"), colored=False)
    (tmp_path / "cut.stl").write_bytes(b"\0" * 80 + struct.pack("<I", 12) + body[:-7])
    refused(tmp_path / "cut.stl")
    (tmp_path / "many.stl").write_bytes(b"\0" * 80 + struct.pack("<I", 2**32 - 1) + body)
    refused(tmp_path / "many.stl")
    corners = "\n".join(
        "facet normal 0 0 1\nouter loop\n" + "\n".join(f"vertex {x} {y} {z}" for x, y, z in CORNERS[t]) + "\nendloop"
        for t in TRIANGLES
    )
    (tmp_path / "ascii.stl").write_text(f"solid box\n{corners}\nendsolid")
    assert_box(plain(tmp_path / "ascii.stl"), colored=False)
    (tmp_path / "words.stl").write_text(f"solid box\n{corners}\nvertex a b c\nendsolid")
    refused(tmp_path / "words.stl")


def test_obj_with_vertex_colours(tmp_path):
    rows = ["# a box", "o box"]
    rows += [
        f"v {x} {y} {z} {r:.6f} {g:.6f} {b:.6f}" for (x, y, z), (r, g, b) in zip(CORNERS, COLORS / 255, strict=True)
    ]
    rows += ["f " + " ".join(str(k + 1) for k in quad) for quad in QUADS]
    (tmp_path / "box.obj").write_text("\n".join(rows) + "\n")
    mesh = plain(tmp_path / "box.obj")
    assert surface(mesh) == THE_BOX
    assert np.abs(mesh.colors.astype(int).mean(0) - COLORS.astype(int).mean(0)).max() <= 1
    (tmp_path / "out.obj").write_text("\n".join([*rows, "f 1 2 400"]) + "\n")
    refused(tmp_path / "out.obj")


def textured_obj(folder, picture):
    """A square of 1 m whose left half is red and right half blue."""
    folder.mkdir(exist_ok=True)
    (folder / "s.mtl").write_text(f"newmtl m\nKd 1 1 1\nmap_Kd {picture}\n")
    (folder / "s.obj").write_text(
        "mtllib s.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl m\n"
        "f 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
    )
    return folder / "s.obj"


def test_a_texture_becomes_vertex_colours(tmp_path):
    path = textured_obj(tmp_path / "s", "t.png")
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :32, 0], pixels[:, 32:, 2] = 255, 255
    Image.fromarray(pixels).save(tmp_path / "s" / "t.png")
    mesh = open_mesh(path)
    assert len(mesh.vertices) > 10_000
    red, side = mesh.colors[:, 0] == 255, mesh.vertices[:, 0]
    assert (red == (side < 0.5))[np.abs(side - 0.5) > 0.02].all()


def test_files_outside_of_the_folder_are_not_opened(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "secret.png")
    for name in ("../secret.png", str(tmp_path / "secret.png")):
        mesh = plain(textured_obj(tmp_path / "s", name))
        assert (
            any("outside of its folder" in note for note in mesh.notes)
            and not (mesh.colors == [255, 0, 0]).all(1).any()
        )


def glb(tree, binary):
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def box_tree():
    indices = TRIANGLES.astype("<u2").tobytes()
    colors = np.concatenate([COLORS, np.full((8, 1), 255, np.uint8)], 1).tobytes()
    # glTF has Y up: the scene's (x, y, z) is its (x, z, -y).
    places = np.stack([CORNERS[:, 0], CORNERS[:, 2], -CORNERS[:, 1]], 1).astype("<f4")
    binary = places.tobytes() + colors + indices
    views = [{"buffer": 0, "byteOffset": a, "byteLength": n} for a, n in ((0, 96), (96, 32), (128, len(indices)))]
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": 8, "type": "VEC3"},
        {"bufferView": 1, "componentType": 5121, "count": 8, "type": "VEC4", "normalized": True},
        {"bufferView": 2, "componentType": 5123, "count": 36, "type": "SCALAR"},
    ]
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2}
    tree = {
        **{"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}]},
        **{"meshes": [{"primitives": [primitive]}], "buffers": [{"byteLength": len(binary)}]},
        **{"bufferViews": views, "accessors": accessors},
    }
    return tree, binary


def test_glb_stands_upright(tmp_path):
    (tmp_path / "box.glb").write_bytes(glb(*box_tree()))
    assert_box(plain(tmp_path / "box.glb"))


def test_hostile_glb(tmp_path):
    tree, binary = box_tree()
    path = tmp_path / "box.glb"
    whole = glb(tree, binary)
    path.write_bytes(whole[:-20])
    refused(path)
    tree["accessors"][0]["count"] = 10**9
    path.write_bytes(glb(tree, binary))
    assert "promises more" in refused(path)
    tree, binary = box_tree()
    tree["accessors"][2]["bufferView"] = 77
    path.write_bytes(glb(tree, binary))
    refused(path)
    path.write_bytes(b"glTF" + b"\xff" * 40)
    refused(path)


def test_a_mesh_that_is_placed_a_million_times_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(part, "MAX_VERTICES", 100)
    tree, binary = box_tree()
    tree["nodes"] = [{"mesh": 0, "translation": [k, 0, 0]} for k in range(20)]
    tree["scenes"] = [{"nodes": list(range(20))}]
    (tmp_path / "boxes.glb").write_bytes(glb(tree, binary))
    refused(tmp_path / "boxes.glb", "mesh_too_large")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(12, 1400), st.binary(min_size=1, max_size=4))
def test_no_damage_of_a_glb_is_worse_than_a_sentence(tmp_path, at, rubbish):
    whole = glb(*box_tree())
    (tmp_path / "box.glb").write_bytes(whole[:at] + rubbish + whole[at + len(rubbish) :])
    try:
        plain(tmp_path / "box.glb")
    except UserError as error:
        assert error.sentence.endswith(".")


# Clouds.


def pcd_header(kind, n, rgb="U"):
    return (
        (
            "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F {}\nCOUNT 1 1 1 1\n"
            f"WIDTH {n}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {n}\nDATA {kind}\n"
        )
        .format(rgb)
        .encode()
    )


def literal_lzf(data):
    """LZF of literal runs, and one reference at its end: four zeros that were written before."""
    runs = [data[k : k + 32] for k in range(0, len(data), 32)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
def test_pcd(tmp_path, kind):
    bits = (COLORS.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(1).astype("<u4")
    if kind == "ascii":
        body = "\n".join(f"{x} {y} {z} {c}" for (x, y, z), c in zip(CORNERS, bits, strict=True)).encode()
    elif kind == "binary":
        body = b"".join(struct.pack("<3fI", *p, c) for p, c in zip(CORNERS, bits, strict=True))
    else:
        columns = b"".join(np.ascontiguousarray(CORNERS[:, k]).tobytes() for k in range(3)) + bits.tobytes()
        packed = literal_lzf(columns)
        body = struct.pack("<II", len(packed), len(columns)) + packed
    path = tmp_path / "c.pcd"
    path.write_bytes(pcd_header(kind, 8) + body)
    cloud = plain(path)
    assert not len(cloud.faces)
    assert np.array_equal(cloud.vertices, CORNERS) and np.array_equal(cloud.colors, COLORS)
    path.write_bytes(pcd_header(kind, 9) + body)
    refused(path)
    path.write_bytes(pcd_header(kind, 10**14) + body)
    refused(path, "mesh_too_large")


def test_lzf_references(tmp_path):
    """A run of zeros as one literal and a reference to it that overlaps itself."""
    columns = np.zeros((4, 8), "<f4")
    columns[0] = 0
    packed = b"\x00\x00" + bytes([7 << 5, 127 - 9, 0])  # one zero, then 127 more from one byte back
    path = tmp_path / "c.pcd"
    path.write_bytes(pcd_header("binary_compressed", 8) + struct.pack("<II", len(packed), 128) + packed)
    assert "one point" in refused(path)  # all were read, and all are the origin
    packed = b"\x00\x00" + bytes([7 << 5, 127 - 9, 200])  # back to before the beginning
    path.write_bytes(pcd_header("binary_compressed", 8) + struct.pack("<II", len(packed), 128) + packed)
    assert "damaged" in refused(path)


def test_e57_stations_are_placed(tmp_path):
    pye57 = pytest.importorskip("pye57")
    file = pye57.E57(str(tmp_path / "two.e57"), mode="w")
    colors = {f"color{name}": COLORS[:, k] for k, name in enumerate(("Red", "Green", "Blue"))}
    places = []
    for station in range(2):
        local = {f"cartesian{axis}": CORNERS[:, k].astype(np.float64) for k, axis in enumerate("XYZ")}
        half = np.sqrt(0.5)  # a quarter turn about Z for the second station, as a quaternion w x y z
        turn, move = ((half, 0, 0, half), (5.0, 1, 0)) if station else ((1, 0, 0, 0), (0, 0, 0))
        file.write_scan_raw(local | colors, rotation=np.array(turn, float), translation=np.array(move, float))
        x, y, z = CORNERS.T.astype(np.float64)
        places.append(np.stack([-y, x, z] if station else [x, y, z], axis=1) + move)
    file.close()
    cloud = plain(tmp_path / "two.e57")
    assert not len(cloud.faces) and len(cloud.vertices) == 16
    for place, color in zip(np.concatenate(places), np.tile(COLORS, (2, 1)), strict=True):
        distance = np.linalg.norm(cloud.vertices - place, axis=1)
        assert distance.min() < 1e-5 and np.array_equal(cloud.colors[distance.argmin()], color)
    whole = (tmp_path / "two.e57").read_bytes()
    (tmp_path / "cut.e57").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.e57")


def test_e57_without_its_package_names_it(tmp_path, monkeypatch):
    (tmp_path / "s.e57").write_bytes(b"ASTM-E57" + b"\0" * 100)
    monkeypatch.setitem(sys.modules, "pye57", None)
    assert "pye57" in refused(tmp_path / "s.e57", "missing_package")


# Truth, scale, refinement.


def test_scannet_truth_lies_beside_the_mesh(tmp_path):
    path = little(tmp_path)
    path.rename(tmp_path / "scene0000_00_vh_clean_2.ply")
    path = tmp_path / "scene0000_00_vh_clean_2.ply"
    segments = {"segIndices": [5, 5, 5, 9, 9, 9, 2, 2]}
    groups = {"segGroups": [{"objectId": 0, "segments": [5], "label": "chair"}]}
    groups["segGroups"].append({"objectId": 3, "segments": [2], "label": "table"})
    (tmp_path / "scene0000_00_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    (tmp_path / "scene0000_00.aggregation.json").write_text(json.dumps(groups))
    mesh = plain(path)
    assert mesh.instances.tolist() == [1, 1, 1, 0, 0, 0, 4, 4]
    assert mesh.classes == {1: "chair", 2: "table"} and mesh.labels.tolist() == [1, 1, 1, 0, 0, 0, 2, 2]
    labels = b"".join(CORNERS[k].tobytes() + struct.pack("<H", 30 + k) for k in range(8))
    header = ply_header("binary_little_endian", [*XYZ, "property ushort label"], "")
    (tmp_path / "scene0000_00_vh_clean_2.labels.ply").write_bytes(header + labels)
    assert plain(path).labels.tolist() == list(range(30, 38))
    assert find_mesh(tmp_path) == path
    (tmp_path / "scene0000_00_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"segIndices": [1, 2]}))
    refused(path, "bad_truth")


def test_a_mesh_in_millimetres_is_worked_on_smaller_and_keeps_its_size(tmp_path):
    mesh = scanned_arrays(CORNERS * 1000, TRIANGLES.astype(np.int32), None, "big", finer=False)
    assert mesh.scale == 1e-3 and surface(mesh) == THE_BOX
    assert any("m across" in note for note in mesh.notes)
    assert np.allclose(mesh.scene_from_world, np.diag([1e-3, 1e-3, 1e-3, 1]))


def test_up_is_the_persons(tmp_path):
    mesh = plain(little(tmp_path), up="+y")
    assert np.allclose(mesh.vertices.max(0) - mesh.vertices.min(0), [2, 0.5, 1])


def test_cut_edges_open_no_crack_and_keep_the_area():
    box = Part(CORNERS.astype(np.float64), TRIANGLES.copy(), COLORS.copy())
    added = refine(box, longest_edge([box]))
    assert added == len(box.positions) - 8 > 20_000
    assert np.array_equal(box.positions[:8], CORNERS)
    ends = np.sort(np.concatenate([box.faces[:, [0, 1]], box.faces[:, [1, 2]], box.faces[:, [2, 0]]]), 1)
    counts = np.unique(ends[:, 0] << 32 | ends[:, 1], return_counts=True)[1]
    assert (counts == 2).all()  # closed, as the box was
    assert len(box.positions) - len(counts) + len(box.faces) == 2
    a, b, c = (box.positions[box.faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    assert abs(np.linalg.norm(normals, axis=1).sum() / 2 - 7) < 1e-9
    assert (np.einsum("ij,ij->i", normals, a - CORNERS.mean(0)) > 0).all() or (
        np.einsum("ij,ij->i", normals, a - CORNERS.mean(0)) < 0
    ).all()


def test_what_has_been_prepared_stays_as_it_is():
    once = scanned_arrays(CORNERS, TRIANGLES.astype(np.int32), COLORS, "box")
    again = scanned_arrays(once.vertices, once.faces, once.colors, "box", finer=False)
    assert again.fingerprint == once.fingerprint
    assert np.array_equal(again.vertices, once.vertices) and np.array_equal(again.faces, once.faces)


def test_optional_packages_are_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "pye57", None)
    with pytest.raises(UserError, match="pye57"):
        arrays.library("pye57", "pye57", "E57 files")
