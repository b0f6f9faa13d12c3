"""The experiment migration; its question, protocol and thresholds are in `run`."""
