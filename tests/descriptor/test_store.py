"""Descriptors: byte-identical when written, refused when anything is wrong with them."""

from __future__ import annotations

import json
import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnkit import descriptor as store
from snnkit._io import canonical_json, sha256_bytes
from snnkit.descriptor import Layer, Manifest, Port, Readout, Vectors
from snnkit.descriptor.tensors import parse
from snnkit.descriptor.vectors import decode
from snnkit.errors import DescriptorError


def manifest(**changes) -> Manifest:
    base = {
        "target": "loihi",
        "revision": "loihi-1",
        "name": "tiny",
        "evidence": "open-simulator",
        "steps": 5,
        "dt_us": 1000.0,
        "layers": (Layer(name="out", shape=(2, 3), n=6, lag=1),),
        "ports": (Port(name="in", shape=(4,), n=4),),
        "readout": Readout(layer="out", rule="count"),
        "findings": ({"code": "X", "value": 1.5, "list": [1, None, "a"]},),
    }
    return Manifest(**{**base, **changes})


ARRAYS = {
    "a": np.arange(12, dtype=np.int32).reshape(3, 4),
    "b": np.array([2**63], np.uint64),
    "none": np.zeros((0, 4), np.int16),
}
VECTORS = {"readout": np.array([1, 0], np.int64)}


@pytest.fixture
def folder(tmp_path):
    store.write(tmp_path / "n.snnx", manifest(), ARRAYS, VECTORS, {"report.md": "# tiny\n"})
    return tmp_path / "n.snnx"


def test_round_trip(folder):
    d = store.load(folder)
    assert d.path == folder
    assert d.manifest.layers[0].shape == (2, 3)
    assert d.manifest.findings[0]["list"] == [1, None, "a"]
    assert set(d.arrays) == set(ARRAYS)
    for name, a in ARRAYS.items():
        np.testing.assert_array_equal(d.arrays[name], a)
        assert d.arrays[name].dtype == a.dtype
    assert d.manifest.files["arrays.safetensors"].tensors["a"].shape == (3, 4)
    assert sorted(os.listdir(folder)) == ["arrays.safetensors", "manifest.json", "report.md", "vectors.safetensors"]


