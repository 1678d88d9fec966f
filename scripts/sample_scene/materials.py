"""Procedural materials: wood, fabric, paint, glazed clay, leaves, and pictures painted with numpy."""

from __future__ import annotations

import bpy
import numpy as np

Color = tuple[float, float, float]


def _new(name: str) -> tuple[bpy.types.Material, bpy.types.NodeTree, bpy.types.Node]:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    return material, material.node_tree, material.node_tree.nodes["Principled BSDF"]


def _coordinates(tree: bpy.types.NodeTree, scale: Color, output: str = "Object") -> bpy.types.NodeSocket:
    source, mapping = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = scale
    tree.links.new(source.outputs[output], mapping.inputs["Vector"])
    return mapping.outputs["Vector"]


def _noise(tree, vector, scale: float, detail: float = 4.0, distortion: float = 0.0) -> bpy.types.NodeSocket:
    node = tree.nodes.new("ShaderNodeTexNoise")
    node.inputs["Scale"].default_value = scale
    node.inputs["Detail"].default_value = detail
    node.inputs["Distortion"].default_value = distortion
    tree.links.new(vector, node.inputs["Vector"])
    return node.outputs["Fac"]


def _ramp(tree, factor, stops: list[tuple[float, Color]]) -> bpy.types.NodeSocket:
    node = tree.nodes.new("ShaderNodeValToRGB")
    elements = node.color_ramp.elements
    while len(elements) < len(stops):
        elements.new(0.5)
    for element, (position, color) in zip(elements, stops, strict=True):
        element.position, element.color = position, (*color, 1.0)
    tree.links.new(factor, node.inputs["Fac"])
    return node.outputs["Color"]


def _bump(tree, shader, height, strength: float, distance: float) -> None:
    node = tree.nodes.new("ShaderNodeBump")
    node.inputs["Strength"].default_value = strength
    node.inputs["Distance"].default_value = distance
    tree.links.new(height, node.inputs["Height"])
    tree.links.new(node.outputs["Normal"], shader.inputs["Normal"])


