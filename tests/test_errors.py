"""The error tree: stable codes, what-why-fix, exit codes."""

from __future__ import annotations

import pytest

from snnkit import errors
from snnkit.errors import FindingsError, SnnkitError, UsageError, did_you_mean
from snnkit.graph.findings import Finding, has_errors


def tree() -> list[type[SnnkitError]]:
    return [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, SnnkitError)]


def test_every_class_has_a_code_of_its_own_and_a_docstring() -> None:
    codes = [c.code for c in tree()]
    assert len(set(codes)) == len(codes) > 15
    for c in tree():
        assert c.code == c.code.upper()
        assert c.__doc__
        assert c.exit_code in (1, 2)
        assert c is SnnkitError or "code" in vars(c)
    assert [c.code for c in tree() if c.exit_code == 1] == ["FINDINGS"]


def test_text_and_plain_values() -> None:
    error = UsageError("--limit is 0", why="nothing would run", fix="give at least 1")
    assert str(error) == "[USAGE] --limit is 0\n  why: nothing would run\n  fix: give at least 1"
    assert str(UsageError("bad")) == "[USAGE] bad"
    assert error.to_dict() == {
        "code": "USAGE", "what": "--limit is 0", "why": "nothing would run", "fix": "give at least 1",
    }  # fmt: skip
    assert error.args == ("--limit is 0",)


def test_findings_are_all_in_the_message() -> None:
    found = [
        Finding("AXONS", "fc[3]", "too many", resource="axons", needed=5000, available=4096, remedy="fewer sources"),
        Finding("NOTE", "net", "by the way", severity="note"),
    ]
    text = str(FindingsError("net does not fit", found, fix="see above"))
    assert "error AXONS at fc[3]: too many (axons: needs 5,000, available 4,096) -> fewer sources" in text
    assert "note NOTE at net: by the way" in text
    assert text.endswith("fix: see above")
    assert FindingsError("x", found).exit_code == 1
    assert has_errors(found)
    assert not has_errors(found[1:])


@pytest.mark.parametrize(("word", "hint"), [("trian", "'train'"), ("TRAIN", ""), ("zzz", ""), ("", "")])
def test_did_you_mean(word: str, hint: str) -> None:
    assert hint in did_you_mean(word, ["train", "eval"])
    assert bool(did_you_mean(word, ["train", "eval"])) == bool(hint)
