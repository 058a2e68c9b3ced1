"""Neurons of a graph, with real numbers and with each chip's integers: frozen data; the rules are in `graph/rules`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Reset = Literal["zero", "subtract"]


# --------------------------------------------------------------------------------------------------- neurons (float)
@dataclass(frozen=True, eq=False)
class LIF:
    """v <- decay*v + x; s = [v >= threshold]; reset in the same step. Arrays are float32 [n].

    `refractory`: after a spike that many updates of v are skipped and their input is lost.
    """

    decay: Array
    threshold: Array
    reset: Reset = "zero"
    refractory: int = 0


@dataclass(frozen=True, eq=False)
class CubaLIF:
    """i <- decay_syn*i + x; v <- decay_mem*v + i; then as `LIF` (i goes on while refractory). Arrays float32 [n]."""

    decay_syn: Array
    decay_mem: Array
    threshold: Array
    reset: Reset = "zero"
    refractory: int = 0


@dataclass(frozen=True, eq=False)
class LinearLeakIF:
    """v <- v + x; v <- v + leak*sgn(v); s = [v >= threshold]; reset in the same step, else v <- max(v, -floor).

    Arrays are float32 [n]; `floor` is infinite where there is none. A leak that does not turn with the sign of v is a
    bias of the population.
    """

    leak: Array
    threshold: Array
    floor: Array
    reset: Reset = "zero"


@dataclass(frozen=True, eq=False)
class LI:
    """v <- decay*v + x, never fires; its v is read out. `decay` float32 [n]."""

    decay: Array


@dataclass(frozen=True, eq=False)
class CubaLI:
    """i <- decay_syn*i + x; v <- decay_mem*v + i, never fires; its v is read out. Arrays float32 [n]."""

    decay_syn: Array
    decay_mem: Array


# ------------------------------------------------------------------------------------------------- neurons (integer)
@dataclass(frozen=True, eq=False)
class LoihiNeuron:
    """Integer registers of Loihi compartments, each int32 [n]; the rule is in `graph/rules/loihi.py`.

    u = dec(u, du + ds_offset) + q; v = clip(dec(v, dv) + u + bias_mant*2**bias_exp, vmin, vmax);
    s = v > 64*vth (strict); v = 0 on a spike and for `refract - 1` further steps.
    `noise_at_membrane`: 0 adds injected draws to q, 1 to u + bias.
    """

    du: Array
    dv: Array
    vth: Array
    bias_mant: Array
    bias_exp: Array
    refract: Array
    ds_offset: int = 1
    vmin: int = -(2**23) + 1
    vmax: int = 2**23 - 1
    noise_at_membrane: int = 0


@dataclass(frozen=True, eq=False)
class SpinnakerNeuron:
    """Raw parameters of SpiNNaker neurons as the host sends them, each int32 [n]; the rule is in `rules/spinnaker.py`.

    s16.15 (value times 2**15): v_init, v_rest, v_reset, v_thresh in mV, c_m in nF, tau_m, tau_syn_e, tau_syn_i,
    tau_refrac and the step ts in ms, i_offset in nA. `refrac_init`: steps. `shift`: of the ring buffers, excitatory and
    inhibitory. `delay_bits`: a ring buffer has 2**delay_bits slots. `model`: "exp" (IF_curr_exp) or "delta".
    """

    model: Literal["exp", "delta"]
    v_init: Array
    v_rest: Array
    v_reset: Array
    v_thresh: Array
    c_m: Array
    tau_m: Array
    i_offset: Array
    tau_refrac: Array
    tau_syn_e: Array
    tau_syn_i: Array
    ts: Array
    refrac_init: Array
    shift: tuple[int, int] = (0, 0)
    delay_bits: int = 1


@dataclass(frozen=True, eq=False)
class TrueNorthNeuron:
    """Parameters of TrueNorth neurons, each int32 [n]; the rule is in `graph/rules/truenorth.py`.

    In the letters of Cassidy et al. 2013: leak lambda (-255..255), leak_reversal epsilon, leak_stoch c, threshold alpha
    and neg_threshold beta (0..262143, beta stored positive), thr_mask_bits TM (0..17), neg_saturate kappa, reset_mode
    gamma (0 to reset_value, 1 subtract, 2 keep), reset_value R, v_init the potential before tick 0.
    """

    leak: Array
    leak_reversal: Array
    leak_stoch: Array
    threshold: Array
    thr_mask_bits: Array
    neg_threshold: Array
    neg_saturate: Array
    reset_mode: Array
    reset_value: Array
    v_init: Array


@dataclass(frozen=True)
class TrueNorthAxon:
    """Axons of a TrueNorth core: active in a tick in which anything arrives, however much. Its synapses act at once."""


@dataclass(frozen=True)
class TrueNorthOutput:
    """Lines that leave the chip: how many spikes each carries, in the tick in which they were fired."""


@dataclass(frozen=True, eq=False)
class BrainScales2Neuron:
    """Calibrated targets of BrainScaleS-2 neurons in continuous time, each int64 [n]; the rule is in
    `graph/rules/brainscales2.py`.

    Times in ps of hardware time: tau_mem, tau_syn_e, tau_syn_i, t_hold (the membrane is held at reset after a spike).
    Potentials in 1e-6 codes of the ADC: v_leak, v_reset, v_thresh. `gain`: 1e-6 codes per us for a weight of 1, by
    which an event changes the current. `fires`: False for a membrane that is read out. `step`: ps of a step.
    """

    tau_mem: Array
    tau_syn_e: Array
    tau_syn_i: Array
    v_leak: Array
    v_reset: Array
    v_thresh: Array
    gain: Array
    t_hold: Array
    fires: bool = True
    step: int = 1_000_000


class ChipNeuron(ABC):
    """Base of the integer neurons that a chip brings along, with the plain rule by which `graph/run.py` runs them.

    A subclass is a frozen dataclass of registers, each int32 [n], and writes its rule without the chip's
    `arithmetic.py`, so that the two can disagree. See `targets/_template/neuron.py`.
    """

    @abstractmethod
    def rule(self, batch: int, n: int) -> Any:
        """The neurons at their initial state: a `graph.rules.Rule` with int64 states [batch, n]."""


Neuron = (
    LIF
    | CubaLIF
    | LinearLeakIF
    | LI
    | CubaLI
    | LoihiNeuron
    | SpinnakerNeuron
    | TrueNorthNeuron
    | TrueNorthAxon
    | TrueNorthOutput
    | BrainScales2Neuron
    | ChipNeuron
)
INTEGER_NEURONS = (
    LoihiNeuron,
    SpinnakerNeuron,
    TrueNorthNeuron,
    TrueNorthAxon,
    TrueNorthOutput,
    BrainScales2Neuron,
    ChipNeuron,
)
"""Those of chips: their registers are integers."""
