"""Paired recordings: partners of one class and split, drawn by (seed, epoch, index), and batches with two inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data import Paired, collate
from snnkit.data.augment import Augment
from snnkit.data.dataset import FrameDataset
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.module import FrameDataModule
from snnkit.data.paired.source import PairedSource, fixed_partners
from snnkit.data.source import SPLITS, Source
from snnkit.errors import DataError, ParameterError
from snnkit.training.evaluation import evaluate
from snnkit.training.module import SpikingClassifier


class Marked(FrameDataset):
    """Frames that say which sample they are: [T, n] with the sample's number in all cells."""

    def counts(self, index: int, epoch: int | None) -> Any:
        return np.full((self.frames.T, *self._shape), self.indices[index], np.float32)


class MarkedSource(Source):
    """Samples of three classes; the parts have `sizes` of each class."""

    name: ClassVar[str] = "marked"
    sensor_size: ClassVar[tuple[int, int]] = (2, 1)
    channels: ClassVar[tuple[str, ...]] = ("OFF",)
    classes: ClassVar[tuple[str, ...]] = ("a", "b", "c")

    def __init__(self, sizes: tuple[tuple[int, int, int], ...]) -> None:
        super().__init__()
        self._labels = np.concatenate([np.repeat(np.arange(3), s) for s in sizes])
        ends = np.cumsum([sum(s) for s in sizes])
        self._splits = {n: np.arange(e - sum(s), e) for n, e, s in zip(SPLITS, ends, sizes)}

    def prepare(self) -> None:
        pass

    @property
    def digest(self) -> str:
        return str(len(self._labels))

    def labels(self, split: str) -> Any:
        return self._labels[self.indices(split)]

    def dataset(self, split: str, frames: FrameSettings, augment: Augment | None = None, seed: int = 0) -> Marked:
        return Marked(self.indices(split), self._labels, (1, 1, 2), frames, seed)


FIRST, SECOND = ((4, 5, 6), (2, 2, 2), (3, 3, 3)), ((3, 2, 7), (1, 2, 3), (2, 4, 1))


def paired(use: str = "both", **options: Any) -> Paired:
    first, second = (FrameDataModule(MarkedSource(s), FrameSettings(T=3)) for s in (FIRST, SECOND))
    return Paired(first, second, use=use, names=("vision", "sound"), batch_size=4, **options)  # type: ignore[arg-type]


def pairs(data: Paired, split: str, epoch: int | None) -> list[tuple[int, int, int]]:
    """(number in the first, number in the second, class) of every pair."""
    dataset = data.dataset(split, augment=epoch is not None)
    items = [dataset[epoch or 0, i] for i in range(len(dataset))]
    return [(int(a.max()), int(b.max()), y) for (a, b), y in items]


def test_partners_are_of_the_same_class_and_split() -> None:
    data = paired(seed=3)
    for split in SPLITS:
        for epoch in (None, 0, 1, 2):
            found = pairs(data, split, epoch)
            assert [a for a, _, _ in found] == list(data.source.parts[0].indices(split))
            for a, b, y in found:
                assert b in data.source.parts[1].indices(split)
                assert (data.source.parts[0]._labels[a], data.source.parts[1]._labels[b]) == (y, y)  # type: ignore[attr-defined]


def test_training_draws_partners_anew_and_the_same_for_equal_seed_and_epoch() -> None:
    data, again, other = paired(seed=1), paired(seed=1), paired(seed=2)
    epochs = [pairs(data, "train", e) for e in range(4)]
    assert epochs == [pairs(again, "train", e) for e in range(4)]
    assert len({tuple(e) for e in epochs}) == 4
    assert epochs[0] != pairs(other, "train", 0)
    drawn = {b for epoch in range(30) for _, b, _ in pairs(data, "train", epoch)}
    assert drawn == set(range(12))  # every recording of the second takes part


def test_validation_and_test_pairs_are_fixed() -> None:
    for split in ("validation", "test"):
        assert pairs(paired(seed=1), split, None) == pairs(paired(seed=2), split, None)
    # the test part's second class: three recordings, four partners; the third class: one partner for all
    assert [b for _, b, y in pairs(paired(), "test", None) if y == 2] == [24] * 3


@given(st.lists(st.integers(0, 3), max_size=40), st.lists(st.integers(0, 3), max_size=40))
def test_fixed_partners_use_all_of_a_class_before_any_again(first: list[int], second: list[int]) -> None:
    a, b = np.array(first + [0, 1, 2, 3]), np.array(second + [0, 1, 2, 3])
    partners = fixed_partners(a, b)
    assert (b[partners] == a).all()
    for c in range(4):
        times = np.bincount(partners[a == c], minlength=len(b))[b == c]
        assert times.max() - times.min() <= 1


