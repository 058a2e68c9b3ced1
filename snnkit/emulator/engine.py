"""The emulator: opens a descriptor, drives the host's part, runs the chip, labels the traces."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit import descriptor as store
from snnkit.descriptor import Descriptor
from snnkit.emulator import request
from snnkit.emulator.chip import Chip, Stimulus, Traces
from snnkit.emulator.host import PREFIX, Hosts
from snnkit.emulator.provider import emulate_module
from snnkit.emulator.request import Probes
from snnkit.emulator.result import EmulationResult, read_out
from snnkit.errors import UsageError

if TYPE_CHECKING:
    from snnkit.emulator.stream import Stream

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], None]

_CHUNK = 32


def open(path: str | os.PathLike[str]) -> Emulator:
    """Open a descriptor folder for emulation.

    Raises:
        DescriptorError: the folder is damaged or unsafe, or its target cannot be emulated.
    """
    return Emulator(store.load(path))


class Emulator:
    """A chip as its descriptor describes it, and the host around it.

    The evidence of the arithmetic is `manifest.evidence`; the readings of disputed points are `manifest.options`.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.manifest = descriptor.manifest
        images = {name: a for name, a in descriptor.arrays.items() if not name.startswith(PREFIX)}
        chip = replace(descriptor, arrays=images)
        self._chip: Chip = emulate_module(self.manifest.target).open_chip(chip)
        self._where = {name: _columns(neurons) for name, neurons in self._chip.placement.items()}
        self.host = Hosts(self.manifest, descriptor.arrays)
        self._data = [p for p in self.manifest.ports if p.gate_from is None]
        self._gates = [p for p in self.manifest.ports if p.gate_from is not None]
        self.max_count = max((p.max_count for p in self._data), default=1)
        self.gate_from = np.repeat([p.gate_from for p in self._gates], [p.n for p in self._gates]).astype(np.int64)

    @property
    def _layers(self) -> list[str]:
        return [*(layer.name for layer in self.manifest.layers), *self.host.layers]

    @property
    def chip(self) -> Chip:
        """The decoded chip, whose own probes go beyond `run`."""
        return self._chip

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        ticks: int | None = None,
        probes: Probes = ("s",),
        noise: Mapping[str, Array] | None = None,
        draws: Mapping[str, Array] | int | None = None,
        continuous: bool = False,
        progress: Progress | None = None,
    ) -> EmulationResult:
        """Run a batch of B samples of T steps, the host's layers included.

        The host feeds row t of a data port in tick t and silence from tick T on. A gate port (`gate_from` = k) is
        driven here: every one of its lines carries a 1 in ticks k to k + T - 1.

        Args:
            inputs: uint8 [T, B, n] of every one of `manifest.inputs`.
            ticks: length of the run, by default T + the largest lag.
            probes: states to return, a subset of "s", "u", "v" for all layers, or such a subset by layer.
            noise: draws to inject by layer, int32 [ticks, n] for all samples or [ticks, B, n]; 0 elsewhere.
            draws: random draws of a target with stochastic parts, by the target's names and in its shape (the same for
                all samples), or a seed of its own generator; by default the descriptor's seed.
            continuous: the samples follow each other without reset: sample b occupies ticks b*T to (b + 1)*T - 1 of
                one run of B*T + (ticks - T) ticks, gate lines stay on to the end of the input, and each sample's
                traces are its own window of `ticks` ticks (the tail overlaps the next sample).
            progress: called with (samples done, B).

        Returns:
            Traces on the chip's timeline; the same for any number of threads.

        Raises:
            UsageError: an unknown port, layer or state. ShapeError: a shape that does not fit.
        """
        given = self.checked(inputs)
        steps, batch = next(iter(given.values())).shape[:2]
        if continuous and self.manifest.host is not None:
            raise UsageError("a network with layers on the host cannot run on from sample to sample")
        hosted = self.host.before(given)
        fed = {**given, **hosted.spikes}
        ticks = steps + self.manifest.max_lag if ticks is None else int(ticks)
        if ticks < 0:
            raise UsageError(f"a run cannot have {ticks} ticks")
        wanted = request.probes(self._layers, probes)
        readout, columns = self.manifest.readout, self.recorded(wanted)
        record = np.unique(np.concatenate(list(columns.values()))) if columns else np.zeros(0, np.int64)
        injected = (
            None
            if noise is None
            else request.noise(self._chip.placement, self._chip.n_neurons, noise, ticks, batch, continuous)
        )
        gate_to = self.gate_from + steps
        stimulus = Stimulus(self.raster(fed), self.max_count, self.gate_from, gate_to, ticks, injected, record, draws)

        if continuous:
            traces = self._run_continuous(stimulus, steps, batch, ticks)
            if progress is not None:
                progress(batch, batch)
        else:
            traces = self._run_chunks(stimulus, batch, progress)

        where = {name: _columns(np.searchsorted(record, column)) for name, column in columns.items()}
        lags = {layer.name: layer.lag for layer in self.manifest.layers}
        spikes = self.by_layer(traces.spikes)
        v = {name: traces.v[:, :, where[name]] for name in columns}
        answer = scores = None
        if readout is not None:
            answer, scores = read_out(readout, lags[readout.layer], spikes[readout.layer], v.get(readout.layer), steps)
        if self.host.has_after:
            seen = {name: s[lags[name] : lags[name] + steps] for name, s in spikes.items()}
            after, answer, scores = self.host.after({**fed, **seen}, answer, scores)
            hosted = hosted.joined(after)
        spikes |= {name: _padded(s, ticks) for name, s in hosted.spikes.items()}
        v |= {name: _padded(s, ticks) for name, s in hosted.v.items()}
        return EmulationResult(
            spikes={name: s for name, s in spikes.items() if "s" in wanted[name]},
            u={name: traces.u[:, :, where[name]] for name in columns if "u" in wanted[name]},
            v={name: trace for name, trace in v.items() if "v" in wanted[name]},
            counters=traces.counters,
            answer=answer,
            scores=scores,
            steps=steps,
            ticks=ticks,
            lags=lags | dict.fromkeys(hosted.spikes, 0),
        )

    def stream(self, batch: int = 1, *, probes: Probes = ("s",), draws: int | None = None) -> Stream:
        """Run on from call to call: `stream.feed(inputs)` for the next ticks, whatever their number.

        Args:
            batch: samples side by side.
            probes, draws: as `run`; `draws` a seed, or None.

        Raises:
            UsageError: the target runs whole samples only; an unknown layer or state.
        """
        from snnkit.emulator.stream import Stream

        return Stream(self, batch, request.probes(self._layers, probes), draws)

    def _run_chunks(self, stimulus: Stimulus, batch: int, progress: Progress | None) -> Traces:
        if progress is None or batch <= _CHUNK:
            traces = self._chip.run(stimulus)
            if progress is not None:
                progress(batch, batch)
            return traces
        parts = []
        for at in range(0, batch, _CHUNK):
            mine = slice(at, at + _CHUNK)
            noise = stimulus.noise
            if noise is not None and noise.shape[1] > 1:
                noise = noise[:, mine]
            parts.append(self._chip.run(replace(stimulus, raster=stimulus.raster[:, mine], noise=noise)))
            progress(min(at + _CHUNK, batch), batch)
        return Traces(
            np.concatenate([p.spikes for p in parts], 1),
            np.concatenate([p.u for p in parts], 1),
            np.concatenate([p.v for p in parts], 1),
            {name: np.concatenate([p.counters[name] for p in parts]) for name in parts[0].counters},
        )

    def _run_continuous(self, stimulus: Stimulus, steps: int, batch: int, ticks: int) -> Traces:
        """One long sample; the counters are those of the whole stream, booked on its last sample."""
        stream = np.ascontiguousarray(stimulus.raster.transpose(1, 0, 2)).reshape(steps * batch, 1, -1)
        length = max(steps * batch + ticks - steps, 0)
        gate_to = stimulus.gate_from + steps * batch
        long = self._chip.run(replace(stimulus, raster=stream, gate_to=gate_to, ticks=length))
        window = np.arange(ticks)[:, None] + steps * np.arange(batch)

        def last(values: Array) -> Array:
            return np.concatenate([np.zeros(max(batch - 1, 0), np.int64), values])[:batch]

        return Traces(
            long.spikes[window, 0],
            long.u[window, 0],
            long.v[window, 0],
            {name: last(values) for name, values in long.counters.items()},
        )

    def checked(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The model's inputs as uint8 [T, B, n].

        Raises:
            UsageError: an unknown port, a type or count that it does not carry. ShapeError: another shape.
        """
        return request.inputs(self.manifest, inputs)

    def raster(self, fed: Mapping[str, Array]) -> Array:
        """All data ports side by side, uint8 [T, B, L]."""
        rows = [fed[p.name] for p in self._data]
        if not rows:
            return np.zeros((*next(iter(fed.values())).shape[:2], 0), np.uint8)
        return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=2)

    def recorded(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Array]:
        """Global neurons of the chip's layers whose u or v is wanted, or read for the answer."""
        names = {name for name, states in wanted.items() if "u" in states or "v" in states}
        readout = self.manifest.readout
        if readout is not None and not readout.of_spikes:
            names.add(readout.layer)
        return {name: self._chip.placement[name] for name in wanted if name in names & self._where.keys()}

    def by_layer(self, spikes: Array, only: Collection[str] | None = None) -> dict[str, Array]:
        """The chip's layers of spikes [T, B, N], or only some of them."""
        names = [layer.name for layer in self.manifest.layers if only is None or layer.name in only]
        return {name: spikes[:, :, self._where[name]] for name in names}


def _padded(trace: Array, ticks: int) -> Array:
    """A host's trace as long as the run: silent behind the sample."""
    if len(trace) >= ticks:
        return trace[:ticks]
    return np.concatenate([trace, np.zeros((ticks - len(trace), *trace.shape[1:]), trace.dtype)])


def _columns(neurons: Array) -> Array | slice:
    """Neighbouring columns as a slice, so that picking them copies nothing."""
    if len(neurons) and (np.diff(neurons) == 1).all():
        return slice(int(neurons[0]), int(neurons[-1]) + 1)
    return neurons
