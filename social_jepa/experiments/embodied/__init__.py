"""The experiment embodied; its question, protocol and thresholds are in `run`."""
