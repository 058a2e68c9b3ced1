"""From a BrainScaleS-2 descriptor to running chips: the ideal one, and virtual ones with mismatch.

The parts of a network run one after the other; spikes of earlier parts come back with their time stamps. `draws=SEED`
of the emulator's `run` makes it the virtual chip of that seed; without, the chip is ideal and reads without noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.descriptor import Descriptor
from snnkit.emulator.chip import Stimulus, Traces
from snnkit.emulator.pool import spread
from snnkit.errors import UsageError
from snnkit.targets.brainscales2 import schema, spec
from snnkit.targets.brainscales2.decode import Part, decode
from snnkit.targets.brainscales2.kernel import COUNTERS, run_part
from snnkit.targets.brainscales2.mismatch import Mismatch, VirtualChip, virtual_chip
from snnkit.targets.images import first_lines

Array = np.ndarray[Any, Any]
Spikes = tuple[Array, Array]
"""Times in us of hardware time, and global neurons, by time."""


@dataclass(frozen=True, eq=False)
class _Tuned:
    """One part on one chip: parameters [7, n] and synapses by source."""

    par: Array
    net: tuple[Array, Array, Array, Array]


@dataclass(frozen=True)
class BrainScales2Chip:
    """Decoded parts. Global neurons are the heads, part after part; `step` in us."""

    n_neurons: int
    placement: Mapping[str, Array]
    parts: tuple[Part, ...]
    lines: int
    step: float

    def run(self, stimulus: Stimulus) -> Traces:
        """Run a batch (see `emulator.chip.Chip`); `draws`: None for the ideal chip, or the seed of a virtual one."""
        if stimulus.noise is not None:
            raise UsageError("this chip takes no injected noise", fix="draws=SEED runs a virtual chip, noise included")
        if stimulus.draws is not None and not isinstance(stimulus.draws, int | np.integer):
            raise UsageError("this chip's draws are the seed of a virtual chip", fix="give a whole number")
        chip = None if stimulus.draws is None else self.virtual([int(stimulus.draws)])[0]
        return self.run_chips(stimulus, [chip])[0]

    @staticmethod
    def virtual(seeds: Sequence[int], sigma: Mismatch | None = None) -> list[VirtualChip]:
        """Virtual chips.

        Raises:
            UsageError: there is no such chip.
        """
        for seed in seeds:
            if not 0 <= seed < spec.CHIP_SEEDS:
                raise UsageError(f"there is no virtual chip {seed}", fix=f"seeds go from 0 to {spec.CHIP_SEEDS - 1}")
        return [virtual_chip(seed, sigma) for seed in seeds]

    def run_chips(self, stimulus: Stimulus, chips: Sequence[VirtualChip | None]) -> list[Traces]:
        """One batched call on several chips; None is the ideal one. Traces of each, the same for any thread count."""
        raster = self._raster(stimulus)
        batch, ticks, n = raster.shape[0], stimulus.ticks, self.n_neurons
        tuned = [[self._tune(part, chip) for part in self.parts] for chip in chips]
        spikes = np.zeros((len(chips), ticks, batch, n), np.uint8)
        v = np.zeros((len(chips), ticks, batch, len(stimulus.record)), np.int32)
        counters = np.zeros((len(chips), batch, len(COUNTERS)), np.int64)

        def work(begin: int, end: int) -> None:
            for job in range(begin, end):
                c, b = divmod(job, batch)
                times, neurons = self._sample(
                    raster[b], ticks, chips[c], tuned[c], stimulus.record, v[c, :, b], counters[c, b]
                )
                tick = np.minimum((times / self.step).astype(np.int64), max(ticks - 1, 0))
                np.add.at(spikes[c, :, b], (tick, neurons), 1)

        if batch and chips:
            spread(work, len(chips) * batch)
        visible = np.concatenate([np.zeros(0, bool), *(part.visible for part in self.parts)])
        spikes *= visible
        run_ns = round(ticks * self.step * 1000) * len(self.parts)
        return [
            Traces(spikes[c], np.zeros_like(v[c]), v[c],
                   {**{name: counters[c, :, k] for k, name in enumerate(COUNTERS)},
                    "chip_ns": np.full(batch, run_ns, np.int64)})
            for c in range(len(chips))
        ]  # fmt: skip

    def spike_times(self, stimulus: Stimulus, chip: VirtualChip | None = None) -> list[Spikes]:
        """Times and global neurons of all spikes of each sample."""
        raster = self._raster(stimulus)
        tuned = [self._tune(part, chip) for part in self.parts]
        none = np.zeros(0, np.int64)
        return [
            self._sample(x, stimulus.ticks, chip, tuned, none, np.zeros((stimulus.ticks, 0), np.int32),
                         np.zeros(len(COUNTERS), np.int64))
            for x in raster
        ]  # fmt: skip

    def _raster(self, stimulus: Stimulus) -> Array:
        """Host lines of data and gates, uint8 [B, ticks, L]."""
        steps, batch, width = stimulus.raster.shape
        whole = np.zeros((batch, max(stimulus.ticks, 0), self.lines), np.uint8)
        some = min(steps, stimulus.ticks)
        whole[:, :some, :width] = stimulus.raster[:some].transpose(1, 0, 2)
        tick = np.arange(stimulus.ticks)[:, None]
        whole[:, :, width:] = (stimulus.gate_from <= tick) & (tick < stimulus.gate_to)
        return whole

    def _tune(self, part: Part, chip: VirtualChip | None) -> _Tuned:
        """Physical values of a part's neurons and synapses on a chip."""
        tau_m, tau_e, tau_i, leak, reset, level, gain = part.target.T * 1e-6
        driver = np.ones(spec.HALVES * spec.DRIVERS)
        if chip is not None:
            at = part.circuits
            tau_m, tau_e, tau_i = tau_m * chip.tau_mem[at], tau_e * chip.tau_syn_e[at], tau_i * chip.tau_syn_i[at]
            leak, reset, level = leak + chip.leak[at], reset + chip.reset[at], level + chip.threshold[at]
            gain, driver = gain * chip.gain[at], chip.driver
        level = np.where(part.fires, level, np.inf)
        par = np.stack([tau_m, tau_e, tau_i, leak, reset, level, part.hold_ps * 1e-6])
        each = gain[part.neuron] * driver[part.driver]
        return _Tuned(par, (part.ptr, part.neuron, each * part.excitatory, each * part.inhibitory))

    def _sample(
        self, raster: Array, ticks: int, chip: VirtualChip | None, tuned: Sequence[_Tuned], record: Array, v: Array,
        counters: Array,
    ) -> Spikes:  # fmt: skip
        """One sample through all parts; writes v [ticks, K] of the recorded neurons, and counters."""
        times, neurons = np.zeros(0), np.zeros(0, np.int64)
        leak = level = np.zeros(self.n_neurons)
        noise = np.zeros((ticks, len(record)))
        if chip is not None:
            leak, level, noise = chip.trial(raster, self.n_neurons, (ticks, len(record)))
        for part, mine in zip(self.parts, tuned):
            here = slice(part.first, part.first + part.n)
            chosen = np.flatnonzero((record >= part.first) & (record < part.first + part.n))
            par = mine.par.copy()
            par[3] += leak[here]
            par[5] += level[here]
            codes = np.zeros((ticks, len(chosen)), np.int32)
            most = int(np.ceil(ticks * self.step / np.min(par[6], initial=np.inf)) + 2) * part.n if part.n else 0
            when, who = np.empty(most), np.empty(most, np.int64)
            count = run_part(
                raster, part.entries, times, neurons, part.replay_ptr, part.replay_source, part.first_own, mine.net,
                par, self.step, ticks, record[chosen] - part.first, np.ascontiguousarray(noise[:, chosen]), codes,
                when, who, counters,
            )  # fmt: skip
            v[:, chosen] = codes
            times, neurons = np.concatenate([times, when[:count]]), np.concatenate([neurons, who[:count] + part.first])
            order = np.argsort(times, kind="stable")
            times, neurons = times[order], neurons[order]
        return times, neurons


def open_chip(descriptor: Descriptor) -> BrainScales2Chip:
    """Check and decode a descriptor.

    Raises:
        DescriptorError: an image is inconsistent or beyond what the chip holds.
    """
    arrays, manifest = descriptor.arrays, descriptor.manifest
    schema.check_images(arrays, manifest)
    parts = decode(arrays, first_lines(manifest.ports)[0])
    number = np.full((len(parts), spec.NEURONS), -1, np.int64)
    for p, part in enumerate(parts):
        number[p, part.circuits] = part.first + np.arange(part.n)
    return BrainScales2Chip(
        n_neurons=sum(part.n for part in parts),
        placement={
            layer.name: number[tuple(arrays[schema.PLACEMENT + layer.name].T)].astype(np.int64)
            for layer in manifest.layers
        },
        parts=tuple(parts),
        lines=sum(p.n for p in manifest.ports),
        step=schema.read_section(manifest).step_ps * 1e-6,
    )
