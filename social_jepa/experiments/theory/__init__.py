"""The theory experiment; its question, protocol and thresholds are in `run`."""
