"""The two-level label tree of the sample and the uid of every thing."""

from __future__ import annotations

GROUPS = {1: ("Structure", "#8a8f98"), 2: ("Furniture", "#c98a3c"), 3: ("Decor", "#5aa36b")}

# uid: (name, group, thing, colour); a "thing" falls apart into instances, the others are surfaces
CLASSES = {
    4: ("Floor", 1, False, "#b98b5e"),
    5: ("Wall", 1, False, "#9fb3a5"),
    6: ("Window", 1, True, "#7fc4e8"),
    7: ("Sofa", 2, True, "#3f6fb5"),
    8: ("Table", 2, True, "#8c4f2b"),
    9: ("Chair", 2, True, "#d9a441"),
    10: ("Shelf", 2, True, "#f0e2c0"),
    11: ("Lamp", 2, True, "#ffe14d"),
    12: ("Rug", 3, True, "#d65f4a"),
    13: ("Picture", 3, True, "#9a5fc0"),
    14: ("Plant", 3, True, "#2f9e44"),
    15: ("Vase", 3, True, "#27b3b3"),
    16: ("Books", 3, True, "#e83e8c"),
    17: ("Cushion", 3, True, "#ff8a1f"),
    18: ("Ball", 3, True, "#e03131"),
    19: ("Basket", 3, True, "#a3a847"),
    20: ("Curtain", 3, True, "#c7d0f0"),
}
UID = {name: uid for uid, (name, _, _, _) in CLASSES.items()}


def tree() -> list[dict]:
    """The tree as a label document writes it: groups first, then their children."""
    nodes = [
        {"uid": uid, "name": name, "parent": 0, "kind": "group", "thing": True, "color": color}
        for uid, (name, color) in GROUPS.items()
    ]
    nodes += [
        {"uid": uid, "name": name, "parent": group, "kind": "class", "thing": thing, "color": color}
        for uid, (name, group, thing, color) in CLASSES.items()
    ]
    return nodes
