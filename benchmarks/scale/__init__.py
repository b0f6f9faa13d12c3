"""What whole runs cost, and whether they work again."""
