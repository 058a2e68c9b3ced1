"""The notebooks are stored without outputs, and run from top to bottom without a network."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SMALL = {"subset=480": "subset=80", "epochs = 6": "epochs = 1"}
"""What a short run changes."""


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_without_outputs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


def execute(path: Path, folder: Path, changes: dict[str, str]) -> tuple[Any, float]:
    """Run a notebook in its own kernel and folder; the package is the one under test."""
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    for old, new in changes.items():
        assert any(old in cell.source for cell in book.cells), old
        for cell in book.cells:
            cell.source = cell.source.replace(old, new)
    start = time.perf_counter()
    NotebookClient(book, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return book, time.perf_counter() - start


def pictures(book: Any) -> int:
    outputs = [o for cell in book.cells if cell.cell_type == "code" for o in cell.outputs]
    return sum("image/png" in o.get("data", {}) for o in outputs)


@pytest.fixture(autouse=True)
def _package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", _path())


def _path() -> str:
    return os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])


SMALL_LOOK = {
    '"data.subset": 480': '"data.subset": 80',
    '"trainer.max_epochs": 6': '"trainer.max_epochs": 1',
    "assert less.total()": "print(less.total()",  # so few steps calm nobody
    "< counted.total().synaptic_operations": "< counted.total().synaptic_operations)",
}
SHORT = {
    "test_first_network_in_short": ("01_first_network", SMALL),
    "test_train_and_look_in_short": ("02_train_and_look", SMALL_LOOK),
    "test_stdp_in_short": ("03_stdp", SMALL),
    "test_add_a_chip": ("05_add_a_chip", {"networks=20": "networks=6"}),
}
"""Test → its notebook, and what a short run changes in it."""


@pytest.fixture(scope="module")
def _running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Future[tuple[Any, float]], Path]]]:
    """The short runs of the chosen tests, two at a time: much of each is loading, on one core."""
    chosen = {item.name for item in request.session.items}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("PYTHONPATH", _path())
        running = {}
        for test, (name, changes) in SHORT.items():
            if test in chosen:
                folder = tmp_path_factory.mktemp(name)
                running[test] = pool.submit(execute, FOLDER / f"{name}.ipynb", folder, changes), folder
        yield running


@pytest.fixture
def short(
    request: pytest.FixtureRequest, _running: dict[str, tuple[Future[tuple[Any, float]], Path]]
) -> tuple[Any, Path]:
    """The notebook of this test after its short run, and the folder it ran in."""
    run, folder = _running[request.node.name]
    return run.result()[0], folder


@pytest.mark.timeout(240)  # compiles kernels where they are not cached yet
def test_first_network_in_short(short: tuple[Any, Path]) -> None:
    """Every cell, on few recordings."""
    book, folder = short
    assert pictures(book) == 6
    assert (folder / "first_network.snnx" / "report.html").exists()


@pytest.mark.timeout(240)
def test_train_and_look_in_short(short: tuple[Any, Path]) -> None:
    book, _ = short
    assert pictures(book) == 4
    assert any("text/html" in o.get("data", {}) for cell in book.cells for o in cell.get("outputs", ()))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_first_network_as_it_stands(tmp_path: Path) -> None:
    """At full size: it learns, and ends with no spike of difference."""
    book, seconds = execute(FOLDER / "01_first_network.ipynb", tmp_path, {})
    text = "".join(o.get("text", "") for cell in book.cells if cell.cell_type == "code" for o in cell.outputs)
    assert float(text.split("epoch 5: ")[1].split("accuracy ")[1].split("%")[0]) > 75
    assert "graph-emulator       0 of" in text
    print(f"{seconds:.0f} s")


def printed(book: Any) -> str:
    return "".join(o.get("text", "") for cell in book.cells if cell.cell_type == "code" for o in cell.outputs)


@pytest.mark.timeout(240)
def test_stdp_in_short(short: tuple[Any, Path]) -> None:
    book, _ = short
    assert pictures(book) == 4
    assert float(printed(book).split("pixels: ")[1].split("%")[0]) > 60  # weights begin to go where the events are


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_stdp_as_it_stands(tmp_path: Path) -> None:
    """At full size the features are those of the digits, and help to tell them apart."""
    book, seconds = execute(FOLDER / "03_stdp.ipynb", tmp_path, {})
    text = printed(book)
    assert float(text.split("pixels: ")[1].split("%")[0]) > 80
    random, learned = (float(text.split(f"{name} features")[1].split("%")[0]) for name in ("random", "learned"))
    assert learned > 70
    assert learned > random + 20
    print(f"{seconds:.0f} s")


@pytest.mark.timeout(240)
def test_add_a_chip(short: tuple[Any, Path]) -> None:
    """Every cell, on fewer random networks: the copied chip conforms, the broken one does not."""
    book, folder = short
    text = printed(book)
    assert "tinychip: conforms; 6 of 6 networks mapped" in text
    assert "brokenchip: DOES NOT CONFORM" in text
    assert "its own vectors come out equal" in text
    assert pictures(book) == 1
    assert (folder / "small.snnx" / "manifest.json").exists()
