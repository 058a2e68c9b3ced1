"""Networks of snntorch as networks of snnkit: equal spikes where the equation can be said, else the share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.errors import ConversionError
from snnkit.export import to_graph
from snnkit.nn.convert.snntorch_steps import SnntorchNeuron

snntorch = pytest.importorskip("snntorch", reason="snntorch is not installed")
surrogate = pytest.importorskip("snntorch.surrogate", reason="snntorch is not installed")

KINDS = ("Leaky", "Synaptic", "Lapicque", "RLeaky", "RLeaky one-to-one", "RSynaptic")
RESETS = ("zero", "subtract", "none")


def node(kind: str, reset: str, delayed: bool = True, n: int = 16, **settings: Any) -> nn.Module:
    """A neuron with decays and weights that round nothing on values like 1/4."""
    settings = {"beta": 0.75, "reset_mechanism": reset, "init_hidden": True, **settings}
    if kind != "Lapicque":
        settings["reset_delay"] = delayed
    if "Synaptic" in kind:
        settings["alpha"] = 0.5
    if kind == "RLeaky one-to-one":
        return snntorch.RLeaky(all_to_all=False, V=0.5, **settings)
    if kind[0] == "R":
        settings["linear_features"] = n
    peer = getattr(snntorch, kind)(**settings)
    for p in getattr(peer, "recurrent", nn.Identity()).parameters():
        p.data = (torch.randn(p.shape, generator=torch.Generator().manual_seed(5)) * 4).round() / 16
    return peer


def lively(net: nn.Module, mean: float = 1.0, spread: float = 2.5) -> nn.Module:
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() > 1:
                p.normal_(mean / p[0].numel(), spread / p[0].numel() ** 0.5)
    return net


def dense(seed: int = 0, **settings: Any) -> nn.Module:
    """The default neuron: reset by subtraction, a step late."""
    torch.manual_seed(seed)
    one, two, three = (snntorch.Leaky(beta=b, init_hidden=True, **settings) for b in (0.9, 0.8, 0.95))
    hidden = (nn.Linear(100, 80), one, nn.Dropout(0.1), nn.Linear(80, 60), two)
    return lively(nn.Sequential(*hidden, nn.Linear(60, 10), three))


def conv(seed: int = 0, **settings: Any) -> nn.Module:
    torch.manual_seed(seed + 1)
    return lively(
        nn.Sequential(
            nn.Conv2d(2, 8, 3, bias=False), nn.BatchNorm2d(8), snntorch.Leaky(beta=0.9, init_hidden=True, **settings),
            nn.MaxPool2d(2), nn.Conv2d(8, 12, 3),
            snntorch.Synaptic(alpha=0.6, beta=0.8, init_hidden=True, threshold=1.5, **settings),
            nn.AvgPool2d(2, 1), nn.Flatten(), nn.Linear(48, 10),
            snntorch.Leaky(beta=torch.linspace(0.5, 0.9, 10), init_hidden=True, output=True, **settings),
        )
    )  # fmt: skip


NETWORKS = [(dense, (100,)), (conv, (2, 12, 12))]


def batch(*features: int, steps: int = 15, seed: int = 2) -> torch.Tensor:
    return torch.rand(steps, 16, *features, generator=torch.Generator().manual_seed(seed)) * 1.2


@pytest.mark.parametrize("options", [{}, {"exact": True}], ids=["ours", "exact"])
@pytest.mark.parametrize(("make", "features"), NETWORKS, ids=["dense", "conv"])
def test_no_spike_differs(make: Any, features: tuple[int, ...], options: dict[str, bool]) -> None:
    """Two networks, one convolutional, with snntorch's default reset: none of the spikes."""
    net = make().eval()
    model, report = snn.convert_from(net, batch(*features), **options)
    rows = [row for row in report.layers if row.differing is not None]
    assert len(rows) == 3
    assert [row.differing for row in rows] == [row.alone for row in rows] == [0] * 3
    assert report.compared > 30_000
    assert report.deviation == 0
    with snn.record(model) as rec, torch.no_grad():
        model(batch(*features))
    rates = {path: float(out.mean()) for path, out in rec.spikes.items()}
    assert all(0.02 < rate < 0.8 for rate in rates.values()), rates  # no layer is silent or saturated
    assert report.exact == options.get("exact", False)
    assert "snn.record" in report.layers[-1].why or make is dense  # output=True


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_spike_differs_in_eighty_networks() -> None:
    """Other weights and inputs: how rare a spike is that rounding decides otherwise."""
    compared = 0
    for seed in range(40):
        for make, features in NETWORKS:
            for exact in (False, True):
                _, report = snn.convert_from(make(seed=seed).eval(), batch(*features, seed=seed), exact=exact)
                assert report.differing == 0
                compared += report.compared
    assert compared > 10_000_000


