"""The numbers of SpiNNaker 1 under sPyNNaker 7.4.1, each with its source; defined nowhere else.

Short names of the sources (SpiNNakerManchester on GitHub, Apache-2.0):
  SPY  sPyNNaker 7.4.1: neural_modelling/src (C) and spynnaker/pyNN (Python)
  COM  spinn_common at 1a7ce916: src/stdfix-exp.c, include/utils.h
  MAC  SpiNNMachine 7.4.1: version/version_spin1.py, version_3.py, version_48_chips.py
  PAC  PACMAN 7.4.1
  R18  Rhodes et al., "sPyNNaker: a software package for running PyNN simulations on SpiNNaker", Front. Neurosci.
       12:816, 2018, doi:10.3389/fnins.2018.00816
  APT  Advanced Processor Technologies group, University of Manchester, SpiNNaker architecture page
"""

from __future__ import annotations

from snnkit.targets.capabilities import Capabilities

NAME = "spinnaker"
REVISION = "spynnaker-7.4.1"
EVIDENCE = "vendor-code"
REFERENCES = ("sPyNNaker 7.4.1",)

# --------------------------------------------------------------------------------------------------------- arithmetic
ONE = 1 << 15
WEIGHT_BITS = 16
WEIGHT_MAX = (1 << WEIGHT_BITS) - 1
EXP_MIN, EXP_MAX = -340695, 363408
EXP_SERIES = (5294, 4293434720, 2081624032)
ROUND_UP_FROM = 2**31 - 1
SHIFT_MAX = 15
"""Shift 16 reaches the sign bit."""
TAU_SYN_STEPS_MAX = 32768

# ----------------------------------------------------------------------------------------------------- words and tables
ROW_HEADER_WORDS = 3
ROW_WORDS_MAX = 256
INDEX_BITS_MAX = 14
"""Target, receptor and delay of a synapse together: a ring buffer of 2**14 slots."""
RECEPTOR_BITS = 1
RECEPTORS = 2
COLOUR_BITS = 4
INPUT_BUFFER = 256
NEURON_WORDS = 9
TABLE_ENTRY_WORDS = 5
ADDRESS_UNIT = 16
ADDRESS_NONE = (1 << 24) - 1
POST_EVENTS = 16
TRACE_ONE = 2048
BINARIES = ("source", "IF_curr_exp", "IF_curr_delta", "IF_curr_exp_additive", "IF_curr_exp_multiplicative")
SOURCE, EXP, DELTA, EXP_ADDITIVE, EXP_MULTIPLICATIVE = 0, 1, 2, 3, 4

# ------------------------------------------------------------------------------------------------------------- machine
NEURONS_PER_CORE = 256
SOURCE_LINES = 16384
"""Lines of one source core."""
FIRST_CORE, FIRST_CORE_ETHERNET, LAST_CORE = 2, 3, 17
"""Core 0 runs the system; the Ethernet chip has two monitors more, others one."""
CORES_PER_CHIP = 16
DTCM_BYTES = 65536
DTCM_RESERVED = 16384
SDRAM_BYTES = 123469792
ROUTER_ENTRIES = 1023
LINKS = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
CORE_BIT = 6
BOARDS = {"SpiNN-3": (2, 2), "SpiNN-5": (8, 8), "triad": (12, 12)}
TRIAD_ETHERNET = ((0, 0), (4, 8), (8, 4))
SPINN5_ROWS = ((0, 4), (0, 5), (0, 6), (0, 7), (1, 7), (2, 7), (3, 7), (4, 7))
EVENTS_PER_MS = 10000
ASSUMED_RATE = 0.05
"""Share of the sources that fire in a step, where none was measured."""

DELAY_MAX = 1 << (INDEX_BITS_MAX - RECEPTOR_BITS - 1)
"""Slots of a ring buffer for two neurons."""
REFRACTORY_MAX = 2**16 - 1

CAPABILITIES = Capabilities(
    neurons=("LIF", "CubaLIF", "LI"),
    resets=("zero",),
    refractory=REFRACTORY_MAX,
    delays=(1, DELAY_MAX),
    input_delays=(0, DELAY_MAX - 1),
    biases=("gated", "register"),
    readouts=("count", "first", "mean", "max", "last"),
    rounding=0.002,  # 0 to 0.03 % of the neuron-steps of 40 random networks at a time, 440 in all, were measured
    variants=({"neurons_per_core": 7}, {"board": "SpiNN-5"}),
    counted=True,
)

