"""Shared fixtures: where the optional reference material lies, and a deterministic hypothesis profile."""

from __future__ import annotations

import gc
import os
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
        gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _settled() -> Iterator[None]:
    """Nor at what tests load on their way, which is a million objects in the end."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference recordings and vectors, from SNNKIT_SHARED or beside the checkout."""
    path = Path(os.environ.get("SNNKIT_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"needs the shared reference material, not found at {path} (set SNNKIT_SHARED)")
    return path
