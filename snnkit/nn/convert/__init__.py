"""Moving in: networks of other frameworks as networks of snnkit, with their weights and a comparison.

One file per peer; none of them imports the peer: classes are known by the module path and name they have.

- `walk.py` goes through a network and keeps the report, `structure.py` tells what it is made of, `torch_layers.py`
  turns what is torch's own into snnkit's;
- `spikingjelly.py` and `snntorch.py` know the peers' layers, neurons and surrogates;
- `spikingjelly_steps.py` and `snntorch_steps.py` are the peers' neurons with their own order of operations;
- `compare.py` runs both networks on a batch, `report.py` is what comes of it.
"""

from snnkit.nn.convert.api import convert_from
from snnkit.nn.convert.report import ConversionReport, ConvertedLayer

__all__ = ["ConversionReport", "ConvertedLayer", "convert_from"]
