"""Compiled pieces of what surrounds the neuron: scale and shift, mean pooling and its gradient."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import beyond
from snnkit.kernels.bfloat16 import held, narrow, wide
from snnkit.kernels.cache import row
from snnkit.kernels.lanes import multiply_add


@row
def affine(x, scale, shift, contract, y, n):
    """y = scale·x + shift; rounded once where `contract`, as torch's batch norm does where it is built so, and then to
    what x can hold."""
    if contract:
        for i in range(n):
            y[i] = narrow(y, held(x, multiply_add(wide(x[i]), scale[i], shift[i])))
    else:
        for i in range(n):
            y[i] = narrow(y, held(x, wide(x[i]) * scale[i] + shift[i]))


@row
def pool(x, n, window, pixels, room, like, out):
    """Mean over windows, (columns, inner, height, width), of height·width pixels. x: [groups, height, columns, inner],
    n elements; out: [groups, columns / width, inner]. The sum is taken in the order of torch's average pooling, the
    mean rounded to what `like` can hold. room: [inner]."""
    columns, inner, height, width = window
    zero = pixels - pixels
    groups, across = n // (height * columns * inner), columns // width
    if height == 2 and width == 2:
        for g in range(groups):
            upper = beyond(x, 2 * g * columns * inner)
            lower = beyond(x, (2 * g + 1) * columns * inner)
            if inner == 1:
                to = beyond(out, g * across)
                for k in range(across):
                    total = ((zero + wide(upper[2 * k])) + wide(upper[2 * k + 1])) + wide(lower[2 * k])
                    total += wide(lower[2 * k + 1])
                    to[k] = narrow(to, held(like, total / pixels))
            else:
                for k in range(across):
                    a, b = beyond(upper, 2 * k * inner), beyond(upper, (2 * k + 1) * inner)
                    c, d = beyond(lower, 2 * k * inner), beyond(lower, (2 * k + 1) * inner)
                    to = beyond(out, (g * across + k) * inner)
                    for i in range(inner):
                        total = (((zero + wide(a[i])) + wide(b[i])) + wide(c[i])) + wide(d[i])
                        to[i] = narrow(to, held(like, total / pixels))
        return
    for g in range(groups):
        for k in range(across):
            for i in range(inner):
                room[i] = zero
            for r in range(height):
                for q in range(width):
                    lo = ((g * height + r) * columns + k * width + q) * inner
                    source = beyond(x, lo)
                    for i in range(inner):
                        room[i] += wide(source[i])
            to = beyond(out, (g * across + k) * inner)
            for i in range(inner):
                to[i] = narrow(to, held(like, room[i] / pixels))


@row
def spread(grad, n, window, pixels, like, out):
    """The gradient of `pool`: every pixel of a window has its part, rounded to what `like` can hold. Shapes as
    there."""
    columns, inner, height, width = window
    groups, across = n // (height * columns * inner), columns // width
    if height == 2 and width == 2 and inner == 1:
        for g in range(groups):
            part = beyond(grad, g * across)
            upper = beyond(out, 2 * g * columns)
            lower = beyond(out, (2 * g + 1) * columns)
            for k in range(across):
                value = narrow(out, held(like, wide(part[k]) / pixels))
                upper[2 * k] = value
                upper[2 * k + 1] = value
            for k in range(2 * across):
                lower[k] = upper[k]
        return
    for g in range(groups):
        for k in range(across):
            part = beyond(grad, (g * across + k) * inner)
            for r in range(height):
                for q in range(width):
                    lo = ((g * height + r) * columns + k * width + q) * inner
                    to = beyond(out, lo)
                    for i in range(inner):
                        to[i] = narrow(to, held(like, wide(part[i]) / pixels))
