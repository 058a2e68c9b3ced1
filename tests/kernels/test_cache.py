"""The kernel cache: a second process compiles nothing; the key covers what goes into a kernel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import snnkit
from snnkit.errors import ParameterError
from snnkit.kernels import cache, threads, warm_up

PACKAGE = Path(snnkit.__file__).resolve().parent

SCRIPT = """
import json, sys, torch
from snnkit import nn as snn
x = torch.randn(*map(int, sys.argv[1:]), requires_grad=True)
snn.LI(tau=2.0, shape=(x.shape[2],), learn_decay=True)(x).sum().backward()
from snnkit.kernels.li import cpu
print(json.dumps([[sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values())]
                  for f in (cpu.forward, cpu.backward)]))
"""


def in_a_process(install: Path, keep: Path, *shape: int) -> tuple[list[list[int]], str]:
    """[hits, misses] of the cache in both directions, and the warnings."""
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    env |= {"SNNKIT_CACHE": str(keep), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(install)}
    command = [sys.executable, "-B", "-c", SCRIPT, *map(str, shape)]
    done = subprocess.run(command, env=env, cwd=install, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


def test_second_process_compiles_nothing(tmp_path: Path) -> None:
    """Whatever its T and sizes; the installed package may be read-only, and nothing is written into it."""
    install, keep = tmp_path / "install", tmp_path / "keep"
    shutil.copytree(PACKAGE, install / "snnkit", ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(install.rglob("*"))
    for path in [install, *before]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        first, _ = in_a_process(install, keep, 4, 2, 3)
        second, _ = in_a_process(install, keep, 7, 3, 5, 4)
    finally:
        for path in [install, *before]:
            path.chmod(path.stat().st_mode | 0o200)
    assert first == [[0, 1], [0, 1]]
    assert second == [[1, 0], [1, 0]]
    assert [p.name for p in keep.glob("kernels-*")] == [cache.folder().name]
    assert sorted(install.rglob("*")) == before


def test_without_a_place_to_keep_them_kernels_run_uncached(tmp_path: Path) -> None:
    """numba would keep them beside the sources, and not notice that a helper has changed."""
    place = tmp_path / "file"
    place.write_text("no folder")
    kept = set(PACKAGE.rglob("*.nb[ci]"))
    counts, warning = in_a_process(PACKAGE.parent, place / "below", 4, 2, 3)
    assert counts == [[0, 1], [0, 1]]
    assert "SNNKIT_CACHE" in warning
    assert set(PACKAGE.rglob("*.nb[ci]")) == kept


def test_warm_up_reports_each_kernel() -> None:
    seen: list[tuple[str, int, int]] = []
    seconds = warm_up(lambda *a: seen.append(a), neurons=("LIF", "LI"))
    assert seconds >= 0
    assert [done for _, done, _ in seen] == list(range(5))
    names = ["LIF forward", "LIF backward", "LI forward", "LI backward", "kernels ready"]
    assert [name for name, _, _ in seen] == names
    with pytest.raises(ParameterError, match="did you mean 'CubaLIF'"):
        warm_up(neurons=("CubaLif",))


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
