"""The asset library: written, catalogued, pictured, and opened again from another file."""

import os
import sys
import uuid
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import library, objects, parts, shelf

sys.path.insert(0, str(Path(__file__).parent))
from separated_room import CAPTURE, build, room


@pytest.fixture
def scene():
    """A scene with separated objects; the preferences' asset libraries are put back afterwards."""
    libraries = bpy.context.preferences.filepaths.asset_libraries
    before = len(libraries)
    made = room()
    build(made)
    yield made
    while len(libraries) > before:
        libraries.remove(libraries[-1])


def save(folder, **options):
    return bpy.ops.clickfield.save_asset_library(directory=str(folder), **options)


def catalogues(folder):
    lines = (folder / "blender_assets.cats.txt").read_text(encoding="utf-8").splitlines()
    entries = [line.split(":") for line in lines if line and not line.startswith(("#", "VERSION"))]
    return {path: ident for ident, path, _ in entries}


def test_library_opens_from_another_file(scene, tmp_path):
    folder = tmp_path / "meine Büros" / "Bibliothek ü"
    save(folder, author="Ada", licence="CC0", copyright="2026 Ada")
    assert sorted(os.listdir(folder)) == ["Büro 1.blend", "blender_assets.cats.txt"]
    known = catalogues(folder)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(folder / "Büro 1.blend"), assets_only=True) as (content, wanted):
        assert sorted(content.objects) == ["Boden", "Chair", "Chair.001"]
        assert not content.materials and not content.meshes
        wanted.objects = content.objects
    chair = bpy.data.objects["Chair"]
    asset = chair.asset_data
    assert asset.catalog_id == known["Möbel- alt-neu/Chair"]
    assert {tag.name for tag in asset.tags} == {"Möbel- alt-neu", "Chair", "M", "Büro 1"}
    assert (asset.author, asset.license, asset.copyright) == ("Ada", "CC0", "2026 Ada")
    assert "0.40 x 0.40 x 0.50 m" in asset.description and "Büro 1" in asset.description
    assert "XL" in {tag.name for tag in bpy.data.objects["Boden"].asset_data.tags}
    assert chair.data.materials[0].node_tree.nodes
    width, height = chair.preview.image_size
    pixels = np.empty(int(width) * int(height) * 4, np.float32)
    chair.preview.image_pixels_float.foreach_get(pixels)
    shown = pixels.reshape(-1, 4)[pixels.reshape(-1, 4)[:, 3] > 0.5, :3]
    assert len(shown) == 32 * 32 and np.ptp(shown, axis=0).max() > 0.5


def test_catalogues_mirror_the_tree_with_lasting_ids(scene, tmp_path):
    save(tmp_path)
    first = catalogues(tmp_path)
    assert set(first) == {"Struktur", "Struktur/Boden", "Möbel- alt-neu", "Möbel- alt-neu/Chair"}
    assert all(uuid.UUID(ident).version == 5 for ident in first.values())
    text = (tmp_path / "blender_assets.cats.txt").read_text(encoding="utf-8")
    assert "\nVERSION 1\n" in text
    save(tmp_path)
    assert (tmp_path / "blender_assets.cats.txt").read_text(encoding="utf-8") == text


def test_lines_of_others_stay(scene, tmp_path):
    moved = library.catalogue_id("Struktur/Boden")
    own = f"# mine\nVERSION 1\n\n11111111-2222-3333-4444-555555555555:Pflanzen:Pflanzen\n{moved}:Anderswo:x"
    (tmp_path / "blender_assets.cats.txt").write_text(own, encoding="utf-8")
    save(tmp_path)
    text = (tmp_path / "blender_assets.cats.txt").read_text(encoding="utf-8")
    assert text.startswith(own + "\n")
    assert text.count(moved) == 1  # the person moved that catalogue
    assert "Möbel- alt-neu/Chair" in catalogues(tmp_path)


