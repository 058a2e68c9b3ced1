"""The numbers of BrainScaleS-2, each with its source; defined nowhere else.

halco and haldls are the vendor's coordinate and container libraries, hxtorch and calix the vendor's training and
calibration libraries. What no document states is an assumption, marked as one in SOURCES. Light: no numpy.
"""

from __future__ import annotations

from snnkit.targets.capabilities import Capabilities

NAME = "brainscales2"
REVISION = "hicann-x-1"
EVIDENCE = "documentation"
"""The digital layer follows the vendor's containers; the neurons are equations, which no chip obeys exactly."""
REFERENCES = ("halco and haldls (coordinates, containers)", "hxtorch mac.cpp (matrix mode)", "calix (spread, limits)")

# --------------------------------------------------------------------------------------------------- digital layer
HALVES, ROWS, COLUMNS, DRIVERS = 2, 256, 256, 128
"""Synapse arrays of a chip, rows and columns of each, drivers of each; a driver has two rows."""
NEURONS = 512
WEIGHT_MAX, LABEL_MAX = 63, 63
SIGNED_INPUTS = 128
"""Signed inputs of a half: each takes the two rows of a driver."""
BUSES, DRIVERS_PER_BUS = 4, 32
"""PADI buses of a half, and drivers on each."""
ROW_SELECT_SHIFT, ROW_SELECT_MASK = 6, 31
ROW_OFF, ROW_EXCITATORY, ROW_INHIBITORY, ROW_BOTH = 0, 1, 2, 3
"""Modes of a row: the sign belongs to the row, not to the synapse."""
LABEL_BITS, LINK_SHIFT, LINK_LABEL_MASK = 16, 14, 16383
NEURON_FREE_BITS, NEURON_LABEL_MAX = 8, 255
OUTPUTS, OUTPUT_COLUMNS = 8, 32
"""Event outputs of the neurons, and the columns (of both rows of neurons) that each serves."""
CROSSBAR_INPUTS, CROSSBAR_OUTPUTS, CROSSBAR_NODES = 20, 12, 76
LINKS, BACKGROUND_SOURCES = 4, 8
FPGA_OUTPUT_ENTRIES, FPGA_INPUT_ENTRIES = 65536, 32768
REFRACTORY_MAX, CLOCK_SCALE_MAX, HOLD_OFF_MAX = 255, 15, 15
REFRACTORY_CLOCK_PS = 8000
"""Period of the refractory clock at scale 0; scale s doubles it s times."""
RESET_LEAST_PS = 500_000
"""The fastest analog reset; shorter refractory times are not honoured."""

# --------------------------------------------------------------------------------------------------------- neurons
STEP_PS = 1_000_000
"""Hardware time of a step: 1 us, speed-up 1000 against 1 ms."""
CODE_MAX, CODE_TRUSTED_LOW, CODE_TRUSTED_HIGH = 255, 30, 210
"""The ADC of the columns: 8 bits, and the codes that are trusted."""
LEAK_CODE, THRESHOLD_CODE, READOUT_CODE, READOUT_SPAN = 90, 170, 120, 85
"""Targets of the calibration in codes: rest and reset, threshold; rest of a read-out, and what it may move."""
TAU_MEM_PS = (500_000, 60_000_000)
TAU_SYN_PS = (500_000, 30_000_000)
"""Shortest and longest time constants that can be calibrated."""
SPIKE_TOLERANCE_PS = 1
"""A threshold crossing is found to this; the published bar is 1 ns."""
COMPARE_TOLERANCE_PS = 1000
"""Spikes of emulator and plain solver agree if no farther apart."""
JOIN_COLUMNS_MAX = 8
"""Neighbouring columns that are joined to one neuron, at most."""
CHIP_SEEDS = 1_000_000
"""Virtual chips 0 to this less one."""

# -------------------------------------------------------------------------------------------------------- mismatch
SIGMA_TAU_MEM, SIGMA_TAU_SYN = 0.08, 0.08
SIGMA_GAIN_NEURON, SIGMA_GAIN_DRIVER = 0.05, 0.03
"""Relative, of a log-normal factor."""
SIGMA_THRESHOLD, SIGMA_RESET, SIGMA_LEAK = 3.0, 2.0, 2.0
"""Codes, for each virtual chip."""
SIGMA_TRIAL, SIGMA_READ = 0.5, 2.0
"""Codes: of leak and threshold from trial to trial, and of each reading of the ADC."""

# ----------------------------------------------------------------------------------------------------- matrix mode
MATRIX_INPUT_MAX, MATRIX_ROWS = 31, 128
MATRIX_GAIN, MATRIX_NOISE = 0.002, 2.0
MATRIX_LOW, MATRIX_HIGH = -128, 127

DECAYS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
CAPABILITIES = Capabilities(
    neurons=("LIF", "CubaLIF", "LI"),
    resets=("zero",),
    decays=DECAYS,
    refractory=2,
    delays=(1, 1),
    input_delays=(0, 8),
    fan_in=SIGNED_INPUTS,
    synapses=("dense", "sparse", "conv"),
    recurrent=True,
    loop=64,
    skips=False,
    biases=("gated", "register"),
    readouts=("count", "first", "mean", "max", "last"),
    exactness="tolerance",
    rounding=0.15,
    virtual_chips=CHIP_SEEDS,
    counted=True,
)

