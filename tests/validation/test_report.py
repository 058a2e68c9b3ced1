"""The report: complete, equal bytes for equal results, nothing from outside, every word escaped, honest verdicts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit.errors import ParameterError, UsageError
from snnkit.validation.report import judge, load_report, write_reports
from snnkit.validation.report_parts import in_order

EVIL = "<script>alert('x')</script> | `a` **b** [c](http://evil) $x$ \x00 \"q\" \u202e"


def result(**changes: Any) -> dict[str, Any]:
    """A complete validation result of a small network."""
    r = np.random.default_rng(0)
    steps, layers = 6, {}
    for name, n in (("conv", 200), ("fc", 10), ("readout", 10)):
        a = (r.random((steps, n)) < 0.1) & (name != "readout")
        b = a.copy()
        if name == "fc":
            b[2, 3] = ~b[2, 3]
        layers[name] = {"torch": np.argwhere(a).tolist(), "emulator": np.argwhere(b).tolist(), "n": n}
    pair = {"total": 12, "of": 4000, "layers": {"conv": 10, "fc": 2}}
    zero = {"total": 0, "of": 4000, "layers": {"conv": 0, "fc": 0}}
    none = {"changed": 0, "right_to_wrong": 0, "wrong_to_right": 0}
    some = {"changed": 3, "right_to_wrong": 2, "wrong_to_right": 1}
    limits = {"compartments": 1024, "synapse_bits": 2**20, "input_axons": 4096, "output_axons": 4096}
    cores = [
        {"core": k, "layer": "conv" if k < 2 else "fc, readout", "compartments": 100 * (k + 1), "synapse_bits": 5000,
         "input_axons": 7, "output_axons": 9} for k in range(3)
    ]  # fmt: skip
    made = {
        "name": "digits",
        "target": "loihi",
        "revision": "loihi-1",
        "evidence": "open-simulator",
        "references": ["simulator A 1.0", "simulator B 2.0"],
        "samples": 40,
        "steps": steps,
        "split": "test",
        "dt_us": 52500.0,
        "accuracy": {"torch": 0.95, "graph": 0.925, "emulator": 0.925},
        "changed": {"torch-graph": some, "graph-emulator": none, "torch-emulator": some},
        "differing_spikes": {"torch-graph": pair, "graph-emulator": zero, "torch-emulator": pair},
        "first_divergence": {
            "torch-graph": {"layer": "conv", "sample": 4, "step": 2, "neuron": 77, "spike": [1, 0], "v": [0.0, 19008.0],
                            "v_before": [0.5, 0.5], "v_over_threshold": [0.0, 0.9981]},
            "graph-emulator": None,
        },
        "resources": {"totals": {"cores": 3, "chips": 1, "compartments": 600}, "limits": limits, "cores": cores},
        "counters": {"spikes": 1234, "synaptic_events": 99999, "u_wraps": 0, "v_clips": 0},
        "energy": {
            "unit": "uJ per sample, dynamic",
            "davies": {"low": 1.25, "high": 2.5, "parts": {"synapses": [1.0, 1.0], "neurons": [0.25, 1.5]},
                       "quality": "simulated", "source": "Davies 2018"},
            "other": {"low": 2.0, "high": 3.5, "quality": "secondary", "source": "a fitted set"},
            "not_included": "static power",
        },
        "quantisation": [
            {"layer": "conv", "neurons": 800, "exact_weights": False, "vth": [120, 130], "decay_error_max": 0.0,
             "connections": {"in->conv": {"exponent": -1, "weights": 300, "clipped": 2, "zeroed": 1}}}
        ],
        "findings": [{"code": "TIGHT", "where": "conv", "what": "a core is nearly full", "severity": "warning",
                      "resource": "synapse_bits", "needed": 10, "available": 12, "remedy": "none needed"}],
        "raster": {"label": 3, "input": [[0, 0], [1, 17], [5, 31]], "layers": layers},
        "data": {"name": "made up", "digest": "ab" * 32, "sensor_size": [4, 4], "classes": list("0123456789"),
                 "frames": {"T": 6, "binary": True}},
        "run": "cd" * 32,
        "seconds": {"torch": 0.5},
    }  # fmt: skip
    return made | changes


class Page(HTMLParser):
    """Tags, attributes and text of a page; complains about tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def assert_self_contained(page: Page) -> None:
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "iframe" not in page.tags
    for tag, key, value in page.attributes:
        assert not key.startswith("on"), (tag, key)
        if key in ("src", "href", "xlink:href", "action"):
            assert value.startswith(("#", "data:image/png;base64,")), (tag, key, value)
        if key == "style":
            assert "url(" not in value.replace("url(#", "")
    assert any(v.startswith("default-src 'none'") for _, k, v in page.attributes if k == "content")


