"""Networks of spikingjelly as networks of snnkit: equal spikes, layer by layer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snnkit import nn as snn
from snnkit.errors import ConversionError
from snnkit.export import to_graph
from snnkit.nn.convert.spikingjelly_steps import SpikingjellyNeuron

pytest.importorskip("spikingjelly", reason="spikingjelly is not installed")

from spikingjelly.activation_based import functional, layer, neuron, surrogate


def lively(net: nn.Module, mean: float = 3.0, spread: float = 3.0) -> nn.Module:
    """With weights that make the neurons of deep layers fire too, and norms that do something."""
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() > 1:
                fan_in = p[0].numel()
                p.normal_(mean / fan_in, spread / fan_in**0.5)
        for m in net.modules():
            if isinstance(m, nn.modules.batchnorm._BatchNorm):
                m.running_mean.uniform_(-0.3, 0.3)
                m.running_var.uniform_(0.5, 1.5)
                if m.affine:
                    m.weight.uniform_(0.5, 2.0)
                    m.bias.uniform_(-0.5, 0.5)
    return net


def dense(mode: str = "m", seed: int = 0) -> nn.Module:
    """The default neuron of spikingjelly, one with another tau, a parametric one."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        layer.Linear(120, 96),
        neuron.LIFNode(),
        layer.Linear(96, 64),
        neuron.LIFNode(tau=3.0, surrogate_function=surrogate.ATan(), detach_reset=True),
        nn.Sequential(layer.Dropout(0.2), layer.Linear(64, 48), neuron.ParametricLIFNode(init_tau=2.5)),
        layer.Linear(48, 20),
        neuron.LIFNode(v_reset=None, decay_input=False),
        layer.VotingLayer(2),
    )
    functional.set_step_mode(net, mode)
    return lively(net)


def conv(seed: int = 0) -> nn.Module:
    """Containers, norms, pools; torch's own layers inside SeqToANNContainer."""
    torch.manual_seed(seed + 1)
    net = nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)),
        neuron.LIFNode(step_mode="m"),
        layer.MaxPool2d(2, step_mode="m"),
        layer.Conv2d(8, 12, 3, step_mode="m"),
        layer.ThresholdDependentBatchNorm2d(1.0, 1.0, 12),
        neuron.IFNode(step_mode="m"),
        layer.SeqToANNContainer(nn.AvgPool2d(2), nn.Flatten()),
        layer.Linear(12 * 9, 30, step_mode="m"),
        neuron.LIFNode(tau=4.0, v_reset=-0.25, step_mode="m"),
        layer.Linear(30, 10, bias=False, step_mode="m"),
        layer.MultiStepContainer(neuron.IFNode(v_reset=None)),
    )
    return lively(net)


def batch(*features: int, steps: int = 12, seed: int = 2) -> torch.Tensor:
    """Dense random values, [T, B, …]."""
    return torch.rand(steps, 16, *features, generator=torch.Generator().manual_seed(seed)) * 2


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("make", "features"), [(dense, (120,)), (conv, (2, 16, 16))])
def test_no_spike_differs(make: Any, features: tuple[int, ...], exact: bool) -> None:
    """Two networks, one convolutional, on dense input: no spike, in the fused layers and in the exact ones."""
    net = make().eval()
    model, report = snn.convert_from(net, batch(*features), exact=exact)
    spikes = [row for row in report.layers if row.differing is not None]
    assert len(spikes) == 4
    assert [row.differing for row in spikes] == [row.alone for row in spikes] == [0] * 4
    assert (report.differing, report.share, report.deviation) == (0, 0.0, 0.0)
    assert report.compared > 40_000
    rates = [float(out.mean()) for out in outputs(model, batch(*features), [row.path for row in spikes])]
    assert all(0.02 < rate < 0.9 for rate in rates), rates  # no layer is silent or saturated
    assert report.exact == exact
    assert exact == any(isinstance(m, SpikingjellyNeuron) for m in model.modules())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_spike_differs_in_eighty_networks() -> None:
    """Other weights and inputs: how rare a spike is that rounding decides otherwise."""
    compared = 0
    for seed in range(40):
        for make, features in ((dense, (120,)), (conv, (2, 16, 16))):
            for exact in (False, True):
                _, report = snn.convert_from(make(seed=seed).eval(), batch(*features, seed=seed), exact=exact)
                assert report.differing == 0
                compared += report.compared
    assert compared > 10_000_000


