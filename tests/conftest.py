"""Shared fixtures: where the optional reference material lies, and a deterministic hypothesis profile."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The modules and tests that are loaded here stay to the end, so no search for garbage needs to look at them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.set_threshold(20_000, 20, 20)  # garbage goes at the end of a module too
        gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _settled() -> Iterator[None]:
    """Nor at what tests load on their way, which is a million objects in the end."""
    yield
    gc.collect()
    gc.freeze()


MANY = 2000
"""So many tests take most of the kernels."""

WARM = """
import torch
from snnkit.kernels import compiled, warm_up
for dtype in (torch.float32, torch.float64, torch.bfloat16):
    warm_up(dtype=dtype, neurons=[*compiled.FOLDERS, *compiled.OTHERS])
"""


@pytest.fixture(scope="session", autouse=True)
def _compiler(request: pytest.FixtureRequest) -> Iterator[None]:
    """Kernels are compiled on another core while the first of many tests run, which need few of them."""
    if len(request.session.items) < MANY or (os.cpu_count() or 1) < 2:
        yield
        return
    with subprocess.Popen(
        [sys.executable, "-c", WARM], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        yield
        process.kill()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference recordings and vectors, from SNNKIT_SHARED or beside the checkout."""
    path = Path(os.environ.get("SNNKIT_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"needs the shared reference material, not found at {path} (set SNNKIT_SHARED)")
    return path
