"""Read-out rules and losses against plain loops over samples and steps."""

from __future__ import annotations

import math

import pytest
import torch

from snnkit.errors import ParameterError, ShapeError
from snnkit.training import READOUTS, ClassificationLoss, predict, scores

T, B, C = 7, 5, 4


@pytest.fixture
def out() -> torch.Tensor:
    return torch.randn(T, B, C, generator=torch.Generator().manual_seed(0))


LENGTHS = torch.tensor([7, 1, 3, 5, 2])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("how", ["count", "mean", "max", "last"])
def test_scores_by_definition(out: torch.Tensor, how: str, lengths: torch.Tensor | None) -> None:
    z = scores(out, how, lengths)
    for b in range(B):
        n = T if lengths is None else int(lengths[b])
        part = out[:n, b]
        expected = {"count": part.sum(0), "mean": part.mean(0), "max": part.amax(0), "last": part[-1]}[how]
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
    "arguments", [{"label_smoothing": 1.0}, {"scale": 0.0}, {"correct_rate": 0.1, "wrong_rate": 0.2}]
)
def test_values_out_of_range(arguments: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        ClassificationLoss("spike_count_mse", **arguments)


def test_output_without_time_or_with_too_few_classes(out: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match=r"\[T, B, classes\]"):
        scores(out[0], "mean")
    with pytest.raises(ShapeError, match="4 outputs, the data have class 7"):
        ClassificationLoss("rate_cross_entropy")(out, torch.tensor([0, 1, 2, 3, 7]))
