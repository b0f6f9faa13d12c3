"""The experiment invariance-equivariance; its question, protocol and thresholds are in `run`."""
