"""How published figures are measured; `snnkit.bench.reproduce` lists them with their bars."""
