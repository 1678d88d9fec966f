"""The command that starts a backend on another machine, as a person writes it. No bpy."""

from __future__ import annotations

import os
import re
import shlex

from .states import BridgeError

_SERVE = re.compile(r"\bserve\b(?!.*\bserve\b)", re.DOTALL)  # the last one: hosts and folders may be called so too


def remote_command(text: str) -> list[str]:
    """The arguments of a command line such as ``ssh host "cd clickfield && python -m backend serve"``.

    No shell of this machine sees it. On Windows a backslash is a backslash. Raises BridgeError.
    """
    try:
        words = shlex.split(text.replace("\\", "\\\\") if os.name == "nt" else text)
    except ValueError as error:
        raise BridgeError(f"The Remote command in the preferences cannot be read ({error}); check it.") from error
    if not words:
        raise BridgeError("The Remote command in the preferences is empty; write one, or clear it.")
    return words


def with_options(text: str, options: list[str]) -> str:
    """The command with more options of the backend, ``--name=value``; those that it has itself stay as they are.

    A command that does not say ``serve`` starts a script of the person's, which options would not reach.
    """
    more = [one for one in options if not re.search(rf"(?<![\w-]){one.partition('=')[0]}\b", text)]
    return _SERVE.sub(" ".join(["serve", *more]), text)


def doctor_of(text: str) -> list[str]:
    """The command that lets the same backend check itself. Raises BridgeError when it cannot be told."""
    doctor = _SERVE.sub("doctor", text)
    if doctor == text:
        raise BridgeError("The Remote command in the preferences does not run 'backend serve', so it cannot be tested.")
    return remote_command(doctor)
