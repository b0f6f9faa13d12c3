"""Cost and reproducibility of whole runs."""
