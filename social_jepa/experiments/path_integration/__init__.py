"""The experiment path-integration; its question, protocol and thresholds are in `run`."""
