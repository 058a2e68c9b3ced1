from __future__ import annotations

import ast
import csv
import io
import json
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

import snnkit.data
from snnkit.data import FrameSettings, NMNISTSource, open_source
from snnkit.data.files.atis import encode_atis
from snnkit.data.nmnist.archive import find_recordings
from snnkit.data.nmnist.source import draw_validation
from snnkit.data.splits import shrink_splits, stratified_draw
from snnkit.errors import DataError, MissingPackageError, ParameterError

from .conftest import random_stream, zip_bytes


def part(files, *tops):
    return {n: d for n, d in files.items() if n.split("/")[0] in tops}


def as_train(files):
    """Test recordings under training names, as in an archive cut from the training set."""
    return {f"Train/{n.split('/')[1]}/9{n.split('/')[2]}": d for n, d in part(files, "Test").items()}


def layouts(files):
    train, test = zip_bytes(part(files, "Train")), zip_bytes(part(files, "Test"))
    return {
        "unpacked": files,
        "tonic": {f"NMNIST/{n}": d for n, d in files.items()},
        "tonic with its archives": {
            **{f"NMNIST/{n}": d for n, d in files.items()},
            "NMNIST/train.zip": train,
            "NMNIST/test.zip": test,
        },
        "two archives": {"Train.zip": train, "Test.zip": test},
        "train and valid": {"train.zip": train, "valid.zip": zip_bytes(as_train(files))},
        "one archive of all": {"nmnist.zip": zip_bytes({f"N-MNIST/{n}": d for n, d in files.items()})},
        "archive of archives": {"download.zip": zip_bytes({"x/Train.zip": train, "x/Test.zip": test})},
        "archives of digits": {
            "train.zip": zip_bytes({n.removeprefix("Train/"): d for n, d in part(files, "Train").items()}),
            "test.zip": zip_bytes({n.removeprefix("Test/"): d for n, d in part(files, "Test").items()}),
        },
    }


LAYOUTS = list(layouts({}))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_data(layout, small_files, lay_out, tmp_path):
    root = lay_out(layouts(small_files)[layout])
    reference = NMNISTSource(lay_out({f"../reference/{n}": d for n, d in small_files.items()}).parent / "reference")
    source = NMNISTSource(root)
    assert source.digest == reference.digest
    sizes = {s: len(source.indices(s)) for s in ("train", "validation", "test")}
    assert sizes == {"train": 26, "validation": 4, "test": 20}
    parts = np.concatenate([source.indices(s) for s in sizes])
    assert sorted(parts) == list(range(50))
    assert source.store.labels[source.indices("test")].tolist() == sorted(list(range(10)) * 2)
    files = list(root.iterdir())
    if len(files) == 1 and files[0].suffix == ".zip":
        assert NMNISTSource(files[0]).digest == reference.digest


def test_three_archives_keep_their_own_validation_part(small_files, lay_out):
    train, test = part(small_files, "Train"), part(small_files, "Test")
    files = {"train.zip": zip_bytes(train), "valid.zip": zip_bytes(as_train(small_files)), "test.zip": zip_bytes(test)}
    source = NMNISTSource(lay_out(files))
    assert [len(source.indices(s)) for s in ("train", "validation", "test")] == [30, 20, 20]


def test_subset_is_stratified_and_smaller(small_files, lay_out):
    source = NMNISTSource(lay_out(small_files), validation=10, subset=10)
    assert source.store.labels[source.indices("train")].tolist() == list(range(10))
    assert len(source.store) == 10 + 10 + 20


def test_a_recording_that_changed_in_place_is_decoded_again(small_files, lay_out):
    root = lay_out(small_files)
    before = NMNISTSource(root).digest
    other = encode_atis(random_stream(77))
    file = root / "Train/0/00001.bin"
    assert len(other) == len(file.read_bytes())
    file.write_bytes(other)
    assert NMNISTSource(root).digest != before


def test_unknown_split(small_files, lay_out):
    with pytest.raises(ParameterError, match="did you mean 'validation'"):
        NMNISTSource(lay_out(small_files)).indices("validatoin")


# --- bad input -------------------------------------------------------------------------------------------------------


