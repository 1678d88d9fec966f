"""The label tree as plain data: paths, levels, what is shown, what the list says, and trees in files."""

import json
from types import SimpleNamespace as Node

import pytest
from clickfield.blender_addon.document import labels, tree, tree_files
from hypothesis import given
from hypothesis import strategies as st


def nodes(*pairs):
    return [tree.Row(uid, parent) for uid, parent in pairs]


# structure 1 (wall 2, floor 3), furniture 4 (chair 5 (seat 6, back 7)), loose 8
ROOM = nodes((1, 0), (2, 1), (3, 1), (4, 0), (5, 4), (6, 5), (7, 5), (8, 0))
ALL = set(range(1, 9))


@st.composite
def forests(draw):
    """Any tree of up to 30 nodes, in any order of its rows."""
    count = draw(st.integers(0, 30))
    parents = [draw(st.integers(0, number)) for number in range(count)]
    return draw(st.permutations([tree.Row(number + 1, parent) for number, parent in enumerate(parents)]))


def test_paths_lead_from_the_top_to_the_node():
    assert tree.paths(ROOM)[7] == (4, 5, 7) and tree.paths(ROOM)[8] == (8,)


def test_paths_of_a_broken_tree_end():
    found = tree.paths(nodes((1, 9), (2, 3), (3, 2), (4, 4)))
    assert found == {1: (1,), 2: (3, 2), 3: (3,), 4: (4,)} or set(found) == {1, 2, 3, 4}
    assert all(path[-1] == uid and len(set(path)) == len(path) for uid, path in found.items())


@given(forests())
def test_paths_agree_with_depths_and_descendants(rows):
    found, depth = tree.paths(rows), dict(tree.depth_first(rows))
    assert {uid: len(path) - 1 for uid, path in found.items()} == depth
    for uid in found:
        assert tree.descendants(rows, uid) == {other for other, path in found.items() if uid in path[:-1]}


@pytest.mark.parametrize(("level", "expected"), [(0, 7), (1, 4), (2, 5), (3, 7), (9, 7)])
def test_ancestor_at_a_level(level, expected):
    assert tree.ancestor_at(ROOM, 7, level) == expected
    assert tree.ancestor_at(ROOM, 77, level) == 77


def test_everything_is_shown_as_itself_at_level_zero():
    assert tree.shown_as(ROOM, 0, 0, ALL) == {uid: uid for uid in ALL}
    assert tree.shown_as([], 0, 0, ()) == {}


def test_a_level_shows_what_is_below_it_as_its_ancestors():
    assert tree.shown_as(ROOM, 1, 0, ALL) == {1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 4, 7: 4, 8: 8}
    assert tree.shown_as(ROOM, 2, 0, ALL) == {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 5, 7: 5, 8: 8}


def test_a_closed_eye_hides_what_is_below_it():
    assert tree.shown_as(ROOM, 0, 0, ALL - {5}) == {1: 1, 2: 2, 3: 3, 4: 4, 5: 0, 6: 0, 7: 0, 8: 8}


def test_an_isolated_label_is_shown_alone():
    assert tree.shown_as(ROOM, 0, 5, ALL) == {uid: uid if uid in (5, 6, 7) else 0 for uid in ALL}
    assert tree.shown_as(ROOM, 0, 99, ALL) == {uid: uid for uid in ALL}, "a label that is gone isolates nothing"


def test_eyes_above_an_isolated_label_do_not_count_those_below_do():
    seen = tree.shown_as(ROOM, 0, 5, ALL - {4, 5, 6})
    assert {uid for uid, shown in seen.items() if shown} == {5, 7}


@given(forests(), st.integers(0, 5), st.integers(0, 31), st.sets(st.integers(1, 30)))
def test_a_label_is_shown_as_itself_an_ancestor_or_not_at_all(rows, level, isolated, visible):
    found = tree.paths(rows)
    shown = tree.shown_as(rows, level, isolated, visible)
    assert shown.keys() == found.keys()
    for uid, other in shown.items():
        assert other == 0 or other == tree.ancestor_at(rows, uid, level)


