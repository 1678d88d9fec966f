"""Simulated users: where they click, what they never see, and that a seed fixes everything."""

import numpy as np
import pytest

from backend.captures.capture import Frame, Intrinsics
from backend.evaluation.users import ASKED, PROTOCOLS, User

SIZE = (60, 40)
CAMERA = Intrinsics(*SIZE, 50.0, 50.0, 30.0, 20.0)


class Maps:
    """Truth in memory."""

    def __init__(self, maps):
        self.maps = maps

    def __contains__(self, name):
        return name in self.maps

    def of(self, name):
        return self.maps[name]


def world(count=6, seed=0):
    """Frames of a floor 1 with a box 2 that wanders and a small thing 3 on some; the last one has no truth."""
    maps = {}
    for k in range(count):
        labels = np.ones(SIZE[::-1], np.uint16)
        labels[:6] = 0
        labels[12:28, 5 + 4 * k : 25 + 4 * k] = 2
        if k % 2:
            labels[32:36, 40:48] = 3
        maps[f"f{k}"] = labels
    names = [*maps, "blind"]
    return [Frame(name, None, CAMERA, CAMERA, np.eye(4), None, None) for name in names], Maps(maps)


def all_floor(frame):
    return np.ones(SIZE[::-1], np.uint16)


def unsure(measure):
    def look(frame):
        values = np.zeros(SIZE[::-1], np.float32)
        values[10:14, 10:50] = 1.0
        return values

    return look


def play(protocol, seed, count=30, labels=all_floor):
    frames, truth = world()
    user = User(frames, truth, protocol, seed)
    user.first_clicks()
    while len(user.clicks) < count and user.next_click(labels, unsure) is not None:
        pass
    return user.clicks, truth


def test_first_clicks_are_one_per_class_deep_inside():
    frames, truth = world()
    clicks = User(frames, truth, seed=3).first_clicks()
    assert [click.label for click in clicks] == [1, 2, 3]
    for click in clicks:
        around = truth.of(click.frame)[click.v - 1 : click.v + 2, click.u - 1 : click.u + 2]
        assert (around == click.label).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_seed_fixes_all_clicks_and_seeds_differ(protocol):
    assert play(protocol, 1)[0] == play(protocol, 1)[0]
    assert play(protocol, 1)[0] != play(protocol, 2)[0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_answers_are_true_and_never_on_the_same_spot(protocol):
    clicks, truth = play(protocol, 0)
    assert len(clicks) > 10
    for turn, click in enumerate(clicks):
        assert click.frame in truth and truth.of(click.frame)[click.v, click.u] == click.label != 0
        for old in clicks[3:turn] if turn >= 3 else ():
            far = max(abs(old.u - click.u), abs(old.v - click.v)) > ASKED
            assert old.frame != click.frame or far


@pytest.mark.parametrize("protocol", ["largest-error", "random-error"])
def test_corrections_land_in_wrong_pixels(protocol):
    clicks, _ = play(protocol, 0)
    assert {click.label for click in clicks[3:]} <= {2, 3}  # where all is called floor, only these are wrong


def test_largest_error_clicks_the_middle_of_the_largest_mistake():
    clicks, truth = play("largest-error", 0, count=4)
    click = clicks[3]
    columns = np.flatnonzero((truth.of(click.frame) == 2).any(axis=0))
    assert click.label == 2 and 15 <= click.v <= 24 and columns[0] + 3 < click.u < columns[-1] - 3


def test_nobody_clicks_when_nothing_is_wrong():
    frames, truth = world()
    user = User(frames, truth, "largest-error")
    assert user.next_click(lambda frame: truth.of(frame.name)) is None


def test_queries_ask_where_the_engine_is_unsure():
    clicks, _ = play("queries-entropy", 0, count=8)
    assert all(10 <= click.v < 14 and 10 <= click.u < 50 for click in clicks[3:])
