"""What tests of several modules here share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="package", autouse=True)
def _interpreter(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str] | None]:
    """The program `interpreted`, where a test wants what it says: it runs beside the tests before that one."""
    if not any("interpreted" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    env = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen(
        [sys.executable, "-m", "kernels.interpreted"],
        cwd=Path(__file__).parents[1],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.fixture(scope="package")
def interpreted(_interpreter: subprocess.Popen[str]) -> dict[str, Any]:
    """What the program `interpreted` says, which runs once."""
    out, errors = _interpreter.communicate()
    assert _interpreter.returncode == 0, errors
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def triton_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Kernels are compiled here and now, whatever was compiled before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield
