"""Builds ``dist/clickfield-<version>.zip`` with Blender's own extension tool and validates it.

The tool is a plain Python file that comes with every Blender; here it is taken from the pip package ``bpy``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def extension_tool() -> Path:
    """Blender's ``blender_ext.py``. Raises FileNotFoundError when the interpreter has no bpy."""
    spec = importlib.util.find_spec("bpy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for tool in sorted(Path(folder).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")):
            return tool
    raise FileNotFoundError(f"{sys.executable} has no bpy package; run this with the project's own interpreter.")


def run_tool(*arguments: str) -> str:
    """Run the tool; its output. Raises RuntimeError with that output when it fails."""
    command = [sys.executable, "-s", "-B", str(extension_tool()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    output = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"blender_ext {arguments[0]} failed:\n{output}")
    return output


def build(folder: Path = ROOT / "dist") -> Path:
    """Build and validate the zip in ``folder``; its path. Raises RuntimeError with what the tool said."""
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{manifest['id']}-{manifest['version']}.zip"
    fresh = folder / f".{target.stem}-{os.getpid()}.zip"
    run_tool("validate", str(ROOT))
    try:
        run_tool("build", "--source-dir", str(ROOT), "--output-filepath", str(fresh))
        run_tool("validate", str(fresh))
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)
    return target


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build the extension's zip")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the zip")
    path = build(parser.parse_args().out)
    print(f"{path} ({path.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
