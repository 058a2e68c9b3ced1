"""N-MNIST: real recordings of MNIST digits moved in front of an ATIS sensor."""
