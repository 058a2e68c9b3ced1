"""Augmentation beyond the affine map: time, places left out, polarity, noise, refractory time, mixing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data import Augment, SaccadeDigits
from snnkit.data.augment import augment_columns
from snnkit.data.changes import mixed, refractory
from snnkit.data.draws import keyed_rng

SIZE = (12, 10)


def recording(seed=0, n=4000, last=100_000):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, last, n)).astype(np.uint32)
    return (t, *(rng.integers(0, high, n).astype(np.uint8) for high in (*SIZE, 2)))


def apply(augment, seed=0, columns=None):
    return augment_columns(*(columns or recording()), SIZE, augment, keyed_rng(seed, 1, 0, 0))


def test_flips_mirror_columns_and_rows():
    t, x, y, p = recording()
    got = apply(Augment(flip_x=1.0, flip_y=1.0))
    for a, b in zip(got, (t, 11 - x, 9 - y, p)):
        assert np.array_equal(a, b)
    assert {int(apply(Augment(flip_x=0.5), s)[1][0]) for s in range(20)} == {int(x[0]), 11 - int(x[0])}


def test_crop_keeps_a_window():
    for seed in range(20):
        t, x, y, _ = apply(Augment(crop=0.5), seed)
        x0, y0 = recording()[1:3]
        inside = (x0 >= x.min()) & (x0 <= x.max()) & (y0 >= y.min()) & (y0 <= y.max())
        assert len(t) == inside.sum()  # all events of the window, and no others
        assert np.ptp(x) + 1 >= 6
        assert np.ptp(y) + 1 >= 5


def test_time_scale_multiplies_times_and_keeps_the_rest():
    factors = []
    for seed in range(30):
        t, *rest = apply(Augment(time_scale=0.3), seed)
        for a, b in zip(rest, recording()[1:]):
            assert np.array_equal(a, b)
        factors.append(t[-1] / recording()[0][-1])
        assert np.abs(t - recording()[0] * factors[-1]).max() < 2
    assert 0.69 < min(factors) < 0.85
    assert 1.15 < max(factors) < 1.31


def test_jitter_moves_events_in_time_alone_and_sorts_them():
    t, x, y, p = recording()
    jt, jx, jy, jp = apply(Augment(jitter_us=2000))
    assert (np.diff(jt) >= 0).all()
    assert jt.min() >= 0
    cells = lambda x, y, p: np.bincount((p.astype(int) * 10 + y) * 12 + x, minlength=240)  # noqa: E731
    assert np.array_equal(cells(x, y, p), cells(jx, jy, jp))
    far = np.sort(jt) - t  # each sorted time is at most the largest jitter away
    assert 100 < np.abs(far).max() < 12_000


def test_a_stretch_of_time_or_a_rectangle_is_left_out():
    for seed in range(20):
        t, *_ = apply(Augment(drop_time=0.5), seed)
        gap = np.diff(t.astype(int), prepend=0, append=100_000).max()
        assert len(recording()[0]) - len(t) == pytest.approx(gap / 100_000 * 4000, abs=150)
        _, x, y, _ = apply(Augment(drop_area=0.8), seed)
        left = np.zeros((10, 12), bool)
        left[y, x] = True
        rows, columns = np.flatnonzero(~left.all(1)), np.flatnonzero(~left.all(0))
        assert (~left).sum() == len(rows) * len(columns)
        assert (~left).sum() <= 0.65 * 120


def test_one_kind_of_dropping_at_a_time():
    augment = Augment(drop=0.5, drop_time=0.5, drop_area=0.5, drop_one=True)
    kinds = set()
    for seed in range(40):
        t, x, y, _ = apply(augment, seed)
        left = np.zeros((10, 12), bool)
        left[y, x] = True
        gap = np.diff(t.astype(int), prepend=0, append=100_000).max() > 2000
        kinds.add(("area", gap) if not left.all() else ("some", gap) if len(t) < 4000 else ("none", gap))
    assert kinds == {("area", False), ("some", False), ("some", True), ("none", False)}


def test_polarities_change_places():
    assert np.array_equal(apply(Augment(swap_polarity=1.0))[3], 1 - recording()[3])
    assert {int(apply(Augment(swap_polarity=0.5), s)[3][0]) for s in range(20)} == {0, 1}


def test_noise_is_added_evenly_and_in_order():
    more = []
    for seed in range(60):
        t, x, y, p = apply(Augment(noise_hz=200), seed)
        more.append(len(t) - 4000)
        assert (np.diff(t.astype(int)) >= 0).all()
        assert (int(x.max()), int(y.max()), int(p.max())) == (11, 9, 1)
    assert np.mean(more) == pytest.approx(0.5 * 200 * 120 * 0.1, rel=0.2)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), max_size=40), st.integers(1, 30))
def test_refractory_time_counts_from_the_last_event_kept(events, us):
    events = sorted(events, key=lambda e: e[0])
    t, x = (np.array([e[k] for e in events], np.int64) for k in (0, 1))
    last: dict[int, int] = {}
    want = []
    for when, where in events:
        keep = where not in last or when - last[where] >= us
        if keep:
            last[where] = when
        want.append(keep)
    assert refractory(t, x, np.zeros_like(x), 3, us).tolist() == want


def test_mixing_adds_a_share_of_another_recording():
    a, b = recording(0), recording(1, 2000)
    t, x, y, p = mixed(a, b, 0.25, np.random.default_rng(0))
    assert (np.diff(t.astype(int)) >= 0).all()
    assert len(t) - 4000 == pytest.approx(500, abs=80)
    assert len(x) == len(y) == len(p) == len(t)


EVERYTHING = Augment(
    2.5, 12, 0.1, 0.15, 0.3, 1.0, crop=0.2, flip_x=0.5, jitter_us=500, time_scale=0.1, drop_time=0.2, drop_area=0.3,
    swap_polarity=0.5, noise_hz=2, refractory_us=1500, mix=0.3,
)  # fmt: skip


def trained_on(**settings):
    """The batches that a trainer hands to the model in one epoch."""
    import lightning as L

    from snnkit.training.callbacks import quiet

    class Listener(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization, self.seen = False, []

        def training_step(self, batch, batch_idx):
            self.seen.append((batch.x.clone(), batch.y.clone()))

        def configure_optimizers(self):
            return None

    listener = Listener()
    data = SaccadeDigits(batch_size=10, T=3, subset=20, augment=EVERYTHING, **settings)
    with quiet():
        L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
                  enable_model_summary=False, limit_val_batches=0).fit(listener, datamodule=data)  # fmt: skip
    return listener.seen


def test_the_device_makes_the_loaders_frames_with_any_number_of_workers():
    first = trained_on(representation="voxel")
    assert len(first) == 2
    for settings in ({"frames_on": "device"}, {"frames_on": "device", "num_workers": 1}):
        other = trained_on(representation="voxel", **settings)
        assert all(torch.equal(a, b) for one, two in zip(first, other, strict=True) for a, b in zip(one, two))