def outputs(model: nn.Module, x: torch.Tensor, paths: list[str]) -> list[torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in paths:
        model.get_submodule(path).register_forward_hook(lambda m, i, out, path=path: found.__setitem__(path, out))
    with torch.no_grad():
        model(x)
    return [found[path] for path in paths]


def test_networks_that_run_step_by_step() -> None:
    """step_mode "s" and a loop of one's own; the peer keeps the state and the mode it had."""
    net, x = dense("s").train(), batch(120)
    functional.reset_net(net)
    net(x[0])
    before = net[1].v.clone()
    model, report = snn.convert_from(net, x)
    assert report.differing == 0
    assert "step by step" in report.notes[0]
    assert torch.equal(net[1].v, before)
    assert net.training
    assert model.training
    assert not model.eval()[4][0].training


# ------------------------------------------------------------------------------------------------------------- neurons
MEMBRANE = st.sampled_from([0.0, None, -0.5, 0.25])


@st.composite
def neurons(draw: Any) -> nn.Module:
    kind = draw(st.sampled_from(["IFNode", "LIFNode", "ParametricLIFNode"]))
    settings = {"v_threshold": draw(st.sampled_from([0.5, 1.0, 1.7])), "v_reset": draw(MEMBRANE),
                "detach_reset": draw(st.booleans()), "step_mode": "m"}  # fmt: skip
    if kind != "IFNode":
        settings["decay_input"] = draw(st.booleans())
        settings["tau" if kind == "LIFNode" else "init_tau"] = draw(st.sampled_from([1.25, 1.5, 2.0, 3.0, 4.0, 10.0]))
    function = draw(st.sampled_from([surrogate.ATan(3.0), surrogate.Sigmoid(), surrogate.Rect(), surrogate.Erf(),
                                     surrogate.PiecewiseQuadratic(), surrogate.SuperSpike()]))  # fmt: skip
    return getattr(neuron, kind)(surrogate_function=function, **settings)


@given(neurons(), st.integers(0, 1000))
@settings(max_examples=25)
def test_exact_neurons_give_the_peers_bits_and_gradients(node: nn.Module, seed: int) -> None:
    """Spikes, membrane and gradients of `exact=True`; on values that lie on the threshold now and then too."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(10, 3, 40, generator=g) * 1.5 + 0.5
    x[..., :10] = (x[..., :10] * 4).round() / 4
    model, report = snn.convert_from(nn.Sequential(node), x, exact=True)
    assert report.exact
    assert report.differing == 0
    theirs, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    functional.reset_net(node)
    weight = torch.randn(x.shape, generator=g)
    (node(theirs) * weight).sum().backward()
    (model(ours) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    if isinstance(node, neuron.ParametricLIFNode):
        (learned,) = model.parameters()
        wanted = node.w.grad if isinstance(model[0], SpikingjellyNeuron) else -node.w.grad  # a logit of the decay
        torch.testing.assert_close(learned.grad, wanted, rtol=1e-3, atol=1e-4)


@given(neurons(), st.integers(0, 1000))
@settings(max_examples=25)
def test_fused_neurons_on_values_that_nothing_rounds(node: nn.Module, seed: int) -> None:
    """The equation itself: dyadic values and decays, so that no order of operations rounds. Ties are frequent."""
    if isinstance(node, neuron.LIFNode):
        node.tau = 2.0
    elif isinstance(node, neuron.ParametricLIFNode):
        node.w.data.zero_()
    node.v_threshold = round(node.v_threshold * 4) / 4
    x = (torch.randn(8, 3, 40, generator=torch.Generator().manual_seed(seed)) * 6 + 2).round() / 4
    _, report = snn.convert_from(nn.Sequential(node), x)
    assert report.differing == 0


def test_which_fused_neurons_are_exact_and_that_they_are() -> None:
    """Claimed exact: no bit differs on 200,000 values; the others are claimed to round otherwise."""
    x = torch.randn(20, 50, 200, generator=torch.Generator().manual_seed(0)) * 1.5 + 0.3
    claims = [
        (neuron.IFNode(step_mode="m"), True),
        (neuron.IFNode(v_reset=None, step_mode="m"), True),
        (neuron.LIFNode(tau=2.0, decay_input=False, step_mode="m"), True),
        (neuron.LIFNode(tau=8.0, decay_input=False, v_reset=None, step_mode="m"), True),
        (neuron.SimpleLIFNode(2.0, False, step_mode="m"), True),
        (neuron.LIFNode(tau=3.0, decay_input=False, step_mode="m"), False),
        (neuron.LIFNode(tau=2.0, step_mode="m"), False),
        (neuron.IFNode(v_reset=0.1, step_mode="m"), False),
    ]
    for node, exact in claims:
        model, report = snn.convert_from(nn.Sequential(node), x)
        assert report.exact == exact, node
        assert report.differing == 0
        if exact:
            functional.reset_net(node)
            with torch.no_grad():
                node(x)
                assert torch.equal(node.v, model[0](x, model[0].initial_state(x))[1].v)


def test_the_current_based_neuron() -> None:
    node = neuron.CUBALIFNode(c_decay=0.6, v_decay=0.8, v_threshold=0.9, v_reset=None)
    model, report = snn.convert_from(nn.Sequential(node), batch(50) - 0.5)
    assert isinstance(model[0], snn.CubaLIF)
    assert report.exact
    assert report.differing == 0


def test_neurons_that_do_not_fire() -> None:
    net = nn.Sequential(layer.Linear(20, 5, step_mode="m"), neuron.NonSpikingLIFNode(tau=2.0))
    model, report = snn.convert_from(net, batch(20))
    assert isinstance(model[1], snn.LI)
    assert report.compared == 0
    assert 0 <= report.deviation < 1e-5
    assert report.layers[1].deviation == report.deviation


# --------------------------------------------------------------------------------------------------------------- gains
def test_a_gain_goes_into_the_weights_where_nothing_is_rounded() -> None:
    net = dense().eval()
    model, report = snn.convert_from(net)
    assert torch.equal(model[0].weight, net[0].weight / 2)
    assert torch.equal(model[0].bias, net[0].bias / 2)
    assert torch.equal(model[2].weight, net[2].weight)  # 1/3 would round
    scale, lif = model[3]
    assert scale.weight.tolist() == [pytest.approx(1 / 3)]
    assert not scale.weight.requires_grad
    assert isinstance(lif, snn.LIF)
    assert "times 0.5" in report.layers[0].why
    assert "layer of its own" in report.layers[3].why


def test_a_gain_passes_through_pools_but_not_through_neurons_or_shared_weights() -> None:
    pooled = nn.Sequential(layer.Conv2d(1, 2, 3), layer.AvgPool2d(2), layer.Flatten(), neuron.LIFNode())
    model, _ = snn.convert_from(pooled)
    assert torch.equal(model[0].weight, pooled[0].weight / 2)
    after = nn.Sequential(layer.Linear(4, 4), neuron.IFNode(), neuron.LIFNode())
    model, _ = snn.convert_from(after)
    assert torch.equal(model[0].weight, after[0].weight)
    assert isinstance(model[2], nn.Sequential)
    fc = layer.Linear(4, 4)
    shared = nn.Sequential(fc, neuron.LIFNode(), fc, neuron.IFNode())
    model, report = snn.convert_from(shared, batch(4))
    assert model[0] is model[2]
    assert torch.equal(model[0].weight, fc.weight)
    assert report.differing == 0


def test_tied_weights_stay_tied_and_frozen_ones_frozen() -> None:
    net = nn.Sequential(layer.Linear(4, 4, bias=False), neuron.IFNode(), layer.Linear(4, 4), neuron.IFNode())
    net[2].weight = net[0].weight
    net[2].bias.requires_grad_(False)
    model, _ = snn.convert_from(net)
    assert model[2].weight is model[0].weight
    assert model[0].weight is not net[0].weight
    assert not model[2].bias.requires_grad


# -------------------------------------------------------------------------------------------------------------- layers
def test_every_layer_gives_the_peers_values() -> None:
    """Each supported layer behind and before nothing, in both step modes."""
    torch.manual_seed(0)
    image, line, volume = batch(4, 9, 9, steps=3), batch(4, 9, steps=3), batch(4, 5, 5, 5, steps=2)
    cases = [
        (layer.Conv1d(4, 3, 3, padding=1), line), (layer.Conv2d(4, 6, 3, groups=2, stride=2), image),
        (layer.Conv3d(4, 2, 3), volume), (layer.ConvTranspose1d(4, 2, 3), line),
        (layer.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1), image), (layer.ConvTranspose3d(4, 2, 2), volume),
        (layer.GroupNorm(2, 4), image), (layer.BatchNorm1d(4), line), (layer.BatchNorm2d(4, affine=False), image),
        (layer.BatchNorm3d(4), volume), (layer.MaxPool1d(2), line), (layer.MaxPool2d(3, 2, ceil_mode=True), image),
        (layer.MaxPool3d(2), volume), (layer.AvgPool1d(2), line), (layer.AvgPool2d(3, padding=1), image),
        (layer.AvgPool3d(2), volume), (layer.AdaptiveAvgPool1d(2), line), (layer.AdaptiveAvgPool2d((1, 2)), image),
        (layer.AdaptiveAvgPool3d(2), volume), (layer.Upsample(scale_factor=2), image), (layer.Flatten(), image),
        (layer.Flatten(2), image), (layer.Linear(9, 5, bias=False), line[:, :, 0]), (layer.Dropout2d(), image),
        (layer.Delay(2), line), (layer.WSConv2d(4, 6, 3), image), (layer.WSLinear(9, 4), line[:, :, 0]),
    ]  # fmt: skip
    for peer, x in cases:
        lively(peer)
        for mode in ("s", "m"):
            functional.reset_net(peer)
            functional.set_step_mode(peer, mode)
            _, report = snn.convert_from(nn.Sequential(peer).eval(), x)
            assert report.deviation == 0, (peer, mode)
            assert report.exact
    x = image[:, :, :, 0]
    for norm in (layer.ThresholdDependentBatchNorm1d(0.7, 0.5, 4),):
        _, report = snn.convert_from(nn.Sequential(lively(norm)).eval(), x)
        assert report.deviation == 0


def test_containers_that_go_through_the_steps() -> None:
    inner = nn.Sequential(layer.Linear(6, 5), neuron.LIFNode(v_reset=None), layer.Delay(1))
    net = nn.Sequential(
        layer.MultiStepContainer(inner, layer.Linear(5, 4)), layer.StepModeContainer(True, "m", neuron.IFNode())
    )
    model, report = snn.convert_from(lively(net), batch(6))
    assert report.differing == 0
    assert set(model.state_dict()) >= set(net.state_dict())


# ------------------------------------------------------------------------------------------------------ modules of own
class Block(nn.Module):
    """A residual block whose forward knows nothing of steps, with torch's layers inside a functional call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = layer.Conv2d(3, 3, 3, padding=1)
        self.lif = neuron.LIFNode(tau=2.0)
        self.norm = nn.BatchNorm2d(3)
        self.gain = nn.Parameter(torch.tensor(1.5))
        self.branches = nn.ModuleList([layer.Conv2d(3, 3, 1), neuron.IFNode()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.lif(self.conv(x))
        z = functional.seq_to_ann_forward(y, self.norm) * self.gain
        for branch in self.branches:
            z = branch(z)
        return z + x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(layer.Conv2d(2, 3, 3), neuron.IFNode(), Block())
        self.pool = layer.AdaptiveAvgPool2d(1)
        self.out = layer.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.features(x))
        x = x.flatten(2) if self.pool.step_mode == "m" else x.flatten(1)
        return self.out(x).mean(0)


def test_a_module_of_ones_own_keeps_its_forward() -> None:
    torch.manual_seed(0)
    net = lively(Net()).eval()
    functional.set_step_mode(net, "m")
    original = copy.deepcopy(net.state_dict())
    model, report = snn.convert_from(net, batch(2, 7, 7))
    assert type(model) is Net
    assert type(model.features[2]) is Block
    assert report.differing == 0
    assert report.deviation == 0
    assert {row.path for row in report.layers if row.differing is not None} == {
        "features.1", "features.2.lif", "features.2.branches.1",
    }  # fmt: skip
    assert not any(type(m).__module__.startswith("spikingjelly") for m in model.modules())
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert all(torch.equal(net.state_dict()[k], v) for k, v in original.items())
    assert len(list(model.parameters())) == len(list(net.parameters())) + 1  # the gain of `lif`
    x = batch(2, 7, 7).requires_grad_()
    model(x).sum().backward()


def test_networks_of_its_model_zoo() -> None:
    from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet

    torch.manual_seed(0)
    net = DVSGestureNet(channels=2, spiking_neuron=neuron.ParametricLIFNode)
    functional.set_step_mode(net, "m")
    _, report = snn.convert_from(lively(net).eval(), batch(2, 128, 128, steps=2)[:, :1])
    assert report.differing == 0
    assert report.compared > 10_000


# -------------------------------------------------------------------------------------------------------------- onwards
def test_converted_networks_go_to_the_chip() -> None:
    from snnkit.validation import to_chip

    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, bias=False), layer.BatchNorm2d(4), neuron.IFNode(), layer.MaxPool2d(2),
        layer.Flatten(), layer.Linear(64, 10), neuron.LIFNode(tau=3.0),
    )  # fmt: skip
    net = lively(net).eval()
    x = (batch(2, 10, 10) > 1.2).float()
    model, report = snn.convert_from(net, x)
    assert report.differing == 0
    graph, findings = to_graph(model, (2, 10, 10), steps=12)
    assert graph is not None
    assert not findings
    chip = to_chip(model, (2, 10, 10), "loihi", x.numpy(), steps=12, readout="count")
    assert chip is not None
    with pytest.raises(Exception, match=r"SpikingjellyNeuron.*\n?.*"):
        to_graph(snn.convert_from(net, exact=True)[0], (2, 10, 10), steps=12)


def test_converted_networks_train_stream_and_record() -> None:
    for exact in (False, True):
        model, _ = snn.convert_from(dense(), exact=exact)
        x = batch(120)
        model(x).sum().backward()
        assert all(p.grad is not None for n, p in model.named_parameters() if p.requires_grad)
        model.eval()
        whole, _ = snn.run(model, x)
        parts = torch.cat([out for out, _ in snn.stream(model, x.split(5))])
        assert torch.equal(parts, whole)
        with snn.record(model, v=True) as rec:
            model(x)
        assert len(rec.v) == 4
        assert torch.equal(copy.deepcopy(model)(x), whole)


# ------------------------------------------------------------------------------------------------------------ bad input
def refused(net: nn.Module, *texts: str, **options: Any) -> None:
    with pytest.raises(ConversionError) as caught:
        snn.convert_from(net, **options)
    for text in texts:
        assert text in str(caught.value), str(caught.value)


def test_what_has_no_counterpart_is_listed_all_at_once() -> None:
    net = nn.Sequential(layer.Linear(4, 4), neuron.KLIFNode(), nn.Sequential(layer.SynapseFilter(), neuron.QIFNode()))
    refused(
        net, "3 layers", "1 spikingjelly.activation_based.neuron.lif_variants.KLIFNode", "2.0 spikingjelly", "2.1",
        "supported neurons are IFNode", "supported are neurons IFNode",
    )  # fmt: skip


