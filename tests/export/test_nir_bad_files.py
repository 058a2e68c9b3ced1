"""Files of strangers: damaged, hostile or wrong in any field give one typed error, quickly and without allocation."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit._isolated import client, pool
from snnkit.bench import nir as networks
from snnkit.errors import FindingsError, NirError, SnnkitError
from snnkit.export import nir
from snnkit.export.nir import hdf5
from snnkit.graph.findings import Finding

from .nir_files import chain, net, neuron, node, save

DT = 1e-3
OPTIONS: dict[str, Any] = {"dt": DT, "reset": "zero", "loop_delay": 1}


def small() -> dict[str, Any]:
    return chain(("w", node("Affine", weight=np.eye(3), bias=np.ones(3))), ("n", neuron("LIF", 3)), ends=([3], [3]))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return save(tmp_path / "good.nir", small())


def fails(path: Path, said: str) -> NirError:
    with pytest.raises(NirError, match=said) as caught:
        nir.read(path, **OPTIONS)
    assert str(path) in caught.value.what
    assert caught.value.fix or caught.value.why
    return caught.value


def faults(path: Path, graph: Any) -> list[Finding]:
    with pytest.raises(FindingsError) as caught:
        nir.read(save(path / "f.nir", graph), **OPTIONS)
    return [f for f in caught.value.findings if isinstance(f, Finding) and f.severity == "error"]


# ------------------------------------------------------------------------------------------------------------- damaged
def test_no_file_and_no_hdf5(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nir.read(tmp_path / "nowhere.nir")
    for content in (b"", b"\x89HDF", b"PK\x03\x04", os.urandom(4096), b"\x89HDF\r\n\x1a\n"):
        (tmp_path / "x.nir").write_bytes(content)
        fails(tmp_path / "x.nir", "no HDF5 file|cannot be read")
    (tmp_path / "x.nir").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8)
    fails(tmp_path / "x.nir", "cannot be read")


def test_truncated_anywhere(good: Path) -> None:
    data = good.read_bytes()
    for length in range(8, len(data) - 1, len(data) // 40):
        good.write_bytes(data[:length])
        fails(good, "cannot be read|no HDF5|has no")


@given(places=st.lists(st.tuples(st.integers(8, 10**6), st.integers(0, 255)), min_size=1, max_size=12))
@settings(max_examples=25)
def test_changed_bytes_never_crash(tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]]) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f.nir"
    nir.write(path, networks.recurrent())
    data = bytearray(path.read_bytes())
    for place, value in places:
        data[8 + place % (len(data) - 8)] = value
    path.write_bytes(data)
    usual, client.SECONDS = client.SECONDS, 4.0  # libhdf5 never ends on some
    try:
        with contextlib.suppress(SnnkitError):
            nir.read(path)
    finally:
        client.SECONDS = usual


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("2.0.0", "version is 2.0.0"),
        ("0.2.1", "version is 0.2.1"),
        ("1.1", "1.1"),
        ("x", "'x'"),
        ("", "''"),
        (None, "no `version`"),
    ],
)
def test_wrong_versions(version: str | None, said: str, tmp_path: Path) -> None:
    fails(save(tmp_path / "v.nir", small(), version), said)


def test_versions_of_the_same_layout(tmp_path: Path) -> None:
    for version in ("1.0", "1.0.1", "1.0.9.dev1+g12"):
        assert nir.read(save(tmp_path / "v.nir", small(), version), **OPTIONS)[0] is not None


def change(good: Path, what: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(good, "r+") as f:
        what(f)
    return good


def _replaced(f: h5py.File, name: str, **how: Any) -> None:
    del f[name]
    f.create_dataset(name, **how)


W = "node/nodes/w/weight"
TEXT = h5py.string_dtype()
STRUCTURES: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "no root": (lambda f: f.move("node", "nod"), "no `version` and `node`"),
    "the root is no graph": (lambda f: _replaced(f, "node/type", data="LIF", dtype=TEXT), "is no text"),
    "no nodes": (lambda f: f.__delitem__("node/nodes"), "needs nodes and edges"),
    "a node without a type": (lambda f: f.__delitem__("node/nodes/w/type"), "has no type"),
    "a type that is a number": (lambda f: _replaced(f, "node/nodes/w/type", data=3), "is no text"),
    "a type that is no UTF-8": (lambda f: _replaced(f, "node/nodes/w/type", data=np.bytes_(b"\xff\xfe")), "no UTF-8"),
    "a node that is an array": (lambda f: f.create_dataset("node/nodes/x", data=1), "is no group"),
    "a parameter that is a group": (lambda f: (f.__delitem__(W), f.create_group(W)), "is no data set"),
    "edges of three": (lambda f: _replaced(f, "node/edges", data=[["a", "b", "c"]], dtype=TEXT), "pairs of names"),
    "edges of numbers": (lambda f: _replaced(f, "node/edges", data=[[1, 2]]), "pairs of names"),
    "a long name": (lambda f: f.create_group("node/nodes/" + "x" * 600), "name of 600"),
    "a complex number": (lambda f: _replaced(f, W, data=np.ones((3, 3), complex)), "type complex128"),
    "a compound": (lambda f: _replaced(f, W, data=np.zeros(3, [("a", "f8")])), "has the type"),
    "a reference": (lambda f: _replaced(f, W, data=f.ref, dtype=h5py.ref_dtype), "has the type object"),
    "ragged rows": (lambda f: _replaced(f, W, shape=(3,), dtype=h5py.vlen_dtype("f8")), "has the type object"),
    "many axes": (lambda f: _replaced(f, W, data=np.ones((1,) * 9)), "has the shape"),
    "no value": (lambda f: _replaced(f, W, data=h5py.Empty("f8")), "has the shape None"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_wrong_structures(name: str, good: Path) -> None:
    what, said = STRUCTURES[name]
    fails(change(good, what), said)


# ------------------------------------------------------------------------------------------------------------- hostile
def test_links_and_data_that_lead_out_of_the_file(good: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as f:
        f["weight"] = np.ones((3, 3))
    layout = h5py.VirtualLayout((3, 3), "f8")
    layout[...] = h5py.VirtualSource(str(secret), "weight", (3, 3))
    (tmp_path / "raw").write_bytes(np.ones(9).tobytes())
    hostile: list[tuple[Callable[[h5py.File], Any], str]] = [
        (lambda f: f.__setitem__(W, h5py.ExternalLink(str(secret), "weight")), "is a link to another place"),
        (lambda f: f.__setitem__(W, h5py.SoftLink("/node/nodes/w/bias")), "is a link to another place"),
        (lambda f: f.create_virtual_dataset(W, layout), "keeps its data in another file"),
        (
            lambda f: f.create_dataset(W, (3, 3), "f8", external=[(str(tmp_path / "raw"), 0, 72)]),
            "keeps its data in another",
        ),
    ]
    data = good.read_bytes()
    for what, said in hostile:
        good.write_bytes(data)

        def replaced(f: h5py.File, what: Callable[[h5py.File], Any] = what) -> None:
            del f[W]
            what(f)

        fails(change(good, replaced), said)


def test_filters_that_would_load_a_plug_in(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(good, lambda f: _replaced(f, W, data=np.eye(3), compression="lzf"))
    assert nir.read(good, **OPTIONS)[0] is not None
    monkeypatch.setattr(hdf5, "FILTERS", {1: "gzip"})  # as h5py would see a filter that is not built in
    with pytest.raises(NirError, match="packed with filter 32000"):
        hdf5.parse(good)


@pytest.mark.parametrize(
    ("shape", "chunks"), [((2**40, 2**20), True), ((2**16, 2**15), None), ((2**16, 2**15), True), ((2**58,), (1024,))]
)
def test_huge_declared_sizes_are_refused_before_they_are_allocated(shape: Any, chunks: Any, good: Path) -> None:
    what = {"shape": shape, "dtype": "f8", "chunks": chunks}
    change(good, lambda f: _replaced(f, W, **what))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(NirError, match="declares .* bytes"):
        hdf5.parse(good)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17  # in kB
    fails(good, "declares .* bytes")


def test_huge_blocks_and_texts(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = good.read_bytes()
    fails(
        change(good, lambda f: _replaced(f, W, shape=(2, 2), dtype="f4", maxshape=(None, None), chunks=(2**14, 2**13))),
        "in blocks of",
    )
    good.write_bytes(data)
    long = np.array([["x" * 9000, "y"]], dtype=object)
    fails(change(good, lambda f: _replaced(f, "node/edges", data=long, dtype=TEXT)), "9000 letters")
    good.write_bytes(data)
    monkeypatch.setattr(hdf5, "MAX_ITEMS", 12)
    with pytest.raises(NirError, match="more than 12 groups"):
        hdf5.parse(good)


def test_a_file_that_breaks_the_library_does_not_break_us(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads never answers, or dies; the next file is read by a new one."""
    assert nir.read(good, **OPTIONS)[0] is not None
    process = pool._idle[-1].process
    monkeypatch.setattr(client, "PATIENCE", 0.3)
    os.kill(process.pid, signal.SIGSTOP)
    assert "no answer within 0.3 s" in fails(good, "breaks the library").why
    assert process.returncode == -signal.SIGKILL
    monkeypatch.undo()
    assert nir.read(good, **OPTIONS)[0] is not None
    second = pool._idle[-1].process
    assert second.pid != process.pid
    os.kill(second.pid, signal.SIGSTOP)  # so that it dies while the file is asked for
    threading.Timer(0.2, os.kill, (second.pid, signal.SIGKILL)).start()
    assert "its process ended" in fails(good, "breaks the library").why
    assert nir.read(good, **OPTIONS)[0] is not None


