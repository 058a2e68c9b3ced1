"""Pair sums of a sequence, and the choice of implementation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty, runs_fused
from snnkit.kernels.pairs import matrix, reference
from snnkit.kernels.pairs.geometry import ConvGeometry
from snnkit.kernels.pairs.reference import PairParams, PairTraces, initial_traces
from snnkit.kernels.threads import run_blocks

PARTS = 8
"""Parts of a batch at most that a convolution is summed in; fixed, so that sums do not depend on the threads."""

PART_WEIGHTS = 1 << 22
"""Weights of all parts together at most, beyond which fewer parts are made."""

HISTORY = 1 << 17
"""Elements of a trace that a dense sum keeps, so that they stay in the second-level cache."""

FEW_STEPS = 16
"""Steps below which traces from before cost `change` more than it saves."""


@torch.no_grad()
def sums(
    pre: Tensor,
    post: Tensor,
    traces: PairTraces | None,
    params: PairParams,
    geometry: ConvGeometry | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, PairTraces]:
    """Sums over the pairs of pre [T, B, …] and post [T, B, …]; see `reference`.

    Returns:
        P (pre first) and D (post first), of the weights' shape, summed over steps and batch; and the traces [B, …]
        after the last valid step. Fused on the CPU, matrix products elsewhere, equal to
        the reference up to rounding. Equal bit for bit for any number of threads.
    """
    pre, post = pre.detach(), post.detach()
    if not runs_fused(pre):
        run = reference.sums if pre.device.type == "cpu" else matrix.sums
        start = initial_traces(pre, post) if traces is None else traces
        return run(pre, post, start, params, geometry, lengths)
    until = array(ends(lengths, len(pre)))
    if geometry is None:
        return _dense(pre, post, traces, params, until)
    return _convolution(pre, post, traces, params, geometry, until)


def _dense(
    pre: Tensor, post: Tensor, traces: PairTraces | None, params: PairParams, until: Any
) -> tuple[Tensor, Tensor, PairTraces]:
    from snnkit.kernels.pairs import cpu

    steps, batch = pre.shape[:2]
    given = (None, None) if traces is None else traces
    one = array(pre).dtype.type

    def side(rows: Tensor, columns: Tensor, start: Tensor | None, decay: float, same: bool) -> tuple[Tensor, Tensor]:
        out = empty(pre, rows.shape[2], columns.shape[2])
        end = empty(pre, batch, columns.shape[2])
        run_blocks(
            cpu.dense,
            steps * batch,
            rows.shape[2],
            array(rows.contiguous()),
            array(columns.contiguous()),
            array(empty(pre, 0, columns.shape[2]) if start is None else start.contiguous()),
            one(decay),
            params.nearest,
            same,
            until,
            _chunk(steps, columns.shape[2]),
            array(out),
            array(end),
            block=_rows_per_thread(rows.shape[2]),
        )
        return out, end

    potentiation, pre_end = side(post, pre, given[0], params.decay_pre, params.potentiate_same)
    depression, post_end = side(pre, post, given[1], params.decay_post, params.depress_same)
    return potentiation, depression.mT, PairTraces(pre_end, post_end)


@torch.no_grad()
def change(
    pre: Tensor,
    post: Tensor,
    traces: PairTraces | None,
    params: PairParams,
    up: float,
    down: float,
    geometry: ConvGeometry | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, PairTraces]:
    """up·P − down·D and the traces, as from `sums`; where all pairs count, a dense layer needs less work for it."""
    steps, _, width = pre.shape[:3]
    short = steps < FEW_STEPS and traces is not None
    if geometry is not None or params.nearest or not runs_fused(pre) or short or steps * width > HISTORY:
        first, second, after = sums(pre, post, traces, params, geometry, lengths)
        return first.mul_(up).sub_(second, alpha=down), after
    from snnkit.kernels.pairs import cpu

    pre, post = pre.detach().contiguous(), post.detach().contiguous()
    outputs = post.shape[2]
    out, after = empty(pre, outputs, width), PairTraces(torch.empty_like(pre[0]), torch.empty_like(post[0]))
    one = array(pre).dtype.type
    run_blocks(
        cpu.dense_change,
        pre.shape[0] * pre.shape[1],
        outputs,
        array(pre),
        array(post),
        array(empty(pre, 0, width) if traces is None else traces.pre.contiguous()),
        array(empty(pre, 0, outputs) if traces is None else traces.post.contiguous()),
        one(up),
        one(down),
        one(params.decay_pre),
        one(params.decay_post),
        params.potentiate_same,
        params.depress_same,
        array(ends(lengths, steps)),
        array(out),
        array(after.pre),
        array(after.post),
        block=_rows_per_thread(outputs),
    )
    return out, after


def _rows_per_thread(rows: int) -> int:
    """Each block runs the traces anew, so as few as there are threads. It decides the speed and no value."""
    return max(1, -(-rows // max(torch.get_num_threads(), 1)))


def ends(lengths: Tensor | None, steps: int) -> Tensor:
    """Valid steps [B], empty where all are."""
    return torch.empty(0, dtype=torch.int64) if lengths is None else lengths.to(torch.int64).clamp(0, steps)


def _chunk(steps: int, width: int) -> int:
    """Steps of a trace that are kept at a time: equal parts of the sequence."""
    most = max(8, HISTORY // max(width, 1))
    return -(-steps // -(-steps // most))


def _convolution(
    pre: Tensor,
    post: Tensor,
    traces: PairTraces | None,
    params: PairParams,
    geometry: ConvGeometry,
    until: Any,
) -> tuple[Tensor, Tensor, PairTraces]:
    from snnkit.kernels.pairs import cpu

    g = geometry
    steps, batch = pre.shape[:2]
    outputs, each, kh, kw = g.weight_shape(pre, post)
    channels, heard = pre.shape[2], outputs // g.groups
    pre_last, post_last = _channels_last(g.pad(pre)), _channels_last(post)
    width, out_width = pre_last.shape[3], post_last.shape[3]
    parts = max(1, min(PARTS, batch, PART_WEIGHTS // max(1, outputs * each * kh * kw)))
    block = -(-batch // parts)
    parts = -(-batch // block)
    potentiation = empty(pre, parts, outputs * kh * kw * each)
    depression = empty(pre, parts, channels * kh * kw * heard)
    pre_end, post_end = torch.empty_like(pre_last[0]), torch.empty_like(post_last[0])
    nothing = empty(pre, 0, 0)
    one = array(pre).dtype.type
    run_blocks(
        cpu.convolution,
        steps * (pre_last[0, 0].numel() + post_last[0, 0].numel()),
        batch,
        array(pre_last.flatten(2)),
        array(post_last.flatten(2)),
        array(nothing if traces is None else _channels_last(g.pad(traces.pre)).flatten(1)),
        array(nothing if traces is None else _channels_last(traces.post).flatten(1)),
        one(params.decay_pre),
        one(params.decay_post),
        params.nearest,
        params.potentiate_same,
        params.depress_same,
        (kh, kw, *g.stride, *g.dilation, each, heard, channels, width, outputs, out_width),
        until,
        array(potentiation),
        array(depression),
        array(pre_end.flatten(1)),
        array(post_end.flatten(1)),
        block=block,
    )
    first = _in_order(potentiation).view(outputs, kh, kw, each).permute(0, 3, 1, 2)
    # [C, kh, kw, O of the group] → [O, C of the group, kh, kw]
    second = _in_order(depression).view(g.groups, each, kh, kw, heard).permute(0, 4, 1, 2, 3).flatten(0, 1)
    return first, second, PairTraces(g.crop(pre_end.movedim(-1, 1)), post_end.movedim(-1, 1))


def _in_order(parts: Tensor) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _channels_last(x: Tensor) -> Tensor:
    """[..., C, H, W] → [..., H, W, C], contiguous."""
    return x.movedim(-3, -1).contiguous()
