"""Saved fields: same bits, small files, damage told."""

import json
from dataclasses import replace

import pytest
import torch

from backend.errors import UserError
from backend.field.field import Field, FieldConfig
from backend.field.persistence import load, save
from backend.field.training import FieldTrainer, TrainingConfig

BOX = torch.tensor([[-1.0, -2.0, 0.0], [1.5, 1.0, 2.0]])
POINTS = torch.rand((500, 3), generator=torch.Generator().manual_seed(1)) * 2.5 - 1
SMALL = FieldConfig(truncation=0.06, resolutions=(4, 8), semantic_resolutions=(4,))
WANT = ("sdf", "color", "logits", "features")


def settled_field(config=SMALL, box=BOX):
    field = Field(config, box, seed=4)
    field.start_from(1 - field.start_points().norm(dim=1))
    FieldTrainer(field, None).settle()
    return field


def taught(field, seed=0, outputs=3):
    trainer = FieldTrainer(field, None, config=TrainingConfig(label_steps=10, label_points=128))
    targets = torch.nn.functional.one_hot((POINTS[:, 0] > 0).long(), outputs).float()
    trainer.start_labels(outputs, POINTS, targets, seed=seed)
    while not trainer.labels_done:
        trainer.label_step()
    return trainer


def assert_same(one, two):
    for name in WANT:
        first, second = (getattr(field.query(POINTS, WANT), name) for field in (one, two))
        assert (first is None) == (second is None)
        assert first is None or torch.equal(first, second), name


@pytest.mark.parametrize("feature_dim", [0, 6])
def test_round_trip_gives_the_same_bits(tmp_path, feature_dim):
    field = settled_field(replace(SMALL, feature_dim=feature_dim))
    taught(field)
    save(field, tmp_path / "scene", {"scene": "abc", "step": 300})
    loaded, meta = load(tmp_path / "scene")
    assert meta == {"scene": "abc", "step": 300}
    assert loaded.config == field.config and torch.equal(loaded.box, field.box) and loaded.outputs == 3
    assert_same(field, loaded)


def test_labels_trained_on_a_loaded_field_are_those_of_the_original(tmp_path):
    field = settled_field()
    save(field, tmp_path / "scene", {})
    loaded, _ = load(tmp_path / "scene")
    assert loaded.outputs == 0
    assert FieldTrainer(loaded, None).settled
    taught(field, seed=5), taught(loaded, seed=5)
    assert_same(field, loaded)


def test_default_field_of_a_cubic_room_is_under_five_megabytes(tmp_path):
    field = settled_field(FieldConfig(truncation=0.06), torch.tensor([[0.0, 0, 0], [5.0, 5, 5]]))
    taught(field, outputs=40)
    save(field, tmp_path / "scene", {})
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 5_000_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.json", "scene.safetensors"]


def test_labels_in_the_middle_of_their_training_round_trip_too(tmp_path):
    field = settled_field()
    trainer = FieldTrainer(field, None, config=TrainingConfig(label_steps=10, label_points=128))
    trainer.start_labels(2, POINTS, torch.nn.functional.one_hot((POINTS[:, 1] > 0).long(), 2).float())
    for _ in range(4):
        trainer.label_step()
    save(field, tmp_path / "scene", {})
    assert_same(field, load(tmp_path / "scene")[0])


def test_a_field_in_training_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="settled"):
        save(Field(FieldConfig(truncation=0.06, resolutions=(4,)), BOX), tmp_path / "scene", {})
    assert not list(tmp_path.iterdir())


def flipped_byte(folder):
    path = folder / "scene.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncated(folder):
    path = folder / "scene.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def no_json(folder):
    (folder / "scene.json").write_bytes(b"\xff\x00{")


def changed(key, value):
    def change(folder):
        path = folder / "scene.json"
        data = json.loads(path.read_text())
        data[key] = value
        path.write_text(json.dumps(data))

    return change


DAMAGES = [
    flipped_byte,
    truncated,
    no_json,
    changed("format", 99),
    changed("outputs", -1),
    changed("outputs", 7),
    changed("config", {"truncation": 0.06}),
    changed("config", {"truncation": 0.06, "resolutions": [100_000]}),
    changed("config", {"nonsense": 1}),
    changed("config", [1]),
    changed("box", [[0, 0, 0], [0, 0, 0]]),
    changed("box", "wide"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told(tmp_path, damage):
    field = settled_field()
    taught(field)
    save(field, tmp_path / "scene", {})
    damage(tmp_path)
    with pytest.raises(UserError) as error:
        load(tmp_path / "scene")
    assert error.value.code == "field_damaged" and "trained again" in error.value.sentence


def test_missing_files_are_told(tmp_path):
    with pytest.raises(UserError) as error:
        load(tmp_path / "scene")
    assert error.value.code == "field_missing"


def test_a_folder_that_is_gone_is_made_and_one_that_cannot_be_made_is_told(tmp_path):
    field = settled_field()
    size = save(field, tmp_path / "gone" / "scene", {})
    assert size == sum(path.stat().st_size for path in (tmp_path / "gone").iterdir()) and load(tmp_path / "gone/scene")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError) as error:
        save(field, tmp_path / "file" / "scene", {})
    assert error.value.code == "field_not_saved" and "choose another cache folder" in error.value.sentence
