"""Real weights, thresholds and decays -> 6-bit weights and calibrated targets of neurons in continuous time.

A step is `step_us` of hardware time (1 us). tau = -step/ln(decay), moved into what can be calibrated. An event of
weight w changes a current that decays with tau_syn, so the membrane k + 1 steps later is at

    v = leak + U w (dm^(k+1) - ds^(k+1)) / (dm - ds),   dm = e^(-step/tau_mem), ds = e^(-step/tau_syn)

which is a CubaLIF's response to an input of step k = 0, exactly, at the end of every step. An LIF has no current: it
gets the shortest tau_syn, with the same response in the first step (a read-out: with the same response in later ones);
what differs is reported. U codes are the model's unit: threshold - reset = U * threshold. What no step-wise model shows
remains: a neuron fires, and its spike acts, when v reaches the threshold and not at the end of the step.

A population in which every source alone reaches the threshold (max pooling of spikes) never integrates: after each step
its v is 0. So it gets the shortest time constants, with which one event crosses soon and leaves little behind.

One scale per population makes the largest weights 63; it may clip the largest if that makes the others more exact. A
bias of an LIF or LI is a leak potential, shifted by U b / (1 - dm), exactly; where that is no calibrated potential, and
for a CubaLIF, whose bias passes through its current, it stays a line of the host: a signed input, an event per step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LI, LIF, BrainScales2Neuron, CubaLI, CubaLIF
from snnkit.graph.synapses import Dense, IntegerFormat, Sparse
from snnkit.targets.brainscales2 import spec
from snnkit.targets.brainscales2.registers import nearest_refractory
from snnkit.targets.brainscales2.timing import real_time
from snnkit.targets.quantized import Quantized, on_chip_timeline

Array = np.ndarray[Any, Any]

CLIP_CHOICES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
"""Shares of the largest weight that 63 may stand for; the one with the least squared error is taken."""
RATE = 0.2
"""Firing rate of sources whose rate is not known, for the range of a read-out."""
DEVIATIONS = 4.0
REFRACTORY_SHIFT = 0.9
"""A model's neuron rests from its spike to the end of the step, and r steps more: a strongly driven one, whose spike
comes early in the step, for nearly r + 1 steps. Of the values tried, this one changed the fewest spikes."""

RELAY_MARGIN, RELAY_HOLD = 1.5, 0.86
"""Of a population that never integrates: the peak of v after one event over the threshold (spread of 11 % between
circuits leaves 4 sigma), and the steps for which it rests: several events of one step are one spike, as far as they are
close. Of the values tried with windows of 4 and 9 lines and this margin, the rest that changed the fewest spikes."""


def quantize(graph: Graph, rates: Mapping[str, Array] | None = None, *, step_us: float = 1.0) -> Quantized:
    """Quantise a float graph on the chip timeline that passed `rules.check`.

    The result is in real time: no lags, no delays between neurons.

    Args:
        graph: see above.
        rates: firing probability per step of each source; set the range of a read-out.
        step_us: hardware time of a step.
    """
    on_chip_timeline(graph)
    graph = real_time(graph)
    populations: list[Population] = []
    connections: dict[str, Connection] = {}
    report: list[dict[str, Any]] = []
    findings: list[Finding] = []
    folded: set[str] = set()
    for p in graph.populations:
        layer = _Layer(graph, p, rates or {}, step_us)
        populations.append(replace(p, neuron=layer.solve(), bias=None))
        connections |= layer.made
        folded |= layer.folded
        report.append(layer.report)
        findings += layer.findings
    ordered = tuple(connections[c.name] for c in graph.connections if c.name in connections)
    inputs = tuple(i for i in graph.inputs if i.name not in folded)
    made = graph.with_(inputs=inputs, populations=tuple(populations), connections=ordered)
    return Quantized(made, report, findings)


def first_response(dm: Array, ds: Array) -> Array:
    """(dm - ds) / (1/tau_syn - 1/tau_mem) in steps, dm if they are equal: v one step after a current of 1."""
    rate = np.log(dm) - np.log(ds)
    near = np.abs(rate) < 1e-6
    return np.where(near, dm * (1 - rate / 2), (dm - ds) / np.where(near, 1.0, rate))


class _Layer:
    """Works out one population."""

    def __init__(self, graph: Graph, population: Population, rates: Mapping[str, Array], step_us: float) -> None:
        self.graph, self.p, self.rates, self.step_us = graph, population, rates, step_us
        neuron = population.neuron
        assert isinstance(neuron, LIF | CubaLIF | LI | CubaLI)
        self.neuron = neuron
        self.readout = isinstance(neuron, LI | CubaLI)
        self.current = isinstance(neuron, CubaLIF | CubaLI)
        self.report: dict[str, Any] = {"layer": population.name, "neurons": population.n}
        self.findings: list[Finding] = []
        self.made: dict[str, Connection] = {}
        self.folded: set[str] = set()
        step = step_us * 1e6
        decay = np.asarray(getattr(neuron, "decay_mem", getattr(neuron, "decay", None)), np.float64)
        self.relay = self._never_integrates()
        if self.relay:
            self.report["relay"] = True
            decay = np.full_like(decay, np.exp(-step / spec.TAU_MEM_PS[0]))
        self.tau_mem = self._tau("tau_mem", decay, step, spec.TAU_MEM_PS)
        syn = np.asarray(neuron.decay_syn, np.float64) if isinstance(neuron, CubaLIF | CubaLI) else None
        if syn is None:
            self.tau_syn = np.full(population.n, spec.TAU_SYN_PS[0], np.int64)
        else:
            self.tau_syn = self._tau("tau_syn", syn, step, spec.TAU_SYN_PS)
        self.dm, self.ds = np.exp(-step / self.tau_mem), np.exp(-step / self.tau_syn)

    def _never_integrates(self) -> bool:
        """Whether each weight of an LIF reaches the threshold alone, so that v is 0 after every step."""
        if (
            not isinstance(self.neuron, LIF)
            or self.neuron.refractory
            or (self.p.bias is not None and self.p.bias.any())
        ):
            return False
        incoming, gates = (
            self.graph.incoming(self.p.name),
            {i.name for i in self.graph.inputs if i.gate_from is not None},
        )
        if any(c.src in gates for c in incoming):
            return False
        level = np.broadcast_to(np.asarray(self.neuron.threshold, np.float64), (self.p.n,))
        rows = [sp.coo_matrix(c.synapse.matrix()) for c in incoming]
        return any(m.nnz for m in rows) and all(np.all(m.data >= level[m.row]) for m in rows)

    def _tau(self, name: str, decay: Array, step: float, limits: tuple[int, int]) -> Array:
        """Time constants in ps; those that cannot be calibrated become the nearest that can."""
        with np.errstate(divide="ignore"):
            wanted = np.where(decay > 0, -step / np.log(np.clip(decay, 1e-300, 1 - 1e-12)), 0.0)
        made = np.clip(np.rint(wanted), *limits).astype(np.int64)
        moved = np.abs(np.exp(-step / made) - decay)
        self.report[f"{name}_us"] = [float(made.min(initial=limits[1])) * 1e-6, float(made.max(initial=0)) * 1e-6]
        self.report[f"{name}_decay_error"] = float(moved.max(initial=0))
        clipped = int(np.sum((wanted < limits[0] - 0.5) | (wanted > limits[1] + 0.5)))
        if clipped:
            self.findings.append(
                Finding(
                    "TIME_CONSTANT", self.p.name,
                    f"{name} of {clipped} neurons becomes the nearest that can be calibrated; their decay changes by "
                    f"up to {moved.max():.3g}", "note", resource=f"{name} in us",
                    needed=float(wanted.max() if wanted.max() > limits[1] else wanted.min()) * 1e-6,
                    available=(limits[1] if wanted.max() > limits[1] else limits[0]) * 1e-6,
                    remedy=f"train with decays from {np.exp(-step / limits[0]):.3f} to {np.exp(-step / limits[1]):.3f}",
                )
            )  # fmt: skip
        return made

    def solve(self) -> BrainScales2Neuron:
        incoming = self.graph.incoming(self.p.name)
        matrices = {c.name: sp.csr_matrix(c.synapse.matrix(), dtype=np.float64) for c in incoming}
        for m in matrices.values():
            m.sum_duplicates()
        unit = self._unit(incoming, matrices)
        rest = spec.READOUT_CODE if self.readout else spec.LEAK_CODE
        leak = rest + self._leak_shift(incoming, matrices, unit)
        kept = [c for c in incoming if c.name in matrices]
        scale = self._scale([matrices[c.name] for c in kept])
        rows = {}
        for c in kept:
            self.made[c.name], rows[c.name] = self._connection(c, matrices[c.name], scale)
        first = first_response(self.dm, self.ds)
        if self.readout and not self.current:
            first = first / (1 - self.ds / self.dm) if np.all(self.ds < self.dm) else first
        gain = unit / first / self.step_us / scale
        if self.relay:  # K(s) of two time constants of T has its peak, T/e, at T
            least = np.min(np.concatenate([matrices[c.name].data for c in kept])) * scale
            height = spec.THRESHOLD_CODE - spec.LEAK_CODE
            gain = np.full_like(
                gain, RELAY_MARGIN * height * np.e / (spec.TAU_SYN_PS[0] * 1e-6) / min(np.rint(least), spec.WEIGHT_MAX)
            )
        self.report |= {"scale": scale, "codes_per_unit": [float(unit.min(initial=np.inf)), float(unit.max(initial=0))],
                        "connections": rows}  # fmt: skip
        if not self.current:
            self.report["missing_synaptic_decay"] = float(self.ds.max(initial=0))
        n = self.p.n
        fires = not self.readout
        level = np.full(n, float(spec.THRESHOLD_CODE)) if fires else np.full(n, float(spec.CODE_MAX))
        hold = self.neuron.refractory + REFRACTORY_SHIFT if isinstance(self.neuron, LIF | CubaLIF) else 0.0
        hold = RELAY_HOLD if self.relay else hold

        def micro(x: Array) -> Array:
            return np.rint(np.asarray(x, np.float64) * 1e6).astype(np.int64)

        return BrainScales2Neuron(
            tau_mem=self.tau_mem, tau_syn_e=self.tau_syn, tau_syn_i=self.tau_syn, v_leak=micro(leak),
            v_reset=micro(np.full(n, float(rest))), v_thresh=micro(level), gain=micro(gain),
            t_hold=np.full(n, nearest_refractory(hold * self.step_us * 1e6), np.int64), fires=fires,
            step=round(self.step_us * 1e6),
        )  # fmt: skip

    def _unit(self, incoming: list[Connection], matrices: Mapping[str, sp.csr_matrix]) -> Array:
        """Codes for 1 in the model: puts the threshold where it is, or a read-out's range into the trusted codes."""
        n = self.p.n
        if isinstance(self.neuron, LIF | CubaLIF):
            return (spec.THRESHOLD_CODE - spec.LEAK_CODE) / np.asarray(self.neuron.threshold, np.float64)
        steps = self.graph.steps or 1
        mean, var, top = np.zeros(n), np.zeros(n), np.zeros(n)
        gates = {i.name for i in self.graph.inputs if i.gate_from is not None}
        if self.p.bias is not None:
            mean = mean + np.asarray(self.p.bias, np.float64)
        for c in incoming:
            m = matrices[c.name]
            rate = np.ones(m.shape[1]) if c.src in gates else self.rates.get(c.src, np.full(m.shape[1], RATE))
            rate = np.asarray(rate, np.float64).reshape(-1)
            mean = mean + m @ rate
            var = var + m.multiply(m) @ np.maximum(rate * (1 - rate), 0 if c.src in gates else 1e-3)
            top = np.maximum(top, np.asarray(abs(m).max(axis=1).todense()).reshape(-1) if m.nnz else 0)
        d = self.dm
        sums, squares = (1 - d**steps) / (1 - d), (1 - d ** (2 * steps)) / (1 - d * d)
        if self.current:
            sums, squares = sums / (1 - self.ds), squares / (1 - self.ds) ** 2
        reach = np.abs(mean) * sums + DEVIATIONS * np.sqrt(var * squares) + top
        return np.full(n, spec.READOUT_SPAN / (float(reach.max(initial=0)) or 1.0))

    def _leak_shift(self, incoming: list[Connection], matrices: dict[str, sp.csr_matrix], unit: Array) -> Array:
        """Codes by which the leak potential moves for a bias; removes the lines that it replaces."""
        gates = {i.name for i in self.graph.inputs if i.gate_from is not None}
        shift = np.zeros(self.p.n)
        if self.p.bias is not None and np.any(self.p.bias):
            shift = unit * np.asarray(self.p.bias, np.float64) / (1 - self.dm)
            if self.current:
                shift = shift / (1 - self.ds)
        if self.current:
            return shift
        rest = spec.READOUT_CODE if self.readout else spec.LEAK_CODE
        for c in incoming:
            if c.src in gates and len(self.graph.outgoing(c.src)) == 1:
                more = shift + unit * np.asarray(matrices[c.name].sum(1)).reshape(-1) / (1 - self.dm)
                if np.all((rest + more >= spec.CODE_TRUSTED_LOW) & (rest + more <= spec.CODE_TRUSTED_HIGH)):
                    shift = more
                    del matrices[c.name]
                    self.folded.add(c.src)
                    self.report["bias"] = "leak potential"
        return shift

    def _scale(self, matrices: list[sp.csr_matrix]) -> float:
        """Integers per unit of weight: one for the population."""
        data = np.concatenate([np.zeros(0), *(m.data for m in matrices)])
        top = float(np.abs(data).max(initial=0))
        if top == 0:
            return 1.0
        best, scale = np.inf, spec.WEIGHT_MAX / top
        for share in CLIP_CHOICES:
            s = spec.WEIGHT_MAX / (top * share)
            made = np.clip(np.rint(data * s), -spec.WEIGHT_MAX, spec.WEIGHT_MAX) / s
            error = float(np.sum((made - data) ** 2))
            if error < best:
                best, scale = error, s
        return scale

    def _connection(self, c: Connection, m: sp.csr_matrix, scale: float) -> tuple[Connection, dict[str, Any]]:
        wanted = m.data * scale
        whole = np.clip(np.rint(wanted), -spec.WEIGHT_MAX, spec.WEIGHT_MAX).astype(np.int32)
        made = sp.csr_matrix((whole, m.indices, m.indptr), shape=m.shape)
        synapse = Dense(made.toarray()) if isinstance(c.synapse, Dense) else Sparse(made)
        row = {
            "weights": int(np.count_nonzero(m.data)),
            "clipped": int(np.sum(np.abs(np.rint(wanted)) > spec.WEIGHT_MAX)),
            "zeroed": int(np.sum((whole == 0) & (m.data != 0))),
            "rms_error_of_rms": float(
                np.sqrt(np.mean((whole - wanted) ** 2) / max(np.mean(wanted**2), 1e-30)) if m.data.size else 0.0
            ),
        }
        return replace(c, synapse=synapse, format=IntegerFormat(7)), row


__all__ = ["Quantized", "first_response", "quantize"]
