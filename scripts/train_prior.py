"""Trains the learned prior on generated scenes: ``python scripts/train_prior.py`` (about 40 minutes on two idle cores).

One generator is left out, the rest is trained on, and the scenes of the one that was left out say how well the prior
transfers to scenes unlike those it has seen. What is shipped is then trained on all of them. The learnt mixture of the
label kernel is shipped only if it helped on the generator that was left out. Writes ``assets/prior.safetensors`` and
``docs/prior_card.md``; the same scenes and seed give the same file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from prior import card, metric, pairs, transfer  # noqa: E402
from prior.examples import example  # noqa: E402
from safetensors.numpy import save  # noqa: E402

from backend.labels.kernel import by_hand  # noqa: E402
from backend.surface.prior import PATH, Prior, arrays_of  # noqa: E402
from backend.surface.superpoints import segment  # noqa: E402
from benchmarks.scenes import CACHE, KINDS, TRAINING, make  # noqa: E402

META_TARGET = 2500  # superpoints per scene while the mixture is learnt
EPISODES = 300


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--scenes", type=int, default=3, help="scenes of each kind")
    parser.add_argument("--left-out", default="storage", choices=KINDS, help="the kind that transfer is measured on")
    parser.add_argument("--episodes", type=int, default=EPISODES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the generated scenes")
    parser.add_argument("--out", type=Path, default=PATH)
    parser.add_argument("--card", type=Path, default=ROOT / "docs" / "prior_card.md")
    options = parser.parse_args()
    if options.scenes > len(TRAINING) or options.left_out not in options.kinds or len(options.kinds) < 2:
        parser.error(f"at most {len(TRAINING)} scenes of each kind, and two kinds of which one is left out")
    torch.set_num_threads(1)  # the same bits whatever the machine does besides
    scenes = _scenes(options)
    known = [views for views in scenes if views.scene.kind != options.left_out]
    unknown = [views for views in scenes if views.scene.kind == options.left_out]
    report = _judged(_trained(known, options), unknown)
    shipped = _trained(scenes, options)
    if not report.mixture_helps:
        shipped = replace(shipped, mixture=None)
    about = {
        "scenes": [f"{views.scene.kind} {views.scene.seed}" for views in scenes],
        "left out for the report": options.left_out,
        "with mixture": report.mixture_helps,
    }
    # One key: several would be stored in no particular order.
    data = save(arrays_of(shipped), {"about": json.dumps(about, sort_keys=True)})
    _write(options.out, data)
    _write(options.card, card.text(report, about, shipped, len(data)).encode())
    print(card.table(report))
    print(f"{options.out}: {len(data) / 1e3:.0f} kB")


def _scenes(options: argparse.Namespace) -> list[pairs.Views]:
    found = []
    for seed in TRAINING[: options.scenes]:  # kinds alternate, so that both halves of cross fitting hold all of them
        for kind in options.kinds:
            started = time.perf_counter()
            root = make(kind, seed, cache=options.cache).root
            found.append(pairs.Views.of(example(kind, seed, root, options.cache / "prior")))
            print(f"{kind} {seed}: {time.perf_counter() - started:.0f} s", flush=True)
    return found


def _trained(scenes: Sequence[pairs.Views], options: argparse.Namespace) -> Prior:
    started = time.perf_counter()
    prior = Prior(*pairs.train(scenes, options.seed), None)
    print(f"networks from {len(scenes)} scenes: {time.perf_counter() - started:.0f} s", flush=True)
    tasks = []
    for views in scenes:
        scene = views.scene
        superpoints = segment(scene.surface, scene.cues, target=META_TARGET, prior=lambda: prior)
        tasks.append(metric.task(scene, superpoints))
    mixture = metric.learn(tasks, by_hand(superpoints), options.episodes, options.seed)
    print(f"mixture: {time.perf_counter() - started:.0f} s", flush=True)
    return replace(prior, mixture=mixture)


def _judged(prior: Prior, unknown: Sequence[pairs.Views]) -> card.Report:
    networks = replace(prior, mixture=None)
    found = {views.scene.seed: transfer.detection(views, prior) for views in unknown}
    curves = {
        name: np.stack([transfer.curve(views.scene, variant, (0, 1)).mean(axis=0) for views in unknown])
        for name, variant in (("by hand", None), ("networks", networks), ("networks and mixture", prior))
    }
    return card.Report(unknown[0].scene.kind, found, curves)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.writing")
    fresh.write_bytes(data)
    os.replace(fresh, path)


if __name__ == "__main__":
    main()
