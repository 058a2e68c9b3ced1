"""Intel Loihi 1 in integers: weights and the ten steps of a compartment, each written out in its own words.

Where public references disagree, `LoihiReading` names the choices; its defaults are the rules under which all
reference vectors were made, and `READINGS` holds those of nengo-loihi 1.1.0, lava-nc 0.10.0 (`proc/lif/models.py`,
`utils/weightutils.py`) and brian2-loihi 0.5.2 (`loihi_synapses.py`), each of which models fewer limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from snnkit.errors import GraphError
from snnkit.graph.model import Connection
from snnkit.graph.neurons import LoihiNeuron
from snnkit.graph.rules.products import Part, by_delay
from snnkit.graph.synapses import LoihiWeightFormat

Array = np.ndarray[Any, Any]

MANTISSA_BITS = 8
WEIGHT_SHIFT = 6  # an exponent of 0 means 2**6
WEIGHT_LIMIT = 2**21 - 2**6
INPUT_BITS, CURRENT_BITS = 22, 24  # both with sign
DECAY_ONE = 4096
THRESHOLD_SHIFT = 6


@dataclass(frozen=True)
class LoihiReading:
    """Choices where the references disagree.

    Attributes:
        mixed_lsb: A1, dropped low bits of a negative mixed mantissa: towards minus infinity or towards zero.
        exponent_floor: A2, a negative exponent drops bits of each weight or of a connection's sum.
        exponent_round: A3, the direction of that drop.
        weight_limit: A4, a weight is limited to +-(2**21 - 2**6).
        inhibitory_min: A5, the lowest inhibitory mantissa.
        wrap_input: A6, the sum of a step's weights wraps to 22 bits.
        wrap_current: A7, u wraps to 24 bits: two's complement; `late` leaves +2**23 and turns -2**23 into it; or not.
        wrap_drive: A8, u + bias wraps to 24 bits.
        clip_voltage: A9, v saturates at vmin and vmax.
    """

    mixed_lsb: Literal["floor", "zero"] = "floor"
    exponent_floor: Literal["weight", "sum"] = "weight"
    exponent_round: Literal["floor", "zero"] = "floor"
    weight_limit: bool = True
    inhibitory_min: int = -255
    wrap_input: bool = True
    wrap_current: Literal["two", "late", "none"] = "two"
    wrap_drive: bool = True
    clip_voltage: bool = True

    @property
    def bounded(self) -> bool:
        """True if u and v always fit 32 bits."""
        return self.wrap_current != "none" and self.clip_voltage


READINGS: dict[str, LoihiReading] = {
    "reference": LoihiReading(),
    "nengo": LoihiReading(),
    "lava": LoihiReading(
        exponent_floor="sum", weight_limit=False, wrap_input=False, wrap_current="late", wrap_drive=False
    ),
    "brian2loihi": LoihiReading(
        mixed_lsb="zero",
        inhibitory_min=-256,
        wrap_input=False,
        wrap_current="none",
        wrap_drive=False,
        clip_voltage=False,
    ),
    "brian2loihi_utils": LoihiReading(
        exponent_round="zero", wrap_input=False, wrap_current="none", wrap_drive=False, clip_voltage=False
    ),
}


# ------------------------------------------------------------------------------------------------------------ weights
def stored_mantissa(mantissa: Array, fmt: LoihiWeightFormat, reading: LoihiReading) -> Array:
    """The mantissa that the synapse memory can hold: limited to the sign mode's range, low bits dropped. int64."""
    w = np.asarray(mantissa).astype(np.int64)
    step = 1 << (MANTISSA_BITS - fmt.bits + (1 if fmt.sign_mode == 1 else 0))
    if fmt.sign_mode == 1:
        w = np.clip(w, -256, 255)
        if reading.mixed_lsb == "floor":
            return np.floor_divide(w, step) * step
        return np.sign(w) * (np.abs(w) // step) * step
    if fmt.sign_mode == 2:
        return np.clip(w, 0, 255) // step * step
    if fmt.sign_mode == 3:
        return -(np.clip(-w, 0, -reading.inhibitory_min) // step * step)  # magnitudes are stored
    raise GraphError(f"sign mode {fmt.sign_mode} is none of 1 (mixed), 2 (excitatory), 3 (inhibitory)")


def _scaled(values: Array, exponent: int, direction: str) -> Array:
    """values * 2**exponent in whole numbers, times 2**6."""
    if exponent >= 0:
        return values << (exponent + WEIGHT_SHIFT)
    unit = 1 << -exponent
    whole = values // unit if direction == "floor" else np.sign(values) * (np.abs(values) // unit)
    return whole << WEIGHT_SHIFT


def effective_weight(mantissa: Array, fmt: LoihiWeightFormat, reading: LoihiReading | None = None) -> Array:
    """A weight in units of u: mantissa * 2**(6 + exponent) after the chip has dropped bits and limited it. int64."""
    reading = reading or LoihiReading()
    w = _scaled(stored_mantissa(mantissa, fmt, reading), fmt.exponent, reading.exponent_round)
    return np.clip(w, -WEIGHT_LIMIT, WEIGHT_LIMIT) if reading.weight_limit else w


def parts(connection: Connection, reading: LoihiReading) -> list[Part]:
    """The connection's effective weights, one part per delay."""
    fmt = connection.format
    assert isinstance(fmt, LoihiWeightFormat)
    matrix = sp.csr_matrix(connection.synapse.matrix())
    after = None
    if reading.exponent_floor == "sum" and fmt.exponent < 0:
        data = stored_mantissa(matrix.data, fmt, reading)
        after = partial(_scaled, exponent=fmt.exponent, direction=reading.exponent_round)
    else:
        data = effective_weight(matrix.data, fmt, reading)
    return by_delay(connection, sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape), after)


# --------------------------------------------------------------------------------------------------------- compartment
def wrap(value: Array, bits: int) -> Array:
    """The value that `bits` bits of two's complement would show."""
    span = 1 << bits
    return (value + span // 2) % span - span // 2


def decay(value: Array, rate: Array) -> Array:
    """sign(x) * floor(|x| * (4096 - d) / 4096): what is lost is rounded up, away from zero."""
    return np.sign(value) * (np.abs(value) * (DECAY_ONE - rate) // DECAY_ONE)


class LoihiRule:
    """Compartments of one population; state u, v and the refractory counter, int64 [B, n]."""

    def __init__(self, neuron: LoihiNeuron, batch: int, n: int, reading: LoihiReading) -> None:
        self.neuron, self.reading = neuron, reading
        self.rate_u = neuron.du.astype(np.int64) + neuron.ds_offset
        self.rate_v = neuron.dv.astype(np.int64)
        self.level = neuron.vth.astype(np.int64) << THRESHOLD_SHIFT
        self.bias = neuron.bias_mant.astype(np.int64) << neuron.bias_exp.astype(np.int64)
        self.refract = neuron.refract.astype(np.int64)
        self.u = np.zeros((batch, n), np.int64)
        self.v = np.zeros((batch, n), np.int64)
        self.counter = np.zeros((batch, n), np.int64)

    def step(self, x: Array, noise: Array | None) -> Array:
        rules, neuron = self.reading, self.neuron
        q = x if noise is None or neuron.noise_at_membrane else x + noise  # 1 collect
        if rules.wrap_input:  # 2 the accumulator has 22 bits
            q = wrap(q, INPUT_BITS)
        u = decay(self.u, self.rate_u) + q  # 3 current
        if rules.wrap_current == "two":  # 4 the current has 24 bits
            u = wrap(u, CURRENT_BITS)
        elif rules.wrap_current == "late":
            half = 1 << (CURRENT_BITS - 1)
            u = np.where(u > half, u - 2 * half, np.where(u <= -half, u + 2 * half, u))
        drive = u + self.bias  # 5 drive
        if noise is not None and neuron.noise_at_membrane:
            drive = drive + noise
        if rules.wrap_drive:
            drive = wrap(drive, CURRENT_BITS)
        v = decay(self.v, self.rate_v) + drive  # 6 voltage
        if rules.clip_voltage:  # 7 it saturates
            v = np.clip(v, neuron.vmin, neuron.vmax)
        v = np.where(self.counter > 0, 0, v)  # 8 held while refractory
        spikes = v > self.level  # 9 strictly above
        counter = np.where(spikes, self.refract, self.counter)  # 10 reset
        self.u, self.v, self.counter = u, np.where(spikes, 0, v), np.maximum(counter - 1, 0)
        return spikes
