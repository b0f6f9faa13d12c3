"""The worlds experiment; its question, protocol and thresholds are in `run`."""
