"""Files in folders and archives: the same members wherever they lie, and archives that are not to be trusted."""

from __future__ import annotations

import errno
import gzip
import io
import tarfile
import zipfile

import pytest

import snnkit.data.archives as archives
from snnkit.data.archives import fingerprint, members
from snnkit.errors import DataError

from .conftest import zip_bytes

FILES = {"a/1.bin": b"one", "a/2.BIN": b"two", "b/c/3.bin": b"three", "b/readme.txt": b"no", ".hidden/4.bin": b"no",
         "__MACOSX/a/1.bin": b"no"}  # fmt: skip
WANTED = {"a/1.bin": b"one", "a/2.BIN": b"two", "b/c/3.bin": b"three"}


def tar(files, mode="w:gz"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def content(root, endings=(".bin",)):
    with members(root, endings) as found:
        for m in found:
            with m.on_disk() as path:
                assert path.name == m.path.name
                assert path.read_bytes() == m.read()
        return {m.path.as_posix(): m.read() for m in found}


@pytest.mark.parametrize(
    "laid",
    [
        FILES,
        {"a.zip": zip_bytes({"1.bin": b"one", "2.BIN": b"two"}), "b/c/3.bin": b"three"},
        {"a.tar.gz": tar({"1.bin": b"one", "2.BIN": b"two"}), "b.tgz": tar({"c/3.bin": b"three"})},
        {"a.tar": tar({"1.bin": b"one", "2.BIN": b"two"}, "w"), "b/c.zip": zip_bytes({"3.bin": b"three"})},
        {"a.zip": zip_bytes({"1.bin": b"one", "2.BIN": b"two"}), "b/c/3.bin.gz": gzip.compress(b"three")},
    ],
    ids=["folder", "zip", "tar.gz", "tar", "gz"],
)
def test_members_are_the_same_wherever_they_lie(laid, lay_out):
    assert content(lay_out(laid)) == WANTED


def test_archives_in_archives(lay_out):
    inner = zip_bytes({"2.BIN": b"two", "1.bin": b"one"})
    root = lay_out({"x.zip": zip_bytes({"a.zip": inner, "b.tar.gz": tar({"c/3.bin": b"three"})})})
    assert content(root) == {f"x/{n}": d for n, d in WANTED.items()}
    assert content(root / "x.zip") == {f"x/{n}": d for n, d in WANTED.items()}


def test_a_changed_file_changes_the_fingerprint(lay_out):
    root = lay_out({"a/1.bin": b"one", "b.zip": b"zip", "c.txt": b"text"})
    before = fingerprint(root, (".bin",))
    assert [row[0] for row in before] == ["a/1.bin", "b.zip"]
    (root / "c.txt").write_bytes(b"other")
    assert fingerprint(root, (".bin",)) == before
    (root / "a/1.bin").write_bytes(b"more")
    assert fingerprint(root, (".bin",)) != before
    assert fingerprint(root / "b.zip", (".bin",))[0][:2] == ("b.zip", 3)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.zip", b"PK nothing", "zip archive"),
        ("a.tar.gz", b"\x1f\x8b nothing", "tar archive"),
        ("a.tar.gz", tar(FILES)[:40], "tar archive"),
        ("a.tar", tar({"/etc/1.bin": b"x"}, "w"), "points outside"),
        ("a.zip", zip_bytes({"../1.bin": b"x"}), "points outside"),
        ("a.zip", zip_bytes({"c:\\1.bin": b"x"}), "points outside"),
        ("a.bin.gz", b"nothing", "cannot be unpacked"),
    ],
)
def test_archives_that_cannot_be_used(name, data, message, lay_out):
    with pytest.raises(DataError, match=message) as caught, members(lay_out({name: data}), (".bin",)):
        pass
    assert caught.value.fix


def test_a_damaged_member_is_named(lay_out):
    data = bytearray(zip_bytes({"a/1.bin": bytes(range(256)) * 20}))
    data[60] ^= 255
    with members(lay_out({"a.zip": bytes(data)}), (".bin",)) as found, pytest.raises(DataError, match="a/1.bin"):
        found[0].read()


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"), members(tmp_path / "none", (".bin",)):
        pass


def test_a_full_disk_while_unpacking_says_what_to_do(lay_out, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    root = lay_out({"x.zip": zip_bytes({"a.zip": zip_bytes({"1.bin": b"one"})})})
    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(DataError, match="No space left") as caught, members(root, (".bin",)):
        pass
    assert "TMPDIR" in caught.value.fix


def test_what_was_unpacked_goes_away(lay_out):
    with members(lay_out({"a.tar": tar({"1.bin": b"one"}, "w")}), (".bin",)) as found:
        (member,) = found
        assert member.file is not None
        assert member.file.exists()
    assert not member.file.exists()
    assert zipfile.is_zipfile(io.BytesIO(zip_bytes({})))
