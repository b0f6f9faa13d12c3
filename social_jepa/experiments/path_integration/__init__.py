"""The experiment path-integration: see `run` for its question, protocol and thresholds."""
