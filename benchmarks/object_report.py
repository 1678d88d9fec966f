"""Table of the object benchmark: for a terminal, and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

COMPACT = 0.5  # of its convex hull that a thing takes, like boxes and cushions and unlike chairs, buckets and racks
Values = Callable[[dict], float | None]


def table(rows: Sequence[dict]) -> str:
    """Medians over the objects of each scene, in Markdown.

    Args:
        rows: as of ``benchmarks.objects.Row``.
    """
    scenes = list(dict.fromkeys(row["scene"] for row in rows))
    lines = ["| | " + " | ".join(scenes) + " |", "|---" * (len(scenes) + 1) + "|"]
    of = [[row for row in rows if row["scene"] == scene] for scene in scenes]
    found = [[row for row in some if row["found"]] for some in of]
    counts = (
        f"{len(there)} of {len(some)}, {sum(row['closed'] for row in there)}"
        for some, there in zip(of, found, strict=True)
    )
    lines.append(_line("found, closed", counts))
    for name, parts, form in _LINES:
        lines.append(_line(name, (" / ".join(form(_median(some, part)) for part in parts) for some in found)))
    return "\n".join(lines)


def _line(name: str, cells) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _median(rows: Sequence[dict], value: Values) -> float | None:
    values = [found for row in rows if (found := value(row)) is not None]
    return float(np.median(values)) if values else None


def _of(name: str) -> Values:
    return lambda row: row[name]


def _volume(compact: bool) -> Values:
    def value(row: dict) -> float | None:
        fits = row["volume_error"] is not None and (row["fullness"] > COMPACT) == compact
        return abs(row["volume_error"]) if fits else None

    return value


def _number(digits: int, factor: float = 1.0, unit: str = "") -> Callable[[float | None], str]:
    return lambda value: "-" if value is None else f"{factor * value:.{digits}f}{unit}"


_LINES = (
    ("accuracy (object to truth), mm", (_of("accuracy"),), _number(1)),
    (
        "completeness of what was seen / was not, mm",
        (_of("completeness_seen"), _of("completeness_unseen")),
        _number(1),
    ),
    ("chamfer distance, half of the sum of both ways, mm", (_of("chamfer"),), _number(1)),
    ("border to the neighbours, mm", (_of("border"),), _number(1)),
    (
        "volume error of compact things / of frames and containers",
        (_volume(True), _volume(False)),
        _number(0, 100, " %"),
    ),
    (
        "photo texture on held-out frames / vertex colours, dB",
        (_of("psnr"), _of("psnr_vertices")),
        _number(1),
    ),
    ("the same away from outlines, dB", (_of("psnr_inner"), _of("psnr_vertices_inner")), _number(1)),
    (
        "share of the photos' edges in the texture / in vertex colours",
        (_of("sharpness"), _of("sharpness_vertices")),
        _number(2),
    ),
    ("photo texture as it is, dB", (_of("psnr_raw"),), _number(1)),
    ("time per object, s", (_of("seconds"),), _number(1)),
)
