"""The experiment collapse; its question, protocol and thresholds are in `run`."""
