"""Tables and plot of the label benchmark: for a terminal, and for docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from backend.evaluation import plots
from backend.evaluation.objects import REACHED, REPORTED
from backend.evaluation.simulation import Curve

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "images" / "label_curves.svg"
PRODUCT = "combined"
WHAT = {
    "combined": "the product: posterior, field, keyframe lookup",
    "graph": "the posterior at the click alone",
    "field": "a field taught by the posterior",
    "marks-only": "a field taught by the marks alone (iLabel)",
    "forest-walker": "forest as the prior of a random walker (strongest baseline of the study)",
    "random-walker": "random walker on the same superpoints, contrast weights",
    "random-forest": "randomised trees on hand-made features and place (SemanticPaint)",
    "nearest": "nearest click in place, colour and direction",
    "features": "linear head on a field's distilled descriptors (Baking in the Feature)",
}


TITLES = {
    "report": "Report split, the 16 main classes",
    "report-all-classes": "Report split, all classes",
    "tuning": "Tuning split",
}


class Table:
    """The runs of some scenes and seeds by engine."""

    def __init__(self, runs: dict[str, dict], scenes: Sequence[str], seeds: Iterable[int], budgets, protocol: str):
        self.budgets, self.scenes = list(budgets), list(scenes)
        self.curves: dict[str, dict[tuple[str, int], Curve]] = {}
        for scene in scenes:
            for key, run in runs.items():
                name, _, engine = key.partition(" ")
                if name != scene or "points" not in run:
                    continue
                curve = Curve.from_json(run)
                same = [point.budget for point in curve.points] == self.budgets and curve.protocol == protocol
                if same and curve.seed in seeds and engine.startswith(curve.engine):
                    self.curves.setdefault(curve.engine, {})[scene, curve.seed] = curve

    def engines(self) -> list[str]:
        """Engines with runs, the product first, then by their mean at the last budget."""
        return sorted(self.curves, key=lambda e: (e != PRODUCT, -self.values(e, self.budgets[-1]).mean()))

    def values(self, engine: str, budget: str, readout: str | None = None) -> np.ndarray:
        """Mean IoU in percent of all runs of an engine."""
        return np.array([100 * curve.miou(budget, readout) for curve in self.curves[engine].values()])

    def lead(self, engine: str, budget: str, readout: str | None = None) -> tuple[float, float] | None:
        """Mean lead of the product over an engine, and its standard error, over the runs that both have."""
        pairs = self.curves.get(PRODUCT, {}).keys() & self.curves[engine].keys()
        if engine == PRODUCT or len(pairs) < 2:
            return None
        mine, other = self.curves[PRODUCT], self.curves[engine]
        gain = [100 * (mine[pair].miou(budget) - other[pair].miou(budget, readout)) for pair in sorted(pairs)]
        return statistics.mean(gain), statistics.stdev(gain) / len(gain) ** 0.5

    def last(self, engine: str, name: str) -> float | None:
        """Mean over runs of a figure of the leaves at the last budget, in percent; None where there is none."""
        found = [
            getattr(curve.points[-1].scores[curve.readout]["leaves"], name) for curve in self.curves[engine].values()
        ]
        return None if any(value is None for value in found) else 100 * statistics.mean(found)


def print_tables(runs: dict[str, dict], scenes, engines, budgets, seeds, protocol: str) -> None:
    """The mean over runs, its range, and the ceiling."""
    table = Table(runs, scenes, seeds, budgets, protocol)
    print(f"\n{'engine':<15}" + "".join(f"{budget:>18}" for budget in budgets) + "   borders   ECE   update ms")
    for engine in [engine for engine in table.engines() if engine in engines]:
        cells = [_cell(table.values(engine, budget)) for budget in budgets]
        curves = table.curves[engine].values()
        seconds = f"{1000 * statistics.median(c.seconds_median for c in curves):.0f}"
        seconds += f" / {1000 * max(c.seconds_worst for c in curves):.0f}"
        ece = table.last(engine, "calibration_error")
        rest = f"{table.last(engine, 'boundary'):>10.1f}{'-' if ece is None else f'{ece:.1f}':>6}   {seconds}"
        print(f"{engine:<15}" + "".join(f"{cell:>18}" for cell in cells) + rest)
    ceilings = [runs[f"{scene} ceiling"] for scene in scenes if f"{scene} ceiling" in runs]
    if ceilings:
        scan, photo = (100 * statistics.mean(one[readout] for one in ceilings) for readout in ("scan", "photo"))
        print(f"perfect label per vertex: {scan:.1f} on the scan, {photo:.1f} with the photo")


def _cell(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ({values.min():.0f}-{values.max():.0f})"


def write_docs(
    runs: dict[str, dict],
    splits: dict[str, Sequence[str]],
    budgets: Sequence[str] = ("1x", "20", "50", "120"),
    page: Path = PAGE,
    plot: Path = PLOT,
) -> None:
    """Renew the part of the page between its two marks, and the plot of the report split."""
    parts = []
    for name in TITLES:
        table = Table(runs, splits.get(name, ()), range(100), budgets, "largest-error")
        if table.curves:
            parts += [f"### {TITLES[name]}\n", *_section(table, runs)]
            if name == "report":
                _plot(table, plot)
                parts.append(f"![Learning curves]({plot.relative_to(page.parent).as_posix()})\n")
    parts += _objects(runs)
    renew("labels", "\n".join(parts), page)


def renew(part: str, content: str, page: Path = PAGE) -> None:
    """Replace what stands between the two marks of a part of the page."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    text = page.read_text(encoding="utf-8") if page.exists() else f"# Benchmarks\n\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(before + begin + "\n\n" + content.rstrip() + "\n\n" + end + after, encoding="utf-8")


