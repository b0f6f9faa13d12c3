"""The experiment heterogeneous; its question, protocol and thresholds are in `run`."""
