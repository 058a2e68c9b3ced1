"""`snnkit run` and `snnkit convert … udp://`: files, packets, pipes, shows, signals, wrong use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import emulator
from snnkit.bench.live import untrained
from snnkit.cli.main import main
from snnkit.data import EventStream, files, to_frames
from snnkit.data.files.evt2 import encode_evt2
from snnkit.live.answers import Answer
from snnkit.live.network import open_network
from snnkit.live.show import Picture

sys.path.insert(0, str(Path(__file__).parent))
from networks import SIDE, events, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.snnx, a.raw (18 ms, three windows) and b.npz of another sensor."""
    folder = tmp_path_factory.mktemp("command")
    write(folder / "net.snnx")
    files.write(folder / "a.raw", EventStream(events(3000, 18_000), (SIDE, SIDE)))
    files.write(folder / "b.npz", EventStream(events(30, 1000), (20, 20)))
    return folder


def expected(place: Path) -> Any:
    frames = to_frames(files.read(place / "a.raw"), T=18, binary=True, duration_us=18_000)
    x = frames.reshape(3, 6, -1).transpose(1, 0, 2).astype(np.uint8).copy()
    return emulator.open(place / "net.snnx").run({"in": x})


def test_a_recording_as_json_lines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [
        "run",
        str(place / "net.snnx"),
        "--input",
        str(place / "a.raw"),
        "--start",
        "0",
        "--show",
        "jsonl",
        "--json",
    ]
    assert main(argv) == 0
    *answers, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    whole = expected(place)
    assert [a["scores"] for a in answers] == whole.scores.tolist()
    assert [a["label"] for a in answers] == ["abcd"[k] for k in whole.answer]
    summary = last["summary"]
    assert summary["received"] == summary["processed"] == 3000
    assert summary["counters"] == whole.totals()
    assert summary["queue"]["policy"] == "block"
    assert set(summary["latency_ms"]) == {"p50", "p90", "p99", "max", "count"}
    assert "arrival" in summary["latency_measured"]


