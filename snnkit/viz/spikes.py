"""Spike rasters, alone or compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit.errors import ShapeError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike


MAX_RINGS = 60
"""Differing spikes get a ring as long as there are not more than this."""


def raster(
    spikes: ArrayLike,
    other: ArrayLike | None = None,
    *,
    names: tuple[str, str] = ("torch", "emulator"),
    dt_us: float | None = None,
    title: str | None = None,
    colour: str = "ink",
    ax: Axes | None = None,
) -> Axes:
    """One dash per spike: time across, neurons up.

    With `other`, spikes that both have are drawn in ink and those that only one has in that one's colour, with a ring.

    Args:
        spikes: [T, N], or [T, …] of which the rest is flattened; nonzero is a spike.
        other: a second raster of the same shape.
        names: what the two are called; "torch", "graph" and "emulator" have colours of their own.
        dt_us: length of a step in µs, for an axis in ms.
        title: above the picture.
        colour: a name in `style.LIGHT` for the spikes.
        ax: axes to draw on.

    Raises:
        ShapeError: no time axis, or two rasters of different shapes.
    """
    a = _flat(spikes, "raster(spikes)")
    ax = style.axes_or_new(ax)
    unit = 1.0 if dt_us is None else dt_us / 1000.0
    ax.set_xlim(-0.5 * unit, (a.shape[0] - 0.5) * unit)
    ax.set_ylim(-0.5, max(a.shape[1], 1) - 0.5)
    style.dress(ax, title, "step" if dt_us is None else "time (ms)", "neuron")
    style.whole_ticks(ax.yaxis, 5)
    if dt_us is None:
        style.whole_ticks(ax.xaxis)
    if other is None:
        _dashes(ax, a, unit, style.colour(colour))
        return ax
    b = _flat(other, "raster(other)")
    if a.shape != b.shape:
        raise ShapeError(
            f"two rasters of shapes {list(a.shape)} and {list(b.shape)}", fix="compare rasters of the same [T, N]"
        )
    _dashes(ax, a & b, unit, style.colour("ink"))
    handles = [_line(style.colour("ink"), "both")]
    for own, more, marker in ((a & ~b, names[0], "o"), (b & ~a, names[1], "s")):
        if own.any():
            shade = style.colour(more) if more in style.LIGHT else style.colour("differ")
            _dashes(ax, own, unit, shade)
            t, n = np.nonzero(own)
            if len(t) <= MAX_RINGS:
                ax.plot(t * unit, n, marker, ms=7, mfc="none", mec=shade, mew=1.2, ls="none", clip_on=False)
            handles.append(_line(shade, f"only {style.plain(more)} ({int(own.sum()):,})", marker))
    if len(handles) > 1:
        style.legend(ax, handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.1)
    return ax


def rasters(
    layers: Mapping[str, ArrayLike],
    other: Mapping[str, ArrayLike] | None = None,
    *,
    names: tuple[str, str] = ("torch", "emulator"),
    dt_us: float | None = None,
    title: str | None = None,
    width: float = 7.6,
) -> Figure:
    """Rasters of several layers below each other on one time axis.

    Args:
        layers: name → spikes [T, …], from input to output.
        other: name → the second raster of that layer; layers without one are drawn alone.
        names, dt_us: see `raster`.
        title: above all of them.
        width: of the figure in inches.
    """
    sizes = {name: _flat(s, f"raster of {name!r}").shape[1] for name, s in layers.items()}
    heights = [0.75 + 0.9 * np.log10(max(n, 4)) / np.log10(256) for n in sizes.values()]
    figure = style.new_figure(width, max(sum(heights) + 0.55, 1.6))
    grid = figure.subplots(max(len(layers), 1), 1, sharex=True, squeeze=False, height_ratios=heights or [1.0])
    for ax, (name, spikes) in zip(grid[:, 0], layers.items()):
        second = (other or {}).get(name)
        single = "ink" if second is not None or other is None else "muted"
        raster(spikes, second, names=names, dt_us=dt_us, colour=single, ax=ax)
        ax.set_title(style.plain(name), loc="left", fontsize=9.5, color=style.colour("ink"), pad=4)
        if ax is not grid[-1, 0]:
            ax.set_xlabel("")
    if title:
        figure.suptitle(style.plain(title), x=0.01, ha="left", fontsize=10.5, color=style.colour("ink"))
    return figure


def _line(colour: str, label: str, marker: str = "") -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, lw=2.2, marker=marker, ms=6, mfc="none", mew=1.2, label=label)


def _flat(spikes: Any, what: str) -> np.ndarray[Any, Any]:
    a = style.array(spikes)
    if a.ndim < 2:
        raise ShapeError(f"{what} has shape {list(a.shape)}", fix="give spikes [T, N], time first")
    return a.reshape(a.shape[0], int(np.prod(a.shape[1:]))) != 0


def _dashes(ax: Axes, spikes: np.ndarray[Any, Any], unit: float, colour: str) -> None:
    """All spikes as one path: small as SVG, quick to draw."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    steps, neurons = spikes.shape
    t, n = np.nonzero(spikes)
    half = 0.5 * max(0.62, steps / 400) * unit
    points = np.empty((2 * len(t), 2))
    points[0::2] = np.column_stack([t * unit - half, n])
    points[1::2] = np.column_stack([t * unit + half, n])
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], np.uint8), len(t))
    path = Path(points, codes) if len(t) else Path(np.zeros((0, 2)))
    path.should_simplify = False
    box = ax.get_position()
    tall = box.height * ax.figure.get_size_inches()[1] * 72  # type: ignore[union-attr]
    row = 0.72 * tall / max(neurons, 1)
    busiest = np.bincount(t, minlength=1).max(initial=1)
    # Thin enough that a dense layer does not become a black block, as thick as a row where rows are thick.
    width = float(np.clip(0.5 * tall / max(busiest, 1), min(row, 0.9), 0.9)) if row < 0.9 else min(row, 3.2)
    ax.add_patch(PathPatch(path, fill=False, ec=colour, lw=width, capstyle="butt", snap=False))
