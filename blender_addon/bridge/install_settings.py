"""What pip is told about package indexes, in uv's words. Standard library only, so that scripts can use it too."""

from __future__ import annotations

import ast

RANKS = ("global", "install", "download", ":env:")  # of pip's settings; the later wins
FLAGS = {"index-url": "--default-index", "extra-index-url": "--index", "find-links": "--find-links"}


def configured(text: str) -> list[str]:
    """uv's arguments for what pip is configured for, as ``pip config list`` prints it."""
    found: dict[str, tuple[int, str]] = {}
    for line in text.splitlines():
        place, _, value = line.partition("=")
        section, _, key = place.rpartition(".")
        rank = RANKS.index(section) if section in RANKS else -1
        if rank >= found.get(key, (0, ""))[0]:
            found[key] = (rank, str(ast.literal_eval(value)))
    arguments = []
    for key, flag in FLAGS.items():
        for address in found.get(key, (0, ""))[1].split():
            arguments += [flag, address]
    return arguments + (["--no-index"] if found.get("no-index", (0, ""))[1].lower() in ("1", "true", "yes") else [])
