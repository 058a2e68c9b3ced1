"""The numbers of Intel's Loihi (first generation), each with its source; defined nowhere else.

Short names of the sources:
  D18  Davies et al., "Loihi: A Neuromorphic Manycore Processor with On-Chip Learning", IEEE Micro 38(1), 2018,
       doi:10.1109/MM.2018.112130359
  D21  Davies et al., "Advancing Neuromorphic Computing With Loihi", Proc. IEEE 109(5), 2021,
       doi:10.1109/JPROC.2021.3067593
  NL   nengo-loihi 1.1.0 (Apache-2.0): block.py, builder/discretize.py, builder/validate.py, hardware/*.py
  LV   lava-nc 0.10.0 (BSD-3): proc/lif/models.py, proc/dense/models.py, utils/weightutils.py
  B2   brian2-loihi 0.5.2 (MIT): loihi_neuron_group.py, loihi_synapses.py
"""

from __future__ import annotations

from snnkit.targets.capabilities import Capabilities

NAME = "loihi"
REVISION = "loihi-1"
EVIDENCE = "open-simulator"
REFERENCES = ("nengo-loihi 1.1.0", "lava-nc 0.10.0", "brian2-loihi 0.5.2")

# ---------------------------------------------------------------------------------------------- chip and core budgets
CORES_PER_CHIP = 128
X86_PER_CHIP = 3
MAX_CHIPS = 16384
COMPARTMENTS_PER_CORE = 1024
SYNAPSE_WORDS_PER_CORE = 16384
SYNAPSE_WORD_BITS = 64
SYNAPSE_BITS_PER_CORE = SYNAPSE_WORDS_PER_CORE * SYNAPSE_WORD_BITS
INPUT_AXONS_PER_CORE = 4096
OUTPUT_AXON_SLOTS_PER_CORE = 4096
COMPARTMENT_PROFILES_PER_CORE = 32
THRESHOLD_PROFILES_PER_CORE = 8
SYNAPSE_FORMATS_PER_CORE = 16
"""Rows of the format table; row 0 is not used, so 15 formats are available."""
DELAY_CAPACITY = 8192
"""Compartments times 2**ceil(log2(max delay + 2)); see `delay_depth`."""

# ------------------------------------------------------------------------------------------------------------ neurons
DECAY_BITS = 12
DECAY_MAX = 4095
REFRACT_MIN, REFRACT_MAX = 1, 63
VTH_MANTISSA_MAX = 131071
VTH_SHIFT = 6
BIAS_MANTISSA_MIN, BIAS_MANTISSA_MAX = -4096, 4095
"""What the register holds. Exporters stay within +-4095, as NL does."""
BIAS_MANTISSA_LIMIT = 4095
BIAS_EXPONENT_MAX = 7
VMIN_EXPONENT_MAX = 31
VMAX_EXPONENT_MAX = 7
Q_BITS, U_BITS = 22, 24
"""Width of the synaptic input and of u, sign included: both wrap."""

# ----------------------------------------------------------------------------------------------------------- synapses
WEIGHT_BITS = (0, 1, 2, 3, 4, 5, 6, 8)
"""Width of a weight field by its register code; 7 bits have no code."""
INDEX_BITS = (0, 6, 7, 8, 9, 10, 11, 12)
"""Width of an index field by its register code."""
WEIGHT_EXPONENT_MIN, WEIGHT_EXPONENT_MAX = -8, 7
WEIGHT_SHIFT = 6
WEIGHT_LIMIT = 2**21 - 2**6
WEIGHT_MAGNITUDE_BITS = 8
MIXED, EXCITATORY, INHIBITORY = 1, 2, 3
MANTISSA_RANGE = {MIXED: (-256, 254), EXCITATORY: (0, 255), INHIBITORY: (-255, 0)}
DELAY_MAX = 62
DELAY_BITS_MAX = 6
SPARSE, DENSE = 0, 3
SYNAPSES_PER_BLOCK = 64
HEADER_FORMAT_BITS = 4
HEADER_COUNT_BITS = 6
HEADER_BITS = HEADER_FORMAT_BITS + HEADER_COUNT_BITS