@pytest.mark.parametrize("settings", [{}, {"reset_delay": False}], ids=["delayed", "undelayed"])
@pytest.mark.parametrize(("make", "features"), NETWORKS, ids=["dense", "conv"])
def test_the_share_of_resets_in_the_same_step(make: Any, features: tuple[int, ...], settings: dict[str, bool]) -> None:
    """The closest fused neurons: some spikes differ, and the report says why. The README has the range."""
    _, report = snn.convert_from(make(**settings).eval(), batch(*features), same_step_reset=True)
    print(f"{report.differing} of {report.compared} spikes differ: {report.share:.2%}")
    assert 0.005 < report.share < 0.08
    cause = "once more" if settings else "takes off beta·threshold where theirs"
    assert all(cause in row.why for row in report.layers if row.differing is not None)


def test_resets_to_zero_have_no_share() -> None:
    """The usual remedy: reset_mechanism="zero" is the same neuron here, fused, delayed or not."""
    for delayed in (True, False):
        for make, features in NETWORKS:
            net = make(reset_mechanism="zero", reset_delay=delayed)
            model, report = snn.convert_from(net.eval(), batch(*features))
            assert report.exact
            assert report.differing == 0
            assert not any(isinstance(m, snn.Recurrent | SnntorchNeuron) for m in model.modules())


# ------------------------------------------------------------------------------------------------------------- neurons
def possible(kind: str, reset: str, delayed: bool) -> bool:
    return delayed or kind not in ("Lapicque", "RSynaptic")


EVERY = [(k, r, d) for k in KINDS for r in RESETS for d in (True, False) if possible(k, r, d)]


@pytest.mark.parametrize(("kind", "reset", "delayed"), EVERY)
def test_every_neuron(kind: str, reset: str, delayed: bool) -> None:
    """exact=True: no bit differs, on random values and on ties. Otherwise the equation is the same wherever snnkit's
    layers can say it: no spike differs where nothing is rounded."""
    g = torch.Generator().manual_seed(3)
    x = torch.randn(12, 20, 16, generator=g) * 1.3 + 0.3
    ties = (x * 4).round() / 4
    net = nn.Sequential(node(kind, reset, delayed))
    for given in (x, ties):
        _, report = snn.convert_from(net, given, exact=True)
        assert report.exact
        assert report.differing == 0
    if kind == "RSynaptic" and reset != "zero":
        with pytest.raises(ConversionError, match="exact=True"):
            snn.convert_from(net)
        return
    _, report = snn.convert_from(net, ties)
    if reset == "subtract" and not delayed:  # above the threshold after its reset
        assert 0 < report.share < 0.1
        assert "once more" in report.layers[0].why
    elif kind != "Lapicque":  # whose decay is 1 + ln(beta), and no dyadic number
        assert report.differing == 0
    else:
        assert report.share < 1e-3


