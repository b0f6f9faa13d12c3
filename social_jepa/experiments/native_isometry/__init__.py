"""The native-isometry experiment; its question, protocol and thresholds are in `run`."""
