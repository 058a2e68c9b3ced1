"""Percentiles of latencies in memory that does not grow."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RESOLUTION = 0.01
"""Relative width of a bucket: a percentile is too large by at most this much."""
_LOG = math.log1p(RESOLUTION)
_BUCKETS = math.ceil(math.log(1e10) / _LOG) + 1  # 1 µs to 10 000 s


class Latency:
    """Counts of latencies in buckets whose width is 1 % of their value; the largest one exactly."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)
        self.count = 0
        self.max_ns = 0

    def add(self, ns: NDArray[np.int64]) -> None:
        """More latencies in ns."""
        if len(ns):
            micro = np.maximum(ns / 1000, 1.0)
            bucket = np.minimum(np.ceil(np.log(micro) / _LOG).astype(np.int64), _BUCKETS - 1)
            np.add.at(self._counts, bucket, 1)
            self.count += len(ns)
            self.max_ns = max(self.max_ns, int(ns.max()))

    def percentile(self, share: float) -> float | None:
        """The latency in ms that this share (0 to 1) does not exceed; None without any."""
        if not self.count:
            return None
        bucket = int(np.searchsorted(np.cumsum(self._counts), max(math.ceil(share * self.count), 1)))
        return min(math.exp(bucket * _LOG) / 1000, self.max_ns / 1e6)

    def to_dict(self) -> dict[str, float | int | None]:
        """p50, p90, p99 and max in ms, and how many there were."""
        values = {f"p{q}": self.percentile(q / 100) for q in (50, 90, 99)}
        return {**values, "max": self.max_ns / 1e6 if self.count else None, "count": self.count}
