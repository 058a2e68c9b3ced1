"""A descriptor in the emulator, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import emulator
from snnkit.emulator import Ticks
from snnkit.emulator.result import read_out
from snnkit.errors import UsageError
from snnkit.live.network import facts_of
from snnkit.live.warm import sizes

Array = np.ndarray[Any, Any]


class EmulatedNetwork:
    """See `network.Network`. A row of a layer with lag k is known k ticks after its step.

    A chip that cannot stop and go on runs a window as a whole: its rows are known when the window is flushed.
    """

    def __init__(self, path: Path, *, whole_windows: bool = False, chip: int | None = None) -> None:
        self._chip = emulator.open(path)
        manifest = self._chip.manifest
        ports, readout = manifest.inputs, self._readout()
        if len(ports) != 1:
            raise UsageError(
                f"{path} has {len(ports)} inputs that carry data; events go to networks with one",
                fix="use `snnkit verify` for its own vectors",
            )
        if readout is None:
            raise UsageError(f"{path} has no read-out: there is no answer to give", fix="export a network with one")
        self._port, self._read = ports[0], readout
        data = manifest.provenance.get("data")
        self.facts = facts_of(data, path.name, "emulator", manifest.target, readout.rule, "the descriptor")
        frames = self.facts.frames
        cells = int(np.prod(frames.shape((2, self.facts.sensor_size[1], self.facts.sensor_size[0]))))
        if cells != self._port.n:
            raise UsageError(
                f"{path} has {self._port.n} input lines, its frames {cells} cells", fix="export the network again"
            )
        if frames.max_count is not None and frames.max_count > self._port.max_count == 1:
            raise UsageError(f"{path} takes binary frames, its data were counts", fix="export the network again")
        self.most = self._port.max_count
        self._draws = chip
        stepwise = hasattr(self._chip.chip, "go_on")
        if not stepwise and not whole_windows:
            raise UsageError(
                f"{manifest.target} runs whole samples only", fix="--reset window, where a window is a sample"
            )
        if chip is not None and stepwise:
            raise UsageError(f"{manifest.target} has no virtual chips", fix="leave --chip out")
        probes: dict[str, tuple[str, ...]] = {readout.layer: ("s" if readout.of_spikes else "v",)}
        self._probes = probes
        self._stream = self._chip.stream(1, probes=probes) if stepwise else None
        self._window: list[Array] = []
        self._counters: dict[str, int] = {}
        self._skip = 0
        self.reset()

    def _readout(self) -> Any:
        after = self._chip.host.parts[1]
        if after is not None and after.network.readout is not None:
            return after.network.readout
        return self._chip.manifest.readout

    def reset(self) -> None:
        """Back to rest."""
        self._window.clear()
        if self._stream is not None:
            self._stream.reset()
            self._skip = self._stream.lags[self._read.layer]
            self._left = self._skip

    def feed(self, frames: Array) -> Array:
        """The rows [k, C] that these steps complete."""
        x = np.ascontiguousarray(frames, np.uint8).reshape(len(frames), 1, -1)
        if self._stream is None:
            self._window.append(x)
            return np.zeros((0, 0), np.int64)
        return self._rows(self._stream.feed({self._port.name: x}))

    def flush(self) -> Array:
        """The rows under way."""
        if self._stream is not None:
            return self._rows(self._stream.flush())[: self._left]
        if not self._window:
            return np.zeros((0, 0), np.int64)
        x = np.concatenate(self._window)
        result = self._chip.run({self._port.name: x}, probes=self._probes, draws=self._draws)
        self._count(result.counters)
        trace = (result.spikes if self._read.of_spikes else result.v)[self._read.layer]
        lag = result.lags[self._read.layer]
        return trace[lag : lag + len(x), 0]

    def _rows(self, ticks: Ticks) -> Array:
        self._count(ticks.counters)
        rows = (ticks.spikes if self._read.of_spikes else ticks.v)[self._read.layer][:, 0]
        skipped = min(self._skip, len(rows))
        self._skip -= skipped
        return rows[skipped:]

    def _count(self, counters: Mapping[str, Array]) -> None:
        for name, values in counters.items():
            self._counters[name] = self._counters.get(name, 0) + int(values.sum())

    def read(self, rows: Array, before: Array | None) -> Array:
        """Scores as `emulator.result.read_out` gives them."""
        spikes, v = (rows[:, None], None) if self._read.of_spikes else (rows[:, None], rows[:, None])
        return read_out(self._read, 0, spikes, v, len(rows))[1][0]

    def counters(self) -> Mapping[str, int]:
        """The chip's counters, as in `EmulationResult`."""
        return dict(self._counters)

    def prepare(self, steps: int) -> None:
        """Silent steps, and a flush; a chip that runs whole windows runs one of `steps`."""
        self.reset()
        for k in sizes(steps) if self._stream is not None else (steps,):
            self.feed(np.zeros((k, self._port.n), np.uint8))
        if len(rows := self.flush()):
            self.read(rows, None)
        self.reset()
        self._counters.clear()
