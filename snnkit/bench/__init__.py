"""Our speed beside the memory floor and the peers that are installed, measured in one run."""