def _section(table: Table, runs: dict[str, dict]) -> list[str]:
    seeds = sorted({seed for curves in table.curves.values() for _, seed in curves})
    scenes = [scene for scene in table.scenes if any(key[0] == scene for c in table.curves.values() for key in c)]
    lines = [
        f"Scenes {', '.join(scenes)}; seeds {', '.join(map(str, seeds))}. Mean IoU in percent over classes on held-out "
        "frames: mean over runs, in brackets the lowest and highest run.\n",
        "| engine | " + " | ".join(f"{budget} clicks" for budget in table.budgets) + " | borders | ECE | update, ms |",
        "| --- |" + " ---: |" * (len(table.budgets) + 3),
    ]
    for engine in table.engines():
        curves = table.curves[engine].values()
        cells = [_cell(table.values(engine, budget)) for budget in table.budgets]
        ece = table.last(engine, "calibration_error")
        cells += [f"{table.last(engine, 'boundary'):.1f}", "-" if ece is None else f"{ece:.1f}"]
        cells.append(f"{1000 * statistics.median(c.seconds_median for c in curves):.0f}")
        lines.append(f"| {engine}: {WHAT.get(engine, '')} | " + " | ".join(cells) + " |")
    ceilings = [runs[f"{scene} ceiling"] for scene in scenes if f"{scene} ceiling" in runs]
    if ceilings:
        scan, photo = (100 * statistics.mean(one[readout] for one in ceilings) for readout in ("scan", "photo"))
        lines.append(
            f"\nA perfect label for every vertex of these scans would reach {scan:.1f}, "
            f"looked up through the photos {photo:.1f}."
        )
    return [*lines, *_leads(table), *_by_scene(table, scenes), ""]


def _leads(table: Table) -> list[str]:
    """How far the product is ahead, run by run, also when the others get its keyframe lookup."""
    lines = []
    for engine in table.engines():
        if table.lead(engine, table.budgets[0]) is None:
            continue
        cells = []
        for budget in table.budgets:
            plain, helped = table.lead(engine, budget), table.lead(engine, budget, "photo")
            cells.append(f"{plain[0]:+.1f} ± {plain[1]:.1f} ({helped[0]:+.1f} ± {helped[1]:.1f})")
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    if not lines:
        return []
    head = [
        "\nLead of the product over each engine on the same scene and seed, mean ± standard error; in brackets over "
        "the same engine when it too is looked up through the frames' photos.\n",
        "| engine | " + " | ".join(f"{budget} clicks" for budget in table.budgets) + " |",
        "| --- |" + " ---: |" * len(table.budgets),
    ]
    return head + lines


def _by_scene(table: Table, scenes: Sequence[str]) -> list[str]:
    if PRODUCT not in table.curves:
        return []
    lines = [
        "\nThe product by scene, mean over seeds.\n",
        "| scene | " + " | ".join(f"{budget} clicks" for budget in table.budgets) + " | groups at the last |",
        "| --- |" + " ---: |" * (len(table.budgets) + 1),
    ]
    for scene in scenes:
        curves = [curve for (name, _), curve in table.curves[PRODUCT].items() if name == scene]
        if not curves:
            continue
        cells = [f"{100 * statistics.mean(c.miou(budget) for c in curves):.1f}" for budget in table.budgets]
        groups = [c.points[-1].scores[c.readout].get("level 1") for c in curves]
        cells.append("-" if None in groups else f"{100 * statistics.mean(group.miou for group in groups):.1f}")
        lines.append(f"| {scene} | " + " | ".join(cells) + " |")
    return lines


def _plot(table: Table, path: Path) -> None:
    series = []
    for engine in table.engines():
        curves = list(table.curves[engine].values())
        clicks = np.array([[point.clicks for point in curve.points] for curve in curves]).mean(axis=0)
        values = np.array([[100 * curve.miou(budget) for budget in table.budgets] for curve in curves])
        # A band over all scenes would show how scenes differ; the runs of one seed are averaged over scenes first.
        seeds = sorted({curve.seed for curve in curves})
        per_seed = [values[[curve.seed == seed for curve in curves]].mean(axis=0) for seed in seeds]
        series.append(plots.Series(engine, clicks, np.array(per_seed)))
    plots.draw(path, series, f"Report split, {len(table.scenes)} scenes: mean over scenes, range over seeds")


def _objects(runs: dict[str, dict]) -> list[str]:
    found: dict[str, list[dict]] = {}
    for key, run in runs.items():
        if " object:" in key and run.get("summary"):
            found.setdefault(key.split("object:")[1].split()[0], []).append(run)
    if not found:
        return []
    names = [f"IoU@{k}" for k in REPORTED] + [f"NOC@{q}" for q in REACHED]
    lines = [
        "### One object at a time\n",
        "InterObject3D's protocol on the clean meshes of the scenes; NOC counts 20 where an IoU is never reached.\n",
        "| engine | objects | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * (len(names) + 1),
    ]
    for engine, several in found.items():
        counts = [len(run["objects"]) for run in several]
        cells = [np.average([run["summary"][name] for run in several], weights=counts) for name in names]
        lines.append(f"| {engine} | {sum(counts)} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    return [*lines, ""]
