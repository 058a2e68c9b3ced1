"""`snn.Sequential`: norm, LIF and pool in one kernel give what they give one by one, bit for bit."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.errors import ShapeError, StateError, UsageError
from snnkit.kernels import reference_only
from snnkit.kernels.state import state_dtype
from snnkit.nn import together
from snnkit.surrogate import SURROGATES, Smooth

Change = Callable[[nn.Sequential], None]


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The pools of the groups that ran together."""
    seen: list[Any] = []
    run = together.sequence

    def count(x: Tensor, *args: Any) -> Any:
        seen.append(args[5])
        return run(x, *args)

    monkeypatch.setattr(together, "sequence", count)
    return seen


def block(
    channels: int = 3, pool: Any = None, before: bool = False, norm: type[snn.BatchNorm] = snn.BatchNorm, **options: Any
) -> snn.Sequential:
    """norm – LIF, with a pool behind them or between, and parameters that differ from channel to channel."""
    layers: list[nn.Module] = [norm(channels), snn.LIF(**{"decay": 0.8, "threshold": 0.7} | options)]
    if pool is not None:
        layers.insert(1 if before else 2, snn.AvgPool2d(pool))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            values = torch.rand(channels, generator=generator) + (0.5 if name in ("weight", "running_var") else -0.3)
            getattr(layers[0], name).copy_(values)
    return snn.Sequential(*layers)


def one_by_one(model: snn.Sequential) -> nn.Sequential:
    return nn.Sequential(*copy.deepcopy(list(model))).train(model.training)


def last(x: Tensor) -> Tensor:
    """The same values with the channels last in memory."""
    return x.permute(0, 1, *range(3, x.dim()), 2).contiguous().permute(0, 1, -1, *range(2, x.dim() - 1))


