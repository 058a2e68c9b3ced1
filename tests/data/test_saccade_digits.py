from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from snnkit.data import FrameSettings, SaccadeDigitsSource, to_frames
from snnkit.data.binning import frames_from_columns
from snnkit.data.saccade_digits import source as source_module
from snnkit.data.saccade_digits.motion import (
    BURST_MS,
    BURST_START_MS,
    DURATION_MS,
    LOG_ONE,
    PITCH,
    POSITION_ONE,
    interpolation_weights,
    log_table,
    path,
)
from snnkit.data.saccade_digits.sensor import Sensor, SensorSettings, halfwords, poisson_steps, raw_words, unpack
from snnkit.data.saccade_digits.source import committed_splits, load_images, simulate
from snnkit.data.saccade_digits.variety import varied_settings
from snnkit.errors import DataError, ParameterError

FULL_DIGEST = "d687af15605e7d575ef5f54ea05bce6e05407c1c911fa275fc942b5e1ee94ed4"


@pytest.fixture(scope="module")
def full() -> SaccadeDigitsSource:
    source = SaccadeDigitsSource()
    source.prepare()
    return source


@pytest.fixture(scope="module")
def images():
    return load_images(committed_splits()["images_sha256"])


# --- the scene -------------------------------------------------------------------------------------------------------


def test_the_path_is_three_saccades_that_close_a_triangle_about_the_centre():
    px = path() / POSITION_ONE
    assert px.shape == (316, 2)
    ends = px[[0, 105, 210, 315]]
    assert np.diff(ends, axis=0).tolist() == [[3.5, 7.0], [3.5, -7.0], [-7.0, 0.0]]
    assert ((px.min(0) + px.max(0)) / 2).tolist() == [16.5, 16.5]


