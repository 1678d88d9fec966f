"""How many bytes of memory and disk this process may take, and who in it may take how many.

Figures are measured (`benchmarks/budgets.py`). From PLENTY on everything is as fine as it gets; below, what dominates
the peak shrinks with the budget: blocks and vertices of the scan, superpoints, frames read ahead, cleaned depth, label
states remembered. What cannot shrink is refused with a sentence before it is begun. On Linux the system holds the
limit as well, so that a file made to fill memory ends in a sentence too.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError

if TYPE_CHECKING:
    import torch

GB = 1 << 30
SMALLEST = 0.75  # GB that a budget has at least
AUTOMATIC = 0.7  # of the machine's memory
PLENTY = 2.5 * GB
RUNTIME = 0.30 * GB  # Python with torch and the libraries
FIXED = 0.55 * GB  # the same with the smallest scene that is labelled
PER_VERTEX = 1000  # bytes of a vertex of the scan, at the worst moment
PER_POINT = 160  # bytes of a point of a cloud while it is read
PER_PAIR = 32  # bytes of a pair of superpoints while the kernel is made
PER_STATE = 8  # bytes of a vertex in a remembered state of labels
READ_AHEAD = 0.25  # share of the budget for frames on their way into the volume
PER_PIXEL = 32, 28  # bytes of a pixel of a photo and of a depth image on that way
SUPERPOINTS = 3500
STATES = 16, 2  # states of labels remembered for undo and redo: at most, at least


@dataclass(frozen=True)
class Budget:
    """Bytes of main memory, of the GPU's (0: all that it has), of the cache and of unpacked captures on disk."""

    memory: int
    gpu: int = 0
    cache: int = 4 * GB
    unpacked: int = 32 * GB

    @property
    def share(self) -> float:
        """Of what is taken with plenty, 0..1; 1 changes nothing."""
        return _share(self.memory)

    def share_on(self, device: torch.device) -> float:
        """The same for what is kept on a device."""
        return min(self.share, _share(self.gpu)) if device.type == "cuda" and self.gpu else self.share

    @property
    def superpoints(self) -> int:
        """Superpoints of a scan: their kernel grows with the square."""
        return round(SUPERPOINTS * math.sqrt(self.share))

    @property
    def vertices(self) -> int:
        """Vertices that a scan may have."""
        return max(int((self.memory - RUNTIME) / PER_VERTEX), 0)

    def states(self, vertices: int) -> int:
        """States of labels that are remembered."""
        most, least = STATES
        return int(min(max(0.1 * self.memory / (PER_STATE * max(vertices, 1)), least), most))

    def ahead(self, photo_pixels: int, depth_pixels: int, most: int) -> int:
        """Frames that are read in advance, 1 to ``most``. Raises UserError when not even one fits."""
        each = PER_PIXEL[0] * photo_pixels + PER_PIXEL[1] * depth_pixels
        room = self.memory - RUNTIME
        if each > 0.6 * room:
            raise self._refused(f"pictures of {photo_pixels / 1e6:.0f} megapixels", RUNTIME + each / 0.6)
        return int(min(max(READ_AHEAD * room / max(each, 1), 1), most))

    def check_vertices(self, count: int) -> None:
        """Raises UserError ``too_large`` for a scan that cannot be labelled within this budget."""
        if count > self.vertices:
            raise self._refused(f"a scan of {count:,} vertices", RUNTIME + PER_VERTEX * count)

    def check_points(self, count: int) -> None:
        """Raises UserError ``too_large`` for a cloud that cannot be read within this budget."""
        needed = RUNTIME + PER_POINT * count
        if needed > self.memory:
            raise self._refused(f"a cloud of {count:,} points", needed)

    def check_superpoints(self, count: int) -> None:
        """Raises UserError ``too_large`` for a scan that falls into more pieces than can be compared."""
        needed = RUNTIME + PER_PAIR * count**2
        if needed > self.memory and count > self.superpoints:
            raise self._refused(f"a scan in {count:,} loose pieces", needed)

    def _refused(self, what: str, needed: float) -> UserError:
        sentence = (
            f"For {what} about {needed / GB:.1f} GB are needed, and the memory budget is {self.memory / GB:.1f} GB; "
            "raise Memory in the preferences, or use something smaller."
        )
        return UserError("too_large", sentence)


def _share(room: int) -> float:
    return min(max((room - FIXED) / (PLENTY - FIXED), 0.05), 1.0)


_current: Budget | None = None
_notes: list[str] = []


def chosen(memory: float, gpu: float = 0.0, cache: float = 4.0, unpacked: float = 32.0) -> Budget:
    """The budget of so many GB each; 0 of memory is automatic. Raises UserError for what is no budget."""
    from .devices import memory as machine

    if not all(map(math.isfinite, (memory, gpu))) or gpu < 0 or (memory and memory < SMALLEST):
        raise UserError("bad_budget", f"The memory budget must be 0 (automatic) or at least {SMALLEST:g} GB.")
    wanted = int(memory * GB) or int(AUTOMATIC * machine()[0])
    return Budget(wanted, int(gpu * GB), int(cache * GB), int(unpacked * GB))


def use(budget: Budget) -> None:
    """From now on this is the process's budget."""
    global _current
    _current = budget


def current() -> Budget:
    """The process's budget, automatic unless one was set."""
    if _current is None:
        use(chosen(0, 0))
    return _current


def coarser(wanted: float, voxel: float) -> None:
    """Note that a scan had to be fused with a larger voxel (metres) than it deserves."""
    if voxel > wanted:
        _notes.append(
            f"The scan has voxels of {voxel * 1000:.0f} mm in place of {wanted * 1000:.0f} mm, to stay within the "
            f"memory budget of {current().memory / GB:.1f} GB, which the preferences can raise."
        )


def notes() -> list[str]:
    """What the person should know since this was last asked."""
    said = _notes[:]
    _notes.clear()
    return said


def hold() -> bool:
    """Let the system refuse memory beyond the budget, so that it is an error here; whether it does.

    Counts from what is mapped already: GPU drivers map more than they use.
    """
    if sys.platform != "linux":
        return False
    import resource

    pages = [int(word) for word in Path("/proc/self/statm").read_text().split()]
    size = resource.getpagesize()
    room = current().memory - pages[1] * size
    soft = pages[5] * size + max(room, 0)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    return True


def limit_gpu(device: torch.device) -> None:
    """Let torch refuse memory of a CUDA device beyond the budget."""
    if device.type != "cuda" or not current().gpu:
        return
    import torch

    total = torch.cuda.mem_get_info(device)[1]
    index = device.index if device.index is not None else torch.cuda.current_device()
    torch.cuda.set_per_process_memory_fraction(min(current().gpu / total, 1.0), index)
