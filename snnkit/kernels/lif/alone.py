"""The pieces around a neuron in its kernel where nothing is around it; `norm_lif.around` has those of norm and pool.

The body of the kernel takes them by the type of `around`, which is what they need to know: here None. It calls them for
every block, n elements of x [T, M] from `lo` on, which become m neurons from `first` on and k outputs from `to` on; and
for every step of it. `rows` is memory of the body's, whose first ROWS rows are theirs.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import at
from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import piece

ROWS = 7


@piece
def elements(around, block):
    """Most elements of a block."""
    return block


@piece
def place(around, b, block, width, rows):
    """(lo, n, first, m, to, k) of block b, at which all that a block needs is prepared."""
    lo = b * block
    n = min(block, width - lo)
    return lo, n, lo, n, lo, n


@piece
def enter(around, x, t, lo, n, rows):
    """The row that the neurons get in step t."""
    return read(x, t, lo, n, at(rows, 0, 0))


@piece
def room(around, s, t, to, rows):
    """A row for their spikes."""
    return target(s, t, to, at(rows, 1, 0))


@piece
def leave(around, spikes, s, t, to, k, rows):
    """That row to s [T, …]."""
    write(spikes, s, t, to, k)


@piece
def enter_back(around, grad_s, t, to, k, rows):
    """The row of the spikes' gradient in step t, from that of s."""
    return read(grad_s, t, to, k, at(rows, 0, 0))


@piece
def room_back(around, grad_x, t, lo, rows):
    """A row for the gradient of what the neurons got."""
    return target(grad_x, t, lo, at(rows, 1, 0))


@piece
def leave_back(around, grad, grad_x, t, lo, n, m, rows):
    """That row to grad_x [T, M]."""
    write(grad, grad_x, t, lo, n)
