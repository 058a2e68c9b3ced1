"""The emulator from call to call: some ticks now, more later, equal bit for bit to one run over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from snnkit.descriptor.schema import Readout
from snnkit.emulator.chip import Stepwise, Stimulus
from snnkit.emulator.host import HostPart
from snnkit.errors import ShapeError, UsageError

if TYPE_CHECKING:
    from snnkit.emulator.engine import Emulator

Array = np.ndarray[Any, Any]

_FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Ticks:
    """What some ticks gave, from tick `first` after the reset on; see `EmulationResult`, but for the lags: the layers
    that the host runs after the chip are late as well (`Stream.lags`).

    Attributes:
        spikes: uint8 [ticks, B, n] by layer. u, v: int32 [ticks, B, n] of the probed layers (float32 on the host).
        counters: int64 [B] by name, of these ticks.
    """

    first: int
    ticks: int
    spikes: Mapping[str, Array]
    u: Mapping[str, Array]
    v: Mapping[str, Array]
    counters: Mapping[str, Array]


class Stream:
    """A chip, and the host around it, that run on; made by `Emulator.stream`.

    Attributes:
        tick: the tick that comes next, counted from the reset. lags: ticks by which each layer is late.
        readout: how the answer is read (None: there is none), from a layer that is late by `lags[readout.layer]`.
    """

    def __init__(
        self, emulator: Emulator, batch: int, wanted: Mapping[str, tuple[str, ...]], draws: int | None
    ) -> None:
        chip, manifest = emulator.chip, emulator.manifest
        if not hasattr(chip, "go_on"):
            raise UsageError(
                f"{manifest.target} runs whole samples only, not some ticks now and more later",
                why="each part of a network runs over all ticks before the next one starts",
                fix="run whole samples with Emulator.run",
            )
        if batch < 1:
            raise UsageError(f"a batch of {batch} samples", fix="give at least 1")
        self._chip = cast(Stepwise, chip)
        self._emulator, self.batch, self._wanted, self._draws = emulator, batch, wanted, draws
        self._before, self._after = emulator.host.parts
        self.lags = {layer.name: layer.lag for layer in manifest.layers}
        self.lags |= {layer.name: 0 for layer in (self._before.network.layers if self._before else ())}
        late = 0
        if self._after is not None:
            late = max((self.lags.get(port.name, 0) for port in self._after.network.ports), default=0)
            self.lags |= {layer.name: late for layer in self._after.network.layers}
        self.readout: Readout | None = manifest.readout
        if self._after is not None and self._after.network.readout is not None:
            self.readout = self._after.network.readout
        self.max_lag = max(manifest.max_lag, late)
        self._needed = {name for name, states in wanted.items() if "s" in states}
        self._needed |= {p.name for p in (self._after.network.ports if self._after else ())}
        self._columns = emulator.recorded(wanted)
        self._record = np.unique(np.concatenate([np.zeros(0, np.int64), *self._columns.values()]))
        self.reset()

    def reset(self) -> None:
        """Back to the state before the first tick."""
        self.tick = self._fed = 0
        self._open = True
        self._state = self._chip.start(self.batch, self._emulator.max_count)
        self._host = [None if part is None else part.start(self.batch) for part in (self._before, self._after)]
        self._waiting: dict[str, list[Array]] = {}
        self._skip = {p.name: self.lags.get(p.name, 0) for p in (self._after.network.ports if self._after else ())}

    def feed(self, inputs: Mapping[str, Array]) -> Ticks:
        """The next ticks; gate lines are on from their first tick on.

        Args:
            inputs: uint8 [ticks, B, n] of every one of `manifest.inputs`.

        Raises:
            UsageError: an unknown port, or the stream was flushed. ShapeError: a shape that does not fit.
        """
        if not self._open:
            raise UsageError("the stream was flushed: its input has ended", fix="reset it")
        given = self._emulator.checked(inputs)
        steps, batch = next(iter(given.values())).shape[:2]
        if batch != self.batch:
            raise ShapeError(f"the input has {batch} samples, the stream was opened for {self.batch}")
        self._fed += steps
        return self._run(given, _FOREVER)

    def flush(self) -> Ticks:
        """The ticks that layers are late by, without input: with them every layer has seen all that was fed.

        Equal to the end of `Emulator.run` over the same input; then the stream must be reset.
        """
        silent = {p.name: np.zeros((self.max_lag, self.batch, p.n), np.uint8) for p in self._emulator.manifest.inputs}
        self._open = False
        return self._run(silent, self._fed)

    def _run(self, given: dict[str, Array], end: int) -> Ticks:
        """Ticks with these inputs [ticks, B, n], where gate lines carry a 1 for `end` ticks each."""
        emulator, ticks, first = self._emulator, len(next(iter(given.values()))), self.tick
        spikes: dict[str, Array] = {}
        v: dict[str, Array] = {}
        if self._before is not None and end == _FOREVER:
            traces = self._before.run(given, self._host[0])
            spikes, v = dict(traces.spikes), dict(traces.v)
        elif self._before is not None:  # its input has ended: it sends nothing any more
            shape = {layer.name: (ticks, self.batch, layer.n) for layer in self._before.network.layers}
            spikes = {name: np.zeros(s, np.uint8) for name, s in shape.items()}
            v = {name: np.zeros(s, np.float32) for name, s in shape.items()}
        fed = {**given, **spikes}
        gate_from = emulator.gate_from
        gate_to = np.full_like(gate_from, _FOREVER) if end == _FOREVER else gate_from + end
        stimulus = Stimulus(
            emulator.raster(fed), emulator.max_count, gate_from, gate_to, ticks, None, self._record, self._draws
        )
        run = self._chip.go_on(stimulus, self._state)
        self.tick += ticks
        on_chip = emulator.by_layer(run.spikes, self._needed)
        where = {name: np.searchsorted(self._record, column) for name, column in self._columns.items()}
        v |= {name: run.v[:, :, w] for name, w in where.items()}
        if self._after is not None:
            late_spikes, late_v = self._late(self._after, {**fed, **on_chip}, ticks)
            spikes, v = {**spikes, **late_spikes}, {**v, **late_v}
        spikes |= on_chip
        return Ticks(
            first, ticks,
            {name: s for name, s in spikes.items() if "s" in self._wanted[name]},
            {name: run.u[:, :, w] for name, w in where.items() if "u" in self._wanted[name]},
            {name: trace for name, trace in v.items() if name in self.reads or "v" in self._wanted[name]},
            run.counters,
        )  # fmt: skip

    @property
    def reads(self) -> tuple[str, ...]:
        """The layer whose v is read for the answer, if any."""
        return () if self.readout is None or self.readout.of_spikes else (self.readout.layer,)

    def _late(self, part: HostPart, rows: Mapping[str, Array], ticks: int) -> tuple[dict[str, Array], dict[str, Array]]:
        """What the host runs after the chip, for the steps of which every source is known by now."""
        for name in self._skip:
            mine = rows[name][self._skip[name] :]
            self._skip[name] -= len(rows[name]) - len(mine)
            self._waiting.setdefault(name, []).append(mine)
        joined = {name: np.concatenate(parts) for name, parts in self._waiting.items()}
        ready = min(len(a) for a in joined.values())
        traces = part.run({name: a[:ready] for name, a in joined.items()}, self._host[1])
        self._waiting = {name: [a[ready:]] for name, a in joined.items()}

        def behind(trace: Array) -> Array:
            return np.concatenate([np.zeros((ticks - ready, *trace.shape[1:]), trace.dtype), trace])

        return {k: behind(s) for k, s in traces.spikes.items()}, {k: behind(x) for k, x in traces.v.items()}
