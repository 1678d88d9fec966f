"""The choices of a separation: kept in the scene, shown in the sidebar, and options of the operator."""

from __future__ import annotations

from typing import Any

from bpy.props import BoolProperty, EnumProperty, FloatProperty

TEXTURE_ITEMS = (
    ("0", "Vertex Colors", "No texture: the colors of the scan's points"),
    ("512", "512", "At most 512 x 512 pixels for each object; small things get less"),
    ("1024", "1024", "At most 1024 x 1024 pixels for each object; small things get less"),
    ("2048", "2048", "At most 2048 x 2048 pixels for each object; small things get less"),
    ("4096", "4096", "At most 4096 x 4096 pixels for each object; small things get less"),
)
HULL_ITEMS = (
    ("NONE", "None", "No shapes for collision"),
    ("CONVEX", "Convex", "One convex hull for each object"),
    ("DECOMPOSED", "Decomposed", "Several convex hulls that follow the shape; takes seconds for each object"),
)
NAMING_ITEMS = (
    ("UNREAL", "Unreal: UCX_", "UCX_Chair_00"),
    ("GODOT", "Godot: -colonly", "Chair_00-colonly: the hull as it is"),
    ("GODOT_CONVEX", "Godot: -convcolonly", "Chair_00-convcolonly: a convex shape, for bodies that move"),
)


class SeparationOptions:
    """The same choices wherever they are: of a scene (remembered) and of the operator (given)."""

    min_size: FloatProperty(
        name="Smallest Size",
        description="Pieces whose longest side is shorter are left out, unless a label has nothing larger",
        default=0.04,
        min=0.0,
        soft_max=1.0,
        unit="LENGTH",
    )
    margin: FloatProperty(
        name="Margin",
        description="Where an object meets other labels: above 0 it takes a rim along, below 0 it loses one",
        default=0.0,
        min=-0.1,
        max=0.1,
        soft_min=-0.02,
        soft_max=0.02,
        step=0.1,
        precision=3,
        unit="LENGTH",
    )
    close: BoolProperty(
        name="Close Unseen Sides",
        description="Make watertight solids: what no camera saw is continued from what was seen, down to the support",
        default=True,
    )
    mirror: BoolProperty(
        name="Mirror",
        description="Complete unseen sides of symmetric objects by their mirror image; the error is told",
    )
    fill: BoolProperty(
        name="Fill the Hole",
        description='Also make the "Scene without ..." the things: floor, wall and table continued where they stood',
    )
    texture: EnumProperty(
        name="Texture", description="Baked from the photos; the size is the upper limit", items=TEXTURE_ITEMS
    )
    hulls: EnumProperty(name="Collision", description="Simple shapes for physics", items=HULL_ITEMS)
    naming: EnumProperty(name="Names", description="By which game engines know collision shapes", items=NAMING_ITEMS)
    levels: BoolProperty(
        name="Levels of Detail",
        description="Copies with 100, 50, 25 and 10 % of the faces, named _LOD0 to _LOD3",
    )


NAMES = tuple(SeparationOptions.__annotations__)


def params(options: Any) -> dict[str, Any]:
    """What the backend must know of the choices: the parameters of ``separate`` but for ``known``."""
    said = {name: getattr(options, name) for name in ("min_size", "margin", "close", "mirror", "fill")}
    return said | {"texture": int(options.texture), "hulls": options.hulls.lower()}
