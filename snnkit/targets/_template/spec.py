"""The numbers of the toy chip, each with its source; defined nowhere else.

A real chip names papers with DOI and repository files with versions. Every number needs an entry in SOURCES: a test
looks. This module is light (no numpy), because `check --target all` reads it.
"""

from __future__ import annotations

from snnkit.targets.capabilities import Capabilities

NAME = "toy"
REVISION = "toy-1"
EVIDENCE = "documentation"
"""How good the emulator's claim is: vendor-code, rtl, open-simulator, published-equations or documentation."""
REFERENCES = ("the documentation of the toy chip, which is this package",)

# ---------------------------------------------------------------------------------------------- chip and core budgets
NEURONS_PER_CORE = 64
AXONS_PER_CORE = 256
CORES_PER_CHIP = 64
MAX_CHIPS = 16
ROUTES_PER_NEURON = 32
"""Entries of a neuron's routing table: (core, axon) pairs that its spike goes to."""

# ------------------------------------------------------------------------------------------------------------ neurons
LEAK_MAX = 14
"""Largest shift k: v loses v >> k per step."""
LEAK_NONE = 15
"""Register value of a neuron without leak."""
THRESHOLD_MIN, THRESHOLD_MAX = 1, 65535
POTENTIAL_MIN, POTENTIAL_MAX = -8388608, 8388607
RESET_ZERO, RESET_SUBTRACT = 0, 1

# ----------------------------------------------------------------------------------------------------------- synapses
WEIGHT_BITS = 8
WEIGHT_LIMIT = 127
"""Quantised weights are symmetric; the memory also holds -128."""

CAPABILITIES = Capabilities(
    neurons=("LIF",),
    resets=("zero", "subtract"),
    decays=(*(1 - 0.5**k for k in range(LEAK_MAX + 1)), 1.0),
    delays=(1, 1),
    input_delays=(0, 0),
    fan_in=AXONS_PER_CORE,
    skips=False,
    biases=("gated",),
    readouts=("count", "first"),
    rounding=0.05,
    variants=({"neurons_per_core": 7}, {"spread": True}),
)

_OURS = "invented for this example"
SOURCES: dict[str, str] = dict.fromkeys(
    (
        "NAME", "REVISION", "EVIDENCE", "REFERENCES", "NEURONS_PER_CORE", "AXONS_PER_CORE", "CORES_PER_CHIP",
        "MAX_CHIPS", "ROUTES_PER_NEURON", "LEAK_MAX", "LEAK_NONE", "THRESHOLD_MIN", "THRESHOLD_MAX", "POTENTIAL_MIN",
        "POTENTIAL_MAX", "RESET_ZERO", "RESET_SUBTRACT", "WEIGHT_BITS", "WEIGHT_LIMIT", "CAPABILITIES",
    ),
    _OURS,
)  # fmt: skip

UPDATE_ORDER = (
    "q = sum of weights arriving in this step",
    "v = clip(v - (v >> k) + q, -2^23, 2^23 - 1), without the leak if k = 15",
    "s = v >= threshold",
    "if s: v = 0, or v = v - threshold",
)
"""One step of a neuron, in words that go into every descriptor."""

OPTIONS: dict[str, str] = {"T1": "row t of an input arrives in step t", "T2": "the shift of a negative v rounds down"}
"""The reading taken where a chip's documents leave something open."""
