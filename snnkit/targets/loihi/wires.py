"""A connection on its way to a core's axons: one number per synapse, or none where synapses are only counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.geometry import conv_rows, rows_of
from snnkit.graph.model import Connection
from snnkit.graph.synapses import Conv, Dense, LoihiWeightFormat
from snnkit.targets.loihi import spec

Array = np.ndarray[Any, Any]

CODE_SHIFT = 10  # a synapse as one number: delay register above the mantissa plus an offset
CODE_OFFSET = 1 << (CODE_SHIFT - 1)
WEIGHT_SHIFT = 16  # above delay and mantissa, the number of a weight that is only counted


def stored_mantissa(mantissa: Array, fmt: LoihiWeightFormat) -> Array:
    """The mantissa that `fmt.bits` can hold, int64: low bits dropped downwards if mixed, off the magnitude if not."""
    w = np.asarray(mantissa).astype(np.int64)
    low = spec.WEIGHT_MAGNITUDE_BITS - fmt.bits + (fmt.sign_mode == spec.MIXED)
    if fmt.sign_mode == spec.INHIBITORY:
        return -((np.minimum(-w, -spec.MANTISSA_RANGE[spec.INHIBITORY][0]) >> low) << low)
    return (w >> low) << low


@dataclass(frozen=True, eq=False)
class Wires:
    """A connection made ready for encoding: synapses as codes in a CSR matrix [n_dst, n_src].

    `grid` is (channels, pixels) of the source if population axons are possible. `as_dense`: every source gets a dense
    list over the whole core, zeros included, as nengo-loihi does for a weight matrix. `share`: use population axons
    where possible, not only where they need less memory. `codes` is None where synapses are only counted
    (see `count`): their weights are real numbers, of which it only matters which are zero. `known`: counts of tiles
    that are alike.
    """

    number: int
    connection: Connection
    from_host: bool
    codes: sp.csr_matrix | None
    grid: tuple[int, int] | None
    as_dense: bool = False
    share: bool = False
    known: dict[Any, Any] = field(default_factory=dict)

    @property
    def format(self) -> LoihiWeightFormat:
        fmt = self.connection.format
        assert isinstance(fmt, LoihiWeightFormat)
        return fmt

    @property
    def register(self) -> Any:
        """The delay register: a neuron's delay d is d - 1, an input's is d."""
        return self.connection.delay - (0 if self.from_host else 1)

    def columns(self, neurons: Array) -> sp.csc_matrix:
        """Codes of the synapses of some neurons, by source [len(neurons), n_src]."""
        return sp.csr_matrix(_counted(self, neurons) if self.codes is None else self.codes[neurons]).tocsc()


def _counted(wires: Wires, neurons: Array) -> sp.csr_matrix:
    """Codes of a few neurons of a connection that is only counted: no two weights of a kernel are taken to be equal."""
    synapse, delay = wires.connection.synapse, wires.register
    if isinstance(synapse, Conv):
        index, source, place = conv_rows(synapse, neurons)
        code = (index + 1) << WEIGHT_SHIFT | _code(np.ones(len(index), np.int64), delay)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(neurons)))])
        return sp.csr_matrix((code, source, indptr), shape=(len(neurons), synapse.n_src))
    matrix = rows_of(synapse, neurons)
    if isinstance(delay, np.ndarray):
        place = np.repeat(np.arange(len(neurons)), np.diff(matrix.indptr))
        delay = delay[neurons][place, matrix.indices]
    code = _code(np.ones(matrix.nnz, np.int64), delay)
    return sp.csr_matrix((code, matrix.indices, matrix.indptr), shape=matrix.shape)


def prepare(
    number: int,
    connection: Connection,
    from_host: bool,
    *,
    as_dense: bool = False,
    share: bool = False,
    counted: bool = False,
) -> Wires:
    """Weights and delay registers of a connection as codes; none if `counted`."""
    fmt = connection.format
    assert isinstance(fmt, LoihiWeightFormat)
    synapse = connection.synapse
    late = 0 if from_host else 1
    grid = None
    if isinstance(synapse, Conv) and not as_dense:
        grid = (synapse.in_shape[0], synapse.in_shape[1] * synapse.in_shape[2])
    if counted:
        return Wires(number, connection, from_host, None, grid, as_dense, share)
    if isinstance(synapse, Dense):
        mantissa = stored_mantissa(synapse.weight, fmt)
        delay = np.broadcast_to(np.asarray(connection.delay, np.int64) - late, mantissa.shape)
        row, col = np.nonzero(mantissa)
        data = _code(mantissa[row, col], delay[row, col])
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=mantissa.shape[0]))])
        codes = sp.csr_matrix((data, col, indptr), shape=mantissa.shape)
    else:
        matrix = sp.csr_matrix(synapse.matrix())
        mantissa = stored_mantissa(matrix.data, fmt)
        data = _code(mantissa, np.full(mantissa.shape, int(np.max(connection.delay)) - late))
        codes = sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    return Wires(number, connection, from_host, codes, grid, as_dense, share)


def _code(mantissa: Array, delay: Array) -> Array:
    return (delay << CODE_SHIFT | (mantissa + CODE_OFFSET)).astype(np.int32)


def mantissa_of(code: Array) -> Array:
    return (code & ((1 << CODE_SHIFT) - 1)) - CODE_OFFSET


def delay_of(code: Array) -> Array:
    return (code & ((1 << WEIGHT_SHIFT) - 1)) >> CODE_SHIFT
