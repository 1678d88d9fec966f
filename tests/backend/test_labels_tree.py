"""The tree of labels: paths, inner nodes, leaves, and what marks make reachable."""

from backend.labels.tree import ROOT, LabelTree
from backend.protocol import checked_document

DOCUMENT = checked_document(
    {
        "tree": [
            {"uid": 5, "name": "chair", "parent": 2},
            {"uid": 1, "name": "room", "kind": "group", "thing": False},
            {"uid": 2, "name": "furniture", "kind": "group"},
            {"uid": 3, "name": "floor", "parent": 1, "thing": False, "color": "#ff0000"},
            {"uid": 4, "name": "table", "parent": 2},
            {"uid": 6, "name": "armchair", "parent": 5},
        ]
    }
)


def test_structure_from_a_document():
    tree = LabelTree.from_document(DOCUMENT)
    assert tree.children(ROOT) == [1, 2]
    assert tree.children(2) == [5, 4]
    assert tree.path(6) == [2, 5, 6]
    assert tree.is_under(6, 2)
    assert tree.is_under(6, 6)
    assert tree.is_under(6, ROOT)
    assert not tree.is_under(2, 6)
    assert tree.leaves() == [3, 6, 4]
    assert tree.leaves(2) == [6, 4]
    assert tree.leaves(3) == [3]
    assert tree.inner_nodes() == [ROOT, 1, 2, 5]
    assert 6 in tree
    assert 7 not in tree
    floor = tree.labels[3]
    assert (floor.name, floor.kind, floor.thing, floor.color) == ("floor", "class", False, (1.0, 0.0, 0.0))


def test_only_branches_with_marks_are_reachable():
    tree = LabelTree.from_document(DOCUMENT)
    assert tree.reachable([6, 3]) == {ROOT: [1, 2], 1: [3], 2: [5], 5: [6]}
    assert tree.reachable([2]) == {ROOT: [2]}
    assert tree.reachable([]) == {}
    assert tree.predictable([6, 2, 6]) == [2, 6]


def test_the_empty_tree():
    tree = LabelTree.from_document(checked_document({"tree": []}))
    assert tree.leaves() == []
    assert tree.inner_nodes() == []
    assert tree.predictable([]) == []