def test_two_writes_are_byte_identical(folder, tmp_path):
    store.write(tmp_path / "again.snnx", manifest(), dict(reversed(ARRAYS.items())), VECTORS)
    for name in ("arrays.safetensors", "manifest.json", "vectors.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "again.snnx" / name).read_bytes()


def test_reports_are_not_part_of_the_digest(folder):
    before = store.load(folder).manifest.digest
    store.write_reports(folder, {"report.html": "<html></html>"})
    assert store.load(folder).manifest.digest == before
    with pytest.raises(DescriptorError, match="cannot be called"):
        store.write_reports(folder, {"../evil.html": ""})


def test_a_failed_write_leaves_the_old_one(folder):
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(DescriptorError, match="float64"):
        store.write(folder, manifest(name="other"), {"a": np.zeros(3)}, {})
    assert (folder / "manifest.json").read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == ["n.snnx"]


@pytest.mark.parametrize("name", ["manifest.json", "arrays.safetensors", "vectors.safetensors"])
def test_every_flipped_byte_is_noticed(folder, name):
    raw = (folder / name).read_bytes()
    for at in range(0, len(raw), max(1, len(raw) // 150)):
        (folder / name).write_bytes(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])
        with pytest.raises(DescriptorError) as error:
            store.load(folder)
        assert name in str(error.value)
        assert error.value.fix


@pytest.mark.parametrize("name", ["manifest.json", "arrays.safetensors", "vectors.safetensors"])
def test_cut_and_missing_files(folder, name):
    raw = (folder / name).read_bytes()
    for keep in (0, 7, len(raw) // 2, len(raw) - 1):
        (folder / name).write_bytes(raw[:keep])
        with pytest.raises(DescriptorError, match=name):
            store.load(folder)
    (folder / name).unlink()
    with pytest.raises(DescriptorError, match="missing"):
        store.load(folder)


def test_links_fifos_and_folders_are_refused(folder, tmp_path):
    outside = tmp_path / "outside"
    (folder / "arrays.safetensors").rename(outside)
    (folder / "arrays.safetensors").symlink_to(outside)
    with pytest.raises(DescriptorError, match="no links"):
        store.load(folder)
    (folder / "arrays.safetensors").unlink()
    os.mkfifo(folder / "arrays.safetensors")
    with pytest.raises(DescriptorError, match="regular file"):
        store.load(folder)
    os.unlink(folder / "arrays.safetensors")
    (folder / "arrays.safetensors").mkdir()
    with pytest.raises(DescriptorError):
        store.load(folder)


def test_not_a_descriptor(tmp_path):
    with pytest.raises(DescriptorError, match="not a descriptor folder"):
        store.load(tmp_path / "nothing")
    (tmp_path / "d").mkdir()
    with pytest.raises(DescriptorError, match=r"manifest\.json is missing"):
        store.load(tmp_path / "d")
    for text in ("[]", "{}", '{"format": "other"}', "null", '"x"'):
        (tmp_path / "d" / "manifest.json").write_text(text)
        with pytest.raises(DescriptorError, match="not the manifest"):
            store.load(tmp_path / "d")
    for text in ("{", "[" * 100_000, "\xff", '{"format": NaN}'):
        (tmp_path / "d" / "manifest.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(DescriptorError, match="JSON"):
            store.load(tmp_path / "d")


def forge(folder, change) -> None:
    """Change the manifest and make its digest right again, as an attacker would."""
    plain = json.loads((folder / "manifest.json").read_text())
    change(plain)
    plain.pop("digest", None)
    plain["digest"] = sha256_bytes(canonical_json(plain).encode())
    (folder / "manifest.json").write_text(canonical_json(plain))


def put(*path_and_value):
    *path, value = path_and_value

    def change(plain) -> None:
        for key in path[:-1]:
            plain = plain[key]
        plain[path[-1]] = value

    return change


FORGED = [
    (put("version", 2), "version 2"),
    (put("version", 0), "version 0"),
    (put("version", True), "version"),
    (put("surprise", 1), "surprise"),
    (put("target", "../../evil"), "target"),
    (put("target", "os.path"), "target"),
    (put("name", "a/b"), "name"),
    (put("evidence", "trust me"), "evidence"),
    (put("dt_us", -1), "dt_us"),
    (put("steps", 2**60), "steps"),
    (put("steps", 5.0), "steps"),
    (put("steps", "5"), "steps"),
    (put("layers", 0, "n", 2**40), r"layers\.0\.n"),
    (put("layers", 0, "n", 7), "shape"),
    (put("layers", 0, "shape", [2**20, 2**20]), "shape"),
    (put("layers", 0, "lag", -1), "lag"),
    (put("layers", 0, "kind", "magic"), "kind"),
    (put("layers", 0, "name", "a\nb"), "name"),
    (put("ports", 0, "max_count", 256), "max_count"),
    (put("ports", 0, "gate_from", -2), "gate_from"),
    (put("readout", "layer", "nobody"), "readout names no layer"),
    (put("readout", "rule", "median"), "rule"),
    (put("files", "../../secret.safetensors", {}), "files"),
    (put("files", {}), "lists no"),
    (put("files", "arrays.safetensors", "bytes", 2**50), "bytes"),
    (put("files", "arrays.safetensors", "sha256", "0" * 64), "SHA-256"),
    (put("files", "arrays.safetensors", "tensors", {}), "tensors"),
]


@pytest.mark.parametrize(("change", "message"), FORGED)
def test_forged_manifests_are_refused(folder, change, message):
    forge(folder, change)
    with pytest.raises(DescriptorError, match=message) as error:
        store.load(folder)
    assert "manifest.json" in str(error.value) or "safetensors" in str(error.value)


def test_future_version_says_update(folder):
    forge(folder, put("version", 7))
    with pytest.raises(DescriptorError) as error:
        store.load(folder)
    assert "update" in error.value.fix


def test_two_layers_of_one_name(folder):
    forge(folder, lambda p: p["layers"].append(p["layers"][0]))
    with pytest.raises(DescriptorError, match="share a name"):
        store.load(folder)


def test_a_huge_sparse_file_is_not_read(folder):
    with open(folder / "arrays.safetensors", "r+b") as f:
        f.truncate(2**40)
    forge(folder, put("files", "arrays.safetensors", "bytes", 2**40))
    with pytest.raises(DescriptorError, match="at most"):
        store.load(folder)


# ------------------------------------------------------------------------------------------------------- safetensors
def blob(header, body: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + body


def tensor(dtype="I32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HOSTILE = [
    (b"", "0 bytes"),
    (b"\0" * 7, "7 bytes"),
    (blob({}, length=2**63), "claims a header"),
    (blob({}, length=100), "claims a header"),
    (blob(b"{]"), "unreadable header"),
    (blob(b"[1]"), "no table"),
    (blob(b'{"a": 1, "a": 2}'), "twice"),
    (blob(b"[" * 50_000), "unreadable"),
    (blob({"a": 5}), "lacks"),
    (blob({"a": {**tensor(), "more": 1}}, b"\0" * 8), "lacks"),
    (blob({"a": tensor("F32")}, b"\0" * 8), "allowed"),
    (blob({"a": tensor(None)}, b"\0" * 8), "allowed"),
    (blob({"a": tensor(["I32"])}, b"\0" * 8), "allowed"),
    (blob({"a": tensor(shape=[-1])}, b"\0" * 8), "shape"),
    (blob({"a": tensor(shape=[2.0])}, b"\0" * 8), "shape"),
    (blob({"a": tensor(shape=[True])}, b"\0" * 8), "shape"),
    (blob({"a": {**tensor(), "shape": 2}}, b"\0" * 8), "shape"),
    (blob({"a": tensor(shape=[1] * 9)}, b"\0" * 8), "shape"),
    (blob({"a": tensor(shape=[2**61, 2**61])}, b"\0" * 8), "claims"),
    (blob({"a": tensor(shape=[2**40], offsets=(0, 2**42))}, b"\0" * 8), "ends at"),
    (blob({"a": tensor(offsets=(8, 0))}, b"\0" * 8), "claims"),
    (blob({"a": tensor(offsets=(0, 8, 8))}, b"\0" * 8), "offsets"),
    (blob({"a": tensor(offsets=(0, 7))}, b"\0" * 8), "claims"),
    (blob({"a": tensor(offsets=(4, 12))}, b"\0" * 12), "starts at"),
    (blob({"a": tensor(), "b": tensor()}, b"\0" * 8), "overlap"),
    (blob({"a": tensor(), "b": tensor(offsets=(4, 12))}, b"\0" * 12), "overlap"),
    (blob({"a": tensor()}, b"\0" * 9), "belong to no tensor"),
    (blob({"a": tensor()}, b"\0" * 7), "ends at"),
]


@pytest.mark.parametrize(("data", "message"), HOSTILE)
def test_hostile_safetensors(data, message):
    with pytest.raises(DescriptorError, match=message) as error:
        parse(data, "x.safetensors")
    assert "x.safetensors" in str(error.value)


def test_parse_reads_what_safetensors_writes():
    from safetensors.numpy import save

    got = parse(save(ARRAYS, metadata={"k": "v"}), "x")
    assert {k: (a.tolist(), a.dtype) for k, a in got.items()} == {k: (a.tolist(), a.dtype) for k, a in ARRAYS.items()}


@settings(max_examples=150)
@given(st.binary(max_size=80), st.integers(0, 120))
def test_any_bytes_are_an_error_of_ours(junk, length):
    from safetensors.numpy import save

    good = save({"a": np.arange(4, dtype=np.int32)})
    for data in (junk, blob(junk, length=length), good[:length] + junk + good[length + len(junk) :]):
        try:
            parse(data, "x")
        except DescriptorError:
            continue


# ------------------------------------------------------------------------------------------------------------ vectors
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_vectors_round_trip(n, seed, counts):
    rng = np.random.default_rng(seed)
    m = manifest(
        layers=(Layer(name="o.bits", shape=(n,), n=n),), ports=(Port(name="in", shape=(n,), n=n),), readout=None
    )
    v = Vectors(
        {"in": rng.integers(0, 4 if counts else 2, (3, 2, n)).astype(np.uint8)},
        {"o.bits": rng.integers(0, 2, (4, 2, n)).astype(np.uint8)},
        v={"o.bits": rng.integers(-9, 9, (4, 2, n)).astype(np.int32)},
        readout=np.array([1, 2]),
    )
    back = decode(v.encode(), m)
    np.testing.assert_array_equal(back.inputs["in"], v.inputs["in"])
    np.testing.assert_array_equal(back.spikes["o.bits"], v.spikes["o.bits"])
    np.testing.assert_array_equal(back.v["o.bits"], v.v["o.bits"])
    np.testing.assert_array_equal(back.readout, v.readout)


@pytest.mark.parametrize(
    ("name", "a"),
    [
        ("s.nobody", np.zeros((1, 1, 6), np.uint8)),
        ("secret", np.zeros(1, np.uint8)),
        ("in.in", np.zeros((1, 1, 5), np.uint8)),
        ("in.in", np.zeros((1, 4), np.uint8)),
        ("in.in", np.zeros((1, 1, 4), np.int32)),
        ("inbits.in", np.zeros((1, 1, 4), np.uint8)),
        ("v.out", np.zeros((1, 1, 6), np.uint8)),
    ],
)
def test_vectors_that_do_not_fit(name, a):
    with pytest.raises(DescriptorError, match=r"vectors\.safetensors"):
        decode({name: a}, manifest())
