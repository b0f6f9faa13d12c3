"""Reading the translation graph: records, results, the universe, queries."""
