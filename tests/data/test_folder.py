from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snnkit.data.cache as cache
from snnkit.data import EventFolder, FrameSettings
from snnkit.data.catalog import reopen
from snnkit.data.files.atis import encode_atis
from snnkit.data.folder.source import EventFolderSource
from snnkit.data.splits import divide, seeded_parts
from snnkit.errors import DataError, ParameterError

from .conftest import random_stream


def recordings(classes=("left", "right"), n=10, part="", seed=0, size=(40, 36)):
    """{path: bytes} of n small recordings of each class."""
    prefix = f"{part}/" if part else ""
    return {
        f"{prefix}{c}/r{i:02d}.bin": encode_atis(random_stream(seed + 100 * k + i, 40, size))
        for k, c in enumerate(classes)
        for i in range(n)
    }


def names(source, split):
    return [source.store.names[i] for i in source.indices(split)]


def test_a_folder_per_class_is_divided_once(lay_out):
    root = lay_out(recordings(n=10))
    source = EventFolderSource(root)
    assert source.classes == ("left", "right")
    assert source.sensor_size == (40, 36)
    assert {s: len(source.indices(s)) for s in ("train", "validation", "test")} == {
        "train": 14, "validation": 2, "test": 4,
    }  # fmt: skip
    assert names(source, "validation") == ["all/left/r02.bin", "all/right/r07.bin"]
    assert names(source, "test") == ["all/left/r01.bin", "all/left/r09.bin", "all/right/r02.bin", "all/right/r04.bin"]
    assert source.store.columns(0)[0][0] == 0, "times start at a recording's first event"
    frames, label = source.dataset("test", FrameSettings(T=5, binary=False))[0]
    assert frames.shape == (5, 2, 36, 40)
    assert frames.sum() == 40
    assert label == 0
    described = {"sensor_size": list(source.sensor_size), "name": source.name, **source.describe()}
    assert described["skipped"] == described["remarks"] == []
    assert described["drawn"] == {"test": 0.2, "validation": 0.1, "split_seed": 0}
    assert reopen(described, str(root)).digest == source.digest


def test_the_module_trains_as_any_other(lay_out):
    data = EventFolder(str(lay_out(recordings())), T=4, batch_size=8)
    data.prepare_data()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert tuple(batch.x.shape) == (4, 8, 2, 36, 40)
    assert data.num_classes == 2
    assert data.describe()["skipped"] == []


def test_parts_are_taken_as_they_are(lay_out):
    files = recordings(n=8, part="Train") | recordings(n=3, part="test", seed=50)
    source = EventFolderSource(lay_out(files), validation=0.25)
    assert {s: len(source.indices(s)) for s in ("train", "validation", "test")} == {
        "train": 12, "validation": 4, "test": 6,
    }  # fmt: skip
    assert all(n.startswith("train/") for n in names(source, "validation"))


def test_what_is_reported_is_never_selected_on(lay_out):
    files = recordings(n=8, part="train") | recordings(n=3, part="val", seed=50)
    source = EventFolderSource(lay_out(files))
    assert all(n.startswith("validation/") for n in names(source, "test"))
    assert all(n.startswith("train/") for n in names(source, "validation"))


def test_classes_that_are_numbers_stand_in_order_of_number(lay_out):
    source = EventFolderSource(lay_out(recordings(("10", "9", "1"), 3)))
    assert source.classes == ("1", "9", "10")


def test_a_class_may_be_called_as_a_part_is(lay_out):
    assert EventFolderSource(lay_out(recordings(("bus", "train"), 3))).classes == ("bus", "train")


def test_recordings_may_lie_deeper(lay_out):
    files = {f"{n.split('/')[0]}/day{i % 2}/{n.split('/')[1]}": d for i, (n, d) in enumerate(recordings().items())}
    assert len(EventFolderSource(lay_out(files)).store) == 20


