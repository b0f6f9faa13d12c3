"""The experiment dynamics; its question, protocol and thresholds are in `run`."""
