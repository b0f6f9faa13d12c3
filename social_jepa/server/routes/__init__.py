"""HTTP routes: read, query, write."""
