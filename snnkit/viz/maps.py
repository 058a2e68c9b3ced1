"""Weights as pictures: the matrix of a layer, and the filters of its neurons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit.errors import ParameterError, ShapeError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

Array = np.ndarray[Any, Any]


def weights(weight: ArrayLike, *, limit: float | None = None, title: str | None = None, ax: Axes | None = None) -> Axes:
    """The weights of a layer as a map: a row per output, a column per input; positive orange, negative violet.

    Args:
        weight: [out, in]; of a convolution [out, in, …] the inputs and the kernel are laid side by side.
        limit: the weight of full colour; None: the largest magnitude.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ShapeError: fewer than two dimensions, or no weights.
    """
    w = style.array(weight).astype(float)
    if w.ndim < 2 or not w.size:
        raise ShapeError(f"weights(w) has shape {list(w.shape)}", fix="give [out, in] or [out, in, …]")
    w = w.reshape(len(w), -1)
    ax = style.axes_or_new(ax, 6.4, 3.6)
    image = ax.imshow(w, cmap=_diverging(), norm=_norm(w, limit), aspect="auto", interpolation="nearest")
    style.dress(ax, title, "input", "output")
    style.whole_ticks(ax.xaxis)
    style.whole_ticks(ax.yaxis)
    _scale(ax, image)
    return ax


def filters(
    weight: ArrayLike,
    shape: Sequence[int] | None = None,
    *,
    most: int = 64,
    columns: int | None = None,
    limit: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """What each neuron looks for: its weights as a small picture; positive orange, negative violet.

    Args:
        weight: [out, C, kH, kW] of a convolution, or [out, in] of a dense layer.
        shape: of a dense layer's input, (H, W) or (C, H, W). Channels stand below each other.
        most: so many neurons at most, the first ones.
        columns: neurons per row; None: about as wide as high.
        limit: the weight of full colour; None: each neuron's own largest magnitude.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ShapeError: a shape that does not fit the weights. ParameterError: most or columns below 1.
    """
    w = style.array(weight).astype(float)
    if w.ndim == 2 and shape is not None:
        if math.prod(shape) != w.shape[1] or len(shape) not in (2, 3):
            raise ShapeError(
                f"shape {tuple(shape)} does not fit {w.shape[1]} inputs", fix="give (H, W) or (C, H, W) of the input"
            )
        w = w.reshape(len(w), *((1,) if len(shape) == 2 else ()), *shape)
    if w.ndim != 4 or not w.size:
        raise ShapeError(
            f"filters(w) has shape {list(w.shape)}",
            fix="give [out, C, kH, kW], or [out, in] and the shape of the input",
        )
    if most < 1 or (columns is not None and columns < 1):
        raise ParameterError(f"most is {most}, columns {columns}", fix="give at least 1")
    w = w[:most]
    n, channels, height, width = w.shape
    if limit is None:
        peak = np.abs(w).reshape(n, -1).max(1)
        w = w / np.where(peak > 0, peak, 1.0)[:, None, None, None]
    tall = channels * height + 1
    if columns is None:
        columns = min(n, max(1, round(math.sqrt(n * tall / (width + 1) * 1.6))))
    rows = -(-n // columns)
    canvas = np.full((rows * tall - 1, columns * (width + 1) - 1), np.nan)
    for k, one in enumerate(w):
        top, left = k // columns * tall, k % columns * (width + 1)
        canvas[top : top + channels * height, left : left + width] = one.reshape(channels * height, width)
    ax = style.axes_or_new(ax, 6.4, 0.5 + min(6.4 * canvas.shape[0] / canvas.shape[1], 7.0))
    norm = _norm(canvas, 1.0 if limit is None else limit)
    image = ax.imshow(canvas, cmap=_diverging(), norm=norm, interpolation="nearest")
    style.dress(ax, title)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    if limit is not None:
        _scale(ax, image)
    return ax


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    ends = [style.colour("off"), style.colour("surface"), style.colour("on")]
    return LinearSegmentedColormap.from_list("snnkit", ends).with_extremes(bad=style.colour("grid"))


def _norm(values: Array, limit: float | None) -> Any:
    from matplotlib.colors import Normalize

    top = float(np.nanmax(np.abs(values))) if limit is None else limit
    if not top > 0:
        top = 1.0
    return Normalize(-top, top)


def _scale(ax: Axes, image: Any) -> None:
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=8, color=style.colour("muted"), labelcolor=style.colour("muted"), length=2)
