"""Builds ``assets/nodes.blend``: the Geometry Nodes groups that work on the label attributes of a scan.

    python scripts/make_nodes.py

It needs an interpreter with the pip package ``bpy`` of the oldest Blender that Clickfield supports, because a file can
be opened by the version that wrote it and by newer ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (4, 5)
ATTRIBUTE = "Face attribute: label_face, or level_1_face, level_2_face, ... for a level of the tree"
GOLDEN = 0.618034  # share of the hue circle between ids: neighbours in number are far apart in colour


class Group:
    """A node group under construction."""

    def __init__(self, bpy, name: str, description: str):
        self.tree = bpy.data.node_groups.new(name, "GeometryNodeTree")
        self.tree.is_modifier, self.tree.description = True, description
        self.tree.use_fake_user = True
        self._count = 0
        self.socket("Geometry", "Geometry")
        self.tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
        self._inputs = self.node("NodeGroupInput")
        self._result = self.node("NodeGroupOutput")

    def socket(self, name: str, kind: str, default=None, low=None, high=None, about: str = "") -> None:
        """Add an input."""
        made = self.tree.interface.new_socket(name, in_out="INPUT", socket_type=f"NodeSocket{kind}")
        made.description = about
        for key, value in (("default_value", default), ("min_value", low), ("max_value", high)):
            if value is not None:
                setattr(made, key, value)

    def node(self, kind: str, **settings):
        """Add a node; keywords are its settings."""
        made = self.tree.nodes.new(kind)
        made.location = (220 * (self._count % 8), -260 * (self._count // 8))
        self._count += 1
        for key, value in settings.items():
            setattr(made, key, value)
        return made

    def given(self, name: str):
        """The output of an input of the group."""
        return self._inputs.outputs[name]

    def put(self, node, **inputs):
        """Connect or set inputs by name (spaces as underscores) or, as ``i0``, by place; the node's first output."""
        for key, value in inputs.items():
            place = int(key[1:]) if key[0] == "i" and key[1:].isdigit() else None
            name = key.replace("_", " ")
            socket = (
                node.inputs[place]
                if place is not None
                else next(s for s in node.inputs if s.name == name and s.enabled)
            )
            if hasattr(value, "is_output"):
                self.tree.links.new(value, socket)
            else:
                socket.default_value = value
        return next(output for output in node.outputs if output.enabled)

    def math(self, operation: str, *values):
        """A float of a Math node."""
        node = self.node("ShaderNodeMath", operation=operation)
        return self.put(node, **{f"i{index}": value for index, value in enumerate(values)})

    def vector(self, operation: str, *values):
        """A vector of a Vector Math node; ``SCALE`` takes a vector and a number."""
        node = self.node("ShaderNodeVectorMath", operation=operation)
        if operation == "SCALE":
            return self.put(node, i0=values[0], Scale=values[1])
        return self.put(node, **{f"i{index}": value for index, value in enumerate(values)})

    def attribute(self, name, kind: str = "INT"):
        """A named attribute; the name may be an output."""
        return self.put(self.node("GeometryNodeInputNamedAttribute", data_type=kind), Name=name)

    def equal(self, one, other):
        """Whether two whole numbers are the same."""
        node = self.node("FunctionNodeCompare", data_type="INT", operation="EQUAL")
        return self.put(node, A=one, B=other)

    def switch(self, kind: str, condition, no, yes):
        """One value or another."""
        node = self.node("GeometryNodeSwitch", input_type=kind)
        return self.put(node, Switch=condition, **{"False": no, "True": yes})

    def result(self, geometry) -> None:
        """Connect what the group gives."""
        self.tree.links.new(geometry, self._result.inputs[0])

    def label_sockets(self) -> None:
        """The inputs that choose a label."""
        self.socket("Label", "Int", 1, 0, 65535, "Id of the label")
        self.socket("Attribute", "String", "label_face", about=ATTRIBUTE)