def test_three_files_that_say_the_same(tmp_path: Path) -> None:
    given = result()
    paths = write_reports(tmp_path, given)
    assert set(paths) == {"report.json", "report.md", "report.html"}
    assert load_report(tmp_path) == json.loads(json.dumps(given))
    page, markdown = page_of(tmp_path), paths["report.md"].read_text(encoding="utf-8")
    assert_self_contained(page)
    assert paths["report.html"].stat().st_size < 2_000_000
    verdict = "0 of 4,000 spikes differ between the integer graph and the loihi emulator over 40 test recordings."
    for text in (page.text, markdown):
        assert verdict in text
        assert "92.50 %" in text
        assert "open-simulator" in text
        assert "simulator A 1.0, simulator B 2.0" in text
        assert "TIGHT" in text
        assert "Davies 2018" in text
        assert "neuron 77" in text
        assert "1.25–3.5 µJ" in text
        assert "neurons 0.25–1.5, synapses 1" in text
    assert page.tags.count("svg") == 4
    assert "made up" in page.text
    ids = [v for _, k, v in page.attributes if k == "id"]
    assert len(ids) == len(set(ids))


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    first = write_reports(tmp_path / "a", result())
    second = write_reports(tmp_path / "b", backwards(result()))
    again = write_reports(tmp_path / "c", load_report(tmp_path / "a"))
    for name in first:
        assert first[name].read_bytes() == second[name].read_bytes() == again[name].read_bytes(), name


def backwards(value: Any) -> Any:
    """The same value with all keys in the opposite order."""
    if isinstance(value, dict):
        return {k: backwards(v) for k, v in reversed(value.items())}
    return [backwards(v) for v in value] if isinstance(value, list) else value


def test_layers_stand_from_input_to_output(tmp_path: Path) -> None:
    names = ["10", "9", "b", "a"]
    layers = {n: {"torch": [[0, 1]], "emulator": [[0, 1]], "n": 2} for n in sorted(names)}
    pair = {"graph-emulator": {"total": 0, "of": 8, "layers": dict.fromkeys(sorted(names), 0)}}
    chain = [{"layer": n, "neurons": 2} for n in names]
    given = result(raster={"layers": layers}, differing_spikes=pair, quantisation=chain)
    text = write_reports(tmp_path, given)["report.html"].read_text(encoding="utf-8")
    places = [text.index(f">layer {n}<") for n in names]
    assert places == sorted(places)
    rows = [text.index(f"<td>{n}</td>") for n in names]
    assert rows == sorted(rows)
    assert list(in_order(dict.fromkeys(["x10", "x9", "y"]))) == ["x9", "x10", "y"]


def test_bit_accurate_is_said_only_with_a_reference(tmp_path: Path) -> None:
    write_reports(tmp_path, result(references=[]))
    assert "bit-accurate" not in (page_of(tmp_path).text).lower()
    write_reports(tmp_path, result())
    text = page_of(tmp_path).text.lower()
    assert text.index("simulator a 1.0") < text.index("bit-accurate")


