"""Damaged containers of many recordings (SHD, N-TIDIGITS18): a typed error that names the file, never a crash."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnkit._isolated import pool
from snnkit.data import SHD
from snnkit.data.sets.hdf5 import DigitFile, SpikeFile
from snnkit.errors import DataError, SnnkitError

from .files.encoders import mutated

PARTS = ("train", "test")


def shd(file: h5py.File, n: int = 6) -> None:
    rng = np.random.default_rng(0)
    for name, kind in (("times", np.float16), ("units", np.uint16)):
        rows = file.create_dataset(f"spikes/{name}", (n,), h5py.vlen_dtype(np.dtype(kind)))
        for k in range(n):
            rows[k] = np.sort(rng.random(10 + k)) if name == "times" else rng.integers(0, 700, 10 + k)
    file["labels"] = np.arange(n, dtype=np.uint16) % 3
    file["extra/keys"] = np.array([b"zero", b"one", b"two"])
    file["extra/speaker"] = np.arange(n)


def tidigits(file: h5py.File, n: int = 3) -> None:
    rng = np.random.default_rng(0)
    for part in PARTS:
        names = [f"man-{k}a-{k}" for k in range(n)]
        file.create_dataset(f"{part}_labels", data=[x.encode() for x in names])
        for name in names:
            file[f"{part}_timestamps/{name}"] = np.sort(rng.random(12))
            file[f"{part}_addresses/{name}"] = rng.integers(0, 64, 12)


def read_shd(path: Path) -> int:
    with SpikeFile(path, path.name) as spikes:
        assert len(spikes.labels) == len(spikes.speakers)
        total = 0
        for k in range(len(spikes.labels)):
            t, unit = spikes.read(k)
            assert t.shape == unit.shape
            assert t.dtype == unit.dtype == np.int64
            assert (np.diff(t) >= 0).all()
            total += len(t)
        return total


def read_tidigits(path: Path) -> int:
    with DigitFile(path, path.name, PARTS) as data:
        return sum(len(data.read(part, name)[0]) for part, names in data.names.items() for name in names)


KINDS: dict[str, tuple[Callable[[h5py.File], None], Callable[[Path], int], int]] = {
    "shd": (shd, read_shd, 75),
    "tidigits": (tidigits, read_tidigits, 72),
}


def fuzz(kind: str, folder: Path, count: int) -> None:
    write, read, events = KINDS[kind]
    path = folder / "some_train.h5"
    with h5py.File(path, "w") as file:
        write(file)
    data = path.read_bytes()
    assert read(path) == events
    rng = np.random.default_rng(len(kind))
    refused = 0
    for k in range(count):
        path.write_bytes(data[: len(data) * k // max(count // 4, 1)] if k < count // 4 else mutated(data, rng))
        said = None
        try:
            read(path)
        except DataError as error:
            said = error
            refused += 1
        assert said is None or ("some_train.h5" in said.what and said.fix)
    assert refused > count // 4
    path.write_bytes(data)
    assert read(path) == events


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_containers_are_typed_errors(kind: str, tmp_path: Path) -> None:
    fuzz(kind, tmp_path, 50)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_damaged_containers(kind: str, tmp_path: Path) -> None:
    fuzz(kind, tmp_path, 10_000)


WRONG: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "a group for a data set": (lambda f: (f.pop("labels"), f.create_group("labels")), "cannot be read as"),
    "no labels": (lambda f: f.pop("labels"), "cannot be read as"),
    "labels that are text": (lambda f: (f.pop("labels"), f.create_dataset("labels", data=[b"a"] * 6)), "cannot be"),
    "fewer labels": (lambda f: (f.pop("labels"), f.create_dataset("labels", data=[0, 1])), "6 times.* 2 labels"),
    "labels without a name": (lambda f: f["labels"].write_direct(np.full(6, 9, np.uint16)), "label 9, but names of 3"),
    "a claim": (lambda f: (f.pop("labels"), f.create_dataset("labels", (1 << 40,), "i8", chunks=(64,))), "claims"),
    "times that are none": (lambda f: f["spikes/times"].__setitem__(2, [np.nan, np.inf]), "recording 2: cannot"),
    "unequal": (lambda f: f["spikes/units"].__setitem__(2, [1, 2, 3]), "recording 2 has 12 times and 3 units"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_containers_name_the_file(name: str, tmp_path: Path) -> None:
    change, said = WRONG[name]
    for part in PARTS:
        with h5py.File(tmp_path / f"shd_{part}.h5", "w") as file:
            shd(file)
            if part == "train":
                change(file)
    with pytest.raises(DataError, match=said) as caught:
        SHD(tmp_path, cache_dir=tmp_path / "cache", progress=False).source.store  # noqa: B018
    assert "shd_train.h5" in caught.value.what


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_process_that_dies_under_an_open_container_is_an_error_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        shd(file)
    with SpikeFile(path, "shd.zip/a.h5") as spikes:
        assert len(spikes.read(3)[0]) == 13
        assert spikes._session is not None
        server = spikes._session._server
        assert server is not None
        (child,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        with pytest.raises(DataError, match="shd.zip/a.h5 recording 4: .*breaks the HDF5 library: signal 9"):
            spikes.read(4)
        with pytest.raises(DataError, match=r"shd.zip/a.h5 recording 4"):
            spikes.read(4)
    assert server in pool._idle  # it forks a new child for the next container
    assert read_shd(path) == 75
    with contextlib.suppress(SnnkitError):
        spikes.read(0)
