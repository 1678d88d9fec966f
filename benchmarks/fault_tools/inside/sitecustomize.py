"""Found by the backend's Python at its start: torch reports that a device is out of memory, as the person's may.

The environment variable CLICKFIELD_MEMORY holds ``{"after": calls, "times": calls, "above": elements}``: counted from
the first call of the functions below on a tensor of more than ``above`` elements, so many calls fail after so many.
"""

import builtins
import json
import os
import sys

WANTED = json.loads(os.environ.get("CLICKFIELD_MEMORY") or "null")
_import = builtins.__import__
_calls = 0


def _thief(function, torch):
    def called(first, *arguments, **options):
        global _calls
        size = first.numel() if isinstance(first, torch.Tensor) else sum(part.numel() for part in first)
        if size > WANTED["above"]:
            _calls += 1
            if WANTED["after"] < _calls <= WANTED["after"] + WANTED["times"]:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return function(first, *arguments, **options)

    return called


def _imported(name, *arguments, **options):
    module = _import(name, *arguments, **options)
    torch = sys.modules.get("torch")
    if torch is not None and not torch.__spec__._initializing:
        builtins.__import__ = _import
        torch.Tensor.index_select = _thief(torch.Tensor.index_select, torch)
        torch.Tensor.backward = _thief(torch.Tensor.backward, torch)
        torch.nn.functional.grid_sample = _thief(torch.nn.functional.grid_sample, torch)
        torch.cat = _thief(torch.cat, torch)
        torch.unique = _thief(torch.unique, torch)
    return module


if WANTED:
    builtins.__import__ = _imported
