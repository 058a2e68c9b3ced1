"""The chip half's network: populations of neurons and connections in discrete time, as frozen data over numpy.

Nothing is a default of a backend: the graph states its step, the update order (in the neuron's type), reset,
threshold test, delays and units. Two kinds of graph use the same classes: float graphs (neurons `LIF`, `CubaLIF`,
`LinearLeakIF`, `LI`, `CubaLI`, weights in units of the membrane) and integer graphs (a chip's neuron such as
`LoihiNeuron`, weights as the chip's mantissas with a `format`).

Time. On the *model* timeline (`timeline="model"`) every feed-forward connection has delay 0: a spike of step t acts
in step t of the next layer, as in the torch model. On the *chip* timeline (`timeline="chip"`) every connection
between neurons has delay d >= 1, the number of steps from emission to effect, and `Population.lag` says by how many
steps a population's trace is late. A row t of an input raster acts in step t + delay, delay >= 0, on both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from snnkit.errors import GraphError

Array = np.ndarray[Any, Any]
Reset = Literal["zero", "subtract"]


# --------------------------------------------------------------------------------------------------- neurons (float)
@dataclass(frozen=True, eq=False)
class LIF:
    """v <- decay*v + x; s = [v >= threshold]; reset in the same step. Arrays are float32 [n].

    `refractory`: after a spike that many updates of v are skipped and their input is lost.
    """

    decay: Array
    threshold: Array
    reset: Reset = "zero"
    refractory: int = 0


@dataclass(frozen=True, eq=False)
class CubaLIF:
    """i <- decay_syn*i + x; v <- decay_mem*v + i; then as `LIF` (i goes on while refractory). Arrays float32 [n]."""

    decay_syn: Array
    decay_mem: Array
    threshold: Array
    reset: Reset = "zero"
    refractory: int = 0


@dataclass(frozen=True, eq=False)
class LinearLeakIF:
    """v <- v + x; v <- v + leak*sgn(v); s = [v >= threshold]; reset in the same step, else v <- max(v, -floor).

    Arrays are float32 [n]; `floor` is infinite where there is none. A leak that does not turn with the sign of v is a
    bias of the population.
    """

    leak: Array
    threshold: Array
    floor: Array
    reset: Reset = "zero"


@dataclass(frozen=True, eq=False)
class LI:
    """v <- decay*v + x, never fires; its v is read out. `decay` float32 [n]."""

    decay: Array


@dataclass(frozen=True, eq=False)
class CubaLI:
    """i <- decay_syn*i + x; v <- decay_mem*v + i, never fires; its v is read out. Arrays float32 [n]."""

    decay_syn: Array
    decay_mem: Array


# ------------------------------------------------------------------------------------------------- neurons (integer)
@dataclass(frozen=True, eq=False)
class LoihiNeuron:
    """Integer registers of Loihi compartments, each int32 [n]; the rule is in `graph/rules/loihi.py`.

    u = dec(u, du + ds_offset) + q; v = clip(dec(v, dv) + u + bias_mant*2**bias_exp, vmin, vmax);
    s = v > 64*vth (strict); v = 0 on a spike and for `refract - 1` further steps.
    `noise_at_membrane`: 0 adds injected draws to q, 1 to u + bias.
    """

    du: Array
    dv: Array
    vth: Array
    bias_mant: Array
    bias_exp: Array
    refract: Array
    ds_offset: int = 1
    vmin: int = -(2**23) + 1
    vmax: int = 2**23 - 1
    noise_at_membrane: int = 0


@dataclass(frozen=True, eq=False)
class SpinnakerNeuron:
    """Raw parameters of SpiNNaker neurons as the host sends them, each int32 [n]; the rule is in `rules/spinnaker.py`.

    s16.15 (value times 2**15): v_init, v_rest, v_reset, v_thresh in mV, c_m in nF, tau_m, tau_syn_e, tau_syn_i,
    tau_refrac and the step ts in ms, i_offset in nA. `refrac_init`: steps. `shift`: of the ring buffers, excitatory and
    inhibitory. `delay_bits`: a ring buffer has 2**delay_bits slots. `model`: "exp" (IF_curr_exp) or "delta".
    """

    model: Literal["exp", "delta"]
    v_init: Array
    v_rest: Array
    v_reset: Array
    v_thresh: Array
    c_m: Array
    tau_m: Array
    i_offset: Array
    tau_refrac: Array
    tau_syn_e: Array
    tau_syn_i: Array
    ts: Array
    refrac_init: Array
    shift: tuple[int, int] = (0, 0)
    delay_bits: int = 1


@dataclass(frozen=True, eq=False)
class TrueNorthNeuron:
    """Parameters of TrueNorth neurons, each int32 [n]; the rule is in `graph/rules/truenorth.py`.

    In the letters of Cassidy et al. 2013: leak lambda (-255..255), leak_reversal epsilon, leak_stoch c, threshold alpha
    and neg_threshold beta (0..262143, beta stored positive), thr_mask_bits TM (0..17), neg_saturate kappa, reset_mode
    gamma (0 to reset_value, 1 subtract, 2 keep), reset_value R, v_init the potential before tick 0.
    """

    leak: Array
    leak_reversal: Array
    leak_stoch: Array
    threshold: Array
    thr_mask_bits: Array
    neg_threshold: Array
    neg_saturate: Array
    reset_mode: Array
    reset_value: Array
    v_init: Array


@dataclass(frozen=True)
class TrueNorthAxon:
    """Axons of a TrueNorth core: active in a tick in which anything arrives, however much. Its synapses act at once."""


@dataclass(frozen=True)
class TrueNorthOutput:
    """Lines that leave the chip: how many spikes each carries, in the tick in which they were fired."""


@dataclass(frozen=True, eq=False)
class BrainScales2Neuron:
    """Calibrated targets of BrainScaleS-2 neurons in continuous time, each int64 [n]; the rule is in
    `graph/rules/brainscales2.py`.

    Times in ps of hardware time: tau_mem, tau_syn_e, tau_syn_i, t_hold (the membrane is held at reset after a spike).
    Potentials in 1e-6 codes of the ADC: v_leak, v_reset, v_thresh. `gain`: 1e-6 codes per us for a weight of 1, by
    which an event changes the current. `fires`: False for a membrane that is read out. `step`: ps of a step.
    """

    tau_mem: Array
    tau_syn_e: Array
    tau_syn_i: Array
    v_leak: Array
    v_reset: Array
    v_thresh: Array
    gain: Array
    t_hold: Array
    fires: bool = True
    step: int = 1_000_000


class ChipNeuron(ABC):
    """Base of the integer neurons that a chip brings along, with the plain rule by which `graph/run.py` runs them.

    A subclass is a frozen dataclass of registers, each int32 [n], and writes its rule without the chip's
    `arithmetic.py`, so that the two can disagree. See `targets/_template/neuron.py`.
    """

    @abstractmethod
    def rule(self, batch: int, n: int) -> Any:
        """The neurons at their initial state: a `graph.rules.Rule` with int64 states [batch, n]."""


Neuron = (
    LIF
    | CubaLIF
    | LinearLeakIF
    | LI
    | CubaLI
    | LoihiNeuron
    | SpinnakerNeuron
    | TrueNorthNeuron
    | TrueNorthAxon
    | TrueNorthOutput
    | BrainScales2Neuron
    | ChipNeuron
)
INTEGER_NEURONS = (
    LoihiNeuron,
    SpinnakerNeuron,
    TrueNorthNeuron,
    TrueNorthAxon,
    TrueNorthOutput,
    BrainScales2Neuron,
    ChipNeuron,
)
"""Those of chips: their registers are integers."""


# --------------------------------------------------------------------------------------------------------- synapses
@dataclass(frozen=True, eq=False)
class Dense:
    """y = W x, `weight` [n_dst, n_src]; in integer graphs int mantissas. `delay` may be per synapse, same shape."""

    weight: Array

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(self.weight.shape[1])

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(self.weight.shape[0])

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [n_dst, n_src]."""
        return sp.csr_matrix(self.weight)


