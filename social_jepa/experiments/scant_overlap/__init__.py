"""The scant-overlap experiment; its question, protocol and thresholds are in `run`."""