@pytest.mark.parametrize(
    ("total", "tone", "words"),
    [
        (0, "good", "0 of 4,000 spikes differ"),
        (1, "bad", "1 of 4,000 spikes differ"),
        (None, "warn", "were not compared"),
    ],
)
def test_the_verdict(tmp_path: Path, total: int | None, tone: str, words: str) -> None:
    counts = {} if total is None else {"graph-emulator": {"total": total, "of": 4000}}
    given = result(differing_spikes=counts)
    said, good = judge(given)
    assert good == tone
    assert words in said
    write_reports(tmp_path, given)
    assert f'class="verdict {tone}"' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_section_is_optional(tmp_path: Path) -> None:
    bare = {"name": "n", "target": "t"}
    write_reports(tmp_path, bare)
    assert_self_contained(page_of(tmp_path))
    whole = result()
    for key in set(whole) - {"name", "target"}:
        write_reports(tmp_path, {k: v for k, v in whole.items() if k not in (key, "raster", "resources", "accuracy")})
    for key in ("raster", "resources", "accuracy"):
        write_reports(tmp_path, {k: v for k, v in whole.items() if k != key})
        page_of(tmp_path)


@pytest.mark.parametrize("junk", [None, [], {}, "words", 3, [None], {"a": None}, {"a": {"b": []}}, [["x", 1]]])
def test_odd_values_do_not_stop_a_report(tmp_path: Path, junk: Any) -> None:
    keys = [k for k in result() if k not in ("name", "target")]
    write_reports(tmp_path, {"name": "n", "target": "t"} | dict.fromkeys(keys, junk))
    page_of(tmp_path)


def test_hostile_words_are_only_words(tmp_path: Path) -> None:
    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return EVIL
        if isinstance(value, list):
            return [poison(v) for v in value]
        if isinstance(value, dict):
            keep = ("layers", "connections", "counters", "seconds")
            return {(EVIL + k if key in keep else k): poison(v, k) for k, v in value.items()}
        return value

    write_reports(tmp_path, poison(result()))
    page = page_of(tmp_path)
    assert_self_contained(page)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    markdown = re.sub(r"(?<!\\)`[^`]*`", "", markdown)  # inside code everything is literal
    assert "<script" not in markdown.replace("\\<script", "")
    assert not re.search(r"(?<!\\)\]\(http", markdown)
    for line in markdown.splitlines():
        if line.startswith("| "):  # a word cannot open a column
            assert len(re.findall(r"(?<!\\)\|", line)) <= 12


def test_numpy_values_and_missing_numbers(tmp_path: Path) -> None:
    given = result(accuracy={"torch": np.float64(0.5), "graph": float("nan")}, samples=np.int64(7), extra=np.arange(3))
    write_reports(tmp_path, given)
    plain = load_report(tmp_path)
    assert plain["accuracy"] == {"torch": 0.5, "graph": None}
    assert plain["extra"] == [0, 1, 2]


def test_a_large_network_stays_small(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    dots = np.argwhere(r.random((50, 4000)) < 0.2).tolist()
    layers = {f"layer{k}": {"torch": dots, "emulator": dots, "n": 4000} for k in range(4)}
    limits = {"compartments": 1024, "synapse_bits": 2**20}
    cores = [{"core": k, "layer": f"l{k // 100}", "compartments": 1000, "synapse_bits": 999} for k in range(700)]
    given = result(raster={"layers": layers}, resources={"limits": limits, "cores": cores}, steps=50)
    paths = write_reports(tmp_path, given)
    assert paths["report.html"].stat().st_size < 2_000_000
    text = page_of(tmp_path).text
    assert "444 more cores are in report.json" in text
    assert "of 4,000 neurons" in text


def test_wrong_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="target"):
        write_reports(tmp_path, {"name": "x"})
    with pytest.raises(ParameterError, match=r"result\.counters\.a"):
        write_reports(tmp_path, {"name": "x", "target": "t", "counters": {"a": object()}})
    assert not list(tmp_path.iterdir())


def test_a_missing_report_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"snnkit validate RUN"):
        load_report(tmp_path)
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        load_report(tmp_path)
    with pytest.raises(UsageError, match="not a descriptor folder"):
        load_report(tmp_path / "none")
