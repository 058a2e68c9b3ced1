"""How many events per second a network takes live, and how late its answers are: the loop of `snnkit run`.

The network is that of the recipe nmnist/loihi (three strided convolutions on 2 x 34 x 34 binary frames, 1.3 M weights'
worth of synapses a step), with random weights scaled to usual firing rates; as a torch model on one thread, and
exported to Loihi in the emulator. Events are EVT 2 words that one thread decodes, and another computes.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.live.loop import run as live
from snnkit.live.network import Network, open_network
from snnkit.live.settings import LiveSettings
from snnkit.live.sources import Chunk, Malformed
from snnkit.live.udp import UdpSource
from snnkit.live.warm import warm_up

RATE = 1_000_000
"""Events per second."""
SIDE, DT_US = 34, 1000
STEPS = 300
"""Of a sample, and of a window."""
BUSY = 0.35
"""Share of cells with an event in a step at this rate."""
BURST_MS, PERIOD_MS = 5, 20
"""A bursty stream sends all events of 20 ms in the first 5."""


def events(rate: int, ms: int, bursty: bool = False, seed: int = 0, start_us: int = 0) -> NDArray[np.void]:
    """Random events [n] at `rate` a second for `ms` milliseconds, spread evenly over all pixels, in order of time."""
    rng = np.random.default_rng(seed)
    n = rate * ms // 1000
    t = np.sort(rng.integers(0, ms * 1000, n))
    if bursty:
        t = t // (PERIOD_MS * 1000) * (PERIOD_MS * 1000) + t % (PERIOD_MS * 1000) * BURST_MS // PERIOD_MS
    made = np.empty(n, EVENT_DTYPE)
    made["t"] = t + start_us
    made["x"], made["y"] = rng.integers(0, SIDE, (2, n))
    made["p"] = rng.integers(0, 2, n)
    return made


class WordSource:
    """EVT 2 words of a stream in memory, decoded when they are due; a mark follows every slice, as of a recording."""

    live, speed = True, 1.0
    sensor_size: tuple[int, int] | None = (SIDE, SIDE)

    def __init__(self, rate: int, seconds: float, bursty: bool) -> None:
        from snnkit.data.files.evt2 import Evt2Encoder

        encoder, self._slices = Evt2Encoder(), []
        self.name, self.malformed = "words", Malformed()
        for k in range(int(seconds * 1000) // PERIOD_MS):
            block = events(rate, PERIOD_MS, bursty, k, k * PERIOD_MS * 1000)
            edges = np.searchsorted(block["t"], k * PERIOD_MS * 1000 + np.arange(PERIOD_MS + 1) * 1000)
            self._slices += [encoder.feed(block[a:b]) for a, b in itertools.pairwise(edges.tolist())]

    def chunks(self, stop: threading.Event) -> Iterator[Chunk]:
        """See `live.sources.Source`."""
        from snnkit.data.files.evt2 import Evt2Decoder

        decoder, begin = Evt2Decoder(), time.perf_counter_ns()
        for k, words in enumerate(self._slices, 1):
            due = begin + k * 1_000_000
            if (left := due - time.perf_counter_ns()) > 0:
                time.sleep(left / 1e9)
            if stop.is_set():
                return
            yield Chunk(decoder.feed(words), due, mark=k * 1000)

    def close(self) -> None:
        """Nothing is open."""


def untrained(folder: Path, seed: int = 0, **net: Any) -> Path:
    """A run folder with the recipe's network (`net`: other arguments of `ConvClassifier`), random weights, and batch
    norms that have seen frames of events, so that its neurons fire as usual."""
    import torch

    from snnkit._io import write_json
    from snnkit.models import ConvClassifier
    from snnkit.training import checkpoint
    from snnkit.training.recipes import load

    settings = load("nmnist/loihi")
    spec = settings["model"]["net"]
    arguments = {**spec["init_args"], **net}
    torch.manual_seed(seed)
    model = ConvClassifier(**arguments).train()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(8):
            model((torch.rand(8, 16, 2, SIDE, SIDE, generator=generator) < BUSY).float())
    frames = {"T": STEPS, "by": "time", "binary": True, "window_us": STEPS * DT_US}
    described = {
        "name": "random events", "sensor_size": [SIDE, SIDE], "classes": [str(k) for k in range(10)], "frames": frames,
        "channels": ["OFF", "ON"],
    }  # fmt: skip
    record = {
        "format": 1, "recipe": "nmnist/loihi, untrained", "seed": seed, "data": described,
        "settings": {**settings, "model": {**settings["model"], "net": {**spec, "init_args": arguments}}},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", record)
    checkpoint.save_tensors(folder / "model.ckpt", {"state_dict": model.state_dict()})
    return folder


def exported(run: Path, path: Path, target: str = "loihi", steps: int = 8) -> Path:
    """The descriptor of an untrained run."""
    from snnkit.training import load_run
    from snnkit.validation.pipeline import to_chip, write_descriptor

    loaded = load_run(run)
    rng = np.random.default_rng(0)
    x = (rng.random((steps, 4, 2, SIDE, SIDE)) < BUSY).astype(np.uint8)
    chip = to_chip(
        loaded.model, (2, SIDE, SIDE), target, x, readout=loaded.readout, dt_us=DT_US, steps=STEPS, name="live"
    )
    write_descriptor(path, chip, target, x, provenance={"data": loaded.data})
    return path


def measure(network: Network, rate: int, seconds: float, bursty: bool, udp: bool = False) -> dict[str, Any]:
    """A row: what was asked, what was sustained, latencies and drops."""
    settings = LiveSettings(
        dt=Fraction(DT_US), window=STEPS, reset="none", seconds=seconds + 20, quiet=2.0 if udp else None
    )
    warm_up(network, settings.chunk)
    sender = None
    source: Any = UdpSource("udp://127.0.0.1:0") if udp else WordSource(rate, seconds, bursty)
    if udp:
        code = (
            f"from snnkit.bench.live import send_events; send_events({source.address!r}, {rate}, {seconds}, {bursty})"
        )
        sender = subprocess.Popen([sys.executable, "-c", code])
    done = live(network, source, settings)
    if sender is not None:
        sender.wait()
    return {
        "network": network.facts.kind,
        "input": "UDP" if udp else "words",
        "stream": f"{BURST_MS} of {PERIOD_MS} ms" if bursty else "even",
        "asked_events_per_s": rate,
        "events_per_s": round(done.processed / (done.seconds - (2.0 if udp else 0.0))),
        "p50_ms": done.latency_ms["p50"],
        "p99_ms": done.latency_ms["p99"],
        "late_share": round(done.late / max(done.processed + done.late, 1), 4),
        "max_ms": done.latency_ms["max"],
        "dropped": done.dropped,
        "lost": done.details["packets_lost_by_the_system"],
        "busy": done.busy,
        "steps": done.steps,
    }


def send_events(address: str, rate: int, seconds: float, bursty: bool) -> None:
    """Send random events to a receiver, after a pause in which it gets ready."""
    from snnkit.live.sender import send

    pieces = (events(rate, PERIOD_MS, bursty, k, k * PERIOD_MS * 1000) for k in range(int(seconds * 1000) // PERIOD_MS))
    time.sleep(1.0)
    send(list(pieces), address, 1.0)


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows for the model and the emulator, words and UDP packets, an even and a bursty stream."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds, rows = (2.0 if quick else 10.0), []
    try:
        with tempfile.TemporaryDirectory() as folder:
            trained = untrained(Path(folder) / "run")
            networks = [open_network(trained), open_network(exported(trained, Path(folder) / "net.snnx"))]
            for network in networks:
                for udp in (False, True):
                    for bursty in (False, True):
                        rows.append(measure(network, RATE, seconds, bursty, udp))
    finally:
        torch.set_num_threads(threads)
    return rows