SOURCES: dict[str, str] = {
    "CAPABILITIES": "what rules.py lets through",
    "DELAY_MAX": "slots of a ring buffer for two neurons, from the index bits",
    "REFRACTORY_MAX": "our own limit; the counter is an int32",
    "NAME": "the public name",
    "REVISION": "the release whose arithmetic is followed",
    "EVIDENCE": "the C sources and the shipped binaries were run, by the makers of the vectors; no hardware",
    "REFERENCES": "the release that the emulator reproduces",
    "ONE": "SPY common/maths-util.h: accum, s16.15",
    "WEIGHT_BITS": "SPY neuron/synapse_row.h",
    "WEIGHT_MAX": "SPY neuron/synapses.c: a slot saturates at 65535",
    "EXP_MIN": "COM stdfix-exp.c",
    "EXP_MAX": "COM stdfix-exp.c",
    "EXP_SERIES": "COM stdfix-exp.c: second-order series of 1 - exp(-x)",
    "ROUND_UP_FROM": "COM utils.h round64",
    "SHIFT_MAX": "SPY neuron/synapses.h: slot << shift as int32",
    "TAU_SYN_STEPS_MAX": "COM stdfix-exp.c: exp(0) is 0 in u0.32, which ts/tau below 1/32768 gives",
    "ROW_HEADER_WORDS": "SPY neuron/synapse_row.h",
    "ROW_WORDS_MAX": "SPY neuron/population_table/population_table.h: 8 bits of row length - 1",
    "INDEX_BITS_MAX": "SPY pyNN/utilities/constants.py: ring buffer of 32 KB",
    "RECEPTOR_BITS": "SPY neuron/synapse_types/synapse_types_exponential_impl.h",
    "RECEPTORS": "SPY neuron/synapse_types/synapse_types_exponential_impl.h",
    "COLOUR_BITS": "SPY pyNN default n_colour_bits",
    "INPUT_BUFFER": "SPY pyNN/models/neuron/population_vertex.py incoming_spike_buffer_size",
    "NEURON_WORDS": "SPY neuron/models/neuron_model_lif_impl.h",
    "TABLE_ENTRY_WORDS": "SPY neuron/population_table/population_table.h",
    "ADDRESS_UNIT": "SPY pyNN/models/neuron/master_pop_table.py",
    "ADDRESS_NONE": "SPY pyNN/models/neuron/master_pop_table.py",
    "POST_EVENTS": "SPY neuron/plasticity/stdp/post_events.h",
    "TRACE_ONE": "SPY neuron/plasticity/stdp/stdp_typedefs.h: 4.11",
    "BINARIES": "SPY neural_modelling/makefiles",
    "SOURCE": "position in BINARIES",
    "EXP": "position in BINARIES",
    "DELTA": "position in BINARIES",
    "EXP_ADDITIVE": "position in BINARIES",
    "EXP_MULTIPLICATIVE": "position in BINARIES",
    "NEURONS_PER_CORE": "SPY default, as its virtual board cuts 520 neurons into 256 + 256 + 8",
    "SOURCE_LINES": "assumption: SPY puts 2312 spike sources on one core; a table entry counts them in 16 bits",
    "FIRST_CORE": "MAC version_5.py and PAC: one monitor beside the system's core 0",
    "FIRST_CORE_ETHERNET": "MAC version_5.py and PAC: two monitors on the Ethernet chip",
    "LAST_CORE": "MAC version_spin1.py: 18 cores",
    "CORES_PER_CHIP": "MAC version_spin1.py: 18 less system and monitor; 15 on the Ethernet chip",
    "DTCM_BYTES": "APT: 64 KB",
    "DTCM_RESERVED": "assumption: stack, heap, DMA buffers and population table take a quarter",
    "SDRAM_BYTES": "MAC version_spin1.py: usable",
    "ROUTER_ENTRIES": "MAC version_spin1.py: 1024, one taken by the system",
    "LINKS": "MAC: E, NE, N, W, SW, S",
    "CORE_BIT": "MAC multicast_routing_entry.py: cores from bit 6",
    "BOARDS": "MAC version_3.py, version_5.py; three boards make a torus of 12 x 12",
    "TRIAD_ETHERNET": "MAC version_48_chips.py: where the three boards of a triad begin",
    "SPINN5_ROWS": "MAC version_48_chips.py: first and last x of each row y",
    "ASSUMED_RATE": "assumption: as in the benchmark networks; calibration samples replace it",
    "EVENTS_PER_MS": "R18: design target per core, software within a factor of 2",
}

UPDATE_ORDER = (
    "slot t mod D of the ring buffer: S = w32(S + dec(w32(slot << shift), scale)) per receptor; the slot is emptied",
    "i = w32(S_e*g - S_i*g + i_offset), products floored s16.15",
    "if r > 0: r = r - 1, else alpha = w32(i*R + v_rest); v = w32(alpha - a*w32(alpha - v))",
    "if v >= v_thresh (also while refractory): spike, v = v_reset, r = ceil(tau_refrac/ts)",
    "S = dec(S, decay) per receptor (0 for delta)",
    "rows of all packets of step t: slot (t + delay) mod D saturates at 65535; delay 2**bits is stored as 0",
)
"""One step of a core; dec(x, u) = floor(x*u / 2**32). Confirmed word for word by the reference vectors."""

OPTIONS: dict[str, str] = {
    "S1": "arithmetic of release 7.4.1: products floor and wrap",
    "S2": "neurons are updated before the rows of the same step are processed",
    "S3": "packets are processed in the step in which they are sent: no lateness",
    "S4": "a plastic synapse with delay 2**bits (stored 0) delivers nothing; a fixed one delivers",
    "S5": "a weight beyond 16 bits is refused, where the peer masks it",
    "S6": "one core for neurons and synapses; no split cores at 0.1 ms",
    "S7": "no delay extension: a delay beyond the ring buffer is a finding",
}
"""The reading taken, and what is left out."""
