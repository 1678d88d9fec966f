"""Ask Me: the person is asked what the least certain places are, and answers with keys alone."""

import bpy
from bpy.props import IntProperty, StringProperty

from ..blender_addon import live
from ..blender_addon.asking import label_for
from ..blender_addon.scene import cameras
from ..blender_addon.scene.places import in_world, look_at

NUMBERS = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
ENTER = ("RET", "NUMPAD_ENTER")
TICK = 0.05  # seconds between two looks whether the next question is there


class QuestionOperator:
    """What the operators on the question share."""

    @classmethod
    def poll(cls, context):
        """Only while a question is on screen."""
        if live.session().asking.question is None:
            cls.poll_message_set("There is no question; press Ask Me first")
            return False
        return True


def _answer(operator, label):
    """Mark the asked pixel with a label."""
    asking = live.session().asking
    own = bpy.context.scene.clickfield
    question, mark = asking.question, own.next_mark
    if question.frame:
        bpy.ops.clickfield.add_mark(label=label, sign=1, frame=question.frame, u=question.u, v=question.v)
    elif (place := in_world(bpy.context.scene, question.point)) is not None:  # a mesh without photos
        bpy.ops.clickfield.add_mark(label=label, sign=1, location=place)
    if not len(own.marks) or own.marks[-1].uid != mark:
        operator.report({"ERROR"}, "The answer could not be marked; the question is skipped.")
        asking.skip()
        return {"CANCELLED"}
    asking.answered(mark)
    return {"FINISHED"}


class CLICKFIELD_OT_answer_question(bpy.types.Operator, QuestionOperator):
    bl_idname = "clickfield.answer_question"
    bl_label = "Answer"
    bl_description = "The place that is asked about is of this label"
    bl_options = {"UNDO", "INTERNAL"}

    label: IntProperty(name="Label", description="Uid of the label", min=1)

    def execute(self, context):
        """Mark the place and ask on."""
        if self.label not in {label.uid for label in context.scene.clickfield.labels}:
            self.report({"ERROR"}, f"There is no label with the id {self.label} in this scene.")
            return {"CANCELLED"}
        return _answer(self, self.label)


class CLICKFIELD_OT_name_answer(bpy.types.Operator, QuestionOperator):
    bl_idname = "clickfield.name_answer"
    bl_label = "New Label..."
    bl_description = "The place that is asked about is of a label that is not in the tree yet: type its name"
    bl_options = {"UNDO", "INTERNAL"}

    name: StringProperty(name="Name", maxlen=256, options={"SKIP_SAVE"})

    def invoke(self, context, event):
        """Let the person type the name over the picture."""
        live.session().asking.type("")
        return {"FINISHED"}

    def execute(self, context):
        """Add the label, unless there is one of that name, and answer with it."""
        if not self.name.strip():
            self.report({"ERROR"}, "A label needs a name.")
            return {"CANCELLED"}
        label = label_for(context.scene, self.name)
        if not label:
            before = context.scene.clickfield.next_uid
            bpy.ops.clickfield.add_label(name=self.name.strip())
            label = label_for(context.scene, self.name)
            if label < before:
                return {"CANCELLED"}
        return _answer(self, label)


class CLICKFIELD_OT_skip_question(bpy.types.Operator, QuestionOperator):
    bl_idname = "clickfield.skip_question"
    bl_label = "Skip"
    bl_description = "Ask somewhere else, and not near this place again"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        """Ask on."""
        live.session().asking.skip()
        return {"FINISHED"}


class CLICKFIELD_OT_stop_asking(bpy.types.Operator):
    bl_idname = "clickfield.stop_asking"
    bl_label = "Stop"
    bl_description = "Ask nothing more; the answers stay"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        """End the round; the operator that listens to the keys ends with it."""
        live.session().asking.stop()
        return {"FINISHED"}


