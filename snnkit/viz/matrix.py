"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snnkit.errors import ShapeError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def confusion(
    counts: ArrayLike, classes: Sequence[str] | None = None, *, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Counts of (true class, answer); the shade is the share of the true class.

    Args:
        counts: [C, C], rows are true classes, columns answers.
        classes: names; 0..C-1 without them.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ShapeError: counts are not square, or there are more or fewer names.
    """
    matrix = style.array(counts).astype(float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ShapeError(f"confusion(counts) has shape {list(matrix.shape)}", fix="give counts [C, C]")
    n = len(matrix)
    names = [str(k) for k in range(n)] if classes is None else [style.plain(c) for c in classes]
    if len(names) != n:
        raise ShapeError(f"{len(names)} class names for {n} classes")
    size = float(np.clip(0.32 * n + 1.2, 2.6, 8.0))
    ax = style.axes_or_new(ax, size + 0.3, size)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    from matplotlib.patches import Rectangle

    for i, j in zip(*np.nonzero(matrix)):
        right = i == j
        ax.add_artist(
            Rectangle(
                (j - 0.5, i - 0.5), 1, 1, lw=0, color=style.colour("torch" if right else "emulator"),
                alpha=0.12 + 0.6 * float(share[i, j] if right else min(1.0, 4 * share[i, j])),
            )
        )  # fmt: skip
        if n <= 24:
            ax.text(j, i, f"{matrix[i, j]:.0f}", ha="center", va="center", fontsize=8, color=style.colour("ink"))
    ax.set_xlim(-0.5, n - 0.5)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_aspect("equal")
    if n <= 24:
        ax.set_xticks(range(n), names, rotation=90 if max(map(len, names)) > 3 else 0)
        ax.set_yticks(range(n), names)
    style.dress(ax, title, "answer", "true class")
    ax.tick_params(length=0)
    return ax
