"""The experiment one-moment: see `run` for its question, protocol and threshold."""