def test_settings_that_have_no_counterpart() -> None:
    refused(nn.Sequential(neuron.LIFNode(v_threshold=0.5, v_reset=0.5)), "not positive")
    refused(nn.Sequential(neuron.SimpleIFNode(v_reset=0.5)), "starts at 0")
    refused(nn.Sequential(neuron.CUBALIFNode(v_reset=0.5)), "leaks to 0")
    refused(nn.Sequential(neuron.NonSpikingIFNode("mean-mem")), "out.mean(0)")
    refused(nn.Sequential(layer.MaxPool2d(2, return_indices=True)), "return_indices")
    odd = nn.Sequential(neuron.LIFNode(surrogate_function=surrogate.S2NN()))
    refused(odd, "surrogate.S2NN", 'surrogate="arctan"')
    model, _ = snn.convert_from(odd, batch(4), surrogate="triangle")
    assert model[0][1].surrogate == snn.surrogate.get("triangle")
    refused(nn.Sequential(neuron.LIFNode(surrogate_function=surrogate.ATan(spiking=False))), "set_spiking_mode(True)")


def test_step_modes_that_do_not_go_together() -> None:
    refused(nn.Sequential(layer.Linear(4, 4, step_mode="m"), neuron.IFNode()), 'step_mode "s"', "set_step_mode")
    refused(nn.Sequential(nn.Conv2d(1, 1, 3), neuron.IFNode(step_mode="m")), "takes T for the batch", "SeqToANN")
    refused(nn.Sequential(layer.SeqToANNContainer(neuron.IFNode())), "as a sample of its own", "MultiStepContainer")
    refused(layer.MultiStepContainer(layer.SeqToANNContainer(nn.Linear(2, 2))), "step by step")


