"""The digital layer's decisions and the matrix mode's clamps, in the dialect that `snnkit._dialect` instantiates.

Plain functions of + - * & | ^ >> <<, comparisons and `where(c, a, b)`: no branches, divisions or imports, constants
written out (a test compares them with `spec.py`). The same source runs on Python integers, numpy int64 arrays, compiled
scalars and torch int64 tensors. Neurons are not integers here: `solver.py`.
"""

from __future__ import annotations

from typing import Any

DIALECT = ("passes", "row_select", "forwarded", "takes", "neuron_label", "link_of", "link_label", "signed", "clamp")
"""The functions of this module in order of definition."""


def where(c: Any, a: Any, b: Any) -> Any:
    """The scalar form of the dialect's only choice; back ends put their own in its place."""
    return a if c else b


def passes(label: Any, mask: Any, target: Any) -> Any:
    """A crossbar node lets an event of this label pass."""
    return (label & mask) == target


def row_select(label: Any) -> Any:
    """Bits 6-10."""
    return (label >> 6) & 31


def forwarded(label: Any) -> Any:
    """The 6 bits that a driver sends to the synapses of its rows."""
    return label & 63


def takes(label: Any, index: Any, mask: Any) -> Any:
    """A driver with this index on its bus takes the event."""
    return (row_select(label) & mask) == (index & mask)


def neuron_label(output: Any, free: Any) -> Any:
    """Label of a neuron's event: its 8 free bits below the number of its event output."""
    return (output << 8) | free


def link_of(label: Any) -> Any:
    """The link of a 16-bit label."""
    return (label >> 14) & 3


def link_label(label: Any) -> Any:
    """The 14 bits of a label that a link carries into the crossbar."""
    return label & 16383


def signed(weight: Any, mode: Any) -> Any:
    """(excitatory, inhibitory) weight of a synapse in a row of this mode."""
    return where((mode & 1) > 0, weight, weight * 0), where((mode & 2) > 0, weight, weight * 0)


def clamp(x: Any) -> Any:
    """Results of the matrix mode have 8 bits with a sign."""
    return where(x < -128, x * 0 - 128, where(x > 127, x * 0 + 127, x))
