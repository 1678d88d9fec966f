"""How a scan is shown: one material on its colours, and viewports in solid mode that draw attributes."""

from __future__ import annotations

import bpy


def scan_material() -> bpy.types.Material:
    """A new matte material that shows the mesh's active render colour attribute."""
    material = bpy.data.materials.new("Scan")
    if not material.node_tree:
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    output = nodes.new("ShaderNodeOutputMaterial")
    shader = nodes.new("ShaderNodeBsdfPrincipled")
    color = nodes.new("ShaderNodeVertexColor")  # without a name it reads the active render colour
    shader.inputs["Roughness"].default_value = 1.0
    shader.inputs["Specular IOR Level"].default_value = 0.0
    links.new(color.outputs["Color"], shader.inputs["Base Color"])
    links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    color.location, shader.location, output.location = (-220, 0), (0, 0), (300, 0)
    return material


def show_attributes_in_viewports(scene: bpy.types.Scene) -> None:
    """Let every 3D viewport that shows the scene draw colour attributes in solid mode.

    The lines from each camera to the scan that carries it are switched off: there may be a thousand.
    """
    screens = {window.screen for window in bpy.context.window_manager.windows if window.scene == scene}
    for screen in screens or set(bpy.data.screens):
        for area in screen.areas:
            for space in area.spaces:
                if space.type == "VIEW_3D":
                    space.shading.color_type = "VERTEX"
                    space.overlay.show_relationship_lines = False