def test_claimed_exact_is_exact() -> None:
    """The fused neurons that are said to give the peer's bits."""
    x = torch.randn(15, 50, 16, generator=torch.Generator().manual_seed(0)) * 1.3 + 0.3
    exact = 0
    for kind, reset, delayed in EVERY:
        try:
            _, report = snn.convert_from(nn.Sequential(node(kind, reset, delayed, threshold=0.7)), x)
        except ConversionError:
            continue
        if report.exact:
            exact += 1
            assert report.differing == 0
    assert exact == 8  # Leaky and Synaptic, to zero or without reset


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky"])
def test_gradients(kind: str, reset: str) -> None:
    """Of exact=True with respect to input, decay, threshold and recurrent weights, where they are learned."""
    peer = node(kind, reset, learn_beta=True, learn_threshold=True, spike_grad=surrogate.fast_sigmoid(5))
    x = torch.randn(8, 4, 16, generator=torch.Generator().manual_seed(1)) + 0.3
    model, report = snn.convert_from(nn.Sequential(peer), x, exact=True)
    theirs, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    peer.reset_mem()
    torch.stack([peer(x_t) for x_t in theirs.unbind(0)]).square().sum().backward()
    model(ours).square().sum().backward()
    assert report.differing == 0
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    wanted = dict(peer.named_parameters())
    for name, p in model[0].named_parameters():
        torch.testing.assert_close(p.grad, wanted[name.replace("synapse", "recurrent")].grad, rtol=1e-3, atol=1e-4)


def test_learned_parameters_stay_learned() -> None:
    net = nn.Sequential(
        snntorch.Leaky(beta=0.9, learn_beta=True, reset_mechanism="zero", init_hidden=True),
        snntorch.Synaptic(alpha=0.5, beta=0.8, learn_alpha=True, learn_threshold=True, reset_mechanism="zero",
                          init_hidden=True),
    )  # fmt: skip
    model, report = snn.convert_from(net, batch(6))
    assert report.differing == 0
    assert "logit" in report.layers[0].why
    assert {n: p.requires_grad for n, p in model.named_parameters()} == {
        "0.decay_logit": True, "1.threshold": True, "1.decay_syn_logit": True, "1.decay_mem_logit": False,
    }  # fmt: skip
    assert model[0].decay.item() == pytest.approx(0.9, abs=1e-7)
    assert model[1].threshold.item() > 1  # the next float above theirs


def test_parameters_per_channel_and_per_neuron() -> None:
    x = batch(3, 4, 5)
    for shape in ((3, 1, 1), (1, 3, 1, 1), (3, 4, 5)):
        beta = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        for reset in ("zero", "subtract"):
            net = nn.Sequential(snntorch.Leaky(beta=beta, reset_mechanism=reset, init_hidden=True))
            _, report = snn.convert_from(net, x)
            assert report.differing == 0
    per_pixel = nn.Sequential(snntorch.Leaky(beta=torch.rand(5), init_hidden=True))
    with pytest.raises(ConversionError, match=r"3 feature axes[\s\S]*per channel \[C, 1, 1\]"):
        snn.convert_from(per_pixel, x)
    with pytest.raises(ConversionError, match=r"not known[\s\S]*convert_from\(module, x\)"):
        snn.convert_from(per_pixel)
    snn.convert_from(nn.Sequential(nn.Linear(2, 5), *per_pixel))  # behind a Linear it is known


def test_states_and_forms_of_output_do_not_matter() -> None:
    """init_hidden or not, output or not, a state left over from training: the peer keeps it, and has no say."""
    x = batch(6)
    peer = snntorch.Leaky(beta=0.5)  # gives (spk, mem)
    peer(x[0].requires_grad_())
    before = peer.mem
    model, report = snn.convert_from(nn.Sequential(nn.Linear(6, 6), peer), x.detach())
    assert peer.mem is before
    assert report.differing == 0
    assert model(x).shape == x.shape


# -------------------------------------------------------------------------------------------------------------- onwards
def test_converted_networks_become_graphs() -> None:
    """Also those with a late reset by subtraction, whose rest is a connection from each neuron to itself."""
    graph, findings = to_graph(snn.convert_from(dense().eval())[0], (100,), steps=15)
    assert not findings
    assert graph is not None
    assert [c.src for c in graph.connections if c.src == c.dst] == ["1", "4", "6"]
    recurrent = nn.Sequential(nn.Linear(5, 4), snntorch.RLeaky(beta=0.8, linear_features=4, init_hidden=True))
    graph, _ = to_graph(snn.convert_from(recurrent)[0], (5,), steps=3)
    assert graph is not None
    with pytest.raises(Exception, match="ANALOG_SOURCE"):
        to_graph(snn.convert_from(conv().eval())[0], (2, 12, 12))
    graph, _ = to_graph(snn.convert_from(conv().eval(), same_step_reset=True)[0], (2, 12, 12))
    assert graph is not None


