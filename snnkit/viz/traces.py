"""Membrane potentials over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snnkit.errors import ShapeError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


COLOURS = ("torch", "emulator", "graph", "output_axons", "off", "input_axons", "compartments", "differ")
"""Colours of single neurons, in this order."""


def membrane(
    v: ArrayLike,
    threshold: float | None = None,
    spikes: ArrayLike | None = None,
    *,
    highlight: Sequence[int] = (),
    dt_us: float | None = None,
    unit: str = "",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The membrane v of one neuron, or of a few, step by step.

    Args:
        v: [T] or [T, N]; beyond 8 neurons the lines are thin and grey, and their mean is drawn in ink.
        threshold: level to mark.
        spikes: [T] or [T, N]: small marks at the steps in which the neuron fired.
        highlight: neurons to draw in colour; all others are grey.
        dt_us: length of a step in µs, for an axis in ms.
        unit: of v, for the axis.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ShapeError: v is not [T] or [T, N], spikes have another shape, or a highlighted neuron is not there.
    """
    values = style.array(v).astype(float)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise ShapeError(f"membrane(v) has shape {list(values.shape)}", fix="give v as [T] or [T, N]")
    ax = style.axes_or_new(ax, 6.4, 2.8)
    step = 1.0 if dt_us is None else dt_us / 1000.0
    time = np.arange(len(values)) * step
    n = values.shape[1]
    chosen = [int(k) for k in highlight] or list(range(n if n <= len(COLOURS) else 0))
    if any(not 0 <= k < n for k in chosen):
        raise ShapeError(f"highlight is {[int(k) for k in highlight]}, v has {n} neurons")
    shades = {k: style.colour(COLOURS[i % len(COLOURS)]) for i, k in enumerate(chosen)}
    for k in sorted(range(n), key=lambda k: k in shades):
        strong = k in shades
        label = f"neuron {k}" if strong and n > 1 else None
        ax.plot(time, values[:, k], color=shades.get(k, style.colour("muted")), lw=1.5 if strong else 0.7,
                alpha=1.0 if strong else 0.55, label=label)  # fmt: skip
    if not chosen and n:
        ax.plot(time, values.mean(1), color=style.colour("ink"), lw=1.6, label="mean")
    if spikes is not None:
        fired = style.array(spikes).reshape(len(values), -1) != 0
        if fired.shape != values.shape:
            raise ShapeError(f"spikes have shape {list(fired.shape)}, v has {list(values.shape)}")
        low, high = float(np.min(values, initial=0.0)), float(np.max(values, initial=threshold or 0.0))
        for k in range(n):
            at = time[fired[:, k]]
            ax.plot(at, np.full(len(at), high + 0.08 * max(high - low, 1e-9)), "|", ms=7, mew=1.3,
                    color=shades.get(k, style.colour("muted")))  # fmt: skip
    if threshold is not None:
        ax.axhline(threshold, color=style.colour("muted"), lw=0.9, ls=(0, (4, 3)))
        ax.annotate("threshold", (1.0, threshold), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                    textcoords="offset points", ha="right", fontsize=8, color=style.colour("muted"))  # fmt: skip
    style.dress(
        ax, title, "step" if dt_us is None else "time (ms)", f"v ({style.plain(unit)})" if unit else "v", grid="y"
    )
    if dt_us is None:
        style.whole_ticks(ax.xaxis)
    if n > 1:
        style.legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax
