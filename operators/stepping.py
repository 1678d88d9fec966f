"""Long work of an operator in steps: between two drawings in a window, at once without one."""

import bpy

EVERY = 0.05  # seconds between two steps


class SteppedOperator:
    """What operators share whose work is a generator of (how far 0 to 1, what comes next).

    They give ``verb`` (begins what the status bar says), ``failures`` (exceptions whose text is the sentence for the
    person) and ``finish(context, stopped)``, which says what became of it.
    """

    _timer = None

    def begin(self, context, steps):
        """Start; what `execute` returns."""
        self._steps = steps
        try:
            if bpy.app.background or context.window is None:
                for _ in steps:
                    pass
                return self.finish(context, stopped=False)
            next(steps)
        except self.failures as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._timer = context.window_manager.event_timer_add(EVERY, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.window_manager.progress_begin(0, 100)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """One step; Esc stops."""
        if event.type == "ESC":
            self.cancel(context)
            return self.finish(context, stopped=True)
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            fraction, text = next(self._steps, (1.0, None))
        except self.failures as error:
            self.cancel(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except ReferenceError:
            self.cancel(context)
            self.report({"ERROR"}, "Something was deleted or undone meanwhile; try it again.")
            return {"CANCELLED"}
        if text is None:
            self.cancel(context)
            return self.finish(context, stopped=False)
        context.window_manager.progress_update(int(100 * fraction))
        context.workspace.status_text_set(f"{self.verb} {text} ({fraction:.0%}). Esc: stop")
        return {"PASS_THROUGH"}

    def cancel(self, context):
        """Stop the clock."""
        self._steps.close()
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)