class CLICKFIELD_OT_ask_me(bpy.types.Operator):
    bl_idname = "clickfield.ask_me"
    bl_label = "Ask Me"
    bl_description = "Be shown the places of which Clickfield is least sure, and answer with number keys"

    _timer = None
    _shown = None
    _viewport = 0

    @classmethod
    def poll(cls, context):
        """Only with a capture, once at a time."""
        if not context.scene.clickfield.capture_id:
            cls.poll_message_set("Import a capture first")
        elif live.session().asking.active:
            cls.poll_message_set("Clickfield is asking already")
        else:
            return True
        return False

    def execute(self, context):
        """For scripts: ask, and answer with `answer_question`, `skip_question`, `stop_asking`."""
        live.session().asking.begin()
        return {"FINISHED"}

    def invoke(self, context, event):
        """Ask, and listen to the keys while the person answers."""
        area = context.area if context.area is not None and context.area.type == "VIEW_3D" else None
        areas = [other for other in context.screen.areas if other.type == "VIEW_3D"]
        if area is None and not areas:
            self.report({"ERROR"}, "There is no 3D viewport to show the places in; open one.")
            return {"CANCELLED"}
        area = area or max(areas, key=lambda other: other.width * other.height)
        self._viewport, self._shown = area.as_pointer(), None
        live.session().asking.begin(self._viewport)
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Keys answer; everything that is not ours goes on to Blender."""
        asking = live.session().asking
        if not asking.active:
            return self._end(context)
        if event.type == "TIMER":
            if asking.question is not self._shown:
                self._shown = asking.question
                self._look(context)
            return {"PASS_THROUGH"}
        if event.value != "PRESS" or not self._over_viewport(context, event):
            return {"PASS_THROUGH"}
        if asking.typed is not None:
            return self._typed(context, event, asking)
        if event.ctrl or event.alt or event.oskey:
            return {"PASS_THROUGH"}
        return self._key(context, event, asking)

    def cancel(self, context):
        """Blender ends it: another file is loaded, the window is closed."""
        live.session().asking.stop()
        context.window_manager.event_timer_remove(self._timer)

    def _end(self, context):
        context.window_manager.event_timer_remove(self._timer)
        return {"FINISHED"}

    def _key(self, context, event, asking):
        if event.type == "ESC":
            asking.stop()
            return self._end(context)
        if asking.question is None:
            return {"PASS_THROUGH"} if not _is_letter(event) else {"RUNNING_MODAL"}
        if event.type in NUMBERS:
            place = NUMBERS.index(event.type)
            if place < len(asking.question.choices):
                bpy.ops.clickfield.answer_question("EXEC_DEFAULT", True, label=asking.question.choices[place][0])
        elif event.type == "N":
            asking.type("")
        elif event.type in ("S", "SPACE"):
            asking.skip()
        elif not _is_letter(event):
            return {"PASS_THROUGH"}
        # A letter that means nothing here would do something in Blender that nobody means while answering.
        return {"RUNNING_MODAL"}

    def _typed(self, context, event, asking):
        if event.type == "ESC":
            asking.type(None)
        elif event.type in ENTER:
            if asking.typed.strip():
                bpy.ops.clickfield.name_answer("EXEC_DEFAULT", True, name=asking.typed)
        elif event.type == "BACK_SPACE":
            asking.type(asking.typed[:-1])
        elif event.unicode and event.unicode.isprintable() and not (event.ctrl or event.oskey):
            asking.type(asking.typed + event.unicode)
        else:
            return {"PASS_THROUGH"}
        return {"RUNNING_MODAL"}

    def _over_viewport(self, context, event):
        """Is the pointer over the picture? Keys over the sidebar or another editor are not answers."""
        area = self._area(context)
        if area is None:
            return False
        region = next(region for region in area.regions if region.type == "WINDOW")
        x, y = event.mouse_x - region.x, event.mouse_y - region.y
        return 0 <= x < region.width and 0 <= y < region.height

    def _area(self, context):
        return next((area for area in context.screen.areas if area.as_pointer() == self._viewport), None)

    def _look(self, context):
        """Look through the question's keyframe; where its camera is gone, go to the place."""
        question, area = live.session().asking.question, self._area(context)
        if question is None or area is None:
            return
        scene = context.scene
        made = {camera.clickfield.frame for camera in cameras.capture_cameras(scene, scene.clickfield.capture_id)}
        if question.frame in made:
            with context.temp_override(area=area, region=area.regions[-1]):
                bpy.ops.clickfield.view_frame(frame=question.frame)
        elif (place := in_world(scene, question.point)) is not None:
            look_at(area.spaces.active.region_3d, place)


def _is_letter(event):
    return len(event.type) == 1 or event.type in (*NUMBERS, "ZERO", "SPACE", "DEL", "BACK_SPACE", "TAB", *ENTER)


CLASSES = (
    CLICKFIELD_OT_ask_me,
    CLICKFIELD_OT_answer_question,
    CLICKFIELD_OT_name_answer,
    CLICKFIELD_OT_skip_question,
    CLICKFIELD_OT_stop_asking,
)
