"""Truncated and mutated files: a typed error or a stated partial result, in bounded time and memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from snnkit.data import files
from snnkit.errors import SnnkitError

from .encoders import every_format, mutated

FORMATS = ("aedat4", "aedat31", "aedat2", "evt2", "evt21", "evt3", "dat", "hdf5", "shd", "atis", "csv", "npz", "nas")
MOST_BYTES = 200 << 20
"""Memory that a file of some kilobytes may take; a hang runs into the time limit of the test."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, bytes]]:
    return every_format(tmp_path_factory.mktemp("made"))


def attempt(path: Path, format: str | None) -> str:
    """Read strictly, then what is sound; says how it ended."""
    try:
        recording = files.open_recording(path, format=format)
        strict = recording.read()
        assert len(strict) == recording.scan.events > 0
        return "read"
    except SnnkitError as error:
        said = error
    assert said.fix
    assert str(path) in said.what
    try:
        recording = files.open_recording(path, format=format)
        partial = recording.read(order="sort", partial=True)
    except SnnkitError:
        return "refused"
    assert len(partial) > 0
    assert recording.notes
    return "partial"


def fuzz(name: str, made: dict[str, tuple[str, bytes]], tmp_path: Path, count: int) -> None:
    file, data = made[name]
    format = "nas" if name == "nas" else None
    rng = np.random.default_rng(len(name) + 1000 * FORMATS.index(name))
    path = tmp_path / file
    path.write_bytes(data)
    assert attempt(path, format) == "read"
    ends = {"read": 0, "refused": 0, "partial": 0}
    tracemalloc.start()
    for k in range(count):
        path.write_bytes(data[: len(data) * k // max(count // 4, 1)] if k < count // 4 else mutated(data, rng))
        ends[attempt(path, format)] += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES
    assert ends["refused"] > 0
    if name not in ("shd", "npz", "hdf5"):
        assert ends["partial"] > 0


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_never_pass_in_silence(name: str, made: dict[str, tuple[str, bytes]], tmp_path: Path) -> None:
    fuzz(name, made, tmp_path, 200)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FORMATS)
def test_ten_thousand_damaged_files(name: str, made: dict[str, tuple[str, bytes]], tmp_path: Path) -> None:
    fuzz(name, made, tmp_path, 10_000)
