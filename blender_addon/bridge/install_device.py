"""Which torch this machine can use, found without torch: by asking the graphics drivers themselves."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

CUDA_13, CUDA_12 = 13_000, 12_000  # as the driver tells its version: 1000 * major + 10 * minor
AMD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")


def kind(system: str = sys.platform) -> str:
    """cuda, cuda12, rocm, metal or cpu."""
    if system == "darwin":
        return "metal"
    version = cuda_version()
    if version >= CUDA_13:
        return "cuda"
    if version >= CUDA_12:
        return "cuda12"
    return "rocm" if system == "linux" and has_amd(AMD_NODES) else "cpu"


def cuda_version() -> int:
    """The newest CUDA that the NVIDIA driver can run, 1000 * major + 10 * minor; 0 without such a driver."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    version = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL(name).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else version.value


def has_amd(nodes: Path) -> bool:
    """Does the AMD driver list a graphics processor? Its nodes without one have the target version 0."""
    for properties in sorted(nodes.glob("*/properties")):
        try:
            lines = properties.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            continue
        if any(line.startswith("gfx_target_version ") and line.split()[1:] != ["0"] for line in lines):
            return True
    return False
