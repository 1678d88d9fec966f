"""Learning curves as pictures: mean and range over runs against the number of clicks, as SVG or PNG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..images import write_image

WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 70, 220, 46, 60  # margins in pixels; the legend stands in the right one
COLORS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#5b8c00", "#8c564b", "#444444"),
)
FINER = 2  # PNG pixels per unit


@dataclass(frozen=True)
class Series:
    """One engine: clicks (N,), and its values in percent in several runs (runs, N)."""

    name: str
    clicks: np.ndarray
    values: np.ndarray


@dataclass
class _Drawing:
    """Lines, areas and texts in a coordinate system of WIDTH x HEIGHT units, y down."""

    lines: list[tuple] = field(default_factory=list)  # (points, colour, width)
    areas: list[tuple] = field(default_factory=list)  # (points, colour)
    dots: list[tuple] = field(default_factory=list)  # (x, y, colour)
    texts: list[tuple] = field(default_factory=list)  # (x, y, text, anchor, size, upright)


def draw(path: Path, series: Sequence[Series], title: str, quantity: str = "mIoU on held-out frames (%)") -> None:
    """Write the curves to a `.svg` or `.png` file. Raises UserError when it cannot be written, ValueError for others.

    Each curve is the mean over runs, the band around it their range. Clicks are on a logarithmic axis.
    """
    drawing = _drawing(series, title, quantity)
    if path.suffix.lower() == ".svg":
        _write_text(path, _svg(drawing))
    elif path.suffix.lower() == ".png":
        write_image(path, _raster(drawing))
    else:
        raise ValueError(f"a plot is a .svg or a .png file, not {path.name}")


def _drawing(series: Sequence[Series], title: str, quantity: str) -> _Drawing:
    every = np.concatenate([np.asarray(one.clicks, float) for one in series])
    values = np.concatenate([np.ravel(one.values) for one in series])
    low, high = 10 * math.floor(values.min() / 10), 10 * math.ceil(max(values.max(), values.min() + 1) / 10)
    first, last = math.log(every.min()), math.log(max(every.max(), every.min() * 1.01))

    def x(clicks: float) -> float:
        return LEFT + (math.log(clicks) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    out = _Drawing()
    out.texts.append((LEFT, 26, title, "start", 17, True))
    for value in range(low, high + 1, 10):
        out.lines.append(([(LEFT, y(value)), (WIDTH - RIGHT, y(value))], "#dddddd", 1))
        out.texts.append((LEFT - 8, y(value) + 4, f"{value}", "end", 13, True))
    for clicks in _apart(sorted(set(every.tolist())), x):
        out.lines.append(([(x(clicks), HEIGHT - BOTTOM), (x(clicks), HEIGHT - BOTTOM + 5)], "#444444", 1))
        out.texts.append((x(clicks), HEIGHT - BOTTOM + 20, f"{clicks:g}", "middle", 13, True))
    frame = [(LEFT, TOP), (LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM)]
    out.lines.append((frame, "#444444", 1.5))
    out.texts.append(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "clicks (logarithmic)", "middle", 14, True))
    out.texts.append((20, (TOP + HEIGHT - BOTTOM) / 2, quantity, "middle", 14, False))
    for turn, one in enumerate(series):
        _curve(out, one, COLORS[turn % len(COLORS)], turn, x, y)
    return out


def _curve(out: _Drawing, one: Series, color: str, turn: int, x, y) -> None:
    runs = np.atleast_2d(one.values)
    mean, least, most = runs.mean(axis=0), runs.min(axis=0), runs.max(axis=0)
    at = [x(float(clicks)) for clicks in one.clicks]
    if len(runs) > 1:
        upper = [(a, y(v)) for a, v in zip(at, most, strict=True)]
        lower = [(a, y(v)) for a, v in zip(at, least, strict=True)]
        out.areas.append((upper + lower[::-1], color))
    points = [(a, y(v)) for a, v in zip(at, mean, strict=True)]
    out.lines.append((points, color, 2.5))
    out.dots += [(*point, color) for point in points]
    row = TOP + 8 + 24 * turn
    out.lines.append(([(WIDTH - RIGHT + 18, row), (WIDTH - RIGHT + 44, row)], color, 2.5))
    out.dots.append((WIDTH - RIGHT + 31, row, color))
    out.texts.append((WIDTH - RIGHT + 52, row + 5, f"{one.name} ({mean[-1]:.1f})", "start", 14, True))


def _apart(ticks: list[float], x) -> list[float]:
    """The ticks whose numbers do not run into one another; the last one stays."""
    kept: list[float] = []
    for tick in reversed(ticks):
        if not kept or x(kept[-1]) - x(tick) > 30:
            kept.append(tick)
    return kept[::-1]


def _svg(drawing: _Drawing) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for points, color in drawing.areas:
        lines.append(f'<polygon points="{_points(points)}" fill="{color}" fill-opacity="0.12"/>')
    for points, color, width in drawing.lines:
        lines.append(f'<polyline points="{_points(points)}" fill="none" stroke="{color}" stroke-width="{width}"/>')
    for cx, cy, color in drawing.dots:
        lines.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3.5" fill="{color}"/>')
    for tx, ty, text, anchor, size, upright in drawing.texts:
        turn = "" if upright else f' transform="rotate(-90 {tx:.1f} {ty:.1f})"'
        lines.append(
            f'<text x="{tx:.1f}" y="{ty:.1f}" font-size="{size}" text-anchor="{anchor}" fill="#222222"{turn}>'
            f"{html.escape(text)}</text>"
        )
    return "\n".join([*lines, "</svg>", ""])


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _raster(drawing: _Drawing) -> np.ndarray:
    """(H, W, 3) uint8."""
    size = (WIDTH * FINER, HEIGHT * FINER)
    image = Image.new("RGB", size, "#ffffff")
    for points, color in drawing.areas:
        layer = Image.new("L", size, 0)
        ImageDraw.Draw(layer).polygon(_scaled(points), fill=30)
        image.paste(Image.new("RGB", size, color), mask=layer)
    pen = ImageDraw.Draw(image)
    for points, color, width in drawing.lines:
        pen.line(_scaled(points), fill=color, width=round(width * FINER), joint="curve")
    for x, y, color in drawing.dots:
        radius = 3.5 * FINER
        pen.ellipse([x * FINER - radius, y * FINER - radius, x * FINER + radius, y * FINER + radius], fill=color)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for x, y, text, anchor, size_of_text, upright in drawing.texts:
        font = ImageFont.load_default(size_of_text * FINER)
        if upright:
            pen.text((x * FINER, y * FINER), text, fill="#222222", font=font, anchor=anchors[anchor])
        else:
            _sideways(image, (x * FINER, y * FINER), text, font)
    return np.asarray(image)


def _sideways(image: Image.Image, middle: tuple[float, float], text: str, font: ImageFont.ImageFont) -> None:
    left, top, right, bottom = font.getbbox(text)
    label = Image.new("L", (math.ceil(right - left) + 2, math.ceil(bottom - top) + 2), 0)
    ImageDraw.Draw(label).text((1 - left, 1 - top), text, fill=255, font=font)
    label = label.rotate(90, expand=True)
    corner = round(middle[0] - label.width / 2), round(middle[1] - label.height / 2)
    image.paste(Image.new("RGB", label.size, "#222222"), corner, label)


def _scaled(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x * FINER, y * FINER) for x, y in points]


def _write_text(path: Path, text: str) -> None:
    from ..errors import UserError

    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            "cannot_write", f"{path} could not be written ({error.strerror}); free some space or choose another folder."
        ) from error