@pytest.mark.parametrize("content", [b"VERSION 2\n", b"no version\n", b"VERSION 1\n\xff\xfe\n"])
def test_a_strange_catalogue_file_is_left_alone(scene, tmp_path, content):
    (tmp_path / "blender_assets.cats.txt").write_bytes(content)
    with pytest.raises(RuntimeError, match="is not a catalogue file"):
        save(tmp_path)
    assert (tmp_path / "blender_assets.cats.txt").read_bytes() == content
    assert os.listdir(tmp_path) == ["blender_assets.cats.txt"]


def test_the_scene_stays_as_it_was(scene, tmp_path):
    own = bpy.data.objects["Chair.001"]
    own.asset_mark()
    own.asset_data.description, own.asset_data.author = "my favourite", "Me"
    before = sorted(block.name for block in bpy.data.user_map())
    save(tmp_path, author="Ada")
    assert sorted(block.name for block in bpy.data.user_map()) == before
    for name in ("Boden", "Chair"):
        assert bpy.data.objects[name].asset_data is None and not bpy.data.objects[name].use_fake_user
    assert (own.asset_data.description, own.asset_data.author) == ("my favourite", "Me")


def edit_library(path, change):
    """Open a library as a person does, change its assets, save it."""
    bpy.ops.wm.open_mainfile(filepath=str(path))
    change(bpy.data.objects)
    bpy.ops.wm.save_mainfile()


def read_library(path):
    """Metadata of the assets in a library, by name."""
    with bpy.data.libraries.load(str(path), assets_only=True) as (content, wanted):
        names = list(content.objects)
        wanted.objects = content.objects
    found = {}
    for name, item in zip(names, wanted.objects, strict=True):
        asset = item.asset_data
        fields = asset.author, asset.license, asset.description, asset.copyright, asset.catalog_id
        found[name] = fields, {tag.name for tag in asset.tags}
        bpy.data.objects.remove(item)
    return found


def test_saving_again_keeps_what_was_changed_in_the_library(scene, tmp_path):
    elsewhere = "11111111-2222-3333-4444-555555555555"
    work, target = tmp_path / "work.blend", tmp_path / "lib" / "Büro 1.blend"
    save(target.parent, author="Ada", licence="CC0")
    bpy.ops.wm.save_as_mainfile(filepath=str(work))

    def change(objects):
        asset = objects["Chair"].asset_data
        asset.author, asset.description, asset.catalog_id = "Bob", "Thonet No. 14", elsewhere
        asset.tags.new("bentwood")
        asset.tags.remove(asset.tags["Büro 1"])

    edit_library(target, change)
    bpy.ops.wm.open_mainfile(filepath=str(work))
    for author in ("Eve", ""):  # twice: what was kept once is kept again
        save(target.parent, author=author, copyright="2026", about="A chair" if author else "")
    assert not bpy.data.libraries and not [one for one in bpy.data.objects if one.library]
    found = read_library(target)
    fields, tags = found["Chair"]
    assert fields == ("Bob", "CC0", "Thonet No. 14", "2026", elsewhere)
    assert tags == {"Möbel- alt-neu", "Chair", "M", "bentwood"}
    fields, tags = found["Chair.001"]
    assert fields[:2] == ("Eve", "CC0") and "Büro 1" in tags
    assert fields[2] == "Chair, 0.40 x 0.40 x 0.50 m, separated from the scan Büro 1"


