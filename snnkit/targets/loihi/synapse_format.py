"""Formats of Loihi's synapse lists: widths of fields, and weights as they stand there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snnkit.errors import DescriptorError
from snnkit.targets.loihi import spec

Array = np.ndarray[Any, Any]


class SynapseFormat(NamedTuple):
    """One row of `synapse_format`."""

    wgt_exp: int = 0
    sign_mode: int = spec.MIXED
    weight_code: int = 7
    delay_bits: int = 0
    tag_bits: int = 0
    index_code: int = 0
    compression: int = spec.DENSE
    n_synapses: int = spec.SYNAPSES_PER_BLOCK - 1

    @property
    def weight_bits(self) -> int:
        """Width of the weight field."""
        return spec.WEIGHT_BITS[self.weight_code]

    @property
    def index_bits(self) -> int:
        """Width of the index field, 0 if dense."""
        return spec.INDEX_BITS[self.index_code] if self.compression == spec.SPARSE else 0

    @property
    def dropped_bits(self) -> int:
        """Low bits of a mantissa that the field cannot hold: 8 - n, one more if mixed."""
        return spec.WEIGHT_MAGNITUDE_BITS - self.weight_bits + (self.sign_mode == spec.MIXED)

    @property
    def synapse_bits(self) -> int:
        """Bits of one synapse."""
        return self.weight_bits + self.delay_bits + self.tag_bits + self.index_bits

    def block_words(self, n: int) -> int:
        """64-bit words of a block of n synapses."""
        return -(-(spec.HEADER_BITS + n * self.synapse_bits) // spec.SYNAPSE_WORD_BITS)

    def list_words(self, n: int) -> int:
        """64-bit words of a list of n synapses (n > 0)."""
        full, rest = divmod(n, self.n_synapses + 1)
        return full * self.block_words(self.n_synapses + 1) + (self.block_words(rest) if rest else 0)


def weight_code(bits: int) -> int:
    """Register code of a weight field of at least `bits` bits."""
    return next(code for code, width in enumerate(spec.WEIGHT_BITS) if width >= bits)


def index_code(largest: int) -> int:
    """Register code of an index field that holds 0..largest."""
    bits = int(largest).bit_length()
    for code, width in enumerate(spec.INDEX_BITS):
        if width >= bits:
            return code
    raise DescriptorError(
        f"a synapse index of {largest} does not fit {spec.INDEX_BITS[-1]} bits", fix="place fewer targets on the core"
    )


def encode_weights(mantissa: Array, fmt: SynapseFormat) -> Array:
    """Weight fields (uint64) of mantissas: low bits are dropped by floor, inhibitory -256 becomes -255.

    Raises:
        DescriptorError: a mantissa has the wrong sign or magnitude for the format.
    """
    m = np.asarray(mantissa, np.int64)
    n = fmt.weight_bits
    if n == 0:
        return np.zeros(m.shape, np.uint64)
    if fmt.sign_mode == spec.INHIBITORY:
        m = np.maximum(m, spec.MANTISSA_RANGE[spec.INHIBITORY][0])
    low = m >> fmt.dropped_bits
    if fmt.sign_mode == spec.MIXED:
        wrong = (low < -(1 << (n - 1))) | (low >= 1 << (n - 1))
        field = low & ((1 << n) - 1)
    else:
        field = -low if fmt.sign_mode == spec.INHIBITORY else low
        wrong = (field < 0) | (field >= 1 << n)
    if wrong.any():
        raise DescriptorError(
            f"weight mantissa {int(np.asarray(mantissa)[wrong].flat[0])} does not fit sign mode {fmt.sign_mode} "
            f"with {n} bits",
            fix="use another sign mode or more weight bits",
        )
    return field.astype(np.uint64)


def decode_weights(field: Array, sign_mode: Array | int, bits: Array | int) -> Array:
    """Mantissas (int32) of weight fields; the inverse of `encode_weights` for values it can hold."""
    x = np.asarray(field).astype(np.int64)
    n = np.asarray(bits, np.int64)
    mixed = np.asarray(sign_mode) == spec.MIXED
    x = np.where(mixed & (n > 0) & ((x >> np.maximum(n - 1, 0)) & 1 == 1), x - (np.int64(1) << n), x)
    x = x << (spec.WEIGHT_MAGNITUDE_BITS - n + mixed)
    return np.where(np.asarray(sign_mode) == spec.INHIBITORY, -x, x).astype(np.int32)
