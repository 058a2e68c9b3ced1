"""`convert_from`: the way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from snnkit import surrogate as surrogates
from snnkit.errors import ConversionError
from snnkit.nn.convert.block import Options
from snnkit.nn.convert.compare import compare
from snnkit.nn.convert.report import ConversionReport
from snnkit.nn.convert.walk import Walk
from snnkit.surrogate import Surrogate

TWO_WAYS = "the peer runs step by step, this network all steps at once: sums over a batch of one may round differently"


def convert_from(
    module: nn.Module,
    x: Tensor | None = None,
    *,
    exact: bool = False,
    same_step_reset: bool = False,
    surrogate: str | Surrogate | None = None,
    rules: Mapping[type, Callable[..., nn.Module]] | None = None,
) -> tuple[nn.Module, ConversionReport]:
    """A network of spikingjelly or snntorch as one of snnkit, with its weights: `model, report = convert_from(net, x)`.

    The new network takes [T, B, features…] whatever the old one took, has copies of the weights, the same paths and
    state-dict keys of the synapses, and fused neurons wherever these have the peer's equation. It is made of snnkit's
    layers only, so `snnkit.export.to_graph` takes it (with exceptions that the report names).

    - Networks are torch.nn.Sequential, nested, with the peers' containers; torch's own layers in them are turned into
      snnkit's. A module of one's own keeps its forward where the network is one of spikingjelly's in step mode "m";
      else it is refused, because a forward for one step, or with a loop over time, cannot be turned into one for
      sequences.
    - spikingjelly: decay = 1 − 1/tau. The gain 1/tau of `decay_input` goes into the weights before the neuron where
      it is a power of two, so that nothing is rounded, else into a layer of its own. With v_reset ≠ 0 the membrane is
      counted from v_reset: v' = v − v_reset, threshold' = threshold − v_reset.
    - snntorch: decay = beta; fires above, not at, the threshold, so the threshold becomes the next float above it. Its
      resets come a step late by default: to zero that makes no difference (Leaky), or is refractory=1 (the others); by
      subtraction it takes off the threshold where a reset in the same step takes off beta·threshold, and the rest
      comes through `snn.Recurrent.one_to_one`.

    Args:
        module: the peer's network, or a layer of it. It is left as it is, its neurons' states included.
        x: a batch to compare the networks on, [T, B, features…] (for a multi-step network: what it takes); None for no
            comparison.
        exact: where a fused neuron has the equation but rounds otherwise, use one that follows the peer's order of
            operations, so that equal inputs give equal spikes bit for bit (float32, on the CPU). It runs step by step,
            and is not exported.
        same_step_reset: snntorch's delayed resets by subtraction become resets in the same step: fused, and for chips,
            but another neuron; the report gives the share of spikes that differ.
        surrogate: to use instead of the peer's; a name or a `Surrogate`. Needed where the peer's has no counterpart.
        rules: for classes of one's own, class → function from the old module to a new one over [T, B, …], such as
            `snn.over_time` for a layer without memory.

    Returns:
        The new network, in the mode (training or evaluation) of the old one, and the report: each layer with what it
        became, whether that is exact and why, and how many spikes differ. `print(report)` shows it.

    Raises:
        ConversionError: layers, settings or surrogates without counterpart (all are listed, with what to do), or the
            network fails on x.
        ParameterError: an unknown surrogate.

    Example:
        >>> model, report = snn.convert_from(net, x)
        >>> report.differing, report.compared
    """
    if not isinstance(module, nn.Module):
        raise ConversionError(
            f"cannot convert a {type(module).__name__}", fix="give a torch.nn.Module, such as a torch.nn.Sequential"
        )
    if x is not None and not (isinstance(x, Tensor) and x.dim() >= 2 and x.numel()):
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ConversionError(f"the batch to compare on is {shape}", fix="give a tensor [T, B, features…] with values")
    chosen = None if surrogate is None else surrogates.get(surrogate)
    walk = Walk(module, Options(exact, same_step_reset, chosen, dict(rules or {})), None if x is None else x.dim() - 2)
    model = walk.convert()
    device = next((t.device for t in (*module.parameters(), *module.buffers())), None if x is None else x.device)
    if device is not None:
        model.to(device)
    rows, notes, deviation = walk.rows, walk.notes, None
    if x is not None:
        rows, deviation = compare(module, model, walk.neurons, rows, x, walk.multi_step)
        if not walk.multi_step:
            notes = [TWO_WAYS, *notes]
    return model, ConversionReport(tuple(rows), tuple(notes), deviation)
