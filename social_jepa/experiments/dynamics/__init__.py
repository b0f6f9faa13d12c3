"""The dynamics experiment; its question, protocol and thresholds are in `run`."""
