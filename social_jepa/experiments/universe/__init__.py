"""The experiment universe; its question, protocol and thresholds are in `run`."""
