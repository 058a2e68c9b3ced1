"""Still images and recordings that are sent in a code: the same spikes for any worker, and after a resume."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from snnkit import encoding
from snnkit.data import Digits, DigitsSource, FrameSettings, ImageDataset, SaccadeDigits, open_source
from snnkit.data.saccade_digits.source import committed_splits
from snnkit.encoding import Bernoulli, Encoder, Latency, Population
from snnkit.errors import ParameterError


def digits(code: Encoder | None = None, **changes) -> Digits:
    return Digits(code or Bernoulli(6), **{"batch_size": 16, "subset": 60, **changes})


def epoch(dm, e):
    dm.set_epoch(e)
    return list(dm.train_dataloader())


def same(a, b) -> bool:
    return len(a) == len(b) and all(torch.equal(u.x, v.x) and torch.equal(u.y, v.y) for u, v in zip(a, b))


def test_the_whole_set_and_its_committed_split():
    from sklearn.datasets import load_digits

    source = DigitsSource()
    sizes = {s: len(source.indices(s)) for s in ("train", "validation", "test")}
    assert sizes == {"train": 1257, "validation": 180, "test": 360}
    everything = np.concatenate([source.indices(s) for s in sizes])
    assert sorted(everything.tolist()) == list(range(1797)), "every image is in one part"
    committed = committed_splits()
    assert source.indices("test").tolist() == committed["test"]
    shares = {s: np.bincount(source.labels(s), minlength=10) / n for s, n in sizes.items()}
    assert np.abs(shares["train"] - shares["test"]).max() < 0.005, "stratified"
    x, y = source.dataset("validation", FrameSettings(T=1, encoding=encoding.Direct(2), full_count=16)).stack()
    assert x.shape == (2, 180, 1, 8, 8)
    bunch = load_digits()
    np.testing.assert_array_equal(x[1, :, 0] * 16, bunch.images[source.indices("validation")])
    np.testing.assert_array_equal(y, bunch.target[source.indices("validation")])


def test_shapes_and_facts():
    dm = digits(Latency(T=5, silence=0.1))
    dm.prepare_data()
    dm.setup()
    assert (dm.T, dm.input_shape, dm.num_classes, dm.sensor_size) == (5, (1, 8, 8), 10, (8, 8))
    batch = next(iter(dm.train_dataloader()))
    assert batch.x.shape == (5, 16, 1, 8, 8)
    assert batch.x.is_contiguous()
    assert batch.x.sum(0).max() == 1, "at most one spike per pixel"
    facts = dm.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["channels"] == ["brightness"]
    assert facts["samples"] == {"train": 60, "validation": 20, "test": 20}
    code = {"class_path": "snnkit.encoding.Latency", "init_args": {"T": 5, "silence": 0.1}}
    assert facts["frames"] == {
        "T": 1, "by": "time", "binary": True, "window_us": None, "full_count": 16, "encoding": code, "seed": 0,
    }  # fmt: skip
    many = digits(Population(T=4, neurons=3))
    assert many.input_shape == (1, 8, 8, 3)
    assert next(iter(many.val_dataloader())).x.shape == (4, 16, 1, 8, 8, 3)


def test_spikes_are_those_of_the_code():
    dm = digits(Latency(T=8, silence=0.1))
    pixels = digits(encoding.Direct(1)).dataset("test").stack()[0]
    assert torch.equal(torch.from_numpy(dm.dataset("test").stack()[0]),
                       encoding.encode_latency(torch.from_numpy(pixels[0]), 8, 0.1))  # fmt: skip
    rate = digits(Bernoulli(200)).dataset("test").stack()[0]
    assert np.abs(rate.mean(0) - pixels[0]).max() < 0.2
    assert abs((rate.mean(0) - pixels[0]).mean()) < 0.003


def test_draws_follow_from_seed_epoch_and_index():
    dm = digits()
    first, again = list(dm.val_dataloader()), list(dm.val_dataloader())
    assert same(first, again), "a validation sample is the same in every pass"
    assert same(first, list(digits().val_dataloader()))
    assert not same(first, list(digits(seed=1).val_dataloader()))
    assert same(epoch(dm, 3), epoch(digits(), 3))
    unbroken = digits()
    for e in range(4):
        reached = epoch(unbroken, e)
    assert same(epoch(dm, 3), reached)
    train, shown = dm.dataset("train"), digits().dataset("train", augment=False)
    assert np.array_equal(train[5][0], train[0, 5][0])
    assert np.array_equal(train[2, 5][0], shown[2, 5][0])
    assert not np.array_equal(train[2, 5][0], train[3, 5][0]), "training sees new draws in every epoch"
    # two samples, and the same place of two splits, do not share their draws
    flat = digits(Bernoulli(50, max_rate=0.5)).dataset
    a, b = (flat(s).frames.encode(np.full((1, 1, 8, 8), 16), 0, 0, int(flat(s).indices[0])) for s in ("train", "test"))
    assert 0.4 < np.mean(a == b) < 0.6


def test_workers_change_nothing_and_torchs_generator_is_left_alone():
    alone, helped = digits(), digits(num_workers=2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for e in (0, 1):
        assert same(epoch(alone, e), epoch(helped, e))
    assert same(list(alone.test_dataloader()), list(helped.test_dataloader()))
    assert torch.equal(torch.get_rng_state(), before)


def test_recordings_in_a_code():
    plain = SaccadeDigits(T=3, binary=False, subset=40, batch_size=8)
    coded = SaccadeDigits(T=3, subset=40, batch_size=8, encoding=Latency(T=4, silence=0.5), full_count=2)
    assert (coded.T, coded.input_shape, coded.frames.dt_us) == (12, (2, 34, 34), 315_000 / 12)
    counts, labels = plain.dataset("test").stack()
    frames, same_labels = coded.dataset("test").stack()
    assert np.array_equal(labels, same_labels)
    values = torch.from_numpy(counts / 2).clamp(max=1)
    for bin_ in range(3):
        part = torch.from_numpy(frames[4 * bin_ : 4 * bin_ + 4])
        assert torch.equal(part, encoding.encode_latency(values[bin_], 4, 0.5))
    batch = next(iter(coded.test_dataloader()))
    assert torch.equal(batch.x, torch.from_numpy(frames[:, :8]))
    assert coded.describe()["frames"]["full_count"] == 2


def test_settings_come_back_from_their_description():
    for settings in (
        FrameSettings(T=3, by="count", window_us=5),
        FrameSettings(T=2, binary=False, encoding=Population(5, 4), full_count=3),
    ):
        again = FrameSettings.from_description(json.loads(json.dumps(settings.describe(7))))
        assert again.describe(7) == settings.describe(7)
        assert (again.steps, again.max_count, again.shape((2, 3))) == (
            settings.steps, settings.max_count, settings.shape((2, 3)),
        )  # fmt: skip


def test_the_same_samples_by_name():
    dm = digits(subset=None, seed=4)
    facts = dm.describe()
    settings = FrameSettings.from_description(facts["frames"])
    for name in ("digits", "Digits"):
        found = open_source(name).dataset("test", settings, seed=facts["frames"]["seed"])
        assert all(np.array_equal(found[i][0], dm.dataset("test")[i][0]) for i in (0, 7, 359))


def test_recipes_can_state_the_code():
    from snnkit.data import FrameDataModule
    from snnkit.training.settings import Reader, build

    reader = Reader()
    spec = {
        "class_path": "snnkit.data.Digits",
        "init_args": {"encoding": {"class_path": "snnkit.encoding.Phase", "init_args": {"T": 16, "bits": 4}}},
    }
    resolved = reader.spec(spec, FrameDataModule, "data", {"seed": 9})
    dm = build(json.loads(json.dumps(resolved)), None, reader)
    assert isinstance(dm, Digits)
    assert (dm.T, dm.seed) == (16, 9)
    assert repr(dm.frames.encoding) == "Phase(T=16, bits=4)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_path": "snnkit.encoding.Delta", "init_args": {"threshold": 0.1}}, "is no snnkit.encoding"),
        ({"class_path": "snnkit.encoding.Latencie", "init_args": {"T": 8}}, "did you mean 'Latency'"),
        ({"class_path": "snnkit.encoding.Latency", "init_args": {"T": 8, "silense": 0}}, "did you mean 'silence'"),
        ({"class_path": "snnkit.encoding.Latency"}, "encoding.init_args.T is missing"),
        ({"class_path": "torch.nn.Linear", "init_args": {"in_features": 1, "out_features": 1}}, "is no snnkit"),
        (None, "encoding"),
    ],
)
def test_a_recipe_that_names_no_code(change, message):
    from snnkit.data import FrameDataModule
    from snnkit.errors import RecipeError
    from snnkit.training.settings import Reader

    spec = {"class_path": "snnkit.data.Digits", "init_args": {"encoding": change}}
    with pytest.raises(RecipeError, match=message):
        Reader().spec(spec, FrameDataModule, "data")


def test_impossible_settings_are_refused():
    with pytest.raises(ParameterError, match="one frame"):
        ImageDataset(np.zeros((1, 1, 2, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64), FrameSettings(T=2))
    with pytest.raises(ParameterError, match="full_count"):
        FrameSettings(full_count=0)
    with pytest.raises(ParameterError, match="did you mean 'train'"):
        DigitsSource().dataset("trai", FrameSettings(T=1))
    from snnkit.data import Augment

    with pytest.raises(ParameterError, match="still images"):
        DigitsSource().dataset("train", FrameSettings(T=1), Augment(drop=0.1))
