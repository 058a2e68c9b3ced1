"""The chip half's network model and a slow, plain executor of it."""

from snnkit.graph.findings import Finding, Severity, has_errors
from snnkit.graph.findings import errors as finding_errors
from snnkit.graph.model import (
    LI,
    LIF,
    Chain,
    Connection,
    Conv,
    CubaLIF,
    Dense,
    Graph,
    Input,
    LoihiNeuron,
    LoihiWeightFormat,
    Neuron,
    Pool,
    Population,
    Readout,
    Scale,
    Select,
    Sparse,
    Synapse,
)

__all__ = [
    "LI", "LIF", "Chain", "Connection", "Conv", "CubaLIF", "Dense", "Finding", "Graph", "Input", "LoihiNeuron",
    "LoihiWeightFormat", "Neuron", "Pool", "Population", "Readout", "Scale", "Select", "Severity", "Sparse", "Synapse", "finding_errors",
    "has_errors",
]  # fmt: skip
