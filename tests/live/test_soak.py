"""Soak: bursts, malformed packets and silence for a second here and for a minute in the slow tier.

SNNKIT_SOAK_SECONDS=600 pytest -m slow tests/live/test_soak.py runs it for ten minutes.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkit.bench.live import events, exported, untrained
from snnkit.live import LiveSettings, Sender, Summary, UdpSource, open_network, run

SECONDS = float(os.environ.get("SNNKIT_SOAK_SECONDS", "60"))


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As `snnkit run` has it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("soak") / "run", channels=[3, 4], kernel_size=3)


class Weather(threading.Thread):
    """Sends events, bursts, and every kind of nonsense for a while."""

    def __init__(self, address: str, seconds: float, seed: int = 0) -> None:
        super().__init__(daemon=True)
        self._address, self._seconds, self._rng = address, seconds, random.Random(seed)
        self.good = self.bad_packets = self.bad_words = self.outside = 0

    def run(self) -> None:
        rng, begin, rounds = self._rng, time.perf_counter(), 0
        with Sender(self._address) as sender:
            # not by the clock alone: a collection of a large process's garbage stops all threads for seconds
            while (now := time.perf_counter() - begin) < self._seconds or rounds < 10:
                rounds += 1
                rate = (
                    rng.choice([0, 20_000, 100_000, 400_000]) if rounds > 1 else 50_000
                )  # silence, walking pace, busy, a burst
                made = events(rate, 10, seed=rng.randrange(1 << 30), start_us=int(now * 1e6))
                if len(made) and rng.random() < 0.2:
                    k = rng.randrange(len(made))
                    made["x"][k], self.outside = 1500, self.outside + 1
                if len(made):
                    sender.send(made)
                    self.good += len(made)
                if rounds == 1 or rng.random() < 0.3:
                    nonsense = rng.choice([b"?", b"12345", bytes(rng.randrange(256) for _ in range(4 * 9 + 2))])
                    sender.send_bytes(nonsense)
                    self.bad_packets += 1
                    self.bad_words += -(-len(nonsense) // 4)
                if rng.random() < 0.2:
                    sender.send_bytes((0x70000000 | rng.randrange(1 << 28)).to_bytes(4, "little") * 3)
                    self.bad_words += 3
                time.sleep(0.01)


def soak(network: Any, seconds: float, settings: LiveSettings) -> tuple[Summary, Weather, list[int]]:
    network.prepare(settings.chunk)
    source = UdpSource("udp://127.0.0.1:0")
    weather, stop, sizes = Weather(source.address, seconds), threading.Event(), []

    def watch() -> None:
        while weather.is_alive():
            gc.collect()
            sizes.append(resident())
            weather.join(max(seconds / 30, 0.05))
        time.sleep(1.0)
        stop.set()

    weather.start()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    done = run(network, source, settings, stop=stop)
    watcher.join()
    return done, weather, sizes


def nothing_is_lost(done: Summary, weather: Weather) -> None:
    assert done.balanced
    lost = done.details["packets_lost_by_the_system"]
    if not lost:  # then every single event and word is known
        assert done.received == weather.good + weather.bad_words
        assert done.malformed == weather.bad_words + done.details["outside_the_sensor"]
        assert done.details["malformed_packets"] == weather.bad_packets
        if not done.dropped:
            assert done.details["outside_the_sensor"] == weather.outside
    assert done.received > 0  # on a busy machine all of a second's events may be late


def test_a_second(trained: Path) -> None:
    done, weather, _ = soak(open_network(trained), 1.0, LiveSettings(window=50, lateness=50_000))
    nothing_is_lost(done, weather)
    assert done.details["malformed_packets"] > 0


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("kind", ["model", "emulator"])
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the process's size from /proc")
def test_a_minute(kind: str, tmp_path: Path) -> None:
    """Memory does not grow: the last third of the time needs no more than the second, but for a few MB."""
    run_folder = untrained(tmp_path / "run")
    path = run_folder if kind == "model" else exported(run_folder, tmp_path / "net.snnx")
    # where the machine is too slow it skips: else all that silence would still have to be computed at the end
    settings = LiveSettings(window=300, reset="none", queue=50_000, lateness=50_000, behind=500)
    done, weather, sizes = soak(open_network(path), SECONDS, settings)
    nothing_is_lost(done, weather)
    third = len(sizes) // 3
    before, after = np.median(sizes[third : 2 * third]), np.median(sizes[2 * third :])
    print(f"{kind}: {done.to_dict()} memory {before / 2**20:.1f} then {after / 2**20:.1f} MiB")
    assert after - before < 4 * 2**20
