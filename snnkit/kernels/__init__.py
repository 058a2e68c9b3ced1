"""Recurrences over whole sequences: one folder each, the step-by-step reference first, fused kernels beside it."""
