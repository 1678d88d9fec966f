"""Everything that Clickfield stores in a .blend, and the transient state that its panels read.

The truth of what the person did lives here, so that Blender's undo, copy and save work on it. The label document is
built from ``Scene.clickfield``. One pointer per ID type; datablocks are found by id, never by name.
"""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .scene import collections
from .separation import SeparationOptions

look_changed = []  # functions that get the scene when its labels are to be shown in another way
row_chosen = []  # functions that get the scene and the row of a label on which somebody clicked in the list

IDENTITY = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)

ROW_TIP = "Click to choose the label that marks give, Ctrl-click to rename it, double-click to select its surface"
UP_ITEMS = (
    ("auto", "Automatic", "Find the up direction from the format and the floor"),
    ("+x", "+X", "The capture's X axis points up"),
    ("-x", "-X", "The capture's X axis points down"),
    ("+y", "+Y", "The capture's Y axis points up"),
    ("-y", "-Y", "The capture's Y axis points down"),
    ("+z", "+Z", "The capture's Z axis points up"),
    ("-z", "-Z", "The capture's Z axis points down"),
)
POSE_ITEMS = (
    ("as said", "As They Are", "Poses are what the format says"),
    ("inverse", "Inverse", "The files hold world-to-camera where the format says camera-to-world, or the reverse"),
    ("other axes", "Other Axes", "The files' cameras have OpenGL axes where the format says OpenCV, or the reverse"),
    ("inverse, other axes", "Inverse, Other Axes", "Both of these"),
)
CONFIDENCE_ITEMS = (
    ("2", "High", "Use depth of high confidence only"),
    ("1", "Medium", "Use depth of medium and high confidence"),
    ("0", "Low", "Use all depth"),
)
DEPTH_UNIT = (
    "How depth numbers are meant, where it cannot be found out: mm, m, values per metre such as 5000 or 6553.5, "
    "scale: and metres per value, sun3d or sun3d-0.1mm"
)
REFINE_POSES = "Correct small errors of the tracker: every frame is registered to the scan of all frames"
KEYFRAME_ITEMS = (
    ("stride", "Every Nth", "Take every Nth frame"),
    ("motion", "By Motion", "Take a frame when the camera has moved enough"),
)
KIND_ITEMS = (
    ("class", "Class", "A label that can be given to the surface"),
    ("group", "Group", "A label that holds others; a mark on it says that something is somewhere below it"),
)
METHOD_ITEMS = (
    ("combined", "Combined", "Spread marks over the scan's parts at once, then let the field improve on it"),
    ("marks-only", "Marks Only", "The field learns from nothing but the marks, as iLabel does; slow without a GPU"),
    ("marks-only-tree", "Marks Only, by Level", "The same with one yes or no per level of the tree"),
)
SHOW_ITEMS = (
    ("PHOTO", "Photo", "The colours of the capture"),
    ("LABELS", "Labels", "The colours of the labels"),
    ("MIX", "Mix", "Label colours over the photo"),
    ("CONFIDENCE", "Confidence", "Bright where the labels are sure"),
    ("UNCERTAINTY", "Uncertainty", "Hot where a mark would teach most"),
)
MEASURE_ITEMS = (
    ("entropy", "Entropy", "How evenly the labels share a place (softmax entropy)"),
    ("least-confidence", "Least Confidence", "How little the best label has"),
    ("margin", "Margin", "How close the second-best label is"),
)
TOP_ITEMS = (
    ("1", "Top 1 %", "Ask about the least certain hundredth of a picture"),
    ("5", "Top 5 %", "Ask about the least certain twentieth of a picture"),
)
ROLE_ITEMS = (
    ("NONE", "None", "Not made by Clickfield"),
    ("SCAN", "Scan", "The fused mesh of a capture"),
    ("CAMERA", "Camera", "A keyframe of a capture"),
    ("PATH", "Path", "The way of the camera"),
    ("OBJECT", "Object", "A thing separated from a scan"),
    ("LOD", "Level of Detail", "A separated thing with fewer faces"),
    ("HULL", "Collision Hull", "A simple shape of a separated thing for physics"),
    ("FILLED", "Filled Scene", "The scan without the things that were separated from it"),
)


def _edited(self, context):
    """A field of the label document was changed by hand: the document has a new revision."""
    self.id_data.clickfield.revision += 1


def _reshown(self, context):
    """The person wants to see the labels in another way; the document stays what it is."""
    for told in look_changed:
        told(self.id_data)


def _relabelled(self, context):
    """A label was renamed or recoloured by hand: its collection follows."""
    _edited(self, context)
    collections.relabel(self.id_data, self.uid)


def _tip(self):
    return ROW_TIP


def _row(self):
    return self.active_label


def _choose_row(self, row):
    """Somebody clicked on a row of the list, which scripts and operators never do."""
    self.active_label = row
    for told in row_chosen:
        told(self.id_data, row)


