"""The colours in which a scan and its keyframes show labels, confidence and uncertainty. Plain arrays, no bpy.

Colours are blended as sRGB, in which they were chosen; `linear` turns them into what float colour attributes hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

UNLABELLED_DARK, UNLABELLED_BASE = 0.55, 0.08  # grey of a surface without a label, from its photo luminance
DIMMED = np.float32(0.45)  # of that grey, for what is not of the isolated label
FAINTEST = 0.65  # opacity of a label's colour where nothing speaks for it
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
LINEAR_STEPS = 4095
Color = tuple[float, float, float]
Colors = Mapping[int, Color]

# Dark to bright, even steps of lightness: from night blue over teal to yellow, and from slate over red to pale yellow.
SURE_STOPS = ((0.13, 0.10, 0.28), (0.16, 0.31, 0.50), (0.12, 0.53, 0.51), (0.46, 0.73, 0.32), (0.97, 0.90, 0.27))
UNSURE_STOPS = ((0.16, 0.17, 0.25), (0.42, 0.14, 0.38), (0.77, 0.21, 0.27), (0.96, 0.52, 0.20), (1.0, 0.94, 0.62))


@dataclass(frozen=True)
class Look:
    """How labels are shown; equal looks give equal colours.

    ``mode`` is one of PHOTO, LABELS, MIX, CONFIDENCE and UNCERTAINTY.
    """

    mode: str = "LABELS"
    mix: float = 0.6  # opacity of label colours over a photo
    colors: Mapping[int, Color] = field(default_factory=dict)  # sRGB 0..1 by uid, as the person chose them
    shown: Mapping[int, int] = field(default_factory=dict)  # uid -> uid as which it is shown, 0 for hidden
    isolated: bool = False  # what is hidden, or has no label, is dimmed

    def table(self) -> np.ndarray:
        """(4, n) float32: sRGB colour of each uid under n as it is shown, and 1 where it is shown at all."""
        table = np.zeros((4, max([0, *self.shown]) + 1), dtype=np.float32)
        for uid, stands_for in self.shown.items():
            if stands_for:
                table[:, uid] = (*self.colors[stands_for], 1.0)
        return table

    def stands_for(self) -> np.ndarray:
        """(n,) uint16: the uid as which each uid under n is shown, 0 for hidden or unknown."""
        table = np.zeros(max([0, *self.shown]) + 1, dtype=np.uint16)
        for uid, shown in self.shown.items():
            table[uid] = shown
        return table

    @property
    def is_photo(self) -> bool:
        """Whether there is nothing to see but the photo itself."""
        return self.mode == "PHOTO" and not self.isolated


def ramp(stops: tuple[Color, ...]) -> np.ndarray:
    """(256, 3) float32 colours through the stops."""
    places = np.linspace(0, 255, len(stops))
    channels = [np.interp(np.arange(256), places, [stop[i] for stop in stops]) for i in range(3)]
    return np.stack(channels, axis=1).astype(np.float32)


SURE, UNSURE = ramp(SURE_STOPS), ramp(UNSURE_STOPS)


def _linear_table() -> np.ndarray:
    value = np.arange(LINEAR_STEPS + 1, dtype=np.float64) / LINEAR_STEPS
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_table()


def linear(channel: np.ndarray) -> np.ndarray:
    """sRGB 0..1 as linear light, float32, to a part in 4096. Values outside are cut off."""
    return _LINEAR[np.clip(channel * np.float32(LINEAR_STEPS) + np.float32(0.5), 0, LINEAR_STEPS).astype(np.uint16)]


def unlabelled_grey(photo: np.ndarray) -> np.ndarray:
    """(V, 3) uint8 photo colours as the (V,) float32 dark grey of an unlabelled surface."""
    return (photo @ (LUMINANCE * np.float32(UNLABELLED_DARK / 255))) + np.float32(UNLABELLED_BASE)


def shade(
    look: Look, table: np.ndarray, labels: np.ndarray, strength: np.ndarray, photo: np.ndarray, grey: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The colours of some places of a scan.

    Args:
        table: of ``look.table()``. labels: (V,) uids, 0 = none. strength: (V,) uint8, the uncertainty in mode
            UNCERTAINTY, otherwise the confidence. photo: (V, 3) uint8. grey: (V,) float32 of `unlabelled_grey`.

    Returns:
        Red, green and blue, each (V,) float32 sRGB 0..1.
    """
    known = np.where(labels < table.shape[1], labels, 0)
    shown = table[3][known]
    rest = grey * DIMMED if look.isolated else grey
    if look.mode in ("CONFIDENCE", "UNCERTAINTY"):
        colors = SURE if look.mode == "CONFIDENCE" else UNSURE
        seen = (shown > 0) if look.isolated or look.mode == "CONFIDENCE" else np.ones(len(labels), bool)
        return tuple(np.where(seen, colors[:, i][strength], rest) for i in range(3))
    if look.mode == "LABELS":
        weight = shown * (FAINTEST + (1 - FAINTEST) * np.arange(256, dtype=np.float32) / 255)[strength]
        rest = rest * (1 - weight)
        weight *= np.float32(0.85) + np.float32(0.5) * (grey - np.float32(UNLABELLED_BASE))
        return tuple(np.minimum(rest + weight * table[i][known], 1.0) for i in range(3))
    weight = shown * np.float32(look.mix if look.mode == "MIX" else 0.0)
    seen = (shown > 0) if look.isolated else np.ones(len(labels), bool)
    under = (np.where(seen, photo[:, i] * np.float32(1 / 255), rest) for i in range(3))
    return tuple(below * (1 - weight) + weight * table[i][known] for i, below in enumerate(under))


def label_colors(labels: np.ndarray, confidence: np.ndarray, photo: np.ndarray, colors: Colors) -> np.ndarray:
    """Labels over a darkened photo: the label's colour, shaded by the photo and paler where it is less certain.

    Args:
        labels: (V,) uids, 0 = none. confidence: (V,) uint8. photo: (V, 3) uint8.
        colors: sRGB colour 0..1 of each uid; uids that are not in it count as unlabelled.

    Returns:
        (V, 3) float32 sRGB.
    """
    look = Look(colors=colors, shown={uid: uid for uid in colors})
    return np.stack(shade(look, look.table(), labels, confidence, photo, unlabelled_grey(photo)), axis=-1)


def picture_colors(look: Look, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """What is laid over a keyframe's picture.

    Args:
        labels: (H, W) uint16. confidence: (H, W) uint8.

    Returns:
        (H, W, 4) float32 sRGB with straight alpha, before the opacity that the person has chosen. Where no label is
        shown it is clear, or black when one is isolated.
    """
    table = look.table()
    known = np.where(labels < table.shape[1], labels, 0)
    shown = table[3][known] > 0
    rgba = np.zeros((*labels.shape, 4), dtype=np.float32)
    if look.mode == "UNCERTAINTY":
        rgba[..., :3] = UNSURE[255 - confidence]
    elif look.mode == "CONFIDENCE":
        rgba[..., :3] = SURE[confidence]
    else:
        rgba[..., :3] = np.ascontiguousarray(table[:3].T)[known]
    rgba[~shown, :3] = 0
    rgba[..., 3] = np.where(shown, 1.0, DIMMED if look.isolated else 0.0)
    return rgba
