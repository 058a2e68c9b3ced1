"""Neurons ↔ nodes: decays and thresholds of a step against time constants, resistances and a strict threshold test.

Our v ← decay·v + x has no gain, so r (and w_in) are written such that the reader's gain is 1, or the threshold is
multiplied by the gain where the reader ignores r. Our test is v ≥ threshold, NIR's v > v_threshold: the next lower
float32 is written, which is the same test for float32 states, and the next higher one is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnkit.errors import NirError
from snnkit.export.nir.dialects import Dialect
from snnkit.export.nir.model import Array, Node
from snnkit.graph.findings import Finding
from snnkit.graph.neurons import (
    LI,
    LIF,
    BrainScales2Neuron,
    ChipNeuron,
    CubaLI,
    CubaLIF,
    LinearLeakIF,
    LoihiNeuron,
    Neuron,
    SpinnakerNeuron,
    TrueNorthAxon,
    TrueNorthNeuron,
    TrueNorthOutput,
)

GAIN_OF_ONE = 1e-6
"""A gain this near to 1 is 1: time constants and r are rounded to float32 by some writers."""


def below(threshold: Array) -> Array:
    """The next lower float32: v > it is v >= threshold."""
    return np.nextafter(np.asarray(threshold, np.float32), np.float32(-np.inf))


def above(threshold: Array) -> Array:
    """The next higher float32: v >= it is v > threshold."""
    return np.nextafter(np.asarray(threshold, np.float32), np.float32(np.inf))


# ------------------------------------------------------------------------------------------------------------- writing
def encode(neuron: Neuron, shape: tuple[int, ...], way: Dialect, dt: float, metadata: dict[str, Any]) -> Node:
    """The node of a population; every parameter has the shape of its features."""
    drive: Array | None = None
    if isinstance(neuron, LoihiNeuron):
        neuron, drive = _real(neuron)
    if isinstance(
        neuron, BrainScales2Neuron | ChipNeuron | SpinnakerNeuron | TrueNorthNeuron | TrueNorthAxon | TrueNorthOutput
    ):
        raise NirError(
            f"the integers of a {neuron.__class__.__name__} are not written as NIR",
            fix="write the float graph that they come from",
        )
    if isinstance(neuron, LinearLeakIF):
        raise NirError("NIR has no neuron with a linear leak or a floor", fix="write a network of LIF neurons")
    if written_type(neuron, way) == "CubaLIF" and isinstance(neuron, LIF):
        neuron = CubaLIF(np.zeros_like(neuron.decay), neuron.decay, neuron.threshold, neuron.reset, neuron.refractory)
    membrane = neuron.decay if isinstance(neuron, LIF | LI) else neuron.decay_mem
    fires = isinstance(neuron, LIF | CubaLIF)
    n = membrane.size
    fields: dict[str, Array] = {}
    type = {LIF: "LIF", LI: "LI", CubaLIF: "CubaLIF", CubaLI: "CubaLI"}[neuron.__class__]
    integrates = bool(np.all(membrane == 1)) and drive is None and n > 0
    plain = {"LIF": "IF", "LI": "I"}.get(type)
    if integrates and plain in way.types and way.name != "sinabs":  # its IF keeps v above -threshold
        type = str(plain)
        fields["r"] = np.full(n, 1 / dt if way.name == "nir" else 1.0)
        gain = np.ones(n)
    else:
        tau = way.tau(membrane, dt)
        lost = way.lost(tau, dt)
        r = _resistance(type, lost, tau, way, dt)
        w_in = None
        losses: tuple[Array, ...] = (lost,)
        if isinstance(neuron, CubaLIF | CubaLI):
            tau_syn = way.tau(neuron.decay_syn, dt)
            losses = (lost, way.lost(tau_syn, dt))
            w_in = np.ones(n) if way.name == "rockpool" else 1 / losses[1]
            fields |= {"tau_syn": tau_syn, "tau_mem": tau}
        else:
            fields["tau"] = tau
        fields |= {"r": r, "v_leak": np.zeros(n) if drive is None else drive / lost}
        if w_in is not None:
            fields["w_in"] = w_in
        gain = way.gains(type, losses, r, w_in, dt)
    if fires:
        assert isinstance(neuron, LIF | CubaLIF)
        level = neuron.threshold if np.allclose(gain, 1, rtol=GAIN_OF_ONE, atol=0) else neuron.threshold * gain
        level = below(level) if way.strict else np.asarray(level, np.float32)
        fields |= {"v_threshold": level.astype(np.float64), "v_reset": np.zeros(n)}
    return Node(type, {k: v.reshape(shape) for k, v in fields.items()}, metadata)


def written_type(neuron: Neuron, way: Dialect) -> str:
    """LIF or CubaLIF for a firing neuron. norse lets the caller choose the reset of a CubaLIF, not of a LIF."""
    told = way.name == "norse" and isinstance(neuron, LIF) and neuron.reset == "subtract"
    return "CubaLIF" if told or isinstance(neuron, CubaLIF) else "LIF"


def _resistance(type: str, lost: Array, tau: Array, way: Dialect, dt: float) -> Array:
    """r such that the gain of the membrane is 1, where the reader lets r do that."""
    if way.name == "rockpool":
        return tau / dt - 1  # it finds its dt from it
    if way.name == "sinabs" or (way.name == "norse" and type == "LIF"):
        return np.ones_like(tau)
    return 1 / lost


def _real(neuron: LoihiNeuron) -> tuple[CubaLIF, Array | None]:
    """Integer registers as real numbers in units of u, and the bias that drives the membrane."""
    level = above(neuron.vth.astype(np.float64) * 64)
    rate_u = np.clip(neuron.du + neuron.ds_offset, 0, 4096)
    syn, mem = ((1 - r.astype(np.float64) / 4096).astype(np.float32) for r in (rate_u, neuron.dv))
    bias = neuron.bias_mant.astype(np.float64) * 2.0**neuron.bias_exp
    return CubaLIF(syn, mem, level), bias if np.any(bias) else None


def losses(name: str, neuron: Neuron, way: Dialect) -> Iterator[Finding]:
    """What a reader of this dialect will not do as our neuron does."""

    def loss(code: str, what: str, remedy: str, severity: Any = "warning") -> Finding:
        return Finding(code, name, what, severity, remedy=remedy)

    refractory = int(neuron.refract.max()) - 1 if isinstance(neuron, LoihiNeuron) else getattr(neuron, "refractory", 0)
    if refractory > 0:
        what = f"is refractory for {refractory} steps, which only our metadata say: other readers fire too early"
        yield loss("NIR_REFRACTORY", what, "train without, for other readers")
    if isinstance(neuron, LoihiNeuron):
        what = "integer registers are written as real numbers: a reader neither rounds nor saturates"
        yield loss("NIR_INTEGERS", what, "", "note")
    if not isinstance(neuron, LIF | CubaLIF):
        return
    does = way.reset(written_type(neuron, way))
    if does is not None and does != neuron.reset:
        what = f"resets by {_words(neuron.reset)}, but {way.name} will reset by {_words(does)}"
        yield loss("NIR_RESET", what, f'train with reset="{does}" for this reader')
    elif does is None and neuron.reset == "subtract":
        told = "from_nir(reset_method=norse.torch.functional.reset.reset_subtract)"
        what = "resets by subtracting the threshold, which NIR cannot say: the reader must be told"
        yield loss("NIR_RESET", what, told if way.name == "norse" else "tell the reader")
    if way.multiple:
        what = f"{way.name} fires several times in a step where v is several thresholds, we once"
        yield loss("NIR_MULTIPLE", what, "smaller weights, or shorter steps")
    if way.one_threshold and np.unique(neuron.threshold).size > 1:
        what = f"{way.name} reads one threshold per layer, this one has several"
        yield loss("NIR_NOT_READ", what, "train with one threshold, or use another dialect", "error")
    if way.name == "rockpool" and isinstance(neuron, CubaLIF) and np.any(neuron.decay_syn == 0):
        what = "its current has a decay of 0; in rockpool it decays before it reaches the membrane, so nothing would"
        yield loss("NIR_NOT_READ", what, "train with a decay_syn above 0", "error")


def _words(reset: str) -> str:
    return "setting v to 0" if reset == "zero" else "subtracting the threshold"
