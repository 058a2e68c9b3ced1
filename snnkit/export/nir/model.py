"""A NIR graph in memory: nodes with their arrays, edges, metadata; and what each node type holds.

The types and their fields are those of nir 1.0.8 (`nir/ir/*.py`; Pedersen et al. 2024,
doi:10.1038/s41467-024-52259-9). Shapes are features only, without time and batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Kind = Literal["neuron", "matrix", "vector", "kernel1d", "kernel2d", "numbers", "number", "shape", "padding", "array"]
"""neuron: one number per neuron, any axes. matrix [out, in]. vector [n]. kernel1d [out, in/groups, k]. kernel2d
[out, in/groups, kh, kw]. numbers: one or two whole numbers. padding: numbers, or `same` or `valid`. array: any axes."""

VERSION = "1.0.8"
"""The release of NIR whose layout is written and read."""


@dataclass(frozen=True)
class Field:
    """One parameter of a node type; an optional one may be missing."""

    kind: Kind
    optional: bool = False


_NEURON, _NUMBERS = Field("neuron"), Field("numbers")
_LEAKY = {"r": _NEURON, "v_leak": _NEURON}
_FIRING = {"v_threshold": _NEURON, "v_reset": Field("neuron", optional=True)}
_CUBA = {"tau_syn": _NEURON, "tau_mem": _NEURON, **_LEAKY, "w_in": Field("neuron", optional=True)}
_POOL = {"kernel_size": _NUMBERS, "stride": _NUMBERS, "padding": _NUMBERS}
_CONV = {
    "input_shape": Field("numbers", optional=True),
    "stride": _NUMBERS,
    "padding": Field("padding"),
    "dilation": _NUMBERS,
    "groups": Field("number"),
    "bias": Field("vector"),
}

TYPES: dict[str, dict[str, Field]] = {
    "Input": {"shape": Field("shape")},
    "Output": {"shape": Field("shape")},
    "Affine": {"weight": Field("matrix"), "bias": Field("vector")},
    "Linear": {"weight": Field("matrix")},
    "Scale": {"scale": Field("array")},
    "Conv1d": {"weight": Field("kernel1d"), **_CONV},
    "Conv2d": {"weight": Field("kernel2d"), **_CONV},
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
    "Flatten": {
        "input_type": Field("shape", optional=True),
        "start_dim": Field("number"),
        "end_dim": Field("number"),
    },
    "Delay": {"delay": Field("array")},
    "Threshold": {"threshold": _NEURON},
    "I": {"r": _NEURON},
    "IF": {"r": _NEURON, **_FIRING},
    "LI": {"tau": _NEURON, **_LEAKY},
    "LIF": {"tau": _NEURON, **_LEAKY, **_FIRING},
    "CubaLI": _CUBA,
    "CubaLIF": {**_CUBA, **_FIRING},
}
"""Fields of every node type but NIRGraph, which holds nodes and edges."""

FIRING = ("IF", "LIF", "CubaLIF", "Threshold")
NEURONS = (*FIRING, "I", "LI", "CubaLI")
"""Types that keep a state or fire; all others are linear."""


@dataclass(frozen=True, eq=False)
class Node:
    """One node: its type, its parameters (numbers as arrays of no axes), and metadata of arrays, text and mappings."""

    type: str
    fields: Mapping[str, Array | str]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def array(self, name: str) -> Array:
        """A parameter that is an array."""
        value = self.fields[name]
        assert not isinstance(value, str)
        return value


@dataclass(frozen=True, eq=False)
class Net:
    """A NIRGraph: nodes by name, some of them graphs again, and directed edges between names."""

    nodes: Mapping[str, Node | Net]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """Every node with its path, `graph.node` inside nested graphs."""
        for name, node in self.nodes.items():
            if isinstance(node, Net):
                yield from node.walk(f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", node


@dataclass(frozen=True, eq=False)
class Document:
    """What a file holds: the graph and the version of NIR that it names."""

    net: Net
    version: str = VERSION
