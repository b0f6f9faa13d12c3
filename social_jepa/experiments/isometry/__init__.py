"""The experiment isometry; its question, protocol and thresholds are in `run`."""
