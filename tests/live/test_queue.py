"""The bounded queue against a model of it, and between two threads."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data.events import EVENT_DTYPE
from snnkit.errors import ParameterError
from snnkit.live import Chunk, EventQueue
from snnkit.live.queue import POLICIES, Policy


def chunk(first: int, n: int, mark: int | None = None) -> Chunk:
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = first + np.arange(n)
    return Chunk(events, first, mark)


@given(
    capacity=st.integers(1, 12),
    policy=st.sampled_from(["drop-oldest", "drop-newest"]),
    work=st.lists(st.one_of(st.just(-1), st.integers(0, 20)), max_size=30),
)
def test_against_a_list(capacity: int, policy: Policy, work: list[int]) -> None:
    """-1 takes a chunk, any other number puts so many events, each with a mark."""
    queue, model, dropped, sent, taken, expected = EventQueue(capacity, policy), [], 0, 0, [], []
    for n in work:
        if n >= 0:
            queue.put(chunk(sent, n, mark=sent))
            new = list(range(sent, sent + n))
            sent += n
            if policy == "drop-oldest":
                model += new
                gone = max(len(model) - capacity, 0)
                model = model[gone:]
            else:
                gone = max(n - (capacity - len(model)), 0)
                model += new[: n - gone]
            dropped += gone
        elif (found := queue.get(0)) is not None:
            times = found.events["t"].tolist()
            taken += times
            expected += model[: len(times)]
            model = model[len(times) :]
        assert len(queue) == len(model) <= capacity
        assert queue.dropped == dropped
    while (found := queue.get(0)) is not None:
        taken += found.events["t"].tolist()
    assert taken == expected + model
    assert sent == len(taken) + dropped
    assert queue.highest <= capacity


@given(sizes=st.lists(st.integers(0, 9), max_size=12), policy=st.sampled_from(POLICIES))
def test_marks_are_kept_in_order(sizes: list[int], policy: Policy) -> None:
    """A mark never overtakes the events before it, and the last one is never lost."""
    queue, sent = EventQueue(1000 if policy == "block" else 7, policy), 0
    for n in sizes:
        queue.put(chunk(sent, n, mark=sent + n))
        sent += n
    marks, seen = [], -1
    while (found := queue.get(0)) is not None:
        assert not len(found.events) or found.events["t"][0] > seen
        seen = max(seen, int(found.events["t"][-1])) if len(found.events) else seen
        if found.mark is not None:
            marks.append(found.mark)
            assert found.mark > seen
    assert marks == sorted(marks)
    assert not sizes or marks[-1] == sent


@given(sizes=st.lists(st.integers(0, 25), max_size=20), capacity=st.integers(1, 8))
def test_block_loses_nothing(sizes: list[int], capacity: int) -> None:
    queue = EventQueue(capacity, "block")

    def put() -> None:
        sent = 0
        for n in sizes:
            queue.put(chunk(sent, n))
            sent += n
        queue.close()

    thread = threading.Thread(target=put)
    thread.start()
    got: list[int] = []
    while not queue.done:
        found = queue.get(1.0)
        if found is not None:
            assert len(found.events) <= capacity
            got += found.events["t"].tolist()
    thread.join()
    assert got == list(range(sum(sizes)))
    assert queue.dropped == 0


def test_closing_frees_who_waits_and_counts_what_is_left() -> None:
    queue = EventQueue(4, "block")
    thread = threading.Thread(target=queue.put, args=(chunk(0, 10),))
    thread.start()
    while len(queue) < 4:
        time.sleep(0.001)
    queue.close()
    thread.join(10)
    assert not thread.is_alive()
    found = queue.get(0)
    assert found is not None
    assert (len(found.events), queue.dropped, queue.done) == (4, 6, True)
    assert queue.get(10) is None


def test_marks_without_events_take_no_room() -> None:
    queue = EventQueue(4)
    for k in range(1000):
        queue.put(chunk(0, 0, mark=k))
        queue.put(Chunk(chunk(0, 0).events, k, silent=True))
    queue.put(chunk(0, 0))
    found = queue.get(0)
    assert found is not None
    assert (found.mark, found.silent, found.arrival) == (999, True, 999)
    assert queue.get(0) is None


def test_wrong_use() -> None:
    with pytest.raises(ParameterError, match="queue of 0"):
        EventQueue(0)
    with pytest.raises(ParameterError, match="did you mean 'drop-oldest'"):
        EventQueue(1, "drop-oldst")  # type: ignore[arg-type]