LAYOUTS = {
    "empty": ({}, "does not exist"),
    "no classes": ({"a.bin": b"x"}, "no folders of classes"),
    "one class": (recordings(("a",)), "only the class a"),
    "one file": (recordings() | {"rare/a.bin": b"x"}, r"1 of 3 classes: rare \(1\)"),
    "no files": (recordings() | {"rare/.keep": b""}, r"rare \(0\)"),
    "no test": (recordings(part="train"), "neither test nor validation"),
    "no train": (recordings(part="test") | recordings(part="val"), "no train"),
    "mixed": (recordings(part="train") | recordings(part="test") | recordings(("else",)), "others beside them"),
    "other class": (recordings(part="train") | recordings(("left", "rihgt"), part="test"), "did you mean 'right'"),
    "twice": (recordings(part="valid") | recordings(part="val") | recordings(part="train"), "more than one folder"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_layouts_that_cannot_be_used(case, lay_out):
    files, message = LAYOUTS[case]
    with pytest.raises(DataError, match=message) as caught:
        EventFolderSource(lay_out(files)).prepare()
    assert caught.value.fix


@pytest.fixture
def with_damage(lay_out):
    bad = {
        "left/cut.bin": encode_atis(random_stream(1, 20))[:-2],
        "left/empty.bin": b"",
        "right/notes.xyz": b"buy milk",
    }
    return lay_out(recordings() | bad)


def test_all_corrupt_files_are_named(with_damage):
    with pytest.raises(DataError, match="3 of 23 files cannot be used") as caught:
        EventFolderSource(with_damage).prepare()
    assert all(name in caught.value.what for name in ("cut.bin", "empty.bin", "notes.xyz"))
    assert "skip_corrupt" in caught.value.fix


def test_corrupt_files_are_skipped_only_if_asked_and_told(with_damage):
    for _ in range(2):  # decoded, and from the cache
        source = EventFolderSource(with_damage, skip_corrupt=True)
        with pytest.warns(UserWarning, match="3 corrupt files are left out"):
            source.prepare()
        assert len(source.store) == 20
        skipped = source.describe()["skipped"]
        assert [row["file"] for row in skipped] == ["left/cut.bin", "left/empty.bin", "right/notes.xyz"]
        assert all(row["why"] for row in skipped)
    assert EventFolderSource(with_damage, pattern="r*.bin").store.digest == source.store.digest


def test_a_class_that_skipping_empties_is_an_error(lay_out):
    root = lay_out(recordings(n=3) | {"left/r00.bin": b"", "left/r01.bin": b""})
    with (
        pytest.raises(DataError, match=r"too few recordings are left of left \(1\)"),
        pytest.warns(UserWarning, match="left out"),
    ):
        EventFolderSource(root, skip_corrupt=True).prepare()


def test_an_unreadable_file_is_named(lay_out, monkeypatch):
    root = lay_out(recordings())
    real = open

    def refuse(file, *args, **kwargs):
        if str(file).endswith("left/r03.bin"):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match=r"1 of 20 files.*\n.*r03\.bin.*[Pp]ermission denied"):
        EventFolderSource(root).prepare()


def test_one_size_may_be_stated(lay_out):
    root = lay_out(recordings())
    assert EventFolderSource(root, sensor_size=(64, 48)).sensor_size == (64, 48)
    with pytest.raises(DataError, match="outside the 20x20 sensor"):
        EventFolderSource(root, sensor_size=(20, 20)).prepare()
    with pytest.raises(ParameterError, match="sensor_size"):
        EventFolderSource(root, sensor_size=(0, 20))


def test_a_changed_file_is_decoded_again(lay_out):
    root = lay_out(recordings())
    before = EventFolderSource(root).store
    assert EventFolderSource(root).store.folder == before.folder
    (root / "left/r00.bin").write_bytes(encode_atis(random_stream(999, 40, (40, 36))))
    after = EventFolderSource(root).store
    assert after.folder != before.folder
    assert after.digest != before.digest


def test_a_folder_that_changes_while_it_is_read_is_an_error(lay_out, monkeypatch):
    root = lay_out(recordings())
    source = EventFolderSource(root)
    source.classes  # noqa: B018 - lists the folder
    (root / "left/late.bin").write_bytes(encode_atis(random_stream(1, 10, (40, 36))))
    with pytest.raises(DataError, match=r"changed while it was read: .*late\.bin"):
        source.prepare()


def test_a_full_disk_keeps_the_data_in_memory(lay_out, monkeypatch):
    def full(self, values):
        raise OSError(errno.ENOSPC, "No space left on device")

    root = lay_out(recordings())
    monkeypatch.setattr(cache._ColumnFile, "append", full)
    with pytest.warns(UserWarning, match="No space left.*stay in memory"):
        store = EventFolderSource(root, sensor_size=(41, 37)).store
    assert store.folder is None
    assert len(store) == 20


def test_a_cache_of_another_user_is_not_read(lay_out, tmp_path, monkeypatch):
    root, folder = lay_out(recordings()), tmp_path / "cache"
    mine = EventFolderSource(root, cache_dir=folder).store
    assert mine.folder is not None
    owner = os.stat(folder).st_uid
    monkeypatch.setattr(cache, "_user", lambda: owner + 1)
    if owner:  # a cache folder's own entries are trusted where only its owner writes, and the administrator's always
        assert EventFolderSource(root, cache_dir=folder).store.folder is not None
        folder.chmod(0o777)
    else:
        os.chown(mine.folder, 4711, -1)
        folder.chmod(0o777)
    with pytest.warns(UserWarning, match="belongs to another user.*SNNKIT_CACHE"):
        store = EventFolderSource(root, cache_dir=folder).store
    assert store.folder is None
    assert store.digest == mine.digest


def test_a_cache_that_may_not_be_entered_is_not_used(lay_out, tmp_path, monkeypatch):
    def refuse(entry, verify=True):
        raise PermissionError(errno.EACCES, "Permission denied", str(entry))

    root, folder = lay_out(recordings()), tmp_path / "cache"
    mine = EventFolderSource(root, cache_dir=folder).store
    monkeypatch.setattr(cache, "open_entry", refuse)
    with pytest.warns(UserWarning, match="Permission denied.*SNNKIT_CACHE"):
        assert EventFolderSource(root, cache_dir=folder).store.digest == mine.digest


def test_the_draw_does_not_depend_on_where_the_folder_lies(lay_out, tmp_path):
    root = lay_out(recordings())
    one = EventFolderSource(root)
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    other = EventFolderSource(moved)
    assert all(names(one, s) == names(other, s) for s in ("train", "validation", "test"))
    assert one.digest == other.digest
    assert names(EventFolderSource(root, split_seed=1), "test") != names(one, "test")


@given(
    counts=st.lists(st.integers(3, 30), min_size=2, max_size=6),
    seed=st.integers(0, 5),
    shuffle=st.integers(0, 2**32 - 1),
    test=st.floats(0.05, 0.6),
    validation=st.floats(0.05, 0.35),
)
def test_drawn_parts_are_disjoint_cover_all_and_do_not_depend_on_order(counts, seed, shuffle, test, validation):
    recorded = [f"{c}/{i:03d}" for c, n in enumerate(counts) for i in range(n)]
    labels = np.array([int(n.split("/")[0]) for n in recorded])
    parts = seeded_parts(recorded, labels, test, validation, seed)
    splits = divide(parts, recorded, labels)
    together = np.concatenate([splits[s] for s in ("train", "validation", "test")])
    assert sorted(together) == list(range(len(recorded)))
    assert all(set(labels[splits[s]]) == set(labels) for s in splits), "every class is in every part"
    order = np.random.default_rng(shuffle).permutation(len(recorded))
    again = seeded_parts([recorded[i] for i in order], labels[order], test, validation, seed)
    assert [again[k] for k in np.argsort(order)] == parts
    of_first = labels == 0
    alone = seeded_parts([n for n, f in zip(recorded, of_first) if f], labels[of_first], test, validation, seed)
    assert alone == [p for p, f in zip(parts, of_first) if f], "other classes do not matter"


@given(n=st.integers(5, 60), wanted=st.integers(1, 5), shuffle=st.integers(0, 2**32 - 1), seed=st.integers(0, 3))
def test_a_drawn_validation_part_is_of_the_training_part(n, wanted, shuffle, seed):
    recorded = [f"r{i:03d}" for i in range(n)]
    labels = np.arange(n) % 3
    parts = ["test" if i % 5 == 0 else "train" for i in range(n)]
    wanted = min(wanted, parts.count("train"))
    splits = divide(parts, recorded, labels, wanted, seed)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(n))
    assert len(splits["validation"]) == wanted
    assert {parts[i] for i in splits["validation"]} == {"train"}
    order = np.random.default_rng(shuffle).permutation(n)
    again = divide([parts[i] for i in order], [recorded[i] for i in order], labels[order], wanted, seed)
    assert {recorded[i] for i in splits["validation"]} == {recorded[order[i]] for i in again["validation"]}


