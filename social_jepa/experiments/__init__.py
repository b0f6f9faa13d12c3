"""The papers' experiments, one file each: question, protocol, baselines and thresholds stand at its top."""
