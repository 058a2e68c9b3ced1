"""Hardware-aware training: chips' weights, neurons and mismatch inside torch layers."""
