"""The README's example runs as it stands, and what it says exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.timeout(180)  # compiles the kernels where they are not cached yet
def test_the_example_runs(tmp_path: Path) -> None:
    """In a fresh process and an empty folder; the data set is cut down only by taking fewer of its batches."""
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 22
    small = block.replace("SaccadeDigits(", "SaccadeDigits(subset=240, progress=False, ")
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", small], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digits.snnx" / "manifest.json").exists()


def test_commands_and_codes_exist() -> None:
    from snnkit import errors
    from snnkit.cli.main import COMMANDS

    text = README.read_text(encoding="utf-8")
    for command in re.findall(r"^    snnkit ([a-z]+)|`snnkit ([a-z]+)", text, re.MULTILINE):
        assert "".join(command) in COMMANDS, command
    codes = {c.code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.SnnkitError)}
    for code in codes - {"SNNKIT"}:
        assert f"`{code}`" in text, code


@pytest.mark.parametrize(
    "path", re.findall(r"`((?:snnkit|tests)/[\w/]+(?:\.py)?)`", README.read_text(encoding="utf-8"))
)
def test_paths_exist(path: str) -> None:
    assert (README.parent / path).exists()
