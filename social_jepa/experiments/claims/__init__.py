"""Claims of the papers, each beside the metric of an experiment that measures it."""
