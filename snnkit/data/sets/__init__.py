"""Published data sets: what they share, and a short file for each."""
