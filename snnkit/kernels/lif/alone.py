"""The pieces around a neuron in its kernel where nothing is around it; `norm_lif.around` has those of norm and pool.

The body of the kernel takes them by the type of `around`, which is what they need to know: here None. It calls them for
every block, n elements of x [T, M] from `lo` on, which become m neurons from `first` on and k outputs from `to` on; and
for every step of it. `rows` is memory of the body's, whose first ROWS rows are theirs.

In the usual case of `lif.steps` it calls `forward_steps` and `backward_steps` for every block instead, with `kept` rows
a step of its memory, `keep`.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import at
from snnkit.kernels.bfloat16 import target, write
from snnkit.kernels.cache import piece
from snnkit.kernels.lanes import get, many, put, streams
from snnkit.kernels.lif.steps import detached_steps, fire_steps
from snnkit.kernels.prefetch import ask_lines

ROWS = 7


@piece
def elements(around, block):
    """Most elements of a block."""
    return block


@piece
def place(around, b, fresh, block, width, rows):
    """(lo, n, first, m, to, k) of block b, at which all that a block needs is prepared; `fresh`: it is the first."""
    lo = b * block
    n = min(block, width - lo)
    return lo, n, lo, n, lo, n


@piece
def enter(around, x, t, lo, n, rows, row):
    """The row that the neurons get in step t, of the numbers of x; it may be `row`."""
    return at(x, t, lo)


@piece
def room(around, s, t, to, rows):
    """A row for their spikes, of the numbers of s."""
    return at(s, t, to)


@piece
def leave(around, spikes, s, t, to, k, rows):
    """That row to s [T, …]."""


@piece
def enter_back(around, grad_s, t, to, k, rows, row):
    """The row of the spikes' gradient in step t, from that of s and of its numbers; it may be `row`."""
    return at(grad_s, t, to)


@piece
def room_back(around, grad_x, t, lo, rows):
    """A row for the gradient of what the neurons got."""
    return target(grad_x, t, lo, at(rows, 1, 0))


@piece
def leave_back(around, grad, grad_x, t, lo, n, m, rows):
    """That row to grad_x [T, M]."""
    write(grad, grad_x, t, lo, n)


@piece
def kept(around, back):
    """Rows a step that `forward_steps` wants, or `backward_steps` where `back`."""
    return 0


@piece
def forward_steps(around, x, lo, n, s, to, k, neurons, m, to_zero, keep, rows, one):
    """All steps of a block. neurons: rows decay, threshold and v, and v_end, which is found."""
    a, th, v, v_end = neurons
    steps, width = x.shape
    streamed = streams(s, to)
    ahead = 0 if streamed else n
    fire_steps(
        None, at(x, 0, lo), width, n, a, th, to_zero, v, at(s, 0, to), width, ahead, v_end, n, steps, streamed, one
    )


@piece
def backward_steps(
    around, x, lo, n, grad_s, to, k, grad_x, neurons, m, to_zero, surrogate, keep, learns, tiles, rows, one
):
    """All steps of a block. neurons: rows decay, threshold, v and grad_v, and grad_v0 and grad_decay, which are found;
    surrogate: kind, peak and scale; tiles: us and slopes of `steps.detached_steps`."""
    (a, th, v, gv, gv0, ga), (kind, peak, scale), (us, slopes) = neurons, surrogate, tiles
    steps, width = x.shape
    streamed = streams(grad_x, lo)
    ahead = 0 if streamed else n
    detached_steps(
        None, kind, peak, scale, at(x, 0, lo), width, n, a, th, to_zero, v, at(grad_s, 0, to), width, n, gv,
        at(grad_x, 0, lo), width, ahead, gv0, ga, learns, us, slopes, n, steps, streamed, one,
    )  # fmt: skip


@piece
def tile_at(around, k, n, one):
    """Where a tile of `steps` is: that from number k of n on, or the last, which has some neurons for the second
    time."""
    return min(k, n - many(one))


@piece
def take(around, row, where, one):
    """The tile's numbers of a row that has one for each neuron."""
    return get(row, where, one)


@piece
def keep(around, value, row, where):
    """Numbers of the tile to such a row."""
    put(value, row, where, False)


@piece
def begin(around, where, one):
    """What `given` knows of the tile, before the first step."""
    return one


@piece
def given(around, x, start, where, front, one):
    """What the tile's neurons get from the row x[start:], and what it knows from then on."""
    return get(x, start + where, one), front


@piece
def finish(around, front, where):
    """What becomes of it after the last step forward."""


@piece
def give(around, spikes, s, start, where, streamed):
    """The tile's spikes to the row s[start:]."""
    put(spikes, s, start + where, streamed)


@piece
def given_back(around, grad_s, start, where, one):
    """The gradient of the tile's spikes, from that of s."""
    return get(grad_s, start + where, one)


@piece
def begin_back(around, where, one):
    """What `give_back` knows of the tile, before the last step."""
    return one


@piece
def give_back(around, grad, grad_x, start, where, rear, streamed):
    """The gradient of what `given` gave, to the row of that of x; what it knows from then on."""
    put(grad, grad_x, start + where, streamed)
    return rear


@piece
def finish_back(around, rear, where):
    """What becomes of it after the first step."""


@piece
def ask(around, x, start, where, wanted, one):
    """Ask for the tile's part of the row x[start:], or of that of its gradient, if it is wanted."""
    if wanted:
        ask_lines(x, start + where, one)


@piece
def ask_out(around, s, start, where, wanted, one):
    """As `ask`, for the row of s that is written."""
    if wanted:
        ask_lines(s, start + where, one)


@piece
def ask_back(around, grad_s, start, where, wanted, one):
    """As `ask`, for the row of its gradient."""
    if wanted:
        ask_lines(grad_s, start + where, one)
