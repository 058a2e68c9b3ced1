"""Read-out rules and losses against plain loops over samples and steps."""

from __future__ import annotations

import math

import pytest
import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError
from snnkit.training import (
    READOUTS,
    ClassificationLoss,
    first_spike_time,
    predict,
    regression,
    scores,
    van_rossum,
)

T, B, C = 7, 5, 4


@pytest.fixture
def out() -> torch.Tensor:
    return torch.randn(T, B, C, generator=torch.Generator().manual_seed(0))


LENGTHS = torch.tensor([7, 1, 3, 5, 2])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("how", ["count", "mean", "max", "last", "first"])
def test_scores_by_definition(out: torch.Tensor, how: str, lengths: torch.Tensor | None) -> None:
    z = scores(out, how, lengths)
    for b in range(B):
        n = T if lengths is None else int(lengths[b])
        part = out[:n, b]
        expected = {
            "count": part.sum(0),
            "mean": part.mean(0),
            "max": part.amax(0),
            "last": part[-1],
            "first": torch.full((C,), float(n)),  # every value counts as a spike, at step 0
        }[how]
        torch.testing.assert_close(z[b], expected)


@pytest.mark.parametrize("name", READOUTS)
def test_steps_beyond_the_length_do_not_matter(out: torch.Tensor, name: str) -> None:
    y = torch.tensor([0, 1, 2, 3, 0])
    loss = ClassificationLoss(name, label_smoothing=0.1)
    polluted = out.clone()
    for b, n in enumerate(LENGTHS):
        polluted[n:, b] = 1e6
    clean, z = loss(out, y, LENGTHS)
    dirty, z_dirty = loss(polluted, y, LENGTHS)
    assert torch.equal(z, z_dirty)
    assert torch.equal(clean, dirty)


def test_gradient_reaches_valid_steps_only(out: torch.Tensor) -> None:
    y = torch.tensor([0, 1, 2, 3, 0])
    x = out.clone().requires_grad_()
    ClassificationLoss("mean_membrane_cross_entropy")(x, y, LENGTHS)[0].backward()
    assert x.grad is not None
    for b, n in enumerate(LENGTHS):
        assert bool((x.grad[n:, b] == 0).all())
        assert bool((x.grad[:n, b] != 0).any())


def test_rate_cross_entropy_by_hand() -> None:
    spikes = torch.zeros(4, 1, 2)
    spikes[:3, 0, 1] = 1
    loss, z = ClassificationLoss("rate_cross_entropy", scale=2.0)(spikes, torch.tensor([1]))
    assert z.tolist() == [[0.0, 3.0]]
    assert float(loss) == pytest.approx(-math.log(math.exp(1.5) / (1 + math.exp(1.5))))


def test_spike_count_mse_by_hand() -> None:
    spikes = torch.zeros(10, 1, 2)
    spikes[:6, 0, 0] = 1
    loss, _ = ClassificationLoss("spike_count_mse", correct_rate=0.9, wrong_rate=0.1)(spikes, torch.tensor([0]))
    assert float(loss) == pytest.approx(((0.6 - 0.9) ** 2 + 0.1**2) / 2)


def test_label_smoothing_by_hand(out: torch.Tensor) -> None:
    y = torch.tensor([0, 1, 2, 3, 0])
    loss, z = ClassificationLoss("last_membrane_cross_entropy", label_smoothing=0.2)(out, y)
    logp = torch.log_softmax(z, 1)
    expected = -(0.8 * logp[torch.arange(B), y] + 0.2 * logp.mean(1)).mean()
    torch.testing.assert_close(loss, expected)
    plain, _ = ClassificationLoss("last_membrane_cross_entropy", label_smoothing=0.2)(out, y, smooth=False)
    torch.testing.assert_close(plain, -logp[torch.arange(B), y].mean())


def test_ties_go_to_the_lowest_class() -> None:
    z = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, 0.0, 1.0]])
    assert predict(z).tolist() == [1, 0, 2]


def test_unknown_loss_is_named() -> None:
    with pytest.raises(ParameterError, match="did you mean 'rate_cross_entropy'"):
        ClassificationLoss("rate_crossentropy")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        {"label_smoothing": 1.0},
        {"scale": 0.0},
        {"correct_rate": 0.1, "wrong_rate": 0.2},
        {"tet_weight": 1.5},
        {"correct_time": 0.5, "wrong_time": 0.5},
    ],
)
def test_values_out_of_range(arguments: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        ClassificationLoss("spike_count_mse", **arguments)


def test_output_without_time_or_with_too_few_classes(out: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match=r"\[T, B, classes\]"):
        scores(out[0], "mean")
    with pytest.raises(ShapeError, match="4 outputs, the data have class 7"):
        ClassificationLoss("rate_cross_entropy")(out, torch.tensor([0, 1, 2, 3, 7]))


SPIKING = [name for name, how in READOUTS.items() if how in ("count", "first")]


def test_count_cross_entropy_by_hand() -> None:
    spikes = torch.zeros(4, 1, 2)
    spikes[:3, 0, 1] = 1
    loss, z = ClassificationLoss("count_cross_entropy", scale=0.5)(spikes, torch.tensor([1]))
    assert z.tolist() == [[0.0, 3.0]]
    assert float(loss) == pytest.approx(-math.log(math.exp(1.5) / (1 + math.exp(1.5))))


def test_tet_by_definition(out: torch.Tensor) -> None:
    y = torch.tensor([0, 1, 2, 3, 0])
    loss, z = ClassificationLoss("tet", scale=2.0, tet_weight=0.3, tet_target=0.5)(out, y, LENGTHS)
    total = 0.0
    for b in range(B):
        n = int(LENGTHS[b])
        for t in range(n):
            ce = -torch.log_softmax(2.0 * out[t, b], 0)[y[b]]
            total += float(0.7 * ce + 0.3 * (out[t, b] - 0.5).square().mean()) / n
    assert float(loss) == pytest.approx(total / B, rel=1e-5)
    torch.testing.assert_close(z, scores(out, "mean", LENGTHS))
    full, _ = ClassificationLoss("tet")(out, y)
    same, _ = ClassificationLoss("tet")(out, y, torch.full((B,), T))
    torch.testing.assert_close(full, same)


def spike_trains(steps: int = 6, batch: int = 40) -> torch.Tensor:
    return (torch.rand(steps, batch, 3, generator=torch.Generator().manual_seed(1)) < 0.3).float()


@pytest.mark.parametrize("lengths", [None, torch.arange(40) % 6 + 1], ids=["full", "lengths"])
def test_first_spike_time_and_gradient_by_definition(lengths: torch.Tensor | None) -> None:
    s = spike_trains().double().requires_grad_()
    time = first_spike_time(s, lengths)
    terms = []
    for b in range(s.shape[1]):
        n = s.shape[0] if lengths is None else int(lengths[b])
        silent = torch.ones(3, dtype=torch.float64)
        total = torch.zeros(3, dtype=torch.float64)
        for t in range(n):
            silent = silent * (1 - s[t, b])
            total = total + silent
        terms.append(total)
    expected = torch.stack(terms)
    assert torch.equal(time.detach().double(), expected.detach())
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (got,) = torch.autograd.grad((time * weight).sum(), s)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), s)
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)


