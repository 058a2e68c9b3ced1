"""What each leaf module does to a symbolic value. Every converter returns a value, or None after adding findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.export.leaf_windows import Windows, array, spread
from snnkit.export.tracer import known_base
from snnkit.export.value import Term, Value, VoteSum
from snnkit.graph.model import Array
from snnkit.graph.neurons import LI, LIF, CubaLIF, LinearLeakIF, Neuron
from snnkit.graph.synapses import Dense, Pool, Scale, Sparse
from snnkit.kernels.chunks import name_of
from snnkit.nn.neurons.own import OwnNeuron


def _listed(weight: Array, where: Array) -> sp.csr_matrix:
    """The synapses that a mask [n_dst, n_src] has, weights of 0 among them."""
    row, col = np.nonzero(where)
    return sp.csr_matrix((weight[row, col], (row, col)), shape=weight.shape)


class Leaves(Windows):
    """Converts leaf modules; `add_population` is how neurons enter the graph."""

    # ------------------------------------------------------------------------------------------------- linear layers
    def linear(self, path: str, m: nn.Linear, x: Value) -> Value | None:
        if len(x.shape) != 1:
            self.error(
                "SHAPE",
                path,
                f"Linear gets features {list(x.shape)}; it expects one axis",
                "put snn.Flatten() before it",
            )
            return None
        if x.n != m.in_features:
            self.error("SHAPE", path, f"Linear(in_features={m.in_features}) gets {x.n} features")
            return None
        weight = array(getattr(m, "effective_weight", m.weight))
        mask = getattr(m, "mask", None)
        op = Dense(weight) if mask is None else Sparse(_listed(weight, mask.detach().cpu().numpy() != 0))
        out = x.apply(op, (m.out_features,))
        return out.shifted(None if m.bias is None else array(m.bias))

    def votes(self, path: str, m: snn.Votes, x: Value) -> Value | None:
        if len(x.shape) != 1 or x.n % m.classes:
            self.error("SHAPE", path, f"Votes({m.classes}) gets features {list(x.shape)}",
                        "give each class as many neurons, on one axis")  # fmt: skip
            return None
        each = x.n // m.classes
        return x.apply(VoteSum(sp.kron(sp.identity(m.classes), np.ones((1, each)), format="csr")), (m.classes,))

    def one_to_one(self, path: str, m: snn.OneToOne, x: Value) -> Value | None:
        shape = tuple(m.weight.shape)
        if shape != x.shape and not (len(shape) == 1 and shape[0] in (1, x.shape[0])):
            self.error("SHAPE", path, f"OneToOne({list(shape)}) gets features {list(x.shape)}")
            return None
        out = x.apply(Scale(spread(array(m.weight), x)), x.shape)
        return out if m.bias is None else out.shifted(spread(array(m.bias), x))

    def delay(self, path: str, m: snn.Delay, x: Value) -> Value | None:
        if x.bias is not None and m.longest:
            self.error(
                "DELAYED_BIAS",
                path,
                "what it delays contains a bias, which would begin some steps late",
                "put the Delay right behind the neuron layer, before the synapse or norm that has the bias",
            )
            return None
        if isinstance(m.steps, int):
            return x.delayed(m.steps)
        if len(m.steps) != x.shape[0]:
            self.error("SHAPE", path, f"Delay of {len(m.steps)} channels gets features {list(x.shape)}")
            return None
        steps = np.repeat(m.steps, x.n // x.shape[0])
        terms: tuple[Term, ...] = ()
        for d in np.unique(steps):  # one connection per length of delay, from the channels that have it
            mine = sp.diags((steps == d).astype(np.float64), format="csr")
            mine.eliminate_zeros()
            terms += x.apply(Sparse(mine), x.shape).delayed(int(d)).terms
        return replace(x, terms=terms)

    def norm(self, path: str, m: Any, x: Value) -> Value | None:
        channels = m.running_mean.numel() if m.running_mean is not None else -1
        if m.running_mean is None or m.running_var is None:
            self.error("NORM_WITHOUT_STATISTICS", path, "no running statistics", "train with track_running_stats=True")
            return None
        if x.shape[0] != channels:
            self.error("SHAPE", path, f"{type(m).__name__}({channels}) gets features {list(x.shape)}")
            return None
        factor = getattr(m, "gain", m.weight)
        gain = np.ones(channels) if factor is None else array(factor)
        shift = np.zeros(channels) if m.bias is None else array(m.bias)
        scale = gain / np.sqrt(array(m.running_var) + float(m.eps))
        per = x.n // channels
        out = x.apply(Scale(np.repeat(scale, per)), x.shape)
        return out.shifted(np.repeat(shift - array(m.running_mean) * scale, per))

    # ------------------------------------------------------------------------------------------------------- neurons
    def neuron(self, path: str, m: Any, x: Value) -> Neuron | None:
        """The graph's neuron for a module, or None after a finding."""

        def each(value: Tensor) -> Array:
            return spread(value.detach().to("cpu", torch.float32).numpy(), x)

        kind = known_base(type(m))
        if kind is snn.LIF:
            return LIF(each(m.decay), each(m.threshold), m.reset, m.refractory)  # type: ignore[arg-type]
        if kind is snn.CubaLIF:
            decays = each(m.decay_syn), each(m.decay_mem)
            return CubaLIF(*decays, each(m.threshold), m.reset, m.refractory)  # type: ignore[arg-type]
        if kind is snn.LinearLeakIF:
            return linear_leak(m, each)
        if kind is snn.LI:
            return LI(each(m.decay))
        if kind is snn.ALIF:
            self.error(
                "ADAPTIVE_THRESHOLD", path, "its threshold rises with its spikes, and no chip here has such a neuron",
                "train with snn.LIF or snn.CubaLIF in its place (a Recurrent of them remembers, too), or run the "
                "model in torch",
            )  # fmt: skip
            return None
        if isinstance(m, OwnNeuron):
            self.error("OWN_NEURON", path, f"its step {name_of(m.function)} ({where_defined(m.function)}) is "
                        "a neuron of your own, and no chip computes it",
                        "put snn.LIF, snn.CubaLIF or another layer of snnkit in its place to export")  # fmt: skip
            return None
        self.unknown(path, m)
        return None

    @staticmethod
    def leaking(m: nn.Module, x: Value) -> Value:
        """What reaches a neuron, with its leak where that is a constant."""
        if not isinstance(m, snn.LinearLeakIF) or m.leak_reversal:
            return x
        leak = spread(array(m.leak), x)
        return x.shifted(leak) if leak.any() else x


