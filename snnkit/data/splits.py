"""Dividing recordings into training, validation and test parts, once and for all.

Draws use SHA-256 of (seed, name) and no random generator, so a split never depends on a library's version, on the order
in which files are listed, or on which other recordings are present in the same class beyond their number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

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


PARTS = {"train": "train", "training": "train", "valid": "validation", "val": "validation", "validation": "validation",
         "test": "test", "testing": "test"}  # fmt: skip
"""What folders and files of a data set's parts are called, in small letters."""


def named_part(name: str) -> str | None:
    """The part that a folder's or file's name stands for, as in Train, shd_test or ibmGestureTest; None: none."""
    words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    found = [PARTS[w] for w in words if w in PARTS]
    return found[-1] if found else None


def seeded_parts(names: Sequence[str], labels: ArrayLike, test: float, validation: float, seed: int) -> list[str]:
    """The part of each recording of a data set that has none: a fixed stratified draw, frozen by (seed, names).

    In each class, names are put in order of SHA-256 of "seed:name"; the first ⌈test · n⌋ (rounded, at least 1) are the
    test part, the next ⌈validation · n⌋ (rounded, at least 1) validation, the others training. Neither the order of
    listing nor other classes matter.

    Raises:
        ParameterError: shares that leave no training part, or a class of fewer than three recordings.
    """
    if min(test, validation) <= 0.0 or test + validation >= 1.0:
        raise ParameterError(
            f"shares of {test} for test and {validation} for validation", fix="give positive shares of less than 1"
        )
    y = np.asarray(labels)
    parts = ["train"] * len(names)
    order = draw_order(names, seed)
    for label in np.unique(y):
        members = order[y[order] == label]
        n = len(members)
        if n < 3:
            raise ParameterError(f"class {label} has {n} recordings", fix="three parts need at least three")
        n_test = max(1, min(round(test * n), n - 2))
        n_validation = max(1, min(round(validation * n), n - n_test - 1))
        for k, i in enumerate(members[: n_test + n_validation]):
            parts[i] = "test" if k < n_test else "validation"
    return parts


def divide(
    parts: Sequence[str],
    names: Sequence[str],
    labels: NDArray[np.int64],
    validation: int | None = None,
    seed: int = 0,
    committed: Mapping[str, Any] | None = None,
) -> dict[str, NDArray[np.int64]]:
    """Indices of the three splits of recordings whose part is known ("train", "validation" or "test").

    Where only a validation part comes beside the training part, it is the test part: data are never selected on what is
    reported. Where there is no validation part, it is a stratified draw of `validation` training recordings (None: a
    tenth); `committed` holds the indices of a draw that was made once for certain names (`training_names_sha256`).
    """
    part = np.array(parts, dtype=object)
    if not (part == "test").any():
        part[part == "validation"] = "test"
    train, test = np.flatnonzero(part == "train"), np.flatnonzero(part == "test")
    chosen = np.flatnonzero(part == "validation")
    if len(chosen) == 0:
        own = [names[int(i)] for i in train]
        n = len(train) // 10 if validation is None else validation
        order = [int(i) for i in np.argsort(np.array(own, dtype=object), kind="stable")]
        key = names_digest(own)
        if committed is not None and key == committed["training_names_sha256"] and n == len(committed["indices"]):
            drawn = np.sort(np.array(order, np.int64)[committed["indices"]])
        else:
            drawn = stratified_draw(own, labels[train], n, seed)
        chosen, train = train[drawn], np.delete(train, drawn)
    return {"train": train, "validation": chosen, "test": test}


def names_digest(names: Sequence[str]) -> str:
    """SHA-256 over the names in sorted order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