@dataclass(frozen=True, eq=False)
class Sparse:
    """y = W x with a scipy CSR matrix [n_dst, n_src]; stored zeros are kept as synapses."""

    weight: sp.csr_matrix

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(self.weight.shape[1])

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(self.weight.shape[0])

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [n_dst, n_src]."""
        return self.weight


@dataclass(frozen=True, eq=False)
class Conv:
    """2-D cross-correlation with shared weights over a [C, H, W] source (1-D: H = 1).

    weight [C_out, C_in/groups, kh, kw]; `padding` (top, bottom, left, right) of zeros, negative values crop the
    source (this is how a pooling layer that drops its last rows is merged); out[o, y, x] =
    sum_{c,i,j} weight[o, c, i, j] * padded[c, y*stride_y + i*dil_y, x*stride_x + j*dil_x].
    """

    weight: Array
    in_shape: tuple[int, int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """[C_out, H_out, W_out]."""
        _, h, w = self.in_shape
        top, bottom, left, right = self.padding
        kh, kw = self.weight.shape[2:]
        oh = (h + top + bottom - self.dilation[0] * (kh - 1) - 1) // self.stride[0] + 1
        ow = (w + left + right - self.dilation[1] * (kw - 1) - 1) // self.stride[1] + 1
        return (int(self.weight.shape[0]), int(oh), int(ow))

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(np.prod(self.in_shape))

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(np.prod(self.out_shape))

    def index(self) -> tuple[Array, Array, Array]:
        """(dst, src, weight index) of every synapse, zeros included, in dst-major order."""
        c_out, oh, ow = self.out_shape
        _, h, w = self.in_shape
        c_group, kh, kw = (int(s) for s in self.weight.shape[1:])
        o, y, x, c, i, j = np.meshgrid(
            np.arange(c_out), np.arange(oh), np.arange(ow), np.arange(c_group), np.arange(kh), np.arange(kw),
            indexing="ij", sparse=True,
        )  # fmt: skip
        sy = y * self.stride[0] + i * self.dilation[0] - self.padding[0]
        sx = x * self.stride[1] + j * self.dilation[1] - self.padding[2]
        sc = o // (c_out // self.groups) * c_group + c
        keep = np.broadcast_to((sy >= 0) & (sy < h) & (sx >= 0) & (sx < w), (c_out, oh, ow, c_group, kh, kw))
        dst = np.broadcast_to((o * oh + y) * ow + x, keep.shape)[keep]
        src = np.broadcast_to((sc * h + sy) * w + sx, keep.shape)[keep]
        idx = np.broadcast_to(((o * c_group + c) * kh + i) * kw + j, keep.shape)[keep]
        return dst, src, idx

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [n_dst, n_src], kernel zeros kept as synapses."""
        dst, src, idx = self.index()
        indptr = np.concatenate([[0], np.cumsum(np.bincount(dst, minlength=self.n_dst))])
        return sp.csr_matrix((self.weight.reshape(-1)[idx], src, indptr), shape=(self.n_dst, self.n_src))