def test_first_spike_scores_prefer_the_earliest_and_silence_scores_nothing() -> None:
    s = torch.zeros(5, 1, 4)
    s[3, 0, 0] = s[1, 0, 1] = s[1, 0, 2] = 1
    z = scores(s, "first")
    assert z.tolist() == [[2.0, 4.0, 4.0, 0.0]]
    assert predict(z).tolist() == [1]


def test_first_spike_mse_by_hand() -> None:
    s = torch.zeros(10, 1, 2)
    s[3, 0, 0] = 1
    loss, _ = ClassificationLoss("first_spike_mse", correct_time=0.1, wrong_time=0.9)(s, torch.tensor([0]))
    assert float(loss) == pytest.approx(((0.3 - 0.1) ** 2 + (1.0 - 0.9) ** 2) / 2)


@pytest.mark.parametrize("name", SPIKING)
def test_spike_losses_train_a_neuron_layer(name: str) -> None:
    """A few steps of descent lower each spike loss: the gradients point the right way."""
    torch.manual_seed(0)
    x = (torch.rand(12, 16, 20) < 0.3).float()
    y = torch.arange(16) % 4
    x[:, torch.arange(16), y] = 1.0
    net = torch.nn.Sequential(snn.Linear(20, 4), snn.LIF(tau=3.0))
    loss = ClassificationLoss(name)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    values = []
    for _ in range(40):
        value, _ = loss(net(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.8 * values[0]


def test_van_rossum_by_definition() -> None:
    a, b = spike_trains(), spike_trains().flip(1)
    lengths = torch.arange(40) % 6 + 1
    tau, total = 2.5, 0.0
    for k in range(40):
        f = torch.zeros(3)
        for t in range(int(lengths[k])):
            f = math.exp(-1 / tau) * f + a[t, k] - b[t, k]
            total += float(f.square().sum()) / tau
    assert float(van_rossum(a, b, tau, lengths)) == pytest.approx(total / 120, rel=1e-5)
    assert float(van_rossum(a, a, tau)) == 0.0
    lone = torch.zeros(200, 1, 1)
    lone[0] = 1
    assert float(van_rossum(lone, torch.zeros_like(lone), 20.0)) == pytest.approx(0.5, abs=0.03)


def test_van_rossum_pulls_a_spike_train_to_its_target() -> None:
    a = torch.zeros(8, 1, 1, requires_grad=True)
    target = torch.zeros(8, 1, 1)
    target[3] = 1
    (grad,) = torch.autograd.grad(van_rossum(a, target, 2.0), a)
    assert int(grad.argmin()) in (2, 3)  # a spike there lowers the distance most
    assert float(grad[3]) < 0


@pytest.mark.parametrize("kind", ["mse", "l1", "huber"])
def test_regression_by_definition(out: torch.Tensor, kind: str) -> None:
    error = {
        "mse": lambda d: d * d,
        "l1": abs,
        "huber": lambda d: d * d / 2 if abs(d) < 1 else abs(d) - 0.5,
    }[kind]
    target = torch.randn(T, B, C, generator=torch.Generator().manual_seed(3))
    values = [
        error(float(out[t, b, c] - target[t, b, c])) for b in range(B) for t in range(int(LENGTHS[b])) for c in range(C)
    ]
    got = regression(out, target, "each", kind, LENGTHS)  # type: ignore[arg-type]
    assert float(got) == pytest.approx(sum(values) / len(values), rel=1e-5)
    z = scores(out, "last", LENGTHS)
    got = regression(out, target[0], "last", kind, LENGTHS)  # type: ignore[arg-type]
    expected = sum(error(float(d)) for d in (z - target[0]).flatten()) / z.numel()
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_distances_refuse_what_does_not_fit(out: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="the target"):
        van_rossum(out, out[:3], 2.0)
    with pytest.raises(ParameterError, match="tau"):
        van_rossum(out, out, 0.0)
    with pytest.raises(ParameterError, match="did you mean 'huber'"):
        regression(out, out, "each", "hubber")  # type: ignore[arg-type]
    with pytest.raises(ShapeError):
        regression(out, out, "mean")
