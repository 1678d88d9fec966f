"""Run as a program: convex parts of a mesh by CoACD.

``python decomposer.py MESH.npz PARTS.npz CONCAVITY MOST`` reads `vertices` and `faces` and writes the vertices of each
part.
"""

import sys

import numpy as np


def main(given: str, made: str, concavity: str, most: str) -> None:
    """Decompose one file into another."""
    import coacd

    with np.load(given, allow_pickle=False) as mesh:
        whole = coacd.Mesh(mesh["vertices"], mesh["faces"])
    coacd.set_log_level("error")
    parts = coacd.run_coacd(
        whole,
        threshold=float(concavity),
        max_convex_hull=int(most),
        preprocess_mode="auto",
        preprocess_resolution=40,
        mcts_nodes=12,
        mcts_iterations=60,
        mcts_max_depth=2,
        seed=0,
    )
    np.savez(made, **{f"part{number:03d}": vertices for number, (vertices, _) in enumerate(parts)})


if __name__ == "__main__":
    main(*sys.argv[1:])