def test_closed_rows_and_searches():
    def listed(closed, matching=None):
        return [row.uid for row, shown in zip(ROOM, tree.listed(ROOM, closed, matching), strict=True) if shown]

    assert listed(set()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert listed({5}) == [1, 2, 3, 4, 5, 8]
    assert listed({1, 4}) == [1, 4, 8]
    assert listed({1, 4, 5}, {6}) == [4, 5, 6]
    assert listed(set(), set()) == []


def test_facts_of_rows():
    marks = [(6, 1, False), (6, -1, False), (2, 1, True), (8, -1, False), (99, 1, False)]
    found = tree.facts(ROOM, marks, {5: 0.25, 6: 0.5, 2: 0.125})
    assert list(found) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert found[4] == tree.Fact(0, True, 0, 0.75, True)
    assert found[6] == tree.Fact(2, False, 2, 0.5, True)
    assert found[7] == tree.Fact(2, False, 0, 0.0, False)
    assert found[2] == tree.Fact(1, False, 1, 0.125, False)
    assert not found[8].taught and found[1].share == 0.125


def test_too_deep_counts_what_hangs_below():
    chain = nodes(*((uid, uid - 1) for uid in range(1, tree.MAX_DEPTH + 1)), (100, 0), (101, 100))
    assert tree.too_deep(chain, 0, tree.MAX_DEPTH) and not tree.too_deep(chain, 0, tree.MAX_DEPTH - 1)
    assert tree.too_deep(chain, 100, tree.MAX_DEPTH - 1) and not tree.too_deep(chain, 100, tree.MAX_DEPTH - 2)


def test_names_are_matched_whatever_their_case():
    wanted = [
        {"uid": 1, "name": "Chair", "parent": 0},
        {"uid": 2, "name": "CHAIR", "parent": 1},
        {"uid": 3, "name": "New", "parent": 2},
    ]
    present = [Node(uid=40, name="chair"), Node(uid=41, name="chair"), Node(uid=42, name="sofa")]
    made = tree.merged_by_name(wanted, present, 50)
    assert [(node["uid"], node["parent"]) for node in made] == [(40, 0), (50, 40), (51, 50)]


def test_a_tree_file_leaves_marks_out(tmp_path):
    path = tmp_path / "tree.json"
    document = {"tree": [{"uid": 3, "name": "a"}], "marks": [{"label": 3, "points": [[0, 0, 0]]}]}
    path.write_text(json.dumps(document))
    (node,) = tree_files.load_tree(path)
    assert (node["uid"], node["name"], node["parent"]) == (3, "a", 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"tree": [{"uid": 1, "name": "a\x1b[2J"}]}, "no name of 1 to 256 letters on one line"),
        ({"tree": [{"uid": 1, "name": "a\u202eb"}]}, "name that cannot be shown"),
        ({"tree": [{"uid": n, "name": "n", "parent": n - 1} for n in range(1, 40)]}, "more than 32 levels"),
        ({"tree": [{"uid": 1, "name": "a", "parent": 2}, {"uid": 2, "name": "b", "parent": 1}]}, "own ancestor"),
        ({"version": 99, "tree": []}, "of version 99"),
        ({"tree": [{"uid": True, "name": "a"}]}, "no uid between"),
        ({"tree": [{"uid": 1, "name": "x" * 257}]}, "no name of 1 to 256 letters"),
    ],
)
def test_hostile_trees_are_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(content))
    with pytest.raises(labels.DocumentError, match=sentence) as told:
        tree_files.load_tree(path)
    assert str(told.value).endswith(".") and "\x1b" not in str(told.value)


@pytest.mark.parametrize("name", [item[0] for item in tree_files.PRESETS])
def test_presets_have_three_levels_at_most(name):
    assert all(len(path) <= 3 for path in tree.paths(map(tree.Row.of, tree_files.load_preset(name))).values())
