"""The classifier-porting experiment; its question, protocol and thresholds are in `run`."""