def test_a_saccade_is_a_burst_and_then_near_rest():
    way = np.hypot(*np.diff(path()[:106], axis=0).T)
    burst = way[BURST_START_MS : BURST_START_MS + BURST_MS]
    assert burst.sum() / way.sum() == pytest.approx(0.96, abs=0.005)
    assert way[:BURST_START_MS].sum() == 0
    assert way[BURST_START_MS + BURST_MS :].max() < burst.max() / 10
    assert abs(int(burst.argmax()) - BURST_MS // 2) <= 1


def test_interpolation_reproduces_images_and_keeps_brightness():
    # At the grid's own points the weights are 1 and 0; everywhere inside they add up to 1.
    centre = np.array([16 * POSITION_ONE + PITCH // 2])
    weights = interpolation_weights(centre)[0]
    assert weights[16].tolist() == [0, 0, 0, 4096, 0, 0, 0, 0]
    inside = interpolation_weights(path()[::50, 0])[:, 14:20].sum(-1)
    assert np.abs(inside - 4096).max() <= 4


def test_the_log_table_is_the_logarithm():
    table = log_table(Decimal("0.15"))
    want = np.log((np.arange(4097) / 4096 + 0.15) / 0.15) * LOG_ONE
    assert np.abs(table - want).max() <= 0.5 + 1e-9


# --- the sensor ------------------------------------------------------------------------------------------------------


def test_thresholds_have_the_stated_mean_and_spread():
    sensor = Sensor(SensorSettings(), 0)
    for theta in (sensor.theta_on, sensor.theta_off):
        assert theta.mean() / LOG_ONE == pytest.approx(0.4, rel=0.02)
        assert theta.std() / theta.mean() == pytest.approx(0.15, rel=0.1)
    assert not np.array_equal(sensor.theta_on, sensor.theta_off)


def test_random_words_are_a_fixed_stream():
    assert [hex(int(w)) for w in raw_words(7, 1, 2, 2)] == [hex(int(w)) for w in raw_words(7, 1, 2, 3)][:2]
    assert halfwords(np.array([0x0004000300020001], np.uint64)).tolist() == [1, 2, 3, 4]


def test_poisson_steps_are_the_cumulative_probabilities():
    from scipy.stats import poisson

    steps = poisson_steps(Decimal("12.5")).astype(float) / 2**32
    assert np.abs(steps - poisson.cdf(np.arange(len(steps)), 12.5)).max() < 1e-9


def no_noise(**changes):
    return SensorSettings(**{"noise_hz": "0", **changes})


def test_a_pixel_follows_its_log_intensity_within_one_threshold(images):
    """After any recording, what the events add up to is the true log intensity, to within a threshold."""
    sensor = Sensor(no_noise(refractory_us=1), 3)
    pictures = images[0][:4]
    scene = pictures.transpose(1, 0, 2).astype(float)
    change = (sensor.log_intensity(scene, DURATION_MS) - sensor.log_intensity(scene, 0)).reshape(34, 4, 34)
    middle = (sensor.log_intensity(scene, 150) - sensor.log_intensity(scene, 0)).reshape(34, 4, 34)
    theta_on, theta_off = sensor.theta_on.reshape(34, 34), sensor.theta_off.reshape(34, 34)
    for i, keys in enumerate(sensor.record(pictures, np.arange(4))):
        t, x, y, p = unpack(keys)
        for until, true in ((150_000, middle[:, i]), (315_000, change[:, i])):
            seen = np.zeros((34, 34))
            early = t < until
            np.add.at(
                seen, (y[early], x[early]), np.where(p[early] == 1, theta_on[y, x][early], -theta_off[y, x][early])
            )
            assert (np.abs(seen - true) <= 1.5 * np.maximum(theta_on, theta_off)).all()


def test_the_dead_time_is_kept(images):
    for dead in (1000, 4000):
        sensor = Sensor(no_noise(refractory_us=dead), 0)
        for keys in sensor.record(images[0][:3], np.arange(3)):
            t, x, y, _ = unpack(keys)
            order = np.lexsort((t, x, y))
            same = (np.diff(x[order].astype(int)) == 0) & (np.diff(y[order].astype(int)) == 0)
            assert np.diff(t[order].astype(int))[same].min() >= dead


def test_a_dark_screen_gives_noise_only():
    keys = Sensor(SensorSettings(), 0).record(np.zeros((40, 8, 8), int), np.arange(40))
    counts = np.array([len(k) for k in keys])
    mean = 0.5 * 1156 * 0.315
    assert counts.mean() == pytest.approx(mean, rel=0.05)
    assert 0.5 * mean < counts.var() < 2 * mean
    t, x, y, p = unpack(np.concatenate(keys))
    assert (int(x.max()), int(y.max())) == (33, 33)
    assert 150_000 < t.mean() < 165_000
    assert 0.47 < p.mean() < 0.53


# --- the data set ----------------------------------------------------------------------------------------------------


def test_the_recordings_are_the_published_ones(full):
    assert full.digest == FULL_DIGEST


def test_a_sample_does_not_depend_on_the_others_on_threads_or_on_chunks(full, images, monkeypatch):
    samples = np.array([3, 700, 701, 1796, 12])
    monkeypatch.setattr(source_module, "GROUP", 2)
    for threads in (1, 2):
        for r in simulate(*images, samples, 0, threads=threads):
            k = int(r.name)
            assert all(np.array_equal(a, b) for a, b in zip(r[2:], full.store.columns(k)))


def test_subset_samples_are_those_of_the_full_set(full):
    small = SaccadeDigitsSource(subset=40)
    assert [len(small.indices(s)) for s in ("train", "validation", "test")] == [40, 20, 20]
    for i in range(0, len(small.store), 7):
        k = int(small.store.names[i])
        assert all(np.array_equal(a, b) for a, b in zip(small.store.columns(i), full.store.columns(k)))
    train = {int(small.store.names[i]) for i in small.indices("train")}
    assert train <= set(full.indices("train").tolist())


def test_another_seed_is_another_sensor(images):
    a, b = (next(iter(simulate(*images, np.array([0]), seed))) for seed in (0, 1))
    assert len(a.t) != len(b.t) or not np.array_equal(a.t, b.t)


def test_splits_are_committed_stratified_and_disjoint(full):
    parts = [full.indices(s) for s in ("train", "validation", "test")]
    assert [len(p) for p in parts] == [1257, 180, 360]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1797))
    labels = full.store.labels
    shares = np.bincount(labels) / 1797
    for p in parts:
        assert np.abs(np.bincount(labels[p]) - shares * len(p)).max() < 1.01


def test_recordings_look_like_the_real_ones_in_number_and_time(full):
    counts = np.diff(full.store.offsets)
    assert 3500 < counts.mean() < 4500
    rate = np.bincount(full.store.t // 5000, minlength=63) / len(full.store)
    for start in (0, 21, 42):
        assert rate[start + 4 : start + 15].mean() > 5 * rate[start + 17 : start + 21].mean()
    assert full.store.t.max() < 315_000
    assert 0.45 < full.store.p.mean() < 0.55
    stream = full.store.stream(0)
    assert to_frames(stream, T=7, duration_us=315_000).sum() == len(stream)


def test_classes_can_be_told_apart_by_a_linear_classifier(full):
    from sklearn.linear_model import RidgeClassifier

    settings = FrameSettings(T=3, binary=False, window_us=315_000)
    (a, y), (b, z) = (full.dataset(s, settings).stack() for s in ("train", "test"))
    a, b = (np.sqrt(v.transpose(1, 0, 2, 3, 4).reshape(v.shape[1], -1)) for v in (a, b))
    assert RidgeClassifier(alpha=3000.0).fit(a, y).score(b, z) > 0.9


def test_changed_images_are_refused(monkeypatch):
    with pytest.raises(DataError, match="reinstall scikit-learn"):
        load_images("0" * 64)


# --- varied sensors ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def varied() -> SaccadeDigitsSource:
    return SaccadeDigitsSource(subset=40, varied=96, progress=False)


def test_varied_recordings_are_counted_and_classes_keep_their_order(varied):
    assert [len(varied.indices(s)) for s in ("train", "validation", "test")] == [96, 20, 20]
    plain = SaccadeDigitsSource(subset=40, progress=False)
    train = {int(plain.store.names[i]) for i in plain.indices("train")}
    names = [varied.store.names[i] for i in varied.indices("train")]
    shown = [int(n.split("-")[0]) for n in names]
    assert set(shown) == train
    assert max(shown.count(k) for k in train) - min(shown.count(k) for k in train) <= 1
    for split in ("validation", "test"):  # the same digits, seen by other sensors
        theirs = [int(varied.store.names[i].split("-")[0]) for i in varied.indices(split)]
        assert theirs == [int(plain.store.names[i]) for i in plain.indices(split)]
    digits = {int(plain.store.names[i]): int(plain.store.labels[i]) for i in range(len(plain.store))}
    assert [digits[k] for k in shown] == varied.labels("train").tolist()


def test_varied_recordings_do_not_depend_on_threads(varied, images):
    samples = np.array([int(n.split("-")[0]) for n in varied.store.names])
    for i, r in enumerate(simulate(*images, samples, 0, threads=1, varied=True)):
        assert all(np.array_equal(a, b) for a, b in zip(r[2:], varied.store.columns(i)))


def test_sensors_differ_from_group_to_group_and_not_within(varied):
    drawn = [varied_settings(0, g) for g in range(50)]
    assert len({repr(d) for d in drawn}) == 50
    assert varied_settings(0, 3) == drawn[3] != varied_settings(1, 3)
    thresholds = [float(s.threshold) for s, _ in drawn]
    assert 0.24 <= min(thresholds) < 0.28
    assert 0.40 < max(thresholds) <= 0.44


def test_varied_recordings_move_as_nmnist_does(varied):
    """OFF runs ahead of ON: down at first, then up, then to the left; about 4000 events."""
    frames = np.mean(
        [frames_from_columns(*varied.store.columns(i), (34, 34), 3, "time", False, 315_000) for i in range(136)], 0
    )
    y, x = np.mgrid[:34, :34]
    centre = np.array([[[(f * x).sum(), (f * y).sum()] / f.sum() for f in pair] for pair in frames])
    ahead = centre[:, 0] - centre[:, 1]
    assert ahead[0, 1] > 3
    assert ahead[1, 1] < -3
    assert ahead[2, 0] < -3
    assert abs(ahead[2, 1]) < 1
    assert 2500 < frames.sum() < 5000


def test_the_number_of_varied_recordings_is_checked():
    with pytest.raises(ParameterError, match="varied is 0"):
        SaccadeDigitsSource(varied=0)
