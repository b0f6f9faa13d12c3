"""Limits that settings of models and peers have in common; importing this loads nothing."""

MAX_DIM = 1024  # dimensions of a latent; the cost of fitting a map grows with their cube