@dataclass(frozen=True, eq=False)
class Scale:
    """y = factor * x, elementwise; `factor` [n]. What a batch norm leaves after its shift went into the bias."""

    factor: Array

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(self.factor.size)

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(self.factor.size)

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse diagonal matrix."""
        return sp.diags(self.factor, format="csr")


@dataclass(frozen=True, eq=False)
class Select:
    """y[dst[k]] = x[k]: a block of a concatenation. `dst` int64 [n_src], distinct."""

    dst: Array
    size: int

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(self.dst.size)

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return self.size

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [size, n_src]."""
        n = self.n_src
        return sp.csr_matrix((np.ones(n), (self.dst, np.arange(n))), shape=(self.size, n))


@dataclass(frozen=True, eq=False)
class Pool:
    """Average (`average=True`) or sum pooling over [C, H, W]: a depthwise convolution with equal weights.

    With padding the average divides by the full kernel size, zeros included.
    """

    in_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    average: bool = True

    def as_conv(self) -> Conv:
        """The same operator as a depthwise convolution."""
        c = self.in_shape[0]
        value = 1.0 / (self.kernel[0] * self.kernel[1]) if self.average else 1.0
        weight = np.full((c, 1, *self.kernel), value)
        return Conv(weight, self.in_shape, self.stride, self.padding, groups=c)

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Shape of the output [C, H, W]."""
        return self.as_conv().out_shape

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(np.prod(self.in_shape))

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(np.prod(self.out_shape))

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [n_dst, n_src]."""
        return self.as_conv().matrix()


