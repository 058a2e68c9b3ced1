"""Operations counted by hooks against brute force over single synapses."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.errors import UsageError
from snnkit.nn.operations import ADD_PJ, MULTIPLY_PJ, OperationCounter, count_operations
from snnkit.nn.watch import fan_out

LAYERS = [
    (lambda: snn.Linear(6, 4), (6,)),
    (lambda: snn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 7)),
    (lambda: snn.Conv2d(2, 4, 3, padding=1), (2, 5, 6)),
    (lambda: snn.Conv2d(4, 4, 3, stride=2, groups=2, dilation=2, padding=2), (4, 7, 7)),
    (lambda: snn.Conv2d(3, 3, 2, groups=3, bias=False), (3, 4, 4)),
    (lambda: snn.Conv2d(2, 3, 3, padding=1, standardise=True), (2, 4, 4)),
    (lambda: snn.ConvTranspose2d(2, 3, 3, stride=2, padding=1), (2, 4, 4)),
    (lambda: snn.Conv3d(1, 2, 2), (1, 3, 3, 3)),
    (lambda: snn.OneToOne(5), (5,)),
]


@pytest.mark.parametrize(("make", "features"), LAYERS)
def test_fan_out_is_the_number_of_outputs_that_each_input_reaches(make, features) -> None:
    layer = make()
    with torch.no_grad():
        layer.weight.uniform_(0.5, 1.5)
        if isinstance(layer, snn.Conv2d) and layer.standardise:
            layer.weight.normal_()  # standardised weights are neither equal nor zero
        if layer.bias is not None:
            layer.bias.zero_()
        n = torch.Size(features).numel()
        one_by_one = torch.eye(n).view(1, n, *features)
        reached = (layer(one_by_one)[0].flatten(1) != 0).sum(1).view(features)
    assert torch.equal(fan_out(layer, features), reached.float())


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        snn.Conv2d(2, 3, 3, padding=1, bias=False), snn.BatchNorm(3), snn.LIF(tau=2.0, threshold=0.5),
        snn.AvgPool2d(2), snn.Flatten(), snn.Linear(27, 5), snn.CubaLIF(tau_syn=2.0, tau_mem=3.0, threshold=0.1),
        snn.Linear(5, 4), snn.LI(),
    )  # fmt: skip


def frames(steps: int = 4, batch: int = 3) -> torch.Tensor:
    return (torch.rand(steps, batch, 2, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.3).float()


@pytest.mark.parametrize("lengths", [None, torch.tensor([4, 1, 3])], ids=["full", "lengths"])
def test_synaptic_operations_against_brute_force(lengths: torch.Tensor | None) -> None:
    net, x = network().eval(), frames()
    inputs: dict[str, torch.Tensor] = {}
    h = x
    for name, layer in net.named_children():
        inputs[name] = h.detach()
        h = layer(h)
    got = {layer.path: layer for layer in count_operations(net, x, lengths).layers}
    valid = torch.ones(4, 3) if lengths is None else (torch.arange(4)[:, None] < lengths).float()
    for name in ("0", "5", "7"):
        layer = net[int(name)]
        operations = multiplications = values = nonzero = 0.0
        for t in range(4):
            for b in range(3):
                if not valid[t, b]:
                    continue
                v = inputs[name][t, b]
                reach = fan_out(layer, tuple(v.shape))
                operations += float(((v != 0) * reach).sum())
                multiplications += float((((v != 0) & (v != 1)) * reach).sum())
                values, nonzero = values + v.numel(), nonzero + float((v != 0).sum())
        assert got[name].synaptic_operations == pytest.approx(operations / 3)
        assert got[name].multiplications == pytest.approx(multiplications / 3)
        assert got[name].activity == pytest.approx(nonzero / values)
        assert got[name].energy_pj == pytest.approx((operations * ADD_PJ + multiplications * MULTIPLY_PJ) / 3)
        assert got[name].energy_memory_pj > got[name].energy_pj
        assert got[name].parameters == sum(p.numel() for p in layer.parameters())
    assert got["0"].multiplications == 0  # binary frames
    assert got["5"].multiplications > 0  # averages of four spikes
    per_sample = float(valid.sum()) / 3
    assert got["2"].updates == pytest.approx(108 * per_sample)
    assert (got["2"].states, got["6"].states) == (1, 2)


def test_dense_macs_and_totals_over_batches() -> None:
    net, x = network().eval(), frames()
    counter = OperationCounter(net)
    with torch.no_grad():
        for part in x.split(1, dim=1):
            with counter.watch():
                net(part)
    one, whole = counter.result(), count_operations(net, x)
    for a, b in zip(one.layers, whole.layers):
        assert asdict(a) == pytest.approx(asdict(b))
    assert (one.samples, one.steps) == (whole.samples, whole.steps) == (3, 4.0)
    got = {layer.path: layer for layer in whole.layers}
    assert got["5"].dense_macs == 4 * 27 * 5
    assert whole.total().parameters == sum(p.numel() for p in net.parameters())
    assert whole.total().synaptic_operations <= whole.total().dense_macs


def test_a_recurrent_synapse_counts_its_own_spikes() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(snn.Linear(6, 5), snn.Recurrent(snn.LIF(threshold=0.3), snn.Linear(5, 5, bias=False)))
    x = torch.rand(7, 2, 6)
    with torch.no_grad():
        spikes = net(x)
    for lengths in (None, torch.tensor([3, 7])):
        n = torch.tensor([7, 7]) if lengths is None else lengths
        heard = sum(
            float(spikes[: int(k) - 1, b].sum()) for b, k in enumerate(n)
        )  # those of the last step come too late
        got = {layer.path: layer for layer in count_operations(net, x, lengths).layers}
        assert got["1.synapse"].synaptic_operations == pytest.approx(5 * heard / 2)


def test_unknown_layers_with_weights_are_named_and_nothing_is_an_error() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.w

    found = count_operations(nn.Sequential(snn.Linear(4, 3), Own(), snn.LIF()), torch.ones(2, 1, 4))
    assert found.uncounted == ["1"]
    with pytest.raises(UsageError, match="no operations"):
        OperationCounter(nn.Sequential(snn.LIF())).result()


def test_attention_is_named_as_not_counted() -> None:
    same = torch.nn.Identity()
    model = torch.nn.Sequential(snn.Attention(snn.Conv1d(4, 4, 1), same, same, heads=2), snn.LIF())
    counted = snn.count_operations(model, (torch.rand(3, 2, 4, 5) < 0.5).float())
    assert counted.uncounted == ["0"]
    assert [layer.path for layer in counted.layers if layer.dense_macs] == ["0.query"]
