"""LIF in tiles of registers, alone and between norm and pool: large outputs that are streamed, tiles that do not fit,
and the threads that compute them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnkit import nn as snn
from snnkit.kernels import threads
from snnkit.kernels.lanes import FAR
from snnkit.surrogate import Arctan, Sigmoid

DECAYS: dict[type[torch.nn.Module], dict[str, float]] = {
    snn.LIF: {"decay": 0.9},
    snn.CubaLIF: {"decay_syn": 0.6, "decay_mem": 0.9},
}
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def both_ways(layer: torch.nn.Module, x: Tensor, up: Tensor) -> list[Tensor]:
    """Spikes and gradients of the input and of the parameters."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    y.backward(up)
    assert x.grad is not None
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters() if p.grad is not None)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("rest", [0, 32, 61])
@pytest.mark.parametrize("neuron", [snn.LIF, snn.CubaLIF])
def test_a_streamed_output_has_the_values_of_its_parts(
    dtype: torch.dtype, reset: str, rest: int, neuron: type[torch.nn.Module]
) -> None:
    """What is too large for the caches and goes past them is, neuron by neuron, what small outputs have."""
    steps, parts = 6, 4
    width = parts * (FAR // dtype.itemsize // steps // parts // 64 * 64 + 64) + rest  # rows of whole lines, or not
    generator = torch.Generator().manual_seed(0)
    x, up = (torch.randn(steps, 1, width, generator=generator).to(dtype) for _ in range(2))
    assert x.numel() * dtype.itemsize >= FAR
    layer = neuron(**DECAYS[neuron], threshold=0.7, reset=reset)
    whole = both_ways(layer, x, up)
    size = width // parts
    for k in range(parts + 1):
        piece = slice(k * size, min((k + 1) * size, width))
        if piece.start >= width:
            continue
        small = both_ways(layer, x[..., piece].clone(), up[..., piece].clone())
        for a, b in zip(whole, small):
            assert torch.equal(a[..., piece], b)


@pytest.mark.parametrize("offset", [1, 5, 16])
def test_a_streamed_output_from_an_input_between_cache_lines(offset: int) -> None:
    width = FAR // 4 // 4 + 64
    memory = torch.randn(4 * width + offset, generator=torch.Generator().manual_seed(0))
    x = memory[offset:].view(4, 1, width)
    layer = snn.LIF(decay=0.9, threshold=0.7)
    for a, b in zip(both_ways(layer, x, x), both_ways(layer, x.clone(), x.clone())):
        assert torch.equal(a, b)


@settings(max_examples=40)
@given(
    st.integers(1, 9),
    st.sampled_from([1, 15, 31, 32, 33, 63, 64, 65, 127, 128, 200, 513, 777]),
    st.sampled_from(DTYPES),
    st.sampled_from([Arctan(), Sigmoid()]),
    st.booleans(),
    st.sampled_from([snn.LIF, snn.CubaLIF]),
)
def test_tiles_that_do_not_fit(
    steps: int,
    width: int,
    dtype: torch.dtype,
    surrogate: Arctan | Sigmoid,
    learns: bool,
    neuron: type[torch.nn.Module],
) -> None:
    """The last tile has some neurons for the second time, and few neurons have no tile: each neuron's values are those
    of the neuron alone."""
    generator = torch.Generator().manual_seed(width)
    x, up = (torch.randn(steps, 1, width, generator=generator).to(dtype) for _ in range(2))
    layer = neuron(**DECAYS[neuron], threshold=0.5, surrogate=surrogate, learn_decay=learns)
    together = both_ways(layer, x, up)
    for k in (0, width // 2, width - 1):
        alone = both_ways(layer, x[..., k : k + 1].clone(), up[..., k : k + 1].clone())
        for a, b in zip(together[:2], alone[:2]):
            assert torch.equal(a[..., k : k + 1], b)


def frames(shape: tuple[int, ...], dtype: torch.dtype, last: bool) -> Tensor:
    x = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x = x.to(dtype)
    return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3) if last else x


SHAPES = [
    (5, 3, 32, 16, 16),
    (5, 3, 32, 8, 8),
    (4, 2, 16, 6, 8),  # whole windows of a block, or not
    (3, 2, 5, 4, 6),  # too narrow, too few channels
    (4, 2, 48, 4, 4),  # blocks that begin in the middle of the channels
    (3, 1, 1, 2, 2),
    (2, 2, 8, 32, 64),
    (4, 2, 4, 4, 24),
    (4, 3, 64, 10, 12),
]


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", [*SHAPES, (8, 8, 16, 40, 48), (12, 8, 16, 64, 64)])
def test_norm_lif_and_pool_in_a_tile_are_the_layers(
    pooled: bool, dtype: torch.dtype, last: bool, shape: tuple[int, ...]
) -> None:
    layers = [snn.BatchNorm(shape[2]), snn.LIF(decay=0.9, threshold=0.5), *([snn.AvgPool2d(2)] if pooled else [])]
    if dtype == torch.float64:
        layers = [layer.double() for layer in layers]
    x = frames(shape, dtype, last)
    up = torch.randn(*shape[:3], *(n // (2 if pooled else 1) for n in shape[3:]), generator=torch.Generator())
    results = []
    for block in (snn.Sequential(*layers), torch.nn.Sequential(*layers)):
        results.append(both_ways(block, x, up.to(dtype)))
        layers[0].reset_running_stats()  # type: ignore[operator]
    for a, b in zip(*results):
        assert torch.equal(a, b)


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 17, 33])
@pytest.mark.parametrize("side", [(1, 2), (2, 4), (3, 5), (8, 8)])
def test_statistics_of_channels_have_the_bits_of_torch(channels: int, side: tuple[int, int]) -> None:
    x = torch.randn(6, channels, *side, generator=torch.Generator().manual_seed(1)) * 3 + 1
    ours, theirs = snn.BatchNorm(channels), torch.nn.BatchNorm2d(channels)
    assert torch.equal(ours(x.unflatten(0, (3, 2))).flatten(0, 1), theirs(x))
    for name in ("running_mean", "running_var"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))


