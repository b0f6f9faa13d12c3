"""Runs that come with the package, so that graph, query, report and page can be tried without training."""
