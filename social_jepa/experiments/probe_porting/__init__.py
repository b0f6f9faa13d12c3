"""The experiment probe-porting; its question, protocol and thresholds are in `run`."""