def test_deep_and_endless_nesting(good: Path, tmp_path: Path) -> None:
    graph: Any = small()
    for _ in range(20):
        graph = net({"g": graph, "input": node("Input", shape=[3]), "output": node("Output", shape=[3])},
                    [("input", "g"), ("g", "output")])  # fmt: skip
    fails(save(tmp_path / "deep.nir", graph), "nested more than 16")

    def endless(f: h5py.File) -> None:
        f["node/nodes/self"] = f["node"]

    fails(change(good, endless), "nested more than 16|brings more than")


def test_forks_do_not_multiply(tmp_path: Path) -> None:
    """40 forks in a row are 2**40 ways; a row of matrices could be one of 10**12 weights."""
    nodes: dict[str, Any] = {
        "input": node("Input", shape=[1]),
        "n": neuron("LIF", 1),
        "output": node("Output", shape=[1]),
    }
    edges, last = [], ["input"]
    for k in range(40):
        pair = [f"a{k}", f"b{k}"]
        nodes |= dict.fromkeys(pair, node("Scale", scale=[1.0]))
        edges += [(x, y) for x in last for y in pair]
        last = pair
    found = faults(tmp_path, net(nodes, [*edges, *((x, "n") for x in last), ("n", "output")]))
    assert {f.code for f in found} == {"NIR_SIZE"}
    wide = 2**15
    up, down = (node("Linear", weight=np.ones(shape, np.float32)) for shape in ((1, wide), (wide, 1)))
    graph = chain(("up", up), ("down", down), ("n", neuron("LIF", wide)), ends=([wide], [wide]))
    assert [(f.code, f.where) for f in faults(tmp_path, graph)] == [("NIR_SIZE", "n")]


