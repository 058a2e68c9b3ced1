"""Matrix (non-spiking) mode: a product of small integers by charge, read by the ADC.

    y_block = clamp(floor(sum over the block's rows of x w * sends * gain + noise), -128, 127);  y = clamp(sum y_block)

Blocks are of 128 signed rows. Source: hxtorch `mac.cpp`, `constants.h`. Without noise it is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit._dialect import instantiate
from snnkit.errors import ParameterError, ShapeError
from snnkit.targets.brainscales2 import arithmetic, spec

Array = np.ndarray[Any, Any]
_FORMS = instantiate(arithmetic, where=np.where)


def matrix_product(
    x: Array, weight: Array, *, sends: int = 1, gain: float = spec.MATRIX_GAIN, noise: Array | None = None
) -> Array:
    """What the chip gives for x W^T.

    Args:
        x: integers 0..31 [B, n]. weight: integers -63..63 [m, n].
        sends: how often each input is sent.
        gain: codes per product of 1.
        noise: codes, added before rounding down, [blocks, B, m]; None for none. `matrix_noise` draws some.

    Returns:
        int64 [B, m] from -128 to 127.

    Raises:
        ParameterError: a value out of range. ShapeError: shapes that do not fit.
    """
    x, weight = np.asarray(x), np.asarray(weight)
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ShapeError(f"x {list(x.shape)} and weight {list(weight.shape)} do not fit", fix="give [B, n] and [m, n]")
    for name, a, low, high in (
        ("x", x, 0, spec.MATRIX_INPUT_MAX), ("weight", weight, -spec.WEIGHT_MAX, spec.WEIGHT_MAX)
    ):  # fmt: skip
        if a.dtype.kind not in "iu" or (a.size and (a.min() < low or a.max() > high)):
            raise ParameterError(f"{name} is no array of integers from {low} to {high}", fix="quantise it first")
    if sends < 1:
        raise ParameterError(f"sends is {sends}", fix="give at least 1")
    total = np.zeros((x.shape[0], weight.shape[0]), np.int64)
    for k, begin in enumerate(range(0, x.shape[1], spec.MATRIX_ROWS)):
        rows = slice(begin, begin + spec.MATRIX_ROWS)
        charge = (x[:, rows].astype(np.int64) @ weight[:, rows].astype(np.int64).T) * sends * gain
        read = np.floor(charge if noise is None else charge + noise[k])
        total += _FORMS.clamp(np.clip(read, -(2.0**40), 2.0**40).astype(np.int64))
    out: Array = _FORMS.clamp(total)
    return out


def matrix_noise(seed: int, batch: int, outputs: int, inputs: int, sigma: float = spec.MATRIX_NOISE) -> Array:
    """Normal noise of `sigma` codes [blocks, batch, outputs] for a product of `inputs` rows."""
    blocks = -(-inputs // spec.MATRIX_ROWS)
    rng = np.random.Generator(np.random.Philox(key=[seed, 3]))
    return sigma * rng.standard_normal((blocks, batch, outputs))
