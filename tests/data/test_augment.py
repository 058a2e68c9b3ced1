from __future__ import annotations

import numpy as np
import pytest

from snnkit.data import Augment
from snnkit.data.augment import augment_columns, elastic_field
from snnkit.data.draws import keyed_rng
from snnkit.errors import ParameterError


def grid(width=34, height=34):
    y, x = np.divmod(np.arange(width * height), width)
    n = len(x)
    return np.arange(n, dtype=np.uint32), x.astype(np.uint8), y.astype(np.uint8), (np.arange(n) % 2).astype(np.uint8)


def apply(settings, seed=0, columns=None, size=(34, 34)):
    columns = columns or grid(*size)
    return augment_columns(*columns, size, settings, keyed_rng(seed, 1, 0, 0))


def test_all_ranges_zero_change_nothing():
    assert not Augment().active
    for got, want in zip(apply(Augment()), grid()):
        assert np.array_equal(got, want)


def test_shift_moves_every_event_by_the_same_whole_pixels():
    for seed in range(8):
        t, x, y, _ = apply(Augment(shift_px=3), seed)
        _, x0, y0, _ = grid()
        assert len({*(x - x0[t].astype(int)).tolist()}) == 1
        assert len({*(y - y0[t].astype(int)).tolist()}) == 1
        assert abs(int(x[0]) - int(x0[t[0]])) <= 3


def test_rotation_turns_about_the_centre_and_keeps_distances():
    for seed in range(8):
        t, x, y, _ = apply(Augment(rotate_deg=30), seed)
        _, x0, y0, _ = (c.astype(float)[t] for c in grid())
        before, after = np.hypot(x0 - 16.5, y0 - 16.5), np.hypot(x - 16.5, y - 16.5)
        assert np.abs(before - after).max() < 0.75  # rounding to pixels moves an event by up to 0.71
        far = before > 10
        turn = np.angle(np.exp(1j * (np.arctan2(y - 16.5, x - 16.5) - np.arctan2(y0 - 16.5, x0 - 16.5))))[far]
        assert np.ptp(turn) < 0.2
        assert np.abs(turn.mean()) <= np.radians(30)


def test_scale_is_about_the_centre():
    seen = []
    for seed in range(8):
        t, x, _, _ = apply(Augment(scale=0.2), seed)
        _, x0, _, _ = (c.astype(float)[t] for c in grid())
        far = np.abs(x0 - 16.5) > 10
        seen.append(float(((x - 16.5)[far] / (x0 - 16.5)[far]).mean()))
    assert 0.79 < min(seen) < 0.95
    assert 1.05 < max(seen) < 1.21


def test_shear_shifts_rows_in_proportion():
    t, x, y, _ = apply(Augment(shear=0.3), 1)
    _, x0, y0, _ = (c.astype(float)[t] for c in grid())
    assert np.array_equal(y, y0)
    slope = np.polyfit(y0 - 16.5, x - x0, 1)[0]
    assert 0.01 < abs(slope) < 0.31


def test_drop_leaves_out_the_share_that_was_drawn():
    kept = [len(apply(Augment(drop=0.4), seed)[0]) / 1156 for seed in range(30)]
    assert min(kept) > 0.55
    assert max(kept) > 0.9
    assert 0.72 < np.mean(kept) < 0.88


def test_events_stay_on_the_sensor_in_order_of_time():
    columns = tuple(np.repeat(c, 4) for c in grid(20, 12))
    for seed in range(20):
        t, x, y, p = apply(Augment(5, 40, 0.5, 0.5, 0.5), seed, columns, (20, 12))
        assert x.min() >= 0
        assert x.max() < 20
        assert y.min() >= 0
        assert y.max() < 12
        assert (np.diff(t.astype(int)) >= 0).all()
        assert len(t) == len(x) == len(p)


def test_the_draw_depends_on_the_generator_alone():
    a, b, c = apply(Augment.nmnist(), 3), apply(Augment.nmnist(), 3), apply(Augment.nmnist(), 4)
    assert all(np.array_equal(u, v) for u, v in zip(a, b))
    assert len(a[0]) != len(c[0]) or not np.array_equal(a[1], c[1])


@pytest.mark.parametrize("bad", [{"drop": 1.0}, {"shift_px": -1}, {"scale": 1.0}, {"rotate_deg": float("nan")}])
def test_impossible_ranges_are_refused(bad):
    with pytest.raises(ParameterError, match=next(iter(bad))):
        Augment(**bad)


def test_elastic_field_is_smooth_and_as_strong_as_asked():
    fields = np.stack([elastic_field((34, 20), 1.5, keyed_rng(seed, 1, 0, 0)) for seed in range(400)])
    assert fields.shape == (400, 2, 20, 34)
    assert np.sqrt((fields**2).mean()) == pytest.approx(1.5, rel=0.05)
    assert abs(fields.mean()) < 0.1
    for axis in (2, 3):  # neighbouring pixels shift alike
        assert np.sqrt((np.diff(fields, axis=axis) ** 2).mean()) < 0.35


def test_elastic_shifts_events_by_the_field_of_their_pixel():
    settings = Augment(elastic_px=1.0)
    columns = grid()
    rng = keyed_rng(5, 1, 0, 0)
    rng.uniform(-1.0, 1.0, 6)
    field = elastic_field((34, 34), 1.0, rng)
    t, x, y, _ = apply(settings, 5)
    x0, y0 = columns[1][t].astype(int), columns[2][t].astype(int)
    assert np.abs(x - (x0 + field[0, y0, x0])).max() <= 0.501
    assert np.abs(y - (y0 + field[1, y0, x0])).max() <= 0.501
