"""Kernels in forked workers, and under torch.compile."""

from __future__ import annotations

import multiprocessing
import warnings
from typing import Any

import pytest
import torch

from snnkit import nn as snn


def _child(queue: Any, x: torch.Tensor) -> None:
    # numpy sums: torch's own thread pool does not survive a fork, ours has to
    queue.put(snn.LIF()(x).numpy().sum().item())


def test_a_forked_child_runs_kernels() -> None:
    """After the parent's threads ran a kernel, a forked child still can."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        x = torch.randn(4, 2, 20_000)
        expected = snn.LIF()(x).numpy().sum().item()
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking a process that has threads
            child = context.Process(target=_child, args=(queue, x), daemon=True)
            child.start()
        assert queue.get(timeout=30) == expected
        child.join(timeout=30)
        assert child.exitcode == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore")
def test_torch_compile_sees_one_operator() -> None:
    """The whole model is one graph, with the neuron as a single node, for changing batch sizes."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(snn.Linear(6, 5), snn.LIF(learn_decay=True), snn.Linear(5, 3), snn.LI())
    nodes: list[str] = []

    def backend(graph: Any, inputs: Any) -> Any:
        nodes.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    compiled = torch.compile(model, backend=backend, fullgraph=True)
    for batch in (2, 3):
        x = torch.randn(4, batch, 6)
        torch.testing.assert_close(compiled(x), model(x))
    assert "snnkit.lif.default" in nodes


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_keeps_its_states_in_a_run() -> None:
    """Where torch.compile cannot follow the states it falls back, it does not lose them."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(snn.Linear(6, 5), snn.LIF(tau=5.0))
    compiled: Any = torch.compile(model, backend="eager")
    x = torch.rand(6, 2, 6)
    compiled(x)
    parts = torch.cat([out for out, _ in snn.stream(compiled, x.split(2))])
    assert torch.equal(parts, model(x))
