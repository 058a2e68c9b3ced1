"""Dividing recordings into training, validation and test parts, once and for all.

Draws use SHA-256 of (seed, name) and no random generator, so a split never depends on a library's version, on the order
in which files are listed, or on which other recordings are present in the same class beyond their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import ParameterError


def draw_order(names: Sequence[str], seed: int) -> NDArray[np.int64]:
    """A fixed random order of the names: indices sorted by SHA-256 of "seed:name"."""
    return np.array(
        sorted(range(len(names)), key=lambda i: hashlib.sha256(f"{seed}:{names[i]}".encode()).digest()), np.int64
    )


def stratified_draw(names: Sequence[str], labels: ArrayLike, n: int, seed: int) -> NDArray[np.int64]:
    """Draw n of the names so that classes keep their shares (largest remainder); sorted indices [n].

    Raises:
        ParameterError: n is negative or larger than the number of names.
    """
    y = np.asarray(labels)
    if not 0 <= n <= len(names):
        raise ParameterError(f"cannot draw {n} of {len(names)} recordings", fix=f"ask for 0 to {len(names)}")
    classes, counts = np.unique(y, return_counts=True)
    quota = counts * n // max(len(names), 1)
    rest = counts * n - quota * len(names)
    for c in sorted(range(len(classes)), key=lambda c: (-rest[c], c))[: n - int(quota.sum())]:
        quota[c] += 1
    order = draw_order(names, seed)
    chosen = [order[y[order] == label][:k] for label, k in zip(classes, quota)]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))


def shrink_splits(
    splits: dict[str, NDArray[np.int64]], names: list[str], labels: NDArray[np.int64], n_train: int
) -> dict[str, NDArray[np.int64]]:
    """Stratified parts of every split: n_train training recordings, the others in proportion, at least 20 each."""
    share = n_train / max(len(splits["train"]), 1)
    out = {}
    for split, indices in splits.items():
        n = n_train if split == "train" else max(20, round(share * len(indices)))
        drawn = stratified_draw([names[i] for i in indices], labels[indices], min(n, len(indices)), 0)
        out[split] = indices[drawn]
    return out
