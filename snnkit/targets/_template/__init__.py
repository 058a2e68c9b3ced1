"""A complete small chip, to copy: integer LIF neurons on cores with a dense memory of signed 8-bit weights.

How to add a chip
  1. Copy this folder: to `snnkit/targets/<chip>` for a chip of snnkit, or anywhere else as a package of your own.
  2. Replace `snnkit.targets._template` by the name of your package in all files, and name, title and revision below.
  3. Put the chip's numbers, their sources and its CAPABILITIES into `spec.py`; nothing else defines a number.
  4. Rewrite the files in this order, each tested against the one before: `neuron.py` (the rule as the documents give
     it, for `graph/run.py`), `arithmetic.py` (the rule for the engine), `rules.py`, `quantize.py`, `schema.py` (the
     memory images), `lower.py`, `emulate.py`, `replay.py`, `energy.py`.
  5. In a package of your own, name TARGET in an entry point:
         [project.entry-points."snnkit.targets"]
         <chip> = "<package>:TARGET"
     For one session `snnkit.targets.register(TARGET)` does.
  6. `snnkit.validation.conformance.conformance(TARGET, folder)` draws networks inside CAPABILITIES and says what is
     wrong; in snnkit's own folder `tests/conformance` runs it without a change.

The folder's name starts with `_`, so this chip is not listed; everything else works. It is called `toy` in descriptors.
"""

from snnkit.targets.base import Target

TARGET = Target(name="toy", title="Toy chip", package="snnkit.targets._template", revision="toy-1")