def wood(name: str, dark: Color, light: Color, grain: str = "X", roughness: float = 0.42) -> bpy.types.Material:
    """Fine grain along one axis of the object."""
    material, tree, shader = _new(name)
    along = {"X": (1.2, 16.0, 16.0), "Y": (16.0, 1.2, 16.0), "Z": (16.0, 16.0, 1.2)}[grain]
    fac = _noise(tree, _coordinates(tree, along), 2.4, 6.0, 0.6)
    tree.links.new(_ramp(tree, fac, [(0.33, dark), (0.68, light)]), shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = roughness
    _bump(tree, shader, fac, 0.12, 0.004)
    return material


def planks(name: str, dark: Color, light: Color) -> bpy.types.Material:
    """Floor boards along X: one tone per board, grain inside, dark joints."""
    material, tree, shader = _new(name)
    vector = _coordinates(tree, (1.0, 1.0, 1.0))
    brick = tree.nodes.new("ShaderNodeTexBrick")
    brick.offset, brick.squash = 0.37, 1.0
    for socket, value in (
        ("Color1", (0.0, 0.0, 0.0, 1.0)),
        ("Color2", (1.0, 1.0, 1.0, 1.0)),
        ("Mortar", (0.5, 0.5, 0.5, 1.0)),
        ("Scale", 1.0),
        ("Mortar Size", 0.0016),
        ("Brick Width", 1.15),
        ("Row Height", 0.13),
    ):
        brick.inputs[socket].default_value = value
    tree.links.new(vector, brick.inputs["Vector"])
    grain = _noise(tree, _coordinates(tree, (1.5, 22.0, 1.0)), 2.0, 7.0, 0.8)
    mix = tree.nodes.new("ShaderNodeMix")
    mix.inputs["Factor"].default_value = 0.42
    tree.links.new(grain, mix.inputs["A"])
    tree.links.new(brick.outputs["Color"], mix.inputs["B"])
    toned = _ramp(tree, mix.outputs["Result"], [(0.22, dark), (0.72, light)])
    joint = tree.nodes.new("ShaderNodeMix")
    joint.data_type = "RGBA"
    joint.inputs["B"].default_value = (*[c * 0.35 for c in dark], 1.0)
    tree.links.new(brick.outputs["Fac"], joint.inputs["Factor"])
    tree.links.new(toned, joint.inputs[6])
    tree.links.new(joint.outputs[2], shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.38
    _bump(tree, shader, grain, 0.08, 0.003)
    return material


def fabric(name: str, color: Color, weave: float = 260.0, variation: float = 0.14) -> bpy.types.Material:
    """Woven cloth: a fine weave in the bump, faint large blotches in the colour, a little sheen."""
    material, tree, shader = _new(name)
    vector = _coordinates(tree, (1.0, 1.0, 1.0))
    soft = _noise(tree, vector, 9.0, 5.0)
    darker = tuple(c * (1 - variation) for c in color)
    lighter = tuple(min(1.0, c * (1 + variation)) for c in color)
    tree.links.new(_ramp(tree, soft, [(0.3, darker), (0.7, lighter)]), shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.9
    shader.inputs["Sheen Weight"].default_value = 0.25
    shader.inputs["Specular IOR Level"].default_value = 0.2
    _bump(tree, shader, _noise(tree, vector, weave, 2.0), 0.35, 0.004)
    return material


def paint(name: str, color: Color, roughness: float = 0.75) -> bpy.types.Material:
    """Wall paint or lacquer with the faint unevenness of a roller."""
    material, tree, shader = _new(name)
    vector = _coordinates(tree, (1.0, 1.0, 1.0))
    soft = _noise(tree, vector, 1.7, 6.0)
    low, high = tuple(c * 0.93 for c in color), tuple(min(1.0, c * 1.05) for c in color)
    tree.links.new(_ramp(tree, soft, [(0.3, low), (0.7, high)]), shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = roughness
    _bump(tree, shader, _noise(tree, vector, 70.0, 3.0), 0.06, 0.003)
    return material


def glossy(name: str, color: Color, roughness: float = 0.25, metallic: float = 0.0) -> bpy.types.Material:
    """Glaze, plastic or metal."""
    material, tree, shader = _new(name)
    soft = _noise(tree, _coordinates(tree, (1.0, 1.0, 1.0)), 14.0, 4.0)
    low, high = tuple(c * 0.85 for c in color), tuple(min(1.0, c * 1.12) for c in color)
    tree.links.new(_ramp(tree, soft, [(0.3, low), (0.7, high)]), shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    return material


def leaf(name: str, color: Color) -> bpy.types.Material:
    """A waxy leaf that lets some light through."""
    material = fabric(name, color, weave=30.0, variation=0.35)
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = 0.4
    shader.inputs["Sheen Weight"].default_value = 0.0
    shader.inputs["Specular IOR Level"].default_value = 0.5
    shader.inputs["Subsurface Weight"].default_value = 0.0
    return material


def lampshade(name: str, color: Color, glow: float) -> bpy.types.Material:
    """Linen lit from inside."""
    material = fabric(name, color, weave=180.0, variation=0.08)
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Emission Color"].default_value = (1.0, 0.72, 0.42, 1.0)
    shader.inputs["Emission Strength"].default_value = glow
    return material


def emission(name: str, color: Color, strength: float) -> bpy.types.Material:
    """A plain light source."""
    material, _, shader = _new(name)
    shader.inputs["Base Color"].default_value = (0.0, 0.0, 0.0, 1.0)
    shader.inputs["Emission Color"].default_value = (*color, 1.0)
    shader.inputs["Emission Strength"].default_value = strength
    return material


def painted(
    name: str, pixels: np.ndarray, up: str = "Y", roughness: float = 0.85, weave: float = 0.0
) -> bpy.types.Material:
    """A picture laid flat over the object's bounding box.

    Args:
        pixels: (height, width, 3) sRGB 0..1, first row at the bottom; width runs along the object's X.
        up: the object's axis along which the rows run, "Y" for a carpet, "Z" for a picture on a wall.
        weave: scale of a woven bump, 0 for none.
    """
    material, tree, shader = _new(name)
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height)
    rgba = np.concatenate([pixels, np.ones((height, width, 1))], axis=2).astype(np.float32)
    image.pixels.foreach_set(rgba.ravel())
    image.pack()
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    split, flat = tree.nodes.new("ShaderNodeSeparateXYZ"), tree.nodes.new("ShaderNodeCombineXYZ")
    tree.links.new(_coordinates(tree, (1.0, 1.0, 1.0), "Generated"), split.inputs["Vector"])
    tree.links.new(split.outputs["X"], flat.inputs["X"])
    tree.links.new(split.outputs[up], flat.inputs["Y"])
    tree.links.new(flat.outputs["Vector"], node.inputs["Vector"])
    tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = roughness
    if weave:
        _bump(tree, shader, _noise(tree, _coordinates(tree, (1.0, 1.0, 1.0)), weave, 2.0), 0.6, 0.006)
    return material
