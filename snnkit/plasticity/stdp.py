"""STDP: spike-timing-dependent plasticity, the pair rule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.errors import ParameterError, StateError, did_you_mean
from snnkit.kernels import pairs
from snnkit.kernels.layout import runs_fused
from snnkit.kernels.pairs import ConvGeometry, PairParams, PairTraces
from snnkit.kernels.state import state_dtype
from snnkit.nn.neurons.parameters import decay_value
from snnkit.plasticity.bounds import Bounds
from snnkit.plasticity.rule import Rule

PAIRINGS = ("all", "nearest")

SAME_STEP = {"potentiate": (True, False), "both": (True, True), "neither": (False, False)}
"""Whether a pair of spikes of the same step counts as potentiation and as depression."""

DEFAULT_TAU = 20.0


class STDP(Rule):
    """Pair-based spike-timing-dependent plasticity with traces.

    Equation. With pre[t] and post[t] the spikes of a synapse's two ends and x, y their traces, each step does in this
    order (`snnkit.kernels.pairs.reference` is the definition, `snnkit.plasticity.reference` the whole rule):

    1. the neuron has run the step with the weights as they are; pre[t] and post[t] are its spikes;
    2. decay: x ← decay_pre·x, y ← decay_post·y;
    3. arrival, x only: x ← x + pre[t] (`pairing="all"`), or x ← pre[t] where pre[t] ≠ 0 (`"nearest"`);
    4. Δw ← a_plus·f₊(w)·x·post[t] − a_minus·f₋(w)·y·pre[t];
    5. arrival of y, in the same way from post[t].

    So a post spike Δt ≥ 0 steps after a pre spike gives +a_plus·exp(−Δt/tau_pre), and a pre spike Δt > 0 steps after
    a post spike −a_minus·exp(−Δt/tau_post). A pair of the same step counts as cause and effect, because the input of a
    step acts on the spikes of that step. `same_step="both"` lets y arrive before 4 (as in spikingjelly and bindsnet),
    `"neither"` lets x arrive after 4 (strictly Song et al., whose window is not defined at Δt = 0).

    Spikes may be other numbers than 0 and 1 (counts, dropout): they are what arrives in a trace, and what a change is
    multiplied by. f₊ and f₋ are 1, or with soft bounds (w_max − w)^mu and (w − w_min)^mu; see
    `snnkit.plasticity.bounds`.

    A batch is averaged: Δw is the mean over samples, and with `mode="batch"` the sum over steps with weights (so also
    f₊ and f₋) as they were before the sequence; a batch of 32 changes weights as 32 single samples do on average.
    With `mode="online"` w ← w + Δw, within bounds, at every step. Weights shared by the pixels of a convolution get the
    sum over them. Steps beyond `snn.valid_lengths` are left out. The bias does not learn.

    pre: [T, B, N] with weight [N', N] (`snn.Linear`), or [T, B, C, H, W] with weight [C', C/groups, kh, kw]
    (`snn.Conv2d`); post: [T, B, N'] or [T, B, C', H', W'].

    Args:
        synapse: a `snn.Linear` or `snn.Conv2d`.
        neuron: the spiking layer that it drives.
        a_plus: potentiation by a pair of the same step, in units of the weight.
        a_minus: depression by such a pair (that is, extrapolated to Δt = 0).
        tau_pre: time constant of the presynaptic trace in steps, decay_pre = exp(−1/tau_pre); 20 where not given.
        tau_post: the same of the postsynaptic trace.
        decay_pre: what remains of the presynaptic trace after a step, 0 … 1.
        decay_post: the same of the postsynaptic trace.
        pairing: `"all"` pairs of spikes, or each spike with the `"nearest"` earlier one of the other side.
        same_step: what a pair of the same step does: `"potentiate"`, `"both"` or `"neither"`.
        bound: `"hard"`, `"soft"` or `"none"`.
        w_min, w_max: the bounds.
        mu: exponent of soft bounds.
        mode: `"batch"` or `"online"`; see `Rule`.

    Raises:
        ParameterError: a value outside its range, an unknown name, weights outside the bounds, an unsupported layer.
        UsageError: the layer is frozen, or has such a rule already.

    The same elsewhere, both with `same_step="both"` and with the sum over the batch instead of the mean: spikingjelly
    2.0 `STDPLearner("m", synapse, neuron, tau_pre=1/(1−decay_pre), tau_post=1/(1−decay_post), f_pre=lambda w: a_minus,
    f_post=lambda w: a_plus)`; bindsnet 0.3 `PostPre(nu=(a_minus, a_plus))` between nodes with `traces_additive=True,
    tc_trace=tau`, which is `mode="online"`.

    Source: window and hard bounds: Song, Miller, Abbott 2000, doi:10.1038/78829; traces, nearest-spike pairing
    (symmetric) and soft bounds: Morrison, Diesmann, Gerstner 2008, doi:10.1007/s00422-008-0233-1.
    """

    def __init__(
        self,
        synapse: torch.nn.Module,
        neuron: torch.nn.Module,
        *,
        a_plus: float = 0.005,
        a_minus: float = 0.00525,
        tau_pre: float | None = None,
        tau_post: float | None = None,
        decay_pre: float | None = None,
        decay_post: float | None = None,
        pairing: str = "all",
        same_step: str = "potentiate",
        bound: str = "hard",
        w_min: float = 0.0,
        w_max: float = 1.0,
        mu: float = 1.0,
        mode: str = "batch",
    ) -> None:
        _choice("pairing", pairing, PAIRINGS)
        _choice("same_step", same_step, tuple(SAME_STEP))
        self.a_plus, self.a_minus = _finite("a_plus", a_plus), _finite("a_minus", a_minus)
        self.pairing, self.same_step = pairing, same_step
        self.bounds = Bounds(bound, w_min, w_max, mu)
        self.params = PairParams(
            _decay("_pre", tau_pre, decay_pre),
            _decay("_post", tau_post, decay_post),
            pairing == "nearest",
            *SAME_STEP[same_step],
        )
        super().__init__(synapse, neuron, mode)

    def attach(self) -> STDP:
        super().attach()
        try:
            self.bounds.refuse(self.synapse.weight, repr(self))
        except ParameterError:
            self.detach()
            raise
        return self

    def change(
        self, pre: Tensor, post: Tensor, lengths: Tensor | None = None, traces: PairTraces | None = None
    ) -> tuple[Tensor, PairTraces]:
        """What a sequence would do to the weights, without doing it.

        Args:
            pre, post: spikes, [T, B, …].
            lengths: [B] valid steps; None: all.
            traces: from an earlier part of the sequence; None: no spike yet.

        Returns:
            Δw as a step of `mode="batch"` adds it to the weights as they are now, before hard limits, in the shape of
            the weight; and the traces after the last valid step.

        Raises:
            StateError: traces of another batch.
        """
        with torch.no_grad(), torch.autocast(pre.device.type, enabled=False):
            weight = self.synapse.weight.detach().to(state_dtype(self.synapse.weight))
            pre, post = pre.to(weight.dtype), post.to(weight.dtype)
            if traces is not None and (traces.pre.shape, traces.post.shape) != (pre.shape[1:], post.shape[1:]):
                raise StateError(
                    f"{self!r}: traces of shape {tuple(traces.pre.shape)} and {tuple(traces.post.shape)} go on into "
                    f"spikes of shape {tuple(pre.shape)} and {tuple(post.shape)} [T, B, …]",
                    fix="the parts of a stream have one batch size; another sequence needs another `with snn.learning`",
                )
            batch = max(pre.shape[1], 1)
            up, down = self.a_plus / batch, self.a_minus / batch
            if not self.bounds.depend:
                return pairs.change(pre, post, traces, self.params, up, down, self.geometry, lengths)
            first, second, after = pairs.sums(pre, post, traces, self.params, self.geometry, lengths)
            return self.bounds.change(weight, first.mul_(up), second.mul_(down)), after

    def learn(self, pre: Tensor, post: Tensor, v: Tensor | None, lengths: Tensor | None, memory: Any) -> Any:
        change, traces = self.change(pre, post, lengths, memory)
        with torch.no_grad():
            self.synapse.weight.add_(change.to(self.synapse.weight.dtype))
        self.bounds.keep(self.synapse.weight)
        return traces

    def run(
        self, pre: Tensor, state: Any, lengths: Tensor | None, memory: Any
    ) -> tuple[Tensor, Tensor, Any, Any] | None:
        """A dense layer of LIF neurons on the CPU, without gradients, in one call; equal up to the sums' rounding."""
        layer = self.synapse
        plain = type(layer) is snn.Linear and type(self.neuron) is snn.LIF and layer.weight.is_contiguous()
        dtypes = {layer.weight.dtype, state_dtype(pre), state.v.dtype}
        if not plain or torch.is_grad_enabled() or torch.is_autocast_enabled(pre.device.type):
            return None
        if not runs_fused(pre) or len(dtypes) > 1 or layer.weight.dtype not in (torch.float32, torch.float64):
            return None
        batch = max(pre.shape[1], 1)
        b = self.bounds
        torch.autograd.graph.increment_version(layer.weight)
        return pairs.dense_lif(
            pre.to(layer.weight.dtype), layer.weight, layer.bias, state, self.neuron.params(state.v[None]), memory,
            self.params, self.a_plus / batch, self.a_minus / batch,
            None if b.kind == "none" else (b.w_min, b.w_max), b.mu if b.depend else 0.0, lengths,
        )  # fmt: skip

    @property
    def geometry(self) -> ConvGeometry | None:
        """How the weights of a convolution are shared; None of a dense layer."""
        layer = self.synapse
        if isinstance(layer, snn.Linear):
            return None
        if layer.padding == "same":
            total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size)]
            (top, bottom), (left, right) = ((t // 2, t - t // 2) for t in total)
        else:
            top, left = (0, 0) if layer.padding == "valid" else layer.padding
            bottom, right = top, left
        padding = (left, right, top, bottom)
        return ConvGeometry(
            layer.kernel_size, layer.stride, layer.dilation, padding, layer.padding_mode, layer.groups
        )  # fmt: skip

    def __repr__(self) -> str:
        p = self.params
        return (
            f"{super().__repr__()[:-1]}, a_plus={self.a_plus:g}, a_minus={self.a_minus:g}, "
            f"decay_pre={p.decay_pre:.6g}, decay_post={p.decay_post:.6g}, pairing={self.pairing!r}, "
            f"same_step={self.same_step!r}, {self.bounds!r}, mode={self.mode!r})"
        )


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ParameterError(
            f"{name}={value!r}{did_you_mean(str(value), known)}", fix=f"{name} is one of " + ", ".join(map(repr, known))
        )


def _finite(name: str, value: float) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ParameterError(f"{name}={value!r} is not a finite number")
    return float(value)


def _decay(suffix: str, tau: float | None, decay: float | None) -> float:
    return float(decay_value(suffix, DEFAULT_TAU if tau is None and decay is None else tau, decay))
