"""Membrane potentials over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit.errors import ShapeError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def membrane(
    v: Any,
    threshold: float | None = None,
    spikes: Any = None,
    *,
    dt_us: float | None = None,
    unit: str = "",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The membrane v of one neuron, or of a few, step by step.

    Args:
        v: [T] or [T, N]; beyond 8 neurons the lines are thin and grey, their mean is drawn in ink.
        threshold: level to mark.
        spikes: [T] or [T, N]: small marks at the steps in which the neuron fired.
        dt_us: length of a step in µs, for an axis in ms.
        unit: of v, for the axis.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ShapeError: v is not [T] or [T, N], or spikes have another shape.
    """
    values = style.array(v).astype(float)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise ShapeError(f"membrane(v) has shape {list(values.shape)}", fix="give v as [T] or [T, N]")
    ax = style.axes_or_new(ax, 6.4, 2.8)
    step = 1.0 if dt_us is None else dt_us / 1000.0
    time = np.arange(len(values)) * step
    names = ("torch", "emulator", "graph", "output_axons", "off", "input_axons", "compartments", "differ")
    many = values.shape[1] > len(names)
    for k in range(values.shape[1]):
        shade = style.colour("muted" if many else names[k])
        label = f"neuron {k}" if 1 < values.shape[1] <= len(names) else None
        ax.plot(time, values[:, k], color=shade, lw=0.5 if many else 1.4, alpha=0.5 if many else 1.0, label=label)
    if many:
        ax.plot(time, values.mean(1), color=style.colour("ink"), lw=1.6, label="mean")
    if spikes is not None:
        fired = style.array(spikes).reshape(len(values), -1) != 0
        if fired.shape != values.shape:
            raise ShapeError(f"spikes have shape {list(fired.shape)}, v has {list(values.shape)}")
        level = np.nanmax(values) if threshold is None else max(threshold, float(np.nanmax(values, initial=threshold)))
        span = max(level - float(np.nanmin(values, initial=level)), 1e-9)
        for k in range(values.shape[1]):
            at = time[fired[:, k]]
            ax.plot(at, np.full(len(at), level + 0.08 * span), "|", ms=7, mew=1.3, color=style.colour(
                "muted" if many else names[k]))  # fmt: skip
    if threshold is not None:
        ax.axhline(threshold, color=style.colour("muted"), lw=0.9, ls=(0, (4, 3)))
        ax.annotate("threshold", (1.0, threshold), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                    textcoords="offset points", ha="right", fontsize=8, color=style.colour("muted"))  # fmt: skip
    style.dress(
        ax, title, "step" if dt_us is None else "time (ms)", f"v ({style.plain(unit)})" if unit else "v", grid="y"
    )
    if dt_us is None:
        style.whole_ticks(ax.xaxis)
    if many or values.shape[1] > 1:
        style.legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax
