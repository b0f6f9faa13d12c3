"""Benchmarks of speed, scale and robustness; each metric is shown beside a reference from the same run."""
