"""One-dimensional recordings: send on delta, the cochlea-like encoder, augmentation, Braille and spoken digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data import FSDD, Braille, Cochlea, FrameSettings, SeriesAugment, open_source, send_on_delta
from snnkit.data.fsdd.cochlea import mel_filters
from snnkit.data.splits import stratified_draw
from snnkit.encoding import encode_delta
from snnkit.errors import ParameterError

series = st.builds(
    lambda seed, steps, channels, scale: np.round(
        np.random.default_rng(seed).normal(0, scale, (steps, channels)).cumsum(0), 3
    ),
    st.integers(0, 10_000),
    st.integers(1, 30),
    st.integers(1, 5),
    st.floats(0.1, 20.0),
)


@given(series, st.floats(0.1, 5.0))
def test_send_on_delta_is_the_delta_code(x, threshold):
    t, channel, y, p = send_on_delta(x, threshold, 10)
    counts = np.zeros((len(x), 2, x.shape[1]))
    np.add.at(counts, (t // 10, p, channel), 1)
    code = encode_delta(torch.from_numpy(x)[:, None], threshold, counts=True)[:, 0]
    assert np.array_equal(counts, code.numpy())
    assert not y.any()
    assert (np.diff(t) >= 0).all()


@given(series, st.floats(0.1, 5.0))
def test_events_follow_the_signal_within_a_threshold(x, threshold):
    t, channel, _, p = send_on_delta(x, threshold, 1)
    moved = np.zeros(x.shape)
    np.add.at(moved, (t, channel), np.where(p > 0, threshold, -threshold))
    assert np.abs(x[0] + moved.cumsum(0) - x).max() < threshold * (1 + 1e-9)


def test_send_on_delta_refuses_what_it_cannot_code():
    for x, threshold in ((np.zeros((3, 2)), 0.0), (np.zeros(3), 1.0), (np.full((3, 2), np.nan), 1.0)):
        with pytest.raises(ParameterError):
            send_on_delta(x, threshold, 10)


def test_a_tone_is_loudest_in_its_own_band():
    bands, rate = 40, 8000
    filters = mel_filters(bands, 256, rate)
    assert np.allclose(filters.sum(1), 1)
    assert (filters >= 0).all()
    centres = filters.argmax(1) * rate / 256
    assert (np.diff(centres) >= 0).all()
    for hertz in (250, 700, 1500, 3000):
        sound = 0.5 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)
        levels = Cochlea().levels(sound, rate)
        band = int(levels[20:80].mean(0).argmax())
        assert abs(centres[band] - hertz) <= 0.15 * hertz + rate / 256
        assert len(levels) == 101


def test_a_louder_recording_gives_the_same_events_and_silence_none():
    sound = np.random.default_rng(0).normal(0, 0.1, 4000) * np.hanning(4000)
    one, two = Cochlea().encode(sound, 8000), Cochlea().encode(4 * sound, 8000)
    assert all(np.array_equal(a, b) for a, b in zip(one, two))
    assert len(one[0]) > 100
    assert len(Cochlea().encode(np.zeros(4000), 8000)[0]) == 0


@pytest.mark.parametrize(
    "settings", [{"bands": 0}, {"threshold": 0.0}, {"floor": 0.0}, {"hop_us": 0}, {"frame_us": 5_000}]
)
def test_settings_of_the_encoder_are_checked(settings):
    with pytest.raises(ParameterError):
        Cochlea(**settings)


def columns(seed, n=300, width=40):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 700_000, n))
    return t, rng.integers(0, width, n), np.zeros(n, np.int64), rng.integers(0, 2, n)


@given(
    st.builds(
        SeriesAugment,
        shift_us=st.floats(0, 1e5),
        stretch=st.floats(0, 0.5),
        band_shift=st.integers(0, 10),
        gain=st.floats(0, 1),
        blanks=st.integers(0, 3),
        blank_width=st.integers(1, 10),
        gaps=st.integers(0, 3),
        gap_us=st.floats(0, 2e5),
        jitter_us=st.floats(0, 1e4),
        window_us=st.sampled_from([None, 600_000]),
    ),
    st.integers(0, 1000),
)
def test_augmented_recordings_are_recordings(augment, seed):
    before = columns(seed)
    t, x, y, p = augment.apply(before, (40, 1), np.random.default_rng(seed))
    assert len(t) == len(x) == len(y) == len(p) <= 2 * len(before[0])
    assert (np.diff(t) >= 0).all()
    assert not len(t) or (t[0] >= 0 and x.min() >= 0 and x.max() < 40 and p.max() <= 1)
    assert augment.window_us is None or not len(t) or t[-1] < augment.window_us
    again = augment.apply(before, (40, 1), np.random.default_rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip((t, x, y, p), again))


def test_each_change_does_what_it_says():
    before = columns(0)
    rng = np.random.default_rng

    def of(**settings):
        return SeriesAugment(**settings).apply(before, (40, 1), rng(5))

    assert all(np.array_equal(a, b) for a, b in zip(of(), before))
    factor, start, _ = rng(5).uniform(-1.0, 1.0, 3)
    assert np.array_equal(of(stretch=0.2)[0], np.floor(before[0] * (1 + 0.2 * factor) + 0.5))
    shifted = np.floor(before[0] + 1e5 * start + 0.5)
    assert np.array_equal(of(shift_us=1e5)[0], shifted[shifted >= 0])
    wide = [SeriesAugment(band_shift=3).apply(before, (80, 1), rng(s))[1] for s in range(60)]
    moves = {int((x - before[1])[0]) for x in wide if len(x) == len(before[1])}
    assert {0, 1, 2, 3} <= moves
    counts = [len(SeriesAugment(gain=0.5).apply(before, (40, 1), rng(s))[0]) / 300 for s in range(200)]
    assert abs(np.mean(counts) - 1) < 0.05
    assert min(counts) < 0.6
    assert max(counts) > 1.4
    left = {*of(blanks=5, blank_width=8)[1]}
    assert left <= {*before[1]}
    lengths = set()
    for seed in range(60):
        t = SeriesAugment(gaps=1, gap_us=2e5).apply(before, (40, 1), rng(seed))[0]
        kept = np.isin(before[0], t)
        silent = before[0][~kept]
        assert kept.sum() == len(t)
        if len(silent):
            assert silent[-1] - silent[0] <= 2e5
            assert not kept[(before[0] >= silent[0]) & (before[0] <= silent[-1])].any(), "one gap"
        lengths.add(len(silent) // 20)
    assert {0, 1, 2, 3} <= lengths, "no gap, short ones and long ones"


@pytest.mark.parametrize(
    "settings", [{"stretch": 1.0}, {"gain": -0.1}, {"blanks": -1}, {"blank_width": 0}, {"gaps": -1}, {"window_us": 0}]
)
def test_ranges_of_augmentation_are_checked(settings):
    with pytest.raises(ParameterError, match="augmentation"):
        SeriesAugment(**settings)


def test_readings_become_the_events_of_the_shared_container(shared_dir, tmp_path):
    """The spikes of the container were made from the same readings by others."""
    folder = shared_dir / "data/braille_tactile"
    source = open_source("braille", root=folder, progress=False)
    for name in ("train", "valid"):  # two parts are needed; both are the container
        (tmp_path / f"{name}.h5").write_bytes((folder / "valid_shd_layout.h5").read_bytes())
    other = open_source("braille", root=tmp_path, progress=False)
    wanted, got = source.indices("test"), [i for i, n in enumerate(other.store.names) if n.startswith("validation/")]
    assert len(wanted) == len(got) == 135
    for i, j in zip(wanted, got):
        assert source.store.names[i] == other.store.names[j]
        assert all(np.array_equal(a, b) for a, b in zip(source.store.columns(int(i)), other.store.columns(int(j))))


@pytest.mark.parametrize(("name", "n"), [("braille", 94), ("fsdd", 48)])
def test_the_committed_validation_part_is_the_stratified_draw(shared_dir, name, n):
    root = shared_dir / "data" / {"braille": "braille_tactile", "fsdd": "fsdd_subset"}[name]
    source = open_source(name, root=root, progress=False)
    chosen = source.indices("validation")
    assert len(chosen) == n
    names = [k for k in source.store.names if k.startswith("train/")]
    own = [k.split("/", 1)[1] for k in names]
    labels = source.store.labels[[source.store.names.index(k) for k in names]]
    drawn = stratified_draw(own, labels, n, 0)
    assert {names[i] for i in drawn} == {source.store.names[i] for i in chosen}
    assert not any(source.store.names[i].startswith("train/") for i in source.indices("test"))
    counts = np.bincount(source.labels("validation"), minlength=len(source.classes))
    assert counts.max() - counts.min() <= 1


def test_modules_of_touch_and_speech(shared_dir, tmp_path):
    touch = Braille(str(shared_dir / "data/braille_tactile"), T=76, binary=False, progress=False)
    touch.setup()
    assert touch.input_shape == (2, 1, 12)
    frames, _ = touch.dataset("validation")[5]
    assert frames.sum() == len(touch.stream("validation", 5))
    speech = FSDD(str(shared_dir / "data/fsdd_subset"), T=70, binary=False, progress=False, cochlea=Cochlea(bands=32))
    speech.setup()
    assert speech.input_shape == (2, 1, 32)
    assert speech.describe()["cochlea"]["bands"] == 32
    assert next(iter(speech.val_dataloader())).x.shape == (70, 32, 2, 1, 32)


def test_events_without_polarity_have_one_channel():
    from snnkit.data.dataset import EventDataset
    from snnkit.data.store import Recording, store_in_memory

    t, x, y, _ = columns(1)
    store = store_in_memory([Recording("a", 0, t, x, y, np.ones_like(t))], (40, 1))
    frames, _ = EventDataset(store, np.array([0]), FrameSettings(T=7, binary=False), channels=1)[0]
    assert frames.shape == (7, 1, 1, 40)
    assert frames.sum() == len(t)