def test_a_class_of_two_cannot_be_divided():
    with pytest.raises(ParameterError, match="class 1 has 2 recordings"):
        seeded_parts(list("abcde"), [0, 0, 0, 1, 1], 0.2, 0.1, 0)
    with pytest.raises(ParameterError, match="shares"):
        seeded_parts(list("abc"), [0, 0, 0], 0.9, 0.1, 0)


FORMATS = ("evt2.raw", "evt21_legacy.raw", "evt3.raw", "cd.dat", "dsec_layout.hdf5", "aedat31.aedat")


@pytest.fixture
def of_all_formats(shared_dir, tmp_path):
    """The same real recording in six formats, three for each of two classes."""
    pytest.importorskip("hdf5plugin", reason="the HDF5 recording needs the package hdf5plugin")
    for k, ending in enumerate(FORMATS):
        folder = tmp_path / "formats" / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_dir / "data/event_formats" / f"dvxplorer_200ms_{ending}", folder)
    return tmp_path / "formats"


def test_formats_may_be_mixed(of_all_formats):
    source = EventFolderSource(of_all_formats)
    assert source.sensor_size == (640, 480)
    assert len(source.store) == len(FORMATS)
    first = source.store.columns(0)
    for i in range(1, len(FORMATS)):
        assert all(np.array_equal(a, b) for a, b in zip(first, source.store.columns(i)))
    assert first[0][0] == 0
    assert len(first[0]) == 18532


def test_sensors_of_different_sizes_are_named(of_all_formats, shared_dir):
    shutil.copy(shared_dir / "data/event_formats/dvs128_crop_aedat2.aedat", of_all_formats / "a")
    with pytest.raises(DataError, match=r"640x480: 6 files .*128x128: 1 files .*dvs128_crop") as caught:
        EventFolderSource(of_all_formats).prepare()
    assert "sensor_size: [640, 480]" in caught.value.fix
    assert EventFolderSource(of_all_formats, sensor_size=(640, 480)).sensor_size == (640, 480)


def test_a_format_that_is_not_known_is_recognised_where_it_can_be(of_all_formats):
    (of_all_formats / "a/picture.raw").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(DataError, match=r"1 of 7 files(.|\n)*PNG"):
        EventFolderSource(of_all_formats).prepare()