@dataclass(frozen=True, eq=False)
class Chain:
    """Linear operators applied one after another, first to last; passes merge them into one synapse."""

    ops: tuple[Dense | Sparse | Conv | Scale | Select | Pool, ...]

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return self.ops[0].n_src

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return self.ops[-1].n_dst

    def matrix(self) -> sp.csr_matrix:
        """The product as a sparse matrix [n_dst, n_src]."""
        product = self.ops[0].matrix()
        for op in self.ops[1:]:
            product = op.matrix() @ product
        return sp.csr_matrix(product)


Synapse = Dense | Sparse | Conv | Chain


# ------------------------------------------------------------------------------------------------------------ graph
@dataclass(frozen=True, eq=False)
class Input:
    """A source driven by the host. `max_count` 1 means binary spikes.

    `gate_from`: None for data; k for a bias line that the host drives with 1 in every step from step k on.
    """

    name: str
    shape: tuple[int, ...]
    max_count: int = 1
    gate_from: int | None = None

    @property
    def n(self) -> int:
        """How many there are: the product of the shape."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one layer. `bias` float32 [n] is added to x in every step (float graphs only; None for none)."""

    name: str
    shape: tuple[int, ...]
    neuron: Neuron
    bias: Array | None = None
    lag: int = 0

    @property
    def n(self) -> int:
        """How many there are: the product of the shape."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class LoihiWeightFormat:
    """How integer weights of one connection are read: see `chips` rules in `graph/rules/loihi.py`.

    exponent -8..7; sign_mode 1 mixed, 2 excitatory, 3 inhibitory; bits 1..8 magnitude bits.
    """

    exponent: int = 0
    sign_mode: int = 1
    bits: int = 8


@dataclass(frozen=True)
class IntegerFormat:
    """Integer weights that are used as they are: two's complement of `bits` bits."""

    bits: int = 8


@dataclass(frozen=True)
class SpinnakerPair:
    """Pair STDP of sPyNNaker, see `rules/spinnaker_stdp.py`: one rule for all plastic synapses of a population.

    Attributes:
        plus, minus: tables of exp(-i/tau) in 4.11 (1 is 2048), an even number of values, 0 beyond.
        limits: per receptor (wmin, wmax, A+, A-) in s16.15.
        multiplicative: the weight dependence; otherwise additive.
        back_propagation: a spike reaches its synapses as late as a packet reaches the neuron.
        shifts: of the time axes of the tables.
    """

    plus: tuple[int, ...]
    minus: tuple[int, ...]
    limits: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]
    multiplicative: bool = False
    back_propagation: bool = True
    shifts: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class SpinnakerWeightFormat:
    """Integer weights are words of the ring buffer, 0..65535. `receptor` 0 excitatory, 1 inhibitory: magnitudes; None:
    the sign of a weight picks the receptor and its magnitude is the word. `pair`: they are first words and learn."""

    receptor: int | None = None
    pair: SpinnakerPair | None = None


