"""The kernel cache: a second process compiles nothing; the key covers what goes into a kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from snnkit.kernels import cache, threads, warm_up

SCRIPT = """
import json, torch
from snnkit import nn as snn
x = torch.randn(4, 2, 3, requires_grad=True)
snn.LI(tau=2.0)(x).sum().backward()
from snnkit.kernels.li import cpu
print(json.dumps([[sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values())]
                  for f in (cpu.forward, cpu.backward)]))
"""


def test_second_process_compiles_nothing(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    env |= {"SNNKIT_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    counts = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
        counts.append(json.loads(done.stdout))
    assert counts == [[[0, 1], [0, 1]], [[1, 0], [1, 0]]]
    assert [p.name for p in tmp_path.glob("kernels-*")] == [cache.folder().name]


def test_warm_up_reports_each_kernel() -> None:
    seen: list[tuple[str, int, int]] = []
    seconds = warm_up(lambda *a: seen.append(a))
    assert seconds >= 0
    assert [done for _, done, _ in seen] == list(range(9))
    assert {name for name, _, _ in seen} >= {"LIF forward", "CubaLIF backward", "ALIF backward", "LI backward"}


def test_blocks_cover_everything_once() -> None:
    torch.manual_seed(0)
    for steps, width in ((1, 1), (1, 70_000), (7, 4097), (300, 3000), (2000, 511)):
        seen: list[int] = []

        def kernel(first: int, last: int, block: int, seen: list[int] = seen, width: int = width) -> None:
            for b in range(first, last):
                seen.extend(range(b * block, min((b + 1) * block, width)))

        threads.run_blocks(kernel, steps, width)
        assert sorted(seen) == list(range(width))


def test_an_error_in_a_thread_is_not_lost() -> None:
    def kernel(first: int, last: int, block: int) -> None:
        raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threads.run_blocks(kernel, 100, 100_000)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("the error was lost")
    finally:
        torch.set_num_threads(before)