def where_defined(function: Any) -> str:
    """File and line of a function, or its module where it has none."""
    code = getattr(function, "__code__", None)
    return getattr(function, "__module__", "") if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def linear_leak(m: snn.LinearLeakIF, each: Callable[[Tensor], Array]) -> Neuron:
    """The graph's neuron, less a leak of constant direction, which is a bias; where nothing is left, an integrator."""
    threshold = each(m.threshold)
    leak = each(m.leak) if m.leak_reversal else np.zeros_like(threshold)
    if m.floor is None and not leak.any():
        return LIF(np.ones_like(threshold), threshold, m.reset, 0)  # type: ignore[arg-type]
    floor = np.full_like(threshold, np.inf) if m.floor is None else each(m.floor)
    return LinearLeakIF(leak, threshold, floor, m.reset)  # type: ignore[arg-type]


def relay(x: Value, windows: Pool) -> tuple[Value, Neuron]:
    """Max pooling of binary spikes: a neuron that fires at once if any spike of its window is there.

    max(s) = [sum(s) >= 1], so the relay is an integrator of threshold 1 behind a sum pool; exact, because its v is 0
    after every step: nothing arrived, or it was reset.
    """
    value = Value(windows.out_shape, (replace(x.terms[0], ops=(windows,)),))
    n = value.n
    return value, LIF(np.ones(n, np.float32), np.ones(n, np.float32), "zero", 0)


def logic(name: str, a: Value, b: Value) -> tuple[Value, Neuron]:
    """Two binary spike trains joined by a neuron without memory: "and" fires at a + b ≥ 2, "iand" at b − a ≥ 1.

    Exact, because with a decay of 0 nothing is left of a step in the next one.
    """
    n, both = a.n, name == "and"
    value = (a if both else a.apply(Scale(np.full(n, -1.0)), a.shape)) + b
    return value, LIF(np.zeros(n, np.float32), np.full(n, 2.0 if both else 1.0, np.float32), "zero", 0)
