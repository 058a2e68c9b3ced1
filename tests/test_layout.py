"""The rooms of the house: every chip's folder has the same files, every command a module, tests mirror the package."""

from __future__ import annotations

import ast
import importlib
import subprocess
from pathlib import Path

import pytest

from snnkit.cli.main import COMMANDS
from snnkit.targets import registry
from snnkit.targets.base import FILES, Target
from snnkit.targets.capabilities import Capabilities

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "snnkit"
CHIPS = sorted(p.name for p in (PACKAGE / "targets").iterdir() if (p / "__init__.py").exists())
FUNCTIONS = {
    "rules": ("check",),
    "quantize": ("quantize",),
    "lower": ("lower",),
    "replay": ("recognise", "replay"),
    "emulate": ("open_chip",),
    "energy": ("estimate", "latency", "memory_bytes"),
}
TOP = {"pyproject.toml", "README.md", "LICENSE", "snnkit", "recipes", "tests", "notebooks"}


@pytest.mark.parametrize("chip", CHIPS)
def test_every_chip_has_the_same_files(chip: str) -> None:
    folder = PACKAGE / "targets" / chip
    assert {f for f in FILES if not (folder / f"{f}.py").exists()} == set()
    hidden = chip.startswith("_")
    target = importlib.import_module(f"snnkit.targets.{chip}").TARGET if hidden else registry.get(chip)
    assert isinstance(target, Target)
    assert target.package == f"snnkit.targets.{chip}"
    assert (target.name == chip) != hidden
    assert (target.name in registry.names()) != hidden
    assert isinstance(target.capabilities, Capabilities)
    for file, functions in FUNCTIONS.items():
        for name in functions:
            assert callable(getattr(target.part(file), name)), f"{file}.{name}"
    spec = target.part("spec")
    numbers = [
        k for k, v in vars(spec).items() if k[0].isupper() and k.isupper() and isinstance(v, int | float | dict | tuple)
    ]
    unsourced = [k for k in numbers if k not in {*spec.SOURCES, "SOURCES", "UPDATE_ORDER", "OPTIONS"}]
    assert unsourced == []


def test_no_chip_imports_another() -> None:
    for chip in CHIPS:
        for file in (PACKAGE / "targets" / chip).glob("*.py"):
            text = file.read_text(encoding="utf-8")
            for other in set(CHIPS) - {chip}:
                assert f"snnkit.targets.{other}" not in text, file


def test_every_command_has_a_module_and_no_other_does() -> None:
    modules = {p.stem for p in (PACKAGE / "cli").glob("*.py")} - {"__init__", "main", "common"}
    assert modules == set(COMMANDS)
    for name in COMMANDS:
        module = importlib.import_module(f"snnkit.cli.{name}")
        assert module.__doc__
        assert callable(module.add_arguments)
        assert callable(module.run)


def test_the_top_level_is_fixed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {t for t in top if not t.startswith(".")} - TOP == set()


def test_every_package_has_a_docstring_and_public_functions_have_types() -> None:
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{file} has no docstring"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                jitted = any(
                    word in ast.dump(d)
                    for d in node.decorator_list
                    for word in ("njit", "'kernel'", "'row'", "'piece'", "'intrinsic'", "'triton'")
                )
                assert jitted or node.returns is not None, f"{file}: {node.name} has no return type"