@dataclass(frozen=True, eq=False)
class TrueNorthFormat:
    """How integer weights of one connection are read: by default as they are.

    With `axon_type` [n_src] (0..3) the synapse holds the crossbar's bits, and a bit of axon j acts on neuron i with
    `weight[i, axon_type[j]]` [n_dst, 4]; where `stochastic` [n_dst, 4] is 1, with the weight's sign, by a draw.
    """

    axon_type: Array | None = None
    weight: Array | None = None
    stochastic: Array | None = None


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from `src` to `dst`. `delay` in steps: an int, or an int array [n_dst, n_src] for `Dense`."""

    name: str
    src: str
    dst: str
    synapse: Synapse
    delay: int | Array = 0
    format: LoihiWeightFormat | SpinnakerWeightFormat | TrueNorthFormat | IntegerFormat | None = None

    @property
    def max_delay(self) -> int:
        """The largest delay in steps."""
        return int(np.max(self.delay)) if np.size(self.delay) else 0


@dataclass(frozen=True)
class Readout:
    """How the answer is read: `count` of spikes or the `first` to spike, or `mean`, `max`, `last` of a non-firing v.

    The class is the argmax, ties to the lowest index. The steps are the T steps of the sample, aligned by lag.
    `votes`: so many neurons in a row belong to one class, and their counts are added.
    """

    population: str
    rule: Literal["count", "first", "mean", "max", "last"]
    votes: int = 1

    @property
    def of_spikes(self) -> bool:
        """Whether it reads spikes, and not v."""
        return self.rule in ("count", "first")


@dataclass(frozen=True, eq=False)
class Graph:
    """A network in discrete time. `populations` in an order of evaluation; `dt_us` is the length of a step."""

    name: str
    inputs: tuple[Input, ...]
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    readout: Readout | None = None
    steps: int | None = None
    dt_us: float | None = None
    timeline: Literal["model", "chip"] = "model"
    notes: Mapping[str, Any] = field(default_factory=dict)

    def node(self, name: str) -> Input | Population:
        """The input or population of that name."""
        for node in self.nodes():
            if node.name == name:
                return node
        raise GraphError(f"no input or population is called {name!r}", fix=f"known: {', '.join(self.names())}")

    def nodes(self) -> tuple[Input | Population, ...]:
        """Inputs, then populations."""
        return (*self.inputs, *self.populations)

    def names(self) -> list[str]:
        """Their names."""
        return [n.name for n in self.nodes()]

    def incoming(self, name: str) -> list[Connection]:
        """The connections that end in a population."""
        return [c for c in self.connections if c.dst == name]

    def outgoing(self, name: str) -> list[Connection]:
        """The connections that begin in an input or population."""
        return [c for c in self.connections if c.src == name]

    @property
    def max_lag(self) -> int:
        """The largest lag of a population in steps."""
        return max((p.lag for p in self.populations), default=0)

    def with_(self, **changes: Any) -> Graph:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    def validate(self) -> None:
        """Raise GraphError unless names, sizes, delays and parameters are consistent."""
        names = self.names()
        if len(set(names)) != len(names):
            raise GraphError(f"two nodes share a name: {sorted(n for n in names if names.count(n) > 1)}")
        inputs = {i.name for i in self.inputs}
        for c in self.connections:
            src, dst = self.node(c.src), self.node(c.dst)
            if isinstance(dst, Input):
                raise GraphError(f"connection {c.name!r} ends in the input {c.dst!r}")
            if c.synapse.n_src != src.n or c.synapse.n_dst != dst.n:
                raise GraphError(
                    f"connection {c.name!r} has synapses {c.synapse.n_src} -> {c.synapse.n_dst}, "
                    f"but {c.src!r} has {src.n} and {c.dst!r} has {dst.n} neurons"
                )
            low = int(np.min(c.delay)) if np.size(c.delay) else 0
            inside = isinstance(dst.neuron, TrueNorthOutput | BrainScales2Neuron) or (
                isinstance(src, Population) and isinstance(src.neuron, TrueNorthAxon)
            )
            least = 1 if self.timeline == "chip" and c.src not in inputs and not inside else 0
            if low < least:
                raise GraphError(f"connection {c.name!r} has delay {low}; at least {least} is needed here")
            if isinstance(c.delay, np.ndarray) and not (
                isinstance(c.synapse, Dense) and c.delay.shape == c.synapse.weight.shape
            ):
                raise GraphError(f"connection {c.name!r}: per-synapse delays need a Dense synapse of the same shape")
        for p in self.populations:
            for key, value in vars(p.neuron).items():
                if isinstance(value, np.ndarray) and value.shape != (p.n,):
                    raise GraphError(f"population {p.name!r}: {key} has shape {value.shape}, expected ({p.n},)")
            if p.bias is not None and p.bias.shape != (p.n,):
                raise GraphError(f"population {p.name!r}: bias has shape {p.bias.shape}, expected ({p.n},)")
        if self.readout is not None:
            n, votes = self.node(self.readout.population).n, self.readout.votes
            if votes < 1 or n % votes or (votes > 1 and self.readout.rule != "count"):
                raise GraphError(
                    f"the read-out {self.readout.rule!r} of {n} neurons with {votes} votes per class",
                    fix="votes are counts, and divide the neurons of the layer",
                )