def refused(root, *words):
    with pytest.raises(DataError) as caught:  # a cache of its own: it must not find the good archive's entry
        NMNISTSource(root, cache_dir=root.parent / "cache of bad input").prepare()
    for word in ("fix:", *words):
        assert word in str(caught.value), str(caught.value)


def test_missing_and_empty_folders(tmp_path, lay_out):
    refused(tmp_path / "nowhere", "nowhere", "does not exist", "download=True")
    refused(lay_out({"notes.txt": b"hello"}), "no N-MNIST recordings", "notes.txt", "Train/<digit>")


def test_a_folder_without_classes(lay_out, small_files):
    root = lay_out({"Train/readme.txt": b"", "Test/readme.txt": b""})
    refused(root, str(root), "no folder of a class", "Train/<digit>")


def test_a_class_without_recordings_is_named(lay_out, small_files):
    refused(lay_out({n: d for n, d in small_files.items() if "Train/7/" not in n}), "classes [7]")


def test_no_test_part(lay_out, small_files):
    refused(lay_out(part(small_files, "Train")), "neither a test nor a valid part")
    root = lay_out({"../zip/train.zip": zip_bytes(part(small_files, "Train"))}).parent / "zip"
    refused(root, "neither a test nor a valid part")


def test_an_unreadable_folder_is_named(lay_out, small_files, monkeypatch):
    root = lay_out(small_files)

    def forbidden(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    refused(root, str(root), "Permission denied")


def test_an_empty_test_part(lay_out, small_files):
    refused(lay_out({**part(small_files, "Train"), "Test/readme.txt": b""}), "test part holds no recordings")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d[:-2], ["multiple of 5", "cut off"]),
        (lambda d: b"", ["empty"]),
        (lambda d: d[:-5] + bytes([40, 0, 0x7F, 0xFF, 0xFF]), ["x=40", "outside the 34x34"]),
        (lambda d: d + bytes([0, 0, 0, 0, 0]), ["time runs back"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_recording_is_named(lay_out, small_files, change, words, packed):
    name = "Train/4/00005.bin"
    files = {**small_files, name: change(small_files[name])}
    if packed:
        files = {"train.zip": zip_bytes(part(files, "Train")), "test.zip": zip_bytes(part(files, "Test"))}
    refused(lay_out(files), name, *words)


def test_a_damaged_archive_is_named(lay_out, small_files):
    train, test = zip_bytes(part(small_files, "Train")), zip_bytes(part(small_files, "Test"))
    refused(lay_out({"train.zip": train[:-100], "test.zip": test}), "train.zip", "zip archive", "again")
    flipped = bytearray(train)
    flipped[200] ^= 255
    refused(lay_out({"train.zip": bytes(flipped), "test.zip": test}), "train.zip:Train/0/00001.bin", "again")
    refused(lay_out({"train.zip": b"no zip", "test.zip": test}), "train.zip")


def test_an_archive_that_lacks_a_listed_member(lay_out, small_files):
    train, test = part(small_files, "Train"), part(small_files, "Test")
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["split", "member"])
    rows.writerows([["train", n] for n in train] + [["test", n] for n in test])
    missing = train.pop("Train/3/00014.bin")
    assert missing
    files = {"train.zip": zip_bytes(train), "test.zip": zip_bytes(test), "manifest.csv": text.getvalue().encode()}
    refused(lay_out(files), "manifest.csv", "1 of 50", "Train/3/00014.bin")
    refused(lay_out({"../one/all.zip": zip_bytes(files)}).parent / "one", "manifest.csv", "Train/3/00014.bin")


@pytest.mark.parametrize(
    "name",
    ["../Train/1/evil.bin", "/etc/1/evil.bin", "a/../../1/evil.bin", "C:\\1\\evil.bin", "a\\..\\..\\1\\evil.bin"],
)
def test_archives_that_leave_their_folder_are_refused(lay_out, small_files, name):
    train, test = part(small_files, "Train"), part(small_files, "Test")
    files = {"train.zip": zip_bytes({**train, name: train["Train/1/00002.bin"]}), "test.zip": zip_bytes(test)}
    refused(lay_out(files), "train.zip", "evil.bin", "outside the archive")


def test_a_member_that_claims_a_huge_size_is_refused(lay_out, small_files, monkeypatch):
    from snnkit.data.nmnist import archive

    monkeypatch.setattr(archive, "MAX_RECORDING_BYTES", 500)
    files = {"train.zip": zip_bytes(part(small_files, "Train")), "test.zip": zip_bytes(part(small_files, "Test"))}
    refused(lay_out(files), "claims 1000 bytes")


# --- tonic -----------------------------------------------------------------------------------------------------------


def test_everything_but_a_download_works_without_tonic(small_files, lay_out, tmp_path):
    root, cache = str(lay_out(small_files)), str(tmp_path / "c")
    code = f"""
import sys
sys.modules["tonic"] = None  # an import of it raises ImportError
from snnkit.data import FrameSettings, NMNISTSource, SaccadeDigitsSource, to_frames
source = NMNISTSource({root!r}, cache_dir={cache!r})
assert source.dataset("train", FrameSettings(T=3))[0][0].shape == (3, 2, 34, 34)
assert to_frames(source.store.stream(0)).sum() == 200
assert len(SaccadeDigitsSource(subset=10, cache_dir={cache!r}).store) == 50
from snnkit.errors import MissingPackageError
try:
    NMNISTSource({root + "/other"!r}, download=True).prepare()
except MissingPackageError as error:
    assert "pip install tonic" in str(error)
else:
    raise AssertionError("no error")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=55)


def test_tonic_is_imported_in_one_place_and_only_when_it_is_called():
    for file in Path(snnkit.data.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
        named = [n for n in imports if "tonic" in ast.unparse(n)]
        assert not set(named) & set(tree.body)
        assert len(named) == (file.parts[-2:] == ("nmnist", "source.py"))


def fake_tonic(monkeypatch, get):
    package, datasets = types.ModuleType("tonic"), types.ModuleType("tonic.datasets")
    datasets.NMNIST = get  # type: ignore[attr-defined]
    package.datasets = datasets  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tonic", package)
    monkeypatch.setitem(sys.modules, "tonic.datasets", datasets)


def test_download_goes_through_tonic_and_only_when_needed(monkeypatch, tmp_path, small_files):
    asked = []

    def get(save_to, train):
        asked.append(train)
        with zipfile.ZipFile(io.BytesIO(zip_bytes(part(small_files, "Train" if train else "Test")))) as archive:
            archive.extractall(f"{save_to}/NMNIST")

    fake_tonic(monkeypatch, get)
    assert len(NMNISTSource(tmp_path / "d", download=True).store) == 50
    assert asked == [True, False]
    NMNISTSource(tmp_path / "d", download=True).prepare()
    assert asked == [True, False]


def test_a_failed_download_says_what_to_do(monkeypatch, tmp_path):
    def get(save_to, train):
        raise OSError("network is unreachable")

    fake_tonic(monkeypatch, get)
    with pytest.raises(DataError, match="unreachable") as caught:
        NMNISTSource(tmp_path / "d", download=True).prepare()
    assert "download the archives yourself" in str(caught.value)
    monkeypatch.setitem(sys.modules, "tonic.datasets", None)
    with pytest.raises(MissingPackageError, match="tonic"):
        NMNISTSource(tmp_path / "d", download=True).prepare()


# --- splits and the real subset --------------------------------------------------------------------------------------


def test_stratified_draw_keeps_the_shares_and_ignores_the_order_of_the_files():
    names = [f"n{i}" for i in range(101)]
    labels = np.array([0] * 60 + [1] * 30 + [2] * 11)
    drawn = stratified_draw(names, labels, 20, 0)
    assert np.bincount(labels[drawn]).tolist() == [12, 6, 2]
    shuffled = np.random.default_rng(0).permutation(101)
    again = stratified_draw([names[i] for i in shuffled], labels[shuffled], 20, 0)
    assert sorted(shuffled[again]) == drawn.tolist()
    assert stratified_draw(names, labels, 20, 1).tolist() != drawn.tolist()
    assert len(stratified_draw(names, labels, 0, 0)) == 0
    with pytest.raises(ParameterError, match="102 of 101"):
        stratified_draw(names, labels, 102, 0)
    small = shrink_splits({"train": np.arange(80), "test": np.arange(80, 101)}, names, labels, 8)
    assert [len(v) for v in small.values()] == [8, 20]


def test_the_real_subset(shared_dir):
    root = shared_dir / "data" / "nmnist_subset"
    source = open_source(str(root))
    assert [len(source.indices(s)) for s in ("train", "validation", "test")] == [600, 100, 200]
    assert source.digest == "769645756bedf78e5183eec3f39520f8542eb6e6baa30f889ff941380cf67083"
    store = source.store
    assert int(store.offsets[-1]) == 2839510 + 865328
    with open(root / "manifest.csv") as f:
        rows = list(csv.DictReader(f))
    valid = {row["member"] for row in rows if row["split"] == "valid"}
    assert {store.names[i] for i in source.indices("test")} == valid
    x, y = source.dataset("test", FrameSettings(T=5, binary=False, window_us=315_000)).stack()
    assert x.shape == (5, 200, 2, 34, 34)
    assert x.sum() == 865328
    assert np.bincount(y).tolist() == [20] * 10


def test_the_committed_validation_part_is_what_the_rule_draws(shared_dir):
    with find_recordings(shared_dir / "data" / "nmnist_subset") as found:
        train = [e for e in found if e.part == "train"]
    names, labels = [e.name for e in train], np.array([e.label for e in train])
    drawn = stratified_draw(names, labels, 100, 0)
    assert draw_validation(names, labels, 100, 0).tolist() == drawn.tolist()
    assert np.abs(np.bincount(labels[drawn]) - np.bincount(labels) / 7).max() <= 1


def test_draws_of_seventy_and_of_few_are_committed_and_what_the_rule_draws(shared_dir):
    root = shared_dir / "data" / "nmnist_subset"
    with find_recordings(root) as found:
        train = [e for e in found if e.part == "train"]
    names, labels = [e.name for e in train], np.array([e.label for e in train])
    assert draw_validation(names, labels, 70, 0).tolist() == stratified_draw(names, labels, 70, 0).tolist()
    few = stratified_draw(names, labels, 100, 0)
    tenth = stratified_draw([names[i] for i in few], labels[few], 10, 0)
    committed = json.loads((Path(snnkit.data.__file__).parent / "nmnist" / "subset_draws.json").read_text())["draws"]
    assert [len(d["indices"]) for d in committed] == [70, 100, 10]
    assert committed[1]["indices"] == few.tolist()
    assert committed[2]["indices"] == tenth.tolist()
    source = NMNISTSource(root, validation=10, few=100)
    assert [len(source.indices(s)) for s in ("train", "validation", "test")] == [90, 10, 200]
    used = [source.store.names[i] for split in ("train", "validation") for i in source.indices(split)]
    assert sorted(used) == sorted(names[i] for i in few)
    assert NMNISTSource(root, validation=70).labels("validation").tolist() == labels[committed[0]["indices"]].tolist()


def test_few_recordings_are_drawn_and_the_test_part_stays(small_files, lay_out):
    root = lay_out(small_files)
    source = NMNISTSource(root, few=20, validation=10)
    assert [len(source.indices(s)) for s in ("train", "validation", "test")] == [10, 10, 20]
    assert sorted(source.labels("validation")) == list(range(10))
    with pytest.raises(ParameterError, match="cannot draw 31 of 30"):
        NMNISTSource(root, few=31).prepare()


def test_a_subset_zip_is_the_same_data(shared_dir, tmp_path):
    folder = shared_dir / "data" / "nmnist_subset"
    with zipfile.ZipFile(tmp_path / "subset.zip", "w", zipfile.ZIP_STORED) as archive:
        for name in ("train.zip", "valid.zip", "manifest.csv"):
            archive.write(folder / name, f"nmnist_subset/{name}")
    a, b = NMNISTSource(folder), NMNISTSource(tmp_path / "subset.zip")
    assert a.digest == b.digest
    assert a.indices("validation").tolist() == b.indices("validation").tolist()


def test_open_source_by_name_or_path():
    assert open_source("saccade-digits", subset=10).name == "saccade-digits"
    with pytest.raises(DataError, match="did you mean 'saccade-digits'"):
        open_source("sacade-digits")
