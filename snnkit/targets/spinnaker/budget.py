"""What cores, chips and routers have, and what a placed network needs of it."""

from __future__ import annotations

from snnkit.graph.findings import Finding
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.machine import Chip
from snnkit.targets.spinnaker.network import Network, PlacedCore
from snnkit.targets.spinnaker.sizes import table_words

LIMITS: dict[str, int] = {
    "neurons": spec.NEURONS_PER_CORE,
    "ring_slots": 1 << spec.INDEX_BITS_MAX,
    "dtcm_bytes": spec.DTCM_BYTES,
    "sdram_bytes": spec.SDRAM_BYTES,
}
"""What a core has; the SDRAM is shared by the cores of a chip."""


def usage(core: PlacedCore) -> dict[str, int]:
    """What one core needs. SDRAM: rows, population table and parameters. DTCM: an estimate, see `dtcm_bytes`."""
    if core.binary == spec.SOURCE:
        return {"neurons": 0, "ring_slots": 0, "dtcm_bytes": 0, "sdram_bytes": 4 * core.n}
    blocks = core.counts()
    table = table_words(blocks)
    size = table + sum(b.words for b in blocks) + sum(len(r) for r in core.parameters().values())
    return {
        "neurons": core.n,
        "ring_slots": ring_slots(core.most, core.delay_bits),
        "dtcm_bytes": dtcm_bytes(core.n, core.most, core.delay_bits, table, len(core.stdp)),
        "sdram_bytes": 4 * size,
    }


def ring_slots(most: int, delay_bits: int) -> int:
    """Entries of the ring buffers of a core."""
    return 1 << (words.bits_for(most) + spec.RECEPTOR_BITS + delay_bits)


def dtcm_bytes(n: int, most: int, delay_bits: int, table_words: int, stdp_words: int) -> int:
    """Data memory: ring buffers of 16 bits, neurons with state and key, table, input buffer, two row buffers, history
    of post events if it learns, and a reserve for stack and heap."""
    neurons = n * 4 * (spec.NEURON_WORDS + 6 + 8 + 1)
    rows = 2 * 4 * (spec.ROW_WORDS_MAX + spec.ROW_HEADER_WORDS)
    learning = (4 * stdp_words + n * (4 + 6 * spec.POST_EVENTS)) if stdp_words else 0
    ring = 2 * ring_slots(most, delay_bits)
    return ring + neurons + 4 * table_words + 4 * spec.INPUT_BUFFER + rows + learning + spec.DTCM_RESERVED


def over_budget(network: Network) -> list[Finding]:
    """A finding for every core, chip and router that needs more than there is."""
    findings: list[Finding] = []
    chips: dict[Chip, int] = {}
    for core in network.cores:
        used = usage(core)
        chips[core.chip] = chips.get(core.chip, 0) + used["sdram_bytes"]
        for name in ("ring_slots", "dtcm_bytes"):
            if used[name] > LIMITS[name]:
                findings.append(
                    Finding(name.upper(), core.layer, f"a core of {core.n} neurons", resource=name, needed=used[name],
                            available=LIMITS[name], remedy="fewer neurons per core, or shorter delays")
                )  # fmt: skip
    for chip, size in chips.items():
        if size > spec.SDRAM_BYTES:
            findings.append(
                Finding("SDRAM", f"chip {chip}", "the synaptic rows of its cores", resource="sdram_bytes", needed=size,
                        available=spec.SDRAM_BYTES, remedy="fewer neurons per core, so that more chips share the rows")
            )  # fmt: skip
    for chip, entries in network.routes.items():
        if len(entries) > spec.ROUTER_ENTRIES:
            findings.append(
                Finding("ROUTER", f"chip {chip}", "its router entries", resource="router entries", needed=len(entries),
                        available=spec.ROUTER_ENTRIES, remedy="more neurons per core")
            )  # fmt: skip
    return findings
