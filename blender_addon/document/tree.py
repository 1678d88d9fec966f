"""Order and kinship in a label tree, on anything that has ``uid`` and ``parent`` (0 is the root)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Node(Protocol):
    """What this module needs of a label."""

    uid: int
    parent: int


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


def unique_name(name: str, taken: Iterable[str]) -> str:
    """``name``, or the first free of ``name 2``, ``name 3``, ..."""
    taken = set(taken)
    number, candidate = 2, name
    while candidate in taken:
        candidate = f"{name} {number}"
        number += 1
    return candidate
