"""Send on delta: sampled signals as events, each a change by one threshold.

The reference r of a channel starts at its first sample x_0. At each later step, n = ⌊|x_t − r| / threshold⌋ events are
sent, ON (p = 1) where the signal rose and OFF (p = 0) where it fell, and r moves by n thresholds the same way. It is
`snnkit.encoding.encode_delta` with `counts=True`, for arrays and without torch.

Source: Miśkowicz 2006, doi:10.3390/s6010049 (there the new value is sent, here its change in thresholds).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import ParameterError

Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]


def send_on_delta(series: NDArray[np.number], threshold: float, step_us: int) -> Columns:
    """The events of a series [T, C] sampled every `step_us` µs: columns t = step · step_us, x = channel, y = 0, p.

    Raises:
        ParameterError: a threshold that is not positive, a series of another shape or with values that are not finite.
    """
    x = np.asarray(series, np.float64)
    if not threshold > 0 or step_us < 1:
        raise ParameterError(f"threshold is {threshold}, step_us {step_us}", fix="give positive numbers")
    if x.ndim != 2 or len(x) == 0 or not np.isfinite(x).all():
        raise ParameterError(f"a series of shape {x.shape}", fix="give finite samples [T, C], T ≥ 1")
    sent = np.zeros(x.shape, np.int64)
    moved = np.zeros(x.shape[1])
    for k in range(1, len(x)):
        # The reference is recomputed from the whole number of events, so that it cannot drift.
        n = np.trunc((x[k] - (x[0] + threshold * moved)) / threshold)
        moved += n
        sent[k] = n
    step, channel = np.nonzero(sent)
    times = np.abs(sent[step, channel])
    p = (sent[step, channel] > 0).astype(np.uint8)
    return (
        np.repeat(step * step_us, times),
        np.repeat(channel, times),
        np.zeros(times.sum(), np.int64),
        np.repeat(p, times),
    )