class ClickfieldPoint(bpy.types.PropertyGroup):
    co: FloatVectorProperty(name="Position", size=3, precision=4, description="In the capture's own world")


class ClickfieldMark(bpy.types.PropertyGroup):
    """One click: this surface is, or is not, of that label."""

    uid: IntProperty(name="Id")
    label: IntProperty(name="Label", description="Uid of the label")
    sign: IntProperty(name="Sign", default=1, description="1 for this, -1 for not this")
    frame: StringProperty(name="Keyframe", description="Empty when the mark was made on the surface")
    u: FloatProperty(name="Column", description="Pixel column; the centre of the first one is 0")
    v: FloatProperty(name="Row", description="Pixel row; the centre of the top one is 0")
    points: CollectionProperty(type=ClickfieldPoint)
    muted: BoolProperty(name="Mute", description="The mark stays, and teaches nothing", update=_edited)
    local: BoolProperty(
        name="Only This Piece", description="Teach only the connected piece that the mark lies on", update=_edited
    )
    instance: IntProperty(
        name="Instance",
        description="Number of the object, among those of its label, that the mark lies on; 0 leaves that open",
        min=0,
        max=65535,
        update=_edited,
    )
    selected: BoolProperty(name="Select", description="Chosen in the list of marks")


class ClickfieldLabel(bpy.types.PropertyGroup):
    """A node of the label tree."""

    uid: IntProperty(name="Id", description="1 to 65535, never used again in this scene")
    name: StringProperty(name="Name", maxlen=256, update=_relabelled)
    parent: IntProperty(name="Parent", description="Uid of the parent, 0 for none")
    kind: EnumProperty(name="Kind", items=KIND_ITEMS, default="class", update=_edited)
    thing: BoolProperty(
        name="Thing",
        description="Connected pieces are separate objects; otherwise all of it is one, like a floor",
        default=True,
        update=_edited,
    )
    color: FloatVectorProperty(
        name="Color", subtype="COLOR_GAMMA", size=3, min=0.0, max=1.0, default=(0.8, 0.8, 0.8), update=_relabelled
    )
    mark_instance: IntProperty(
        name="Instance",
        description="Number of the object that new marks of this label lie on; 0 leaves that open",
        min=0,
        max=65535,
    )
    split_first: IntProperty(name="First Part", description="Instance that the next mark gets instead; 0 for none")
    split_second: IntProperty(name="Second Part", description="Instance that the mark after it gets; 0 for none")
    expanded: BoolProperty(name="Expand", description="Show what is below this label", default=True)
    visible: BoolProperty(name="Show", description="Show this label in the viewport", default=True, update=_reshown)
    tip: StringProperty(name="Tooltip", get=_tip)


class ClickfieldSeparation(bpy.types.PropertyGroup, SeparationOptions):
    """The choices of the last separation."""


class ClickfieldScene(bpy.types.PropertyGroup):
    """A capture and what the person said about it."""

    capture_id: StringProperty(name="Capture", description="Stable id of the capture, empty when there is none")
    capture_path: StringProperty(name="Folder", description="Where the capture is on disk")
    capture_name: StringProperty(name="Capture Name")
    capture_format: StringProperty(name="Format")

    step: IntProperty(name="Frame Step", default=1, min=1, max=100_000, description="Use every Nth frame")
    max_frames: IntProperty(name="Most Keyframes", default=0, min=0, description="0 means all")
    keyframes: EnumProperty(name="Keyframes", items=KEYFRAME_ITEMS, default="stride")
    depth_min: FloatProperty(name="Nearest", default=0.0, min=0.0, unit="LENGTH", description="Ignore nearer depth")
    depth_max: FloatProperty(name="Farthest", default=8.0, min=0.01, unit="LENGTH", description="Ignore farther depth")
    up: EnumProperty(name="Up", items=UP_ITEMS, default="auto")
    depth_encoding: StringProperty(name="Depth Unit", description=DEPTH_UNIT)
    poses: EnumProperty(name="Poses", items=POSE_ITEMS, default="as said")
    refine_poses: BoolProperty(name="Refine Poses", default=True, description=REFINE_POSES)
    confidence: EnumProperty(name="Confidence", items=CONFIDENCE_ITEMS, default="2")
    scene_from_world: FloatVectorProperty(
        name="Scene from World", size=16, default=IDENTITY, precision=6, description="Row-major, capture to scene"
    )

    labels: CollectionProperty(type=ClickfieldLabel)
    active_label: IntProperty(name="Active Label", default=0, min=0, description="Row in the list of labels")
    label_row: IntProperty(
        name="Label",
        description="Row of the label that marks give",
        options=set(),
        get=_row,
        set=_choose_row,
    )
    marks: CollectionProperty(type=ClickfieldMark)
    active_mark: IntProperty(name="Active Mark", default=0, min=0, description="Row in the list of marks")
    method: EnumProperty(name="Method", items=METHOD_ITEMS, default="combined", update=_edited)
    only_this_piece: BoolProperty(
        name="Only This Piece", description="New marks teach only the connected piece that they lie on"
    )
    recent: StringProperty(name="Recent Labels", description="Uids of the labels used last, newest first")
    show: EnumProperty(name="Show", items=SHOW_ITEMS, default="LABELS", update=_reshown)
    mix: FloatProperty(
        name="Opacity", description="Of label colors over a photo", default=0.6, min=0.0, max=1.0, update=_reshown
    )
    tree_level: IntProperty(
        name="Level",
        description="Level of the label tree that is shown; 0 shows the labels themselves",
        min=0,
        max=32,
        soft_max=6,
        update=_reshown,
    )
    isolated: IntProperty(
        name="Isolated Label", description="Uid of the only label shown, 0 for all", min=0, update=_reshown
    )
    query_measure: EnumProperty(name="Uncertainty", items=MEASURE_ITEMS, default="least-confidence")
    query_top: EnumProperty(name="Ask About", items=TOP_ITEMS, default="5")
    separation: PointerProperty(type=ClickfieldSeparation)
    next_uid: IntProperty(name="Next Label Id", default=1, min=1)
    next_mark: IntProperty(name="Next Mark Id", default=1, min=1)
    schema: IntProperty(name="Schema", default=1, description="Version of the label document's schema in this file")
    revision: IntProperty(name="Revision", default=0, min=0, description="Counts the edits of labels and marks")


