"""Benchmarks of one GPU; with ``--set agents.device=cpu`` they run, and mean little, on a CPU."""
