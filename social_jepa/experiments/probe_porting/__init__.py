"""The probe-porting experiment; its question, protocol and thresholds are in `run`."""
