"""The command line's manners: help, suggestions, exit codes, JSON, no tracebacks, whatever it is fed."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snnkit.cli import main as cli
from snnkit.cli.main import COMMANDS, main
from snnkit.errors import FindingsError
from snnkit.graph.findings import Finding

ROOT = Path(__file__).resolve().parents[2]
READERS = ("verify", "report", "inspect", "emulate", "eval", "check", "finetune")
"""Commands whose first argument is a path."""


@pytest.fixture
def junk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with things that are not what commands expect; it becomes the working folder."""
    for folder in ("empty", "empty.snnx", "bad.snnx", "half_run", "old_run", "odd_run"):
        (tmp_path / folder).mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "bad.snnx" / "manifest.json").write_text('{"schema_version": 99}')
    (tmp_path / "half_run" / "run.json").write_text('{"format": 1, "settings": {"model"')
    (tmp_path / "old_run" / "run.json").write_text('{"format": 99, "settings": {}}')
    (tmp_path / "odd_run" / "run.json").write_text('{"format": 1, "settings": {"model": {}}}')
    (tmp_path / "odd_run" / "model.ckpt").write_bytes(b"\x80\x02}q\x00.")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "bad.bin").write_bytes(b"123")
    (tmp_path / "bad.yaml").write_text("a: [1, 2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUNS = ("half_run", "old_run", "odd_run")
JUNK = ("nothing", "empty", "text.txt", "empty.snnx", "bad.snnx", "bad.npz", "bad.bin", *RUNS)


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error)."""
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys: pytest.CaptureFixture[str], *argv: str, exit_code: int = 2) -> str:
    """The message of a command that must fail politely, in text and in JSON."""
    code, out, err = said(capsys, *argv)
    assert code == exit_code, (argv, out, err)
    assert err.startswith("["), err
    assert "Traceback" not in out + err
    assert "INTERNAL" not in out + err
    code, out, _ = said(capsys, *argv, "--json")
    assert code == exit_code
    body = json.loads(out)["error"]
    assert err.startswith(f"[{body['code']}]")
    assert body["what"]
    return err


# ----------------------------------------------------------------------------------------------------------------- help
@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"], []])
def test_help_lists_every_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == (0 if argv else 2)
    out = capsys.readouterr().out
    for name, text in COMMANDS.items():
        assert name in out
        assert text in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import snnkit

    assert said(capsys, "--version")[:2] == (0, f"snnkit {snnkit.__version__}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: snnkit {name}" in out
    assert "--json" in out
    assert "--debug" in out
    module = importlib.import_module(f"snnkit.cli.{name}")
    assert (module.__doc__ or "").split("\n")[0].split(".")[0] in out


# ---------------------------------------------------------------------------------------------------------- suggestions
@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["trian"], "'train'"),
        (["qickstart"], "'quickstart'"),
        (["verify", "x", "--josn"], "'--json'"),
        (["quickstart", "--smok"], "'--smoke'"),
        (["bench", "neuron"], "'neurons'"),
        (["recipes", "lst"], "'list'"),
        (["recipes", "show", "nmnist/lohi"], "'nmnist/loihi'"),
        (["emulate", "x.snnx", "--split", "tset"], "'test'"),
        (["export", "x", "--target", "lohi", "--out", "a.snnx"], "'loihi'"),
        (["check", "x", "--target", "lohi"], "'loihi'"),
        (["quickstart", "--target", "lohi"], "'loihi'"),
        (["replay", "--target", "lohi", "x.npz"], "'loihi'"),
        (["reproduce", "nmnist-loih"], "'nmnist-loihi'"),
        (["train", "saccade_digits/con"], "'saccade_digits/conv'"),
    ],
)
def test_did_you_mean(argv: list[str], hint: str, junk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(junk.rglob("*"))
    assert f"did you mean {hint}?" in refused(capsys, *argv)
    assert sorted(junk.rglob("*")) == before  # nothing was begun


# ------------------------------------------------------------------------------------------------------------ nonsense
@pytest.mark.parametrize("name", READERS)
def test_wrong_things_are_refused_with_a_word(name: str, junk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in JUNK:
        if name == "inspect" and path in ("odd_run", "old_run"):
            continue  # it says what it can
        assert path.removesuffix("_run") in refused(capsys, name, path)


@pytest.mark.parametrize("path", JUNK)
def test_wrong_things_for_commands_with_two_arguments(
    path: str, junk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, "export", path, "--target", "loihi", "--out", "new.snnx")
    refused(capsys, "validate", path, "empty.snnx")
    refused(capsys, "replay", "--target", "loihi", path)
    refused(capsys, "train", path)
    assert not (junk / "new.snnx").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["verify"],
        ["bench"],
        ["recipes"],
        ["recipes", "show"],
        ["train"],
        ["train", "--resume"],
        ["train", "bad.yaml"],
        ["check", "odd_run", "--target", ""],
        ["emulate", "bad.snnx", "--limit", "0"],
        ["emulate", "bad.snnx", "--batch", "0"],
        ["emulate", "bad.snnx", "--limit", "x"],
        ["validate", "odd_run", "bad.snnx", "--limit", "-1"],
        ["eval", "odd_run", "--threads", "0"],
        ["recipes", "copy", "nmnist/loihi", "text.txt/below.yaml"],
    ],
)
def test_wrong_use(argv: list[str], junk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, *argv)


# ------------------------------------------------------------------------------------------------- errors of every kind
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "a/b"), "OS", "a/b"),
        (OSError(28, "No space left on device"), "OS", "No space left"),
        (MemoryError("16 GiB"), "MEMORY", "16 GiB"),
        (ModuleNotFoundError("No module named 'tonic.io'", name="tonic.io"), "MISSING_PACKAGE", "'tonic'"),
        (ZeroDivisionError("division by zero"), "INTERNAL", "ZeroDivisionError: division by zero"),
    ],
)
def test_errors_that_are_not_ours(
    error: Exception, code: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnkit.cli import doctor

    def broken(args: Any) -> int:
        raise error

    monkeypatch.setattr(doctor, "run", broken)
    exit_code, out, err = said(capsys, "doctor")
    assert (exit_code, out) == (2, "")
    assert err.startswith(f"[{code}] ")
    assert words in err
    assert "Traceback" not in err
    exit_code, out, _ = said(capsys, "doctor", "--json")
    assert json.loads(out)["error"]["code"] == code
    exit_code, _, err = said(capsys, "doctor", "--debug")
    assert exit_code == 2
    assert "Traceback" in err
    assert f"[{code}] " in err


def test_findings_exit_with_1_and_are_all_in_the_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnkit.cli import doctor

    def broken(args: Any) -> int:
        raise FindingsError("no", [Finding("A", "x", "one", remedy="do"), Finding("B", "y", "two")])

    monkeypatch.setattr(doctor, "run", broken)
    code, _, err = said(capsys, "doctor")
    assert code == 1
    assert err.count("error ") == 2
    code, out, _ = said(capsys, "doctor", "--json")
    assert code == 1
    assert [f["code"] for f in json.loads(out)["error"]["findings"]] == ["A", "B"]


def test_interruption(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from snnkit.cli import doctor

    def broken(args: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", broken)
    assert said(capsys, "doctor") == (130, "", "stopped\n")


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """`snnkit recipes list | true` ends quietly."""
    script = f"{sys.executable} -m snnkit.cli.main --help | true"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "Traceback" not in done.stderr


# ----------------------------------------------------------------------------------------------------------------- json
@pytest.mark.parametrize(
    "argv", [["recipes", "list"], ["recipes", "show", "saccade_digits/conv"], ["reproduce"], ["doctor"]]
)
def test_json_of_commands_without_input(
    argv: list[str], junk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNNKIT_CACHE", str(junk / "cache"))
    code, out, _ = said(capsys, *argv, "--json")
    assert code == 0
    assert json.loads(out)


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    from snnkit.cli.common import print_json

    print_json({"a": float("nan"), "b": [1.0, float("inf")], "path": Path("x"), "t": (True, None)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.0, None], "path": "x", "t": [True, None]}


def test_the_entry_point_is_main() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'snnkit = "snnkit.cli.main:main"' in text
    assert callable(cli.main)


@pytest.mark.parametrize(
    ("chosen", "seen"),
    [
        ({}, ["1", "10000"]),
        ({"THP_MEM_ALLOC_ENABLE": "0", "GOMP_SPINCOUNT": "0"}, ["0", "0"]),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, ["1", "None"]),
    ],
)
def test_huge_pages_and_short_spinning_are_set_before_torch_loads(chosen: dict[str, str], seen: list[str]) -> None:
    """Torch and its OpenMP read the variables while they load; what the user has set stays."""
    script = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(*(os.environ.get(name) for name in ("THP_MEM_ALLOC_ENABLE", "GOMP_SPINCOUNT")), flush=True)
            os._exit(7)  # torch is not loaded, which takes seconds

sys.meta_path.insert(0, Watch())
from snnkit.cli.main import main
main(["models", "--json"])
"""
    names = ("THP_MEM_ALLOC_ENABLE", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    env = {k: v for k, v in os.environ.items() if k not in names} | {"PYTHONPATH": str(ROOT)} | chosen
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (7, seen), done.stderr
