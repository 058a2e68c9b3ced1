"""What a chip can run, declared: the frame inside which random networks are drawn for it (`tests/conformance`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["dense", "sparse", "conv"]
Exactness = Literal["integer", "tolerance"]


@dataclass(frozen=True)
class Capabilities:
    """One chip's capabilities; a chip's `spec.CAPABILITIES`. Delays are in steps, on the chip's timeline.

    At least 95 % of the networks inside this frame must map. What a chip refuses beyond it is up to its `rules.py`.

    Attributes:
        neurons: names of float neurons that can be quantised: "LIF", "CubaLIF", "LI" (as the read-out).
        resets: "zero", "subtract" or both.
        decays: those that exist; None for any from 0 to 1.
        refractory: the most updates that may be skipped after a spike.
        delays: least and most steps from a neuron's spike to its effect. `input_delays`: the same for the host's.
        fan_in: the most sources of one neuron, bias lines included; None for no limit worth naming.
        weights: the values of a connection's weights, up to a factor; None for any.
        synapses: kinds of connections.
        recurrent: populations may feed back, to themselves and to earlier ones where the delays allow it.
        loop: the most neurons of a population that feeds back; None for any number.
        skips: connections may pass over layers (balanced by delays, so only where `delays` has room).
        biases: ways to give a bias: "gated" (a line of the host), "register", both or none.
        readouts: read-out rules.
        exactness: "integer": spikes equal those of `graph/run.py`; "tolerance": the chip's
            `replay.compare(graph, inputs, result)` judges a run and returns what is wrong, as a list of sentences.
        rounding: the share of spikes that rounding may change in random networks; what they compute must survive.
        virtual_chips: seeds of virtual chips, with the mismatch of an analogue chip, that `draws=SEED` of the emulator
            runs; 0 for none.
        variants: other arguments of `lower.LowerOptions` under which every network must give the same spikes.
        counted: checks of float graphs count synapses from the layers' geometry and build none, whatever their number.
    """

    neurons: tuple[str, ...]
    resets: tuple[Literal["zero", "subtract"], ...] = ("zero",)
    decays: tuple[float, ...] | None = None
    refractory: int = 0
    delays: tuple[int, int] = (1, 1)
    input_delays: tuple[int, int] = (0, 0)
    fan_in: int | None = None
    weights: tuple[float, ...] | None = None
    synapses: tuple[Kind, ...] = ("dense", "sparse", "conv")
    recurrent: bool = True
    loop: int | None = None
    skips: bool = True
    biases: tuple[Literal["gated", "register"], ...] = ("gated",)
    readouts: tuple[str, ...] = ("count", "first")
    exactness: Exactness = "integer"
    rounding: float = 0.02
    virtual_chips: int = 0
    variants: tuple[Mapping[str, Any], ...] = ()
    counted: bool = False
