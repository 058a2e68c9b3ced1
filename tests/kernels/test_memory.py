"""Kept memory: reused, bounded, given back, and never shared between tensors in use."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from snnkit import nn as snn
from snnkit.kernels import memory, reference_only, release_memory

SIZE = memory.WORTH // 4  # float32 elements of the smallest tensor that is kept

pytestmark = pytest.mark.skipif(not hasattr(memory.mmap, "MAP_ANONYMOUS"), reason="no anonymous maps on this system")


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 64 << 20)
    gc.collect()
    release_memory()
    yield
    gc.collect()
    release_memory()


def test_a_freed_tensor_s_memory_serves_the_next() -> None:
    x = torch.zeros(SIZE)
    a = memory.output_like(x)
    address = a.data_ptr()
    assert memory.kept() == 0
    del a
    assert memory.kept() >= memory.WORTH
    b = memory.output_like(x)
    assert b.data_ptr() == address
    assert memory.kept() == 0


def test_tensors_in_use_never_share_memory() -> None:
    x = torch.zeros(SIZE)
    tensors = [memory.output_like(x).fill_(k) for k in range(4)]
    view = tensors[0][10:]  # a view alone keeps the memory
    tensors[0] = memory.output_like(x).fill_(9)
    for k, expected in enumerate([9, 1, 2, 3]):
        assert (tensors[k] == expected).all()
    assert (view == 0).all()
    assert memory.kept() == 0


def test_shape_and_dtype_are_the_input_s() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(3, SIZE // 2, dtype=dtype)
        out = memory.output_like(x)
        assert (out.shape, out.dtype, out.is_contiguous()) == (x.shape, dtype, True)
        out.fill_(1)
    small = memory.output_like(torch.zeros(5))
    del small
    assert memory.kept() > 0  # the two above, not the small one


def test_kept_memory_is_bounded_and_can_be_released() -> None:
    x = torch.zeros(SIZE)
    tensors = [memory.output_like(x) for _ in range(memory.limit() // memory.WORTH + 8)]
    tensors.clear()
    assert memory.limit() - 2 * memory.WORTH <= memory.kept() <= memory.limit()
    kept = memory.kept()
    assert release_memory() == kept
    assert memory.kept() == 0


def test_a_much_larger_region_is_not_spent_on_a_small_tensor() -> None:
    big = memory.output_like(torch.zeros(4 * SIZE))
    address = big.data_ptr()
    del big
    small = memory.output_like(torch.zeros(SIZE))
    assert small.data_ptr() != address
    again = memory.output_like(torch.zeros(4 * SIZE))
    assert again.data_ptr() == address


def test_the_limit_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    memory.limit.cache_clear()
    monkeypatch.setenv("SNNKIT_KEEP_MIB", "0")
    try:
        out = memory.output_like(torch.zeros(SIZE))
        del out
        assert memory.kept() == 0
    finally:
        memory.limit.cache_clear()


def test_threads_may_free_what_others_made() -> None:
    x = torch.zeros(SIZE)
    wrong: list[int] = []

    def work(value: int) -> None:
        for _ in range(25):
            out = memory.output_like(x).fill_(value)
            if not bool((out == value).all()):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("layer", [snn.LIF(tau=3.0), snn.CubaLIF(tau_syn=2.0, tau_mem=4.0), snn.LI(tau=3.0)])
def test_training_steps_on_kept_memory_give_the_reference_s_values(layer: torch.nn.Module) -> None:
    torch.manual_seed(0)
    for _ in range(3):  # from the second on, every output lies where an earlier one lay
        x = torch.randn(4, 2, SIZE // 8 + 3).requires_grad_()
        weight = torch.randn_like(x)
        out = layer(x)
        (grad,) = torch.autograd.grad((out * weight).sum(), x)
        with reference_only():
            expected = layer(x)
            (expected_grad,) = torch.autograd.grad((expected * weight).sum(), x)
        assert torch.equal(out, expected)
        torch.testing.assert_close(grad, expected_grad, rtol=1e-6, atol=1e-6)
        del out, grad
        assert memory.kept() > 0


def test_a_kernel_s_own_memory_is_asked_for_at_once() -> None:
    """What it had already would be lost, if a second time there were none."""
    files = sorted(Path(memory.__file__).parent.rglob("*.py"))
    functions = [part for file in files for part in re.split(r"^def |^@", file.read_text("utf-8"), flags=re.MULTILINE)]
    asked = [len(re.findall(r"[=,] allocate\(", function)) for function in functions]
    assert sum(asked) > 10
    assert max(asked) == 1


def test_an_expanded_state_compiles_nothing() -> None:
    from snnkit.kernels.lif import cpu

    layer, x = snn.LIF(), torch.rand(3, 2, 4)
    layer(x, layer.initial_state(x))
    known = len(cpu.forward.signatures)
    state = layer.initial_state(x)
    out, _ = layer(x, state._replace(v=torch.tensor(0.25).expand(2, 4)))
    assert torch.equal(out, layer(x, state._replace(v=torch.full((2, 4), 0.25)))[0])
    every_other = torch.full((8,), 1.0)[::2]
    assert torch.equal(snn.LIF(threshold=every_other)(x), layer(x))
    assert len(cpu.forward.signatures) == known


@pytest.mark.skipif(memory._library() is None, reason="not glibc")
def test_freed_memory_serves_the_next_tensor_of_torch() -> None:
    """In a process of its own: from then on freed tensors stay, and a limit of 0 keeps none."""
    script = """
import os, resource, torch
from snnkit.kernels import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(9 << 20).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
print(keep_freed_memory(), first, faults() and faults())
"""
    kept, given_back = (
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"SNNKIT_KEEP_MIB": size, "THP_MEM_ALLOC_ENABLE": "0"},
            capture_output=True, text=True, check=True,
        ).stdout.split()
        for size in ("200", "0")
    )  # fmt: skip
    assert kept[0] == "True"
    assert int(kept[2]) < int(kept[1]) // 10
    assert given_back[0] == "False"
    assert int(given_back[2]) > int(given_back[1]) // 2
