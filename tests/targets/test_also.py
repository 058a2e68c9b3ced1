"""The contract of other formats: found by chip, written atomically from the descriptor, labelled, the same twice."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import descriptor, targets
from snnkit._io import sha256_file
from snnkit.descriptor.vectors import decode
from snnkit.errors import DescriptorError, FindingsError, InternalError, UsageError
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF
from snnkit.graph.synapses import Dense
from snnkit.targets import also, registry
from snnkit.targets.loihi.also import FORMATS
from snnkit.targets.loihi.replay import replay
from snnkit.targets.writer import NOT_RUN, Lost, Writer
from snnkit.validation.pipeline import graph_to_chip, write_descriptor

from .loihi import lava_reader
from .truenorth import ranc_reader

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "loihi"
ROOT = Path(targets.__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("also")
    replay(GOLDEN / "s07_two_layer.npz", keep=folder)
    return folder / "s07_two_layer.snnx"


@pytest.fixture
def net(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "net.snnx"))


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("name", registry.names())
def test_every_format_says_what_it_is(name: str) -> None:
    target = registry.get(name)
    for format, writer in also.formats(target).items():
        assert isinstance(writer, Writer)
        assert format == Path(f"x.{format}").suffix[1:]  # it becomes the folder's suffix
        assert format != "snnx"
        assert writer.title
        assert any(ch.isdigit() for ch in writer.tool), "the tool's version is missing"
        assert writer.label == (writer.compared or NOT_RUN)
        assert also.find(format, [target]) == [target]


def test_the_formats_of_this_package() -> None:
    offered = {t: set(also.formats(registry.get(t))) for t in registry.names()}
    assert offered["brainscales2"] == {"hxtorch"}
    assert offered["loihi"] == {"lava-net"}
    assert offered["truenorth"] == {"ranc"}
    assert all(len(a & b) == 0 for x, a in offered.items() for y, b in offered.items() if x != y)


def test_a_chip_need_not_have_any() -> None:
    from snnkit.targets._template import TARGET

    assert also.formats(TARGET) == {}
    with pytest.raises(UsageError, match="is a format of loihi, not of template") as error:
        also.find("lava-net", [dataclasses.replace(TARGET, name="template")])
    assert "leave it out" in error.value.fix


def test_wrong_names() -> None:
    loihi, truenorth = registry.get("loihi"), registry.get("truenorth")
    with pytest.raises(UsageError, match="did you mean 'lava-net'") as error:
        also.find("lavanet", [loihi])
    assert "ranc (truenorth)" in error.value.why
    with pytest.raises(UsageError, match="ranc is a format of truenorth, not of loihi") as error:
        also.find("ranc", [loihi])
    assert error.value.fix == "--also lava-net"
    assert also.find("ranc", [loihi, truenorth]) == [truenorth]


def test_about(net: Path) -> None:
    written = also.write(net, "lava-net")
    assert written.folder == net.with_name("net.lava-net")
    about = json.loads((written.folder / "about.json").read_text())
    assert about["descriptor"]["digest"] == descriptor.load(net).manifest.digest
    assert about["spikes"] == written.label == FORMATS["lava-net"].compared
    assert about["files"] == {f: sha256_file(written.folder / f) for f in written.files}
    assert {p.name for p in written.folder.iterdir()} == {*written.files, "about.json"}
    assert not [p for p in net.parent.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("target", ["loihi", "truenorth"])
def test_twice_is_byte_identical(target: str, net: Path, tmp_path: Path) -> None:
    from snnkit.targets.truenorth.replay import replay as replay_truenorth

    format = "lava-net"
    if target == "truenorth":
        replay_truenorth([GOLDEN.with_name("truenorth") / "s05_delay_chain.npz"], keep=tmp_path)
        net, format = tmp_path / "s05_delay_chain.snnx", "ranc"
    one = also.write(net, format, tmp_path / "one").folder
    two = also.write(descriptor.load(net), format, tmp_path / "two").folder
    assert files(one) == files(two)
    also.write(net, format, tmp_path / "one")  # over itself
    assert files(one) == files(two)


def test_only_its_own_folder_is_replaced(net: Path) -> None:
    place = net.with_name("net.lava-net")
    place.mkdir()
    (place / "thesis.tex").write_text("keep")
    with pytest.raises(UsageError, match="was not written by --also"):
        also.write(net, "lava-net")
    (place / "about.json").write_text("[]")
    with pytest.raises(UsageError, match="was not written by --also"):
        also.write(net, "lava-net")
    assert (place / "thesis.tex").read_text() == "keep"


def test_a_damaged_descriptor(net: Path) -> None:
    """One whose digests are right and whose routing is not."""
    made = descriptor.load(net)
    axons = made.arrays["input_axon"].copy()
    axons[0, 4] = 200
    descriptor.write(net, made.manifest, {**made.arrays, "input_axon": axons}, made.vectors)
    with pytest.raises(DescriptorError, match="reaches compartment"):
        also.write(net, "lava-net")
    (net / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(DescriptorError):
        also.write(net, "lava-net")
    assert not net.with_name("net.lava-net").exists()


def test_a_descriptor_of_another_chip(net: Path) -> None:
    with pytest.raises(UsageError, match="is a format of truenorth, not of loihi"):
        also.write(net, "ranc")
    made = descriptor.load(net)
    descriptor.write(net, made.manifest.model_copy(update={"target": "truenorth"}), made.arrays, made.vectors)
    with pytest.raises(DescriptorError):
        also.write(net, "ranc")
    descriptor.write(net, made.manifest.model_copy(update={"target": "loihj"}), made.arrays, made.vectors)
    with pytest.raises(UsageError, match="did you mean 'loihi'"):
        also.write(net, "lava-net")


def test_a_writer_that_fails_leaves_what_was_there(net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = files(also.write(net, "lava-net").folder)

    def use(write: Any, **more: Any) -> None:
        monkeypatch.setitem(FORMATS, "lava-net", Writer(write, "t", "tool 1", **more))

    def breaks(made: Any, folder: Path) -> list[Path]:
        (folder / "half").write_text("half")
        raise OSError("disk full")

    def escapes(made: Any, folder: Path) -> list[Path]:
        (tmp_path / "outside").write_text("")
        return [folder / ".." / "outside"]

    use(breaks)
    with pytest.raises(OSError, match="disk full"):
        also.write(net, "lava-net")
    use(escapes)
    with pytest.raises(InternalError, match="outside of its folder"):
        also.write(net, "lava-net")
    use(breaks, check=lambda made: [Lost("A", "here", "this"), Lost("B", "there", "that", "note")])
    with pytest.raises(FindingsError) as error:
        also.write(net, "lava-net")
    assert [(f.code, f.severity) for f in error.value.findings] == [("A", "error"), ("B", "note")]
    assert files(net.with_name("net.lava-net")) == before

    def fine(made: Any, folder: Path) -> list[Path]:
        (folder / "sub").mkdir()
        (folder / "sub" / "x.txt").write_text(made.manifest.name)
        return [folder / "sub" / "x.txt"]

    use(fine)
    written = also.write(net, "lava-net")
    assert written.label == "not run"
    assert written.files == ("sub/x.txt",)


def test_chips_outside_the_package_may_have_formats(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered target whose package holds `also.py`; no file of ours knows it."""
    package = tmp_path / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "emulate.py").write_text("from snnkit.targets.loihi.emulate import open_chip\n")
    (package / "also.py").write_text(
        "from snnkit.targets.writer import Writer\n"
        "def write(descriptor, path):\n"
        "    (path / 'n.txt').write_text(str(len(descriptor.arrays['compartment'])))\n"
        "    return [path / 'n.txt']\n"
        "FORMATS = {'tool-x': Writer(write, title='numbers', tool='tool 1.0')}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    targets.register(targets.Target("theirs", "Theirs", "theirs"))
    try:
        made = descriptor.load(net)
        descriptor.write(net, made.manifest.model_copy(update={"target": "theirs"}), made.arrays, made.vectors)
        written = also.write(net, "tool-x")
        assert (written.folder / "n.txt").read_text() == str(len(made.arrays["compartment"]))
        with pytest.raises(UsageError, match="is a format of theirs"):
            also.find("tool-x", [registry.get("loihi")])
    finally:
        targets.unregister("theirs")


def hybrid(chip: str, path: Path) -> descriptor.Descriptor:
    """Counts -> a layer on the host -> two on the chip -> a read-out on the host."""
    rng = np.random.default_rng(5)

    def fire(n: int) -> LIF:
        return LIF(np.ones(n, np.float32), np.full(n, 2, np.float32))

    def trinary(n: int, m: int) -> Dense:
        return Dense(rng.choice([-1.0, 0.0, 1.0, 1.0], (n, m)))

    graph = Graph(
        "hybrid",
        (Input("in", (20,), 4),),
        (
            Population("code", (16,), fire(16)), Population("hidden", (12,), fire(12)),
            Population("out", (8,), fire(8)), Population("read", (4,), LI(np.full(4, 0.9, np.float32))),
        ),
        (
            Connection("a", "in", "code", Dense(rng.normal(0.1, 0.4, (16, 20)))),
            Connection("b", "code", "hidden", trinary(12, 16)),
            Connection("c", "hidden", "out", trinary(8, 12)),
            Connection("d", "out", "read", Dense(rng.normal(0, 0.7, (4, 8)))),
        ),
        Readout("read", "last"),
        steps=9,
    )  # fmt: skip
    samples = rng.integers(0, 5, (9, 3, 20)).astype(np.uint8)
    made = graph_to_chip(graph, registry.get(chip), samples, host=["code", "read"])
    return write_descriptor(path, made, registry.get(chip), samples)


def test_layers_on_the_host(tmp_path: Path) -> None:
    """The files hold the chip's part, fed with what the host's layers sent."""
    made = hybrid("loihi", tmp_path / "a.snnx")
    written = also.write(made, "lava-net")
    assert [(f.code, f.severity) for f in written.findings] == [("HOST_LAYERS", "note")]
    assert "code, read" in written.findings[0].what
    lava = lava_reader.Interpreter(written.folder)
    assert "answer" not in lava.vectors
    trace = decode(made.vectors, made.manifest).spikes
    for b in range(3):
        for layer, got in zip(made.manifest.layers, lava.run(b)):
            np.testing.assert_array_equal(got, trace[layer.name][:, b])
    assert trace["out"].any()

    made = hybrid("truenorth", tmp_path / "b.snnx")
    written = also.write(made, "ranc")
    assert "HOST_LAYERS" in {f.code for f in written.findings}
    grid, stored = ranc_reader.Grid(written.folder), json.loads((written.folder / "samples.json").read_text())
    known = set(stored["known_lines"])
    assert len(known) == 8
    for sample in stored["samples"]:
        got = grid.run(sample["packets"], len(sample["outputs"]))
        assert [sorted(set(row) & known) for row in got] == sample["outputs"]
    assert any(map(len, stored["samples"][0]["outputs"]))


def test_it_needs_no_torch(net: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom snnkit.targets import also\n"
        f"also.write({str(net)!r}, 'lava-net')\nbad = {{'torch', 'lightning', 'tonic', 'lava'}} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
