"""`snnkit docs`: pages of the docstrings, made once, and the list of public names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snnkit import api
from snnkit.cli.main import main


@pytest.fixture(autouse=True)
def few_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(api, "PACKAGES", ("snnkit.errors", "snnkit.surrogate"))
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "cache"))


def test_pages_are_made_once_and_hold_the_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    page = Path(first["page"])
    assert first["made"]
    text = (page.parent / "snnkit" / "surrogate.html").read_text(encoding="utf-8")
    assert "10.1109/ICCV48922.2021.00266" in text  # Arctan's source
    assert main(["docs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"page": str(page), "made": False}
    assert [p.name for p in page.parent.parent.iterdir()] == [page.parent.name]  # nothing half-made is left


def test_a_folder_of_one_s_own_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "--out", str(tmp_path / "api"), "--no-browser"]) == 0
    assert (tmp_path / "api" / "index.html").is_file()
    capsys.readouterr()
    assert main(["docs", "--out", str(tmp_path / "api")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_list_names_everything_public(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == api.listing()
    assert any(line.startswith("snnkit.surrogate.Arctan(") for line in lines)
