"""The manifest: the typed, chip-independent part of a descriptor. The chip's own part is typed by its target."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

FORMAT = "snnkit-descriptor"
VERSION = 1

ARRAYS = "arrays.safetensors"
VECTORS = "vectors.safetensors"
MANIFEST = "manifest.json"
REPORTS = ("report.md", "report.html")

MAX_NEURONS = 2**27
MAX_STEPS = 2**24

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f/\\]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Size = Annotated[int, Field(ge=0, le=MAX_NEURONS)]
Step = Annotated[int, Field(ge=0, le=MAX_STEPS)]
Evidence = Literal["vendor-code", "rtl", "open-simulator", "published-equations", "documentation"]


class Section(BaseModel):
    """A part of the manifest: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Layer(Section):
    """A population of neurons. `kind`: `spiking`, or `probed` where its v is read and it cannot fire.

    Its trace is late by `lag` steps: what the model does in step t, the chip does in tick t + lag.
    """

    name: Name
    shape: tuple[Size, ...] = Field(max_length=8)
    n: Size
    lag: Step = 0
    kind: Literal["spiking", "probed"] = "spiking"


class Port(Section):
    """An input that the host drives. `max_count` 1: binary spikes.

    `gate_from` k: a bias line of `n` neurons that the host drives with 1 in ticks k to k + T - 1; None for data.
    """

    name: Name
    shape: tuple[Size, ...] = Field(max_length=8)
    n: Size
    max_count: int = Field(default=1, ge=1, le=255)
    gate_from: Step | None = None
    timing: str = "row t arrives in tick t plus the synapse's delay"


class Readout(Section):
    """How the host reads the answer over the T ticks from the layer's lag on; argmax, ties to the lowest index.

    `count` of spikes; `first` to spike (T less the ticks before its first spike, 0 for none); `mean` (as the sum),
    `max` or `last` of v. `votes`: so many neurons in a row belong to one class, and their counts are added.
    """

    layer: Name
    rule: Literal["count", "first", "mean", "max", "last"]
    votes: int = Field(default=1, ge=1)

    @property
    def of_spikes(self) -> bool:
        """Whether it reads spikes, and not v."""
        return self.rule in ("count", "first")


class HostLayer(Section):
    """Neurons that the host runs, as `snnkit.graph.neurons` defines them; arrays `host.<layer>.<parameter>`, float [n].

    `LIF`: decay, threshold; `CubaLIF`: decay_syn, decay_mem, threshold; `LI`: decay; `CubaLI`: decay_syn, decay_mem;
    each with bias, if `bias` is set.
    """

    name: Name
    shape: tuple[Size, ...] = Field(max_length=8)
    n: Size
    neuron: Literal["LIF", "CubaLIF", "LI", "CubaLI"]
    reset: Literal["zero", "subtract"] = "zero"
    refractory: Step = 0
    bias: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its arrays."""
        decays = ("decay",) if self.neuron in ("LIF", "LI") else ("decay_syn", "decay_mem")
        fires = self.neuron in ("LIF", "CubaLIF")
        return (*decays, *(("threshold",) if fires else ()), *(("bias",) if self.bias else ()))


class HostSynapse(Section):
    """Weights of one delay as a CSR matrix [n_dst, n_src]: arrays `host.<name>.indptr, indices, weight`."""

    name: Name
    src: Name
    dst: Name
    delay: Step = 0


class HostNetwork(Section):
    """A part of the network that the host runs before or after the chip, in floating point.

    Row t of a source acts in step t + delay; layers are evaluated in their order. `ports`: where rows come from, a
    port of the model or a layer that ran before this part.
    """

    ports: tuple[Port, ...]
    layers: tuple[HostLayer, ...]
    synapses: tuple[HostSynapse, ...]
    readout: Readout | None = None
    arithmetic: str = (
        "x: float64 sums of weight times count, sources in rising order, synapses in theirs, rounded once to float32; "
        "x + bias and the neuron's rule in float32"
    )


class Host(Section):
    """The host's parts of a network that only partly runs on the chip. Spikes of `before` enter ports of their names.

    Numbers are kept as the bits of IEEE 754, int32 for float32 and int64 for float64.
    """

    before: HostNetwork | None = None
    after: HostNetwork | None = None


class Resources(Section):
    """What is used: one table row per core, totals, and the budget of one core."""

    per_core: tuple[dict[str, Count], ...] = ()
    totals: dict[str, Count] = Field(default_factory=dict)
    budget: dict[str, Count] = Field(default_factory=dict)


class Tensor(Section):
    """Type (safetensors name) and shape of one array."""

    dtype: str
    shape: tuple[Count, ...]


class FileEntry(Section):
    """Digest, size and contents of a safetensors file."""

    sha256: Sha256
    bytes: Count
    tensors: dict[str, Tensor]


class Manifest(Section):
    """`manifest.json`. `files` and `digest` are filled in when the descriptor is written.

    Attributes:
        target: name of the chip's folder under `targets`, or of an entry point; `revision` of the chip.
        dt_us: length of a tick in microseconds; `steps`: T of a sample, if fixed.
        update_order: the neuron's step in words and formulas.
        options: the readings taken where references disagree.
        host_parts: what the host does, in words; `host`: the layers that it runs, if any.
        findings: notes of the export. `costs`: energy and time. `provenance`: versions and digests.
        chip: the target's own section, typed by its schema.
        digest: SHA-256 of the canonical manifest without this field.
    """

    format: Literal["snnkit-descriptor"] = "snnkit-descriptor"
    version: Literal[1] = 1
    target: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    revision: str
    name: Name
    dt_us: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    steps: Step | None = None
    update_order: tuple[str, ...] = ()
    options: dict[str, str] = Field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    ports: tuple[Port, ...] = ()
    readout: Readout | None = None
    host_parts: tuple[str, ...] = ()
    host: Host | None = None
    resources: Resources = Resources()
    findings: tuple[dict[str, JsonValue], ...] = ()
    costs: dict[str, JsonValue] = Field(default_factory=dict)
    evidence: Evidence
    provenance: dict[str, JsonValue] = Field(default_factory=dict)
    chip: dict[str, JsonValue] = Field(default_factory=dict)
    files: dict[Literal["arrays.safetensors", "vectors.safetensors"], FileEntry] = Field(default_factory=dict)
    digest: str = ""

    @property
    def host_networks(self) -> tuple[HostNetwork, ...]:
        """What the host runs, in order."""
        return () if self.host is None else tuple(n for n in (self.host.before, self.host.after) if n is not None)

    @property
    def all_layers(self) -> tuple[Layer | HostLayer, ...]:
        """On the chip, then on the host."""
        return (*self.layers, *(layer for network in self.host_networks for layer in network.layers))

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The model's inputs, on the chip or on the host."""
        made = {layer.name for layer in self.all_layers}
        ports = [*self.ports, *(p for network in self.host_networks for p in network.ports)]
        known = {p.name: p for p in ports if p.gate_from is None and p.name not in made}
        return tuple(known.values())

    @property
    def max_lag(self) -> int:
        """The largest lag of any layer."""
        return max((layer.lag for layer in self.layers), default=0)

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)

    def plain(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.model_dump(mode="json")
