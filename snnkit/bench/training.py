"""A whole training step (forward, loss, backward, optimiser) of a convolutional network, ours and installed peers.

conv 3×3 – batch norm – neuron – average pool, three times, then linear on the mean over time; the same weights and the
same mathematics in every row (decay 0.9, threshold 1, subtract reset, detached, arctan of width 2), float32, channels
first. "snnkit" runs norm, neuron and pool together (`snn.Sequential`), "neuron alone" fuses the neuron only, and "no
neuron" shows what the rest costs. Peers run under their own default back end for multi-step mode, and once more with
all their own defaults (`snnkit.bench.training_defaults`), which make another network.

`floor_ratio` is the time over that of moving what norms, neurons and pools have to move (`FLOOR_BYTES` per value of the
convolutions' outputs) at the bandwidth measured in the same rounds; the convolutions' own work is not in that floor.
`peak_ratio` is the peak of extra memory in units of the convolutions' outputs. `differing_spikes` counts the spikes of
the first neurons that are not ours, for the same input and weights.
"""

from __future__ import annotations

import gc
import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.bench.devices import available_memory, bandwidth, busy
from snnkit.bench.rounds import memory_settings, peak_memory
from snnkit.bench.training_peers import CHANNELS, CLASSES, DECAY, peer_net, snntorch, spikingjelly
from snnkit.errors import UsageError
from snnkit.kernels import keep_freed_memory
from snnkit.surrogate import Arctan
from snnkit.training.graphs import record
from snnkit.training.precision import in_format

FLOOR_BYTES = 14
"""Per float32 value of a convolution's output: forward reads it and writes a quarter of it; backward reads it and a
quarter of its gradient, and writes its gradient."""

WORK = "training step"


class Entry(NamedTuple):
    """A network that takes part: the model, its input, and the layer whose spikes are looked at (None: no spikes)."""

    model: nn.Module
    x: Tensor
    first: nn.Module | None
    settings: str = ""
    autocast: bool = False
    memory_format: str = "channels_first"
    keeps: bool = False
    """Whether freed memory stays with the process, as in `fit`."""
    graphed: bool = False
    """Whether the network, forward and backward, goes into CUDA graphs, which take away what its calls cost."""

    def run(self) -> Any:
        """The forward pass as in training."""
        with torch.autocast(self.x.device.type, torch.bfloat16, enabled=self.autocast):
            return self.model(in_format(self.x, self.memory_format))


def our_net(size: int, neuron: Callable[[], nn.Module], block: type[nn.Sequential] = snn.Sequential) -> nn.Sequential:
    """The network with our layers; x: [T, B, 2, size, size]."""
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(3):
        layers += [snn.Conv2d(channels, CHANNELS, 3, padding=1, bias=False), snn.BatchNorm(CHANNELS), neuron()]
        layers.append(snn.AvgPool2d(2))
        channels = CHANNELS
    return block(*layers, snn.Flatten(), snn.Linear(CHANNELS * (size // 8) ** 2, CLASSES))


class _Eager(nn.Module):
    """Our neuron's definition, step by step under autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.neuron = lif()

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron.reference(x)[0]


def lif() -> snn.LIF:
    """The neuron of the rows with the same settings."""
    return snn.LIF(decay=DECAY, reset="subtract", surrogate=Arctan(2.0))


def _step(entry: Entry, y: Tensor, steps: int) -> Callable[[], Tensor]:
    """A training step, which returns its loss and waits for nothing."""
    optimizer = torch.optim.SGD(entry.model.parameters(), lr=1e-3)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        out = entry.run().float().reshape(steps, -1, CLASSES).mean(0)
        loss = nn.functional.cross_entropy(out, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _graph(entry: Entry, name: str) -> bool:
    """Put the network into CUDA graphs; False for a peer's that cannot be."""
    try:
        with torch.cuda.stream(torch.cuda.current_stream()):  # a recording that fails stays on its own
            record(entry.model, (entry.x,))
    except RuntimeError:
        if name.startswith("snnkit"):
            raise
        return False
    return True


def _spikes(entry: Entry) -> Tensor | None:
    """The first neurons' spikes in a forward pass, as one row of booleans; running statistics stay as they are."""
    if entry.first is None:
        return None
    seen: list[Tensor] = []
    kept = {name: value.clone() for name, value in entry.model.state_dict().items()}

    def see(module: nn.Module, inputs: Any, output: Any) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output).detach().bool().flatten())

    handle = entry.first.register_forward_hook(see)
    with torch.no_grad():
        entry.run()
    handle.remove()
    entry.model.load_state_dict(kept)
    return torch.cat(seen)


def entries(steps: int, batch: int, size: int, device: str | torch.device = "cpu") -> dict[str, Callable[[], Entry]]:
    """What takes part, by name; the inputs are on the device, the models on their way there."""
    from snnkit.bench.training_defaults import defaults

    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(steps, batch, 2, size, size, generator=generator) < 0.1).float().to(device)

    def ours(
        neuron: Callable[[], nn.Module], block: type[nn.Sequential] = snn.Sequential, graphed: bool = False
    ) -> Entry:
        model = our_net(size, neuron, block)
        return Entry(model, x, None if neuron is nn.Identity else model[2], graphed=graphed)

    def peer(make: Callable[[], Callable[[Tensor], Tensor]], settings: str, graphed: bool = False) -> Entry:
        model = peer_net(steps, size, make)
        return Entry(model, x.flatten(0, 1), model[2], settings, graphed=graphed)

    found: dict[str, Callable[[], Entry]] = {
        "snnkit": lambda: ours(lif),
        "snnkit, neuron alone": lambda: ours(lif, nn.Sequential),
        "snnkit, eager loop": lambda: ours(_Eager, nn.Sequential),
        "no neuron": lambda: ours(nn.Identity, nn.Sequential),
        "spikingjelly": lambda: peer(spikingjelly, ""),
        "snntorch": lambda: peer(snntorch, "fires at v > threshold"),
        **defaults(x, size),
    }
    if x.is_cuda:
        found["snnkit, CUDA graphs"] = lambda: ours(lif, graphed=True)
        found["spikingjelly, CUDA graphs"] = lambda: peer(spikingjelly, "", graphed=True)
    return {n: m for n, m in found.items() if n.startswith(("snnkit", "no ")) or importlib.util.find_spec(_package(n))}


