"""`import snnkit.nn` is quick and brings nothing heavy with it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, time, torch
start = time.process_time()
import snnkit.nn
print(time.process_time() - start)
print([m for m in ("numba", "lightning", "tonic", "matplotlib", "torch._dynamo") if m in sys.modules])
"""


def test_import_is_quick_and_light() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    seconds, modules = done.stdout.splitlines()
    assert modules == "[]"
    assert float(seconds) < 0.3


def test_surrogates_import_without_torch() -> None:
    code = "import sys, snnkit.surrogate as s; s.get('arctan'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
