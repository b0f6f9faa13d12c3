"""What peers exchange and how they negotiate edges; nothing here imports a world model."""
