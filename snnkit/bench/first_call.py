"""The first forward and backward pass of a process: with an empty kernel cache, and with a filled one.

Each is measured in a process of its own, from the call on, with torch and snnkit.nn imported: numba's import and set-up
are in it, and on the cold one the compilation of both kernels.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

_SCRIPT = """
import json, sys, time
import torch
from snnkit import nn as snn
times = []
for steps in (16, 9):
    layer = snn.LIF(decay=0.9, learn_decay=steps == 9)
    x = torch.randn(steps, 2, 500, requires_grad=True)
    start = time.perf_counter()
    layer(x).sum().backward()
    times.append(time.perf_counter() - start)
print(json.dumps(times))
"""


def measure(repeats: int = 3) -> list[dict[str, Any]]:
    """Rows of the first call cold (once), warm, and of the second call at another size and with other options.

    Args:
        repeats: processes with a filled cache.
    """
    with tempfile.TemporaryDirectory() as folder:
        env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"SNNKIT_CACHE": folder}
        runs = []
        for _ in range(1 + repeats):
            done = subprocess.run([sys.executable, "-c", _SCRIPT], env=env, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    (cold, _), *warm = runs
    cases = {
        "new process, empty cache: compiles both kernels": [cold],
        "new process, filled cache": [first for first, _ in warm],
        "same process, another size and other options": [second for _, second in warm],
    }
    return [
        {
            "work": "first call, LIF forward + backward",
            "impl": "snnkit fused",
            "settings": settings,
            "ms_min": round(min(times) * 1e3, 2),
            "ms_median": round(statistics.median(times) * 1e3, 2),
            "floor_ratio": None,
            "peak_ratio": None,
            "differing_spikes": None,
        }
        for settings, times in cases.items()
    ]