_HALCO = "halco vx/{synapse,synram,neuron,padi,event,routing_crossbar}.h"
_HALDLS = "haldls {synapse,synapse_driver,neuron,background,cadc}.h"
_NAMED = "name, revision, or a choice of this package"
_ASSUMED = "assumption: no document at hand states it"
_BOUND = "assumption, bounded by the vendor's acceptance tests (calix, see the chip note): "
SOURCES: dict[str, str] = {
    **dict.fromkeys(("NAME", "REVISION", "EVIDENCE", "REFERENCES", "DECAYS", "CAPABILITIES", "CHIP_SEEDS"), _NAMED),
    **dict.fromkeys(
        ("HALVES", "ROWS", "COLUMNS", "DRIVERS", "NEURONS", "BUSES", "DRIVERS_PER_BUS", "LABEL_BITS", "LINK_SHIFT",
         "LINK_LABEL_MASK", "ROW_SELECT_SHIFT", "ROW_SELECT_MASK", "NEURON_FREE_BITS", "NEURON_LABEL_MAX",
         "CROSSBAR_INPUTS", "CROSSBAR_OUTPUTS", "CROSSBAR_NODES", "LINKS", "BACKGROUND_SOURCES",
         "FPGA_OUTPUT_ENTRIES", "FPGA_INPUT_ENTRIES"), _HALCO),
    **dict.fromkeys(
        ("WEIGHT_MAX", "LABEL_MAX", "ROW_OFF", "ROW_EXCITATORY", "ROW_INHIBITORY", "ROW_BOTH", "REFRACTORY_MAX",
         "CLOCK_SCALE_MAX", "HOLD_OFF_MAX", "RESET_LEAST_PS", "CODE_MAX"), _HALDLS),
    "SIGNED_INPUTS": "hxtorch constants.h",
    "OUTPUTS": f"{_HALCO}; that bits 8-10 of a label are the number of the output is an {_ASSUMED}",
    "OUTPUT_COLUMNS": f"{_ASSUMED}; 512 neurons over 8 outputs",
    "REFRACTORY_CLOCK_PS": f"{_ASSUMED}; 125 MHz",
    "STEP_PS": "speed-up 1000 (Cramer 2022, abstract)",
    "CODE_TRUSTED_LOW": "calix constants.py", "CODE_TRUSTED_HIGH": "calix constants.py",
    **dict.fromkeys(("LEAK_CODE", "THRESHOLD_CODE", "READOUT_CODE", "READOUT_SPAN"), "choice inside the trusted codes"),
    "TAU_MEM_PS": _ASSUMED, "TAU_SYN_PS": _ASSUMED, "JOIN_COLUMNS_MAX": _ASSUMED,
    "SPIKE_TOLERANCE_PS": "choice: far below 1 ns", "COMPARE_TOLERANCE_PS": "choice: 1 ns of hardware time",
    "SIGMA_TAU_MEM": f"{_BOUND}at most 0.45 of the spread before calibration is left",
    "SIGMA_TAU_SYN": f"{_BOUND}at most 0.20 of the spread before calibration is left",
    "SIGMA_GAIN_NEURON": f"{_BOUND}free-running rates: 90 % within 0.9 to 1.15 of the target",
    "SIGMA_GAIN_DRIVER": f"{_BOUND}driver amplitudes within 4 codes, about 2 expected",
    "SIGMA_THRESHOLD": f"{_BOUND}at most 5 % of neurons off by more than 8 codes, so below 4",
    "SIGMA_RESET": f"{_BOUND}at most 0.20 of the spread before calibration is left; channels within 3 codes",
    "SIGMA_LEAK": f"{_BOUND}at most 0.30 of the spread before calibration is left; channels within 3 codes",
    "SIGMA_TRIAL": _ASSUMED, "SIGMA_READ": "hxtorch: trial noise of the mock, 2 codes; an assumption here",
    **dict.fromkeys(("MATRIX_INPUT_MAX", "MATRIX_ROWS", "MATRIX_GAIN", "MATRIX_NOISE", "MATRIX_LOW", "MATRIX_HIGH"),
                    "hxtorch mac.cpp, constants.h"),
}  # fmt: skip

UPDATE_ORDER = (
    "an event reaches the buses whose crossbar node lets it pass: (label & mask) == target",
    "a driver takes it if (row select & mask) == (index & mask); its two rows forward the low 6 bits",
    "a synapse acts if its label equals them: the current of the row's sign changes by gain * weight",
    "dI/dt = -I/tau_syn; dv/dt = -(v - leak)/tau_mem + I_exc - I_inh, solved in closed form between events",
    "where v rises to the threshold, at that time: an event leaves, v = reset for the refractory time",
)
"""What happens, in words that go into every descriptor."""

OPTIONS: dict[str, str] = {
    "B1": "driver d of a half sits on PADI bus d mod 4 and has index d div 4 there",
    "B2": "bits 8-10 of a neuron's label are the number of its event output, column div 32",
    "B3": "row select is bits 6-10 of a label",
    "B4": "time stamps of recorded and replayed events are not rounded, and events travel in no time",
    "B5": "events of one step arrive together at its begin; v starts at the reset potential, reset by the host",
    "B6": "calibrated targets hold for a joined neuron as for a single one",
    "B7": "a membrane has no rails: strong inhibition may take it below code 0, where a circuit would saturate",
}
"""The reading taken where documents disagree or are silent."""
