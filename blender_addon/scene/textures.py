"""What a separated object is made of: a texture baked from the photos, or the colours of its points.

A texture's bytes are packed as a finished PNG, which takes a millisecond; writing a picture of 2048 x 2048 pixel by
pixel and letting Blender compress it would hold the window up for 0.7 s. Blender decodes it when it is first drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from .materials import scan_material

UV_MAP = "UVMap"
MADE = "clickfield_made"  # custom property of materials and images that may be replaced: what they show
COLORS, TEXTURE = "colors", "texture"
ROUGHNESS = 0.9  # photos hold the light that fell on the thing; highlights would be lit twice


def colors_material(name: str) -> bpy.types.Material:
    """A new matte material of the points' colours, for all objects of a capture that have no texture."""
    material = scan_material()
    material.name, material[MADE] = name, COLORS
    return material


def packed_image(name: str, png: bytes) -> bpy.types.Image:
    """A new sRGB image out of a PNG's bytes. Its alpha says which pixels cameras saw; it is no transparency."""
    image = bpy.data.images.new(name, 1, 1, alpha=True)
    image.pack(data=png, data_len=len(png))
    image.source = "FILE"
    image.colorspace_settings.name, image.alpha_mode = "sRGB", "CHANNEL_PACKED"
    image[MADE] = TEXTURE
    return image


def textured_material(name: str, image: bpy.types.Image) -> bpy.types.Material:
    """A new Principled material of an image on the object's UV map."""
    material = bpy.data.materials.new(name)
    material[MADE] = TEXTURE
    if not material.node_tree:
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    output = nodes.new("ShaderNodeOutputMaterial")
    shader = nodes.new("ShaderNodeBsdfPrincipled")
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = image
    shader.inputs["Roughness"].default_value = ROUGHNESS
    links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    texture.location, shader.location, output.location = (-300, 0), (0, 0), (300, 0)
    return material


def write_uv(mesh: bpy.types.Mesh, uv: np.ndarray) -> None:
    """Give a mesh its UV map, (corners, 2) float32 with V up."""
    layer = mesh.uv_layers.new(name=UV_MAP, do_init=False)
    mesh.attributes[layer.name].data.foreach_set("vector", np.ascontiguousarray(uv, dtype=np.float32).ravel())


def dress(
    mesh: bpy.types.Mesh,
    name: str,
    png: bytes | None,
    former: Sequence[bpy.types.Material | None],
    plain: bpy.types.Material,
) -> None:
    """Give a new mesh its materials.

    Materials of the person's own stay in their slots. A textured material of ours stays with whatever was changed in
    its nodes, and shows the new picture.

    Args:
        png: the texture, or None for colours of the points. former: materials of the mesh that this one replaces.
        plain: the material of the points' colours.
    """
    image = packed_image(name, png) if png is not None else None
    if any(material is not None and material.get(MADE) is None for material in former):
        for material in former:
            mesh.materials.append(material)
    elif image is None:
        mesh.materials.append(plain)
    else:
        known = next((one for one in former if one is not None and one.get(MADE) == TEXTURE), None)
        mesh.materials.append(known or textured_material(name, image))
    if image is None:
        return
    for material in mesh.materials:
        _exchange(material, image)
    if image.users:
        image.name = name
    else:
        bpy.data.images.remove(image)


def _exchange(material: bpy.types.Material | None, image: bpy.types.Image) -> None:
    """Let the nodes that show a texture of ours show another one."""
    if material is None or material.node_tree is None:
        return
    for node in material.node_tree.nodes:
        shown = node.image if node.type == "TEX_IMAGE" else None
        if shown is not None and shown != image and shown.get(MADE) == TEXTURE:
            node.image = image
            if not shown.users:
                bpy.data.images.remove(shown)


def drop_unused(materials: Sequence[bpy.types.Material | None]) -> None:
    """Remove those of these materials that nothing uses any more, if they are ours, with their textures."""
    for material in {one for one in materials if one is not None}:
        if material.users or material.get(MADE) is None:
            continue
        nodes = material.node_tree.nodes if material.node_tree else ()
        images = {node.image for node in nodes if node.type == "TEX_IMAGE" and node.image is not None}
        bpy.data.materials.remove(material)
        for image in images:
            if not image.users and image.get(MADE) is not None:
                bpy.data.images.remove(image)
