"""Command line: make scenes and say where they are."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from . import KINDS, make


def main() -> None:
    """Parse the options and make every asked scene."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description="Make labelled RGB-D captures.")
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--seed", type=int, nargs="+", required=True)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--cache", type=Path, help="folder of the scenes (default: benchmarks/cache)")
    chosen = parser.parse_args()
    for seed in chosen.seed:
        for kind in chosen.kind:
            start = time.monotonic()
            scene = make(kind, seed, chosen.frames, tuple(chosen.size), chosen.cache)
            print(f"{scene.root}  {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
