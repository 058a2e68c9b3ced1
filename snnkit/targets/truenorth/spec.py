"""The numbers of IBM's TrueNorth, each with its source; defined nowhere else.

Short names of the sources:
  A15  Akopyan et al., "TrueNorth: Design and Tool Flow of a 65 mW 1 Million Neuron Programmable Neurosynaptic Chip",
       IEEE TCAD 34(10), 2015, doi:10.1109/TCAD.2015.2474396
  C13  Cassidy et al., "Cognitive computing building block: A versatile and efficient digital neuron model for
       neurosynaptic cores", IJCNN 2013, doi:10.1109/IJCNN.2013.6707077
  S16  Sawada et al., "TrueNorth Ecosystem for Brain-Inspired Computing", SC 2016
  RC   UA-RCL/RANC, commit 08ae4bd: corecontroller.cpp, csramrow.h, router.cpp, schedulersram.cpp
  NM   markplagge/NeMo, commit 5edb82c: tn_neuron.c
Widths marked "remembered" were taken from the papers without their full text at hand.
"""

from __future__ import annotations

from snnkit.targets.capabilities import Capabilities

NAME = "truenorth"
REVISION = "truenorth-1"
EVIDENCE = "open-simulator"
REFERENCES = ("UA-RCL/RANC 08ae4bd, neuron_reset_type 0", "Cassidy et al. 2013 (modes that RANC lacks)")

# ---------------------------------------------------------------------------------------------- chip and core budgets
AXONS_PER_CORE = 256
NEURONS_PER_CORE = 256
ROW_BITS = 410
AXON_TYPES = 4
CORES_PER_SIDE = 64
CORES_PER_CHIP = CORES_PER_SIDE * CORES_PER_SIDE
CHIPS_PER_SIDE = 4
MAX_CHIPS = CHIPS_PER_SIDE * CHIPS_PER_SIDE
HOP_MIN, HOP_MAX = -256, 255
DELAY_MIN, DELAY_MAX = 1, 15
SCHEDULER_ROWS = 16
TICK_US = 1000.0

# ------------------------------------------------------------------------------------------------------------ neurons
WEIGHT_MAX = 255
LEAK_MAX = 255
THRESHOLD_MAX = 2**18 - 1
MASK_BITS_MAX = 17
POTENTIAL_BITS = 20
POTENTIAL_MAX = 2**19 - 1
POTENTIAL_MIN = -(2**19)
RESET_MODES = 3
SYNAPSE_DRAW_BITS = 8
THRESHOLD_DRAW_BITS = 17

CAPABILITIES = Capabilities(
    neurons=("LIF",),
    resets=("zero", "subtract"),
    decays=(1.0,),
    delays=(1, DELAY_MAX),
    input_delays=(0, 0),
    fan_in=AXONS_PER_CORE // 2,
    weights=(-1.0, 0.0, 1.0),
    biases=("gated", "register"),
    readouts=("count", "first"),
    rounding=0.01,
    variants=({"seed": 1},),
)

SOURCES: dict[str, str] = {
    "CAPABILITIES": "what rules.py lets through; trinary weights take two axons per input",
    "NAME": "the public name",
    "REVISION": "one generation",
    "EVIDENCE": "agreement with an open simulator; what it lacks follows the published equations",
    "REFERENCES": "what the reference vectors were made with",
    "AXONS_PER_CORE": "A15",
    "NEURONS_PER_CORE": "A15",
    "ROW_BITS": "A15, remembered: a core's memory has a row of 410 bits per neuron",
    "AXON_TYPES": "C13; RC corecontroller.cpp: 2 bits per axon",
    "CORES_PER_SIDE": "A15: 64 x 64 cores",
    "CORES_PER_CHIP": "A15: 4096 cores",
    "CHIPS_PER_SIDE": "S16: NS16e has 4 x 4 chips",
    "MAX_CHIPS": "S16",
    "HOP_MIN": "RC, 9 bits of dx and dy decoded from its test-bench files; A15, remembered",
    "HOP_MAX": "as HOP_MIN",
    "DELAY_MIN": "RC schedulersram.cpp: the current row is excluded",
    "DELAY_MAX": "RC schedulersram.cpp: 16 rows less the current one",
    "SCHEDULER_ROWS": "RC schedulersram.cpp",
    "TICK_US": "A15: 1 ms",
    "WEIGHT_MAX": "C13, remembered: sign and 8 bits",
    "LEAK_MAX": "C13, remembered: sign and 8 bits",
    "THRESHOLD_MAX": "C13, remembered: 18 bits unsigned",
    "MASK_BITS_MAX": "C13, remembered: a mask of low-order ones; 17 bits fit the clamp of NM",
    "POTENTIAL_BITS": "C13, remembered: 20 bits signed",
    "POTENTIAL_MAX": "C13, remembered: 20 bits signed",
    "POTENTIAL_MIN": "C13, remembered: 20 bits signed",
    "RESET_MODES": "C13; NM tn_neuron.c",
    "SYNAPSE_DRAW_BITS": "C13, remembered",
    "THRESHOLD_DRAW_BITS": "derived from MASK_BITS_MAX",
}

UPDATE_ORDER = (
    "V = V + sum over active axons with a crossbar bit of s, or sgn(s) [|s| >= draw] if stochastic; s by axon type",
    "V = V + Omega * (lambda, or sgn(lambda) [|lambda| >= draw] if stochastic); Omega = sgn(V) or, unreversed, 1",
    "eta = draw AND (2^TM - 1)",
    "if V >= alpha + eta: spike; V = R, V - alpha - eta or V by reset mode 0, 1, 2",
    "else if V < -beta (saturating), or V < -(beta + eta): V = -beta, or -R, V + beta + eta, V by reset mode",
)
"""One tick of a neuron (C13). A spike of tick t makes its axon active in tick t + delay; what meets there merges."""

OPTIONS: dict[str, str] = {
    "T1": "random draws are given or come from our own generator; the chip's is not public",
    "T2": "a leak with reversal may carry V over zero, as the equation says (NM forces 0; `leak_crossing`)",
    "T3": "V is not clamped (NM clamps at +-393216); the emulator counts V beyond 20 bits",
    "T4": "with reset mode 2 a neuron above its threshold fires in every tick",
    "T5": "R is a free integer (NM also has sign * (2^VR - 1))",
    "T6": "weights and leaks are -255..255; -256 does not exist",
    "T7": "a tick never overruns",
    "T8": "the negative test is strict (RC with neuron_reset_type 1 uses <=)",
    "T9": "an output is reported in the tick in which its neuron fired; its delay is not added",
}
"""The reading taken where the references disagree."""
