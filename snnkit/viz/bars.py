"""Horizontal bars: accuracies, firing rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from snnkit.errors import ParameterError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def accuracy_bars(
    accuracy: Mapping[str, float],
    *,
    notes: Mapping[str, str] | None = None,
    samples: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One bar per model, from 0 to 100 %, with its figure beside it.

    Args:
        accuracy: name → share of right answers, 0..1; "torch", "graph" and "emulator" have colours of their own.
        notes: name → words after the figure.
        samples: number of recordings; draws ± one standard error of a share.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ParameterError: a value outside 0..1, or none.
    """
    if not accuracy:
        raise ParameterError("accuracy_bars was given no accuracy")
    for name, value in accuracy.items():
        if not 0 <= value <= 1:
            raise ParameterError(f"the accuracy of {name} is {value}", fix="give a share between 0 and 1")
    ax = style.axes_or_new(ax, 6.4, 0.7 + 0.42 * len(accuracy))
    for row, (name, value) in enumerate(accuracy.items()):
        shade = style.colour(name) if name in style.LIGHT else style.colour("compartments")
        ax.barh(row, 100 * value, height=0.5, color=shade)
        reach = 100 * value
        if samples:
            error = 100 * float(np.sqrt(value * (1 - value) / samples))
            reach += error
            ax.plot([100 * value - error, 100 * value + error], [row, row], color=style.colour("ink"), lw=1.1)
        text = f"{100 * value:.2f} %" + (f" · {notes[name]}" if notes and notes.get(name) else "")
        ax.annotate(style.plain(text), (reach, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9,
                    color=style.colour("ink"), annotation_clip=False)  # fmt: skip
    ax.set_yticks(range(len(accuracy)), [style.plain(n) for n in accuracy])
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    style.dress(ax, title, "accuracy (%)" + (f", {samples} recordings" if samples else ""), grid="x")
    _names_in_ink(ax)
    return ax


def firing_rates(rates: Mapping[str, ArrayLike], *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """How often each layer fires, in spikes per neuron and step.

    Args:
        rates: layer → mean rate, or the rate of each neuron [n]: then the line spans the middle 80 % of the neurons,
            and the share of silent ones is written beside it.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ParameterError: no layer.
    """
    if not rates:
        raise ParameterError("firing_rates was given no layer")
    ax = style.axes_or_new(ax, 6.4, 0.8 + 0.38 * len(rates))
    top = 0.0
    for row, (_, value) in enumerate(rates.items()):
        r = style.array(value).astype(float).reshape(-1)
        low, mean, high = float(np.quantile(r, 0.1)), float(r.mean()), float(np.quantile(r, 0.9))
        top = max(top, mean, high)
        ax.barh(row, mean, height=0.5, color=style.colour("torch"))
        text = f"{mean:.3f}"
        if r.size > 1:
            ax.plot([low, high], [row, row], color=style.colour("ink"), lw=1.2, solid_capstyle="butt")
            silent = float((r == 0).mean())
            text += f"  ({silent:.0%} silent)" if silent else ""
        ax.annotate(style.plain(text), (max(mean, high), row), xytext=(6, 0), textcoords="offset points", va="center",
                    fontsize=9, color=style.colour("ink"), annotation_clip=False)  # fmt: skip
    ax.set_yticks(range(len(rates)), [style.plain(n) for n in rates])
    ax.invert_yaxis()
    ax.set_xlim(0, max(top * 1.25, 1e-3))
    style.dress(ax, title, "spikes per neuron and step", grid="x")
    _names_in_ink(ax)
    return ax


def rate_histograms(
    rates: Mapping[str, ArrayLike], *, bins: int = 40, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """How the firing rates of each layer's neurons are spread: one histogram a layer, below each other.

    Args:
        rates: layer → spikes per step of each neuron, any shape. Heights are relative to each layer's highest bar; the
            share of silent neurons, which have no bar, is written beside it.
        bins: of equal width from 0 to the largest rate.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ParameterError: no layer, bins below 1, or negative rates.
    """
    if not rates or bins < 1:
        raise ParameterError(f"rate_histograms was given {len(rates)} layers and {bins} bins", fix="give some of both")
    flat = {name: style.array(value).astype(float).reshape(-1) for name, value in rates.items()}
    for name, r in flat.items():
        if r.size and not r.min() >= 0:
            raise ParameterError(f"a rate of {name} is {r.min()}", fix="give spikes per step")
    ax = style.axes_or_new(ax, 6.4, 0.8 + 0.62 * len(flat))
    top = max((float(r.max(initial=0.0)) for r in flat.values()), default=0.0) or 1.0
    edges = np.linspace(0.0, top, bins + 1)
    for row, r in enumerate(flat.values()):
        active = r[r > 0]
        counts = np.histogram(active, edges)[0].astype(float)
        heights = 0.8 * counts / max(counts.max(), 1.0)
        ax.bar(edges[:-1], -heights, width=np.diff(edges), bottom=row, align="edge", color=style.colour("torch"))
        ax.plot([0.0, top], [row, row], color=style.colour("grid"), lw=0.7)
        mean = float(r.mean()) if r.size else 0.0
        ax.plot([mean, mean], [row, row - 0.8], color=style.colour("ink"), lw=1.1)
        silent = 1 - active.size / max(r.size, 1)
        text = f"mean {mean:.3f}" + (f", {silent:.0%} silent" if silent else "")
        ax.annotate(text, (1.0, row - 0.4), xycoords=("axes fraction", "data"), xytext=(6, 0), va="center",
                    textcoords="offset points", fontsize=8.5, color=style.colour("muted"),
                    annotation_clip=False)  # fmt: skip
    ax.set_yticks([k - 0.4 for k in range(len(flat))], [style.plain(n) for n in flat])
    ax.set_ylim(len(flat) - 0.9, -1.0)
    ax.set_xlim(0, top)
    style.dress(ax, title, "spikes per step")
    _names_in_ink(ax)
    return ax


def _names_in_ink(ax: Axes) -> None:
    ax.tick_params(axis="y", length=0, labelcolor=style.colour("ink"), labelsize=9)
    ax.spines["left"].set_visible(False)
