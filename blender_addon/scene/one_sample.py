"""One view layer with exact ids in a scene whose other layers are smooth pictures.

Ids must not be mixed: one sample through the centre of each pixel. Engines have a choice of samples for a view layer at
most, and EEVEE of Blender 4.5 not even that. But Blender evaluates a scene for each view layer that it renders, and a
driver can read the layer that it is evaluated for. So the scene's own settings are driven: one value in the layer of
ids, what the person had chosen in all others. The expressions are of the kind that needs no permission to run.
"""

from __future__ import annotations

import bpy

IDS_LAYER = "clickfield_ids"  # custom property of a view layer: 1 on that of ids
HALF = "clickfield_half"  # custom property of a view layer: what ids are stretched by before they are stored
VARIABLE = "labels_layer"  # in the drivers: 1 in that layer, 0 in all others
STRETCH = 2.0**-14  # an eighth of a step of half precision, and far above the errors of a sum of single precision
CENTRE = 0.01  # pixels: Cycles' narrowest filter


def mark(layer: bpy.types.ViewLayer, engine: str) -> None:
    """Tell the drivers that a layer is that of ids, and the materials how CYCLES or EEVEE will store them.

    EEVEE divides a sum by its weights and cuts the result off to half precision, so that 601 may become 600.5. Ids that
    are a trace too large come out right, however they are rounded.
    """
    layer[IDS_LAYER], layer[HALF] = 1, STRETCH if engine == "EEVEE" else 0.0


def drive(scene: bpy.types.Scene, engine: str) -> list[str]:
    """Let a scene render its layer of ids with one sample through each pixel's centre; others as the person chose.

    Called again, what the person has written into the drivers stays.

    Returns:
        Sentences that the person should read: settings that are animated already and are left alone.
    """
    if engine == "CYCLES":
        wanted = {"cycles.filter_width": ("Filter Width", CENTRE)}
    else:
        wanted = {"render.filter_size": ("Filter Size", 0.0)}
        if bpy.app.version < (5, 0, 0):  # later EEVEE takes the layer's own samples
            wanted["eevee.taa_render_samples"] = ("Render Samples", 1)
    kept = [name for path, (name, value) in wanted.items() if not _driven(scene, path, value)]
    if not kept:
        return []
    verb = "is" if len(kept) == 1 else "are"
    return [f"{' and '.join(kept)} {verb} animated already, so ids may be off at edges; Render Labels is exact."]


def _driven(scene: bpy.types.Scene, path: str, value: float) -> bool:
    """Drive a setting unless it is driven or animated by somebody else; is it driven by us?"""
    animated = scene.animation_data
    found = next((curve for curve in animated.drivers if curve.data_path == path), None) if animated else None
    if found is not None:
        return VARIABLE in found.driver.variables
    former = scene.path_resolve(path)
    if animated and animated.action and any(curve.data_path == path for curve in _curves(scene)):
        return False
    driver = scene.driver_add(path).driver
    driver.type = "SCRIPTED"
    variable = driver.variables.new()
    variable.name, variable.type = VARIABLE, "CONTEXT_PROP"
    target = variable.targets[0]
    target.context_property, target.data_path = "ACTIVE_VIEW_LAYER", f'["{IDS_LAYER}"]'
    target.use_fallback_value, target.fallback_value = True, 0.0
    driver.expression = f"{value:g} if {VARIABLE} else {float(former):.6g}"
    return True


def _curves(scene: bpy.types.Scene) -> list[bpy.types.FCurve]:
    """Curves of a scene's action; from Blender 4.4 they lie in the channels of slots."""
    bags = [bag for layer in scene.animation_data.action.layers for strip in layer.strips for bag in strip.channelbags]
    return [curve for bag in bags for curve in bag.fcurves]
