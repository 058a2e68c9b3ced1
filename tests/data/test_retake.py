"""Takes of sampled recordings: coded again, cached, drawn by (seed, epoch, index)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data import Braille, Retake, SeriesAugment, send_on_delta
from snnkit.errors import ParameterError

NONE = {"stretch": 0.0, "shift": 0.0, "gain": 0.0, "noise": 0.0, "phase": 0.0}


def walk(seed, steps=40, channels=5):
    return np.random.default_rng(seed).normal(0, 3.0, (steps, channels)).cumsum(0)


@given(st.integers(0, 10_000), st.floats(0.5, 8.0))
def test_a_take_without_changes_is_the_recording(seed, threshold):
    x = walk(seed)
    taken = Retake(**NONE).take(x, threshold, 10, np.random.default_rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip(taken, send_on_delta(x, threshold, 10)))


@given(
    st.builds(
        Retake,
        stretch=st.floats(0, 0.5),
        shift=st.floats(0, 10.0),
        gain=st.floats(0, 1.0),
        noise=st.floats(0, 2.0),
        phase=st.floats(0, 3.0),
    ),
    st.integers(0, 1000),
)
def test_takes_are_recordings(retake, seed):
    t, x, y, p = retake.take(walk(seed), 2.0, 10, np.random.default_rng(seed))
    assert len(t) == len(x) == len(y) == len(p)
    assert (np.diff(t) >= 0).all()
    assert not len(t) or (t[0] >= 0 and t[-1] < 400 and x.min() >= 0 and x.max() < 5 and p.max() <= 1)
    again = retake.take(walk(seed), 2.0, 10, np.random.default_rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip((t, x, y, p), again))


def test_phase_moves_events_and_stays_within_a_threshold_of_the_signal():
    x = walk(3)
    own = send_on_delta(x, 2.0, 1)
    others = [Retake(**NONE | {"phase": 1.0}).take(x, 2.0, 1, np.random.default_rng(s)) for s in range(20)]
    assert sum(len(o[0]) != len(own[0]) or not np.array_equal(o[0], own[0]) for o in others) >= 18
    for t, channel, _, p in others:
        moved = np.zeros(x.shape)
        np.add.at(moved, (t, channel), np.where(p > 0, 2.0, -2.0))
        # Both the start of the reference and the code are less than one threshold off.
        assert np.abs(x[0] + moved.cumsum(0) - x).max() < 4.0


def test_a_gain_sends_events_in_proportion():
    x = walk(5) * 20
    counts = [len(Retake(**NONE | {"gain": 0.5}).take(x, 1.0, 1, np.random.default_rng(s))[0]) for s in range(60)]
    own = len(send_on_delta(x, 1.0, 1)[0])
    assert 0.5 <= min(counts) / own < 0.6
    assert 1.4 < max(counts) / own <= 1.5


@pytest.mark.parametrize("settings", [{"count": 0}, {"stretch": 1.0}, {"gain": -0.1}, {"noise": -1.0}, {"phase": 1e4}])
def test_ranges_are_checked(settings):
    with pytest.raises(ParameterError, match="retake"):
        Retake(**settings)


def test_training_draws_takes_and_other_parts_do_not(shared_dir, tmp_path):
    root = str(shared_dir / "data/braille_tactile")

    def module(seed=0):
        augment = SeriesAugment(retake=Retake(count=2))
        made = Braille(root, T=76, binary=False, progress=False, augment=augment, seed=seed, cache_dir=str(tmp_path))
        made.setup()
        return made

    one = module()
    train = one.dataset("train", augment=True)
    assert train.takes is not None
    assert np.array_equal(train.takes.labels[2 * train.indices], train.labels)
    index = 400
    seen = [train[(epoch, index)][0] for epoch in range(20)]
    own = one.dataset("train")[index][0]
    kinds = {x.tobytes() for x in seen}
    assert own.tobytes() in kinds
    assert len(kinds) == 3
    same = module().dataset("train", augment=True)
    assert all(np.array_equal(same[(epoch, index)][0], x) for epoch, x in enumerate(seen))
    other = module(seed=1).dataset("train", augment=True)
    assert any(not np.array_equal(other[(epoch, index)][0], x) for epoch, x in enumerate(seen))
    assert len(list(tmp_path.glob("braille-takes-*"))) == 1
    assert one.dataset("validation", augment=False).takes is None


def test_recordings_of_events_cannot_be_taken_again(shared_dir, tmp_path):
    spikes = (shared_dir / "data/braille_tactile/valid_shd_layout.h5").read_bytes()
    for name in ("train", "valid"):
        (tmp_path / f"{name}.h5").write_bytes(spikes)
    module = Braille(str(tmp_path), progress=False, augment=SeriesAugment(retake=Retake()), cache_dir=str(tmp_path))
    module.setup()
    with pytest.raises(ParameterError, match="cannot be taken again"):
        module.dataset("train", augment=True)
