"""The time-or-jepa experiment; its question, protocol and thresholds are in `run`."""
