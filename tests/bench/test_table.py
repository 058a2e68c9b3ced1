"""The README's table of peers is what the kept runs give, and how it is made."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from snnkit.bench import runs, table
from snnkit.cli.main import main
from snnkit.errors import UsageError

README = Path(__file__).resolve().parents[2] / "README.md"


def row(impl: str, ms: float, settings: str = "[4, 2] float32, 2 threads", **others: Any) -> dict[str, Any]:
    return {
        "work": "LIF",
        "impl": impl,
        "settings": settings,
        "ms_min": ms,
        "ms_median": 2 * ms,
        "floor_ratio": ms / 10,
        "peak_ratio": None,
        "differing_spikes": None,
    } | others


@pytest.fixture
def run() -> dict[str, Any]:
    rows = [
        row("memory floor", 10.0, "[4, 2] float32, 2 threads; 20 B/element"),
        row("snnkit fused", 20.0, peak_ratio=2.0, differing_spikes=0),
        row("other", 1234.5, "[4, 2] float32, 2 threads; fires at v | v > 1", peak_ratio=13.25, differing_spikes=1234),
        row("snnkit fused", 7.0, "[4, 1] float32, 2 threads"),
    ]
    return runs.made("snnkit bench neurons", rows)


def test_the_readme_has_the_table_of_the_kept_runs() -> None:
    text = README.read_text(encoding="utf-8")
    assert table.into(text, table.markdown(runs.read(table.KEPT))) == text


def test_kept_runs_name_machine_versions_command_and_date() -> None:
    kept = runs.read(table.KEPT)
    assert [run["command"].removesuffix(" --quick") for run in kept] == [f"snnkit bench {work}" for work in table.WORKS]
    text = README.read_text(encoding="utf-8")
    block = text.partition(table.BEGIN)[2].partition(table.END)[0]
    for run in kept:
        assert {"snnkit", "python", "torch", "spikingjelly", "snntorch", "norse"} <= set(run["versions"])
        for said in (run["command"], run["date"], run["machine"]["processor"], f"torch {run['versions']['torch']}"):
            assert said in block
        for measured in run["rows"]:
            assert measured["impl"] in block


def test_rows_become_lines(run: dict[str, Any]) -> None:
    lines = table.markdown([run]).splitlines()
    body = [[c.strip() for c in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")][2:]
    assert body == [
        ["LIF, [4, 2] float32, 2 threads", "memory floor", "10 / 20 ms", "1.00", "0.50", "", "", "20 B/element"],
        ["–", "snnkit fused", "20 / 40 ms", "2.00", "1.00", "2.00", "0", ""],
        ["–", "other", "1,234 / 2,469 ms", "123.5", "61.7", "13.2", "1,234", "fires at v \\| v > 1"],
        ["LIF, [4, 1] float32, 2 threads", "snnkit fused", "7 / 14 ms", "0.70", "", "", "", ""],
    ]
    assert run["machine"]["processor"] in lines[0]
    assert run["date"] in lines[0]
    assert "`snnkit bench neurons`" in lines[0]


def test_a_page_keeps_all_but_what_is_between_the_markers(run: dict[str, Any], tmp_path: Path) -> None:
    page, file, kept = tmp_path / "README.md", tmp_path / "run.json", tmp_path / "kept.json"
    before, after = "# Über\n\n", "\nmore | text\n"
    page.write_text(f"{before}{table.BEGIN}\nold\n{table.END}{after}", encoding="utf-8")
    other = copy.deepcopy(run) | {"command": "snnkit bench training"}
    file.write_text(json.dumps([run, other]), encoding="utf-8")
    made = table.make([file], False, page, kept)
    assert page.read_text(encoding="utf-8") == f"{before}{table.BEGIN}\n{made}{table.END}{after}"
    assert runs.read(kept) == [run, other]
    assert "`snnkit bench neurons`, `snnkit bench training`: " in made
    again = page.read_bytes()
    assert table.make([], False, page, kept) == made
    assert page.read_bytes() == again


@pytest.mark.parametrize("text", ["nothing", table.BEGIN, f"{table.END}{table.BEGIN}", f"{table.BEGIN}{table.END}" * 2])
def test_a_page_without_its_place_is_left_alone(text: str, run: dict[str, Any], tmp_path: Path) -> None:
    page, kept = tmp_path / "README.md", tmp_path / "kept.json"
    page.write_text(text)
    runs.write(kept, [run])
    before = kept.read_bytes()
    with pytest.raises(UsageError, match="no place for the table"):
        table.make([], False, page, kept)
    assert page.read_text() == text
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "no JSON"), ("[]{", "no JSON"), ("[1]", "no run"), ('{"rows": []}', "no run"), ("null", "no run")],
)
def test_files_that_hold_no_run(content: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=says):
        runs.read(file)


def test_a_row_without_a_figure_is_named(run: dict[str, Any], tmp_path: Path) -> None:
    del run["rows"][2]["peak_ratio"]
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(UsageError, match=r"rows\[2\]\.peak_ratio"):
        runs.read(tmp_path / "run.json")


def test_the_command(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--out` keeps a run, `table` shows it, `--measure` makes the runs; options of the other are refused."""
    kept, page = tmp_path / "kept.json", tmp_path / "page.md"
    page.write_text(f"{table.BEGIN}{table.END}")
    monkeypatch.setattr(table, "KEPT", kept)
    monkeypatch.setattr(table.make, "__defaults__", (kept,))
    monkeypatch.setattr("snnkit.bench.neurons.run", lambda quick: copy.deepcopy(run["rows"]))
    assert main(["bench", "neurons", "--quick", "--out", str(tmp_path / "one.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == run["rows"]
    (made,) = runs.read(tmp_path / "one.json")
    assert made == run | {"command": "snnkit bench neurons --quick"}
    monkeypatch.setattr(table, "measure", lambda: [run])
    assert main(["bench", "table", "--measure", "--into", str(page)]) == 0
    assert runs.read(kept) == [run]
    capsys.readouterr()
    assert main(["bench", "table"]) == 0
    text = capsys.readouterr().out
    assert page.read_text() == f"{table.BEGIN}\n{text}{table.END}"
    for wrong in (["table", "--quick"], ["neurons", "--measure"], ["table", str(page)], ["table", "x", "--measure"]):
        assert main(["bench", *wrong]) == 2