def everything(model: nn.Module, x: Tensor, states: Any = None) -> tuple[list[Tensor], list[Tensor]]:
    """(output, final states and what the model keeps), (gradients of input, states and parameters)."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    if states is None:
        outputs, held = [model(x)], []
    else:
        out, final = snn.run(model, x, states)
        outputs, held = [out, *(t for state in final.values() for t in state)], [s.v for s in states.values()]
    generator = torch.Generator().manual_seed(1)
    loss = sum((torch.randn(t.shape, generator=generator).to(t) * t).sum() for t in outputs if t.is_floating_point())
    gradients = torch.autograd.grad(loss, [x, *held, *model.parameters()])  # type: ignore[arg-type]
    return [*outputs, *model.state_dict().values()], list(gradients)


def assert_equal(found: list[Tensor], expected: list[Tensor], tolerance: float = 0.0) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


@settings(max_examples=40)
@given(data=st.data())
def test_equal_to_the_layers_one_by_one(data: st.DataObject) -> None:
    """Outputs, states, running statistics, and the gradients of everything."""
    draw = data.draw
    pool = draw(st.sampled_from([None, 1, 2, 3, (3, 2), (1, 4)]))
    high, wide = pool if isinstance(pool, tuple) else (pool or 1, pool or 1)
    size = (high * draw(st.integers(1, 4)), wide * draw(st.integers(1, 4)))
    steps, batch, channels = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 9))
    train = draw(st.booleans()) and steps * batch * size[0] * size[1] > 1
    shared = draw(st.booleans())
    model = block(
        channels,
        pool,
        draw(st.booleans()),
        draw(st.sampled_from([snn.BatchNorm, snn.ThresholdBatchNorm])),
        reset=draw(st.sampled_from(["zero", "subtract"])),
        detach_reset=draw(st.booleans()),
        refractory=draw(st.integers(0, 2)),
        surrogate=draw(st.sampled_from(list(SURROGATES))),
        learn_decay=draw(st.booleans()),
        learn_threshold=draw(st.booleans()),
        shape=None if shared else (channels,),
    )
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    model = model.to(state_dtype(torch.empty(0, dtype=dtype))).train(train)
    x = torch.randn(steps, batch, channels, *size, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    x = x.to(dtype) * 2
    channels_last = draw(st.booleans())
    x = last(x) if channels_last else x
    states = None
    if not train and draw(st.booleans()):
        _, states = snn.run(one_by_one(model), x)
        states = {k: s._replace(v=(s.v * 1.1).detach().requires_grad_()) for k, s in states.items()}
    other = one_by_one(model)
    (values, gradients), (expected, other_gradients) = everything(model, x, states), everything(other, x, states)
    assert_equal(values, expected)
    # of single pixels torch's norm adds up in an order that depends on strides which mean nothing
    rounding = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 1e-2}[dtype]
    assert_equal(gradients, other_gradients, rounding if channels_last and size == (1, 1) else 0.0)


@pytest.mark.parametrize("before", [False, True])
def test_one_kernel_runs_where_it_can(fused: list[Any], before: bool) -> None:
    """Larger than one block, in both orders of memory, without gradients, and for inputs without pixels."""
    model = block(5, 2, before)
    x = torch.randn(4, 3, 5, 22, 30)
    for each in (x, last(x)):
        other = one_by_one(model)
        out, expected = model(each), other(each)
        assert torch.equal(out, expected)
        assert out.stride() == expected.stride()
    with torch.no_grad():
        model.eval()(x)
    with torch.inference_mode():
        model(x)
    assert [pool.before for pool in fused] == [before] * 4
    fused.clear()
    assert torch.equal(block()(torch.ones(3, 2, 3)), one_by_one(block())(torch.ones(3, 2, 3)))
    assert fused == [None]


def test_a_whole_network_and_its_training(fused: list[Any]) -> None:
    """Some steps of a convolutional network end in the same bits."""
    torch.manual_seed(0)
    layers = [snn.Conv2d(2, 4, 3, padding=1), snn.BatchNorm(4), snn.LIF(), snn.AvgPool2d(2)]
    layers += [snn.Residual(snn.Conv2d(4, 4, 3, padding=1), snn.BatchNorm(4), snn.LIF()), snn.Flatten()]
    mine = snn.Sequential(*layers, snn.Linear(64, 3))
    other = nn.Sequential(*copy.deepcopy(list(mine)))
    x = (torch.rand(5, 2, 2, 8, 8) < 0.3).float()
    for model in (mine, other):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    assert mine.state_dict().keys() == other.state_dict().keys()
    assert_equal(list(mine.state_dict().values()), list(other.state_dict().values()))
    assert len(fused) == 3 * 3  # the residual body of `other` is one of ours too


HOOKS: dict[str, Change] = {
    "forward hook": lambda m: m[0].register_forward_hook(lambda *_: None) and None,
    "pre-hook": lambda m: m[1].register_forward_pre_hook(lambda *_: None) and None,
    "backward hook": lambda m: m[1].register_full_backward_hook(lambda *_: None) and None,
    "own forward": lambda m: setattr(m[1], "forward", m[1].forward),
    "another neuron": lambda m: m.__setitem__(1, snn.CubaLIF()),
    "own surrogate": lambda m: setattr(m[1], "surrogate", Smooth(m[1].surrogate)),
    "other precision": lambda m: m[0].double() and None,
}


@pytest.mark.parametrize("name", list(HOOKS))
def test_layers_that_are_watched_or_changed_run_alone(fused: list[Any], name: str) -> None:
    model = block(pool=2).eval()
    HOOKS[name](model)
    x = torch.randn(3, 2, 3, 4, 4)
    if name != "other precision":
        assert torch.equal(model(x), one_by_one(model)(x))
    else:
        with pytest.raises(RuntimeError):
            model(x)
    assert not fused


def test_a_watched_pool_runs_behind_norm_and_neuron(fused: list[Any]) -> None:
    model, seen = block(pool=2), []
    model[2].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.randn(3, 2, 3, 5, 4)
    model(x)
    assert fused == [None]
    assert torch.equal(seen[0], one_by_one(block())(x))
    fused.clear()
    assert torch.equal(block(pool=2)(x), one_by_one(block(pool=2))(x))  # 5 rows are no whole number of windows
    assert fused == [None]


def test_recording_sees_every_layer(fused: list[Any]) -> None:
    model, x = block(pool=2), torch.randn(4, 2, 3, 4, 4)
    with snn.record(model, v=True) as rec:
        out = model(x)
    assert torch.equal(nn.functional.avg_pool2d(rec.spikes["1"].flatten(0, 1), 2).unflatten(0, (4, 2)), out)
    with reference_only():
        model(x)
    assert not fused
    assert torch.equal(torch.func.vmap(model.eval())(x[None]), model(x)[None])
    assert len(fused) == 1


def test_streams_and_errors_are_those_of_the_layers(fused: list[Any]) -> None:
    model, x = block(pool=2, refractory=1).eval(), torch.randn(7, 2, 3, 4, 4)
    chunks = [out for out, _ in snn.stream(model, x.split(3))]
    assert torch.equal(torch.cat(chunks), model(x))
    assert len(fused) == 4
    with pytest.raises(StateError, match="part of a sequence"):
        list(snn.stream(model.train(), x.split(3)))
    with pytest.raises(ShapeError, match="more than one value"):
        model(x[:1, :1, :, :1, :1])
    with pytest.raises(ShapeError, match="3 channels"):
        model(x[:, :, :2])
    with pytest.raises(StateError, match="shape"):
        snn.run(model.eval(), x, {"1": model[1].initial_state(x[:, :1])})
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    with pytest.raises(UsageError, match="second derivatives"):
        gradient.sum().backward()


def test_no_threads_and_no_copy_change_anything() -> None:
    model, x = block(8, 2), torch.randn(6, 4, 8, 32, 32)
    before = torch.get_num_threads()
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), model]
    try:
        results = []
        for other, threads in zip(copies, (1, 2, 2)):
            torch.set_num_threads(threads)
            results.append(everything(other, x))
    finally:
        torch.set_num_threads(before)
    for values, gradients in results[1:]:
        assert_equal(values, results[0][0])
        assert_equal(gradients, results[0][1])


def test_what_is_no_number_stays_visible() -> None:
    x = torch.randn(3, 2, 3, 4, 4)
    x[1, 0, 0, 0, 0], x[0, 1, 1, 1, 1] = float("nan"), float("inf")
    for model in (block(pool=2), block(pool=2).eval()):
        out = model(x)
        assert out.isnan().any()
        torch.testing.assert_close(out, one_by_one(model)(x), rtol=0, atol=0, equal_nan=True)


def test_smooth_spikes_by_finite_differences() -> None:
    """The layers one by one, to which the kernel is equal above, in float64 with spikes that have a derivative."""
    model = block(2, 2, learn_decay=True, learn_threshold=True).double()
    model[1].surrogate = Smooth(model[1].surrogate)
    x = torch.randn(3, 2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in model.named_parameters()]

    def run(x: Tensor, *values: Tensor) -> Any:
        return torch.func.functional_call(model, dict(zip(names, values)), (x,))

    assert torch.autograd.gradcheck(run, (x, *model.parameters()), nondet_tol=0)