def test_levels_of_detail_and_hulls_come_along_with_an_asset(scene, tmp_path):
    build(scene, wanted=objects.Wanted(levels=True, naming="GODOT"), hulls=2)
    work, target = tmp_path / "work.blend", tmp_path / "lib" / "Büro 1.blend"
    before = sorted(block.name for block in bpy.data.user_map())
    save(target.parent)
    assert sorted(block.name for block in bpy.data.user_map()) == before
    assert shelf.PARTS not in bpy.data.objects["Chair"]
    bpy.ops.wm.save_as_mainfile(filepath=str(work))
    edit_library(target, lambda items: None)  # somebody opened it and saved it with Blender's empty scene
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(target), assets_only=True) as (content, wanted):
        assert sorted(content.objects) == ["Boden", "Chair", "Chair.001"]
        wanted.objects = ["Chair"]
    levels = {f"Chair_LOD{number}" for number in range(4)}
    assert {item.name for item in bpy.data.objects} == {"Chair", *levels, "Chair_00-colonly", "Chair_01-colonly"}
    chair = bpy.data.objects["Chair"]
    assert all(item.parent == chair for item in bpy.data.objects if item != chair)
    assert bpy.data.objects["Chair_LOD3"].modifiers["Decimate"].ratio == pytest.approx(parts.LEVELS[3])
    bpy.ops.wm.open_mainfile(filepath=str(work))
    assert save(target.parent) == {"FINISHED"}


def test_saving_can_be_stopped_at_every_step(scene, tmp_path):
    save(tmp_path)
    target = tmp_path / "Büro 1.blend"
    content, before = target.read_bytes(), sorted(block.name for block in bpy.data.user_map())
    while_running, step = True, 0
    while while_running:
        step, saved = step + 1, library.Saved()
        steps = library.saving(scene, CAPTURE, tmp_path, library.Credits(author="Eve"), saved)
        told = [next(steps, None) for _ in range(step)]
        while_running = told[-1] is not None
        if while_running:
            assert told == sorted(told, key=lambda one: one[0])
            steps.close()
            assert target.read_bytes() == content and not saved.names
            assert sorted(block.name for block in bpy.data.user_map()) == before and not bpy.data.libraries
    assert step > 3 and len(saved.names) == 3 and target.read_bytes() != content


def by_another_blender(scene, folder, **credits):
    """Save as in a window; what was said, and what became of it."""
    saved = library.Saved()
    steps = library.saving(scene, CAPTURE, folder, library.Credits(**credits), saved, aside=True)
    return [*steps], saved


def test_another_blender_writes_the_same_library(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "PORTION", 1)  # each object by itself: they share material and mesh
    build(scene, wanted=objects.Wanted(levels=True), hulls=1)
    first, second = bpy.data.objects["Chair"], bpy.data.objects["Chair.001"]
    shared = bpy.data.materials.new("Lacquer")
    for item in (first, second, bpy.data.objects["Boden"]):
        item.data.materials.append(shared)
    second.data = first.data
    first.asset_mark()
    first.asset_data.author = "Me"
    work, target = tmp_path / "work.blend", tmp_path / "aside" / "Büro 1.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(work))
    before = sorted(block.name for block in bpy.data.user_map())
    told, saved = by_another_blender(scene, target.parent, author="Ada")
    assert told == sorted(told, key=lambda one: one[0]) and len(told) > 4
    assert sorted(block.name for block in bpy.data.user_map()) == before and second.asset_data is None
    assert (saved.target, sorted(saved.names), saved.plain, saved.gone) == (
        target,
        ["Boden", "Chair", "Chair.001"],
        [],
        [],
    )
    save(tmp_path / "here", author="Ada")
    assert sorted(os.listdir(target.parent)) == sorted(os.listdir(tmp_path / "here"))
    assert catalogues(target.parent) == catalogues(tmp_path / "here")

    def change(items):
        items["Chair"].asset_data.description = "Thonet No. 14"

    edit_library(target, change)
    bpy.ops.wm.open_mainfile(filepath=str(work))
    scene = bpy.context.scene
    bpy.data.objects.remove(bpy.data.objects["Chair.001"])
    assert by_another_blender(scene, target.parent, author="Ada")[1].gone == ["Chair.001"]
    save(tmp_path / "here")
    bpy.ops.wm.read_homefile(use_empty=True)
    there, here = (read_library(folder / target.name) for folder in (target.parent, tmp_path / "here"))
    assert there["Boden"] == here["Boden"] and set(there) == {"Boden", "Chair"}
    assert (there["Chair"][0][0], there["Chair"][0][2]) == ("Me", "Thonet No. 14")
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(target)) as (content, wanted):
        assert content.materials.count("Lacquer") == 1 and not [one for one in content.materials if "." in one]
        assert not [name for name in content.objects + content.meshes if name.startswith("~")]
        wanted.objects = ["Chair"]
    chair = bpy.data.objects["Chair"]
    levels = {f"Chair_LOD{number}" for number in range(4)}
    assert {item.name for item in bpy.data.objects} == {"Chair", *levels, "UCX_Chair_00"}
    assert {item.data for item in bpy.data.objects if "LOD" in item.name} == {chair.data} and library.has_preview(chair)