class ClickfieldObject(bpy.types.PropertyGroup):
    """What an object is to Clickfield."""

    role: EnumProperty(name="Role", items=ROLE_ITEMS, default="NONE")
    capture_id: StringProperty(name="Capture", description="Stable id of the capture that the object belongs to")
    frame: StringProperty(name="Keyframe")
    index: IntProperty(name="Index", description="Place of the keyframe in the recording")
    image_path: StringProperty(name="Image", description="Colour picture of the keyframe")
    width: IntProperty(name="Width")
    height: IntProperty(name="Height")
    fx: FloatProperty(name="Focal X", description="Pixels")
    fy: FloatProperty(name="Focal Y", description="Pixels")
    cx: FloatProperty(name="Centre X", description="Pixels; the centre of the first pixel is 0")
    cy: FloatProperty(name="Centre Y", description="Pixels; the centre of the top pixel is 0")
    label: IntProperty(name="Label", description="Uid of the label of a separated object")
    instance: IntProperty(name="Instance", description="Number of the object within its label")
    given_name: StringProperty(name="Given Name", description="As the object was named when it was made")
    placed: FloatVectorProperty(
        name="Placed", size=16, default=IDENTITY, description="Matrix to Blender's world when it was made, row-major"
    )


class ClickfieldShare(bpy.types.PropertyGroup):
    """Part of the surface that carries a label; ``name`` is the label's uid."""

    value: FloatProperty()


class ClickfieldWindow(bpy.types.PropertyGroup):
    """Transient: what the panels show of the backend. Never saved."""

    state: StringProperty(name="State", default="stopped", description="State of the backend process")
    device: StringProperty(name="Device")
    status: StringProperty(name="Status", description="What the backend is doing when nothing was asked of it")
    problem: StringProperty(name="Problem", description="Last error, one sentence")
    busy: StringProperty(name="Task", description="What a request is doing; empty when none runs")
    progress: FloatProperty(name="Progress", min=0.0, max=1.0)
    request: IntProperty(name="Request", description="Id of the request that Cancel stops", default=0)
    unsettled: FloatProperty(name="Unsettled", description="Part of the surface that is still uncertain", default=1.0)
    settled: BoolProperty(name="Settled")
    locate: BoolProperty(name="Locate", description="The files of the capture were not where they were")
    notes: StringProperty(name="Notes", description="What the person should know of the capture, one per line")
    shares: CollectionProperty(type=ClickfieldShare)
    label_filter: StringProperty(
        name="Filter",
        description="Show labels whose names have this in them, with what is above them",
        options={"TEXTEDIT_UPDATE"},
    )


CLASSES = (
    ClickfieldPoint,
    ClickfieldMark,
    ClickfieldLabel,
    ClickfieldSeparation,
    ClickfieldScene,
    ClickfieldObject,
    ClickfieldShare,
    ClickfieldWindow,
)


def register() -> None:
    """Register the groups and put one pointer on each ID type."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.clickfield = PointerProperty(type=ClickfieldScene)
    bpy.types.Object.clickfield = PointerProperty(type=ClickfieldObject)
    bpy.types.WindowManager.clickfield = PointerProperty(type=ClickfieldWindow, options={"SKIP_SAVE"})


def unregister() -> None:
    """Take back what register() did."""
    del bpy.types.WindowManager.clickfield
    del bpy.types.Object.clickfield
    del bpy.types.Scene.clickfield
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
