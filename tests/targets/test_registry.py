"""Targets: found beside the package and by entry points, listed without importing anything heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from snnkit import targets
from snnkit.errors import UsageError
from snnkit.targets import base, registry

ROOT = Path(targets.__file__).resolve().parents[2]


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from snnkit import targets; assert 'loihi' in targets.names(); targets.get('loihi')\n"
        "heavy = {'torch', 'numpy', 'numba', 'scipy', 'pydantic'} & set(sys.modules); assert not heavy, heavy\n"
        "print([m for m in sys.modules if m.startswith('snnkit.targets.')])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert "spec" not in out.stdout


def test_unknown_target_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'loihi'"):
        targets.get("lohi")


def test_resolve() -> None:
    assert [t.name for t in targets.resolve("all")] == targets.names()
    assert [t.name for t in targets.resolve("loihi")] == ["loihi"]


@pytest.mark.parametrize("name", targets.names())
def test_every_target_has_the_contract(name: str) -> None:
    target = targets.get(name)
    assert target.name == name
    assert target.title
    for file in base.FILES:
        assert target.part(file) is not None
    for file, functions in {
        "rules": ["check"],
        "quantize": ["quantize"],
        "lower": ["lower"],
        "replay": ["recognise", "replay"],
        "emulate": ["open_chip"],
    }.items():
        for function in functions:
            assert callable(getattr(target.part(file), function)), (file, function)
        assert target.part(file).__doc__


def test_the_chip_half_never_imports_torch() -> None:
    code = (
        "import sys, snnkit.targets.loihi.replay, snnkit.targets.loihi.rules, snnkit.graph.run\n"
        "bad = {'torch', 'lightning', 'tonic'} & set(sys.modules); assert not bad, bad"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr


def test_other_packages_join_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(group: str) -> list[EntryPoint]:
        return [
            EntryPoint("mychip", "snnkit.targets.loihi:TARGET".replace("snnkit.", "snnkit_x."), group),
            EntryPoint("broken", "sys:path", group),
        ]

    monkeypatch.setattr(registry, "entry_points", fake)
    assert {"mychip", "broken", "loihi"} <= set(targets.names())
    monkeypatch.setattr(EntryPoint, "load", lambda self: targets.get("loihi") if self.name == "mychip" else [])
    assert targets.get("mychip").name == "loihi"
    with pytest.raises(UsageError, match="not a"):
        targets.get("broken")
