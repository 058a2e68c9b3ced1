"""Where the replays of these tests run."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnkit.targets import fresh


@pytest.fixture
def fresh_process() -> None:
    """For a test whose replays run in a process of their own, as a user's do."""


@pytest.fixture
def in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replays run here, from the same files: another process would take a second to load. Not with `fresh_process`."""

    def run(order: Path, folder: Path) -> None:
        fresh._main(order)

    if "fresh_process" not in request.fixturenames:
        monkeypatch.setattr(fresh, "_in_a_process", run)
