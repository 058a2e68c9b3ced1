"""FollowDigit: the eye's pixels against a plain loop, windows and cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data import FollowDigit
from snnkit.data.augment import Augment
from snnkit.data.follow_digit import windows as w
from snnkit.data.follow_digit.eye import CENTRE, Eye, EyeSettings, to_position
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.saccade_digits.motion import POSITION_ONE, SENSOR
from snnkit.errors import ParameterError

QUIET = EyeSettings(noise_hz=0)
DIGIT = np.pad(np.full((1, 4, 4), 16), ((0, 0), (2, 2), (2, 2)))


def test_pixels_follow_the_rule_one_by_one() -> None:
    images = np.concatenate([DIGIT, DIGIT // 2])
    path = to_position(np.stack([np.linspace([0.0, 0.0], [6.0, -3.0], 5), np.linspace([2.0, 1.0], [-4.0, 4.0], 5)], 1))
    eye = Eye(images, np.arange(2), path[0], seed=3, settings=QUIET)
    memory = eye._memory.astype(int).copy()
    off, on = eye.theta.astype(int)
    events = eye.look(path[1:])
    for k, at in enumerate(path[1:]):
        light = eye._log_intensity(at).astype(int)
        for b in range(2):
            for y in range(0, SENSOR, 3):
                for x in range(0, SENSOR, 3):
                    change, sent = light[b, y, x] - memory[b, y, x], [False, False]
                    while change >= on[y, x]:
                        change, sent = change - on[y, x], [False, True]
                    while change <= -off[y, x]:
                        change, sent = change + off[y, x], [True, False]
                    memory[b, y, x] = light[b, y, x] - change
                    assert events[k, b, :, y, x].tolist() == sent
    assert events.any(axis=(0, 2, 3, 4)).all()


def test_the_digit_is_where_the_offset_says() -> None:
    eye = Eye(np.repeat(DIGIT, 3, 0), np.arange(3), to_position(np.array([[0.0, 0.0], [5.0, 0.0], [0.0, -4.0]])))
    light = eye._log_intensity(to_position(np.array([[0.0, 0.0], [5.0, 0.0], [0.0, -4.0]]))).astype(float)
    at = np.arange(SENSOR) - CENTRE / POSITION_ONE
    for image, want in zip(light, ((0, 0), (5, 0), (0, -4))):
        x, y = (image.sum(0) * at).sum() / image.sum(), (image.sum(1) * at).sum() / image.sum()
        assert (round(x, 1), round(y, 1)) == want


def test_a_resting_digit_sends_nothing_and_parts_of_a_look_are_the_look() -> None:
    path = to_position(np.linspace([[0.0, 0.0]], [[4.0, 4.0]], 21)[1:])
    whole = Eye(DIGIT, np.array([7]), path[0], 1, QUIET).look(path)
    eye = Eye(DIGIT, np.array([7]), path[0], 1, QUIET)
    assert np.array_equal(whole, np.concatenate([eye.look(path[:9]), eye.look(path[9:])]))
    assert not eye.look(np.repeat(path[-1:], 5, 0)).any()


def test_draws_have_their_keys() -> None:
    path = np.zeros((20, 2, 2), np.int64)
    both = Eye(np.repeat(DIGIT, 2, 0), np.array([4, 9]), path[0]).look(path)
    alone = Eye(DIGIT, np.array([9]), path[0, :1]).look(path[:, :1])
    assert np.array_equal(both[:, 1:], alone)
    assert not np.array_equal(both[:, 0], both[:, 1])
    per_second = both.mean() * 1000
    assert 1.5 < per_second < 2.5  # noise_hz


@given(st.lists(st.tuples(st.floats(-17, 17), st.floats(-17, 17)), min_size=1, max_size=20))
def test_cells_are_the_nearest_place(points: list[tuple[float, float]]) -> None:
    p = np.array(points)
    cells = w.cell_of(p)
    assert ((cells >= 0) & (cells < len(w.FollowDigitSource.classes))).all()
    distance = np.abs(p[:, :, None] - np.array(w.PLACES)).min(-1)
    assert np.allclose(np.abs(w.place_of(cells) - p), distance)
    assert np.array_equal(w.cell_of(w.place_of(cells)), cells)


def test_windows() -> None:
    data = FollowDigit(sizes=(30, 20, 25), batch_size=8)
    assert data.input_shape == (2, SENSOR, SENSOR)
    assert (data.T, data.num_classes, data.dt_us) == (10, 121, 2000)
    x, y = data.dataset("test")[3]
    assert set(np.unique(x)) == {0, 1}
    index = data.source.indices("test")[3]
    _, path = w.scene(np.array([index]), 360, 0)
    assert y == w.cell_of(path[3])[0]
    again, other = FollowDigit(sizes=(30, 20, 25)), FollowDigit(sizes=(30, 20, 25), data_seed=1)
    assert data.digest == again.digest != other.digest
    with pytest.raises(ParameterError, match="augment"):
        data.source.dataset("train", FrameSettings(T=10), Augment(shift_px=1))
    with pytest.raises(ParameterError, match="sizes"):
        FollowDigit(sizes=(0, 1, 1))