def _needs_a_team() -> None:
    if torch.get_num_threads() == 1:
        pytest.skip("one thread")
    if not threads.team(lambda: None, 2):
        pytest.skip("torch has no OpenMP library with GNU's interface here")


@pytest.mark.parametrize("caller", [True, False])
def test_a_team_raises_what_one_of_it_raises(caller: bool) -> None:
    _needs_a_team()
    me = threading.get_ident()
    called, done = [], threading.Event()

    def work() -> None:
        called.append(threading.get_ident())
        if (threading.get_ident() == me) == caller:
            done.set()
            raise KeyboardInterrupt
        done.wait(10)

    with pytest.raises(KeyboardInterrupt):
        threads.team(work, 2)
    assert len(called) == 2
    assert threads.team(called.clear, 2)  # and the next one is as good as new


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no such timer")
def test_a_signal_is_not_lost_in_a_team() -> None:
    _needs_a_team()

    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    def work() -> None:
        end = time.perf_counter() + 2e-4
        while time.perf_counter() < end:
            pass

    before, lost, seen = signal.signal(signal.SIGALRM, ring), 0, 0
    try:
        for k in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + 2e-6 * k)
                threads.team(work, 2)
                while signal.getitimer(signal.ITIMER_REAL)[0] > 0:
                    pass
                time.sleep(1e-4)  # by now its handler has run
                lost += 1
            except Alarm:
                seen += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (lost, seen) == (0, 300)


@pytest.mark.parametrize("many", [1, 2, 5])
@pytest.mark.parametrize("team", [True, False])
def test_every_block_is_computed_once(many: int, team: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_processors", lambda: many)
    before = torch.get_num_threads()
    torch.set_num_threads(many)
    try:
        if not team:
            monkeypatch.setattr(threads, "team", lambda work, threads: False)
        seen: list[int] = []
        threads.run_blocks(lambda first, last, block: seen.extend(range(first, last)), 1000, 10_000)
        assert sorted(seen) == list(range(len(seen)))
        assert len(seen) * threads.block_size(1000, 10_000, many) >= 10_000
    finally:
        torch.set_num_threads(before)


PROGRAMS = {
    "as it was": """
import os, torch
from snnkit import nn as snn
torch.set_num_threads(2)
x = torch.randn(8, 1, 400_000)
expected = snn.LIF(decay=0.9)(x).numpy()
child = os.fork()
if child == 0:
    os._exit(0 if (snn.LIF(decay=0.9)(x).numpy() == expected).all() else 1)
""",
    "that imports the package itself": """
import os, torch
torch.set_num_threads(2)
x = torch.randn(8, 1, 400_000)
(x + x).sum()
child = os.fork()
if child == 0:
    from snnkit import nn as snn
    os._exit(0 if snn.LIF(decay=0.9)(x).shape == x.shape else 1)
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.parametrize("which", PROGRAMS)
def test_a_forked_process_has_threads_of_its_own(which: str) -> None:
    program = PROGRAMS[which] + "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0