def hide_label(bpy) -> None:
    """Without a label, or with nothing else."""
    group = Group(bpy, "Hide Label", "Take a label's surface away, or everything else")
    group.label_sockets()
    group.socket("Only", "Bool", False, about="Keep nothing but the label")
    same = group.equal(group.attribute(group.given("Attribute")), group.given("Label"))
    unlike = group.put(group.node("FunctionNodeBooleanMath", operation="XOR"), i0=same, i1=group.given("Only"))
    drop = group.node("GeometryNodeDeleteGeometry", domain="FACE", mode="ALL")
    group.result(group.put(drop, Geometry=group.given("Geometry"), Selection=unlike))


def color_by_label(bpy) -> None:
    """The colours of labels in place of the photos'."""
    group = Group(bpy, "Color by Label", "Show labels in renders: mix their colours into the scan's")
    group.socket("Attribute", "String", "label_face", about=ATTRIBUTE)
    group.socket("Opacity", "Float", 1.0, 0.0, 1.0, "Of label colours over the photos'")
    group.socket("From Ids", "Bool", False, about="Make colours from the ids instead of taking those of the tree")
    ids = group.attribute(group.given("Attribute"))
    hue = group.math("FRACT", group.math("MULTIPLY", ids, GOLDEN))
    made = group.put(group.node("FunctionNodeCombineColor", mode="HSV"), i0=hue, i1=0.65, i2=0.85)
    chosen = group.switch("RGBA", group.given("From Ids"), group.attribute("Label Color", "FLOAT_COLOR"), made)
    labelled = group.put(group.node("FunctionNodeCompare", data_type="INT", operation="GREATER_THAN"), A=ids, B=0)
    share = group.math("MULTIPLY", group.given("Opacity"), labelled)
    mixed = group.put(
        group.node("ShaderNodeMix", data_type="RGBA"),
        Factor=share,
        A=group.attribute("Color", "FLOAT_COLOR"),
        B=chosen,
    )
    store = group.node("GeometryNodeStoreNamedAttribute", data_type="FLOAT_COLOR", domain="CORNER")
    group.result(group.put(store, Geometry=group.given("Geometry"), Name="Color", Value=mixed))


def scatter_on_label(bpy) -> None:
    """Objects strewn over a label's surface."""
    group = Group(bpy, "Scatter on Label", "Strew an object over the surface of a label")
    group.label_sockets()
    group.socket("Object", "Object")
    group.socket("Density", "Float", 50.0, 0.0, 1e6, "Objects for each square metre")
    group.socket("Smallest", "Float", 0.8, 0.0, 100.0, "Of the random scales")
    group.socket("Largest", "Float", 1.2, 0.0, 100.0, "Of the random scales")
    group.socket("Upright", "Bool", False, about="Stand straight instead of square to the surface")
    group.socket("Seed", "Int", 0)
    group.socket("Keep Surface", "Bool", True)
    same = group.equal(group.attribute(group.given("Attribute")), group.given("Label"))
    geometry, seed = group.given("Geometry"), group.given("Seed")
    strew = group.node("GeometryNodeDistributePointsOnFaces", distribute_method="RANDOM")
    points = group.put(strew, Mesh=geometry, Selection=same, Density=group.given("Density"), Seed=seed)
    info = group.node("GeometryNodeObjectInfo", transform_space="ORIGINAL")
    group.put(info, Object=group.given("Object"), As_Instance=True)
    low, high = group.given("Smallest"), group.given("Largest")
    scale = group.put(group.node("FunctionNodeRandomValue", data_type="FLOAT"), Min=low, Max=high, Seed=seed)
    turn = group.node("FunctionNodeAlignRotationToVector", axis="Z")
    group.put(turn, Vector=strew.outputs["Normal"])
    facing = group.switch("ROTATION", group.given("Upright"), turn.outputs[0], (0.0, 0.0, 0.0))
    angle = group.put(group.node("FunctionNodeRandomValue", data_type="FLOAT"), Min=0.0, Max=6.2831853, Seed=seed)
    spin = group.put(group.node("FunctionNodeAxisAngleToRotation"), Axis=(0.0, 0.0, 1.0), Angle=angle)
    rotated = group.put(group.node("FunctionNodeRotateRotation", rotation_space="LOCAL"), i0=facing, i1=spin)
    place = group.node("GeometryNodeInstanceOnPoints")
    strewn = group.put(place, Points=points, Instance=info.outputs["Geometry"], Rotation=rotated, Scale=scale)
    kept = group.node("GeometryNodeSwitch", input_type="GEOMETRY")
    group.put(kept, Switch=group.given("Keep Surface"), **{"True": geometry})
    join = group.node("GeometryNodeJoinGeometry")
    group.tree.links.new(strewn, join.inputs[0])
    group.tree.links.new(kept.outputs[0], join.inputs[0])
    group.result(join.outputs[0])


