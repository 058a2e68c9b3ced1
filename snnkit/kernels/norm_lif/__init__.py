"""Batch norm, LIF and average pooling over a sequence, in one pass."""
