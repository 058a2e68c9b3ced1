"""Keeping freed memory: asked for, it is done on glibc; switched off, it is not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource
from snnkit._memory import keep_freed_memory

kept = keep_freed_memory()
import torch

size = 64 << 18  # 64 MiB of float32
torch.empty(size).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.empty(size).fill_(2)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's mallopt")
@pytest.mark.parametrize("wanted", ["1", "0"])
def test_a_freed_block_is_used_again_without_page_faults(wanted: str) -> None:
    env = {**os.environ, "SNNKIT_KEEP_MEMORY": wanted, "THP_MEM_ALLOC_ENABLE": "0"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env, check=True)
    kept, faults = done.stdout.split()
    assert kept == str(wanted == "1")
    if wanted == "1":
        assert int(faults) < 100
