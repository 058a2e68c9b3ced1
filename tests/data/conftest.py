"""Fixtures of the event data tests: a cache of their own, small archives, and the simulated set made once."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from snnkit.data.events import EventStream
from snnkit.data.files.atis import encode_atis


@pytest.fixture(scope="package", autouse=True)
def data_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache folder for all tests of this folder, so that the simulated set is made once.

    Not for the session: kernels are cached there too, and later tests in fresh processes would compile them again.
    """
    before = os.environ.get("SNNKIT_CACHE")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["SNNKIT_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["SNNKIT_CACHE"]
    else:
        os.environ["SNNKIT_CACHE"] = before


def random_stream(seed: int, n: int = 200, size: tuple[int, int] = (34, 34), last_us: int = 300_000) -> EventStream:
    """A stream of n random events."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, last_us, n))
    return EventStream.from_columns(
        t, rng.integers(0, size[0], n), rng.integers(0, size[1], n), rng.integers(0, 2, n), size, f"random {seed}"
    )


@pytest.fixture(scope="session")
def small_files() -> dict[str, bytes]:
    """Recordings of a miniature N-MNIST: 30 training and 20 test recordings, {"Train/3/00004.bin": bytes}."""
    files = {}
    for part, n in (("Train", 30), ("Test", 20)):
        for i in range(n):
            files[f"{part}/{i % 10}/{i + 1:05d}.bin"] = encode_atis(random_stream(i + (1000 if part == "Test" else 0)))
    return files


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """The bytes of a zip archive with these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def lay_out(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Write {relative path: bytes} below a fresh folder and return it."""

    def write(files: dict[str, bytes]) -> Path:
        root = tmp_path / "data"
        for name, data in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root

    return write
