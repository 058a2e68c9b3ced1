"""The synapse codec both ways, its sizes against nengo-loihi's count, and images that no chip could hold."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.errors import DescriptorError
from snnkit.targets.loihi import schema, spec

from .craft import EMPTY, Core, Net, SynapseList, random_mantissas, random_net

formats = st.builds(
    schema.SynapseFormat,
    wgt_exp=st.integers(-8, 7),
    sign_mode=st.integers(1, 3),
    weight_code=st.integers(0, 7),
    delay_bits=st.integers(0, 6),
    tag_bits=st.just(0),
    index_code=st.integers(0, 7),
    compression=st.sampled_from([0, 3]),
    n_synapses=st.sampled_from([63, 63, 4, 0]),
)


@settings(max_examples=80)
@given(st.lists(formats, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_codec_both_ways(table, seed):
    rng = np.random.default_rng(seed)
    table = [EMPTY, *table]
    which = rng.integers(1, len(table), 9)
    length = rng.integers(1, 150, 9)
    ptr = np.concatenate([[0], np.cumsum(length)])
    parts = []
    for f, n in zip(which, length):
        fmt = table[f]
        reach = 2**fmt.index_bits
        parts.append(
            (random_mantissas(rng, fmt, n), rng.integers(0, reach, n), rng.integers(0, min(2**fmt.delay_bits, 63), n))
        )
    mantissa, index, delay = (np.concatenate(x) for x in zip(*parts))
    words, at = schema.encode_synapses(table, which, ptr, mantissa, index, delay)
    assert len(words) == sum(table[f].list_words(int(n)) for f, n in zip(which, length))
    order = rng.permutation(9)  # lists are read in any order
    got = schema.decode_synapses(np.array(table, np.int32), words, at[order], length[order])
    for k, which_list in enumerate(order):
        fmt, here = table[which[which_list]], slice(got.ptr[k], got.ptr[k + 1])
        there = slice(ptr[which_list], ptr[which_list + 1])
        step = 2**fmt.dropped_bits
        kept = mantissa[there] // step * step if fmt.weight_bits else 0 * mantissa[there]
        np.testing.assert_array_equal(got.mantissa[here], kept)
        np.testing.assert_array_equal(got.delay[here], delay[there])
        np.testing.assert_array_equal(got.index[here], index[there] if fmt.compression == spec.SPARSE else -1)
        assert (got.wgt_exp[here] == fmt.wgt_exp).all()


@pytest.mark.parametrize(
    ("bits", "n", "expected"),
    [(8, 1, 64), (8, 6, 64), (8, 7, 128), (8, 64, 576), (8, 65, 576 + 64), (1, 54, 64), (14, 64, 960)],
)
def test_sizes_as_nengo_loihi_counts_them(bits, n, expected):
    """Blocks of at most 64 synapses, 10 header bits, whole words (nengo-loihi 1.1.0, block.py, bits_per_axon)."""
    fmt = schema.SynapseFormat(
        weight_code=schema.weight_code(min(bits, 8)),
        index_code=1 if bits == 14 else 0,
        compression=spec.SPARSE if bits == 14 else spec.DENSE,
    )
    assert fmt.synapse_bits == bits
    assert fmt.list_words(n) * 64 == expected


def test_large_memories_are_quick():
    rng = np.random.default_rng(0)
    fmt = [EMPTY, schema.SynapseFormat(compression=spec.SPARSE, index_code=5)]
    n = 300_000
    ptr = np.arange(0, n + 1, 100)
    mantissa, index = rng.integers(-128, 127, n) * 2, rng.integers(0, 1024, n)
    start = time.process_time()
    words, at = schema.encode_synapses(fmt, np.ones(n // 100), ptr, mantissa, index)
    got = schema.decode_synapses(np.array(fmt, np.int32), words, at, np.full(n // 100, 100))
    assert time.process_time() - start < 2
    np.testing.assert_array_equal(got.mantissa, mantissa)


def test_disputed_weights():
    mixed = schema.SynapseFormat(weight_code=7)
    fields = schema.encode_weights(np.array([-3, 3, -256, 255, -255]), mixed)
    assert schema.decode_weights(fields, 1, 8).tolist() == [-4, 2, -256, 254, -256]
    inhibitory = schema.SynapseFormat(sign_mode=spec.INHIBITORY)
    assert schema.decode_weights(schema.encode_weights(np.array([-256, -1, 0]), inhibitory), 3, 8).tolist() == [
        -255,
        -1,
        0,
    ]


@pytest.mark.parametrize(
    ("sign", "code", "mantissa"), [(1, 7, 256), (2, 7, -1), (2, 7, 256), (3, 7, 1), (3, 6, -255), (1, 7, -258)]
)
def test_weights_that_do_not_fit_are_refused(sign, code, mantissa):
    with pytest.raises(DescriptorError, match="does not fit"):
        schema.encode_weights(np.array([0, mantissa]), schema.SynapseFormat(sign_mode=sign, weight_code=code))


def test_fields_that_do_not_fit_are_refused():
    one = np.array([1])
    sparse = [EMPTY, schema.SynapseFormat(compression=spec.SPARSE, index_code=1, delay_bits=2)]
    for index, delay, what in ((64, 0, "index"), (0, 4, "delay"), (-1, 0, "index")):
        with pytest.raises(DescriptorError, match=what):
            schema.encode_synapses(sparse, one, [0, 1], one * 2, one * index, one * delay)
    six = [EMPTY, schema.SynapseFormat(delay_bits=6)]
    with pytest.raises(DescriptorError, match="delay"):
        schema.encode_synapses(six, one, [0, 1], one * 2, None, one * 63)
    with pytest.raises(DescriptorError, match="empty"):
        schema.encode_synapses(six, one, [0, 0], one[:0])
    with pytest.raises(DescriptorError, match="index outside"):
        schema.encode_synapses(six, one * 2, [0, 1], one * 2)


def test_codes():
    assert [schema.weight_code(b) for b in range(9)] == [0, 1, 2, 3, 4, 5, 6, 7, 7]
    assert schema.index_code(0) == 0
    assert schema.index_code(63) == 1
    assert schema.index_code(64) == 2
    assert schema.index_code(4095) == 7
    with pytest.raises(DescriptorError):
        schema.index_code(4096)


# ---------------------------------------------------------------------------------------------------- damaged images
def net() -> Net:
    core = Core(6, thresholds=[20, 30])
    for i in range(3):
        core.lists.append(SynapseList(1, 2, np.arange(12) * 2, np.zeros(12, int), np.zeros(12, int)))
        core.axons.append(((0, 16, 32)[i], i, 0))
    core.lists[0] = SynapseList(1, 1, np.arange(6) * 2, np.zeros(6, int), np.zeros(6, int))
    core.outputs = [(n, 0, 1, n % 2) for n in range(6)]
    return Net([core], 3, [(i, 0, i, 0) for i in range(3)])


def check(arrays) -> None:
    schema.check_images(arrays, schema.LoihiSection(n_cores=1, n_chips=1))


def test_a_sound_image_passes():
    check(net().arrays())


DAMAGE = [
    ("core", (0, 0), 2),
    ("core", (0, 1), 32),
    ("core", (0, 2), -1),
    ("core", (0, 3), 5),
    ("compartment_profile", (0, 0), 4096),
    ("compartment_profile", (0, 1), -1),
    ("compartment_profile", (0, 2), 0),
    ("compartment_profile", (0, 2), 64),
    ("threshold_profile", (1,), 131072),
    ("compartment", (2, 0), 1),
    ("compartment", (2, 1), 2),
    ("compartment", (2, 2), 4096),
    ("compartment", (2, 3), 8),
    ("synapse_format", (0, 1), 1),
    ("synapse_format", (1, 0), 8),
    ("synapse_format", (1, 1), 0),
    ("synapse_format", (1, 2), 8),
    ("synapse_format", (1, 3), 7),
    ("synapse_format", (1, 4), 1),
    ("synapse_format", (1, 5), 8),
    ("synapse_format", (1, 6), 1),
    ("synapse_format", (1, 7), 64),
    ("input_axon", (0, 0), 7),
    ("input_axon", (0, 1), 2),
    ("input_axon", (1, 1), 0),
    ("input_axon", (1, 1), 33),
    ("input_axon", (1, 2), 10**6),
    ("input_axon", (1, 3), 13),
    ("input_axon", (1, 3), 2**30),
    ("input_axon", (1, 4), 2),
    ("input_axon", (2, 4), 256),
    ("output_axon", (0, 0), 6),
    ("output_axon", (0, 1), 1),
    ("output_axon", (0, 2), 3),
    ("output_axon", (0, 3), 2),
    ("output_axon", (0, 4), 0),
    ("host_input", (0, 0), -1),
    ("host_input", (0, 1), -1),
    ("host_input", (0, 2), 1),
    ("host_input", (0, 3), 3),
    ("host_input", (0, 4), 1),
    ("placement.core0", (0, 0), 1),
    ("placement.core0", (0, 1), 6),
    ("core_ptr", (1, 0), 5),
    ("core_ptr", (0, 3), 1),
]


@pytest.mark.parametrize(("table", "where", "value"), DAMAGE)
def test_impossible_registers_are_refused(table, where, value):
    arrays = {k: a.copy() for k, a in net().arrays().items()}
    arrays[table][where] = value
    with pytest.raises(DescriptorError, match=table):
        check(arrays)


def test_missing_unknown_and_mistyped_tables():
    for change in (
        {"core": None},
        {"secret": np.zeros(1, np.int32)},
        {"core": net().arrays()["core"].astype(np.int64)},
        {"input_axon": np.zeros((3, 6), np.int32)},
    ):
        arrays = {k: a for k, a in {**net().arrays(), **change}.items() if a is not None}
        with pytest.raises(DescriptorError):
            check(arrays)


def test_budgets_of_a_core():
    too_many = net()
    too_many.cores[0].thresholds = list(range(9))
    with pytest.raises(DescriptorError, match="threshold_profile has 9 rows on core 0, a core has 8"):
        check(too_many.arrays())
    slots = net()
    slots.cores[0].outputs = [(0, 0, 2, 0)] * 2049
    with pytest.raises(DescriptorError, match="needs 4098 slots"):
        check(slots.arrays())


def test_damaged_synapse_memory_is_refused():
    from snnkit.descriptor import Descriptor
    from snnkit.targets.loihi.emulate import open_chip

    n = net()
    for word, value in ((0, 0), (0, 0xF), (0, 1 | 63 << 4), (1, 2)):
        arrays = {k: a.copy() for k, a in n.arrays().items()}
        arrays["synapse_memory"][word] = value
        with pytest.raises(DescriptorError):
            open_chip(Descriptor(n.manifest(), arrays))
    # a target beyond the core's compartments
    arrays = {k: a.copy() for k, a in n.arrays().items()}
    arrays["input_axon"][2, 4] = 1
    with pytest.raises(DescriptorError, match="reaches compartment 6"):
        open_chip(Descriptor(n.manifest(), arrays))
    # many axons that each claim the whole memory
    arrays["input_axon"] = np.repeat(arrays["input_axon"][:1], 4096, axis=0)
    arrays["input_axon"][:, 2] = np.arange(4096) % len(arrays["synapse_memory"])
    arrays["input_axon"][:, 3] = len(arrays["synapse_memory"]) * 64 - np.arange(4096) % 64
    arrays["input_axon"][:, 4] = 0
    arrays["output_axon"] = arrays["output_axon"][:0]
    arrays["core_ptr"][1, 4:6] = 4096, 0
    with pytest.raises(DescriptorError, match="different synapses"):
        open_chip(Descriptor(n.manifest(), arrays))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_any_damage_is_refused_or_runs(seed):
    """A random register of a random net is set to a random value: an error of ours, or a network that runs."""
    from snnkit.descriptor import Descriptor
    from snnkit.targets.loihi.emulate import open_chip

    rng = np.random.default_rng(seed)
    n = random_net(rng)
    arrays = {k: a.copy() for k, a in n.arrays().items()}
    names = [k for k, a in arrays.items() if a.size]
    table = arrays[names[rng.integers(len(names))]]
    info = np.iinfo(table.dtype)
    value = (
        rng.choice(np.array([-1, 0, 1, 3, 7, 16, 64, 255, 4096, 2**31 - 1])) if info.min < 0 else rng.integers(2**63)
    )
    table.flat[rng.integers(table.size)] = value
    try:
        chip = open_chip(Descriptor(n.manifest(), arrays))
    except DescriptorError:
        return
    rows = chip.rows
    assert (rows.dst >= 0).all()
    dense = rows.index_at < 0
    assert (rows.dst + np.where(dense, rows.size, 1) <= -(-chip.n_neurons // 16) * 16).all()
    assert (rows.dst + rows.size <= rows.width)[dense].all()
    assert (rows.weight_at + rows.size <= len(rows.weights)).all()
