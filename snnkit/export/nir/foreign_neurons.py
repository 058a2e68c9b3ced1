"""Neurons of others → ours: time constants in seconds become decays of a step, gains go into thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from snnkit.export.nir.dialects import Dialect
from snnkit.export.nir.model import FIRING, Array, Node
from snnkit.export.nir.neurons import GAIN_OF_ONE, above
from snnkit.graph.findings import Finding
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF, Neuron


@dataclass(eq=False)
class Decoded:
    """A foreign node as our neuron. `factor` multiplies its input where no threshold can take the gain."""

    neuron: Neuron | None = None
    bias: Array | None = None
    factor: Array | None = None
    findings: list[Finding] = field(default_factory=list)


class _Refused(Exception):
    """The node cannot be ours; the findings say why."""


class _Decoder:
    def __init__(self, path: str, node: Node, way: Dialect, dt: float, reset: Literal["zero", "subtract"]) -> None:
        self.path, self.node, self.way, self.dt, self.reset = path, node, way, dt, reset
        self.out = Decoded()

    def find(self, code: str, what: str, remedy: str = "", severity: Any = "error") -> None:
        self.out.findings.append(Finding(code, self.path, what, severity, remedy=remedy))

    def refuse(self, code: str, what: str, remedy: str = "") -> _Refused:
        self.find(code, what, remedy)
        return _Refused()

    def value(self, name: str, default: float | None = None) -> Array:
        """A parameter as float64 [n]; a missing one has its default everywhere."""
        if name in self.node.fields:
            return self.node.array(name).astype(np.float64).reshape(-1)
        assert default is not None
        return np.full_like(self.value(next(iter(self.node.fields))), default)

    def tau(self, name: str) -> tuple[Array, Array]:
        """The decay and 1 - decay of a time constant."""
        tau = self.value(name)
        if np.any(~(tau > 0)) or np.any(np.isinf(tau)):
            worst = float(tau[~(tau > 0) | np.isinf(tau)][0])
            raise self.refuse("NIR_TAU", f"{name} is {worst:g}; a time constant is positive and finite",
                              "a neuron without a leak is an IF or I")  # fmt: skip
        if self.way.euler and np.any(tau < self.dt * (1 - GAIN_OF_ONE)):
            raise self.refuse(
                "NIR_TAU", f"{name} is {float(tau.min()):g} s, below the step of {self.dt:g} s: forward Euler "
                "(v loses dt/tau of itself) would turn its sign", "give a shorter --dt, or another --dialect",
            )  # fmt: skip
        return np.clip(self.way.decay(tau, self.dt), 0, 1), self.way.lost(tau, self.dt)

    def run(self) -> Decoded:
        kind = self.node.type
        try:
            if kind == "Threshold":
                level = self.node.array("threshold").reshape(-1)
                n = level.size
                self.out.neuron = LIF(np.zeros(n, np.float32), self.level(level.astype(np.float64), np.ones(n)), "zero")
            elif kind in ("I", "IF"):
                self.integrator(kind)
            else:
                self.leaky(kind)
        except _Refused:
            self.out.neuron = None
        return self.out

    def integrator(self, kind: str) -> None:
        r = self.value("r")
        gain = self.unit(self.way.gains(kind, (), r, None, self.dt))
        if self.way.name == "nir" and np.all(r == 1) and self.dt != 1:
            self.find(
                "NIR_GAIN", f"r is 1, so a step of {self.dt:g} s adds {self.dt:g} of the input to v",
                "norse, snntorch and sinabs write r = 1 for a gain of 1: read their files with --dialect", "warning",
            )  # fmt: skip
        decay = np.ones(r.size, np.float32)
        if kind == "I":
            self.out.neuron, self.out.factor = LI(decay), gain
            return
        bias = self.rest(np.zeros(r.size), gain, 0 * gain, cuba=False)
        self.out.neuron, self.out.bias = LIF(decay, self.threshold(gain), self.reset), bias

    def leaky(self, kind: str) -> None:
        cuba = kind.startswith("Cuba")
        decay, lost = self.tau("tau_mem" if cuba else "tau")
        syn, losses = None, [lost]
        if cuba:
            syn, lost_syn = self.tau("tau_syn")
            losses.append(lost_syn)
        w_in = self.value("w_in", 1.0) if cuba else None
        gain = self.unit(self.way.gains(kind, tuple(losses), self.value("r"), w_in, self.dt))
        leak = self.value("v_leak")
        d32 = decay.astype(np.float32)
        if kind not in FIRING:
            if np.any(leak):
                raise self.refuse("NIR_LEAK", "v_leak is not 0: the value that is read out would not start at rest",
                                  "shift the read-out so that it rests at 0")  # fmt: skip
            self.out.neuron = LI(d32) if syn is None else CubaLI(syn.astype(np.float32), d32)
            self.out.factor = gain
            return
        bias = self.rest(leak, gain, lost, cuba)
        threshold = self.threshold(gain, shift=leak if bias is None else None)
        self.out.bias = bias
        if syn is None:
            self.out.neuron = LIF(d32, threshold, self.reset)
        else:
            self.out.neuron = CubaLIF(syn.astype(np.float32), d32, threshold, self.reset)

    def unit(self, gain: Array) -> Array:
        """The gain, exactly 1 where rounding made it nearly so."""
        if np.any(~(gain > 0)) or not np.all(np.isfinite(gain)):
            worst = float(gain[~(gain > 0) | ~np.isfinite(gain)][0])
            what = f"its input is multiplied by {worst:g} (from r, w_in and tau); it must be positive"
            raise self.refuse("NIR_GAIN", what, "put the sign into the weights")
        return np.where(np.abs(gain - 1) <= GAIN_OF_ONE, 1.0, gain)

    def rest(self, leak: Array, gain: Array, lost: Array, cuba: bool) -> Array | None:
        """The bias that a leak potential is, or None where v is counted from it."""
        target = self.value("v_reset", 0.0)
        if self.reset == "subtract":
            if np.any(target):
                raise self.refuse("NIR_RESET", "v_reset is not 0, but the reset is to subtract the threshold",
                                  "give --reset zero, or set v_reset to 0")  # fmt: skip
        elif np.array_equal(leak, target):
            if np.any(leak):
                self.find("NIR_LEAK", "v is counted from v_leak, where it starts and to which it is reset", "", "note")
            return None
        elif np.any(target):
            raise self.refuse("NIR_RESET", "v_reset is neither 0 nor v_leak; our neurons are reset to where they rest",
                              "set v_reset to 0 or to v_leak")  # fmt: skip
        if not np.any(leak):
            return None
        if cuba:
            raise self.refuse("NIR_LEAK", "v_leak drives the membrane, but a bias of ours passes through the current",
                              "set v_leak to v_reset or to 0")  # fmt: skip
        return (lost * leak / gain).astype(np.float32)

    def threshold(self, gain: Array, shift: Array | None = None) -> Array:
        level = self.value("v_threshold")
        return self.level(level if shift is None else level - shift, gain)

    def level(self, level: Array, gain: Array) -> Array:
        """Our threshold for v > level (or >=, as the dialect says) behind a gain."""
        if not np.all(level > 0):
            what = f"the threshold lies {float(level.min()):g} above rest; it must be positive"
            raise self.refuse("NIR_THRESHOLD", what, "shift threshold, v_leak and v_reset together")
        scaled = np.where(gain == 1, level, level / gain)
        return above(scaled) if self.way.strict else scaled.astype(np.float32)


def decode(path: str, node: Node, way: Dialect, dt: float, reset: Literal["zero", "subtract"]) -> Decoded:
    """A foreign node as a neuron of ours, or the findings that say why it cannot be."""
    decoded = _Decoder(path, node, way, dt, reset).run()
    if way.multiple and node.type in FIRING:
        decoded.findings.append(
            Finding("NIR_MULTIPLE", path, f"in {way.name} it may fire several times in a step, here once", "warning")
        )
    return decoded
