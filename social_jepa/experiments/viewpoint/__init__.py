"""The experiment viewpoint; its question, protocol and thresholds are in `run`."""
