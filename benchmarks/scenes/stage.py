"""Things made of painted parts, put on a stage; and what else a scene is: classes, light, camera path."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .paint import Paint, Palette, darker, hsv
from .shapes import Part, box, joined, rotation

GRAINED = ("wood", "brushed")
SHIFTED = (*GRAINED, "worn", "marble", "fabric", "plain", "speckle")


class Thing:
    """One object in its own coordinates: standing on z = 0, its front towards -Y."""

    def __init__(self, label: str):
        self.label = label
        self.parts: list[tuple[Part, Paint]] = []
        self.tops: list[tuple[float, float, float, float, float]] = []  # (x0, x1, y0, y1, z) where things can stand

    def add(self, part: Part, paint: Paint, at=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0), scale=1.0) -> Thing:
        """Add a part; grain follows its longest side. Returns the thing."""
        if paint.texture in GRAINED:
            paint = replace(paint, axis=int(np.ptp(part.texture, axis=0).argmax()))
        self.parts.append((part.moved(at, turn, scale), paint))
        return self

    def block(self, size, paint: Paint, at=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0), bevel: float = 0.0) -> Thing:
        """Add a box whose bottom middle is at ``at`` before it is turned about its own middle."""
        x, y, z = at
        return self.add(box(size, bevel), paint, (x, y, z + size[2] / 2), turn)

    def merge(self, other: Thing, at=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0), scale=1.0) -> Thing:
        """Add another thing's parts as this thing's own."""
        self.parts += [(part.moved(at, turn, scale), paint) for part, paint in other.parts]
        return self

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner (3,)."""
        points = np.concatenate([part.points for part, _ in self.parts])
        return points.min(0), points.max(0)


def within(at, heading: float, x: float, y: float, z: float = 0.0) -> np.ndarray:
    """The point (x, y, z) of something that stands at ``at``, turned by ``heading`` degrees."""
    return np.asarray(at, float) + rotation((0.0, 0.0, heading)) @ np.array([x, y, z])


@dataclass(frozen=True)
class Sun:
    """The light that casts shadows, and the rest of the light."""

    at: tuple[float, float, float]
    towards: tuple[float, float, float]
    angle: float = 100.0  # degrees of the cone
    color: tuple[float, float, float] = (1.0, 0.95, 0.88)
    sky: tuple[float, float, float] = (0.50, 0.52, 0.56)  # light from everywhere, more from above


@dataclass(frozen=True)
class Walk:
    """Where the cameras are: eyes around a centre, looking at targets inside a box."""

    center: tuple[float, float]
    radius: tuple[float, float]  # semi-axes
    height: tuple[float, float]
    low: tuple[float, float, float]  # targets
    high: tuple[float, float, float]
    arc: tuple[float, float] = (0.0, 360.0)  # degrees
    loops: int = 2
    clearance: float = 0.4  # metres from any surface


