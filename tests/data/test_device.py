"""The batched tensor form of augmentation and frames against the numpy form, given the same draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.data import Augment, FrameSettings
from snnkit.data.changes import apply_changes, draw_changes
from snnkit.data.device import apply_draws, collate_events, frames
from snnkit.data.draws import keyed_rng
from snnkit.errors import DataError, ParameterError

SIZE = (9, 7)
EVERYTHING = Augment(
    shift_px=2, rotate_deg=20, scale=0.2, shear=0.2, drop=0.3, elastic_px=1.0, crop=0.3, flip_x=0.5, flip_y=0.5,
    jitter_us=400, time_scale=0.2, drop_time=0.3, drop_area=0.5, swap_polarity=0.5, noise_hz=40, refractory_us=900,
)  # fmt: skip
SINGLE = {
    "nothing": Augment(),
    "affine": Augment.nmnist(),
    "elastic_px": Augment(elastic_px=2.0),
    "crop": Augment(crop=0.6),
    "flip": Augment(flip_x=0.5, flip_y=0.5),
    "jitter_us": Augment(jitter_us=3000),
    "time_scale": Augment(time_scale=0.5),
    "drop_time": Augment(drop_time=0.8),
    "drop_area": Augment(drop_area=0.9),
    "drop_one": Augment(drop=0.5, drop_time=0.5, drop_area=0.7, drop_one=True),
    "swap_polarity": Augment(swap_polarity=0.5),
    "noise_hz": Augment(noise_hz=200),
    "refractory_us": Augment(refractory_us=2000),
    "everything": EVERYTHING,
}
ALL = [
    FrameSettings(5, by, window_us=window, representation=kind, tau_us=3000, grid=grid)
    for by, window in (("time", 20_000), ("time", None), ("count", None))
    for kind in ("counts", "binary", "voxel", "time_surface")
    for grid in (None, 4)
]


def recordings(seed, sizes=(200, 0, 1, 350)):
    rng = np.random.default_rng(seed)
    out = []
    for n in sizes:
        t = np.sort(rng.integers(0, 20_000, n)).astype(np.uint32)
        x, y, p = (rng.integers(0, high, n).astype(np.uint8) for high in (*SIZE, 2))
        out.append((t, x, y, p))
    return out


def both(augment, how, seed, sizes=(200, 0, 1, 350)):
    """The frames [T, B, 2, H, W] of the numpy form and of the tensor form."""
    columns = recordings(seed, sizes)
    draws = [draw_changes(augment, c[0], SIZE, keyed_rng(seed, 1, 0, i)) for i, c in enumerate(columns)]
    want = np.stack([how.cells(apply_changes(c, d, SIZE), SIZE) for c, d in zip(columns, draws)], 1)
    batch = collate_events([(c, d, i) for i, (c, d) in enumerate(zip(columns, draws))])
    got = frames(apply_draws(batch, SIZE, augment.refractory_us), how, SIZE)
    return want, got.numpy()


def same(want, got, how):
    assert want.shape == got.shape
    if how.representation == "time_surface":
        assert np.abs(want - got).max() < 1e-6
    else:
        assert np.array_equal(want, got)


@pytest.mark.parametrize("augment", SINGLE.values(), ids=SINGLE)
def test_the_tensor_form_equals_the_numpy_form(augment):
    for seed, how in enumerate(ALL):
        same(*both(augment, how, seed), how)


@given(st.integers(0, 10_000), st.lists(st.integers(0, 40), min_size=1, max_size=5), st.sampled_from(ALL))
@settings(max_examples=60)
def test_any_batch_of_recordings(seed, sizes, how):
    same(*both(EVERYTHING, how, seed, sizes), how)


def test_without_draws_the_frames_are_those_of_the_recordings():
    columns = recordings(3)
    batch = collate_events([(c, None, 0) for c in columns])
    for how in ALL:
        got = frames(apply_draws(batch, SIZE), how, SIZE).numpy()
        same(np.stack([how.cells(c, SIZE) for c in columns], 1), got, how)


def test_the_batch_says_which_recording_an_event_belongs_to():
    batch = collate_events([(c, None, k) for k, c in enumerate(recordings(0, (2, 0, 3)))])
    assert batch.sample.tolist() == [0, 0, 2, 2, 2]
    assert batch.labels.tolist() == [0, 1, 2]


def test_nothing_waits_for_the_device():
    """On the meta device there are no values: whatever asks for one fails."""
    columns = recordings(1)
    draws = [draw_changes(EVERYTHING, c[0], SIZE, keyed_rng(0, 1, 0, i)) for i, c in enumerate(columns)]
    batch = collate_events([(c, d, 0) for c, d in zip(columns, draws)])
    move = lambda v: v.to("meta") if isinstance(v, torch.Tensor) else v  # noqa: E731
    away = batch._replace(
        **{n: move(v) for n, v in batch._asdict().items() if n != "draws"},
        draws=type(batch.draws)(*(move(v) for v in batch.draws)),
    )
    for how in ALL:
        assert frames(apply_draws(away, SIZE, 900), how, SIZE).shape == (5, 4, 2, *((4, 4) if how.grid else (7, 9)))


def test_no_samples_and_codes_are_refused():
    from snnkit.encoding import Latency

    with pytest.raises(DataError, match="without samples"):
        collate_events([])
    how = replace(FrameSettings(1), encoding=Latency(T=4))
    with pytest.raises(ParameterError, match="code"):
        frames(collate_events([(recordings(0)[0], None, 0)]), how, SIZE)
