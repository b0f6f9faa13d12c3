"""The experiment counting; its question, protocol and thresholds are in `run`."""
