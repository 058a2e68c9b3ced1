"""Parts of the data for several processes: together they are what one process has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data import EpochSampler, Pulse, SaccadeDigits
from snnkit.data.part import Part, WholeBatches
from snnkit.errors import ParameterError


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 40), st.integers(0, 3))
def test_batches_of_all_parts_are_those_of_one_process(world: int, each: int, n: int, epoch: int) -> None:
    size = world * each
    whole = EpochSampler(n, 7)
    whole.set_epoch(epoch)
    order = list(whole)
    seen: list[list[list[tuple[int, int]]]] = []
    for rank in range(world):
        part = Part(rank, world, n, size)
        sampler = EpochSampler(n, 7, part=part)
        sampler.set_epoch(epoch)
        mine = list(sampler)
        assert len(mine) == len(sampler)
        batches = [mine[i : i + each] for i in range(0, len(mine), each)]
        assert len(batches) == -(-n // size)
        for b, batch in enumerate(batches):
            counted, every = part.counts(b)
            assert every == len(order[b * size : (b + 1) * size])
            assert counted == len(batch) or (counted == 0 and batch == order[b * size : b * size + 1])
        seen.append([batch[: part.counts(b)[0]] for b, batch in enumerate(batches)])
    for b in range(-(-n // size)):
        together = sorted(pair for batches in seen for pair in batches[b])
        assert together == sorted(order[b * size : (b + 1) * size])


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 40), st.one_of(st.integers(1, 9), st.floats(0.3, 1.0)))
def test_whole_batches_count_once(world: int, size: int, n: int, limit: int | float) -> None:
    parts = [WholeBatches(rank, world, n, size, limit) for rank in range(world)]
    there = [list(range(i, min(i + size, n))) for i in range(0, n, size)]
    expected = there[:limit] if isinstance(limit, int) else there[: int(len(there) * limit)]
    got: dict[int, list[int]] = {}
    for part in parts:
        mine = list(part)
        assert len(mine) == len(part) == len(parts[0])
        for turn, batch in enumerate(mine):
            if part.counts(turn):
                assert part.number(turn) not in got
                got[part.number(turn)] = batch
    assert [got[i] for i in sorted(got)] == expected


def test_loaders_give_a_part_until_they_are_whole_again() -> None:
    data = Pulse(batch_size=6, minutes=(2, 2, 2))
    data.setup()
    whole, val = list(data.train_dataloader()), list(data.val_dataloader())
    parts = []
    for rank in range(2):
        data.divide(rank, 2)
        parts.append((list(data.train_dataloader()), list(data.val_dataloader())))
    for b, batch in enumerate(whole):
        x = np.stack([parts[i % 2][0][b].x[:, i // 2].numpy() for i in range(len(batch.y))], 1)
        assert np.array_equal(x, batch.x.numpy())
    for b, batch in enumerate(val):
        assert np.array_equal(parts[b % 2][1][b // 2].x.numpy(), batch.x.numpy())
    data.divide(0, 1)
    assert all(np.array_equal(a.x.numpy(), b.x.numpy()) for a, b in zip(data.train_dataloader(), whole))
    assert len(data.val_dataloader()) == len(val)


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ParameterError, match="batch_size 6 cannot be divided among 4 processes") as caught:
        SaccadeDigits(batch_size=6, T=2, subset=40).check_divisible(4)
    assert "--data.batch_size 4 or 8" in caught.value.fix
