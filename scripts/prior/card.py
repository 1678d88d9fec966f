"""The card of the learned prior: what it was trained on, how well it transfers, where it should not be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.surface.descriptors import EDGE_FEATURES
from backend.surface.prior import Prior
from backend.surface.superpoints import MERGE

from .transfer import BUDGETS, Detection

COLUMNS = ("1 per class", *(f"{budget} clicks" for budget in BUDGETS))
PARTS = ("far diffusion", "near diffusion", "alike", "alike and near", "alike objects", "same object", "same group")


@dataclass(frozen=True)
class Report:
    """How a prior that knows the other generators does on the one that was left out."""

    kind: str
    detection: dict[int, Detection]  # by seed
    curves: dict[str, np.ndarray]  # (scenes, 4) mIoU by variant

    @property
    def mixture_helps(self) -> bool:
        """Whether the learnt mixture is better than the one by hand, over all budgets."""
        return bool(self.curves["networks and mixture"].mean() > self.curves["networks"].mean())


def table(report: Report) -> str:
    """Clicks to mIoU on the left-out generator, Markdown."""
    lines = [f"| {report.kind}, never seen | {' | '.join(COLUMNS)} |", "| --- | --- | --- | --- | --- |"]
    for name, curves in report.curves.items():
        lines.append(f"| {name} | {' | '.join(f'{value:.1f}' for value in curves.mean(axis=0))} |")
    return "\n".join(lines)


def text(report: Report, about: dict, shipped: Prior, size: int) -> str:
    """The whole card, Markdown."""
    found = report.detection.values()

    def mean(name: str) -> str:
        return f"{np.mean([getattr(one, name) for one in found]):.3f}"

    weights = "by hand" if shipped.mixture is None else _weights(shipped.mixture.parts)
    return CARD.format(
        scenes=", ".join(about["scenes"]),
        size=f"{size / 1000:.0f} kB",
        inputs=len(EDGE_FEATURES),
        pair_inputs=len(shipped.pairs.mean),
        kind=report.kind,
        seeds=", ".join(map(str, report.detection)),
        table=table(report),
        weights=weights,
        low=MERGE[0],
        high=MERGE[1],
        kept="is shipped" if about["with mixture"] else "is not shipped",
        **{name: mean(name) for name in Detection.__dataclass_fields__},
    )


def _weights(parts: np.ndarray) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(PARTS, parts / parts.sum(), strict=True))


CARD = """# The learned prior

`assets/prior.safetensors` ({size}) says where objects end. It is used once per scan, before any mark, on the CPU.

- **Edge network**: probability that a mesh edge crosses from one object to another, from {inputs} numbers: colour and
  normal steps of the fused scan at two scales, and what all frames say (Lab difference between the ends and beyond
  them, gradient, bend of the measured depth, occlusion, texture). Its answer cuts the scan into superpoints.
- **Pair network**: probability that two neighbouring superpoints are different objects, from {pair_inputs} numbers
  along their border and about both. Affinity is border length x ((1 - P) / (P + 0.02))^2; pieces joined at P below
  {low} and {high} are the object hypotheses.
- **Mixture** of the label kernel, learnt through the regression: {weights}. It {kept}.

Both networks are also trained on every scene without its frames, so that a bare mesh can be judged.

## Training

`python scripts/train_prior.py` generates the scenes (seeded), trains, measures transfer and writes the file and this
card. Scenes (generator and seed): {scenes}. Benchmarks tune and
report on other seeds.

## Transfer to a generator that it has never seen

Trained on the other generators, judged on *{kind}* (seeds {seeds}). mIoU on the scan's vertices, simulated clicks, the
regression on superpoints alone (no border refinement), mean of two click seeds. Whether the mixture is shipped is
decided on these scenes, so its row is slightly flattered:

{table}

Average precision there: mesh edges {edges} (by hand {by_hand}, without frames {bare}, base rate {base}; ROC area
{edges_auc}); superpoint pairs {pairs} (mean edge logit alone {pairs_by_edges}).

## Limits

- Not measured on any real capture. Off the training generators there is one result: the path-traced sample capture
  (`label_engine.md`).
- The generators share paints and furniture code, so one that is left out is not wholly foreign.
- Generated scenes only: painted textures, sensor-like depth noise, poses off by about a centimetre. No people, animals,
  glass, mirrors.
- "Object" is what the generators place as one thing. A drawer is not separated from its cabinet, a cushion is from its
  sofa.
- Voxels of 1 to 2.5 cm. Things thinner than two voxels are mostly lost before the prior sees them.
- Without the file everything works with hand-made weights.
"""