def test_sizes_that_only_numbers_declare(tmp_path: Path) -> None:
    many = {"weight": np.ones((900, 1, 1, 1)), "bias": np.ones(900), "dilation": 1, "groups": 1}
    last = ("n", neuron("LIF", 3))
    for where, shape, middle in (
        ("input", [2**15, 2**15], []),
        ("c", [1, 9, 9], [("c", node("Conv2d", stride=1, padding=2**14, **many))]),
        ("p", [1, 9, 9], [("p", node("SumPool2d", kernel_size=1, stride=1, padding=2**14))]),
    ):
        found = faults(tmp_path, chain(*middle, last, ends=(shape, [3])))
        assert ("NIR_SIZE", where) in {(f.code, f.where) for f in found}


# --------------------------------------------------------------------------------------------------------------- nodes
def test_unknown_nodes_are_all_named(tmp_path: Path) -> None:
    graph = chain(("a", node("Sigmoid")), ("b", node("Tresholds", tau=1.0)), ("n", neuron("LIF", 3)), ends=([3], [3]))
    found = faults(tmp_path, graph)
    assert [(f.code, f.where) for f in found] == [("NIR_NODE", "a"), ("NIR_NODE", "b")]
    assert "did you mean 'Threshold'" in found[1].what
    inner = net(
        {"i": node("Input", shape=[3]), "x": node("Izhikevich"), "o": node("Output", shape=[3])},
        [("i", "x"), ("x", "o")],
    )
    found = faults(tmp_path, chain(("sub", inner), ("n", neuron("LIF", 3)), ends=([3], [3])))
    assert [f.where for f in found] == ["sub.x"]


FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "scalar tau": (neuron("LIF", 3) | {"tau": np.asarray(2e-3)}, "NIR_SCALAR", "tau is one number"),
    "all scalars": ({**neuron("IF", ()), "type": "IF"}, "NIR_SCALAR", "r is one number"),
    "scalar delay": (node("Delay", delay=1e-3), "NIR_SCALAR", "delay is one number"),
    "scalar scale": (node("Scale", scale=2.0), "NIR_SCALAR", "one value per neuron"),
    "scalar weight": (node("Linear", weight=2.0), "NIR_SCALAR", "2 axes"),
    "scalar bias": (node("Affine", weight=np.eye(3), bias=0.0), "NIR_SCALAR", "1 axes"),
    "vector weight": (node("Linear", weight=np.ones(3)), "SHAPE", "2 axes"),
    "weight of three axes": (node("Linear", weight=np.ones((2, 3, 3))), "SHAPE", "2 axes"),
    "text for numbers": (neuron("LIF", 3) | {"tau": "fast"}, "NIR_FIELD", "is the text 'fast'"),
    "truth values": (neuron("LIF", 3) | {"r": np.ones(3, bool)}, "NIR_FIELD", "type bool"),
    "nothing": (neuron("LIF", 0), "SHAPE", "nothing is in it"),
    "missing": ({k: v for k, v in neuron("LIF", 3).items() if k != "r"}, "NIR_FIELD", "lacks 'r'"),
    "unknown": (neuron("LIF", 3) | {"v_treshold": np.ones(3)}, "NIR_FIELD", "did you mean 'v_threshold'"),
    "different shapes": (neuron("LIF", 3) | {"tau": np.ones(2)}, "SHAPE", "differ in shape"),
    "bias of another size": (node("Affine", weight=np.eye(3), bias=np.ones(2)), "SHAPE", "3 outputs, but 2 biases"),
    "half a stride": (node("SumPool2d", kernel_size=2, stride=1.5, padding=0), "NIR_FIELD", "whole numbers"),
    "stride of 0": (node("SumPool2d", kernel_size=2, stride=0, padding=0), "NIR_FIELD", "at least 1"),
    "negative padding": (node("AvgPool2d", kernel_size=2, stride=1, padding=-1), "NIR_FIELD", "at least 0"),
    "three strides": (node("AvgPool2d", kernel_size=2, stride=[1, 2, 3], padding=0), "NIR_FIELD", "1 to 2 whole"),
    "padding of another kind": (
        node("Conv1d", weight=np.ones((1, 1, 1)), bias=[0.0], stride=1, padding="reflect", dilation=1, groups=1),
        "NIR_FIELD", "is the text 'reflect'",
    ),
    "groups that do not divide": (
        node("Conv1d", weight=np.ones((3, 1, 1)), bias=np.ones(3), stride=1, padding=0, dilation=1, groups=2),
        "SHAPE", "do not divide into 2 groups",
    ),
    "huge padding": (node("AvgPool2d", kernel_size=2, stride=1, padding=2**40), "NIR_FIELD", "sane size"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_wrong_fields(name: str, tmp_path: Path) -> None:
    made, code, said = FIELDS[name]
    found = faults(tmp_path, chain(("x", made), ("n", neuron("LIF", 3)), ends=([3], [3])))
    assert (code, "x") in {(f.code, f.where) for f in found}, found
    assert any(said in f.what + f.remedy for f in found), found


def test_wrong_edges_and_ends(tmp_path: Path) -> None:
    i, o, lif = node("Input", shape=[3]), node("Output", shape=[3]), neuron("LIF", 3)
    ends = {"input": i, "output": o}
    found = faults(tmp_path, net({**ends, "lif": lif}, [("input", "lfi"), ("lif", "output"), ("lif", "output")]))
    assert [f.code for f in found] == ["NIR_EDGE", "NIR_EDGE"]
    assert "did you mean 'lif'" in found[0].what
    assert "stands twice" in found[1].what
    found = faults(tmp_path, net({"lif": lif}, [("lif", "lif")]))
    assert [f.what for f in found] == ["it has no Input node", "it has no Output node"]
    two = net({"a": i, "b": i, "o": o}, [("a", "o")])
    found = faults(
        tmp_path, net({**ends, "sub": two, "lif": lif}, [("input", "sub"), ("sub", "lif"), ("lif", "output")])
    )
    assert [(f.code, f.where) for f in found] == [("NIR_ENDS", "sub")]
    assert faults(tmp_path, net({}, []))[0].code == "NIR_ENDS"
