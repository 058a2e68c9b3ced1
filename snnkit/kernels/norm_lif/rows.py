"""Compiled pieces of what surrounds the neuron: scale and shift, mean pooling and its gradient."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from numba.extending import intrinsic

from snnkit.kernels.cache import row


@intrinsic
def _fma(typing_context, a, b, c):
    """a·b + c, rounded once."""

    def generate(context, builder, signature, args):
        return builder.fma(*args)

    return a(a, b, c), generate


@row
def fused_multiply_add(a, b, c):
    """a·b + c, rounded once."""
    return _fma(a, b, c)  # type: ignore[call-arg]


@row
def affine(x, scale, shift, contract, y, n):
    """y = scale·x + shift; rounded once where `contract`, as torch's batch norm does where it is built so."""
    if contract:
        for i in range(n):
            y[i] = _fma(x[i], scale[i], shift[i])  # type: ignore[call-arg]
    else:
        for i in range(n):
            y[i] = x[i] * scale[i] + shift[i]


@row
def pool(x, groups, columns, inner, height, width, out, one):
    """Mean over windows of height·width pixels, `groups` rows of windows. x: [groups, height, columns, inner]; out:
    [groups, columns / width, inner]. The sum is taken in the order of torch's average pooling."""
    zero = one - one
    size = one * (height * width)
    across = columns // width
    if height == 2 and width == 2 and inner == 1:
        for g in range(groups):
            upper = x[2 * g * columns : (2 * g + 1) * columns]
            lower = x[(2 * g + 1) * columns : (2 * g + 2) * columns]
            to = out[g * across : (g + 1) * across]
            for k in range(across):
                to[k] = ((((zero + upper[2 * k]) + upper[2 * k + 1]) + lower[2 * k]) + lower[2 * k + 1]) / size
        return
    for g in range(groups):
        for k in range(across):
            to = out[(g * across + k) * inner : (g * across + k + 1) * inner]
            for i in range(inner):
                to[i] = zero
            for r in range(height):
                for q in range(width):
                    lo = ((g * height + r) * columns + k * width + q) * inner
                    source = x[lo : lo + inner]
                    for i in range(inner):
                        to[i] += source[i]
            for i in range(inner):
                to[i] = to[i] / size


@row
def spread(grad, groups, columns, inner, height, width, out, one):
    """The gradient of `pool`: every pixel of a window has its part. Shapes as there."""
    size = one * (height * width)
    across = columns // width
    if height == 2 and width == 2 and inner == 1:
        for g in range(groups):
            part = grad[g * across : (g + 1) * across]
            upper = out[2 * g * columns : (2 * g + 1) * columns]
            lower = out[(2 * g + 1) * columns : (2 * g + 2) * columns]
            for k in range(across):
                value = part[k] / size
                upper[2 * k] = value
                upper[2 * k + 1] = value
            for k in range(2 * across):
                lower[k] = upper[k]
        return
    for g in range(groups):
        for k in range(across):
            part = grad[(g * across + k) * inner : (g * across + k + 1) * inner]
            for r in range(height):
                for q in range(width):
                    lo = ((g * height + r) * columns + k * width + q) * inner
                    to = out[lo : lo + inner]
                    for i in range(inner):
                        to[i] = part[i] / size
