"""The plan-transfer experiment; its question, protocol and thresholds are in `run`."""
