"""What linear nodes of others do to a symbolic value: every one returns a value, or None after a finding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.export.nir.model import Node
from snnkit.export.nir.nodes import whole
from snnkit.export.value import Term, Value
from snnkit.graph.findings import Finding
from snnkit.graph.synapses import Conv, Dense, Pool, Scale, Sparse

WHOLE_STEP = 1e-4
"""How far, in steps, a delay may be from a whole number of them."""
MOST_DELAYS = 64
MOST_FEATURES = 2**25
MOST_SYNAPSES = 2**28
"""Of operators that have to be multiplied out."""
MOST_VALUES = 2**28
"""Features of all linear nodes together."""
ANALOG = "its input comes from a neuron that does not fire, and chips send only spikes"


class LinearNodes:
    """Applies linear nodes; `dt` is the length of a step in seconds, for delays."""

    def __init__(self, report: Callable[[Finding], None], dt: float) -> None:
        self.report, self.dt = report, dt
        self.room = MOST_VALUES

    def find(self, code: str, where: str, what: str, remedy: str = "") -> None:
        self.report(Finding(code, where, what, remedy=remedy))

    def apply(self, path: str, node: Node, x: Value) -> Value | None:
        """What the node makes of x."""
        if node.type in ("Input", "Output"):  # ends of the graph, and of nested ones, pass on
            shape = whole(node.fields["shape"])
            return x if x.shape == shape else self.misfit(path, node, x, list(shape))
        if x.analog:
            self.find("ANALOG_SOURCE", path, ANALOG, "end the network with that neuron, or make it fire")
            return None
        kinds: dict[str, Callable[[str, Node, Value], Value | None]] = {
            "Affine": self.dense,
            "Linear": self.dense,
            "Scale": self.scale,
            "Conv1d": self.conv,
            "Conv2d": self.conv,
            "SumPool2d": self.pool,
            "AvgPool2d": self.pool,
            "Flatten": self.flatten,
            "Delay": self.delay,
        }
        return kinds[node.type](path, node, x)

    def misfit(self, path: str, node: Node, x: Value, expected: Any) -> Value | None:
        """The finding for an input of another shape, and no value."""
        self.find(
            "SHAPE",
            path,
            f"{node.type} expects features {expected}, but gets {list(x.shape)}",
            "NIR's shapes are without batch and time; put a Flatten where features have several axes",
        )
        return None

    def fits(self, path: str, x: Value, synapses: int, out: tuple[int, ...]) -> bool:
        """Whether an operator of so many synapses may be applied; a finding where it is too large."""
        features = math.prod(out)
        if features > MOST_FEATURES:
            self.find("NIR_SIZE", path, f"{features:,} features; at most {MOST_FEATURES:,} are read", "smaller layers")
            return False
        self.room -= features
        if self.room < 0:
            self.find("NIR_SIZE", path, f"more than {MOST_VALUES:,} features of linear nodes", "smaller layers")
            return False
        if x.bias is not None and synapses > MOST_SYNAPSES:
            what = f"a bias before it passes through {synapses:,} synapses"
            self.find("NIR_SIZE", path, what, "put the bias behind it")
            return False
        return True

    # ---------------------------------------------------------------------------------------------------------- weights
    def dense(self, path: str, node: Node, x: Value) -> Value | None:
        weight = node.array("weight").astype(np.float64)
        if x.shape != weight.shape[1:]:
            return self.misfit(path, node, x, [weight.shape[1]])
        if not self.fits(path, x, weight.size, weight.shape[:1]):
            return None
        out = x.apply(Dense(weight), weight.shape[:1])
        return out.shifted(node.array("bias").astype(np.float64)) if node.type == "Affine" else out

    def scale(self, path: str, node: Node, x: Value) -> Value | None:
        factor = node.array("scale").astype(np.float64)
        if x.shape != factor.shape:
            return self.misfit(path, node, x, list(factor.shape))
        return x.apply(Scale(factor.reshape(-1)), x.shape)

    def conv(self, path: str, node: Node, x: Value) -> Value | None:
        weight = node.array("weight").astype(np.float64)
        flat = node.type == "Conv1d"
        axes = 1 if flat else 2
        groups = whole(node.fields["groups"])[0]
        wanted: list[Any] = [weight.shape[1] * groups, *(["L"] if flat else ["H", "W"])]
        declared = node.fields.get("input_shape")
        if declared is not None:
            wanted[1:] = spread(whole(declared), axes)
        if len(x.shape) != axes + 1 or any(isinstance(w, int) and w != s for w, s in zip(wanted, x.shape)):
            return self.misfit(path, node, x, wanted)
        stride, dilation = (spread(whole(node.fields[k]), axes) for k in ("stride", "dilation"))
        kernel = weight.shape[2:]
        edges = self.edges(path, node, kernel, stride, dilation)
        if edges is None:
            return None
        if flat:
            weight, edges, stride, dilation = weight[:, :, None], [(0, 0), *edges], (1, *stride), (1, *dilation)
        shape: Any = (x.shape[0], 1, x.shape[1]) if flat else x.shape
        op = Conv(weight, shape, stride, (*edges[0], *edges[1]), dilation, groups)  # type: ignore[arg-type]
        if min(op.out_shape) < 1:
            return self.misfit(path, node, x, f"of at least the reach of its kernel {list(kernel)}")
        out_shape = (op.out_shape[0], op.out_shape[2]) if flat else op.out_shape
        if not self.fits(path, x, op.n_dst * weight[0].size, out_shape):
            return None
        out = x.apply(op, out_shape)
        return out.shifted(np.repeat(node.array("bias").astype(np.float64), out.n // out_shape[0]))

    def edges(
        self, path: str, node: Node, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
    ) -> list[tuple[int, int]] | None:
        """Zeros before and behind each axis of a convolution."""
        padding = node.fields["padding"]
        if not isinstance(padding, str):
            return [(p, p) for p in spread(whole(padding), len(kernel))]
        if padding == "valid":
            return [(0, 0) for _ in kernel]
        if any(s != 1 for s in stride):
            self.find(
                "NIR_FIELD", path, f"padding 'same' with a stride of {list(stride)}", "give the padding as numbers"
            )
            return None
        return [(t // 2, t - t // 2) for t in (d * (k - 1) for d, k in zip(dilation, kernel))]

    def pool(self, path: str, node: Node, x: Value) -> Value | None:
        kernel, stride, padding = (spread(whole(node.fields[k]), 2) for k in ("kernel_size", "stride", "padding"))
        if len(x.shape) != 3:
            return self.misfit(path, node, x, "[C, H, W]")
        sizes = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[1:], padding, kernel, stride)]
        if min(sizes) < 1:
            return self.misfit(path, node, x, f"of at least {list(kernel)} pixels")
        out = (x.shape[0], sizes[0], sizes[1])
        if not self.fits(path, x, math.prod(out) * math.prod(kernel), out):
            return None
        pads = (padding[0], padding[0], padding[1], padding[1])
        return x.apply(Pool(x.shape, kernel, stride, pads, node.type == "AvgPool2d"), out)  # type: ignore[arg-type]

    # ---------------------------------------------------------------------------------------------------- axes and time
    def flatten(self, path: str, node: Node, x: Value) -> Value | None:
        start, end = (whole(node.fields[k])[0] for k in ("start_dim", "end_dim"))
        axes = len(x.shape)
        first, last = (k + axes if k < 0 else k for k in (start, end))
        if not 0 <= first <= last < axes:
            return self.misfit(path, node, x, f"with axes {start} to {end}")
        merged = math.prod(x.shape[first : last + 1])
        return replace(x, shape=(*x.shape[:first], merged, *x.shape[last + 1 :]))

    def delay(self, path: str, node: Node, x: Value) -> Value | None:
        seconds = node.array("delay").astype(np.float64)
        if seconds.shape != x.shape:
            return self.misfit(path, node, x, list(seconds.shape))
        exact = seconds.reshape(-1) / self.dt
        steps = np.rint(exact)
        if np.any(np.abs(exact - steps) > WHOLE_STEP) or np.any(steps >= 2**31):
            worst = float(exact[np.argmax(np.abs(exact - steps))])
            what = f"a delay of {worst:g} steps of {self.dt:g} s"
            self.find("NIR_DELAY", path, what, "give a dt of which every delay is a multiple")
            return None
        if not np.any(steps):
            return x
        if x.bias is not None:
            what = "what it delays contains a bias, which would begin some steps late"
            self.find("DELAYED_BIAS", path, what, "put the Delay right behind the neuron")
            return None
        different = np.unique(steps)
        if different.size == 1:
            return x.delayed(int(different[0]))
        if different.size > MOST_DELAYS:
            self.find("NIR_DELAY", path, f"{different.size} different delays; at most {MOST_DELAYS} are read")
            return None
        terms: tuple[Term, ...] = ()
        for d in different:  # one connection per length of delay, from the neurons that have it
            mine = sp.diags((steps == d).astype(np.float64), format="csr")
            mine.eliminate_zeros()
            terms += x.apply(Sparse(mine), x.shape).delayed(int(d)).terms
        return replace(x, terms=terms)


def spread(values: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """One number for every axis, or one per axis."""
    return values * axes if len(values) == 1 else values
