"""What happens when a device has too little memory: the same again after freeing, smaller pieces, then the CPU.

Where the same bits are promised, on the CPU, nothing is made smaller, since sums over other pieces are other bits:
there the work is tried again, and then whoever asked for it is told. torch is imported when there is something to free.
"""

from __future__ import annotations

import errno
import gc
import logging
import re
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .errors import UserError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

TRIES = 3  # with the same size: another program may have taken the memory for a moment
PAUSE = 0.1  # seconds before the last of them
# torch's OutOfMemoryError is a RuntimeError; on the CPU, and on Apple's GPUs, only its text tells.
# An ImportError is the system's: a library that could not be mapped.
_WORDS = re.compile(
    r"out of memory|(can't|cannot) allocate memory|not enough memory|failed to map segment", re.IGNORECASE
)
_notices: list[UserError] = []

log = logging.getLogger("clickfield.memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Does an exception say that there is too little memory, of whatever device?"""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, ImportError) and (before := error.__cause__ or error.__context__) is not None:
        return _WORDS.search(str(error)) is not None or is_out_of_memory(before)
    return isinstance(error, RuntimeError | ImportError) and _WORDS.search(str(error)) is not None


def not_loaded(detail: str = "") -> UserError:
    """What the person is told when an import was broken."""
    sentence = "The backend ran out of memory while it loaded a part of itself; free some and press Restart."
    return UserError("broken_import", sentence, detail)


def broke_import(error: BaseException) -> bool:
    """Did memory end while a module was loaded? Parts of its package are loaded then, and it never will be whole."""
    loading = any(frame.f_code.co_name == "<module>" for frame, _ in traceback.walk_tb(error.__traceback__))
    return is_out_of_memory(error) and (loading or isinstance(error, ImportError))


def give_back(device: torch.device) -> None:
    """Free what nobody uses any more, and let the device have it."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def frugally(work: Callable[[int], T], size: int, least: int, device: torch.device, same_bits: bool) -> tuple[T, int]:
    """``work(size)`` and the size with which it succeeded.

    Args:
        work: does the same however often it has failed before.
        size, least: of what it takes at a time; halved down to ``least``, unless the same bits are promised.

    Raises:
        What ``work`` raises; for lack of memory only when nothing helps.
    """
    failures = 0
    while True:
        try:
            return work(size), size
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            trouble = error.with_traceback(None)  # whose frames hold what is to be freed
        failures += 1
        smaller = size if same_bits else max(size // 2, least)
        if failures >= TRIES and smaller == size:
            raise trouble
        if failures + 1 >= TRIES:
            time.sleep(PAUSE)
        give_back(device)
        if failures >= TRIES:
            size = smaller


def or_on_cpu(work: Callable[[torch.device], T], device: torch.device) -> T:
    """``work(device)``; on the CPU when the device's memory does not suffice, and the person is told."""
    import torch

    try:
        return work(device)
    except (MemoryError, RuntimeError) as error:
        if device.type == "cpu" or not is_out_of_memory(error):
            raise
    moved_to_cpu(device)
    return work(torch.device("cpu"))


def moved_to_cpu(device: torch.device) -> None:
    """The work of a device goes on on the CPU: give its memory back and have the person told."""
    give_back(device)
    log.warning("%s is out of memory; the work goes on on the CPU", device)
    sentence = "The graphics card is out of memory, so the CPU does this work, more slowly."
    _notices.append(UserError("device_full", sentence))


def notices() -> list[UserError]:
    """What the person has yet to be told; once."""
    told = list(_notices)
    _notices.clear()
    return told
