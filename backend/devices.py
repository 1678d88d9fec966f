"""What this machine can compute on, found by trying it, and what is installed. Imports torch only when asked."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import protocol
from .errors import UserError
from .out_of_memory import is_out_of_memory, not_loaded

if TYPE_CHECKING:
    import torch

CHOICES = ("auto", "cpu", "cuda", "mps")
AUTO_ORDER = ("cuda", "mps", "cpu")
OLDEST_PYTHON = (3, 11)
REQUIRED = ("torch", "numpy", "scipy", "scikit-image", "safetensors", "trimesh")
LABELS = {"cpu": "CPU", "cuda": "CUDA", "mps": "Apple GPU (MPS)"}


def choose(name: str = "auto") -> torch.device:
    """The device of that name, after a small computation on it has come out right.

    Args:
        name: "auto" (the first that works of CUDA, MPS, CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        UserError: unknown, not on this machine, or it does not compute.
    """
    torch = _torch()
    if name == "auto":
        name = next((candidate for candidate in AUTO_ORDER if not problem_with(candidate)), "cpu")
    if name.partition(":")[0] not in LABELS:
        raise UserError("unknown_device", f"There is no device called '{name}'; choose one of {', '.join(CHOICES)}.")
    problem = problem_with(name)
    if problem:
        label = LABELS[name.partition(":")[0]]
        raise UserError("no_device", f"{label} cannot be used here: {problem}; choose Auto or CPU.")
    return torch.device(name)


def share_cores() -> None:
    """Leave half of the cores to Blender and to the reading of images.

    On a busy 2-core machine two torch threads are 4 to 9 times slower than one. A fixed number also keeps results the
    same bits, since sums depend on how they are split.
    """
    _torch().set_num_threads(max(1, (os.cpu_count() or 2) // 2))


def problem_with(name: str) -> str:
    """Why the device cannot be used, one clause, or "" when a real computation on it came out right."""
    torch = _torch()
    kind = name.partition(":")[0]
    if kind == "cuda" and not torch.cuda.is_available():
        return (
            "torch finds no CUDA device"
            if torch.version.cuda or torch.version.hip
            else "this torch is built without CUDA"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        return "torch finds no Apple GPU"
    try:
        left = torch.arange(64 * 64, dtype=torch.float32).reshape(64, 64).remainder(7.0)
        here = torch.device(name)
        product = (left.to(here) @ left.to(here).T).cpu()  # small whole numbers: exact in any order, in TF32 too
    except (RuntimeError, ValueError, AssertionError) as error:
        return f"a test computation failed ({str(error).splitlines()[0][:200]})"
    return "" if torch.equal(product, left @ left.T) else "a test computation gave a wrong result"


def probe() -> list[dict[str, Any]]:
    """Every device that works: ``{"name", "label", "memory" (bytes in all), "free" (bytes)}``, the best first."""
    torch = _torch()
    names = [f"cuda:{i}" if i else "cuda" for i in range(torch.cuda.device_count())] + ["mps", "cpu"]
    return [_facts(name) for name in names if not problem_with(name)]


def _facts(name: str) -> dict[str, Any]:
    torch = _torch()
    if name.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(torch.device(name))
        label = torch.cuda.get_device_name(torch.device(name))
    elif name == "mps":
        total = torch.mps.recommended_max_memory()
        free, label = total - torch.mps.driver_allocated_memory(), LABELS["mps"]
    else:
        total, free = memory()
        label = f"{processor()} ({torch.get_num_threads()} threads)"
    return {"name": name, "label": label, "memory": int(total), "free": int(max(free, 0))}


def memory() -> tuple[int, int]:
    """Bytes of main memory that this process may use: in all, and free now (all of it where nothing tells)."""
    if sys.platform == "win32":
        status = (ctypes.c_uint64 * 8)()  # MEMORYSTATUSEX: two 32-bit fields, then total, available, ...
        ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return status[1], status[2]
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    if limit.isdigit() and int(limit) < total:  # in a container
        used = _read("/sys/fs/cgroup/memory.current").strip()
        total = int(limit)
        free = min(free, total - int(used or 0))
    return total, free


def processor() -> str:
    """The processor's name as its maker calls it, as far as the system says."""
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "CPU"


def product_version() -> str:
    """The version in the extension's manifest."""
    manifest = Path(__file__).resolve().parents[1] / "blender_manifest.toml"
    return re.search(r'^version\s*=\s*"([^"]+)"', manifest.read_text(encoding="utf-8"), re.MULTILINE)[1]


def hello() -> dict[str, Any]:
    """What the backend says of itself first. Raises UserError when torch is missing."""
    torch = _torch()
    return {
        "protocol": protocol.VERSION,
        "version": product_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "devices": probe(),
        "pid": os.getpid(),
    }


def report() -> dict[str, Any]:
    """What ``doctor`` prints: versions, packages, devices, memory, ``ok``, and one ``sentence``."""
    packages = {name: _installed(name) for name in REQUIRED}
    missing = [name for name, version in packages.items() if version is None]
    found: list[dict[str, Any]] = []
    problems: dict[str, str] = {}
    sentence = ""
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        sentence = f"This is Python {platform.python_version()}; Clickfield needs {wanted} or newer."
    elif missing:
        sentence = f"Missing in this Python: {', '.join(missing)}; install them there or choose another interpreter."
    try:
        found = probe()
        problems = {name: problem for name in ("cuda", "mps", "cpu") if (problem := problem_with(name))}
        if "cpu" in problems:
            sentence = sentence or f"torch does not compute on the CPU: {problems['cpu']}; install torch again."
    except UserError as error:
        sentence = sentence or error.sentence
    total, free = memory()
    return {
        "ok": not sentence,
        "sentence": sentence or f"Everything needed is there; Auto computes on {found[0]['label']}.",
        "version": product_version(),
        "protocol": protocol.VERSION,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": packages,
        "missing": missing,
        "devices": found,
        "unusable": problems,
        "memory": total,
        "free": free,
    }


def _torch() -> Any:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: one of its libraries cannot be loaded
        if is_out_of_memory(error):
            raise not_loaded(repr(error)) from error
        raise UserError(
            "no_torch",
            "torch cannot be used in this Python; install it there or choose another interpreter.",
            f"{sys.executable}: {error!r}",
        ) from error
    return torch


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
