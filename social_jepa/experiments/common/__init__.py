"""Building blocks of experiments: trained agents, pairs, probes, baselines, plots."""
