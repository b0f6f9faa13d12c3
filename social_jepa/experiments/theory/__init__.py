"""The experiment theory; its question, protocol and thresholds are in `run`."""
