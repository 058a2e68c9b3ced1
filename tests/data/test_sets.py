"""Every published set from a tiny archive in its official layout."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import types

import numpy as np
import pytest

import snnkit.data as data
from snnkit.data import EventDataModule, FrameSettings, open_source
from snnkit.data.catalog import SETS, source_class
from snnkit.data.files.atis import encode_atis
from snnkit.data.sets import download
from snnkit.data.sets.source import SetSource
from snnkit.errors import DataError, MissingPackageError, UsageError

from .conftest import random_stream, zip_bytes

SPLITS = ("train", "validation", "test")


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def mat(**arrays):
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, arrays)
    return out.getvalue()


def h5(write):
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        write(file)
    return out.getvalue()


def tar_bytes(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def aedat31(stream):
    """One polarity packet in AEDAT 3.1."""
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    n = len(stream)
    packet = struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, n, n, n)
    words = 1 | stream.p.astype("<u4") << 1 | stream.y.astype("<u4") << 2 | stream.x.astype("<u4") << 17
    return head + packet + np.stack([words, stream.t.astype("<u4")], 1).astype("<u4").tobytes()


def aedat2(stream):
    """AEDAT 2.0 with the addresses of a DVS128."""
    words = stream.y.astype(">u4") << 8 | (127 - stream.x.astype(">u4")) << 1 | (1 - stream.p).astype(">u4")
    return b"#!AER-DAT2.0\r\n# Chip: DVS128\r\n" + np.stack([words, stream.t.astype(">u4")], 1).astype(">u4").tobytes()


def gesture(seed):
    return random_stream(seed, 120, (128, 128), 1_200_000)


def gestures():
    files = {}
    for user, light in ((1, "led"), (2, "lab"), (24, "led")):
        stem = f"user{user:02d}_{light}"
        files[f"DvsGesture/{stem}.aedat"] = aedat31(gesture(user))
        rows = [f"{k + 1},{100_000 * k},{100_000 * (k + 1)}" for k in range(11)]
        files[f"DvsGesture/{stem}_labels.csv"] = "\n".join(["class,startTime_usec,endTime_usec", *rows]).encode()
    files["DvsGesture/trials_to_train.txt"] = b"user01_led.aedat\nuser02_lab.aedat\n"
    files["DvsGesture/trials_to_test.txt"] = b"user24_led.aedat\n"
    return files


def tonic_gestures():
    files = {}
    for part, users in (("Train", (1, 2)), ("Test", (24,))):
        for user in users:
            s = gesture(user)
            for k in range(11):
                array = np.stack([s.x, s.y, s.p, s.t // 1000], 1).astype(np.float64)
                files[f"DVSGesture/ibmGesture{part}/user{user:02d}_led/{k}.npy"] = npy(array)
    return files


def spike_file(n, channels, classes, seed=0, speakers=None):
    """A container in the layout of SHD."""

    def write(file):
        import h5py

        rng = np.random.default_rng(seed)
        times, units = [], []
        for _ in range(n):
            m = int(rng.integers(5, 20))
            times.append(np.sort(rng.random(m)).astype(np.float16))
            units.append(rng.integers(0, channels, m).astype(np.uint16))
        for name, rows, kind in (("times", times, np.float16), ("units", units, np.uint16)):
            group = file.require_group("spikes")
            group.create_dataset(name, (n,), h5py.vlen_dtype(np.dtype(kind)))
            for k, row in enumerate(rows):
                group[name][k] = row
        file["labels"] = (np.arange(n) % len(classes)).astype(np.uint16)
        file["extra/keys"] = np.array([c.encode() for c in classes])
        file["extra/speaker"] = np.arange(n) if speakers is None else speakers

    return h5(write)


def tidigits(file):
    rng = np.random.default_rng(0)
    for part, n in (("train", 3), ("test", 1)):
        names = [f"man-{part}{i}-{i}a-{d}" for d in "o123456789z" for i in range(n)] + [f"man-{part}-x-12"]
        file[f"{part}_labels"] = np.array([x.encode() for x in names])
        for name in names:
            file[f"{part}_timestamps/{name}"] = np.sort(rng.random(12))
            file[f"{part}_addresses/{name}"] = rng.integers(0, 64, 12)


def touch(seed):
    rng = np.random.default_rng(seed)
    train = rng.integers(-1, 2, (101, 15)).astype(np.float64)
    train[-1] = np.sort(rng.random(15))
    return mat(spiketrain=train)


def braille(n, first=0):
    rng = np.random.default_rng(first)
    labels, repetitions = (a.reshape(-1) for a in np.meshgrid(np.arange(27), first + np.arange(n), indexing="ij"))
    taxels = rng.integers(0, 255, (len(labels), 76, 12)).astype(np.uint8)
    return npz(taxels=taxels, label=labels, repetition=repetitions)


def wav(seed):
    import wave

    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        rng = np.random.default_rng(seed)
        t = np.arange(2400) / 8000
        sound = np.sin(2 * np.pi * (200 + 100 * seed) * t * t) * 8000 + rng.normal(0, 50, len(t))
        file.writeframes(sound.astype("<i2").tobytes())
    return out.getvalue()


def lips(part, n):
    kind = [("t", "<i4"), ("x", "i1"), ("y", "i1"), ("p", "i1")]
    files = {}
    for w in source_class("dvs-lip").classes:
        for i in range(n):
            s = random_stream(i, 8, (100, 90))
            array = np.empty(8, kind)
            for name in "txyp":
                array[name] = getattr(s, name)
            files[f"DVS-Lip/{part}/{w}/{i}.npy"] = npy(array)
    return files


def letters():
    files = {}
    for letter in source_class("asl-dvs").classes:
        for i in range(3):
            s = random_stream(i, 10, (240, 180), 90_000)
            columns = {"ts": s.t[:, None] + 5_000_000, "x": s.x[:, None], "y": s.y[:, None], "pol": s.p[:, None]}
            files[f"{letter}/{letter}_{i:04d}.mat"] = mat(**columns)
    return files


def cifar(encode, ending):
    return {
        f"{c}/cifar10_{c}_{i}.{ending}": encode(random_stream(10 * k + i, 20, (128, 128)))
        for k, c in enumerate(source_class("cifar10-dvs").classes)
        for i in range(3)
    }


def by_class(files):
    """One archive for each class."""
    classes = sorted({n.split("/")[0] for n in files})
    return {f"{c}.zip": zip_bytes({n: d for n, d in files.items() if n.split("/")[0] == c}) for c in classes}


def caltech():
    return {
        f"Caltech101/{c}/image_{i:04d}.bin": encode_atis(random_stream(i, 8, (200, 150)))
        for c in source_class("n-caltech101").classes
        for i in range(1, 4)
    }


KEYS = ["zero", "one", "two"]
FILES = {
    "dvs-gesture": {
        "official": lambda: {"DvsGesture.tar.gz": tar_bytes(gestures())},
        "unpacked": gestures,
    },
    "dvs-gesture tonic": {"tonic": tonic_gestures},
    "cifar10-dvs": {
        "official": lambda: by_class(cifar(aedat2, "aedat")),
        "unpacked": lambda: cifar(aedat2, "aedat"),
        "in one": lambda: {"CIFAR10DVS.zip": zip_bytes(by_class(cifar(aedat2, "aedat")))},
    },
    "n-caltech101": {"official": lambda: {"Caltech101.zip": zip_bytes(caltech())}, "unpacked": caltech},
    "asl-dvs": {
        "unpacked": letters,
        "official": lambda: {"ASLDVS.zip": zip_bytes({"Yin 1.zip": zip_bytes(letters())})},
    },
    "dvs-lip": {"official": lambda: {"DVS-Lip.zip": zip_bytes(lips("train", 2) | lips("test", 1))}},
    "shd": {
        "official": lambda: {
            "shd_train.h5.zip": zip_bytes({"shd_train.h5": spike_file(30, 700, KEYS)}),
            "shd_test.h5.zip": zip_bytes({"shd_test.h5": spike_file(9, 700, KEYS, 1)}),
        },
        "unpacked": lambda: {
            "shd_train.h5": spike_file(30, 700, KEYS),
            "shd_test.h5": spike_file(9, 700, KEYS, 1),
        },
        "gz": lambda: {
            "shd_train.h5.gz": gzip.compress(spike_file(30, 700, KEYS)),
            "shd_test.h5.gz": gzip.compress(spike_file(9, 700, KEYS, 1)),
        },
    },
    "ssc": {
        "official": lambda: {
            f"ssc_{p}.h5": spike_file(9, 700, KEYS, k) for k, p in enumerate(("train", "valid", "test"))
        }
    },
    "n-tidigits": {"official": lambda: {"n-tidigits.hdf5": h5(tidigits)}},
    "st-mnist": {
        "official": lambda: {
            "STMNIST.zip": zip_bytes(
                {f"data_submission/{d}/LUT_{d}.mat": touch(0) for d in range(10)}
                | {f"data_submission/{d}/{i}_ch0.mat": touch(10 * d + i) for d in range(10) for i in range(3)}
            )
        }
    },
    "braille": {
        "official": lambda: {"train.npz": braille(10), "test.npz": braille(2, 40)},
        "valid": lambda: {"train.npz": braille(10), "valid.npz": braille(2, 40)},
        "zip": lambda: {"braille.zip": zip_bytes({"train.npz": braille(10), "test.npz": braille(2, 40)})},
    },
    "fsdd": {
        "official": lambda: {
            f"recordings/{d}_{s}_{i}.wav": wav(d) for d in range(10) for s in ("ann", "bob") for i in (0, 4, 5, 6)
        },
        "archives": lambda: {
            "train.zip": zip_bytes(
                {f"{d}_{s}_{i}.wav": wav(d) for d in range(10) for s in ("ann", "bob") for i in (5, 6)}
            ),
            "valid.zip": zip_bytes(
                {f"{d}_{s}_{i}.wav": wav(d) for d in range(10) for s in ("ann", "bob") for i in (0, 4)}
            ),
        },
    },
}
COUNTS = {
    "dvs-gesture": (20, 2, 11),
    "dvs-gesture tonic": (20, 2, 11),
    "cifar10-dvs": (10, 10, 10),
    "n-caltech101": (101, 101, 101),
    "asl-dvs": (24, 24, 24),
    "dvs-lip": (180, 20, 100),
    "shd": (27, 3, 9),
    "ssc": (9, 9, 9),
    "n-tidigits": (30, 3, 11),
    "st-mnist": (10, 10, 10),
    "braille": (243, 27, 54),
    "fsdd": (36, 4, 40),
}


def opened(name, root):
    return open_source(name.split()[0], root=root, progress=False, check=False)


@pytest.mark.parametrize("name", FILES)
def test_every_layout_of_a_set_gives_the_same_samples(name, tmp_path, lay_out):
    digests = set()
    for k, (layout, files) in enumerate(FILES[name].items()):
        root = tmp_path / str(k)
        for path, content in files().items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        source = opened(name, root)
        assert isinstance(source, SetSource)
        assert tuple(len(source.indices(s)) for s in SPLITS) == COUNTS[name], layout
        together = np.concatenate([source.indices(s) for s in SPLITS])
        assert sorted(together) == list(range(len(source.store)))
        assert {*source.labels("train")} == {*range(len(source.classes))}
        if name not in ("shd", "ssc", "braille", "fsdd"):  # there, time 0 is that of the sound or of the slide
            assert all(source.store.columns(i)[0][0] == 0 for i in range(len(source.store)))
        frames, label = source.dataset("train", FrameSettings(T=5, binary=False, window_us=source.window_us))[0]
        width, height = source.sensor_size
        assert frames.shape == (5, len(source.channels), height, width)
        i = source.indices("train")[0]
        assert frames.sum() == len(source.store.columns(i)[0])
        assert label == source.store.labels[i]
        digests.add(source.digest)
        archives = [p for p in files() if p.endswith((".zip", ".gz", ".hdf5"))]
        if len(archives) == 1:
            assert opened(name, root / archives[0]).digest == source.digest
    assert len(digests) == 1


def test_gestures_are_cut_as_their_labels_say(lay_out):
    source = opened("dvs-gesture", lay_out(gestures()))
    s = gesture(1)
    first = source.store.stream(source.store.names.index("train/user01_led/03"))
    cut = s.events[(s.t >= 300_000) & (s.t < 400_000)]
    assert np.array_equal(first.t, cut["t"] - cut["t"][0])
    assert np.array_equal(first.x, cut["x"])
    assert source.store.labels[source.store.names.index("train/user01_led/03")] == 3
    assert {source.store.names[i].split("/")[1] for i in source.indices("test")} == {"user24_led"}


def test_letters_stand_upright(lay_out):
    source = opened("asl-dvs", lay_out(letters()))
    first, s = source.store.stream(0), random_stream(0, 10, (240, 180), 90_000)
    assert np.array_equal(first.y, 179 - s.y.astype(int))
    assert np.array_equal(first.t, s.t - s.t[0])


def test_taxels_are_placed_as_in_the_paper(lay_out):
    train = np.zeros((101, 2))
    train[37, 0], train[99, 1], train[-1] = 1, -1, (0.5, 0.75)
    files = {f"{d}/{i}.mat": mat(spiketrain=train) for d in range(10) for i in range(3)}
    stream = opened("st-mnist", lay_out(files)).store.stream(0)
    assert stream.events.tolist() == [(0, 7, 3, 1), (250_000, 9, 9, 0)]


def test_half_precision_times_are_whole_microseconds(lay_out):
    root = lay_out({f"shd_{p}.h5": spike_file(9, 700, KEYS) for p in ("train", "test")})
    source = opened("shd", root)
    assert source.classes == tuple(KEYS)
    assert source.channels == ("spike",)
    t = source.store.columns(0)[0]
    rng = np.random.default_rng(0)
    times = np.sort(rng.random(int(rng.integers(5, 20)))).astype(np.float16)
    assert np.array_equal(t, np.rint(times.astype(np.float64) * 1e6))


def test_names_of_modules():
    for name in (
        "DVSGesture",
        "CIFAR10DVS",
        "NCaltech101",
        "ASLDVS",
        "DVSLip",
        "SHD",
        "SSC",
        "NTIDIGITS",
        "STMNIST",
        "Braille",
    ):
        cls = getattr(data, name)
        assert issubclass(cls, EventDataModule)
        assert cls.make.facts.home
        assert cls.make.facts.source


def test_a_module_of_sound(lay_out):
    root = lay_out({f"shd_{p}.h5": spike_file(30, 700, KEYS) for p in ("train", "test")})
    module = data.SHD(
        str(root), T=20, batch_size=6, augment=data.SeriesAugment(stretch=0.1, band_shift=20), check=False
    )
    module.setup()
    assert tuple(next(iter(module.train_dataloader())).x.shape) == (20, 6, 1, 1, 700)
    assert module.input_shape == (1, 1, 700)
    assert module.describe()["channels"] == ["spike"]


WRONG = {
    "nothing": ({}, "(?s)does not exist.*zenkelab", "shd"),
    "no recordings": ({"a.txt": b""}, "no recordings of", "dvs-lip"),
    "no test": ({"shd_train.h5": spike_file(9, 700, KEYS)}, "no test part", "shd"),
    "no train": ({"shd_test.h5": spike_file(9, 700, KEYS)}, "no training part", "shd"),
    "a class is missing": (lips("train", 1) | lips("test", 1), "recordings of 1 of 100 classes: being", "dvs-lip"),
    "damaged container": ({"shd_train.h5": b"no hdf5", "shd_test.h5": b""}, "cannot be read as spikes/times", "shd"),
    "other container": ({"n-tidigits.hdf5": spike_file(3, 64, KEYS)}, "train_labels", "n-tidigits"),
    "units outside": (
        {f"shd_{p}.h5": spike_file(9, 5000, KEYS) for p in ("train", "test")}, "outside the 700x1 sensor", "shd"
    ),
    "damaged matlab": ({f"{d}/{i}.mat": b"x" * 200 for d in range(10) for i in range(3)}, "MATLAB file", "st-mnist"),
    "damaged npy": (dict.fromkeys(lips("train", 1) | lips("test", 1), b"x"), r"no \.npy file", "dvs-lip"),
    "a pickle": ({n: npy(np.array([{}], object)) for n in lips("train", 1) | lips("test", 1)}, "no .npy", "dvs-lip"),
    "damaged tar": ({"DvsGesture.tar.gz": gzip.compress(b"x" * 2000)}, "tar archive", "dvs-gesture"),
    "cut tar": ({"DvsGesture.tar.gz": tar_bytes(gestures())[:-900]}, "tar archive", "dvs-gesture"),
    "unsafe tar": ({"DvsGesture.tar.gz": tar_bytes({"../user.aedat": b"x"})}, "points outside", "dvs-gesture"),
    "a trial is missing": (
        {n: d for n, d in gestures().items() if "user02_lab.aedat" not in n}, "lists user02_lab.aedat", "dvs-gesture"
    ),
    "damaged wav": ({f"{d}_ann_{i}.wav": b"RIFF" for d in range(10) for i in (0, 9)}, "no WAV file", "fsdd"),
    "other taxels": (
        {
            f"{p}.npz": npz(taxels=np.zeros((2, 5, 3)), label=np.zeros(2), repetition=np.zeros(2))
            for p in ("train", "test")
        },
        "taxels", "braille",
    ),
    "no taxels": ({f"{p}.npz": npz(a=np.zeros(3)) for p in ("train", "test")}, "needed are taxels", "braille"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case, lay_out):
    files, message, name = WRONG[case]
    if case == "a class is missing":
        files = {n: d for n, d in files.items() if "train/being" not in n}
    with pytest.raises(DataError, match=message) as caught:
        opened(name, lay_out(files)).prepare()
    assert caught.value.fix


def test_official_archives_are_checked(lay_out):
    root = lay_out({"shd_train.h5.zip": b"other", "shd_test.h5.zip": b"others"})
    with pytest.raises(DataError, match="shd_test.h5.zip .6 bytes. has MD5.*published is 1503") as caught:
        open_source("shd", root=root, progress=False).prepare()
    assert "shd_train" in caught.value.what
    assert "check: false" in caught.value.fix


def test_a_download_is_tonics(lay_out, monkeypatch, tmp_path):
    asked = []

    class SHD:
        def __init__(self, save_to, train):
            asked.append((save_to, train))
            name = f"shd_{'train' if train else 'test'}.h5"
            folder = tmp_path / "here" / "SHD"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(spike_file(9, 700, KEYS))

    monkeypatch.setitem(sys.modules, "tonic", types.ModuleType("tonic"))
    stub = types.ModuleType("tonic.datasets")
    stub.SHD = SHD
    monkeypatch.setitem(sys.modules, "tonic.datasets", stub)
    root = tmp_path / "here"
    source = open_source("shd", root=root, download=True, progress=False)
    assert len(source.store) == 18
    assert asked == [(str(root), True), (str(root), False)]
    with pytest.raises(MissingPackageError, match="class SSC"):
        open_source("ssc", root=root, download=True, progress=False).prepare()
    with pytest.raises(DataError, match="cannot be downloaded by tonic"):
        open_source("st-mnist", root=root, download=True, progress=False).prepare()


def test_a_failed_download_says_where_the_data_come_from(monkeypatch, tmp_path):
    class NCALTECH101:
        def __init__(self, save_to):
            raise ConnectionError("no route to host")

    stub = types.ModuleType("tonic.datasets")
    stub.NCALTECH101 = NCALTECH101
    monkeypatch.setitem(sys.modules, "tonic", types.ModuleType("tonic"))
    monkeypatch.setitem(sys.modules, "tonic.datasets", stub)
    with pytest.raises(DataError, match="no route to host") as caught:
        open_source("n-caltech101", root=tmp_path, download=True, progress=False).prepare()
    assert "garrickorchard" in caught.value.fix


@pytest.mark.slow
def test_tonic_knows_the_classes_it_is_asked_for():
    pytest.importorskip("tonic")
    code = "from tonic import datasets; import inspect\n"
    for name in SETS:
        facts = getattr(source_class(name), "facts", None)
        if facts is not None and facts.tonic:
            arguments = ", ".join(facts.tonic_parts[0])
            code += f"p = inspect.signature(datasets.{facts.tonic}).parameters; assert 'save_to' in p, '{name}'\n"
            code += f"assert not set('{arguments}'.split(', ')) - {{*p, ''}}, '{name}'\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_of_tonic_is_imported_without_a_download():
    code = "import sys, snnkit.data.catalog as c\n[c.source_class(n) for n in c.SETS]\n"
    code += "assert not {'tonic', 'torch', 'h5py'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_sets_are_opened_by_name_or_path(lay_out):
    with pytest.raises(UsageError, match="shd lies in files"):
        open_source("shd")
    with pytest.raises(DataError, match="did you mean 'dvs-gesture'"):
        open_source("dvs-gestur")
    root = lay_out({f"{c}/{i}.bin": encode_atis(random_stream(i, 10, (20, 20))) for c in "ab" for i in range(4)})
    assert open_source(str(root)).name == "event-folder"
    with pytest.raises(DataError, match="neither N-MNIST nor a folder of recordings"):
        open_source(str(root / "a"))


def test_every_check_of_a_digest_has_a_published_one():
    for name in SETS:
        facts = getattr(source_class(name), "facts", None)
        if facts is not None:
            assert all(len(m) == 32 and int(m, 16) for m in facts.md5.values()), name
            assert download.obtain(facts, None)
