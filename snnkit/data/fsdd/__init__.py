"""FSDD: spoken digits, as events of a cochlea-like encoder."""
