"""Accuracy over epochs, of one training after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from snnkit.errors import ParameterError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def histories(curves: Mapping[str, Sequence[float]], *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Validation accuracy per epoch of trainings that follow each other, on one axis of epochs.

    Args:
        curves: name → accuracies 0..1, one per epoch, in the order of the trainings; a later one begins where the one
            before ends, and its first value is the accuracy before its first step (NaN: not measured).
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ParameterError: no curve, or a value outside 0..1.
    """
    if not curves:
        raise ParameterError("histories was given no curve")
    ax = style.axes_or_new(ax, 6.4, 2.8)
    shades, first = ("graph", "torch", "emulator"), 0
    for k, (name, values) in enumerate(curves.items()):
        share = np.asarray(values, float)
        if share.ndim != 1 or not np.all(np.isnan(share) | ((share >= 0) & (share <= 1))):
            raise ParameterError(f"the curve {name!r} is no list of shares from 0 to 1")
        epochs = np.arange(len(share)) + first
        ax.plot(epochs, 100 * share, color=style.colour(shades[k % len(shades)]), lw=1.6, marker=".", label=name)
        if k + 1 < len(curves):
            first += max(len(share) - 1, 0)
            ax.axvline(first, color=style.colour("ink"), lw=0.6, ls=":")
    style.dress(ax, title, "epochs", "validation accuracy (%)", grid="y")
    style.whole_ticks(ax.xaxis)
    style.legend(ax)
    return ax
