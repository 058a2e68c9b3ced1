from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.evt2 import Evt2Decoder, Evt2Encoder, encode_evt2
from snnkit.errors import DataError


def words(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()


def on(low: int, x: int, y: int) -> int:
    return 1 << 28 | low << 22 | x << 11 | y


def clock(high: int) -> int:
    return 8 << 28 | high


def events(rows: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array(rows, EVENT_DTYPE)


def test_known_words():
    data = words(clock(3), on(5, 2047, 1), on(63, 0, 2047) & 0x0FFFFFFF, clock(4), on(0, 7, 8))
    assert Evt2Decoder().feed(data).tolist() == [(3 * 64 + 5, 2047, 1, 1), (3 * 64 + 63, 0, 2047, 0), (256, 7, 8, 1)]


def test_the_clock_wraps_and_small_steps_back_do_not():
    top = (1 << 28) - 1
    decoder = Evt2Decoder()
    got = decoder.feed(words(clock(top), on(63, 1, 1), clock(0), on(0, 1, 1), clock(5), clock(3), on(1, 1, 1)))
    assert got["t"].tolist() == [2**34 - 1, 2**34, 2**34 + 3 * 64 + 1]
    assert decoder.feed(words(clock(top), clock(1), on(0, 1, 1)))["t"].tolist() == [2**35 + 64]


def test_what_is_no_event_is_counted():
    decoder = Evt2Decoder()
    data = words(on(1, 2, 3), clock(0), 0xA << 28, 0xE << 28, 0xF << 28, 0x5 << 28, on(1, 2, 3)) + b"\x01\x02"
    assert decoder.feed(data).tolist() == [(1, 2, 3, 1)]
    tally = decoder.tally
    assert (tally.events, tally.unplaced, tally.other, tally.unknown) == (1, 1, 3, 1)
    assert (tally.bytes, tally.left_over) == (30, 2)
    assert len(tally.notes()) == 2
    assert "2 bytes" in tally.faults()[0]
    assert decoder.drop_rest() == 2
    assert decoder.tally.left_over == 0


times = st.one_of(st.integers(0, 2000), st.integers(0, 2**36))
rows = st.lists(st.tuples(times, st.integers(0, 2047), st.integers(0, 2047), st.integers(0, 1)), max_size=40)


@settings(max_examples=80)
@given(rows, st.integers(1, 9), st.integers(1, 7))
def test_encoder_and_decoder_are_inverse_in_any_pieces(rows, piece, step):
    rows = sorted(rows)
    first = rows[0][0] & ~(2**34 - 1) if rows else 0  # how often the clock had wrapped before the first event is lost
    want = events([(t - first, x, y, p) for t, x, y, p in rows])
    encoder, decoder = Evt2Encoder(), Evt2Decoder()
    data = b"".join(encoder.feed(want[i : i + step]) for i in range(0, len(want), step))
    got = [decoder.feed(data[i : i + piece]) for i in range(0, len(data), piece)]
    assert np.array_equal(np.concatenate([np.empty(0, EVENT_DTYPE), *got]), want)
    assert not decoder.tally.notes()
    assert np.array_equal(Evt2Decoder().feed(encode_evt2(want)), want)


def test_a_packet_alone_states_its_time():
    encoder = Evt2Encoder()
    encoder.feed(events([(100, 1, 1, 1)]))
    assert Evt2Decoder().feed(encoder.feed(events([(101, 2, 2, 0)])))["t"].tolist() == [101]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(5, 1, 1, 1), (4, 1, 1, 1)], "run back"),
        ([(-1, 1, 1, 1)], "negative"),
        ([(0, 2048, 1, 1)], "x=2048"),
        ([(0, 1, 1, 1), (2**60, 1, 1, 1)], "hours before event 1"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(rows, words):
    with pytest.raises(DataError, match=words):
        encode_evt2(events(rows))


def test_the_compiled_loop_equals_the_plain_one():
    from snnkit.data.files import evt2

    data = np.random.default_rng(0).integers(0, 2**32, 3000, np.uint32)
    data[::3] = data[::3] & 0x0FFFFFFF | 8 << 28
    got = []
    for loop in (evt2._words_to_events, evt2._words_to_events.py_func):
        state, out = np.array([-1, 0, 0, 0, 0]), np.zeros(len(data), EVENT_DTYPE)
        n = loop(data, state, out)
        got.append((n, state.tolist(), out[:n].tolist()))
    assert got[0] == got[1]
    assert got[0][0] > 100