def _package(name: str) -> str:
    return name.split(",")[0]


def _ours(name: str) -> str:
    """The row of ours that a row is compared with."""
    end = next((end for end in (", defaults", ", CUDA graphs") if name.endswith(end)), "")
    return f"snnkit{end}"


def run(
    quick: bool = False, rounds: int = 7, shape: Sequence[int] = (16, 16, 32), device: str = "cpu"
) -> list[dict[str, Any]]:
    """Time training steps, round-robin over the implementations.

    Args:
        quick: fewer rounds and steps. shape: T, B and the sensor's side.
        device: "cpu" or "cuda", where a step waits for its loss. A GPU has rows more, of ours and of spikingjelly's
            network in CUDA graphs, and the settings say what a step takes there where the host is ahead.

    Returns:
        Rows {work, impl, settings, ms_min, ms_median, floor_ratio, peak_ratio, differing_spikes, first_ms, times_ours,
        loss}; settings that do not fit in memory are left out. `times_ours` of a row with defaults is by our defaults,
        of one in CUDA graphs by ours in such.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device to measure on", fix="leave --device out, or see snnkit doctor")
    steps, batch, size = (8, 8, 32) if quick else shape
    rounds = 3 if quick else rounds
    y = torch.randint(0, CLASSES, (batch,), generator=torch.Generator().manual_seed(0)).to(device)
    values = steps * batch * CHANNELS * sum((size >> k) ** 2 for k in range(3))
    todo: dict[str, Callable[[], Tensor]] = {}
    about: dict[str, Entry] = {}
    first, loss, peaks = {}, {}, {}
    differing: dict[str, int | None] = {}
    ours: Tensor | None = None
    for name, make in entries(steps, batch, size, device).items():
        if available_memory(device) < 40 * 4 * values:
            continue
        torch.manual_seed(0)
        about[name] = entry = make()
        entry.model.to(device)
        spikes = _spikes(entry)
        ours = spikes if ours is None else ours
        if spikes is None or ours is None or spikes.shape != ours.shape:
            differing[name] = None
        else:
            differing[name] = int((spikes != ours).count_nonzero())
        if entry.graphed and not _graph(entry, name):
            del about[name], differing[name]
            continue
        todo[name] = _step(entry, y, steps)
        clock = time.perf_counter()
        loss[name] = float(todo[name]())
        first[name] = time.perf_counter() - clock
        gc.collect()
        peaks[name] = peak_memory(todo[name], device) / (4 * values)
    times: dict[str, list[float]] = {name: [] for name in todo}
    streams = []
    try:
        for _ in range(rounds):
            streams.append(bandwidth(min(values, 50_000_000), device=device))
            for name, step in todo.items():
                keep_freed_memory(about[name].keeps)
                float(step())  # on its own memory from here on
                clock = time.perf_counter()
                float(step())
                times[name].append(time.perf_counter() - clock)
    finally:
        keep_freed_memory(False)
    floor = FLOOR_BYTES * values / max(streams)
    place = f"threads={torch.get_num_threads()}" if device == "cpu" else torch.cuda.get_device_name()
    settings = f"T={steps} B={batch} 2x{size}x{size}, {CHANNELS} channels, {place}"
    settings += memory_settings(torch.device(device))
    extra = {name: f"; {about[name].settings}" if about[name].settings else "" for name in times}
    if device == "cuda":
        for name, t in times.items():
            extra[name] += (
                f"; {busy(todo[name], torch.device(device), statistics.median(t)) * 1e3:.3f} ms on the device"
            )
    return [
        {
            "work": WORK,
            "impl": name,
            "settings": settings + extra[name],
            "ms_min": round(min(t) * 1e3, 2),
            "ms_median": round(statistics.median(t) * 1e3, 2),
            "floor_ratio": round(min(t) / floor, 2),
            "peak_ratio": round(peaks[name], 2),
            "differing_spikes": differing[name],
            "first_ms": round(first[name] * 1e3, 1),
            "times_ours": round(min(t) / min(times[_ours(name)]), 2),
            "loss": round(loss[name], 6),
        }
        for name, t in times.items()
    ]