# -------------------------------------------------------------------------------------------------------------- axons
DISCRETE, POP16, POP32 = 0, 16, 32
AXON_SLOTS = {DISCRETE: 1, POP16: 1, POP32: 2}
"""Output-axon slots by kind."""
AXON_BASE_LIMIT = 256
POP16_BASE_MULTIPLE = 4
POP16_AXONS = 1024
POP16_ATOMS = 32
POP32_ATOMS = 512

CAPABILITIES = Capabilities(
    neurons=("LIF", "CubaLIF", "LI"),
    resets=("zero",),
    refractory=REFRACT_MAX - 1,
    delays=(1, DELAY_MAX + 1),
    input_delays=(0, DELAY_MAX),
    fan_in=INPUT_AXONS_PER_CORE,
    biases=("gated", "register"),
    readouts=("count", "first", "mean", "max", "last"),
    rounding=0.01,
    variants=({"as_dense": True}, {"share": True}),
    counted=True,
)

SOURCES: dict[str, str] = {
    "CAPABILITIES": "what rules.py lets through: the limits above; a neuron's delay d is register d - 1",
    "NAME": "the public name",
    "REVISION": "first generation",
    "EVIDENCE": "agreement with open simulators, not with vendor code or silicon",
    "REFERENCES": "the simulators whose traces the emulator reproduces",
    "CORES_PER_CHIP": "D18",
    "X86_PER_CHIP": "D18",
    "MAX_CHIPS": "D18, mesh protocol",
    "COMPARTMENTS_PER_CORE": "D18; NL block.py MAX_COMPARTMENTS",
    "SYNAPSE_WORDS_PER_CORE": "D18: 128 KB",
    "SYNAPSE_WORD_BITS": "NL block.py bits_per_axon: memory unit of 64 bits",
    "SYNAPSE_BITS_PER_CORE": "D18; NL block.py MAX_SYNAPSE_BITS",
    "INPUT_AXONS_PER_CORE": "D18; NL block.py MAX_IN_AXONS",
    "OUTPUT_AXON_SLOTS_PER_CORE": "D18; NL block.py MAX_OUT_AXONS",
    "COMPARTMENT_PROFILES_PER_CORE": "NL hardware/nxsdk_objects.py MAX_COMPARTMENT_CFGS",
    "THRESHOLD_PROFILES_PER_CORE": "NL hardware/nxsdk_objects.py MAX_VTH_CFGS (validate.py would let 16 through)",
    "SYNAPSE_FORMATS_PER_CORE": "NL hardware/validate.py (nxsdk_objects.py says 8), index 0 unused",
    "DELAY_CAPACITY": "assumption: D18 fixes only the end point of 1024 compartments at delay < 8",
    "DECAY_BITS": "NL emulator/interface.py, LV lif/models.py, B2: decays of 4096",
    "DECAY_MAX": "NL nxsdk DECAY_U_MAX, DECAY_V_MAX; LV",
    "REFRACT_MIN": "NL hardware/validate.py",
    "REFRACT_MAX": "NL hardware/validate.py REFRACT_DELAY_MAX (B2 accepts 64)",
    "VTH_MANTISSA_MAX": "NL builder/discretize.py VTH_MAN_MAX; LV; B2: 17 bits",
    "VTH_SHIFT": "NL, LV, B2: level = mantissa * 2^6",
    "BIAS_MANTISSA_MIN": "LV lif/models.py: 13 bits signed",
    "BIAS_MANTISSA_MAX": "NL builder/discretize.py BIAS_MAN_MAX; LV",
    "BIAS_MANTISSA_LIMIT": "NL builder/discretize.py",
    "BIAS_EXPONENT_MAX": "NL builder/discretize.py BIAS_EXP_MAX",
    "VMIN_EXPONENT_MAX": "NL builder/discretize.py: vmin = -2^k + 1",
    "VMAX_EXPONENT_MAX": "NL builder/discretize.py: vmax = 2^(9 + 2k) - 1",
    "Q_BITS": "NL emulator/interface.py Q_BITS = 21 plus sign, compared with the chip",
    "U_BITS": "NL emulator/interface.py U_BITS = 23 plus sign, compared with the chip; LV",
    "WEIGHT_BITS": "NL block.py WEIGHT_BITS_MAP",
    "INDEX_BITS": "NL block.py INDEX_BITS_MAP",
    "WEIGHT_EXPONENT_MIN": "B2 (NL uses -7)",
    "WEIGHT_EXPONENT_MAX": "NL builder/validate.py; B2",
    "WEIGHT_SHIFT": "NL block.py get_real_weight_exp; LV; B2",
    "WEIGHT_LIMIT": "B2 loihi_synapses.py",
    "WEIGHT_MAGNITUDE_BITS": "D18: 9 bits including the sign",
    "MIXED": "NL fanout_type; LV SignMode; B2",
    "EXCITATORY": "NL fanout_type; LV SignMode; B2",
    "INHIBITORY": "NL fanout_type; LV SignMode; B2",
    "MANTISSA_RANGE": "LV weightutils.py; NL builder/discretize.py",
    "DELAY_MAX": "D18; B2 loihi_synapses.py",
    "DELAY_BITS_MAX": "D18: 6 bits unsigned",
    "SPARSE": "NL block.py, compression",
    "DENSE": "NL block.py, compression",
    "SYNAPSES_PER_BLOCK": "NL block.py bits_per_axon",
    "HEADER_FORMAT_BITS": "NL block.py bits_per_axon: synapse_idx_bits",
    "HEADER_COUNT_BITS": "NL block.py bits_per_axon: n_synapses_bits",
    "HEADER_BITS": "NL block.py bits_per_axon",
    "DISCRETE": "NL block.py pop_type 0",
    "POP16": "NL block.py pop_type 16",
    "POP32": "NL block.py pop_type 32",
    "AXON_SLOTS": "NL block.py slots_per_axon",
    "AXON_BASE_LIMIT": "NL builder/validate.py",
    "POP16_BASE_MULTIPLE": "NL builder/validate.py, hardware/builder.py",
    "POP16_AXONS": "NL block.py axon_bits: 10 bits",
    "POP16_ATOMS": "NL hardware/builder.py: atoms beyond 32 not driven",
    "POP32_ATOMS": "NL block.py atom_bits_extra: at most 9 atom bits",
}

