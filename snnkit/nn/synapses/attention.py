"""Spiking self-attention: spikes compared with spikes, without a softmax."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.errors import ParameterError, ShapeError
from snnkit.nn.shapes import layer_name, refuse_list, shape_error


class Attention(torch.nn.Module):
    """Spiking self-attention: at each step, y = scale · q kᵀ v with q, k, v the outputs of three branches on x.

    Channels are divided among the heads; with a head's q, k, v as [N, d], N the pixels (tokens) of a step,
    y = scale · q (kᵀ v) = scale · (q kᵀ) v. Of spikes all products are counts, exact in float32, so the order does not
    matter and the cheaper one is taken. There is no softmax and no state: put a neuron layer behind it.

    x: [T, B, C, …], q, k, v, y: [T, B, C', …] with the same pixels.

    Args:
        query, key, value: modules on x that end in a neuron layer; each is used once.
        heads: groups of channels that attend on their own.
        scale: factor on the counts; a power of two keeps them exact.

    Raises:
        ParameterError: heads below 1, or a scale that is not positive.
        ShapeError: branches whose outputs differ in shape, no pixels, or channels that the heads do not divide.

    Chips' synapses have fixed weights, and this multiplies spikes with spikes: it is not exported (`ATTENTION`).

    Source: Zhou et al. 2023, "Spikformer: When Spiking Neural Network Meets Transformer", arXiv:2209.15425, eq. 6-8.
    """

    def __init__(
        self,
        query: torch.nn.Module,
        key: torch.nn.Module,
        value: torch.nn.Module,
        heads: int = 1,
        scale: float = 0.125,
    ) -> None:
        super().__init__()
        if heads < 1 or not scale > 0:
            raise ParameterError(f"Attention(heads={heads}, scale={scale:g})", fix="heads ≥ 1 and a positive scale")
        self.query, self.key, self.value = query, key, value
        self.heads, self.scale = heads, float(scale)

    def forward(self, x: Tensor) -> Tensor:
        refuse_list(x, self)
        q, k, v = self.query(x), self.key(x), self.value(x)
        if not q.shape == k.shape == v.shape:
            raise ShapeError(
                f"query, key and value of layer {layer_name(self)} give {tuple(q.shape)}, {tuple(k.shape)} and "
                f"{tuple(v.shape)}",
                fix="give the three branches the same channels and strides",
            )
        if q.dim() < 4 or q.shape[2] % self.heads:
            raise shape_error(self, q, f"[T, B, C, pixels…] with channels that its {self.heads} heads divide")
        q, k, v = (t.flatten(3).unflatten(2, (self.heads, -1)) for t in (q, k, v))  # [T, B, heads, d, N]
        width, tokens = q.shape[3:]
        if tokens > width:
            out = (v @ k.transpose(3, 4)) @ q
        else:
            out = v @ (k.transpose(3, 4) @ q)
        return (out * self.scale).reshape(x.shape[:2] + (self.heads * width, *x.shape[3:]))

    def extra_repr(self) -> str:
        return f"heads={self.heads}, scale={self.scale:g}"
