"""The tree of labels: who is under whom, and which nodes a set of marks lets us predict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ROOT = 0


@dataclass(frozen=True)
class Label:
    """One node of the tree; ``parent`` 0 is the root."""

    uid: int
    name: str
    parent: int
    kind: str  # "class" or "group"
    thing: bool  # whether connected pieces are separate instances
    color: tuple[float, float, float]  # 0..1


class LabelTree:
    """Labels by uid, in document order. The root has uid 0 and is no label itself."""

    def __init__(self, labels: Iterable[Label]):
        self.labels = {label.uid: label for label in labels}
        self._children: dict[int, list[int]] = {ROOT: []}
        for label in self.labels.values():
            self._children.setdefault(label.parent, []).append(label.uid)
        self._paths: dict[int, list[int]] = {ROOT: []}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> LabelTree:
        """The tree of a checked label document (``backend.protocol.checked_document``)."""
        return cls(
            Label(node["uid"], node["name"], node["parent"], node["kind"], node["thing"], tuple(node["color"]))
            for node in document["tree"]
        )

    def __contains__(self, uid: int) -> bool:
        return uid in self.labels

    def children(self, uid: int) -> list[int]:
        """Uids directly under a node, or under the root for 0, in document order."""
        return self._children.get(uid, [])

    def path(self, uid: int) -> list[int]:
        """Uids from the child of the root down to the node itself."""
        if uid not in self._paths:
            self._paths[uid] = [*self.path(self.labels[uid].parent), uid]
        return list(self._paths[uid])

    def ancestor(self, uid: int, level: int) -> int:
        """The node on a label's path at a level, 1 being the topmost; the label itself where its path ends before."""
        return self.path(uid)[:level][-1]

    def is_under(self, uid: int, ancestor: int) -> bool:
        """Whether a node is the ancestor or lies somewhere under it."""
        return ancestor == ROOT or ancestor in self.path(uid)

    def leaves(self, uid: int = ROOT) -> list[int]:
        """Uids without children at or under a node, in document order of the walk down."""
        below = self.children(uid)
        if not below:
            return [] if uid == ROOT else [uid]
        return [leaf for child in below for leaf in self.leaves(child)]

    def inner_nodes(self) -> list[int]:
        """The root and every label that has children, parents before children."""
        found, queue = [], [ROOT]
        while queue:
            uid = queue.pop(0)
            if self.children(uid):
                found.append(uid)
                queue += self.children(uid)
        return found

    def reachable(self, marked: Iterable[int]) -> dict[int, list[int]]:
        """Which children of each inner node have evidence: a mark on the child or anywhere under it.

        Args:
            marked: uids with at least one positive mark.

        Returns:
            {inner node: [children with evidence]} in document order, only nodes with at least one, parents first.
        """
        evidence = {uid for label in marked for uid in self.path(label)}
        found = {}
        for uid in self.inner_nodes():
            below = [child for child in self.children(uid) if child in evidence]
            if below:
                found[uid] = below
        return found

    def predictable(self, marked: Iterable[int]) -> list[int]:
        """Uids that a prediction may give, ascending: every node with a mark of its own.

        A group with direct marks may be the answer where none of its children is near enough.
        """
        return sorted(set(marked))
