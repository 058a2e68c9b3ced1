"""IBM TrueNorth in integers: crossbars, axons and the three steps of a neuron, each written out in its own words.

Cassidy et al., "Cognitive computing building block: A versatile and efficient digital neuron model for neurosynaptic
cores", IJCNN 2013. In a tick a neuron adds the weights of its active axons, then its leak, then compares; `Omega` takes
the sign that V has after the addition. Random draws are given, never made here. `TrueNorthReading` names the points
that public sources read differently; its defaults are the rules under which the reference vectors were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from snnkit.errors import UsageError
from snnkit.graph.model import Connection
from snnkit.graph.neurons import TrueNorthNeuron
from snnkit.graph.rules.products import Part, by_delay
from snnkit.graph.synapses import TrueNorthFormat

Array = np.ndarray[Any, Any]

NEMO_LIMIT = 2**18 + 2**17


@dataclass(frozen=True)
class TrueNorthReading:
    """Choices where the references disagree.

    Attributes:
        leak_crossing: with leak reversal, a leak that carries V over zero lands where the sum is (`equation`), or at
            `zero`, as markplagge/NeMo cites an IBM document.
        clamp: V is held within +-393216 before the comparison (NeMo).
        negative_strict: the negative test is `<` (the equations, RANC with neuron_reset_type 0) or `<=` (type 1).
    """

    leak_crossing: Literal["equation", "zero"] = "equation"
    clamp: bool = False
    negative_strict: bool = True


READINGS: dict[str, TrueNorthReading] = {
    "equation": TrueNorthReading(),
    "leak stops at zero": TrueNorthReading(leak_crossing="zero"),
    "clamp": TrueNorthReading(clamp=True),
    "leak stops at zero, clamp": TrueNorthReading(leak_crossing="zero", clamp=True),
    "negative test <=": TrueNorthReading(negative_strict=False),
}


@dataclass(frozen=True, eq=False)
class TrueNorthDraws:
    """Random draws of one population: synapse [T, n_src, n] and leak [T, n] of 8 bits, threshold [T, n] of 17 bits."""

    synapse: Array | None = None
    leak: Array | None = None
    threshold: Array | None = None


def _need(draws: TrueNorthDraws | None, what: str, tick: int, where: str) -> Array:
    array = None if draws is None else getattr(draws, what)
    if array is None or tick >= len(array):
        raise UsageError(
            f"{where!r} has a stochastic {what} and no draw for tick {tick}", fix=f"give run(draws=) its {what} draws"
        )
    return np.asarray(array[tick]).astype(np.int64)


# ------------------------------------------------------------------------------------------------------------ crossbar
@dataclass(eq=False)
class DrawnPart(Part):
    """Stochastic synapses: an active one adds the sign of its weight if |weight| reaches the draw of (axon, neuron)."""

    def sample(self, spikes: Array, draws: TrueNorthDraws | None, tick: int, where: str) -> Array:
        """What spikes [B, n_src] add to the neurons [B, n_dst] in this tick."""
        rho = _need(draws, "synapse", tick, where)
        entries = self.matrix.tocoo()
        axon, neuron, s = entries.col, entries.row, entries.data
        acts = np.where(np.abs(s) >= rho[axon, neuron], np.sign(s), 0)
        step = sp.csr_matrix((acts, (neuron, axon)), shape=self.matrix.shape, dtype=np.int64)
        return np.ascontiguousarray((step @ (spikes != 0).T.astype(np.int64)).T)


def parts(connection: Connection) -> list[Part]:
    """The connection's weights, deterministic and stochastic ones apart."""
    fmt = connection.format
    assert isinstance(fmt, TrueNorthFormat)
    matrix = sp.csr_matrix(connection.synapse.matrix()).astype(np.int64)
    if fmt.axon_type is None:
        return by_delay(connection, matrix)
    bits = matrix.tocoo()
    on = bits.data != 0
    neuron, axon = bits.row[on], bits.col[on]
    kind = np.asarray(fmt.axon_type, np.int64)[axon]
    assert fmt.weight is not None
    s = np.asarray(fmt.weight, np.int64)[neuron, kind]
    drawn = np.zeros(len(s), bool) if fmt.stochastic is None else np.asarray(fmt.stochastic)[neuron, kind] != 0
    result: list[Part] = []
    for chosen, form in ((~drawn, Part), (drawn, DrawnPart)):
        if chosen.any():
            entries = (s[chosen], (neuron[chosen], axon[chosen]))
            values = sp.csr_matrix(entries, shape=matrix.shape, dtype=np.int64)
            result.append(form(int(np.max(connection.delay)), values))
    return result


# ------------------------------------------------------------------------------------------------ neurons, axons, lines
class TrueNorthRule:
    """Neurons of one population; state v, int64 [B, n]."""

    u: Array | None = None

    def __init__(
        self,
        neuron: TrueNorthNeuron,
        batch: int,
        n: int,
        reading: TrueNorthReading,
        draws: TrueNorthDraws | None,
        name: str,
    ) -> None:
        self.p = {key: np.asarray(value, np.int64) for key, value in vars(neuron).items()}
        self.reading, self.draws, self.name = reading, draws, name
        self.v = np.tile(self.p["v_init"], (batch, 1))
        self.tick = 0

    def step(self, x: Array, noise: Array | None) -> Array:
        p = self.p
        v = self._leak(self.v + x)
        if self.reading.clamp:
            v = np.clip(v, -NEMO_LIMIT, NEMO_LIMIT)
        mask = 2 ** p["thr_mask_bits"] - 1
        eta = np.zeros_like(mask)
        if mask.any():
            eta = np.bitwise_and(_need(self.draws, "threshold", self.tick, self.name), mask)
        self.tick += 1

        high = p["threshold"] + eta
        saturates = p["neg_saturate"] == 1
        low = np.where(saturates, p["neg_threshold"], p["neg_threshold"] + eta)
        spikes = v >= high
        under = (v < -low) if self.reading.negative_strict else (v <= -low)
        under &= ~spikes

        to_value, subtract = p["reset_mode"] == 0, p["reset_mode"] == 1
        after = v.copy()
        after = np.where(spikes & to_value, p["reset_value"], after)
        after = np.where(spikes & subtract, v - high, after)
        after = np.where(under & saturates, -p["neg_threshold"], after)
        after = np.where(under & ~saturates & to_value, -p["reset_value"], after)
        after = np.where(under & ~saturates & subtract, v + low, after)
        self.v = after
        return spikes

    def _leak(self, v: Array) -> Array:
        p = self.p
        amount = p["leak"]
        if p["leak_stoch"].any():
            rho = _need(self.draws, "leak", self.tick, self.name)
            chance = np.where(np.abs(amount) >= rho, np.sign(amount), 0)
            amount = np.where(p["leak_stoch"] == 1, chance, amount)
        reverses = p["leak_reversal"] == 1
        after = v + np.where(reverses, np.sign(v), 1) * amount
        if self.reading.leak_crossing == "zero":
            after = np.where(reverses & (np.sign(v) * np.sign(after) < 0), 0, after)
        return after


class WireRule:
    """Axons (`merge`: active or not) and output lines (how many spikes); v is always 0."""

    u: Array | None = None

    def __init__(self, *, merge: bool, batch: int, n: int) -> None:
        self.merge = merge
        self.v = np.zeros((batch, n), np.int64)

    def step(self, x: Array, noise: Array | None) -> Array:
        return np.minimum(x, 1) if self.merge else x
