"""Targets of other packages: found by their entry point, they pass the same tests; and what a faulty chip is told."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from snnkit.cli.main import main
from snnkit.targets import register, registry, unregister
from snnkit.targets.base import Target
from snnkit.validation import conformance as kit
from snnkit.validation.conformance import conformance

from .chips import copy_template, distribution


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder on the path, as of an installed package, here and in child processes; forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


@pytest.mark.timeout(120)
def test_a_target_of_another_package(elsewhere: Path, tmp_path: Path) -> None:
    """A distribution with an entry point, its chip with other numbers: listed, conforming, replayed."""
    copy_template(
        elsewhere,
        "thirdchip",
        {
            ("spec", "NEURONS_PER_CORE = 64"): "NEURONS_PER_CORE = 48",
            ("spec", "WEIGHT_LIMIT = 127"): "WEIGHT_LIMIT = 100",
        },
    )
    assert "thirdchip" not in registry.names()
    distribution(elsewhere, "thirdchip")
    importlib.invalidate_caches()
    assert "thirdchip" in registry.names()
    target = registry.get("thirdchip")
    assert isinstance(target, Target)
    assert target.package == "thirdchip"
    assert target in registry.resolve("all")
    result = conformance(target, tmp_path / "made", networks=12)
    assert result.ok, str(result)
    assert result.cores > 4
    assert "conforms" in str(result)

    from tests.targets._template.vector_files import case, write

    (replayed,) = target.replay([write(tmp_path / "a.json", case(1))])
    assert replayed.ok, str(replayed)
    assert main(["replay", "--target", "thirdchip", str(tmp_path / "a.json")]) == 0
    assert main(["verify", str(next((tmp_path / "made").glob("*/a.snnx")))]) == 0


CHECKS = "    findings = [*checks.inputs(graph)"
FAULTS: dict[str, tuple[tuple[str, str, str], str]] = {
    "fires late": (("arithmetic", "s = v >= threshold", "s = v > threshold"), "differ from graph/run.py"),
    "wrong axons": (
        ("lower", "np.arange(first, first + len(sources))], 1)", "np.arange(first, first + len(sources))[::-1]], 1)"),
        "differ from graph/run.py",
    ),
    "one place": (("emulate", ".T)].astype(np.int64)", ".T)].astype(np.int64) * 0"), "two neurons share a place"),
    "over budget": (("lower", '"limits": dict(LIMITS)', '"limits": {"neurons": 3, "axons": 256}'), "a core has 3"),
    "chance": (
        ("lower", "return np.ascontiguousarray(rows[", "return np.random.default_rng().permutation(rows["),
        "two exports of one network differ",
    ),
    "placement matters": (
        ("lower", "Core(site.core * step, *tile)", "Core(site.core * step, *tile[:2], tile[2][step - 1 :])"),
        "with {'spread': True} the spikes of",
    ),
    "breaks off": (("rules", CHECKS, f"    graph.readout.nothing\n{CHECKS}"), "raised AttributeError"),
    "believes every file": (
        ("emulate", "    schema.check_images(arrays, manifest)\n", ""), "instead of a DescriptorError",
    ),
    "refuses": (
        ("rules", CHECKS, CHECKS.replace("[", '[Finding("NEVER", graph.name, "no", remedy="none"), ')),
        "refused: error NEVER",
    ),
}  # fmt: skip
"""What is changed in the chip's files, and what conformance says about it."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_chip_does_not_conform(fault: str, elsewhere: Path, tmp_path: Path) -> None:
    (file, old, new), told = FAULTS[fault]
    package = "faulty_" + fault.replace(" ", "_")
    copy_template(elsewhere, package, {(file, old): new})
    importlib.invalidate_caches()
    target = importlib.import_module(package).TARGET
    register(target)
    try:
        result = conformance(target, tmp_path / "made", networks=5)
    finally:
        unregister(package)
    assert not result.ok
    assert told in str(result)


@pytest.mark.timeout(120)
def test_a_chip_with_a_tolerance_compares_itself(elsewhere: Path, tmp_path: Path) -> None:
    """Its own comparison judges every run; here it allows a twentieth of the spikes to differ."""
    compare = (
        "def compare(graph: Graph, inputs: dict[str, Array], result: Any) -> list[str]:\n"
        '    """Spike counts within 5 %."""\n'
        "    trace = run(graph, inputs)\n"
        "    return [f'{n} is off' for n, s in trace.spikes.items()\n"
        "            if abs(int(s.sum()) - int(result.spikes[n].sum())) > LIMIT * s.size]\n\n\n"
        "def load("
    )
    for name, limit, ok in (("loose", "0.05", True), ("strict", "-1", False)):
        package = f"analogue_{name}"
        copy_template(
            elsewhere,
            package,
            {("spec", "    rounding=0.05,"): '    rounding=0.05,\n    exactness="tolerance",',
             ("replay", "def load("): compare.replace("LIMIT", limit)},
        )  # fmt: skip
        importlib.invalidate_caches()
        target = importlib.import_module(package).TARGET
        register(target)
        try:
            result = conformance(target, tmp_path / name, networks=5)
        finally:
            unregister(package)
        assert result.ok is ok, str(result)
        assert (" is off" in str(result)) is not ok


def test_a_target_must_declare_its_capabilities(elsewhere: Path) -> None:
    copy_template(elsewhere, "mute", {("spec", "CAPABILITIES = Capabilities("): "_UNSAID = Capabilities("})
    importlib.invalidate_caches()
    with pytest.raises(AttributeError, match="CAPABILITIES"):
        _ = dataclasses.replace(importlib.import_module("mute").TARGET).capabilities


def test_the_share_that_must_map() -> None:
    good = kit.Conformance("x", 100, 95, 1, 0.0, 0.01)
    assert good.ok
    assert not dataclasses.replace(good, mapped=94).ok
    assert not dataclasses.replace(good, rounding=0.02).ok