def test_a_chip_takes_resets_to_zero() -> None:
    from snnkit.validation import to_chip

    net = dense(reset_mechanism="zero").eval()
    x = (batch(100) > 0.8).float()
    model, report = snn.convert_from(net, x)
    assert report.differing == 0
    assert to_chip(model, (100,), "loihi", x.numpy(), steps=15, readout="count") is not None


# ------------------------------------------------------------------------------------------------------------ bad input
def refused(net: nn.Module, *texts: str, **options: Any) -> None:
    with pytest.raises(ConversionError) as caught:
        snn.convert_from(net, **options)
    for text in texts:
        assert text in str(caught.value), str(caught.value)


def test_a_loop_over_time_and_its_remedy() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(6, 4), snntorch.Leaky(beta=0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, out = self.lif.init_leaky(), []
            for x_t in x:
                spk, mem = self.lif(self.fc(x_t), mem)
                out.append(spk)
            return torch.stack(out)

    net = lively(Net())
    refused(net, "Net", "module of one's own", "torch.nn.Sequential(net.fc1, net.lif1")
    model, report = snn.convert_from(nn.Sequential(net.fc, net.lif), batch(6))
    assert report.differing == 0
    assert torch.equal(model(batch(6)), net(batch(6)))


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_what_has_no_counterpart() -> None:
    refused(
        nn.Sequential(snntorch.Alpha(alpha=0.9, beta=0.8), snntorch.SLSTM(2, 2)), "2 layers", "Alpha", "SLSTM",
        "supported neurons are Leaky",
    )  # fmt: skip
    for settings, text in (
        ({"inhibition": True}, "winner-take-all"),
        ({"graded_spikes_factor": 0.5}, "weights of the layer behind"),
        ({"state_quant": lambda v: v}, "state_quant"),
        ({"spike_grad": surrogate.triangular()}, 'triangular\n  fix: choose one: convert_from(…, surrogate="arctan")'),
        ({"spike_grad": torch.sigmoid}, "sigmoid"),
        ({"surrogate_disable": True}, "surrogate"),
        ({"threshold": -1.0}, "not positive"),
        ({"beta": 1.0, "learn_beta": True}, "strictly between"),
    ):
        refused(nn.Sequential(snntorch.Leaky(**{"beta": 0.9, "init_hidden": True, **settings})), text)
    refused(nn.Sequential(snntorch.RSynaptic(0.5, 0.5, linear_features=2, reset_delay=False)), "fails in snntorch")
    changed = snntorch.Leaky(beta=0.9)
    changed.reset_mechanism = "zero"
    refused(nn.Sequential(changed), "build it anew")
    model, _ = snn.convert_from(
        nn.Sequential(snntorch.Leaky(beta=0.9, spike_grad=surrogate.triangular(), reset_mechanism="zero")),
        surrogate="gaussian",
    )
    assert model[0].surrogate == snn.surrogate.get("gaussian")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (surrogate.atan(3.0), snn.surrogate.get("arctan", 3.0)),
        (surrogate.fast_sigmoid(12), snn.surrogate.get("fast_sigmoid", 12.0)),
        (surrogate.sigmoid(7), snn.surrogate.get("sigmoid", 7.0)),
    ],
)
def test_surrogates(theirs: Any, ours: Any) -> None:
    model, _ = snn.convert_from(nn.Sequential(snntorch.Leaky(beta=0.5, spike_grad=theirs, reset_mechanism="zero")))
    assert model[0].surrogate == ours
    d = torch.linspace(-1, 1, 41, requires_grad=True)
    theirs(d).sum().backward()
    torch.testing.assert_close(ours.derivative(d.detach()), d.grad)
