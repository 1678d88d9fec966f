"""Order and kinship in a label tree, on anything that has ``uid`` and ``parent`` (0 is the root)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

MAX_DEPTH = 32  # levels of labels; what the level slider reaches


class Node(Protocol):
    """What this module needs of a label."""

    uid: int
    parent: int


class Row(NamedTuple):
    """A node by itself."""

    uid: int
    parent: int

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Row:
        """From the entry of a label document."""
        return cls(node["uid"], node["parent"])


class Fact(NamedTuple):
    """What a row of the list shows of a label besides its own properties."""

    depth: int  # 0 at the top level
    parent: bool  # has labels below it
    marks: int  # on the label itself
    share: float  # of the surface, with all below it
    taught: bool  # a positive mark that counts is on it or below it


def depth_first(nodes: Iterable[Node]) -> list[tuple[int, int]]:
    """``(uid, depth)`` of every node, parents before their children, siblings in their given order.

    Nodes whose parent is missing, or that sit in a circle, follow at the end with depth 0, so that none is lost.
    """
    nodes = list(nodes)
    children: dict[int, list[int]] = {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node.uid)
    order: dict[int, int] = {}
    stack = [(uid, 0) for uid in reversed(children.get(0, []))]
    while stack:
        uid, depth = stack.pop()
        order[uid] = depth
        stack.extend((child, depth + 1) for child in reversed(children.get(uid, [])))
    for node in nodes:
        order.setdefault(node.uid, 0)
    return list(order.items())


def descendants(nodes: Iterable[Node], uid: int) -> set[int]:
    """Uids below ``uid``, without itself."""
    children: dict[int, list[int]] = {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node.uid)
    found: set[int] = set()
    stack = [uid]
    while stack:
        below = [child for child in children.get(stack.pop(), []) if child not in found]
        found.update(below)
        stack.extend(below)
    return found


def paths(nodes: Iterable[Node]) -> dict[int, tuple[int, ...]]:
    """Uids from the top of the tree down to every node, itself last, in the given order of the nodes.

    The path of a node whose parent is missing, or that sits in a circle, starts where the walk up ends.
    """
    parent_of = {node.uid: node.parent for node in nodes}
    known: dict[int, tuple[int, ...]] = {}
    for first in parent_of:
        trail, uid = [], first
        while uid in parent_of and uid not in known and uid not in trail:
            trail.append(uid)
            uid = parent_of[uid]
        for below in reversed(trail):
            known[below] = (*known.get(parent_of[below], ()), below)
    return {uid: known[uid] for uid in parent_of}


def ancestor_at(nodes: Iterable[Node], uid: int, level: int) -> int:
    """The node that stands for ``uid`` at a level of the tree: 0 the node itself, 1 the top level, 2 below it, ...

    A node that is higher up than the level stands for itself; so does a uid that is not in the tree.
    """
    path = paths(nodes).get(uid, (uid,))
    return _at_level(path, level)


def _at_level(path: tuple[int, ...], level: int) -> int:
    return path[level - 1] if 0 < level <= len(path) else path[-1]


def shown_as(nodes: Iterable[Node], level: int, isolated: int, visible: Collection[int]) -> dict[int, int]:
    """The label as which every label is shown in the viewport, 0 for one that is not shown.

    Args:
        level: of the tree, as in `ancestor_at`.
        isolated: uid of the only label that is shown, with all below it; 0, or a uid that is not there, for all.
        visible: uids whose eye is open. A closed eye hides what is below it too; above the isolated label eyes do
            not count, because isolating it is a wish to see it.
    """
    found = paths(nodes)
    isolated = isolated if isolated in found else 0
    shown = {}
    for uid, path in found.items():
        below = path[path.index(isolated) + 1 :] if isolated in path else path
        hidden = (isolated and isolated not in path) or any(one not in visible for one in below)
        shown[uid] = 0 if hidden else _at_level(path, level)
    return shown


def unique_name(name: str, taken: Iterable[str]) -> str:
    """``name``, or the first free of ``name 2``, ``name 3``, ..."""
    taken = set(taken)
    number, candidate = 2, name
    while candidate in taken:
        candidate = f"{name} {number}"
        number += 1
    return candidate


def too_deep(nodes: Iterable[Node], uid: int, parent: int) -> bool:
    """Whether the tree would have more than MAX_DEPTH levels with ``uid`` (0 for a new label) under ``parent``."""
    found = paths(nodes)
    above = len(found.get(parent, ()))
    height = max((len(path) - path.index(uid) for path in found.values() if uid in path), default=1)
    return above + height > MAX_DEPTH


def facts(
    nodes: Iterable[Node], marks: Iterable[tuple[int, int, bool]], shares: Mapping[int, float]
) -> dict[int, Fact]:
    """What the list shows of every label, in the order of `depth_first`.

    Args:
        marks: label, sign and whether it is muted, of every mark.
        shares: part of the surface that carries a label itself, by uid.
    """
    nodes = list(nodes)
    found = paths(nodes)
    parents = {node.parent for node in nodes}
    counted, taught, share = Counter(), set(), Counter()
    for label, sign, muted in marks:
        counted[label] += 1
        if sign > 0 and not muted:
            taught.update(found.get(label, ()))
    for uid, path in found.items():
        for above in path:
            share[above] += shares.get(uid, 0.0)
    return {
        uid: Fact(depth, uid in parents, counted[uid], share[uid], uid in taught) for uid, depth in depth_first(nodes)
    }


def listed(nodes: Iterable[Node], closed: Collection[int], matching: Collection[int] | None) -> list[bool]:
    """Which labels the list shows, in their given order.

    Args:
        closed: uids whose children are hidden.
        matching: uids that a search has found, None when nothing is searched. What was found is shown whatever is
            closed, and so is what is above it.
    """
    found = paths(nodes)
    if matching is not None:
        shown = {above for uid in matching for above in found.get(uid, ())}
        return [uid in shown for uid in found]
    return [not any(above in closed for above in path[:-1]) for path in found.values()]


def merged_by_name(wanted: Sequence[dict], present: Iterable[Node], next_uid: int) -> list[dict]:
    """Nodes of a label document under the uids of present labels of the same name, or under new ones.

    So a preset takes over the marks of labels that the scene has already. Case does not matter.
    """
    known: dict[str, int] = {}
    for label in present:
        known.setdefault(label.name.casefold(), label.uid)
    uids, taken = {0: 0}, set()
    for node in wanted:
        uid = known.get(node["name"].casefold(), 0)
        if not uid or uid in taken:
            uid, next_uid = next_uid, next_uid + 1
        taken.add(uid)
        uids[node["uid"]] = uid
    return [{**node, "uid": uids[node["uid"]], "parent": uids[node["parent"]]} for node in wanted]