@dataclass
class Stage:
    """A scene under construction."""

    rng: np.random.Generator
    groups: dict[str, tuple[str, ...]]  # group -> its classes
    walk: Walk | None = None
    sun: Sun | None = None
    voxel: float = 0.02  # metres that suit the scene
    far: float = 6.5  # metres beyond which the sensor sees nothing
    palette: Palette = field(default_factory=Palette)
    pieces: list[tuple[Part, int, int, int]] = field(default_factory=list)  # part, paint row, uid, instance
    instances: int = 0
    uids: dict[str, int] = field(init=False)
    _rows: dict[Paint, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [name for classes in self.groups.values() for name in classes]
        self.uids = {name: len(self.groups) + 1 + i for i, name in enumerate(names)}

    def put(self, thing: Thing, at=(0.0, 0.0, 0.0), heading: float = 0.0, tilt=(0.0, 0.0), scale=1.0) -> Thing:
        """Place a thing: tilted about X and Y, turned about Z by degrees, moved. Returns the thing."""
        self.instances += 1
        for part, paint in thing.parts:
            part = part.moved(at, (*tilt, heading), scale)
            if paint.texture in SHIFTED:
                part = part.painted(part.texture + self.rng.uniform(0, 20, 3))
            if paint not in self._rows:
                self._rows[paint] = self.palette.row(paint)
            self.pieces.append((part, self._rows[paint], self.uids[thing.label], self.instances))
        return thing

    def scatter(self, owner: Thing, at, heading: float, things: list[Thing], gap: float = 0.01) -> list:
        """Stand things on the owner's tops where they do not overlap; those without room are left away.

        ``at`` and ``heading`` are where the owner was put. Returns the things that found room and where they are.
        """
        places, taken = [], np.empty((0, 4))
        for thing in things:
            for _ in range(60):
                x0, x1, y0, y1, z = owner.tops[int(self.rng.integers(len(owner.tops)))]
                turn = self.rng.uniform(0, 360)
                circles = _footprint(thing, turn)
                reach = circles[:, 3]
                low, high = (circles[:, :2] - reach[:, None]).min(0), (circles[:, :2] + reach[:, None]).max(0)
                slack = np.array([x1 - x0, y1 - y0]) - (high - low)
                if (slack < 0).any():
                    continue
                circles += [*(np.array([x0, y0]) - low + self.rng.uniform(0, 1, 2) * slack), z, 0]
                apart = np.linalg.norm(circles[:, None, :2] - taken[None, :, :2], axis=2)
                near = np.abs(circles[:, None, 2] - taken[None, :, 2]) < 0.02
                if not (near & (apart < reach[:, None] + taken[None, :, 3] + gap)).any():
                    taken = np.concatenate([taken, circles])
                    place = circles[:, :3].mean(0) - rotation((0, 0, turn)) @ _middle(thing)
                    place = within(at, heading, *place)
                    places.append((self.put(thing, place, heading + turn), place))
                    break
        return places

    def geometry(self) -> Geometry:
        """Everything on the stage as arrays."""
        parts = [piece[0] for piece in self.pieces]
        whole = joined(parts)
        per_part = np.array([piece[1:] for piece in self.pieces])
        faces = np.repeat(per_part, [len(part.faces) for part in parts], axis=0)
        return Geometry(whole, *(faces[:, i].astype(np.int32) for i in range(3)))

    def tree(self, seen: set[int]) -> list[dict]:
        """The label tree of the classes in ``seen``, as a label document has it."""
        nodes, colors = [], np.random.default_rng(5)
        for uid, (group, names) in enumerate(self.groups.items(), 1):
            inside = [name for name in names if self.uids[name] in seen]
            if not inside:
                continue
            nodes.append({"uid": uid, "name": group, "parent": 0, "kind": "group", "thing": True, "color": "#8a8f98"})
            for name in inside:
                color = "#" + "".join(f"{int(v):02x}" for v in colors.integers(40, 230, 3))
                thing = group != "Structure"
                node = {"uid": self.uids[name], "name": name, "parent": uid, "kind": "class"}
                nodes.append({**node, "thing": thing, "color": color})
        return nodes


def _middle(thing: Thing) -> np.ndarray:
    """(3,) the middle of a thing's footprint, z = 0."""
    low, high = thing.bounds()
    return np.array([*(0.5 * (low + high))[:2], 0.0])


def _footprint(thing: Thing, turn: float) -> np.ndarray:
    """(K, 4) circles (x, y, 0, radius) that cover a thing turned by degrees, about its middle, along its long side."""
    low, high = thing.bounds()
    half = 0.5 * (high - low)[:2]
    radius = max(1.08 * float(half.min()), 0.006)
    reach = max(float(half.max()) - 0.9 * float(half.min()), 0.0)
    along = np.linspace(-reach, reach, int(2 * reach / (1.4 * radius)) + 1 + (reach > 0))
    axis = rotation((0, 0, turn))[:2, int(half.argmax())]
    centers = along[:, None] * axis
    return np.concatenate([centers, np.zeros((len(along), 1)), np.full((len(along), 1), radius)], 1)


@dataclass(frozen=True)
class Geometry:
    """V vertices and F triangles with what each triangle is."""

    mesh: Part
    paint: np.ndarray  # (F,) int32 rows of the palette
    label: np.ndarray  # (F,) int32 class uids
    instance: np.ndarray  # (F,) int32 from 1


class Floor:
    """Free places on a rectangular floor; everything stands in axis-aligned rectangles."""

    def __init__(self, rng: np.random.Generator, size: tuple[float, float]):
        self.rng, self.size = rng, size
        self.taken: list[tuple[float, float, float, float]] = []

    def free(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Whether nothing stands in a rectangle inside the floor."""
        w, d = self.size
        inside = x0 >= 0 and y0 >= 0 and x1 <= w and y1 <= d
        return inside and all(x1 <= a or x0 >= c or y1 <= b or y0 >= d_ for a, b, c, d_ in self.taken)

    def take(self, x: float, y: float, width: float, depth: float) -> bool:
        """Claim a rectangle around a middle if it is free."""
        corners = (x - width / 2, y - depth / 2, x + width / 2, y + depth / 2)
        if not self.free(*corners):
            return False
        self.taken.append(corners)
        return True

    def along(self, width: float, depth: float, walls=(0, 1, 2, 3), gap: float = 0.02) -> tuple | None:
        """(x, y, heading) with the back to a wall (0 = +Y, 1 = -X, 2 = -Y, 3 = +X), or None when none has room."""
        w, d = self.size
        for _ in range(60):
            wall = int(self.rng.choice(walls))
            length = w if wall in (0, 2) else d
            if length <= width:
                continue
            s = self.rng.uniform(width / 2, length - width / 2)
            off = depth / 2 + gap
            x, y = ((s, d - off), (off, s), (s, off), (w - off, s))[wall]
            if self.take(x, y, *((width, depth) if wall in (0, 2) else (depth, width))):
                return x, y, (0.0, 90.0, 180.0, 270.0)[wall]
        return None

    def inside(self, width: float, depth: float, margin: float = 0.6, near=None, spread: float = 0.6) -> tuple | None:
        """(x, y) away from the walls, or around a point ``near``; None when there is no room."""
        w, d = self.size
        for _ in range(60):
            if near is None:
                x, y = self.rng.uniform(margin, w - margin), self.rng.uniform(margin, d - margin)
            else:
                x, y = np.asarray(near[:2]) + self.rng.normal(0, spread, 2)
            if self.take(x, y, width, depth):
                return x, y
        return None


class Kit:
    """Random paints and numbers for the makers of things."""

    def __init__(self, stage: Stage):
        self.rng, self.palette = stage.rng, stage.palette
        base = self.rng.uniform(0.04, 0.11)
        self._woods = [
            (hsv(base + self.rng.normal(0, 0.012), self.rng.uniform(0.3, 0.65), v), v) for v in (0.25, 0.45, 0.62, 0.78)
        ]

    def between(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < probability)

    def pick(self, *choices):
        """One of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def wood(self, tone: float | None = None) -> Paint:
        """Wood of about a tone (0 dark .. 1 light)."""
        tone = self.rng.random() if tone is None else tone
        color, _ = self._woods[min(int(tone * 4), 3)]
        color = darker(color, self.between(0.88, 1.12))
        return Paint("wood", color, darker(color, self.between(0.5, 0.72)), scale=self.between(0.05, 0.11), gloss=0.12)

    def cloth(self, color=None) -> Paint:
        """Fabric: plain weave, stripes, plaid or dots."""
        color = color or self.color()
        other = darker(color, self.between(0.55, 0.8))
        kind = self.pick("fabric", "fabric", "fabric", "stripes", "plaid", "dots")
        if kind == "fabric":
            return Paint("fabric", color, other, scale=0.012, gloss=0.0)
        light, third = hsv(self.rng.random(), 0.2, 0.85), self.color()
        axis = int(self.rng.integers(3))
        return Paint(kind, color, light, third, scale=self.between(0.05, 0.12), axis=axis, gloss=0.0)

    def color(self, saturation=(0.2, 0.8), value=(0.25, 0.85)) -> tuple:
        """Any colour."""
        return hsv(self.rng.random(), self.between(*saturation), self.between(*value))

    def lacquer(self, color=None, gloss: float = 0.35) -> Paint:
        """Painted or plastic."""
        color = color or self.color()
        return Paint("plain", color, scale=0.5, gloss=gloss)

    def metal(self, value: float | None = None) -> Paint:
        """Bare metal."""
        v = self.between(0.35, 0.75) if value is None else value
        return Paint("brushed", hsv(0.6, 0.04, v), scale=0.05, gloss=0.8)

    def stone(self, color=None) -> Paint:
        """Speckled stone or concrete."""
        color = color or hsv(self.between(0.05, 0.15), self.between(0.02, 0.15), self.between(0.4, 0.8))
        return Paint(
            "speckle", color, darker(color, 0.5), darker(color, 1.3), scale=self.between(0.015, 0.03), gloss=0.1
        )