def test_neurons_in_two_places() -> None:
    node = neuron.LIFNode(step_mode="m")
    refused(nn.Sequential(layer.Linear(4, 4, step_mode="m"), node, node), "stands twice")

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = neuron.IFNode(step_mode="m")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(self.lif(x))

    refused(Twice(), "called 2 times", x=batch(4))


def test_modules_of_ones_own_that_cannot_be_kept() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = layer.Linear(4, 4), neuron.LIFNode()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([self.lif(self.fc(x_t)) for x_t in x])

    refused(Loop(), "Loop", "module of one's own", "loop over time", 'set_step_mode(net, "m")')

    class Own(neuron.LIFNode):
        pass

    refused(nn.Sequential(layer.Linear(4, 4), Own()), "derives from", "LIFNode", "rules=")
    model, report = snn.convert_from(nn.Sequential(Own()), batch(4), rules={Own: lambda m: snn.LIF(decay=0.5)})
    assert isinstance(model[0], snn.LIF)
    assert report.layers[0].why == "by your rule"

    class Hidden(Loop):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [self.fc, self.lif]

    hidden = Hidden()
    functional.set_step_mode(hidden, "m")
    refused(hidden, "'layers'", "plain list", "ModuleList")


def test_a_batch_that_does_not_fit() -> None:
    refused(dense(), "fails on an input of shape (12, 16, 7)", x=batch(7))
