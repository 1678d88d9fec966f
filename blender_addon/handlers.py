"""What happens to the session when Blender exchanges the scene under it: undo, redo, another file."""

import bpy
from bpy.app.handlers import persistent

from . import live
from .document.labels import sign


@persistent
def before_exchange(*arguments):
    """Every datablock is about to become invalid."""
    live.session().before_exchange()


@persistent
def after_undo(*arguments):
    """The scene is in another state of its history."""
    live.session().after_undo()


@persistent
def after_load(*arguments):
    """Another file is open."""
    live.session().after_load()


@persistent
def before_save(*arguments):
    """The file will say in which layout it keeps labels, so that an older Clickfield can tell."""
    for scene in bpy.data.scenes:
        sign(scene.clickfield)


@persistent
def before_render(*arguments):
    """A render begins: the person may want all memory for it."""
    live.releases().render_begins()


@persistent
def after_render(*arguments):
    """A render is over or was stopped."""
    live.releases().render_ends()


@persistent
def after_save(*arguments):
    """The file was saved."""
    live.session().after_save()


HANDLERS = (
    ("undo_pre", before_exchange),
    ("redo_pre", before_exchange),
    ("load_pre", before_exchange),
    ("undo_post", after_undo),
    ("redo_post", after_undo),
    ("load_post", after_load),
    ("save_pre", before_save),
    ("save_post", after_save),
    ("render_init", before_render),
    ("render_complete", after_render),
    ("render_cancel", after_render),
)


def register() -> None:
    """Hang the handlers in."""
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Take them out."""
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
