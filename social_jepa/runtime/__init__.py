"""Running agents: Ray, the supervisor, membership, simulations and batch runs."""
