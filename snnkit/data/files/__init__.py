"""Readers and writers of event files: one module per format."""