def explode_by_tree(bpy) -> None:
    """Labels, and what is below them, moved away from one another."""
    group = Group(bpy, "Explode by Tree", "Move labels apart: groups from the middle, labels from their group, things")
    group.socket("Groups", "Float", 0.6, 0.0, 100.0, "Distance, as a share of that from the middle of the whole")
    group.socket("Labels", "Float", 0.4, 0.0, 100.0, "Distance, as a share of that from the middle of the group")
    group.socket("Things", "Float", 0.4, 0.0, 100.0, "Distance, as a share of that from the middle of the label")
    group.socket("Level", "String", "level_1_face", about="Face attribute of the level that makes the groups")
    label, instance = group.attribute("label_face"), group.attribute("instance_face")
    segment = group.math("ADD", group.math("MULTIPLY", label, 256.0), instance)
    place = group.node("GeometryNodeInputPosition").outputs[0]

    def middle(ids):
        whole = []
        for kind, value in (("FLOAT_VECTOR", place), ("FLOAT", 1.0)):
            node = group.node("GeometryNodeAccumulateField", data_type=kind, domain="FACE")
            group.put(node, Value=value, **({} if ids is None else {"Group_ID": ids}))
            whole.append(next(o for o in node.outputs if o.name == "Total" and o.enabled))
        return group.vector("SCALE", whole[0], group.math("DIVIDE", 1.0, whole[1]))

    chain = [middle(None), middle(group.attribute(group.given("Level"))), middle(label), middle(segment)]
    steps = [
        group.vector("SCALE", group.vector("SUBTRACT", inner, outer), group.given(share))
        for outer, inner, share in zip(chain, chain[1:], ("Groups", "Labels", "Things"), strict=False)
    ]
    offset = group.vector("ADD", group.vector("ADD", steps[0], steps[1]), steps[2])
    known = group.put(group.node("FunctionNodeCompare", data_type="INT", operation="GREATER_THAN"), A=label, B=0)
    moved = group.switch("VECTOR", known, (0.0, 0.0, 0.0), offset)
    capture = group.node("GeometryNodeStoreNamedAttribute", data_type="FLOAT_VECTOR", domain="FACE")
    stored = group.put(capture, Geometry=group.given("Geometry"), Name="explode", Value=moved)
    split = group.node("GeometryNodeSplitToInstances", domain="FACE")
    group.put(split, Geometry=stored, Group_ID=segment)
    apart = group.put(group.node("GeometryNodeRealizeInstances"), Geometry=split.outputs[0])
    shift = group.put(
        group.node("GeometryNodeSetPosition"), Geometry=apart, Offset=group.attribute("explode", "FLOAT_VECTOR")
    )
    clean = group.node("GeometryNodeRemoveAttribute")
    group.result(group.put(clean, Geometry=shift, Name="explode"))


GROUPS = (scatter_on_label, hide_label, color_by_label, explode_by_tree)


def make(out: Path) -> None:
    """Write the groups to a .blend."""
    import bpy

    if bpy.app.version[:2] != OLDEST:
        sys.exit(f"This Blender is {bpy.app.version_string}; the node groups are made with {OLDEST[0]}.{OLDEST[1]}.")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    for build in GROUPS:
        build(bpy)
    bpy.data.libraries.write(str(out), set(bpy.data.node_groups), fake_user=True, compress=True)
    print(f"{out}: {', '.join(group.name for group in bpy.data.node_groups)}, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the node groups")
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "nodes.blend")
    make(parser.parse_args().out)
