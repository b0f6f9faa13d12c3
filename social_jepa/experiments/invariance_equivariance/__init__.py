"""The experiment invariance-equivariance: see `run` for its question, protocol and thresholds."""
