"""torchvision's still images from files in its own layout, made here."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest

from snnkit.data import CIFAR10, MNIST, FashionMNIST, open_source
from snnkit.encoding import Direct, Latency
from snnkit.errors import DataError

torchvision_datasets = pytest.importorskip("torchvision", reason="needs torchvision")


def idx(array):
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_mnist(root, name, n=40, m=20):
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix, k in (("train", n), ("t10k", m)):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (k, 28, 28))))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(k) % 10))


@pytest.mark.parametrize("cls", [MNIST, FashionMNIST])
def test_grey_images(cls, tmp_path):
    write_mnist(tmp_path, cls.__name__)
    data = cls(str(tmp_path), Latency(T=4), batch_size=6)
    data.setup()
    assert {s: len(data.source.indices(s)) for s in ("train", "validation", "test")} == {
        "train": 36, "validation": 4, "test": 20,
    }  # fmt: skip
    assert set(data.source.indices("test")) == set(range(40, 60)), "the official test part"
    assert next(iter(data.train_dataloader())).x.shape == (4, 6, 1, 28, 28)
    assert data.input_shape == (1, 28, 28)
    values = cls(str(tmp_path), Direct(T=1)).dataset("test")[3][0]
    rng = np.random.default_rng(0)
    rng.integers(0, 256, (40, 28, 28))
    assert np.allclose(values[0, 0], rng.integers(0, 256, (20, 28, 28))[3] / 255)


def test_colour_images(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10 as Theirs

    folder = tmp_path / Theirs.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = {}
    for name, _ in [*Theirs.train_list, *Theirs.test_list]:
        images[name] = rng.integers(0, 256, (10, 3072)).astype(np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": images[name], "labels": list(range(10))}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    with pytest.raises(DataError, match="cannot be read"):
        open_source("cifar10", root=tmp_path).prepare()  # torchvision compares digests before it unpickles
    monkeypatch.setattr(Theirs, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *args: True)
    data = CIFAR10(str(tmp_path), Direct(T=2), batch_size=5)
    data.setup()
    assert next(iter(data.test_dataloader())).x.shape == (2, 5, 3, 32, 32)
    first = images[Theirs.test_list[0][0]][0].reshape(3, 32, 32)
    assert np.allclose(data.dataset("test")[0][0][0], first / 255)
    assert {s: len(data.source.indices(s)) for s in ("train", "validation", "test")} == {
        "train": 45, "validation": 5, "test": 10,
    }  # fmt: skip


def test_a_download_is_torchvisions(tmp_path, monkeypatch):
    asked = []

    class Stub:
        def __init__(self, root, train, download):
            asked.append((root, train, download))
            self.data, self.targets = np.zeros((10, 28, 28), np.uint8), np.arange(10)

    monkeypatch.setattr("torchvision.datasets.MNIST", Stub)
    data = MNIST(str(tmp_path), Latency(T=4), download=True)
    data.setup()
    assert asked == [(str(tmp_path), True, True), (str(tmp_path), False, True)]


def test_images_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="MNIST cannot be read") as caught:
        open_source("mnist", root=tmp_path).prepare()
    assert "download=True" in caught.value.fix


def test_damaged_images(tmp_path):
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(gzip.compress(b"x"))
    with pytest.raises(DataError, match="cannot be read"):
        open_source("mnist", root=tmp_path).prepare()
