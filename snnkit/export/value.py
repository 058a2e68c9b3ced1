"""Symbolic values of the exporter: a sum of linear operator chains over spike sources, plus a constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnkit.graph.model import Array, Connection
from snnkit.graph.synapses import Chain, Conv, Scale, Select, Sparse


class VoteSum(Sparse):
    """The sum over the neurons of each class, [classes, classes * votes]; as the model's last operator a read-out."""


@dataclass(frozen=True)
class Term:
    """`ops` applied in order to the spikes of `source`, `delay` steps later."""

    source: str
    ops: tuple[Any, ...] = ()
    delay: int = 0


@dataclass(frozen=True)
class Value:
    """What a tensor of the model holds in every step: sum of terms + bias, over features of `shape`.

    `analog`: it comes from a non-firing neuron, so no chip connection can carry it.
    """

    shape: tuple[int, ...]
    terms: tuple[Term, ...]
    bias: Array | None = None
    analog: bool = False

    @property
    def n(self) -> int:
        return int(np.prod(self.shape))

    @property
    def is_spikes(self) -> bool:
        """True if this is exactly the output of one source, be it delayed."""
        return not self._is_computed() and not self.analog

    @property
    def is_output(self) -> bool:
        """True if this is exactly the output of one source, firing or not, in the same step."""
        return not self._is_computed() and not self.terms[0].delay

    @property
    def votes(self) -> int | None:
        """Neurons of a source per value, if this is their sum or the source itself in the same step; else None."""
        if self.is_output:
            return 1
        term = self.terms[0] if len(self.terms) == 1 and self.bias is None else None
        if term is None or term.delay or len(term.ops) != 1 or not isinstance(term.ops[0], VoteSum):
            return None
        return term.ops[0].n_src // term.ops[0].n_dst

    def _is_computed(self) -> bool:
        return len(self.terms) != 1 or bool(self.terms[0].ops) or self.bias is not None

    def apply(self, op: Any, shape: tuple[int, ...], on_bias: Callable[[Array], Array] | None = None) -> Value:
        """The value after a linear operator; the bias goes through its matrix unless `on_bias` is given."""
        terms = tuple(replace(t, ops=(*t.ops, op)) for t in self.terms)
        bias = self.bias
        if bias is not None:
            bias = on_bias(bias) if on_bias is not None else np.asarray(op.matrix() @ bias)
        return Value(shape, terms, bias, self.analog)

    def shifted(self, bias: Array | None) -> Value:
        """The value plus a constant [n]."""
        if bias is None:
            return self
        return replace(self, bias=bias.astype(np.float64) if self.bias is None else self.bias + bias)

    def delayed(self, steps: int) -> Value:
        """The value so many steps later; there must be no bias, which would begin later too."""
        assert self.bias is None
        return replace(self, terms=tuple(replace(t, delay=t.delay + steps) for t in self.terms))

    def __add__(self, other: Value) -> Value:
        total = Value(self.shape, self.terms + other.terms, self.bias, self.analog or other.analog)
        return total.shifted(other.bias)


def concatenate(values: list[Value], axis: int) -> Value:
    """The concatenation of values along a feature axis."""
    shape = list(values[0].shape)
    shape[axis] = sum(v.shape[axis] for v in values)
    index = np.arange(int(np.prod(shape))).reshape(shape)
    terms: list[Term] = []
    bias = np.zeros(index.size)
    start = 0
    for v in values:
        where = [slice(None)] * len(shape)
        where[axis] = slice(start, start + v.shape[axis])
        dst = index[tuple(where)].reshape(-1)
        start += v.shape[axis]
        terms += [replace(t, ops=(*t.ops, Select(dst, index.size))) for t in v.terms]
        if v.bias is not None:
            bias[dst] = v.bias
    any_bias = any(v.bias is not None for v in values)
    return Value(tuple(shape), tuple(terms), bias if any_bias else None, any(v.analog for v in values))


def connections(
    name: str, terms: Sequence[Term], shape: tuple[int, ...], taken: set[str], delay: int = 0
) -> list[Connection]:
    """The connections of a population of features `shape` from the terms of its input; adds their names to `taken`."""
    made = []
    for term in terms:
        ops = term.ops
        if not ops:  # a skip connection: spikes as they are
            one = np.ones((shape[0], 1, 1, 1)) if len(shape) == 3 else np.ones(int(np.prod(shape)))
            ops = (Conv(one, shape, groups=shape[0]),) if len(shape) == 3 else (Scale(one),)  # type: ignore[arg-type]
        base = f"{term.source}->{name}"
        label, k = base, 2
        while label in taken:
            label, k = f"{base}#{k}", k + 1
        taken.add(label)
        made.append(Connection(label, term.source, name, Chain(ops), term.delay + delay))
    return made