def test_one_input_alone_has_the_same_pairs() -> None:
    both, first, second = (paired(use, seed=5) for use in ("both", "first", "second"))
    assert both.input_names == ("vision", "sound")
    assert first.input_names == () == second.input_names
    for batch, a, b in zip(both.train_dataloader(), first.train_dataloader(), second.train_dataloader()):
        assert torch.equal(batch.x[0], a.x)
        assert torch.equal(batch.x[1], b.x)
        assert torch.equal(batch.y, a.y)
        assert torch.equal(batch.y, b.y)
    x, y = both.dataset("test").stack()
    assert torch.equal(torch.cat([b.x[1] for b in both.test_dataloader()], 1), torch.from_numpy(x[1]))
    assert list(y) == list(both.labels("test"))


def test_fewer_training_recordings_of_each() -> None:
    data = paired(train_size=6, seed=2)
    assert data.describe()["samples"] == {"train": 6, "validation": 6, "test": 9}
    seen = [pairs(data, "train", e) for e in range(20)]
    assert len({a for epoch in seen for a, _, _ in epoch}) == 6 == len({b for epoch in seen for _, b, _ in epoch})
    labels = [part._labels for part in data.source.parts]  # type: ignore[attr-defined]
    assert all(labels[0][a] == y == labels[1][b] for epoch in seen for a, b, y in epoch)
    x, y = data.dataset("train").stack()
    assert [int(v) for v in x[1].max((0, 2, 3, 4))] == [b for _, b, _ in pairs(data, "train", None)]
    assert list(y) == list(data.labels("train"))


def test_sizes_and_description() -> None:
    data = paired()
    assert data.describe()["samples"] == {"train": 15, "validation": 6, "test": 9}
    assert data.describe()["name"] == "marked+marked"
    assert set(data.describe()["inputs"]) == {"vision", "sound"}
    assert data.input_shapes == ((1, 1, 2), (1, 1, 2))
    assert data.max_counts == (1, 1)


def test_refusals() -> None:
    def part(sizes: Any = FIRST, T: int = 3) -> FrameDataModule:
        return FrameDataModule(MarkedSource(sizes), FrameSettings(T=T))

    with pytest.raises(ParameterError, match="3 steps, marked has 4"):
        Paired(part(), part(T=4))
    with pytest.raises(ParameterError, match="names"):
        Paired(part(), part(), names=("a", "a"))
    with pytest.raises(ParameterError, match="use is"):
        Paired(part(), part(), use="third")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no validation recording of the class b"):
        Paired(part(), part(((3, 3, 3), (1, 0, 1), (1, 1, 1)))).setup()
    other = part()
    other.source.classes = ("x", "y", "z")  # type: ignore[misc]
    with pytest.raises(DataError, match="has the classes"):
        Paired(part(), other).setup()


def test_collate_of_several_inputs() -> None:
    a, b = np.ones((3, 2), np.float32), np.full((3, 4), 2, np.float32)
    batch = collate([((a, b), 0), ((a[:2], b[:2]), 1)])
    assert isinstance(batch.x, tuple)
    assert [x.shape for x in batch.x] == [(3, 2, 2), (3, 2, 4)]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [3, 2]
    assert not batch.x[0][2, 1].any()
    with pytest.raises(DataError, match="2 inputs of sample 0"):
        collate([((a, b), 0), ((a,), 0)])
    with pytest.raises(DataError, match="have 3, 2 steps"):
        collate([((a, b[:2]), 0)])


class Sum(torch.nn.Module):
    """Adds both inputs and reads three outputs off."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 3)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return self.layer((first + second).flatten(2))


def test_the_lightning_module_and_evaluate_take_two_inputs(tmp_path: Path) -> None:
    data, net = paired(), Sum()
    module = SpikingClassifier(net, loss="mean_membrane_cross_entropy")
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(module(batch.x), net(*batch.x))
    assert float(module.training_step(batch, 0).detach()) > 0
    assert module.predict_step(batch, 0).shape == (4,)
    found = evaluate(net, data, "test", {"loss": "mean_membrane_cross_entropy"})
    x, _ = data.dataset("test").stack()
    want = net(*(torch.from_numpy(part) for part in x)).mean(0).argmax(1)
    assert found.predictions.tolist() == want.tolist()
    assert found.samples == 9


def test_source_with_one_setting_for_both() -> None:
    source = PairedSource(MarkedSource(FIRST), MarkedSource(SECOND))
    assert len(source.dataset("train", FrameSettings(T=2))) == 15
    assert not source.dataset("test", FrameSettings(T=2)).redraw
