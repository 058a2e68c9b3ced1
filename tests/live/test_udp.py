"""EVT 2 words over UDP and pipes: packets stand alone, any split of the words gives the same events, refusals."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.evt2 import Evt2Decoder, encode_evt2
from snnkit.errors import DataError, ParameterError, SystemCallError, UsageError
from snnkit.live import FileSource, PipeSource, Sender, UdpSource, open_source, send
from snnkit.live.sender import Packets
from snnkit.live.sources import ArraySource, paced
from snnkit.live.udp import parse_address, resolve

Array = np.ndarray[Any, Any]


def make(times: list[int], seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"], events["p"] = times, rng.integers(0, 2, len(times))
    events["x"], events["y"] = rng.integers(0, 2048, (2, len(times)))
    return events


some_times = st.lists(st.integers(0, 1 << 30), max_size=80).map(sorted)


@given(times=some_times, cuts=st.lists(st.integers(0, 80), max_size=4), size=st.integers(8, 200))
def test_every_packet_stands_alone(times: list[int], cuts: list[int], size: int) -> None:
    """A decoder that sees one packet only gives its events; all packets together are the stream."""
    events, packets = make(times), Packets(size)
    edges = [0, *sorted(min(c, len(times)) for c in cuts), len(times)]
    made = [p for a, b in itertools.pairwise(edges) for p in packets.of(events[a:b])]
    assert all(0 < len(p) <= size and len(p) % 4 == 0 for p in made)
    alone, tallies = [], []
    for p in made:
        decoder = Evt2Decoder()
        alone.append(decoder.feed(p))
        tallies.append(decoder.tally.unplaced)
    assert sum(tallies) == 0
    assert np.array_equal(np.concatenate([make([]), *alone]), events)
    assert np.array_equal(Evt2Decoder().feed(b"".join(made)), events)


@given(times=some_times, cuts=st.lists(st.integers(0, 700), max_size=9))
def test_any_split_of_the_words_gives_the_same_events(times: list[int], cuts: list[int]) -> None:
    """Through a pipe, cut at any byte."""
    events = make(times)
    words = encode_evt2(events)
    edges = [0, *sorted(min(c, len(words)) for c in cuts), len(words)]
    read, write = os.pipe()
    source = PipeSource(read)

    def feed() -> None:
        for a, b in itertools.pairwise(edges):
            os.write(write, words[a:b])
        os.close(write)

    thread = threading.Thread(target=feed)
    thread.start()
    found = [c.events for c in source.chunks(threading.Event())]
    thread.join()
    os.close(read)
    assert np.array_equal(np.concatenate([make([]), *found]), events)
    assert source.malformed.words == 0


@pytest.mark.parametrize("cut", [1, 20, 57, 200])
def test_a_header_in_a_pipe_says_what_comes(cut: int, tmp_path: Path) -> None:
    events = make(list(range(0, 9000, 7)))
    data = b"% evt 2.0\n% format EVT2;width=640;height=480\n% end\n" + encode_evt2(events) + b"\x01"
    read, write = os.pipe()
    os.write(write, data[:cut])
    source, found = PipeSource(read), []

    def feed() -> None:
        time.sleep(0.02)
        os.write(write, data[cut:])
        os.close(write)

    thread = threading.Thread(target=feed)
    thread.start()
    found = [c.events for c in source.chunks(threading.Event())]
    thread.join()
    os.close(read)
    assert np.array_equal(np.concatenate(found), events)
    assert source.sensor_size == (640, 480)
    assert source.malformed.words == 1  # the unfinished word at the end


def test_a_pipe_of_something_else(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"% format EVT9\n% end\n" + bytes(100))
    with file.open("rb") as f, pytest.raises(DataError, match="evt9"):
        list(PipeSource(f.fileno()).chunks(threading.Event()))
    with pytest.raises(UsageError, match="did you mean 'evt2'"):
        PipeSource(0, "evt22")


def received(source: UdpSource, packets: int) -> list[Array]:
    stop, found = threading.Event(), []
    limit = threading.Timer(20, stop.set)
    limit.start()
    for chunk in source.chunks(stop):
        found.append(chunk.events)
        assert chunk.arrival <= time.perf_counter_ns()
        assert chunk.silent == (not len(chunk.events))
        if source.packets >= packets:
            stop.set()
    limit.cancel()
    return found


def test_over_loopback() -> None:
    events = make(sorted(np.random.default_rng(0).integers(0, 20_000, 5000).tolist()))
    source = UdpSource("udp://127.0.0.1:0")
    try:
        sent = send([events[:3000], events[3000:]], source.address, 1.0)
        assert (sent.events, sent.refused) == (5000, 0)
        found = received(source, sent.packets)
        assert np.array_equal(np.concatenate(found), events)
        assert (source.packets, source.bytes, source.malformed.packets) == (sent.packets, sent.bytes, 0)
        assert sent.seconds >= 0.019  # at recorded speed
    finally:
        source.close()


def test_malformed_packets_are_counted_and_do_no_harm() -> None:
    events = make(list(range(0, 1000, 10)))
    with Sender((source := UdpSource("udp://127.0.0.1:0")).address) as sender:
        for bad in (b"", b"\x01", b"1234567", (0x5 << 28 | 7).to_bytes(4, "little") * 3):
            sender.send_bytes(bad)
        sender.send_bytes((0xE << 28).to_bytes(4, "little") * 2)
        sender.send(events)
        found = received(source, sender.sent.packets)
    source.close()
    assert np.array_equal(np.concatenate(found), events)
    bad_ones = source.malformed
    assert (bad_ones.packets, bad_ones.words, bad_ones.other_words) == (2, 1 + 2 + 3, 2)


def test_events_before_any_time_are_malformed() -> None:
    with Sender((source := UdpSource("udp://127.0.0.1:0")).address) as sender:
        sender.send_bytes(bytes(8))
        sender.send(make([5]))
        found = received(source, sender.sent.packets)
    source.close()
    assert np.concatenate(found)["t"].tolist() == [5]
    assert source.malformed.words == 2


def test_a_full_buffer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnkit.live.udp.RECEIVE_BUFFER", 4096)
    source = UdpSource("udp://127.0.0.1:0")
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, 40, 1)
    except OSError:
        pytest.skip("this system does not say how many packets it dropped")
    finally:
        probe.close()
    events = make(list(range(20_000)))
    sent = send([events], source.address, None)
    with Sender(source.address) as sender:
        time.sleep(0.05)
        source._drain()
        sender.send(events[-1:])
        time.sleep(0.05)
        source._drain()
    source.close()
    assert 0 < source.malformed.lost_packets < sent.packets


def test_nobody_listens() -> None:
    source = UdpSource("udp://127.0.0.1:0")
    address = source.address
    source.close()
    sent = send([make([k]) for k in range(20)], address, None)
    assert sent.refused > 0


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("udt://127.0.0.1:9000", "did you mean 'udp'"),
        ("tcp://127.0.0.1:9000", "no address for events"),
        ("udp://127.0.0.1", "no complete address"),
        ("udp://:9000", "no complete address"),
        ("udp://127.0.0.1:99999", "no complete address"),
        ("udp://127.0.0.1:x", "no complete address"),
        ("udp://127.0.0.1:9000/x", "no complete address"),
        ("udp://no.such.host.invalid:9000", "there is no host"),
        ("udp://0.0.0.0:9000", "not on this computer"),
        ("udp://192.0.2.1:9000", "not on this computer"),
    ],
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(address)


def test_addresses() -> None:
    assert parse_address("udp://localhost:1") == ("localhost", 1)
    assert parse_address("udp://[::1]:7") == ("::1", 7)
    assert resolve("udp://127.0.0.2:9000")[1] == ("127.0.0.2", 9000)
    assert resolve("udp://192.0.2.1:9000", allow_remote=True)[1] == ("192.0.2.1", 9000)


def test_a_port_that_is_taken() -> None:
    source = UdpSource("udp://127.0.0.1:0")
    try:
        with pytest.raises(SystemCallError, match="the port is taken"):
            UdpSource(source.address)
    finally:
        source.close()


def test_sizes_of_packets_and_speeds() -> None:
    for size in (7, 70_000):
        with pytest.raises(ParameterError, match="packets of"):
            Packets(size)
    with pytest.raises(ParameterError, match="a speed of 0"):
        send([], "udp://127.0.0.1:9", 0)


def test_a_recording_at_its_speed() -> None:
    """Slices in order, all of them, none before it is due, each marked with its end."""
    events = make([0, 10, 900, 5000, 30_000])
    begin = time.perf_counter_ns()
    found = []
    for got, due, mark in paced([events[:2], events[2:]], 2.0, 1000, threading.Event()):
        assert time.perf_counter_ns() >= due >= begin + mark * 500
        found.append((got["t"].tolist(), mark))
    assert [t for ts, _ in found for t in ts] == events["t"].tolist()
    assert [m for _, m in found] == list(range(1000, 32_000, 1000))
    assert found[0][0] == [0, 10, 900]
    stop = threading.Event()
    stop.set()
    assert list(ArraySource([events], speed=1e-3).chunks(stop)) == []  # not due, and not waited for


def test_inputs(tmp_path: Path) -> None:
    (tmp_path / "there.raw").write_bytes(b"")
    with pytest.raises(UsageError, match="did you mean 'there.raw'"):
        open_source(str(tmp_path / "their.raw"))
    with pytest.raises(DataError, match="empty"):
        open_source(str(tmp_path / "there.raw"))
    with pytest.raises(UsageError, match="--speed is for recordings"):
        open_source("udp://127.0.0.1:0", speed=1.0)
    with pytest.raises(UsageError, match="packets carry EVT 2"):
        open_source("udp://127.0.0.1:0", format="evt3")
    assert isinstance(open_source("-"), PipeSource)


def test_sensor_of_a_recording(tmp_path: Path) -> None:
    from snnkit.data import files

    events = make(list(range(100)))
    events["x"] %= 20
    events["y"] %= 10
    files.write(tmp_path / "a.npz", files_stream(events, (20, 10)))
    source = open_source(str(tmp_path / "a.npz"), sensor_size=(20, 10))
    assert isinstance(source, FileSource)
    assert np.array_equal(np.concatenate([c.events for c in source.chunks(threading.Event())]), events)
    with pytest.raises(UsageError, match="20x10 sensor, the network was made for 34x34"):
        open_source(str(tmp_path / "a.npz"), sensor_size=(34, 34))
    with pytest.raises(ParameterError, match="a speed of -1"):
        FileSource(tmp_path / "a.npz", -1.0)


def files_stream(events: Array, size: tuple[int, int]) -> Any:
    from snnkit.data import EventStream

    return EventStream(events, size)
