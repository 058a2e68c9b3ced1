"""What `snnkit inspect` prints for people: one module per kind of thing."""