UPDATE_ORDER = (
    "q = wrap22(sum of weights arriving in this step, plus noise if it targets u)",
    "u = wrap24(dec(u, du + ds_offset) + q)",
    "g = wrap24(u + bias, plus noise if it targets v)",
    "v = clip(dec(v, dv) + g, vmin, vmax)",
    "if r > 0: v = 0",
    "s = v > 64 * vth",
    "if s: v = 0, r = refract",
    "r = max(r - 1, 0)",
)
"""One step of a compartment; dec(x, d) = sign(x) * floor(|x| * (4096 - d) / 4096). Confirmed by u and v traces."""

OPTIONS: dict[str, str] = {
    "A1": "dropped low bits of a weight mantissa: floor (LV)",
    "A2": "negative weight exponent: floor per weight (B2, NL), not on the sum",
    "A3": "negative weight exponent, negative weight: floor (B2)",
    "A4": "weights clipped to +-(2^21 - 2^6) (B2)",
    "A5": "inhibitory -256 is -255 (LV, NL)",
    "A6": "synaptic input wraps to 22 bits (NL)",
    "A7": "u wraps as two's complement, +2^23 -> -2^23 (NL)",
    "A8": "u + bias wraps to 24 bits (NL)",
    "A9": "v clips to vmin, vmax (NL, LV)",
    "A10": "refractory delay 1..63 (NL)",
    "A11": "probed v is 0 while refractory (NL, B2)",
    "A12": "effective current decay 0 exists with ds_offset 0 (B2)",
    "A13": "row t of an input arrives in step t plus its delay",
    "A14": "noise is injected from recorded draws; the chip's generator is not public",
    "A15": "no on-chip learning",
    "A16": "threshold 0, bias -4096, weight exponent -8 are loadable, 7 weight bits are not",
}
"""The reading taken where the references disagree."""


def vmin(exponent: int) -> int:
    """Lower clip of v: -(2^k) + 1, k 0..31."""
    return -(1 << exponent) + 1


def vmax(exponent: int) -> int:
    """Upper clip of v: 2^(9 + 2k) - 1, k 0..7."""
    return (1 << (9 + 2 * exponent)) - 1


def delay_depth(max_delay: int) -> int:
    """Accumulator slots per compartment for delays 0..max_delay: 2^ceil(log2(max_delay + 2)).

    Compartments times this must not exceed `DELAY_CAPACITY`. An assumption: the public numbers fix only the end points.
    """
    return 1 << (max_delay + 1).bit_length()
