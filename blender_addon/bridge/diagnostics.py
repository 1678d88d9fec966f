"""What a person may send to those who help: versions, device, the last lines of logs, and nothing about the person."""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
from collections.abc import Iterable
from pathlib import Path

from .states import last_lines

LINES = 40  # of each log
# What follows these in a path is the same on every machine, and says where an error was.
KNOWN = ("site-packages", "backend", "blender_addon", "operators", "scripts")
# An absolute path, with spaces in folders, and in its last part where that ends like a file; not the //host of a link.
NO_PART = r"""\n"'<>|:*?,;()\[\]{}/\\"""
PATH = re.compile(
    rf"""(?<![:\w/\\.~…])(?:~|[A-Za-z]:)?[/\\](?:[^{NO_PART}]*[/\\])*(?:[^{NO_PART}]*?\.[A-Za-z]\w{{0,10}}\b|[^\s{NO_PART}]*)"""
)
QUOTED = re.compile(r"""(["'])((?:~|[A-Za-z]:)?[/\\][^"'\n]*)\1""")


def scrubbed(text: str, home: Path, names: Iterable[str] = ()) -> str:
    """The text without personal paths and names.

    The home folder becomes ``~``; of an absolute path only what lies in a package, or the ending of its file, stays;
    names (of the user, of the machine) become ``<name>``.
    """
    for form in sorted({str(home), home.as_posix(), str(home).replace("\\", "\\\\")}, key=len, reverse=True):
        if len(form) > 1:
            text = re.sub(re.escape(form), "~", text, flags=re.IGNORECASE if "\\" in form else 0)
    text = QUOTED.sub(lambda found: found[1] + _shortened(found[2]) + found[1], text)
    text = PATH.sub(lambda found: _shortened(found[0]), text)
    for name in names:
        if len(name) > 2:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "<name>", text, flags=re.IGNORECASE)
    return text


def _shortened(path: str) -> str:
    parts = [part for part in re.split(r"[/\\]+", path) if part]
    if not parts or path in ("~", "/"):
        return path
    for number in range(len(parts) - 1, -1, -1):
        if parts[number] in KNOWN and number + 1 < len(parts):
            return "/".join(["…", *parts[number:]])
    return "<path>" + (Path(parts[-1]).suffix if re.fullmatch(r"\.\w{1,11}", Path(parts[-1]).suffix) else "")


def report(facts: dict[str, object], logs: list[Path]) -> str:
    """The diagnostics as text: facts line by line, then the end of each log that there is, scrubbed."""
    lines = ["Clickfield diagnostics", f"System: {platform.platform()}, {os.cpu_count()} processors"]
    lines += [f"{name}: {value}" for name, value in facts.items()]
    for log in logs:
        tail = last_lines(log, LINES)
        if tail:
            lines += ["", f"The last lines of {log.name}:", *tail]
    return scrubbed("\n".join(lines), Path.home(), _names()) + "\n"


def _names() -> list[str]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name
        user = ""
    # The administrator of Linux is called the same everywhere, and so is the folder of the system.
    return [name for name in (user, Path.home().name, socket.gethostname()) if name.lower() not in ("root", "user")]
