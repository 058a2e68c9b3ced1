"""Paired: recordings of two sensors of the same class, as samples with two inputs."""
