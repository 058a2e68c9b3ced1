"""Pulse: a simulated waveform of pulses, delta-coded, with injected anomalies of several kinds."""