@pytest.mark.parametrize("speed", ["max", "1", "40"])
def test_text_is_the_same_at_any_speed(speed: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["run", str(place / "net.snnx"), "--input", str(place / "a.raw"), "--start", "0", "--speed", speed]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    labels = ["abcd"[k] for k in expected(place).answer]
    assert [line.split()[2] for line in out.splitlines()] == labels
    assert "3,000 received = 3,000 processed + 0 dropped + 0 late + 0 skipped + 0 malformed" in err


def test_a_trained_run(tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = untrained(tmp_path / "run", channels=[3, 4], kernel_size=3)
    files.write(tmp_path / "c.npz", EventStream(events(5000, 50_000, 34), (34, 34)))
    argv = ["run", str(run), "--input", str(tmp_path / "c.npz"), "--window", "20", "--reset", "none", "--every", "5"]
    assert main([*argv, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["steps"], summary["answers"], summary["window"]) == (50, 10, 20)
    assert summary["processed"] == 5000


def test_a_pipe(place: Path) -> None:
    words = encode_evt2(files.read(place / "a.raw").events)
    done = subprocess.run(
        [sys.executable, "-m", "snnkit.cli.main", "run", str(place / "net.snnx"), "--input", "-", "--json"],
        input=words, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["received"] == 3000
    assert summary["processed"] + summary["late"] + summary["dropped"] == 3000


def test_packets_and_an_end_by_signal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Receiver and sender as two processes; SIGINT ends the receiver with its summary."""
    argv = [
        "run",
        str(place / "net.snnx"),
        "--input",
        "udp://127.0.0.1:0",
        "--show",
        "jsonl",
        "--json",
        "--lateness",
        "50000",
    ]
    receiver = subprocess.Popen(
        [sys.executable, "-u", "-m", "snnkit.cli.main", *argv],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert receiver.stderr is not None
        said = receiver.stderr.readline()
        address = said.split()[2].rstrip(";")
        assert address.startswith("udp://127.0.0.1:")
        assert main(["run", str(place / "net.snnx"), "--input", address]) == 2
        assert "the port is taken" in capsys.readouterr().err
        assert main(["convert", str(place / "a.raw"), address, "--speed", "1", "--json"]) == 0
        sent = json.loads(capsys.readouterr().out)
        assert (sent["events"], sent["refused"]) == (3000, 0)
        time.sleep(0.5)
        receiver.send_signal(signal.SIGINT)
        out, err = receiver.communicate(timeout=30)
    finally:
        receiver.kill()
    assert receiver.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert summary["received"] == 3000
    assert summary["details"]["packets"] == sent["packets"]
    assert summary["processed"] + summary["late"] == 3000


def test_the_picture(place: Path) -> None:
    from rich.console import Console

    network = open_network(place / "net.snnx")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        picture = Picture(network.facts, nowhere)
        frames = np.zeros((2, 2, SIDE, SIDE), np.uint8)
        frames[0, 0, 0, 0] = frames[1, 1, 1, 1] = frames[1, 1, 2, 3] = 1
        picture.frames(frames.reshape(2, -1))
        picture.answer(Answer(5, 6000.0, 6, True, 1, "b", [0.0, 3.0, 1.0, -1.0], 12, 0, 7, 0, 1.5))
        console = Console(width=120, record=True, file=nowhere)
        console.print(picture.render())
        picture.close()
    text = console.export_text()
    assert "▀" in text
    assert "▄" in text
    assert "b ████████████████████ 3" in text
    assert "7 dropped" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input", "c.raw"], "did you mean 'a.raw'"),
        (["--input", "b.npz"], "20x20 sensor, the network was made for 9x9"),
        (["--input", "upd://127.0.0.1:1"], "did you mean 'udp'"),
        (["--input", "udp://192.0.2.1:9000"], "--allow-remote"),
        (["--input", "a.raw", "--queue", "0"], "--queue is 0"),
        (["--input", "a.raw", "--queue-policy", "drop"], "invalid choice"),
        (["--input", "a.raw", "--speed", "fast"], "--speed is 'fast'"),
        (["--input", "a.raw", "--speed", "-1"], "--speed is '-1'"),
        (["--input", "a.raw", "--dt", "0"], "a step of 0"),
        (["--input", "a.raw", "--window", "0"], "--window is 0"),
        (["--input", "a.raw", "--max-gap", "0"], "--max-gap is 0"),
        (["--input", "a.raw", "--lateness", "soon"], "--lateness is 'soon'"),
        (["--input", "a.raw", "--behind", "0"], "--behind is 0"),
        (["--input", "a.raw", "--behind", "5"], "nothing can be behind"),
        (["--input", "a.raw", "--format", "evt9"], "evt9"),
        (["--input", "-", "--speed", "1"], "--speed is for recordings"),
        (["--input", "net.snnx"], "is a folder"),
    ],
)
def test_wrong_use(
    options: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert main(["run", "net.snnx", *options]) == 2
    assert message in capsys.readouterr().err


def test_wrong_networks(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert main(["run", "nett.snnx", "--input", "a.raw"]) == 2
    assert "did you mean 'net.snnx'" in capsys.readouterr().err
    assert main(["run", ".", "--input", "a.raw"]) == 2
    assert "no run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a.raw", "upd://127.0.0.1:1"], "did you mean 'udp'"),
        (["a.raw", "udp://192.0.2.1:9000"], "not on this computer"),
        (["a.raw", "udp://127.0.0.1:9", "--to", "csv"], "packets carry EVT 2"),
        (["a.raw", "udp://127.0.0.1:9", "--packet", "3"], "packets of 3 bytes"),
        (["a.raw", "c.csv", "--speed", "1"], "is a file"),
    ],
)
def test_wrong_sending(
    argv: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert main(["convert", *argv]) == 2
    assert message in capsys.readouterr().err


def test_sending_to_nobody_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(place / "a.raw"), "udp://127.0.0.1:9", "--from-zero", "--speed", "100"]) == 0
    assert "nobody listened" in capsys.readouterr().out
