"""What the backend knows of the label document: when it must be sent again, and which answers belong to the newest."""

from __future__ import annotations

from typing import Any

import bpy

from .document import labels as documents
from .lookup import edit_state


class Sender:
    """The revisions of the document as they went out and came back.

    Attributes:
        revision: of the last document sent; grows, also over undo.
        answered: of the last answer that was taken in.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.answered = 0
        self._seen: tuple[int, int] | None = None  # scene and its revision as last looked at
        self._changed = False

    def restart(self, scene: bpy.types.Scene) -> None:
        """The backend has just opened the scene's capture and knows no document."""
        self._changed, self.revision, self.answered = True, self.revision + 1, 0
        self._seen = edit_state(scene)

    def look(self, scene: bpy.types.Scene, changed: bool) -> None:
        """Take the scene's document as it is; must it be sent?"""
        self._seen, self._changed = edit_state(scene), changed

    def must_send(self) -> None:
        """Whatever the revision says, the document may be another one."""
        self._changed = True

    def pending(self, scene: bpy.types.Scene, held: bool) -> bool:
        """Is there something that the backend must know? ``held``: it holds the scene's capture."""
        if not scene.clickfield.capture_id:
            return False
        if self._seen is None or self._seen[0] != scene.session_uid:
            self.look(scene, held)
        return self._changed or edit_state(scene) != self._seen

    def next(self, scene: bpy.types.Scene) -> dict[str, Any]:
        """The document for the backend. Raises DocumentError; then it counts as sent, until the next edit."""
        self.look(scene, False)
        self.revision += 1
        document = documents.build(scene.clickfield, self.revision)
        return documents.in_scene(document, list(scene.clickfield.scene_from_world))

    @property
    def up_to_date(self) -> bool:
        """Was the last document answered?"""
        return self.answered == self.revision