def test_another_blender_is_stopped_and_refuses_like_this_one(scene, tmp_path):
    target = tmp_path / "Büro 1.blend"
    steps = library.saving(scene, CAPTURE, tmp_path, library.Credits(), library.Saved(), aside=True)
    while next(steps)[0] <= 0.3:  # until it has the objects
        pass
    steps.close()
    assert not os.listdir(tmp_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(target), copy=True)
    before = target.read_bytes()
    with pytest.raises(library.LibraryError, match="holds a scene, not only assets"):
        by_another_blender(scene, tmp_path)
    assert target.read_bytes() == before and os.listdir(tmp_path) == [target.name]


def test_assets_of_others_in_the_file_are_never_lost(scene, tmp_path):
    work, target = tmp_path / "work.blend", tmp_path / "Büro 1.blend"
    save(tmp_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(work))

    def change(objects):
        mine = bpy.data.objects.new("My lamp", None)
        mine.asset_mark()
        mine.use_fake_user = True

    edit_library(target, change)
    before = target.read_bytes()
    bpy.ops.wm.open_mainfile(filepath=str(work))
    with pytest.raises(RuntimeError, match=r"assets that are not of this scan \(My lamp\)"):
        save(tmp_path)
    assert target.read_bytes() == before


def test_folder_is_listed_once_in_the_preferences(scene, tmp_path):
    libraries = bpy.context.preferences.filepaths.asset_libraries
    before = len(libraries)
    save(tmp_path / "assets")
    save(str(tmp_path / "assets") + os.sep)
    assert len(libraries) == before + 1
    assert os.path.samefile(libraries[-1].path, tmp_path / "assets")
    assert libraries[-1].name == "assets"


def test_a_scene_of_that_name_is_never_replaced(scene, tmp_path):
    target = tmp_path / "Büro 1.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(target), copy=True)
    before = target.read_bytes()
    with pytest.raises(RuntimeError, match="holds a scene, not only assets"):
        save(tmp_path)
    target.write_bytes(b"not a blender file")
    with pytest.raises(RuntimeError, match="is not a Blender file"):
        save(tmp_path)
    assert target.read_bytes() == b"not a blender file" and len(before) > 1000


def test_a_folder_that_cannot_be_written_is_a_sentence(scene, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RuntimeError, match="cannot be written"):
        save(tmp_path / "file")
    with pytest.raises(RuntimeError, match="Choose the folder"):
        save("")
    assert all(bpy.data.objects[name].asset_data is None for name in ("Boden", "Chair", "Chair.001"))


def test_nothing_separated_is_told(own):
    own.capture_id = CAPTURE
    with pytest.raises(RuntimeError, match="Separate the scan first"):
        bpy.ops.clickfield.save_asset_library(directory="x")


def test_file_names_suit_every_system():
    assert library.file_stem('a:b/c\\d*?"<>|') == "a_b_c_d______"
    assert library.file_stem(" . ") == "Clickfield"
    assert [library.size_class(size) for size in (0.1, 0.3, 0.99, 1.0, 2.0)] == ["S", "M", "M", "L", "XL"]
