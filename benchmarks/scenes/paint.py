"""Materials: procedural textures in the coordinates of a part, evaluated for many points at once.

A material is one row of numbers; the textures are few, so a picture's pixels are grouped by texture and every texture
reads its parameters from the rows.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

LATTICE = 48
IMAGE = 96  # pixels along each side of a painted picture


@dataclass(frozen=True)
class Paint:
    """How a surface looks: a texture between two or three colours.

    ``scale`` is the period of the texture in metres, ``axis`` the direction of grain, stripes or the normal of tiles
    in the part's own coordinates, ``contrast`` how far the second colour goes, ``gloss`` 0..1 highlights,
    ``glow`` light of its own.
    """

    texture: str
    a: tuple
    b: tuple = (0.0, 0.0, 0.0)
    c: tuple = (0.0, 0.0, 0.0)
    scale: float = 0.1
    axis: int = 0
    contrast: float = 1.0
    gloss: float = 0.05
    glow: float = 0.0
    image: int = 0  # which picture, for the texture "image"


def _fields() -> tuple[np.ndarray, np.ndarray]:
    """Periodic noise volumes in 0..1: smooth, and the sum of four octaves."""
    rng = np.random.default_rng(20240517)
    white = rng.uniform(0, 1, (LATTICE,) * 3).astype(np.float32)
    total, weight = np.zeros_like(white), 0.0
    for octave in range(4):
        step = 8 >> octave
        coarse = rng.uniform(0, 1, (LATTICE // step,) * 3)
        total += ndimage.zoom(coarse, step, order=1, mode="grid-wrap", grid_mode=True).astype(np.float32) * 0.5**octave
        weight += 0.5**octave
    return white, total / weight


WHITE, CLOUDS = _fields()


def noise(q: np.ndarray, field_: np.ndarray = WHITE) -> np.ndarray:
    """(P,) trilinear periodic noise at q (P, 3); one unit is one lattice step."""
    return ndimage.map_coordinates(field_, q.T, np.float32, order=1, mode="grid-wrap", prefilter=False)


def clouds(q: np.ndarray) -> np.ndarray:
    """(P,) noise of four octaves about 0.5, features of about one unit of q (P, 3) and finer."""
    return (noise(q * 8.0, CLOUDS) - 0.5) * 1.8 + 0.5


def _hash(*whole: np.ndarray) -> np.ndarray:
    """(P,) pseudo-random 0..1 of whole numbers."""
    value = sum(w * k for w, k in zip(whole, (12.9898, 78.233, 37.719), strict=False))
    return np.modf(np.abs(np.sin(value) * 43758.5453))[0]


def _mixed(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    return a + (b - a) * np.clip(t, 0, 1)[:, None]


# Each takes points q (P, 3) in periods with the texture's axis first, and the rows' columns; returns (P, 3) colour.


def _plain(q, a, b, c):
    return a * (0.94 + 0.12 * clouds(q))[:, None]


def _wood(q, a, b, c):
    stretched = q * np.array([0.12, 1.0, 1.0])
    rings = 5 * clouds(stretched * 0.6) + 2.2 * q[:, 1] + 1.6 * q[:, 2]
    fine = noise(q * np.array([0.8, 22.0, 22.0]))
    return _mixed(a, b, 0.65 * (0.5 + 0.5 * np.sin(2 * np.pi * rings)) ** 1.5 + 0.3 * fine)


def _planks(q, a, b, c):
    across, along = q[:, 1], q[:, 0] / 7.0
    row = np.floor(across)
    along = along + _hash(row)
    tone = _hash(row, np.floor(along))
    color = _wood(q * 0.7 + tone[:, None] * 17.0, a, b, c) * (0.78 + 0.36 * tone)[:, None]
    gap = np.minimum(_edge(across), 7.0 * _edge(along)) < 0.025
    return np.where(gap[:, None], color * 0.35, color)


def _edge(x):
    f = x - np.floor(x)
    return np.minimum(f, 1 - f)


def _tiles(q, a, b, c):
    row, column = np.floor(q[:, 1]), np.floor(q[:, 2])
    tone = _hash(row, column)
    color = _mixed(a, b, np.where(tone > 0.5, 0.75, 0.25) * tone + 0.2 * clouds(q))
    grout = np.minimum(_edge(q[:, 1]), _edge(q[:, 2])) < 0.03
    return np.where(grout[:, None], c, color)


def _checker(q, a, b, c):
    odd = (np.floor(q[:, 1]) + np.floor(q[:, 2])) % 2
    return _mixed(a, b, odd) * (0.9 + 0.2 * clouds(q))[:, None]


def _brick(q, a, b, c):
    row = np.floor(q[:, 1] * 3)
    along = q[:, 2] + 0.5 * (row % 2)
    tone = _hash(row, np.floor(along))
    color = _mixed(a, b, tone) * (0.8 + 0.4 * clouds(q * 2))[:, None]
    mortar = (_edge(along) < 0.025) | (_edge(q[:, 1] * 3) < 0.07)
    return np.where(mortar[:, None], c, color)


def _stripes(q, a, b, c):
    f = q[:, 0] - np.floor(q[:, 0])
    return np.where((f < 0.4)[:, None], a, np.where((f < 0.8)[:, None], b, c)) * (0.9 + 0.2 * noise(q * 9))[:, None]


def _plaid(q, a, b, c):
    f, g = (q[:, i] - np.floor(q[:, i]) for i in (0, 1))
    color = _mixed(a, b, 0.5 * (f < 0.45) + 0.5 * (g < 0.45))
    return np.where(((np.abs(f - 0.7) < 0.05) | (np.abs(g - 0.7) < 0.05))[:, None], c, color)


def _fabric(q, a, b, c):
    return _mixed(a, b, 0.55 * noise(q * 4.0) + 0.6 * (clouds(q * 0.35) - 0.3))


def _speckle(q, a, b, c):
    n = noise(q * 2.0)
    color = _mixed(a, b, (n - 0.55) * 6)
    return _mixed(color, c, (noise(q * 2.0 + 11.3) - 0.62) * 8)


def _dots(q, a, b, c):
    f = q[:, :2] - np.floor(q[:, :2]) - 0.5
    return np.where(((f**2).sum(1) < 0.07)[:, None], b, a)


def _brushed(q, a, b, c):
    return a * (0.86 + 0.28 * noise(q * np.array([0.4, 14.0, 14.0])))[:, None]


def _marble(q, a, b, c):
    vein = np.abs(np.sin(np.pi * (q[:, 0] + 0.6 * q[:, 1] + 4.0 * clouds(q * 0.5))))
    return _mixed(b, a, 0.2 + 2.2 * vein)


def _worn(q, a, b, c):
    patches = clouds(q * 0.8)
    return _mixed(a * (0.85 + 0.3 * noise(q * 6))[:, None], b, (patches - 0.62) * 9)


def _blade(q, a, b, c):
    vein = np.abs(q[:, 1]) < 0.09
    color = _mixed(a, b, 0.5 * clouds(q * 0.6) + 0.35 * q[:, 0])
    return np.where(vein[:, None], _mixed(color, c, np.full(len(q), 0.5)), color)


def _grass(q, a, b, c):
    color = _mixed(a, b, 1.6 * noise(q * np.array([7.0, 7.0, 1.0])) - 0.35)
    return _mixed(color, c, (clouds(q * 0.25) - 0.5) * 2)


TEXTURES = {
    "plain": _plain,
    "wood": _wood,
    "planks": _planks,
    "tiles": _tiles,
    "checker": _checker,
    "brick": _brick,
    "stripes": _stripes,
    "plaid": _plaid,
    "fabric": _fabric,
    "speckle": _speckle,
    "dots": _dots,
    "brushed": _brushed,
    "marble": _marble,
    "worn": _worn,
    "blade": _blade,
    "grass": _grass,
    "image": None,  # looked up in the palette's pictures
}
KINDS = tuple(TEXTURES)


@dataclass
class Palette:
    """All paints of a scene as rows, and its pictures."""

    paints: list[Paint] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)  # (IMAGE, IMAGE, 3) sRGB, first row at the bottom

    def row(self, paint: Paint) -> int:
        """The row of a paint."""
        self.paints.append(paint)
        return len(self.paints) - 1

    def picture(self, pixels: np.ndarray, gloss: float = 0.05, glow: float = 0.0) -> Paint:
        """A paint that shows a picture over texture x, z in 0..1."""
        self.pictures.append(pixels.astype(np.float32))
        return Paint("image", (1, 1, 1), gloss=gloss, glow=glow, image=len(self.pictures) - 1)

    def ready(self) -> Looks:
        """The rows as arrays."""
        return Looks(self)


class Looks:
    """Arrays over a palette's rows, and the colours of points painted with them."""

    def __init__(self, palette: Palette):
        paints = palette.paints
        self.kind = np.array([KINDS.index(paint.texture) for paint in paints])
        self.colors = np.array([[paint.a, paint.b, paint.c] for paint in paints], np.float32)
        self.colors[:, 1] = self.colors[:, 0] + (self.colors[:, 1] - self.colors[:, 0]) * np.array(
            [[paint.contrast] for paint in paints], np.float32
        )
        self.frequency = np.array([1.0 / paint.scale for paint in paints], np.float32)
        self.axis = np.array([paint.axis for paint in paints])
        self.gloss = np.array([paint.gloss for paint in paints], np.float32)
        self.glow = np.array([paint.glow for paint in paints], np.float32)
        self.image = np.array([paint.image for paint in paints])
        self.pictures = np.array(palette.pictures or [np.zeros((IMAGE, IMAGE, 3), np.float32)])

    def albedo(self, rows: np.ndarray, texture: np.ndarray) -> np.ndarray:
        """(P, 3) linear colour of points with paint ``rows`` (P,) at texture coordinates (P, 3)."""
        color = np.empty((len(rows), 3), np.float32)
        kinds = self.kind[rows]
        for kind in np.unique(kinds):
            pick = np.flatnonzero(kinds == kind)
            of = rows[pick]
            if KINDS[kind] == "image":
                color[pick] = self._pictured(self.image[of], texture[pick])
                continue
            order = (self.axis[of][:, None] + np.arange(3)) % 3
            q = np.take_along_axis(texture[pick], order, 1) * self.frequency[of][:, None]
            a, b, c = self.colors[of].transpose(1, 0, 2)
            color[pick] = TEXTURES[KINDS[kind]](q, a, b, c)
        return to_linear(color)

    def _pictured(self, image: np.ndarray, texture: np.ndarray) -> np.ndarray:
        x, y = (np.clip(texture[:, axis], 0, 1) * (IMAGE - 1.001) for axis in (0, 2))
        left, low = x.astype(int), y.astype(int)
        x, y = (x - left)[:, None], (y - low)[:, None]
        corner = self.pictures
        lower = corner[image, low, left] * (1 - x) + corner[image, low, left + 1] * x
        upper = corner[image, low + 1, left] * (1 - x) + corner[image, low + 1, left + 1] * x
        return lower * (1 - y) + upper * y


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values 0..1 (the 2.2 power; the toe does not matter here)."""
    return np.clip(srgb, 0.0, 1.0) ** 2.2


def hsv(hue: float, saturation: float, value: float) -> tuple:
    """sRGB of a hue (any number, period 1), saturation and value."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0), 1), min(max(value, 0), 1))


def darker(color, factor: float) -> tuple:
    """A colour times a factor, clipped."""
    return tuple(min(max(channel * factor, 0.0), 1.0) for channel in color)
