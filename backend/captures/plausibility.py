"""Do the depth values make sense? Neighbouring views must see the same surface, and surfaces are mostly smooth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from backend.captures.capture import Frame, Intrinsics
from backend.captures.common import READINGS, ImportOptions, Recording
from backend.captures.depth import HELP, NAMED, DepthEncoding, along_axis, parse_encoding, within
from backend.errors import UserError
from backend.progress import Progress

ANCHORS = 4  # places along the recording that are looked at
GRID = 160  # most pixels on the longer side of the reduced depth images
TOLERANCE = 0.03  # of z
IDEAL_BASELINE = 0.3  # metres between the two views of a pair
SAMPLE = 4000  # points of a view that are looked up in the other one
MIN_OVERLAP = 300  # pixels seen from both views; fewer prove nothing
FINE, GOOD, DOUBTFUL = 0.75, 0.55, 0.5  # shares of agreeing points: nothing to doubt, usable, worth a word
HIDDEN, LOST = 0.3, 0.02  # shares of measured pixels within the depth range: suspicious, hopeless
SHOWN = 0.6  # the share that an alternative must have there
CLEARLY_BETTER = 1.7  # an alternative this much better than the encoding in question refutes it
JUMP, ROUGH = 0.25, 0.15  # relative step between neighbours; share of such steps that no real surface has
ALTERNATIVES = (
    *NAMED.values(),
    *map(parse_encoding, ("5000", "6553.5", "10000", "4000", "2000", "256", "100", "1000000")),
)


class Probe:
    """A few reduced depth images of a capture with their raw values, paired for comparison.

    Args:
        frames: the keyframes, poses in metres.
        loaders: per frame, loads its raw depth values (height, width).
        cameras: per frame, the camera of those values.
        recording: for the raw values that mean "none".
        options: for the depth range.
        encoding: what the raw values are thought to mean.
        progress: called with 0.7..1.
    """

    def __init__(
        self,
        frames: list[Frame],
        loaders: list[Callable[[], np.ndarray]],
        cameras: list[Intrinsics],
        recording: Recording,
        options: ImportOptions,
        encoding: DepthEncoding,
        progress: Progress,
    ):
        self.frames, self.recording, self.options, self.encoding = frames, recording, options, encoding
        self.pairs = pairs(np.stack([frame.camera_to_world for frame in frames]))
        wanted = sorted({i for pair in self.pairs for i in pair} or {0, len(frames) // 2, len(frames) - 1})
        self.raw: dict[int, np.ndarray] = {}
        self.cameras: dict[int, Intrinsics] = {}
        for done, index in enumerate(wanted):
            progress(0.7 + 0.25 * done / len(wanted), "Checking depth")
            try:
                raw = loaders[index]()
            except UserError:
                # A damaged body is reported when the frame itself is loaded; the probe does without it.
                continue
            self.raw[index], self.cameras[index] = reduced(raw, cameras[index])
        self.pairs = [pair for pair in self.pairs if pair[0] in self.raw and pair[1] in self.raw]

    def depth(self, index: int, encoding: DepthEncoding) -> np.ndarray:
        """Reduced depth image in metres, 0 = none or out of range."""
        z = encoding.metres(self.raw[index], self.recording.invalid)
        if self.recording.ray_distance:
            z = along_axis(z, self.cameras[index])
        return within(z, self.options.depth_min, self.options.depth_max)

    def points(self, index: int, encoding: DepthEncoding) -> np.ndarray:
        """(h, w, 3) camera points of a reduced depth image, (0, 0, 0) where there is none."""
        camera, z = self.cameras[index], self.depth(index, encoding)
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        return camera.unproject(np.stack([u, v], axis=-1), z)

    def agreement(self, encoding: DepthEncoding, poses: list[np.ndarray]) -> tuple[int, float]:
        """How many points are seen in both views of a pair, and the share of them at the same depth."""
        seen = agreed = 0
        for a, b in self.pairs:
            for source, target in ((a, b), (b, a)):
                move = np.linalg.inv(poses[target]) @ poses[source]
                points = self.points(source, encoding).reshape(-1, 3)
                points = points[points[:, 2] > 0]
                points = points[:: 1 + len(points) // SAMPLE] @ move[:3, :3].T + move[:3, 3]
                expected, found = _look_up(points, self.depth(target, encoding), self.cameras[target])
                seen += len(found)
                agreed += int((np.abs(found - expected) < TOLERANCE * expected).sum())
        return seen, agreed / max(seen, 1)

    def roughness(self, encoding: DepthEncoding) -> float:
        """Share of neighbouring measured pixels whose depths differ by more than a quarter."""
        jumps = count = 0
        for raw in self.raw.values():
            z = encoding.metres(raw, self.recording.invalid)
            left, right = z[:, :-1], z[:, 1:]
            both = (left > 0) & (right > 0)
            near = np.minimum(left, right)[both]
            jumps += int((np.abs(left - right)[both] > JUMP * near).sum())
            count += len(near)
        return jumps / max(count, 1)

    def coverage(self, encoding: DepthEncoding) -> float:
        """Share of the measured pixels that lie within the depth range."""
        measured = inside = 0
        for index, raw in self.raw.items():
            measured += int((encoding.metres(raw, self.recording.invalid) > 0).sum())
            inside += int((self.depth(index, encoding) > 0).sum())
        return inside / measured if measured else -1.0


def reduced(raw: np.ndarray, camera: Intrinsics) -> tuple[np.ndarray, Intrinsics]:
    """Every n-th pixel of a depth image and the camera of those pixels."""
    step = -(-max(raw.shape) // GRID)
    small = np.ascontiguousarray(raw[step // 2 :: step, step // 2 :: step])
    height, width = small.shape
    shift = step // 2
    return small, Intrinsics(
        width, height, camera.fx / step, camera.fy / step, (camera.cx - shift) / step, (camera.cy - shift) / step
    )


def pairs(poses: np.ndarray) -> list[tuple[int, int]]:
    """Views to compare: for some places on the path the partner that looks the same way from about 0.3 m aside."""
    chosen = set()
    for anchor in np.unique(np.rint(np.linspace(0, len(poses) - 1, ANCHORS)).astype(int)):
        away = np.linalg.norm(poses[:, :3, 3] - poses[anchor, :3, 3], axis=1)
        same_way = poses[:, :3, 2] @ poses[anchor, :3, 2] > np.cos(np.radians(45))
        score = np.abs(np.log(np.maximum(away, 1e-6) / IDEAL_BASELINE))
        score[~same_way | (away < 0.005) | (away > 3.0)] = np.inf
        partner = int(np.argmin(score))
        if np.isfinite(score[partner]):
            chosen.add((min(int(anchor), partner), max(int(anchor), partner)))
    return sorted(chosen)


def _look_up(points: np.ndarray, depth: np.ndarray, camera: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    points = points[points[:, 2] > 0.05]
    pixel = np.rint(camera.project(points)).clip(-1, 1e6).astype(int)
    inside = (pixel >= 0).all(axis=1) & (pixel[:, 0] < camera.width) & (pixel[:, 1] < camera.height)
    expected, pixel = points[inside, 2], pixel[inside]
    found = depth[pixel[:, 1], pixel[:, 0]]
    return expected[found > 0], found[found > 0]


def check(probe: Probe) -> tuple[list[Frame], list[str]]:
    """Refuse an encoding that makes no sense.

    Returns:
        The frames, their poses inverted where the files evidently hold world-to-camera matrices and the layout is
        known with both; and sentences for the person.

    Raises:
        UserError: no depth within range, or another encoding explains the images clearly better.
    """
    frames, encoding = probe.frames, probe.encoding
    poses = [frame.camera_to_world for frame in frames]
    seen, share = probe.agreement(encoding, poses)
    coverage = probe.coverage(encoding)
    if probe.recording.poses_may_be_inverse and share < GOOD:
        inverse = [np.linalg.inv(pose) for pose in poses]
        seen_inverse, share_inverse = probe.agreement(encoding, inverse)
        if seen_inverse >= MIN_OVERLAP and share_inverse > max(GOOD, CLEARLY_BETTER * share):
            note = (
                "The pose files hold world-to-camera matrices (neighbouring views agree only so); they were inverted."
            )
            turned = [replace(frame, camera_to_world=pose) for frame, pose in zip(frames, inverse, strict=True)]
            probe.frames = turned
            return turned, [note]
    if coverage < 0:
        _require_any_depth(probe)
        return frames, []
    proven = seen >= MIN_OVERLAP
    if proven and share >= FINE:
        return frames, []
    if proven:
        _check_poses(probe, poses, share)
    best, best_share = _best(probe, poses)
    refuted = best is not None and best_share > max(GOOD, CLEARLY_BETTER * share)
    if coverage < LOST or (coverage < HIDDEN and refuted):
        wrong = f"only {coverage:.1%} of the values lie within the depth range"
        raise _refusal(encoding, wrong, best if refuted else None, best_share)
    if probe.roughness(encoding) > ROUGH and share < GOOD:
        wrong = "the values jump between neighbouring pixels"
        raise _refusal(encoding, wrong, best if refuted else None, best_share)
    if proven and refuted:
        raise _refusal(encoding, f"only {share:.0%} of the points seen from two views agree", best, best_share)
    if proven and share < DOUBTFUL:
        doubt = f"Neighbouring views agree on only {share:.0%} of their depth: poses or the depth unit may be wrong."
        return frames, [doubt]
    return frames, []


def _check_poses(probe: Probe, poses: list[np.ndarray], share: float) -> None:
    """Refuse poses of which another reading explains the images clearly better. Raises UserError."""
    for reading, reread in READINGS.items():
        seen, other = probe.agreement(probe.encoding, [reread(pose) for pose in poses])
        if seen >= MIN_OVERLAP and other > max(GOOD, CLEARLY_BETTER * share):
            sentence = (
                f"Neighbouring views agree on only {share:.0%} of their depth; with the poses read as '{reading}' they "
                f"agree on {other:.0%}, so set the poses to '{reading}'."
            )
            raise UserError("pose_reading", sentence)


def _require_any_depth(probe: Probe) -> None:
    for frame in probe.frames:
        try:
            if frame.depth().any():
                return
        except UserError:
            continue
    raise UserError("no_depth", "All depth images of the capture are empty; Clickfield needs measured depth.")


def _best(probe: Probe, poses: list[np.ndarray]) -> tuple[DepthEncoding | None, float]:
    """The alternative on which most points agree, among those that are smooth and see enough of the scene."""
    best, best_share = None, 0.0
    for candidate in ALTERNATIVES:
        same = candidate.rotated == probe.encoding.rotated and abs(candidate.scale / probe.encoding.scale - 1) < 1e-3
        if same or (candidate.rotated and any(raw.dtype != np.uint16 for raw in probe.raw.values())):
            continue
        if probe.coverage(candidate) < SHOWN or probe.roughness(candidate) > ROUGH:
            continue
        seen, share = probe.agreement(candidate, poses)
        if seen >= MIN_OVERLAP and share > best_share:
            best, best_share = candidate, share
    return best, best_share


def _refusal(encoding: DepthEncoding, wrong: str, best: DepthEncoding | None, share: float) -> UserError:
    remedy = f"set the depth encoding ({HELP}) or the depth range"
    if best:
        remedy = f"read as '{best.name}', {share:.0%} of the points agree, so set the depth encoding to '{best.name}'"
    return UserError(
        "depth_encoding", f"The depth images make no sense when read as '{encoding.name}': {wrong}; {remedy}."
    )
